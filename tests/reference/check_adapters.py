"""Checks with PEFT and transformers what `bone` wrote.

    python check_adapters.py DIR [DIR ...]

Each DIR holds
    model/                 the base model, a HF folder
    adapter/               the adapter folder that `bone` saved
    expected.safetensors   `tokens` [batch, length] (any integer type) and `bone`'s `logits` on
                           them with the adapter; optionally `merged_logits`
    merged/                optional: the HF folder that `bone merge` wrote
    lora/                  optional: the adapter as a LoRA
    adapter.pth            optional: the adapter under RWKV-PEFT's names

and passes if
  - PEFT finds in the adapter file exactly the tensors it expects, f32, in its shapes, and
    its logits are within 1e-4 of ours (PEFT alone only warns of tensors that do not fit);
  - for an adapter of a peft_type that PEFT does not have (BONE_INPUT, MISS_WITH_PARAMETERS):
    PEFT raises and names the type;
  - merged/ loads with nothing missing and nothing left over, and its logits are within 1e-4
    of `merged_logits`, or of `logits` where there are none;
  - lora/ is a LoRA for PEFT, with the adapter's logits within 1e-4;
  - torch.load(weights_only=True) finds in adapter.pth the tensors of adapter/.

All models are computed in f32. One line a check; the exit code is 1 if any failed.
"""

import argparse
import json
import os
import sys
import traceback
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read on import, so before the next lines

import torch
import transformers
from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-4


# Types of our own, for what PEFT would load as something else or in part.
REFUSED = {"BONE_INPUT", "MISS_WITH_PARAMETERS", "LORA_WITH_PARAMETERS", "RWKV_STATE"}


class Failed(Exception):
    pass


def load(folder):
    if not (folder / "config.json").is_file():
        raise Failed(f"{folder} holds no config.json")
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    problems = {kind: sorted(map(str, names)) for kind, names in report.items() if names}
    if problems:
        raise Failed(f"{folder} does not fit its config: {problems}")
    return model.eval()


@torch.no_grad()
def compare(model, tokens, expected):
    logits = model(tokens).logits
    if logits.shape != expected.shape:
        raise Failed(f"logits are {list(logits.shape)}, expected {list(expected.shape)}")
    gap = (logits - expected.float()).abs().max().item()
    # Written so that a NaN fails too.
    if not gap <= TOLERANCE:
        raise Failed(f"logits differ by {gap:.2e}, more than {TOLERANCE:.0e}")
    return f"logits differ by {gap:.1e}"


def check_tensors(file, model):
    """The file against what PEFT itself would save for this model."""
    wanted = get_peft_model_state_dict(model, save_embedding_layers=False)
    with safe_open(file, "pt") as f:
        if (f.metadata() or {}).get("format") != "pt":
            raise Failed(f'{file.name} lacks the metadata {{"format": "pt"}}')
    found = load_file(file)
    problems = [f"missing {key}" for key in sorted(wanted.keys() - found.keys())]
    problems += [f"unknown to PEFT: {key}" for key in sorted(found.keys() - wanted.keys())]
    for key in sorted(wanted.keys() & found.keys()):
        if found[key].shape != wanted[key].shape or found[key].dtype != torch.float32:
            problems.append(
                f"{key} is {found[key].dtype} {list(found[key].shape)}, "
                f"expected torch.float32 {list(wanted[key].shape)}"
            )
        elif not torch.equal(found[key], wanted[key]):
            problems.append(f"{key} was loaded with other values")
    if problems:
        raise Failed(f"{file.name}: " + "; ".join(problems))
    return len(found)


def check_adapter(folder, tokens, expected, name="adapter"):
    adapter = folder / name
    for file in ["adapter_config.json", "adapter_model.safetensors"]:
        if not (adapter / file).is_file():
            raise Failed(f"{adapter} holds no {file}")
    kind = json.loads((adapter / "adapter_config.json").read_text()).get("peft_type")
    base = load(folder / "model")
    if kind in REFUSED:
        try:
            PeftModel.from_pretrained(base, adapter)
        except Exception as error:
            if kind not in str(error):
                raise Failed(f"PEFT raised, but not over {kind}: {error!r}") from error
            return f"PEFT refuses it: {error!r}"
        raise Failed(f"PEFT loaded an adapter of type {kind}")
    model = PeftModel.from_pretrained(base, adapter).eval()
    count = check_tensors(adapter / "adapter_model.safetensors", model)
    return f"{kind}, {count} tensors, {compare(model, tokens, expected)}"


def check_lora(folder, tokens, expected):
    return check_adapter(folder, tokens, expected, "lora")


def check_pth(folder, _tokens, _expected):
    found = torch.load(folder / "adapter.pth", weights_only=True)
    endings = {"miss_block": {"bone", "disha"}, "bone_input_block": {"bone"}}
    wanted = load_file(folder / "adapter/adapter_model.safetensors")
    problems = []
    for key, value in wanted.items():
        layer, _, ending = key.removeprefix("base_model.model.").rpartition(".")
        names = {f"{layer}.{other}" for other in endings.get(ending, {ending})} & found.keys()
        if len(names) != 1:
            problems.append(f"{layer} is there {len(names)} times")
            continue
        other = found.pop(names.pop())
        # Blocks of the output axis lie one below the other.
        if not torch.equal(other.reshape(value.shape), value) or other.dtype != torch.float32:
            problems.append(f"{layer} has other values")
    problems += [f"unknown: {key}" for key in sorted(found)]
    if problems:
        raise Failed("adapter.pth: " + "; ".join(problems))
    return f"{len(wanted)} tensors"


def check_merged(folder, tokens, expected):
    return compare(load(folder / "merged"), tokens, expected)


def check(folder):
    """The number of failed checks; prints a line for each check."""
    record = load_file(folder / "expected.safetensors")
    tokens, logits = record["tokens"].long(), record["logits"]
    checks = [("adapter", check_adapter, logits)]
    if (folder / "merged").is_dir():
        checks.append(("merged", check_merged, record.get("merged_logits", logits)))
    if (folder / "lora").is_dir():
        checks.append(("lora", check_lora, logits))
    if (folder / "adapter.pth").is_file():
        checks.append(("adapter.pth", check_pth, logits))
    failed = 0
    for name, run, expected in checks:
        try:
            print(f"ok      {folder}/{name}: {run(folder, tokens, expected)}")
        except Failed as error:
            failed += 1
            print(f"FAILED  {folder}/{name}: {error}")
        except Exception:
            failed += 1
            print(f"FAILED  {folder}/{name}:\n{traceback.format_exc()}")
    return failed


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    failed = [check(folder) for folder in arguments.parse_args().folders]
    return 1 if any(failed) else 0


if __name__ == "__main__":
    sys.exit(main())
