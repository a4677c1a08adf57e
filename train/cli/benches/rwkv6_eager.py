"""A training step of RWKV6 in eager torch, the only Python way on a CPU.

    python train/cli/benches/rwkv6_eager.py [--method miss|bone-input] [--layers 12] ...

By default hidden size 768, 12 layers, head size 64, vocabulary 65,536, 4 rows of 256 tokens, rank 64
on the eight linear layers of every block, all in f32. The model is tests/reference/rwkv6_model.py:
the recurrence is a Python loop over the tokens, batched over rows and heads; what eager torch has
nothing for on a CPU is RWKV's CUDA kernel. Both adapters are in their cheap form, so no weight-shaped
tensor is made. The loss is the mean cross-entropy over all tokens, the gradients are autograd's, and
AdamW updates the adapters. Weights are random: time and memory do not depend on their values.

Prints one JSON line: the median seconds of the measured steps (after one to warm up), the tokens a
second of it, and the process's peak resident megabytes (10^6 bytes).
"""

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "reference"))

from cheap_forms import CHEAP_FORMS
from rwkv6_model import Rwkv6
from rwkv6_training import new_adapter

METHODS = {"miss": "miss", "bone-input": "bat-row"}


def random_weights(a):
    """RWKV's tensors in f32; frozen. Widths as in released models: 3.5 C / 32 * 32, 32 and 64."""
    c, ffn, heads = a.hidden, int(3.5 * a.hidden) // 32 * 32, a.hidden // a.head_size
    weights = {"emb.weight": torch.randn(a.vocab, c), "head.weight": torch.randn(a.vocab, c) / c**0.5}
    for norm in ["ln_out", "blocks.0.ln0"]:
        weights |= {f"{norm}.weight": torch.ones(c), f"{norm}.bias": torch.zeros(c)}
    for i in range(a.layers):
        block, att, ffn_path = f"blocks.{i}", f"blocks.{i}.att", f"blocks.{i}.ffn"
        for norm in [f"{block}.ln1", f"{block}.ln2", f"{att}.ln_x"]:
            weights |= {f"{norm}.weight": torch.ones(c), f"{norm}.bias": torch.zeros(c)}
        weights |= {f"{att}.time_maa_{s}": torch.rand(1, 1, c) for s in "xwkvrg"}
        weights |= {f"{ffn_path}.time_maa_{s}": torch.rand(1, 1, c) for s in "kr"}
        weights |= {
            f"{att}.time_maa_w1": 0.01 * torch.randn(c, 5 * 32),
            f"{att}.time_maa_w2": 0.01 * torch.randn(5, 32, c),
            f"{att}.time_decay": torch.empty(1, 1, c).uniform_(-6, 0),
            f"{att}.time_decay_w1": 0.01 * torch.randn(c, 64),
            f"{att}.time_decay_w2": 0.01 * torch.randn(64, c),
            f"{att}.time_faaaa": 0.1 * torch.randn(heads, a.head_size),
            f"{ffn_path}.key.weight": torch.randn(ffn, c) / c**0.5,
            f"{ffn_path}.receptance.weight": torch.randn(c, c) / c**0.5,
            f"{ffn_path}.value.weight": torch.randn(c, ffn) / ffn**0.5,
        }
        for name in ["receptance", "key", "value", "gate", "output"]:
            weights[f"{att}.{name}.weight"] = torch.randn(c, c) / c**0.5
    return weights


def arguments():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--method", choices=METHODS, default="bone-input")
    a.add_argument("--rank", type=int, default=64, help="divides the hidden and the ffn size")
    a.add_argument("--hidden", type=int, default=768)
    a.add_argument("--layers", type=int, default=12)
    a.add_argument("--head-size", type=int, default=64)
    a.add_argument("--vocab", type=int, default=65_536)
    a.add_argument("--rows", type=int, default=4)
    a.add_argument("--tokens", type=int, default=256, help="in a row")
    a.add_argument("--steps", type=int, default=2, help="measured, after one to warm up")
    a.add_argument("--threads", type=int, help="default: as torch chooses")
    return a.parse_args()


def main():
    a = arguments()
    torch.manual_seed(0)
    if a.threads:
        torch.set_num_threads(a.threads)
    weights = random_weights(a)
    adapter = new_adapter(weights, METHODS[a.method], a.rank)
    adapted = CHEAP_FORMS[METHODS[a.method]]
    model = Rwkv6(weights, lambda path, x: adapted(x, weights[f"{path}.weight"], adapter[path]))
    optimizer = torch.optim.AdamW(adapter.values(), lr=1e-4, weight_decay=0.0)
    tokens = torch.randint(a.vocab, (a.rows, a.tokens + 1))

    def step():
        logits, _ = model(tokens[:, :-1])
        F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    seconds = []
    for _ in range(a.steps):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    median = statistics.median(seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, but bytes on a Mac
    peak *= 1 if sys.platform == "darwin" else 1024
    found = vars(a) | {
        "seconds_per_step": round(median, 3),
        "tokens_per_second": round(a.rows * a.tokens / median, 1),
        "peak_resident_mb": round(peak / 1e6),
        "trainable": sum(p.numel() for p in adapter.values()),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__.split("+")[0],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
