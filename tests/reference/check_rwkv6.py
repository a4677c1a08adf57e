"""Compares rwkv6_model.py with a trained RWKV6 and its records, where a machine has them.

    python check_rwkv6.py [--f64] [ASSETS]

ASSETS (default: BONE_ASSETS, else ../shared/assets beside the repository) holds
    models/rwkv6-1m/       model.safetensors, and expected-logits.bin: the 256 f32 logits after the
                           bytes `"in`, as rwkv.cpp publishes them
    goldens/rwkv6-1m-*/    golden.json and golden.safetensors: twelve training steps by another
                           implementation, in f32
Nothing of it is copied. Prints one line of differences a record; the exit code is 1 if any is over
its limit.

--f64 trains in f64 and says how far the records, which were made in f32, are from that: what a run of
the same mathematics in another order may differ by. It has no limits.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from rwkv6_model import Rwkv6
from rwkv6_training import adapted, new_adapter, train

ASSETS = Path(__file__).resolve().parents[3] / "shared" / "assets"
LIMITS = {
    "logits": 1e-5,
    "pieces": 1e-5,
    "losses": 2e-4,
    "grad norms (relative)": 5e-3,
    "grad0 (of its largest)": 1e-4,
    "base logits": 1e-4,
    "tuned logits": 2e-3,
    "adapter": 2e-3,
}


def gap(a, b):
    a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (a, b))
    return (a - b).abs().max().item()


@torch.no_grad()
def check_logits(folder, weights):
    expected = torch.frombuffer(bytearray((folder / "expected-logits.bin").read_bytes()), dtype=torch.float32)
    model, tokens = Rwkv6(weights), torch.tensor([list(b'"in')])
    state = None
    for token in tokens.split(1, dim=1):
        last, state = model(token, state)
    return {"logits": gap(model(tokens)[0][0, -1], expected), "pieces": gap(last[0, -1], expected)}


def check_golden(folder, weights):
    settings = json.loads((folder / "golden.json").read_text())
    record = load_file(folder / "golden.safetensors")
    first, method = record["batches"][0].long(), settings["method"]
    adapter = new_adapter(weights, method, settings["r"])

    def logits(tokens):
        return Rwkv6(weights, adapted(weights, method, adapter))(tokens)[0]

    with torch.no_grad():
        base = logits(first)
    losses, norms, grad0 = train(logits, adapter, record["batches"].long(), record["loss_weights"], settings)
    with torch.no_grad():
        tuned = logits(first)
    return {
        "losses": gap(losses, settings["losses"]),
        "grad norms (relative)": gap(torch.tensor(norms) / torch.tensor(settings["grad_norms"]), 1),
        "grad0 (of its largest)": max(
            gap(g, record[f"grad0.{path}"]) / g.abs().max().item() for path, g in grad0.items()
        ),
        "base logits": gap(base, record["base_logits"]),
        "tuned logits": gap(tuned, record["tuned_logits"]),
        "adapter": max(gap(p.detach(), record[f"adapter.{path}"]) for path, p in adapter.items()),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("assets", nargs="?", type=Path, default=os.environ.get("BONE_ASSETS", ASSETS))
    arguments.add_argument("--f64", action="store_true", help="train in f64, without limits")
    arguments = arguments.parse_args()
    assets = Path(arguments.assets)
    folder = assets / "models" / "rwkv6-1m"
    if not folder.is_dir():
        print(f"skipped: assets not found at {assets}")
        return 0
    torch.set_num_threads(1)  # nothing here is large enough to share
    dtype = torch.float64 if arguments.f64 else torch.float32
    weights = {name: tensor.to(dtype) for name, tensor in load_file(folder / "model.safetensors").items()}
    found = {"rwkv6-1m": check_logits(folder, weights)}
    for golden in sorted((assets / "goldens").glob("rwkv6-1m-*")):
        found[golden.name] = check_golden(golden, weights)
    for name, gaps in found.items():
        print(f"{name}: " + ", ".join(f"{what} {value:.1e}" for what, value in gaps.items()))
    if arguments.f64:
        return 0
    wrong = [f"{n}: {what}" for n, gaps in found.items() for what, v in gaps.items() if not v <= LIMITS[what]]
    print("over the limit: " + "; ".join(wrong) if wrong else "all within the limits")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
