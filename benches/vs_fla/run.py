"""wkv6, forward and backward: ours beside flash-linear-attention's chunk kernel.

    python run.py --device cuda [--batch-size 4] [--max-seq-len 512 2048] [--heads 64] [--rounds 20]

With a Python that has torch for the card and flash-linear-attention (`pip install flash-linear-attention`),
and cargo, which builds `train/cli/benches/operations.rs` for the device. Both in f32, heads of 64, from zero
states, each the median of its rounds on the same card. The first of fla's rounds compiles and is not counted.

Tried without a card: `--device vulkan --rival recurrence --batch-size 1 --max-seq-len 32 --heads 1`, where the
rival is the recurrence token by token in torch on the processor: no ratio means anything then, but that both
agree on what is timed.
"""

import argparse
import inspect
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
SIZE = 64


def recurrence(r, k, v, w, u):
    """[batch, heads, len, size] each, w the logarithm of the decay; u [heads, size]."""
    state = torch.zeros(*k.shape[:2], SIZE, SIZE, device=k.device)
    outputs = []
    for t in range(k.shape[2]):
        new = k[:, :, t, :, None] * v[:, :, t, None, :]
        outputs.append((r[:, :, t, :, None] * (u[None, :, :, None] * new + state)).sum(2))
        state = w[:, :, t, :, None].exp() * state + new
    return torch.stack(outputs, 2)


def fla(r, k, v, w, u):
    from fla.ops.rwkv6 import chunk_rwkv6
    # [batch, len, heads, size], but for versions that can be told.
    told = {"head_first": False} if "head_first" in inspect.signature(chunk_rwkv6).parameters else {}
    inputs = [x.transpose(1, 2) for x in (r, k, v, w)]
    return chunk_rwkv6(*inputs, u, scale=1.0, **told)[0]


def rival(a, length):
    device = (a.device if a.device.startswith("cuda") else "cuda") if a.rival == "fla" else "cpu"
    torch.manual_seed(0)
    shape = (a.batch_size, a.heads, length, SIZE)
    r, k, v = (torch.rand(shape, device=device).mul(2).sub(1).requires_grad_() for _ in range(3))
    w = torch.rand(shape, device=device).mul(2).sub(1).exp().neg().requires_grad_()
    u = torch.rand(a.heads, SIZE, device=device)
    body = fla if a.rival == "fla" else recurrence
    seconds = []
    for _ in range(a.rounds + 1):
        for x in (r, k, v, w):
            x.grad = None
        started = time.perf_counter()
        body(r, k, v, w, u).sum().backward()
        if device != "cpu":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def versions(a):
    def said(*command):
        return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None
    found = {"torch": torch.__version__,
             "commit": said("git", "-C", HERE, "rev-parse", "HEAD")}
    if a.rival == "fla":
        import importlib.metadata
        found["flash-linear-attention"] = importlib.metadata.version("flash-linear-attention")
        found["card"] = torch.cuda.get_device_name(a.device if a.device.startswith("cuda") else 0)
    return found


def ours(a, length):
    sizes = {"BATCH_SIZE": a.batch_size, "MAX_SEQ_LEN": length, "HIDDEN_SIZE": a.heads * SIZE, "HEADS": a.heads}
    sizes = {name: str(size) for name, size in sizes.items()}
    command = ["cargo", "bench", "-p", "bone-cli", "--features", a.device.split(":")[0], "--bench", "operations", "--",
               "--sample-size", str(max(10, a.rounds)), f"^{a.device}/wkv6"]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | sizes | {"CRITERION_HOME": folder}
        done = subprocess.run(command, cwd=HERE, env=environment, stdout=sys.stderr)
        if done.returncode:
            sys.exit(f"failed with {done.returncode}: {' '.join(command)}")

        def seconds(way):
            [found] = Path(folder).glob(f"*wkv6/{way}/new/estimates.json")
            return json.loads(found.read_text())["median"]["point_estimate"] / 1e9
        return {"seconds": seconds("ours"), "composed_seconds": seconds("burn")}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--device", default="cuda")
    p.add_argument("--rival", choices=["fla", "recurrence"], default="fla")
    p.add_argument("--batch-size", type=int, default=4)
    p.add_argument("--max-seq-len", type=int, nargs="+", default=[512, 2048])
    p.add_argument("--heads", type=int, default=64)
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--out", type=Path)
    a = p.parse_args()
    if a.rival == "fla" and not torch.cuda.is_available():
        sys.exit("no card that torch sees: --rival recurrence tries the script without one")
    found = {"arguments": {**vars(a), "out": None}, "versions": versions(a), "runs": []}
    print(f"{a.batch_size} × … tokens, {a.heads} heads of {SIZE}, f32, {a.device}")
    print(f"{'tokens':>7} {a.rival + ' ms':>14} {'ours ms':>9} {'× of it':>8} {'burn operations ms':>19}")
    for length in a.max_seq_len:
        theirs, mine = rival(a, length), ours(a, length)
        found["runs"].append({"max_seq_len": length, "rival_seconds": theirs, **mine})
        print(f"{length:7} {1e3 * theirs:14.3f} {1e3 * mine['seconds']:9.3f} {mine['seconds'] / theirs:8.2f} "
              f"{1e3 * mine['composed_seconds']:19.3f}", flush=True)
    out = a.out or HERE.parent / "results" / f"wkv6-{a.device.replace(':', '-')}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"every figure is in {out}")


if __name__ == "__main__":
    main()
