"""A training step of RWKV6 here and in eager torch, one after the other, and the ratios.

    python train/benches/rwkv6_vs_eager.py [--rounds 2]

With a Python that has torch. Both run bone on the input axis, rank 64, on the eight linear layers of
every block of a random RWKV6: hidden size 768, 12 layers, head size 64, vocabulary 65,536, 4 rows of
256 tokens, f32. Ours are the two `kernel` cases of rwkv6_step.rs, `bone train` with its defaults and
with `--recompute false`, theirs is rwkv6_eager.py. Every round runs all three in processes of their
own; the fastest step of all rounds and the largest memory count. The aims, for the second of ours, are
at least twice eager torch's tokens a second, less than a fifth of its memory, and wkv6 under 15 % of
the step; whether they are met is said, and is the exit code.
"""

import argparse
import json
import os
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
        ["cargo", "bench", "-q", "-p", "bone-train", "--bench", "rwkv6_step", *arguments],
        cwd=HERE,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return output.stdout


def ours(case):
    # What the benchmark's own processes print: peak bytes, seconds of a step, share of wkv6.
    peak, seconds, share = map(float, cargo(BONE_BENCH_CASE=case).split())
    return seconds, peak / 1e6, share


def best(runs):
    seconds, peaks, shares = zip(*runs)
    return min(seconds), max(peaks), shares[seconds.index(min(seconds))]


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--rounds", type=int, default=2)
    rounds = a.parse_args().rounds
    cargo("--no-run")
    cases = ["kernel", "kernel-no-recompute"]
    runs = [(eager(), *map(ours, cases)) for _ in range(rounds)]
    results = [best(of_one) for of_one in zip(*runs)]
    their_seconds, their_peak, _ = results[0]
    print(f"{'':<20} {'tokens/s':>9} {'ratio':>6} {'s/step':>7} {'peak MB':>8} {'ratio':>6} {'wkv6':>6}")
    for name, (s, mb, share) in zip(["eager torch", "bone", "bone, no recompute"], results):
        part = f"{100 * share:.1f} %" if share else ""
        print(
            f"{name:<20} {TOKENS / s:>9.1f} {their_seconds / s:>6.2f} {s:>7.2f} "
            f"{mb:>8.0f} {mb / their_peak:>6.2f} {part:>6}"
        )
    seconds, peak, share = results[-1]
    met = their_seconds / seconds >= 2 and peak / their_peak < 0.2 and share < 0.15
    print("aims met" if met else "aims missed: 2 x the tokens/s, 0.2 x the memory, wkv6 under 15 %")
    sys.exit(not met)


if __name__ == "__main__":
    main()
