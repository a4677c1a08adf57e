"""Greedy generation by bone and by transformers, in turn on one machine, and the ratios.

    python generate.py [--rounds 3] [--dtype f32]

A random LLaMA of 768 × 12, vocabulary 32,000; prompts of 64 tokens continued by 64, one at a time and 16
together. A round runs transformers and then bone, each in a process of its own with a warm-up; printed are
new tokens a second of the fastest and the median round. Needs what run.py needs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def transformers(a, batch):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(hidden_size=768, intermediate_size=2048, num_hidden_layers=12,
                         num_attention_heads=12, vocab_size=32000, max_position_embeddings=2048,
                         tie_word_embeddings=False)
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).to(getattr(torch, a.torch_dtype)).eval()
    tokens = torch.arange(batch * a.prompt_len).mul(7919).remainder(32000).view(batch, -1)
    seconds = []
    with torch.inference_mode():
        for _ in range(2):
            started = time.perf_counter()
            model.generate(tokens, attention_mask=torch.ones_like(tokens), do_sample=False,
                           min_new_tokens=a.new, max_new_tokens=a.new, pad_token_id=0)
            seconds.append(time.perf_counter() - started)
    print(batch * a.new / seconds[-1])


def run_transformers(a, batch):
    command = [sys.executable, __file__, "--one", str(batch), "--dtype", a.dtype]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


def run_bone(a, batch):
    binary = os.environ.get("BONE", HERE.parents[1] / "target" / "release" / "bone")
    command = [binary, "bench", "generate", "--json", "--device", "cpu", "--rounds", "1", "--dtype", a.dtype,
               "--intermediate-size", "2048",
               "--batch-size", str(batch), "--prompt-len", str(a.prompt_len), "--max-new-tokens", str(a.new)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)["tokens_per_second"]


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    p.add_argument("--one", type=int, help=argparse.SUPPRESS)
    a = p.parse_args()
    a.prompt_len, a.new = 64, 64
    a.torch_dtype = {"f32": "float32", "bf16": "bfloat16"}[a.dtype]
    if a.one:
        return transformers(a, a.one)
    runs = {batch: ([], []) for batch in (1, 16)}
    for _ in range(a.rounds):
        for batch, (theirs, ours) in runs.items():
            theirs.append(run_transformers(a, batch))
            ours.append(run_bone(a, batch))
    print(f"{a.dtype}, new tokens/s, {a.rounds} rounds")
    print(f"{'batch':>5} {'transformers':>13} {'bone':>7} {'ratio':>6} {'median':>7} {'bone':>7} {'ratio':>6}")
    for batch, (theirs, ours) in runs.items():
        t, o = statistics.median(theirs), statistics.median(ours)
        print(f"{batch:5} {max(theirs):13.1f} {max(ours):7.1f} {max(ours) / max(theirs):6.2f} "
              f"{t:7.1f} {o:7.1f} {o / t:6.2f}")


if __name__ == "__main__":
    main()
