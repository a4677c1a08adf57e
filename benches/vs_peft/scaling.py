"""How a step of bone grows with length, width, threads and rank, and RWKV6 beside LLaMA.

    python scaling.py [--method miss] [--steps 2] [--rounds 3]

Any Python. `bone` as run.py finds it. Each line is a process of its own. RWKV6 and LLaMA run in turn, since a
shared machine's speed drifts.
"""

import argparse
import json
import os
import statistics
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent


def step(a, threads=None, **settings):
    binary = os.environ.get("BONE", HERE.parents[1] / "target" / "release" / "bone")
    settings = {"method": a.method, "recompute": "false", "steps": a.steps, "batch_size": 4,
                "max_seq_len": 256} | settings
    command = [binary, "bench", "train", "--json", "--device", "cpu"]
    for name, value in settings.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    environment = os.environ | ({"RAYON_NUM_THREADS": str(threads)} if threads else {})
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def table(title, runs):
    print(f"\n{title}")
    print(f"{'':>14} {'s/step':>8} {'tokens/s':>9} {'peak MB':>8} {'less base':>9}")
    for name, run in runs:
        seconds = run["seconds_per_step"]
        memory = run["peak_resident_mb"]
        less_base = memory - run["model"]["bytes"] / 1e6
        print(f"{name:>14} {seconds:8.2f} {run['tokens_per_second']:9.1f} {memory:8.0f} {less_base:9.0f}", flush=True)


def fastest(runs):
    return min(runs, key=lambda run: run["seconds_per_step"])


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--method", default="miss")
    p.add_argument("--steps", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3, help="of RWKV6 beside LLaMA")
    a = p.parse_args()
    table("length, 1 row", ((n, step(a, batch_size=1, max_seq_len=n)) for n in (256, 512, 1024, 2048)))
    table("width, 12 blocks, 4 × 256", (
        (n, step(a, hidden_size=n)) for n in (256, 512, 768, 1024, 1536)))
    table("threads", ((n, step(a, threads=n)) for n in (1, 2)))
    table("rank", ((n, step(a, rank=n)) for n in (16, 64, 256)))
    for rows, length in ((4, 256), (1, 2048)):
        size = {"batch_size": rows, "max_seq_len": length, "method": "bone", "block_axis": "input"}
        title = f"RWKV6 beside LLaMA, bone on the input axis, {rows} × {length}, {a.rounds} rounds"
        turns = [[step(a, arch=arch, **size) for arch in ("llama2", "rwkv6")] for _ in range(a.rounds)]
        llama, rwkv = ([turn[i] for turn in turns] for i in range(2))
        table(title, (("llama2", fastest(llama)), ("rwkv6", fastest(rwkv))))
        ratios = [turn[0]["seconds_per_step"] / turn[1]["seconds_per_step"] for turn in turns]
        print(f"RWKV6 of LLaMA's tokens/s: fastest rounds "
              f"{fastest(llama)['seconds_per_step'] / fastest(rwkv)['seconds_per_step']:.2f}, median of a round's "
              f"ratios {statistics.median(ratios):.2f}; parameters {rwkv[0]['model']['parameters'] / llama[0]['model']['parameters']:.2f}",
              flush=True)


if __name__ == "__main__":
    main()
