"""Makes tests/fixtures/foreign: adapters as other tools write them, and what they compute.

    python adapter_fixtures.py              write tests/fixtures/foreign anew
    python adapter_fixtures.py --out DIR    write into DIR instead
    python adapter_fixtures.py --check      make them in a temporary folder and compare with
                                            the committed ones

Each folder is a case: the adapter, `case.json`, which says what it belongs to and what it is, and
`logits.safetensors`, tokens and the logits of the adapted model. The models are `llama-tiny` and
`rwkv6-tiny`, which llama_fixtures.py and rwkv6_fixtures.py make.

PEFT's folders are written by PEFT, and PEFT gives their logits; the values are random, not trained,
but in the three folders `peft-*-run`, which PEFT trains for 20 steps. What RWKV-PEFT, JL-er and
PEFT before it had MISS write comes from plain torch: the names and shapes are theirs, the logits
those of the effective weights of effective_weight.py. Nothing is downloaded.
"""

import json
import os
import shutil
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read on import, so before the next lines

import numpy as np
import peft
import torch
from safetensors.torch import load_file, save_file

import llama_fixtures as llama
from effective_weight import adapted_logits
from rwkv6_model import LINEAR_LAYERS, Rwkv6
from rwkv6_training import adapted

MODELS = llama.FIXTURES
LLAMA = MODELS / "llama-tiny"
RWKV = MODELS / "rwkv6-tiny"


def generator(seed):
    return np.random.Generator(np.random.PCG64(seed))


def drawn(random, shape, size=0.05):
    return torch.from_numpy(size * random.standard_normal(tuple(shape))).float()


def tokens(vocab, seed=31):
    ids = generator(seed).integers(3, vocab, (2, 18))
    return torch.from_numpy(ids)


def write_case(folder, case, ids, logits):
    (folder / "case.json").write_text(json.dumps(case, indent=1, sort_keys=True) + "\n")
    save_file({"tokens": ids, "logits": logits.float().contiguous()}, folder / "logits.safetensors")


def settle(folder):
    """PEFT's own files; only what is not the same twice is sorted or left out."""
    for path in folder.rglob("README.md"):
        path.unlink()
    for path in folder.rglob("adapter_config.json"):
        config = json.loads(path.read_text())
        for key in ["target_modules", "modules_to_save", "exclude_modules"]:
            if isinstance(config.get(key), list):
                config[key].sort()
        config["base_model_name_or_path"] = "llama-tiny"
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def stir(model, seed):
    """Random values added to all that PEFT would train."""
    random = generator(seed)
    with torch.no_grad():
        for _, p in sorted((n, p) for n, p in model.named_parameters() if p.requires_grad):
            p.add_(drawn(random, p.shape))


@torch.no_grad()
def peft_case(out, name, config, seed, case, converted=False):
    folder = out / name
    torch.manual_seed(seed)
    model = peft.get_peft_model(llama.load(LLAMA), config).eval()
    start = out / "start"
    if converted:
        init = model.peft_config["default"].init_lora_weights
        model.peft_config["default"].init_lora_weights = True
        model.save_pretrained(start)
        model.peft_config["default"].init_lora_weights = init
    stir(model, seed)
    ids = tokens(llama.TINY["vocab_size"])
    logits = model(ids).logits
    more = {"path_initial_model_for_weight_conversion": str(start)} if converted else {}
    model.save_pretrained(folder / "adapter", save_embedding_layers=False, **more)
    shutil.rmtree(start, ignore_errors=True)
    settle(folder)
    write_case(folder, {"model": "llama-tiny", "adapter": "adapter"} | case, ids, logits)


def peft_cases(out):
    miss = {"task_type": "CAUSAL_LM", "r": 6}
    config = peft.MissConfig(
        target_modules=r".*\.1\..*\.(q|down)_proj", modules_to_save=["lm_head"], miss_dropout=0.1, **miss
    )
    peft_case(out, "peft-miss-regex", config, 41, {"method": "miss", "rank": 6})
    config = peft.MissConfig(target_modules=["q_proj", "down_proj"], layers_to_transform=[1], **miss)
    peft_case(out, "peft-miss-layers", config, 40, {"method": "miss", "rank": 6})
    config = peft.MissConfig(target_modules="all-linear", exclude_modules=["k_proj", "up_proj"], **miss)
    peft_case(out, "peft-miss-all-linear", config, 42, {"method": "miss", "rank": 6})

    lora = {"task_type": "CAUSAL_LM", "r": 4, "target_modules": llama.TARGETS}
    config = peft.LoraConfig(lora_alpha=6, **lora)
    peft_case(out, "peft-lora", config, 43, {"method": "lora", "rank": 4})
    config = peft.LoraConfig(lora_alpha=6, use_rslora=True, lora_dropout=0.1, **lora)
    peft_case(out, "peft-lora-rslora", config, 44, {"method": "lora", "rank": 4})
    for method in ["pissa", "olora"]:
        config = peft.LoraConfig(lora_alpha=6, init_lora_weights=method, **lora)
        case = {"method": method, "rank": 4}
        peft_case(out, f"peft-{method}", config, 45, case)
        case = {"method": "lora", "rank": 8}
        peft_case(out, f"peft-{method}-converted", config, 45, case, converted=True)


def peft_run(out, method, init):
    """A run of PEFT's, from a start that is recorded where it is random."""
    folder = out / f"peft-{method}-run"
    batches, loss_weights = llama.training_batches(seed=21)
    first = batches[0].long()
    config = peft.LoraConfig(
        r=4, lora_alpha=8, init_lora_weights=init, target_modules=llama.TARGETS, task_type="CAUSAL_LM"
    )
    torch.manual_seed(7)
    model = peft.get_peft_model(llama.load(LLAMA), config)
    if init is True:
        model.save_pretrained(folder / "start", save_embedding_layers=False)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(trained.values(), **llama.OPTIMIZER)
    losses, norms = [], []
    for ids, weights in zip(batches.long(), loss_weights):
        loss = model(ids, labels=ids.masked_fill(weights == 0, -100)).loss
        loss.backward()
        losses.append(loss.item())
        norms.append(sum(p.grad.double().pow(2).sum() for p in trained.values()).sqrt().item())
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        tuned = model.eval()(first).logits
    settle(folder) if init is True else folder.mkdir()
    settings = {"method": method, "r": 4, "alpha": 8, "steps": llama.STEPS} | llama.OPTIMIZER
    settings |= {"losses": losses, "grad_norms": norms, "peft": peft.__version__}
    (folder / "golden.json").write_text(json.dumps(settings, indent=1) + "\n")
    record = {"batches": batches, "loss_weights": loss_weights, "tuned_logits": tuned}
    save_file(record, folder / "golden.safetensors")


@torch.no_grad()
def older_peft(out, name, init_weights, method, shape, seed):
    """What PEFT wrote before BONE became MISS."""
    folder = out / name
    (folder / "adapter").mkdir(parents=True)
    model, random = llama.load(LLAMA), generator(seed)
    adapter = {}
    for path, module in sorted(model.named_modules()):
        if path.split(".")[-1] in llama.TARGETS:
            adapter[path] = drawn(random, shape(*module.weight.shape))
    config = {
        "base_model_name_or_path": "llama-tiny",
        "bias": "none",
        "exclude_modules": None,
        "inference_mode": True,
        "init_weights": init_weights,
        "layers_pattern": None,
        "layers_to_transform": None,
        "modules_to_save": None,
        "peft_type": "BONE",
        "r": 4,
        "revision": None,
        "target_modules": sorted(llama.TARGETS),
        "task_type": "CAUSAL_LM",
    }
    (folder / "adapter/adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    named = {f"base_model.model.{path}.bone_block": value for path, value in adapter.items()}
    if init_weights is True:
        # As older ones wrote it.
        torch.save(named, folder / "adapter/adapter_model.bin")
    else:
        save_file(named, folder / "adapter/adapter_model.safetensors", metadata={"format": "pt"})
    ids = tokens(llama.TINY["vocab_size"])
    case = {"model": "llama-tiny", "adapter": "adapter", "rank": 4}
    case["method"] = {"miss": "miss", "bat": "bone"}[method]
    write_case(folder, case, ids, adapted_logits(model, method, adapter, ids))


@torch.no_grad()
def jl_er(out):
    folder = out / "jl-er"
    (folder / "adapter").mkdir(parents=True)
    model, random = llama.load(LLAMA), generator(51)
    adapter = {}
    for path, module in sorted(model.named_modules()):
        if path.split(".")[-1] in llama.TARGETS:
            adapter[path] = drawn(random, (module.weight.shape[0] // 4, 4, 4))
    named = {f"{path}.bone": value for path, value in adapter.items()}
    save_file(named, folder / "adapter/model.safetensors", metadata={"format": "pt"})
    ids = tokens(llama.TINY["vocab_size"])
    case = {"model": "llama-tiny", "adapter": "adapter", "method": "bone", "rank": 4}
    write_case(folder, case, ids, adapted_logits(model, "bat", adapter, ids))


@torch.no_grad()
def rwkv(out, name, method, ours, ending, shape, seed, overlay=(), axis=None):
    """RWKV-PEFT's file: `shape(out, in)` of a layer's tensor, whose blocks are as `method` has them."""
    folder = out / name
    folder.mkdir()
    weights, random = load_file(RWKV / "model.safetensors"), generator(seed)
    adapter, saved = {}, {}
    for path in sorted(name.removesuffix(".weight") for name in weights):
        if ".".join(path.split(".")[2:]) in LINEAR_LAYERS:
            value = drawn(random, shape(*weights[f"{path}.weight"].shape))
            saved[f"{path}.{ending}"] = value
            adapter[path] = value.reshape(-1, 4, 4) if method == "bat-col" else value
    whole = {}
    for key in sorted(weights):
        if any(part in key for part in overlay):
            whole[key] = weights[key] + drawn(random, weights[key].shape)
    torch.save(saved | whole, folder / "adapter.pth")
    merged = weights | whole
    ids = tokens(len(weights["emb.weight"]))
    model = Rwkv6(merged, adapted(merged, method, adapter))
    case = {"model": "rwkv6-tiny", "adapter": "adapter.pth", "method": ours, "rank": 4}
    if axis:
        case["block_axis"] = axis
    write_case(folder, case, ids, model(ids)[0])


@torch.no_grad()
def rwkv_state(out):
    folder = out / "rwkv-peft-state"
    folder.mkdir()
    weights, random = load_file(RWKV / "model.safetensors"), generator(61)
    heads, size = weights["blocks.0.att.time_faaaa"].shape
    layers = 1 + max(int(n.split(".")[1]) for n in weights if n.startswith("blocks."))
    names = [f"blocks.{i}.att.time_state" for i in range(layers)]
    states = {name: drawn(random, (heads, size, size), 0.5) for name in names}
    torch.save(states, folder / "adapter.pth")
    ids = tokens(len(weights["emb.weight"]))
    case = {"model": "rwkv6-tiny", "adapter": "adapter.pth", "method": "state"}
    write_case(folder, case, ids, Rwkv6(weights | states)(ids)[0])


def make(out):
    out = out / "foreign"
    out.mkdir()
    peft_cases(out)
    for method, init in [("lora", True), ("pissa", "pissa"), ("olora", "olora")]:
        peft_run(out, method, init)
    older_peft(out, "peft-bone-miss", True, "miss", lambda o, i: (4, o), 52)
    older_peft(out, "peft-bone-bat", "bat", "bat", lambda o, i: (o // 4, 4, 4), 53)
    jl_er(out)
    blocks = lambda o, i: (i // 4, 4, 4)
    parts = ["time_", "ln"]
    rwkv(out, "rwkv-peft-bone", "bat-row", "bone-input", "bone", blocks, 54, parts)
    rwkv(out, "rwkv-peft-disha", "miss", "miss", "disha", lambda o, i: (4, o), 55)
    rwkv(out, "rwkv-peft-miss", "miss", "miss", "bone", lambda o, i: (4, o), 56)
    rwkv(out, "rwkv-peft-oldest", "bat-col", "bone", "bone", lambda o, i: (o, 4), 57)
    rwkv(out, "rwkv-peft-unclear", "bat-row", "bone-input", "miss_block", blocks, 58, axis="input")
    rwkv_state(out)
    for path in out.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


if __name__ == "__main__":
    sys.exit(llama.main(make, __doc__))
