"""Torch's and PEFT's times of what our criterion benches time, milliseconds, forward and then backward.

    python operations.py

`cargo bench -p bone-lm --bench operations` and `cargo bench -p bone --bench adapters` print ours.
"""

import statistics
import time

import torch
from peft import LoraConfig, MissConfig, get_peft_model
from torch import nn

ROWS, HIDDEN, INTERMEDIATE, VOCAB = 1024, 768, 2048, 32000


def timed(name, forward, inputs):
    """`forward` of leaves, and the backward of a gradient of ones, which is there before."""
    with torch.no_grad():
        ones = torch.ones_like(forward(*inputs))
    seconds = []
    for _ in range(12):
        leaves = [x.detach().requires_grad_(x.is_floating_point()) for x in inputs]
        started = time.perf_counter()
        forward(*leaves).backward(ones)
        seconds.append(time.perf_counter() - started)
    print(f"{name:28} {1e3 * statistics.median(seconds[2:]):8.2f} ms")


def rotated(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


def shifted(x, *by_data):
    before = nn.functional.pad(x, (0, 0, 1, -1)) - x
    return torch.stack([x + before * (0.5 + mix) for mix in by_data])


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(HIDDEN, INTERMEDIATE, bias=False)

    def forward(self, x):
        return self.proj(x)


def main():
    x = torch.randn(ROWS, HIDDEN)
    norm = nn.RMSNorm(HIDDEN, 1e-5).requires_grad_(False)
    timed("rms_norm", norm, [x])
    timed("layer_norm", nn.LayerNorm(HIDDEN).requires_grad_(False), [x])
    timed("group_norm of 12", nn.GroupNorm(12, HIDDEN).requires_grad_(False), [x])
    wide = [torch.randn(ROWS, INTERMEDIATE) for _ in range(2)]
    timed("swiglu", lambda gate, up: nn.functional.silu(gate) * up, wide)
    timed("sigmoid gate", lambda gate, up: torch.sigmoid(gate) * up, wide)
    timed("squared relu", lambda x: torch.relu(x) ** 2, wide[:1])
    timed("tanh", torch.tanh, wide[:1])
    by_data = [torch.randn(4, 256, HIDDEN) for _ in range(5)]
    timed("token shift, five mixes", shifted, [torch.randn(4, 256, HIDDEN), *by_data])
    cos, sin = torch.randn(256, 64), torch.randn(256, 64)
    timed("rotary positions", lambda x: rotated(x, cos, sin), [torch.randn(4, 12, 256, 64)])
    for name, kv_heads, length in (("attention, 256 tokens", 12, 256), ("attention, 1024 tokens", 12, 1024),
                                   ("attention, 4 heads of keys", 4, 256)):
        q, k, v = (torch.randn(1024 // length, heads, length, 64) for heads in (12, kv_heads, kv_heads))
        attention = nn.functional.scaled_dot_product_attention
        timed(name, lambda q, k, v: attention(q, k, v, is_causal=True, enable_gqa=kv_heads < 12), [q, k, v])
    targets = torch.arange(256) * 97 % VOCAB
    timed("cross-entropy of 256",
          lambda logits: nn.functional.cross_entropy(logits, targets, reduction="none"),
          [torch.randn(256, VOCAB)])
    for fused in (False, True):
        weight = nn.Parameter(torch.randn(HIDDEN, INTERMEDIATE))
        weight.grad = torch.randn(HIDDEN, INTERMEDIATE)
        adamw = torch.optim.AdamW([weight], lr=1e-4, fused=fused)
        seconds = []
        for _ in range(12):
            started = time.perf_counter()
            nn.utils.clip_grad_norm_([weight], 1.0)
            adamw.step()
            seconds.append(time.perf_counter() - started)
        name = "adamw and norm" + (", fused" if fused else "")
        print(f"{name:28} {1e3 * statistics.median(seconds[2:]):8.2f} ms")
    for name, config in (
        ("bone, output axis (bat)", MissConfig(r=64, init_weights="bat", target_modules=["proj"])),
        ("miss", MissConfig(r=64, target_modules=["proj"])),
        ("lora, rank 36", LoraConfig(r=36, lora_alpha=36, target_modules=["proj"])),
        ("no adapter", None),
    ):
        layer = Layer().requires_grad_(False)
        timed(name, get_peft_model(layer, config) if config else layer, [x])


if __name__ == "__main__":
    main()
