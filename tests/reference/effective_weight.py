"""The methods written out as effective weights in plain torch, block by block.

This is the slow, obvious form, kept apart from every library: the fixtures that
PEFT writes are replayed with it in double precision (`replay`), so that a golden
record stands on two implementations and not on one.

W is `[out, in]` as checkpoints store it, r the block size, W[o,k] the r x r block
in block-row o and block-column k.

    bat      B [out/r, r, r]   W'[o,k] = W[o,k] + W[o,k] B[o] + B[o]
    bat-row  B [in/r, r, r]    W'[o,k] = W[o,k] + W[o,k] B[k] + B[k]
    miss     D [r, out]        W'[o,i] = W[o,i] + D[i mod r, o]
    mini     M [r, m]          miss with D[j,o] = M[j, o mod m]

"bat" is what `bone` calls bone on the output axis, and the RWKV6 records "bat-col"; "bat-row" is
bone on the input axis.
"""

import torch
from torch.func import functional_call


def bat(weight, blocks):
    r = blocks.shape[-1]
    rows = []
    for o, b in enumerate(blocks):
        row = []
        for k in range(weight.shape[1] // r):
            w = weight[o * r : (o + 1) * r, k * r : (k + 1) * r]
            row.append(w + w @ b + b)
        rows.append(torch.cat(row, dim=1))
    return torch.cat(rows, dim=0)


def bat_row(weight, blocks):
    r = blocks.shape[-1]
    columns = []
    for k, b in enumerate(blocks):
        column = []
        for o in range(weight.shape[0] // r):
            w = weight[o * r : (o + 1) * r, k * r : (k + 1) * r]
            column.append(w + w @ b + b)
        columns.append(torch.cat(column, dim=0))
    return torch.cat(columns, dim=1)


def miss(weight, shards):
    column = torch.arange(weight.shape[1]) % shards.shape[0]
    return weight + shards[column].T


def mini(weight, shards):
    output = torch.arange(weight.shape[0]) % shards.shape[1]
    return miss(weight, shards[:, output])


METHODS = {"bat": bat, "bat-col": bat, "bat-row": bat_row, "miss": miss, "mini": mini}


def adapted_logits(model, method, adapter, tokens):
    """Logits of `model` with every adapted weight replaced by its effective weight.

    `adapter` maps a module path (`model.layers.0.mlp.up_proj`) to its tensor.
    """
    weights = dict(model.named_parameters())
    replaced = {
        f"{path}.weight": METHODS[method](weights[f"{path}.weight"], tensor)
        for path, tensor in adapter.items()
    }
    return functional_call(model, replaced, (tokens,)).logits


def masked_loss(logits, tokens, loss_weights):
    """Mean cross-entropy over the targets whose weight is 1; position t predicts token t + 1."""
    log_p = torch.log_softmax(logits[:, :-1], dim=-1)
    nll = -log_p.gather(-1, tokens[:, 1:, None])[..., 0]
    kept = loss_weights[:, 1:].to(nll.dtype)
    return (nll * kept).sum() / kept.sum()


def replay(run, adapter, batches, loss_weights, settings):
    """Train `adapter` (path -> zero tensor) with AdamW written out by hand.

    `run(adapter, tokens)` gives the logits.

    Returns losses, global gradient norms, the first gradients and the final adapter.
    """
    beta1, beta2 = settings["betas"]
    adapter = {path: tensor.clone().requires_grad_() for path, tensor in adapter.items()}
    first = {path: torch.zeros_like(tensor) for path, tensor in adapter.items()}
    second = {path: torch.zeros_like(tensor) for path, tensor in adapter.items()}
    losses, norms, grad0 = [], [], None
    for step, (tokens, weights) in enumerate(zip(batches, loss_weights), start=1):
        loss = masked_loss(run(adapter, tokens), tokens, weights)
        grads = dict(zip(adapter, torch.autograd.grad(loss, list(adapter.values()))))
        grad0 = grad0 or grads
        losses.append(loss.item())
        norms.append(sum(g.pow(2).sum() for g in grads.values()).sqrt().item())
        with torch.no_grad():
            for path, p in adapter.items():
                first[path] = beta1 * first[path] + (1 - beta1) * grads[path]
                second[path] = beta2 * second[path] + (1 - beta2) * grads[path] ** 2
                m = first[path] / (1 - beta1**step)
                v = second[path] / (1 - beta2**step)
                p.mul_(1 - settings["lr"] * settings["weight_decay"])
                p.sub_(settings["lr"] * m / (v.sqrt() + settings["eps"]))
    return losses, norms, grad0, {path: p.detach() for path, p in adapter.items()}
