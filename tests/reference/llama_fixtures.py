"""Makes the LLaMA fixtures in tests/fixtures: two tiny models, three trained adapters.

    python llama_fixtures.py              write tests/fixtures anew
    python llama_fixtures.py --out DIR    write into DIR instead
    python llama_fixtures.py --check      make them in a temporary folder and compare with
                                          the committed ones

The models are random, in HF layout; transformers gives their logits and greedy tokens.
The adapters are trained and written by PEFT. Every adapter is then replayed by
`effective_weight.py`, in double precision and without PEFT; a record that does not agree
is not written. Nothing is downloaded.

With the versions of requirements.txt, two runs on one machine write the same bytes. Weights
and tokens are drawn by numpy from fixed seeds; what torch computed from them may differ on
another processor in the last bits, which --check allows for.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read on import, so before the next lines

import numpy as np
import peft
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, processors
from transformers import LlamaConfig, LlamaForCausalLM

from compare_folders import differences
from effective_weight import adapted_logits, replay

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
UNK, BOS, EOS = 0, 1, 2
SPECIALS = ["<unk>", "<s>", "</s>"]
# 96 tokens: the specials, newline, and printable ASCII without the three of LEFT_OUT,
# which therefore encode as <unk>.
LEFT_OUT = "^`~"
CHARACTERS = ["\n"] + [chr(c) for c in range(0x20, 0x7F) if chr(c) not in LEFT_OUT]
PROMPT = "Below is a bone."

# As released LLaMA2 checkpoints have it: `rope_theta` and `torch_dtype` at the top level.
TINY = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 44,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": len(SPECIALS) + len(CHARACTERS),
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "attention_bias": False,
    "mlp_bias": False,
    "initializer_range": 0.02,
    "use_cache": True,
    "torch_dtype": "float32",
}
# Saved by transformers itself, which now writes `rope_parameters` and `dtype`.
TIED = TINY | {
    "head_dim": 16,
    "attention_bias": True,
    "rope_theta": 500000.0,
    "rms_norm_eps": 1e-04,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}

ADAPTERS = {
    "miss-r8": {"method": "miss", "r": 8, "mini_r": 1, "init_weights": True},
    "bat-r4": {"method": "bat", "r": 4, "mini_r": 1, "init_weights": "bat"},
    "mini-r8-4": {"method": "mini", "r": 8, "mini_r": 4, "init_weights": "mini"},
}
OPTIMIZER = {"lr": 0.005, "betas": [0.9, 0.999], "eps": 1e-08, "weight_decay": 0.0}
STEPS, ROWS, LENGTH = 20, 3, 20
TEXT = (
    "A bone is a block and a block is a weight. Train the small one, keep the large one. "
    "The dog hides 12 bones under 3 trees; how many bones lie under each tree? Four. "
    "What is frozen stays frozen, what is learned is added, and nothing else may change."
)


def tokenizer():
    """Character-level: a BPE without merges, `<s>` put before every text."""
    vocab = {token: i for i, token in enumerate(SPECIALS + CHARACTERS)}
    made = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>"))
    made.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIALS])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", BOS)]
    )
    made.decoder = decoders.Fuse()
    return made


def random_model(config, seed):
    """Linear weights, embeddings and biases ~ N(0, 0.2), norms ~ N(1, 0.2), in name order."""
    random = np.random.Generator(np.random.PCG64(seed))
    model = LlamaForCausalLM(LlamaConfig.from_dict(config))
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            drawn = 0.2 * random.standard_normal(tuple(p.shape)) + ("norm" in name)
            p.copy_(torch.from_numpy(drawn))
    return model


def load(folder, dtype=torch.float32):
    model, report = LlamaForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager", output_loading_info=True
    )
    assert not any(report.values()), report
    return model.eval()


@torch.no_grad()
def write_golden(folder, dtype, seed):
    """tokens and logits, and 40 greedy tokens after `prompt`, in f32 from the folder as written."""
    model = load(folder, dtype).float()
    random = np.random.Generator(np.random.PCG64(seed))
    tokens = torch.from_numpy(random.integers(3, model.config.vocab_size, (2, 24)))
    tokens[0, 0] = BOS
    prompt = torch.tensor(Tokenizer.from_file(str(folder / "tokenizer.json")).encode(PROMPT).ids)
    seen = prompt
    for _ in range(40):
        best = model(seen[None]).logits[0, -1].topk(2)
        assert best.values[0] - best.values[1] > 5e-3, "greedy tokens hang on a near tie: another seed"
        seen = torch.cat([seen, best.indices[:1]])
    greedy = seen[len(prompt) :]
    assert greedy.min() >= len(SPECIALS), "a special token would stop a generation: another seed"
    assert greedy.unique().numel() >= 12, "greedy tokens run in a circle: another seed"
    cached = model.generate(prompt[None], max_new_tokens=40, do_sample=False)
    assert torch.equal(cached[0], seen)
    save_file(
        {"tokens": tokens, "logits": model(tokens).logits, "prompt": prompt, "greedy": greedy.clone()},
        folder / "golden.safetensors",
        metadata={"prompt_text": PROMPT},
    )


def write_models(out):
    tiny = out / "llama-tiny"
    random_model(TINY, seed=12).save_pretrained(tiny)
    (tiny / "config.json").write_text(json.dumps(TINY, indent=1) + "\n")
    tied = out / "llama-tiny-tied"
    random_model(TIED, seed=45).to(torch.bfloat16).save_pretrained(tied, max_shard_size="30KB")
    assert len(list(tied.glob("*.safetensors"))) == 2
    for folder, dtype, seed in [(tiny, torch.float32, 11), (tied, torch.bfloat16, 12)]:
        tokenizer().save(str(folder / "tokenizer.json"))
        write_golden(folder, dtype, seed)


def training_batches(seed, steps=STEPS, rows=ROWS, length=LENGTH):
    """Rows of TEXT: `<s>`, an untrained prompt, a trained response; some end in `</s>` early.

    A padded row repeats `</s>` with weight 0 after its own, whose weight is 1, so that a
    loss masked by token id instead of position gives itself away.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    encode = tokenizer()
    batches = np.full((steps, rows, length), EOS, dtype=np.int32)
    loss_weights = np.zeros_like(batches)
    for row, weights in zip(batches.reshape(-1, length), loss_weights.reshape(-1, length)):
        start = random.integers(0, len(TEXT) - length)
        prompt = random.integers(4, 10)
        end = random.choice([length, length, random.integers(12, length)])
        ids = encode.encode(TEXT[start : start + length]).ids
        row[:end] = ids[:end]
        weights[prompt : end + 1] = 1
    return torch.from_numpy(batches), torch.from_numpy(loss_weights)


def train(base, spec, batches, loss_weights):
    """Train with PEFT; returns its model, losses, gradient norms and first gradients."""
    config = peft.MissConfig(
        r=spec["r"],
        mini_r=spec["mini_r"],
        init_weights=spec["init_weights"],
        target_modules=TARGETS,
        task_type="CAUSAL_LM",
    )
    model = peft.get_peft_model(load(base), config)
    trained = {module_path(n): p for n, p in model.named_parameters() if p.requires_grad}
    assert len(trained) == len(TARGETS) * TINY["num_hidden_layers"]
    optimizer = torch.optim.AdamW(trained.values(), **OPTIMIZER)
    losses, norms, grad0 = [], [], None
    for tokens, weights in zip(batches.long(), loss_weights):
        loss = model(tokens, labels=tokens.masked_fill(weights == 0, -100)).loss
        loss.backward()
        losses.append(loss.item())
        norms.append(sum(p.grad.double().pow(2).sum() for p in trained.values()).sqrt().item())
        grad0 = grad0 or {path: p.grad.clone() for path, p in trained.items()}
        optimizer.step()
        optimizer.zero_grad()
    return model.eval(), losses, norms, grad0


def module_path(parameter):
    """`base_model.model.model.layers.0.mlp.up_proj.miss_block[.default]` -> `model.layers.0.mlp.up_proj`"""
    return parameter.removeprefix("base_model.model.").split(".miss_block")[0]


def save_adapter(model, folder):
    """PEFT's own files; only the unstable order of its target_modules set is sorted."""
    model.peft_config["default"].base_model_name_or_path = "llama-tiny"
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def write_adapter(out, name, spec):
    base, folder = out / "llama-tiny", out / f"golden-llama-tiny-{name}"
    batches, loss_weights = training_batches(seed=21)
    first = batches[0].long()
    model, losses, norms, grad0 = train(base, spec, batches, loss_weights)
    save_adapter(model, folder)
    with torch.no_grad():
        record = {
            "batches": batches,
            "loss_weights": loss_weights,
            "base_logits": load(base)(first).logits,
            "tuned_logits": model(first).logits,
            "merged_logits": model.merge_and_unload()(first).logits,
        }
    record |= {f"grad0.{path}.miss_block": grad for path, grad in grad0.items()}
    settings = {"method": spec["method"], "r": spec["r"], "mini_r": spec["mini_r"]} | OPTIMIZER
    settings |= {
        "steps": STEPS,
        "losses": losses,
        "grad_norms": norms,
        "note": "loss = mean cross-entropy over targets whose loss_weights is 1 "
        "(labels shifted by one, as transformers does)",
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
        "peft": peft.__version__,
    }
    confirm(name, load(base).double(), folder, record, settings)
    save_file(record, folder / "golden.safetensors")
    (folder / "golden.json").write_text(json.dumps(settings, indent=1) + "\n")


@torch.no_grad()
def confirm(name, model, folder, record, settings):
    """Redo the record in f64 with the formulas of effective_weight.py; raise where it differs."""
    method = settings["method"]
    saved = {
        module_path(key): tensor.double()
        for key, tensor in load_file(folder / "adapter_model.safetensors").items()
    }
    first = record["batches"][0].long()
    zero = {path: torch.zeros_like(tensor) for path, tensor in saved.items()}
    with torch.enable_grad():
        losses, norms, grad0, adapter = replay(
            lambda adapter, tokens: adapted_logits(model, method, adapter, tokens),
            zero,
            record["batches"].long(),
            record["loss_weights"],
            settings,
        )

    def gap(a, b):
        return (torch.as_tensor(a) - torch.as_tensor(b)).abs().max().item()

    tuned = adapted_logits(model, method, saved, first)
    found = {
        "loss": (gap(losses, settings["losses"]), 5e-6),
        "grad norm (relative)": (gap(torch.tensor(norms) / torch.tensor(settings["grad_norms"]), 1), 2e-5),
        "grad0 (of its largest)": (
            max(gap(g, record[f"grad0.{p}.miss_block"]) / g.abs().max().item() for p, g in grad0.items()),
            1e-5,
        ),
        "replayed adapter": (max(gap(adapter[p], saved[p]) for p in saved), 5e-5),
        "base logits": (gap(model(first).logits, record["base_logits"]), 1e-5),
        "tuned logits": (gap(tuned, record["tuned_logits"]), 1e-5),
        "merged logits": (gap(tuned, record["merged_logits"]), 1e-5),
    }
    moved = gap(record["base_logits"], record["tuned_logits"])
    assert moved > 0.1, f"{name}: training moved no logit by more than {moved}"
    print(f"golden-llama-tiny-{name}: PEFT in f32 against the formulas in f64")
    for what, (value, limit) in found.items():
        print(f"  {what:24} {value:.1e} (limit {limit:.0e})")
    wrong = [what for what, (value, limit) in found.items() if not value <= limit]
    if wrong:
        raise SystemExit(f"golden-llama-tiny-{name}: PEFT and the formulas differ in {', '.join(wrong)}")


def make(out):
    write_models(out)
    for name, spec in ADAPTERS.items():
        write_adapter(out, name, spec)
    for path in out.rglob("*.safetensors"):
        path.chmod(0o644)


def main(make, description):
    """The command of a fixtures script; `make(folder)` writes its fixtures."""
    arguments = argparse.ArgumentParser(description=description.split("\n")[0])
    arguments.add_argument("--out", type=Path, default=FIXTURES)
    arguments.add_argument("--check", action="store_true", help="compare with --out, change nothing")
    arguments = arguments.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()

    with tempfile.TemporaryDirectory() as made:
        made = Path(made)
        make(made)
        if arguments.check:
            wrong = differences(made, arguments.out)
            print("\n".join(wrong) if wrong else f"{arguments.out}: as made")
            return 1 if wrong else 0
        arguments.out.mkdir(parents=True, exist_ok=True)
        for folder in sorted(made.iterdir()):
            shutil.rmtree(arguments.out / folder.name, ignore_errors=True)
            shutil.copytree(folder, arguments.out / folder.name)
    print(f"written: {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(make, __doc__))
