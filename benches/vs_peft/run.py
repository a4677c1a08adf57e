"""Steps of bone and of PEFT, in turn on one machine, and the ratios.

    python run.py [--rounds 3] [--methods miss bone bone-input lora full] [--dtype f32]

Full training is of f32 alone.

With a Python that has torch, transformers and peft (tests/reference/requirements.txt), and `bone` built
in release: `cargo build --release` here, or BONE=/path/to/bone.

A random LLaMA of 768 × 12, vocabulary 32,000, 4 × 256 tokens, rank 64 on all seven projections of every
block (LoRA: rank 36, which trains as many parameters), AdamW, gradients clipped. A round runs PEFT and then
bone, each in a process of its own, each process giving the median of its steps; printed are the fastest
and the median round of either, and the ratios of both; of memory also the ratio to what PEFT's peak is
above its imports. PEFT has no bone on the input axis: it is held
against our own miss. With `--recompute` bone runs its blocks again and PEFT checkpoints its own.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
METHODS = ["miss", "bone", "bone-input", "lora", "full"]
RANKS = {"lora": 36}
BONE = os.environ.get("BONE", HERE.parents[1] / "target" / "release" / "bone")


class Failed(Exception):
    pass


def last_line(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise Failed(f"failed with {done.returncode}: {' '.join(command)}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def of_both(a):
    return ["--hidden-size", a.hidden_size, "--layers", a.layers, "--vocab-size", a.vocab_size,
            "--intermediate-size", a.intermediate_size, "--heads", a.heads, "--steps", a.steps]


def peft(a, method):
    command = [sys.executable, HERE / "peft_step.py", "--method", method, "--dtype", a.dtype,
               "--rank", RANKS.get(method, a.rank), "--batch", a.batch_size, "--len", a.max_seq_len,
               *of_both(a), *(["--checkpointing"] if a.recompute else [])]
    return last_line(list(map(str, command)))


def bone(a, method):
    name, _, axis = method.partition("-")
    command = [BONE, "bench", "train", "--json", "--device", "cpu", "--method", name,
               "--dtype", a.dtype, "--rank", RANKS.get(method, a.rank), "--batch-size", a.batch_size,
               "--max-seq-len", a.max_seq_len, "--recompute", str(a.recompute).lower(), *of_both(a)]
    if axis:
        command += ["--block-axis", axis]
    return last_line(list(map(str, command)))


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--steps", type=int, default=3)
    p.add_argument("--methods", nargs="+", choices=METHODS, help="all that the dtype has")
    p.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    p.add_argument("--rank", type=int, default=64)
    p.add_argument("--hidden-size", type=int, default=768)
    p.add_argument("--intermediate-size", type=int, default=2048)
    p.add_argument("--layers", type=int, default=12)
    p.add_argument("--heads", type=int, default=12)
    p.add_argument("--vocab-size", type=int, default=32000)
    p.add_argument("--batch-size", type=int, default=4)
    p.add_argument("--max-seq-len", type=int, default=256)
    p.add_argument("--recompute", action="store_true")
    a = p.parse_args()
    if not Path(BONE).is_file():
        sys.exit(f"{BONE} is not there: cargo build --release, or BONE=/path/to/bone")
    if a.dtype != "f32" and "full" in (a.methods or []):
        sys.exit("full training is of f32 alone: leave full out of --methods")
    methods = a.methods or [method for method in METHODS if a.dtype == "f32" or method != "full"]

    runs, failed = {}, None
    try:
        for _ in range(a.rounds):
            for method in methods:
                theirs, ours = runs.setdefault(method, ([], []))
                if method != "bone-input":
                    theirs.append(peft(a, method))
                ours.append(bone(a, method))
    except Failed as failure:
        failed = failure
    measured = {method: found for method, found in runs.items() if found[1]}
    if measured:
        report(a, measured)
    if failed:
        sys.exit(str(failed))


def report(a, runs):
    tokens = a.batch_size * a.max_seq_len
    print(f"{a.dtype}, recompute {'on' if a.recompute else 'off'}, {a.rounds} rounds")
    print(f"{'':11} {'tokens/s, fastest':>25} {'median':>19} {'peak MB':>18} {'less imports':>12}")
    print(f"{'':11} {'PEFT':>10} {'bone':>7} {'ratio':>6} {'PEFT':>6} {'bone':>6} {'ratio':>5} "
          f"{'PEFT':>6} {'bone':>6} {'ratio':>4} {'ratio':>12}")
    miss = None
    for method, (theirs, ours) in runs.items():
        def speeds(found):
            seconds = [run["seconds_per_step"] for run in found]
            return tokens / min(seconds), tokens / statistics.median(seconds)
        best, median = speeds(ours)
        memory = max(run["peak_resident_mb"] for run in ours)
        if method == "miss":
            miss = best, median
        if theirs:
            their_best, their_median = speeds(theirs)
            their_memory = max(run["peak_resident_mb"] for run in theirs)
            own_memory = their_memory - max(run["imported_mb"] for run in theirs)
            print(f"{method:11} {their_best:10.0f} {best:7.0f} {best / their_best:6.2f} "
                  f"{their_median:6.0f} {median:6.0f} {median / their_median:5.2f} "
                  f"{their_memory:6.0f} {memory:6.0f} {memory / their_memory:4.2f} "
                  f"{memory / own_memory:12.2f}")
        else:
            of_miss = f"{best / miss[0]:.2f} and {median / miss[1]:.2f} of miss" if miss else ""
            print(f"{method:11} {'':10} {best:7.0f} {'':6} {'':6} {median:6.0f} {'':5} {'':6} "
                  f"{memory:6.0f} {'':4} {'':12}  {of_miss}")


if __name__ == "__main__":
    main()
