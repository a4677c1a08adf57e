"""RWKV6 (x060) in eager torch: the slow, obvious form, one token of the recurrence at a time.

Written from the formulas and kept apart from every library, so that the fixtures and the CPU
benchmark (train/cli/benches/rwkv6_eager.py) share one model. It computes in the precision of
the weights it is given; the decay and the recurrence in f32 at least.

Shapes: B rows, T tokens, C hidden size, H heads of N channels (C = H N), F feed-forward width, V
vocabulary. The recurrence of one head has the state S [N key, N value]:

    y_t[j] = sum_i r_t[i] (u[i] k_t[i] v_t[j] + S[i, j])
    S[i, j] <- exp(-exp(w_t[i])) S[i, j] + k_t[i] v_t[j]

A trained starting state, `blocks.N.att.time_state`, is [H, value, key] as in RWKV's files: the
transpose of S.
"""

from typing import NamedTuple

import torch
from torch.nn import functional as F

LINEAR_LAYERS = [f"att.{name}" for name in ["receptance", "key", "value", "gate", "output"]]
LINEAR_LAYERS += [f"ffn.{name}" for name in ["key", "receptance", "value"]]
NORM_EPS = 1e-5
GROUP_NORM_EPS = 64e-5


class BlockState(NamedTuple):
    """What a block hands on to the next token."""

    att_shift: torch.Tensor  # [B, C], the last input of the attention
    wkv: torch.Tensor  # [B, H, key, value]
    ffn_shift: torch.Tensor  # [B, C], the last input of the feed-forward


class Rwkv6:
    """`weights` maps RWKV's names to tensors; every size is read off them.

    `linear(path, x)` stands in for the linear layers, which is how adapters come in; by default
    it multiplies with `path + ".weight"`, [out, in].
    """

    def __init__(self, weights, linear=None):
        self.weights = weights
        self.linear = linear or (lambda path, x: F.linear(x, weights[f"{path}.weight"]))
        self.num_layers = 1 + max(int(n.split(".")[1]) for n in weights if n.startswith("blocks."))
        self.num_heads, self.head_size = weights["blocks.0.att.time_faaaa"].shape

    def __call__(self, tokens, state=None):
        """tokens [B, T] -> logits [B, T, V] and the state after them; `state` has one BlockState a block,
        None starts afresh.
        """
        state = state or [self.start(i, len(tokens)) for i in range(self.num_layers)]
        x = self.norm("blocks.0.ln0", self.weights["emb.weight"][tokens])
        after = []
        for i, (att_shift, wkv, ffn_shift) in enumerate(state):
            normed = self.norm(f"blocks.{i}.ln1", x)
            mixed, wkv = self.attention(f"blocks.{i}.att", normed, att_shift, wkv)
            x = x + mixed
            att_shift, normed = normed[:, -1], self.norm(f"blocks.{i}.ln2", x)
            x = x + self.feed_forward(f"blocks.{i}.ffn", normed, ffn_shift)
            after.append(BlockState(att_shift, wkv, normed[:, -1]))
        return F.linear(self.norm("ln_out", x), self.weights["head.weight"]), after

    def start(self, layer, batch):
        """Zeros, or `time_state` where the model has one."""
        time_state = self.weights.get(f"blocks.{layer}.att.time_state")
        like = self.weights["emb.weight"]
        shift = like.new_zeros(batch, like.shape[1])
        if time_state is None:
            wkv = like.new_zeros(batch, self.num_heads, self.head_size, self.head_size)
        else:
            wkv = time_state.transpose(-1, -2).expand(batch, -1, -1, -1)
        return BlockState(shift, wkv, shift)

    def attention(self, path, x, carried, wkv):
        def weight(name):
            return self.weights[f"{path}.{name}"]

        (rows, length, hidden), heads = x.shape, (*x.shape[:2], self.num_heads, self.head_size)
        delta = previous(x, carried) - x
        mix = torch.tanh((x + delta * weight("time_maa_x")) @ weight("time_maa_w1"))
        mix = mix.view(rows * length, 5, -1).transpose(0, 1) @ weight("time_maa_w2")
        shifted = {
            c: x + delta * (weight(f"time_maa_{c}") + m.view_as(x)) for c, m in zip("wkvrg", mix)
        }
        r = self.linear(f"{path}.receptance", shifted["r"]).view(heads)
        k = self.linear(f"{path}.key", shifted["k"]).view(heads)
        v = self.linear(f"{path}.value", shifted["v"]).view(heads)
        gate = F.silu(self.linear(f"{path}.gate", shifted["g"]))
        w = torch.tanh(shifted["w"] @ weight("time_decay_w1")) @ weight("time_decay_w2")
        w = (weight("time_decay") + w).view(heads)
        y, wkv = wkv6(r, k, v, w, weight("time_faaaa"), wkv)
        y = y.reshape(rows * length, hidden).to(x.dtype)
        y = F.group_norm(y, self.num_heads, weight("ln_x.weight"), weight("ln_x.bias"), GROUP_NORM_EPS)
        return self.linear(f"{path}.output", y.view_as(x) * gate), wkv

    def feed_forward(self, path, x, carried):
        delta = previous(x, carried) - x
        key = self.linear(f"{path}.key", x + delta * self.weights[f"{path}.time_maa_k"])
        gate = self.linear(f"{path}.receptance", x + delta * self.weights[f"{path}.time_maa_r"])
        return torch.sigmoid(gate) * self.linear(f"{path}.value", torch.relu(key) ** 2)

    def norm(self, path, x):
        weight, bias = self.weights[f"{path}.weight"], self.weights[f"{path}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias, NORM_EPS)


def previous(x, carried):
    """Each token's predecessor; `carried` [B, C] is the first one's."""
    return torch.cat([carried[:, None], x[:, :-1]], dim=1)


def wkv6(r, k, v, w, u, state):
    """The recurrence: r, k, v, w [B, T, H, N], u [H, N], state [B, H, key, value].

    Returns y [B, T, H, N] and the state after the last token.
    """
    wide = torch.promote_types(r.dtype, torch.float32)
    r, k, v, w, u, state = (t.to(wide) for t in (r, k, v, w, u, state))
    decay = torch.exp(-torch.exp(w))
    outputs = []
    # unbind, not [:, t]: the gradient of an index is a tensor of zeros as long as the sequence.
    for r_t, k_t, v_t, d_t in zip(r.unbind(1), k.unbind(1), v.unbind(1), decay.unbind(1)):
        kv = k_t[..., None] * v_t[..., None, :]
        outputs.append((r_t[..., None, :] @ (u[..., None] * kv + state))[..., 0, :])
        state = d_t[..., None] * state + kv
    return torch.stack(outputs, dim=1), state


@torch.no_grad()
def greedy(model, prompt, count):
    """The `count` most likely tokens after `prompt` [T], one at a time with carried state.

    Returns them and by how much the best logit led the second at each.
    """
    logits, state = model(prompt[None])
    found, leads = [], []
    for _ in range(count):
        best = logits[0, -1].topk(2)
        found.append(best.indices[0])
        leads.append((best.values[0] - best.values[1]).item())
        logits, state = model(found[-1].view(1, 1), state)
    return torch.stack(found), leads
