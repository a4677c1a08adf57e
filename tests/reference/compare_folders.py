"""Compares a folder of fixtures with the same folder made elsewhere.

Files are the same when their bytes are. Where they are not, integers and text have still
to be equal, and floats to lie within 1e-4 of the tensor's largest entry: another
processor sums in another order, and Adam enlarges that a little.
"""

import json

TOLERANCE = 1e-4


def differences(made, committed):
    """One line for each file of `made` that `committed` lacks or has otherwise, and for extra files."""
    found = []
    for folder in sorted(p for p in made.iterdir() if p.is_dir()):
        other = committed / folder.name
        here, there = files(folder), files(other)
        found += [f"{folder.name}/{name}: not in {committed}" for name in sorted(here - there)]
        found += [f"{folder.name}/{name}: not made by the script" for name in sorted(there - here)]
        for name in sorted(here & there):
            a, b = folder / name, other / name
            if a.read_bytes() != b.read_bytes():
                found += [f"{folder.name}/{name}: {line}" for line in file_differences(a, b)]
    return found


def files(folder):
    """Paths in `folder` of the files in it, at any depth; none where there is no folder."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def file_differences(a, b):
    # Files of rows are compared where there is no torch.
    if a.suffix == ".safetensors":
        from safetensors.torch import load_file

        return tensor_differences(load_file(a), load_file(b))
    if a.suffix == ".pth":
        import torch

        return tensor_differences(torch.load(a, weights_only=True), torch.load(b, weights_only=True))
    if a.suffix == ".json":
        return value_differences(json.loads(a.read_text()), json.loads(b.read_text()))
    return ["differs"]


def tensor_differences(a, b):
    if a.keys() != b.keys():
        return [f"tensors differ: {sorted(a.keys() ^ b.keys())}"]
    return [f"{key} differs" for key in a if not same_tensor(a[key], b[key])]


def same_tensor(a, b):
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not a.is_floating_point():
        return bool((a == b).all())
    return bool((a - b).abs().max() <= TOLERANCE * a.abs().max())


def value_differences(a, b, path=""):
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [line for key in a for line in value_differences(a[key], b[key], f"{path}.{key}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [line for i in range(len(a)) for line in value_differences(a[i], b[i], f"{path}[{i}]")]
    if isinstance(a, float) and isinstance(b, float) and abs(a - b) <= TOLERANCE * abs(a):
        return []
    return [] if a == b else [f"{path or 'the whole'} differs: made {a!r}, committed {b!r}"]
