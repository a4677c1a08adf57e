"""The table of a card: bone, miss and LoRA beside PEFT, and RWKV6 beside LLaMA, of 7B shapes in bf16.

    python on_card.py --device cuda [--sizes 7b] [--batches 1x512 4x512 1x2048 4x2048] [--out FILE]

With a Python that has torch, transformers and peft, and `bone` built for the card in release: `cargo build
--release --features cuda` here, or BONE=/path/to/bone. Everything of a batch runs in one go on the one
card, each step in a process of its own; recompute and PEFT's checkpointing off and on. What does not fit
is a line of its own. Every run as it printed itself, with versions, goes to benches/results/.

Tried without a card: `--device vulkan --dtype f32 --sizes tiny --batches 1x32 --steps 1 --methods miss`; PEFT runs on
the processor then, so that no ratio means anything.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BONE = os.environ.get("BONE", HERE.parents[1] / "target" / "release" / "bone")
METHODS = ["miss", "bone", "lora"]
# LoRA of rank 36 trains as many parameters as miss of 64 at these proportions.
RANKS = {"7b": {"miss": 64, "bone": 64, "lora": 36}, "tiny": {"miss": 8, "bone": 8, "lora": 4}}
SIZES = {
    "7b": {"hidden-size": 4096, "intermediate-size": 11008, "layers": 32, "heads": 32, "vocab-size": 32000},
    "tiny": {"hidden-size": 64, "intermediate-size": 96, "layers": 1, "heads": 2, "vocab-size": 96},
}
# RWKV6-7B as it was published: 4096 × 32, heads of 64, 14,336 inside.
RWKV6 = {
    "7b": {"hidden-size": 4096, "intermediate-size": 14336, "layers": 32, "heads": 64, "vocab-size": 65536},
    "tiny": {"hidden-size": 64, "intermediate-size": 96, "layers": 1, "heads": 2, "vocab-size": 96},
}


def arguments(sizes):
    return [word for name, size in sizes.items() for word in (f"--{name}", str(size))]


def run(command, limit):
    """What a process printed, or why it printed nothing."""
    started = time.time()
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {limit} s"}
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "rror" in line and "XDG" not in line]
        return {"failed": (lines or ["no error was said"])[-1][:300]}
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return {**found, "process_seconds": time.time() - started}


def write_llama(folder, sizes, dtype):
    """A random LLaMA for both sides, made once."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    config = LlamaConfig(
        hidden_size=sizes["hidden-size"], intermediate_size=sizes["intermediate-size"],
        num_hidden_layers=sizes["layers"], num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["heads"], vocab_size=sizes["vocab-size"],
        max_position_embeddings=4096, tie_word_embeddings=False)
    torch.manual_seed(0)
    # On the processor, in its own precision at once: the card's memory is for what is measured.
    torch.set_default_dtype({"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}[dtype])
    LlamaForCausalLM(config).save_pretrained(folder)
    torch.set_default_dtype(torch.float32)


def bone(a, method, batch, length, recompute, model):
    rank = RANKS[a.sizes][method]
    return run([BONE, "bench", "train", "--json", "--device", a.device, "--method", method, *model,
                "--dtype", a.dtype, "--rank", rank, "--batch-size", batch, "--max-seq-len", length,
                "--recompute", str(recompute).lower(), "--steps", a.steps, "--warmup", 2], a.limit)


def peft(a, method, batch, length, recompute, folder):
    device = a.device if a.device.startswith("cuda") else "cpu"
    # Only the card's torch is measured in half precision.
    dtype = a.dtype if a.device.startswith("cuda") and a.dtype != "f16" else "f32"
    return run([sys.executable, HERE / "peft_step.py", "--method", method, "--model", folder, "--device", device,
                "--dtype", dtype, "--rank", RANKS[a.sizes][method], "--batch", batch, "--len", length,
                "--warmup", 2, "--steps", a.steps, *(["--checkpointing"] if recompute else [])], a.limit)


def versions():
    told = subprocess.run([BONE, "--version"], capture_output=True, text=True).stdout.strip()
    commit = subprocess.run(["git", "-C", HERE, "rev-parse", "HEAD"], capture_output=True, text=True)
    return {"bone": told, "commit": commit.stdout.strip() or None}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--device", default="cuda")
    p.add_argument("--sizes", choices=SIZES, default="7b")
    p.add_argument("--batches", nargs="+", default=["1x512", "4x512", "1x2048", "4x2048"])
    p.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    p.add_argument("--recompute", nargs="+", choices=["on", "off"], default=["on", "off"])
    p.add_argument("--dtype", choices=["bf16", "f16", "f32"], default="bf16")
    p.add_argument("--steps", type=int, default=5)
    p.add_argument("--limit", type=int, default=900, help="seconds of one process")
    p.add_argument("--out", type=Path)
    a = p.parse_args()
    if not Path(BONE).is_file():
        sys.exit(f"{BONE} is not there: cargo build --release --features cuda, or BONE=/path/to/bone")
    batches = []
    for batch in a.batches:
        rows, cross, length = batch.partition("x")
        if not (cross and rows.isdigit() and length.isdigit()):
            sys.exit(f"--batches: {batch} is not ROWSxTOKENS, as 4x512 is")
        batches.append((int(rows), int(length)))

    name = f"{a.sizes}-{a.device.replace(':', '-')}-{a.dtype}.json"
    out = a.out or HERE.parent / "results" / name
    out.parent.mkdir(parents=True, exist_ok=True)
    found = {"arguments": {**vars(a), "out": None}, "versions": versions(), "runs": []}
    head = ("model", "method", "batch", "recompute", "PEFT tok/s", "bone tok/s", "ratio", "PEFT MB", "bone MB", "ratio")
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")

    def record(model, method, rows, length, recompute, theirs, ours):
        found["runs"].append({"model": model, "method": method, "batch_size": rows, "max_seq_len": length,
                              "recompute": recompute, "peft": theirs, "bone": ours})
        out.write_text(json.dumps(found, indent=1) + "\n")

        def figure(of, key):
            return "" if of is None else "-" if "failed" in of else f"{of[key] or 0:.0f}"

        def ratio(key):
            if theirs is None or "failed" in theirs or "failed" in ours or not theirs[key]:
                return ""
            return f"{ours[key] / theirs[key]:.2f}"
        cells = [model, method, f"{rows} × {length}", recompute, figure(theirs, "tokens_per_second"),
                 figure(ours, "tokens_per_second"), ratio("tokens_per_second"), figure(theirs, "device_reserved_mb"),
                 figure(ours, "device_reserved_mb"), ratio("device_reserved_mb")]
        print("| " + " | ".join(cells) + " |", flush=True)
        for side, of in (("PEFT", theirs), ("bone", ours)):
            if of and "failed" in of:
                print(f"  {side}: {of['failed']}", flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "llama"
        write_llama(folder, SIZES[a.sizes], a.dtype)
        for rows, length in batches:
            for recompute in a.recompute:
                on = recompute == "on"
                for method in a.methods:
                    theirs = peft(a, method, rows, length, on, folder)
                    ours = bone(a, method, rows, length, on, ["--model", folder])
                    record("LLaMA", method, rows, length, recompute, theirs, ours)
                rwkv6 = ["--arch", "rwkv6", *arguments(RWKV6[a.sizes])]
                ours = bone(a, "miss", rows, length, on, rwkv6)
                record("RWKV6", "miss", rows, length, recompute, None, ours)
    print(f"every run is in {out}")


if __name__ == "__main__":
    main()
