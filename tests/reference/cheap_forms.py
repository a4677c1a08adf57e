"""The adapters' cheap forms: the product with the effective weight without forming it.

x [..., in], W [out, in] as checkpoints store it, r the block size. The effective weights are in
effective_weight.py, and rwkv6_fixtures.py writes no record on which the two differ.
"""

import torch
from torch.nn import functional as F


def miss(x, weight, shards):
    """D [r, out]: y = W x + S D with S the sum of x over its blocks; r divides in."""
    return F.linear(x, weight) + x.unflatten(-1, (-1, shards.shape[0])).sum(-2) @ shards


def bone_input(x, weight, blocks):
    """B [in/r, r, r]: z_k = B[k] x_k, y = W (x + z) with the sum of all z_k added to every block of y."""
    r = blocks.shape[-1]
    z = torch.einsum("...kj,kij->...ki", x.unflatten(-1, (-1, r)), blocks)
    tiled = z.sum(-2).repeat(*[1] * (x.dim() - 1), weight.shape[0] // r)
    return F.linear(x + z.flatten(-2), weight) + tiled


CHEAP_FORMS = {"miss": miss, "bat-row": bone_input}
