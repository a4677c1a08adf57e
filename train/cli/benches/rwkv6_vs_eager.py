"""A training step of RWKV6 here and in eager torch, one after the other, and the ratios.

    python train/cli/benches/rwkv6_vs_eager.py [--rounds 3]

With a Python that has torch. Both run bone on the input axis, rank 64, on the eight linear layers of
every block of a random RWKV6: hidden size 768, 12 layers, head size 64, vocabulary 65,536, 4 rows of
256 tokens, f32. Ours are the two `kernel` cases of rwkv6_step.rs, `bone train` with its defaults and
with `--recompute false`, theirs is rwkv6_eager.py. Every round runs all three in processes of their
own, and each process gives the median of its steps. Printed are the fastest and the median round and
the largest memory. The aims, for the second of ours, are at least three times eager torch's tokens a
second in the median round, a tenth of its memory at most for the first, and wkv6 under 15 % of the step;
whether they are met is said, and is the exit code. On a shared machine rounds differ by a quarter: take an odd number of them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOKENS = 4 * 256


def eager():
    output = subprocess.run(
        [sys.executable, HERE / "rwkv6_eager.py"], stdout=subprocess.PIPE, text=True, check=True
    )
    found = json.loads(output.stdout)
    return found["seconds_per_step"], found["peak_resident_mb"], None


def cargo(*arguments, **environment):
    output = subprocess.run(
        ["cargo", "bench", "-q", "-p", "bone-cli", "--bench", "rwkv6_step", *arguments],
        cwd=HERE,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return output.stdout


def ours(case):
    # What the benchmark's own processes print: peak bytes, median seconds of a step, share of wkv6.
    peak, seconds, share = map(float, cargo(BONE_BENCH_CASE=case).split())
    return seconds, peak / 1e6, share


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--rounds", type=int, default=3)
    rounds = a.parse_args().rounds
    cargo("--no-run")
    measured = {
        "eager torch": eager,
        "bone": lambda: ours("kernel"),
        "bone, no recompute": lambda: ours("kernel-no-recompute"),
    }
    runs = {name: [] for name in measured}
    for _ in range(rounds):
        for name, run in measured.items():
            runs[name].append(run())
    print(f"{'':20} {'s/step, fastest':>15} {'ratio':>6} {'median':>7} {'ratio':>6} "
          f"{'tokens/s':>9} {'peak MB':>8} {'ratio':>6} {'wkv6':>6}")
    base, least = None, float("inf")
    for name, of_rounds in runs.items():
        seconds, peaks, shares = zip(*of_rounds)
        fastest, median, peak = min(seconds), statistics.median(seconds), max(peaks)
        least = min(least, peak)
        base = base or (fastest, median, peak)
        share = None if shares[0] is None else statistics.median(shares)
        shown = "" if share is None else f"{100 * share:.1f} %"
        print(f"{name:20} {fastest:15.2f} {base[0] / fastest:6.2f} {median:7.2f} {base[1] / median:6.2f} "
              f"{TOKENS / median:9.1f} {peak:8.0f} {peak / base[2]:6.2f} {shown:>6}")
    met = base[1] / median >= 3 and least / base[2] <= 0.1 and share < 0.15
    print("aims met:" if met else "aims missed:", "3 x the tokens/s, 0.1 x the memory, wkv6 under 15 %")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
