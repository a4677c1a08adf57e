"""Rates of the products of a training step in torch, GFLOP/s: what `cargo bench -p bone --bench
product` prints of ours.

    python product.py
"""

import time

import torch

ROWS = 1024
SHAPES = [(768, 768), (768, 2048), (2048, 768), (768, 32000), (2048, 2048)]


def rate(flops, run):
    run()
    fastest = float("inf")
    for _ in range(int(min(40, max(3, 3e10 / flops)))):
        started = time.perf_counter()
        run()
        fastest = min(fastest, time.perf_counter() - started)
    return flops / fastest / 1e9


def main():
    print(f"{'in × out':14} {'y':>8} {'dx':>8} {'dW':>8}")
    for d_input, d_output in SHAPES:
        x, weight = torch.randn(ROWS, d_input), torch.randn(d_output, d_input)
        grad = torch.randn(ROWS, d_output)
        flops = 2 * ROWS * d_input * d_output
        rates = [rate(flops, run) for run in
                 (lambda: x @ weight.T, lambda: grad @ weight, lambda: grad.T @ x)]
        print(f"{f'{d_input} × {d_output}':14} " + " ".join(f"{r:8.0f}" for r in rates))


if __name__ == "__main__":
    main()
