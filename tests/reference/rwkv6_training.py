"""Adapters on rwkv6_model.py as effective weights, and their training by torch's AdamW."""

import torch
from torch.nn import functional as F

from effective_weight import METHODS, masked_loss
from rwkv6_model import LINEAR_LAYERS


def new_adapter(weights, method, r):
    """Zero tensors for all linear layers of all blocks: `blocks.0.att.key` -> tensor, in name order."""
    blocks = sorted({name.split(".")[1] for name in weights if name.startswith("blocks.")}, key=int)
    adapter = {}
    for path in sorted(f"blocks.{i}.{name}" for i in blocks for name in LINEAR_LAYERS):
        weight = weights[f"{path}.weight"]
        outputs, inputs = weight.shape
        shape = {"miss": (r, outputs), "bat-row": (inputs // r, r, r), "bat-col": (outputs // r, r, r)}
        adapter[path] = weight.new_zeros(shape[method]).requires_grad_()
    return adapter


def adapted(weights, method, adapter):
    """The `linear` of an Rwkv6 whose adapted weights are replaced by their effective weights."""

    def linear(path, x):
        weight = weights[f"{path}.weight"]
        return F.linear(x, METHODS[method](weight, adapter[path]) if path in adapter else weight)

    return linear


def train(logits, trained, batches, loss_weights, settings):
    """Train the tensors of `trained`, on which logits(tokens) depends, one batch a step.

    AdamW at a constant rate, no clipping. Returns the losses and global gradient norms, both before
    each step's update, and the first gradients.
    """
    options = {key: settings[key] for key in ["lr", "betas", "eps", "weight_decay"]}
    optimizer = torch.optim.AdamW(trained.values(), **options)
    losses, norms, grad0 = [], [], None
    for tokens, weights in zip(batches, loss_weights):
        loss = masked_loss(logits(tokens), tokens, weights)
        loss.backward()
        losses.append(loss.item())
        norms.append(sum(p.grad.double().pow(2).sum() for p in trained.values()).sqrt().item())
        grad0 = grad0 or {name: p.grad.clone() for name, p in trained.items()}
        optimizer.step()
        optimizer.zero_grad()
    return losses, norms, grad0
