"""A training step of PEFT on a random LLaMA or of plain torch for full fine-tuning, timed.

    python peft_step.py --method miss --dtype f32

Prints one line of JSON: the median, fastest and slowest step after warming up, tokens a second of the
median, and the largest resident memory, also that before any model was there; on a card what torch has
allocated and reserved of it at most. Methods: bone (PEFT's `bat`, bone on the output axis), miss, lora,
full. `--checkpointing` is transformers' own gradient checkpointing; attention is torch's sdpa.
"""

import argparse
import json
import resource
import statistics
import time

import peft
import torch
import transformers
from peft import LoraConfig, MissConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


IMPORTED_MB = peak_mb()
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def model(a):
    if a.model:
        base = LlamaForCausalLM.from_pretrained(
            a.model, dtype=DTYPES[a.dtype], device_map=a.device, attn_implementation="sdpa")
        base.config.use_cache = False
        return adapted(a, base)
    config = LlamaConfig(
        hidden_size=a.hidden_size,
        intermediate_size=a.intermediate_size,
        num_hidden_layers=a.layers,
        num_attention_heads=a.heads,
        num_key_value_heads=a.heads,
        vocab_size=a.vocab_size,
        max_position_embeddings=max(2048, a.len),
        tie_word_embeddings=False,
        use_cache=False,
    )
    torch.manual_seed(0)
    with torch.device(a.device):
        return adapted(a, LlamaForCausalLM(config).to(DTYPES[a.dtype]))


def adapted(a, base):
    if a.checkpointing:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if a.method == "full":
        return base.train()
    if a.method == "lora":
        # dropout 0 and alpha = r, as ours.
        adapter = LoraConfig(r=a.rank, lora_alpha=a.rank, lora_dropout=0.0, target_modules=PROJECTIONS)
    else:
        start = "bat" if a.method == "bone" else True
        adapter = MissConfig(r=a.rank, init_weights=start, target_modules=PROJECTIONS)
    return get_peft_model(base, adapter, autocast_adapter_dtype=True).train()


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--method", choices=["bone", "miss", "lora", "full"], default="miss")
    p.add_argument("--dtype", choices=DTYPES, default="f32")
    p.add_argument("--hidden-size", type=int, default=768)
    p.add_argument("--intermediate-size", type=int, default=2048)
    p.add_argument("--layers", type=int, default=12)
    p.add_argument("--heads", type=int, default=12)
    p.add_argument("--vocab-size", type=int, default=32000)
    p.add_argument("--rank", type=int, default=64)
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--len", type=int, default=256)
    p.add_argument("--warmup", type=int, default=1)
    p.add_argument("--steps", type=int, default=3)
    p.add_argument("--threads", type=int)
    p.add_argument("--checkpointing", action="store_true")
    p.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    p.add_argument("--model", help="a folder of a LLaMA instead of a random one of the sizes")
    a = p.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)

    on_card = a.device != "cpu"
    net = model(a)
    a.vocab_size = net.config.vocab_size
    trained = [x for x in net.parameters() if x.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0)
    # One token more than are trained on, as ours: the last has nothing after it.
    tokens = torch.arange(a.batch * (a.len + 1)).mul(7919).remainder(a.vocab_size).view(a.batch, -1)
    tokens = tokens.to(a.device)
    seconds = []
    for step in range(a.warmup + a.steps):
        started = time.perf_counter()
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        logits = net(input_ids=inputs).logits
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        # It waits for the card.
        loss = loss.item()
        if step >= a.warmup:
            seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds)
    print(json.dumps({
        "seconds_per_step": median,
        "fastest": min(seconds),
        "slowest": max(seconds),
        "tokens_per_second": a.batch * a.len / median,
        "peak_resident_mb": peak_mb(),
        "imported_mb": IMPORTED_MB,
        "loss": loss,
        "trained_parameters": sum(x.numel() for x in trained),
        "device": torch.cuda.get_device_name(a.device) if on_card else "cpu",
        "device_allocated_mb": torch.cuda.max_memory_allocated(a.device) / 1e6 if on_card else None,
        "device_reserved_mb": torch.cuda.max_memory_reserved(a.device) / 1e6 if on_card else None,
        "matmul": f"torch {torch.__version__}, {torch.get_num_threads()} threads",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__,
                     "peft": peft.__version__},
    }))


if __name__ == "__main__":
    main()
