"""How a step of bone grows with length, width, threads and rank, and RWKV6 beside LLaMA.

    python scaling.py [--method miss] [--steps 2]

Any Python. `bone` as run.py finds it. Each line is a process of its own; "GFLOP" are the products a step
cannot do without, "rate" what it makes of them, so that a column of equal rates says that time grows as
the arithmetic does.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent


def step(a, threads=None, **settings):
    binary = os.environ.get("BONE", HERE.parents[1] / "target" / "release" / "bone")
    settings = {"method": a.method, "recompute": "false", "steps": a.steps, "batch_size": 4} | settings
    command = [binary, "bench", "train", "--json", "--device", "cpu"]
    for name, value in settings.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    environment = os.environ | ({"RAYON_NUM_THREADS": str(threads)} if threads else {})
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def table(title, runs):
    print(f"\n{title}")
    print(f"{'':>14} {'s/step':>8} {'tokens/s':>9} {'GFLOP':>7} {'rate':>6} {'of floor':>9} {'peak MB':>8} "
          f"{'less base':>9}")
    for name, run in runs:
        seconds = run["seconds_per_step"]
        memory = run["peak_resident_mb"]
        print(f"{name:>14} {seconds:8.2f} {run['tokens_per_second']:9.1f} {run['floor_gflop']:7.0f} "
              f"{run['floor_gflop'] / seconds:6.0f} {100 * run['floor_seconds'] / seconds:7.0f} % "
              f"{memory:8.0f} {memory - run['model_bytes'] / 1e6:9.0f}", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--method", default="miss")
    p.add_argument("--steps", type=int, default=2)
    a = p.parse_args()
    table("length, 1 row", ((n, step(a, batch_size=1, max_seq_len=n)) for n in (256, 512, 1024, 2048)))
    table("width, 12 blocks, 4 × 256", (
        (n, step(a, hidden_size=n)) for n in (256, 512, 768, 1024, 1536)))
    table("threads", ((n, step(a, threads=n)) for n in (1, 2)))
    table("rank", ((n, step(a, rank=n)) for n in (16, 64, 256)))
    for rows, length in ((4, 256), (1, 2048)):
        size = {"batch_size": rows, "max_seq_len": length, "method": "bone", "block_axis": "input"}
        table(f"RWKV6 beside LLaMA, bone on the input axis, {rows} × {length}", (
            (arch, step(a, arch=arch, **size)) for arch in ("llama2", "rwkv6")))


if __name__ == "__main__":
    main()
