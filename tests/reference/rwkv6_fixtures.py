"""Makes the RWKV6 fixtures in tests/fixtures: two tiny models, three trained adapters, a trained state.

    python rwkv6_fixtures.py [--out DIR] [--check]

The options are those of llama_fixtures.py.

The models are random; rwkv6_model.py computes everything in f64, and the records are stored in
f32. Before a record of an adapter is written it is computed again another way: the logits by the
cheap form, the training with AdamW written out by hand. Nothing is downloaded, two runs on one
machine write the same bytes, and check_rwkv6.py compares the same model with one that others trained.
"""

import json
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from cheap_forms import CHEAP_FORMS
from effective_weight import replay
from llama_fixtures import BOS, CHARACTERS, PROMPT, SPECIALS, main, tokenizer, training_batches
from rwkv6_model import Rwkv6, greedy
from rwkv6_training import adapted, new_adapter, train

VOCAB = len(SPECIALS) + len(CHARACTERS)
TINY = {"hidden": 24, "head": 8, "ffn": 40, "layers": 3, "shift_width": 4, "decay_width": 6}
HEAD12 = {"hidden": 24, "head": 12, "ffn": 50, "layers": 2, "shift_width": 5, "decay_width": 7}

# As the remote code of RWKV's HF models writes it. `num_attention_heads` is the 64 that stands in
# their files whatever the model (the code divides by head_size), and rescale_every concerns f16 only.
HEAD12_CONFIG = {
    "architectures": ["Rwkv6ForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_rwkv6.Rwkv6Config",
        "AutoModelForCausalLM": "modeling_rwkv6.Rwkv6ForCausalLM",
    },
    "attention_hidden_size": HEAD12["hidden"],
    "bos_token_id": 0,
    "eos_token_id": 0,
    "head_size": HEAD12["head"],
    "head_size_divisor": 8,
    "hidden_size": HEAD12["hidden"],
    "intermediate_size": HEAD12["ffn"],
    "layer_norm_epsilon": 1e-05,
    "model_type": "rwkv6",
    "num_attention_heads": 64,
    "num_hidden_layers": HEAD12["layers"],
    "rescale_every": 6,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.34.0",
    "use_cache": True,
    "vocab_size": VOCAB,
}

STEPS, ROWS, LENGTH = 20, 2, 18
OPTIMIZER = {"betas": [0.9, 0.99], "eps": 1e-08, "weight_decay": 0.0}
ADAPTERS = {
    "miss-r8": {"method": "miss", "r": 8, "lr": 0.005},
    "bone-input-r8": {"method": "bat-row", "r": 8, "lr": 0.005},
    "bone-output-r8": {"method": "bat-col", "r": 8, "lr": 0.005},
}
STATE = {"method": "state", "lr": 0.05}
NOTES = {
    "adapter": "adapter shapes: miss [r,out], bat-col [out/r,r,r], bat-row [in/r,r,r]; "
    "loss = mean over targets whose loss_weights is 1",
    "state": "time_state [head,value,key], from zero; loss = mean over targets whose loss_weights is 1",
}


def shapes(hidden, head, ffn, layers, shift_width, decay_width):
    """RWKV's names and shapes."""
    found = {"emb.weight": (VOCAB, hidden), "head.weight": (VOCAB, hidden)}
    norms = ["ln_out", "blocks.0.ln0"]
    for i in range(layers):
        att, ffn_path = f"blocks.{i}.att", f"blocks.{i}.ffn"
        norms += [f"blocks.{i}.ln1", f"blocks.{i}.ln2", f"{att}.ln_x"]
        found |= {f"{att}.time_maa_{c}": (1, 1, hidden) for c in "xwkvrg"}
        found |= {f"{ffn_path}.time_maa_{c}": (1, 1, hidden) for c in "kr"}
        found |= {
            f"{att}.time_maa_w1": (hidden, 5 * shift_width),
            f"{att}.time_maa_w2": (5, shift_width, hidden),
            f"{att}.time_decay": (1, 1, hidden),
            f"{att}.time_decay_w1": (hidden, decay_width),
            f"{att}.time_decay_w2": (decay_width, hidden),
            f"{att}.time_faaaa": (hidden // head, head),
            f"{ffn_path}.key.weight": (ffn, hidden),
            f"{ffn_path}.receptance.weight": (hidden, hidden),
            f"{ffn_path}.value.weight": (hidden, ffn),
        }
        names = ["receptance", "key", "value", "gate", "output"]
        found |= {f"{att}.{name}.weight": (hidden, hidden) for name in names}
    found |= {f"{norm}.{part}": (hidden,) for norm in norms for part in ["weight", "bias"]}
    return found


def random_weights(sizes, seed):
    """bf16, drawn in name order; nothing is zero or one that could hide a mistake.

    Decays exp(-exp(w)) lie between 0.9975 (w = -6) and 0.01 (w = 1.5), before the tokens' part.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    weights = {}
    for name, shape in sorted(shapes(**sizes).items()):
        kind = name.rsplit(".", 1)[-1]
        if kind.startswith("time_maa_") and len(shape) == 3 and shape[0] == 1:
            drawn = random.uniform(0, 1, shape)
        elif kind == "time_decay":
            drawn = random.uniform(-6, 1.5, shape)
        elif ".ln" in name or name.startswith("ln"):
            drawn = 0.2 * random.standard_normal(shape) + (kind == "weight")
        else:
            drawn = (0.5 if kind == "time_faaaa" else 0.25) * random.standard_normal(shape)
        weights[name] = torch.from_numpy(drawn).to(torch.bfloat16)
    return weights


def f64(weights):
    return {name: tensor.double() for name, tensor in weights.items()}


def stored(record):
    """Contiguous, f64 as f32 and ids as i32."""
    kind = {torch.float64: torch.float32, torch.int64: torch.int32}
    return {name: t.detach().to(kind.get(t.dtype, t.dtype)).contiguous() for name, t in record.items()}


@torch.no_grad()
def write_golden(folder, weights, seed):
    """tokens, logits, the state after them, what follows it, and 24 greedy tokens after `prompt`."""
    model = Rwkv6(f64(weights))
    random = np.random.Generator(np.random.PCG64(seed))
    tokens = torch.from_numpy(random.integers(len(SPECIALS), VOCAB, (2, 20)))
    following = torch.from_numpy(random.integers(len(SPECIALS), VOCAB, (2, 7)))
    logits, state = model(tokens)
    next_logits, next_state = model(following, state)

    # Fed whole, and in pieces: the same to the last bits of f64.
    whole, whole_state = model(torch.cat([tokens, following], dim=1))
    piece, carried = [], None
    for part in tokens.split([7, 1, 12], dim=1):
        out, carried = model(part, carried)
        piece.append(out)
    pairs = [(whole, torch.cat([logits, next_logits], dim=1)), (torch.cat(piece, dim=1), logits)]
    pairs += [(a, b) for i in range(len(state)) for a, b in zip(whole_state[i], next_state[i])]
    pairs += [(a, b) for i in range(len(state)) for a, b in zip(carried[i], state[i])]
    assert all((a - b).abs().max() < 1e-12 for a, b in pairs), "pieces differ from the whole"

    prompt = torch.tensor(Tokenizer.from_file(str(folder / "tokenizer.json")).encode(PROMPT).ids)
    found, leads = greedy(model, prompt, 24)
    assert prompt[0] == BOS and min(leads) > 0.02, "greedy tokens hang on a near tie: another seed"
    assert found.min() >= len(SPECIALS), "a special token would stop a generation: another seed"
    assert found.unique().numel() >= 10, "greedy tokens run in a circle: another seed"

    record = {"tokens": tokens, "logits": logits, "next_tokens": following, "next_logits": next_logits}
    for i, block in enumerate(state):
        record |= {f"state.{i}.{field}": tensor for field, tensor in block._asdict().items()}
    record |= {"prompt": prompt, "greedy": found}
    save_file(stored(record), folder / "golden.safetensors", metadata={"prompt_text": PROMPT})


def write_tiny(out):
    """rwkv6-tiny in f32, and the same weights in bf16 as a .pth; they hold the same values."""
    weights = random_weights(TINY, seed=71)
    folder = out / "rwkv6-tiny"
    folder.mkdir()
    widened = {name: tensor.float() for name, tensor in weights.items()}
    save_file(widened, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer().save(str(folder / "tokenizer.json"))
    write_golden(folder, weights, seed=62)

    # What a reader that ignores strides and offsets would get wrong: transposed views, and two
    # tensors in one storage.
    pth = dict(weights)
    for name in ["blocks.0.att.key.weight", "blocks.1.ffn.value.weight"]:
        pth[name] = weights[name].T.contiguous().T
    both = torch.cat([weights["emb.weight"], weights["head.weight"]])
    pth["emb.weight"], pth["head.weight"] = both.split(VOCAB)
    assert all(torch.equal(pth[name], weights[name]) for name in weights)
    assert sum(not tensor.is_contiguous() for tensor in pth.values()) == 2
    (out / "rwkv6-tiny-pth").mkdir()
    torch.save(pth, out / "rwkv6-tiny-pth" / "model.pth")
    return weights


def remote_code_name(name):
    name = name.replace(".att.", ".attention.").replace(".ffn.", ".feed_forward.")
    name = name.replace(".ln0.", ".pre_ln.")
    if name.startswith("head."):
        return name
    return "rwkv." + name.replace("emb.", "embeddings.")


def write_head12(out):
    """bf16 in two shards under the names of the HF remote code."""
    weights = random_weights(HEAD12, seed=88)
    folder = out / "rwkv6-tiny-head12"
    folder.mkdir()
    named = {remote_code_name(name): tensor for name, tensor in weights.items()}
    second = {name for name in named if name.startswith(("rwkv.blocks.1", "head", "rwkv.ln_out"))}
    index = {"metadata": {"total_size": 2 * sum(t.numel() for t in named.values())}, "weight_map": {}}
    for number, part in enumerate([named.keys() - second, second], start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: named[name] for name in sorted(part)}, folder / file, metadata={"format": "pt"})
        index["weight_map"] |= dict.fromkeys(sorted(part), file)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    (folder / "config.json").write_text(json.dumps(HEAD12_CONFIG, indent=1) + "\n")
    tokenizer().save(str(folder / "tokenizer.json"))
    write_golden(folder, weights, seed=74)


def write_training(out, name, weights, trained, settings, run):
    """Train `trained` (name -> tensor), on which `run(trained, tokens)` depends, and write the record."""
    batches, loss_weights = training_batches(81, STEPS, ROWS, LENGTH)
    first = batches[0].long()
    with torch.no_grad():
        base = Rwkv6(weights)(first)[0]
    zero = {path: tensor.detach().clone() for path, tensor in trained.items()}
    losses, norms, grad0 = train(
        lambda tokens: run(trained, tokens), trained, batches.long(), loss_weights, settings
    )
    with torch.no_grad():
        tuned = run(trained, first)
    assert (tuned - base).abs().max() > 0.1, f"{name}: training moved no logit by more than 0.1"
    by_hand = replay(run, zero, batches.long(), loss_weights, settings)
    gaps = [np.abs(np.subtract(losses, by_hand[0])).max(), np.abs(np.subtract(norms, by_hand[1])).max()]
    gaps += [max((grad0[p] - by_hand[2][p]).abs().max().item() for p in trained)]
    gaps += [max((trained[p] - by_hand[3][p]).abs().max().item() for p in trained)]
    print(f"{name}: AdamW by torch and by hand differ by {max(gaps):.1e} (limit 1e-8)")
    assert max(gaps) < 1e-8
    record = {"batches": batches, "loss_weights": loss_weights, "base_logits": base, "tuned_logits": tuned}
    record |= {f"grad0.{path}": tensor for path, tensor in grad0.items()}
    record |= {f"adapter.{path}": tensor for path, tensor in trained.items()}
    note = NOTES["state" if settings["method"] == "state" else "adapter"]
    settings = settings | {"steps": STEPS, "losses": losses, "grad_norms": norms, "note": note}
    folder = out / name
    folder.mkdir()
    save_file(stored(record), folder / "golden.safetensors")
    (folder / "golden.json").write_text(json.dumps(settings, indent=1) + "\n")
    return tuned


def write_adapter(out, name, weights, settings):
    method = settings["method"]
    adapter = new_adapter(weights, method, settings["r"])

    def run(adapter, tokens):
        return Rwkv6(weights, adapted(weights, method, adapter))(tokens)[0]

    tuned = write_training(out, f"golden-rwkv6-tiny-{name}", weights, adapter, settings, run)
    if method in CHEAP_FORMS:

        def linear(path, x):
            return CHEAP_FORMS[method](x, weights[f"{path}.weight"], adapter[path])

        tokens = training_batches(81, STEPS, ROWS, LENGTH)[0][0].long()
        apart = (Rwkv6(weights, linear)(tokens)[0] - tuned).abs().max().item()
        print(f"golden-rwkv6-tiny-{name}: the cheap form's logits differ by {apart:.1e} (limit 1e-10)")
        assert apart < 1e-10


def write_state(out, weights):
    heads, size = weights["blocks.0.att.time_faaaa"].shape
    names = [f"blocks.{i}.att.time_state" for i in range(TINY["layers"])]
    states = {name: torch.zeros(heads, size, size, dtype=torch.float64).requires_grad_() for name in names}

    def run(states, tokens):
        return Rwkv6(weights | states)(tokens)[0]

    write_training(out, "golden-rwkv6-tiny-state", weights, states, STATE | OPTIMIZER, run)


def make(out):
    weights = f64(write_tiny(out))
    write_head12(out)
    for name, spec in ADAPTERS.items():
        write_adapter(out, name, weights, spec | OPTIMIZER)
    write_state(out, weights)
    for path in out.rglob("*.safetensors"):
        path.chmod(0o644)


if __name__ == "__main__":
    sys.exit(main(make, __doc__))
