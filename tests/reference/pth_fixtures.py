"""Makes tests/fixtures/pth: files by torch.save, and what must be read from them or refused.

    python pth_fixtures.py              write tests/fixtures/pth anew
    python pth_fixtures.py --out DIR    write DIR/pth instead
    python pth_fixtures.py --check      make them in a temporary folder and compare with
                                        the committed ones

A file NAME.pth with a NAME.safetensors beside it must be read as the tensors in that;
one without must be refused. Values are random from a fixed seed and mean nothing.
"""

import argparse
import io
import pickle
import shutil
import sys
import tempfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from compare_folders import differences

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


def numbers(rng, *shape):
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


def plain(rng):
    """One tensor of each type, of several ranks."""
    values = numbers(rng, 3, 4)
    return {
        "f32": values,
        "f64": numbers(rng, 2, 2, 2).double(),
        "f16": numbers(rng, 5).half(),
        "bf16": numbers(rng, 2, 3).bfloat16(),
        "i64": torch.tensor([1, -(2**40)]),
        "i32": torch.tensor([[-7]], dtype=torch.int32),
        "i16": torch.tensor([-300], dtype=torch.int16),
        "i8": torch.tensor([-3, 3], dtype=torch.int8),
        "u8": torch.tensor([200], dtype=torch.uint8),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 5),
    }


def views(rng):
    """Tensors that do not lie row by row, or not alone, in their storages."""
    shared = numbers(rng, 6, 4)
    image = numbers(rng, 2, 3, 4, 5)
    return OrderedDict(
        transposed=numbers(rng, 4, 6).t(),
        transposed_bf16=numbers(rng, 7, 3).bfloat16().t(),
        sliced=numbers(rng, 8, 8)[2:5, 1:7],
        every_third=numbers(rng, 10)[1::3],
        rows=numbers(rng, 5, 3)[2:4],
        column=numbers(rng, 5, 3)[:, 1],
        permuted=numbers(rng, 2, 3, 4).permute(2, 0, 1),
        channels_last=image.to(memory_format=torch.channels_last),
        expanded=numbers(rng, 1, 3).expand(4, 3),
        expanded_scalar=torch.tensor(1.5).expand(2, 2),
        shared=shared,
        shared_too=shared,
        shared_rows=shared[3:],
        shared_transposed=shared.t(),
        parameter=torch.nn.Parameter(numbers(rng, 2, 3)),
        parameter_transposed=torch.nn.Parameter(numbers(rng, 2, 3).t()),
    )


def module(rng):
    """A state_dict as a module gives it, with versions of its parts as an attribute."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    for parameter in network.parameters():
        parameter.data = numbers(rng, *parameter.shape)
    return network.state_dict()


def repack(data, target, method=zipfile.ZIP_STORED, change=lambda name, entry: entry):
    """Writes the archive `data` anew with Python's own zip writer."""
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        with zipfile.ZipFile(target, "w", method) as out:
            for name in source.namelist():
                info = zipfile.ZipInfo(name)
                out.writestr(info, change(name, source.read(name)), method)


def archive(target, pickled):
    """An archive of nothing but a pickle."""
    with zipfile.ZipFile(target, "w") as out:
        out.writestr(zipfile.ZipInfo(f"{target.stem}/data.pkl"), pickled)
        out.writestr(zipfile.ZipInfo(f"{target.stem}/byteorder"), b"little")


def write(folder):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(6)

    def good(name, tensors, saved=None, **options):
        torch.save(tensors if saved is None else saved, folder / f"{name}.pth", **options)
        values = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
        save_file(values, folder / f"{name}.safetensors")

    good("plain", plain(rng))
    good("views", views(rng))
    good("module", module(rng))
    good("protocol4", plain(rng), pickle_protocol=4)
    wrapped = module(rng)
    good("wrapped", wrapped, {"state_dict": wrapped})

    # A file of more than 4 GB has its sizes elsewhere: so has this one, without the size.
    data = (folder / "plain.pth").read_bytes()
    limit, zipfile.ZIP64_LIMIT = zipfile.ZIP64_LIMIT, 0
    repack(data, folder / "zip64.pth")
    zipfile.ZIP64_LIMIT = limit
    data = (folder / "zip64.pth").read_bytes()
    (folder / "zip64.pth").write_bytes(data[:-14] + b"\xff" * 12 + data[-2:])
    torch.load(folder / "zip64.pth", weights_only=True)
    shutil.copy(folder / "plain.safetensors", folder / "zip64.safetensors")

    one = {"weight": torch.ones(2)}
    torch.save({"model": one, "step": 3}, folder / "training.pth")
    torch.save([torch.ones(2)], folder / "list.pth")
    torch.save({"weight": torch.ones(2, dtype=torch.complex64)}, folder / "complex.pth")
    torch.save({"weight": torch._neg_view(torch.ones(2))}, folder / "negated.pth")
    torch.save({"args": argparse.Namespace(lr=1), **one}, folder / "namespace.pth")
    # Without a tensor, whose address in memory the old format has as its name.
    torch.save({"step": 3}, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(one, folder / "one.pth")
    data = (folder / "one.pth").read_bytes()
    (folder / "one.pth").unlink()
    repack(data, folder / "deflated.pth", zipfile.ZIP_DEFLATED)
    repack(
        data,
        folder / "big_endian.pth",
        change=lambda name, entry: b"big" if name.endswith("/byteorder") else entry,
    )
    # These would run `echo` if they were unpickled, by each of the ways there are.
    archive(folder / "calls_system.pth", b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00echo\x85R.")
    archive(
        folder / "calls_by_stack.pth",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04echo\x85R.",
    )
    archive(folder / "calls_by_inst.pth", b"(X\x04\x00\x00\x00echoios\nsystem\n.")
    archive(folder / "calls_eval.pth", pickle.dumps({"weight": eval}, protocol=2))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FIXTURES)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.check:
        with tempfile.TemporaryDirectory() as made:
            write(Path(made) / "pth")
            found = differences(Path(made), FIXTURES)
        print("\n".join(found) or "no differences")
        sys.exit(bool(found))
    folder = arguments.out / "pth"
    if folder.exists():
        shutil.rmtree(folder)
    write(folder)


if __name__ == "__main__":
    main()
