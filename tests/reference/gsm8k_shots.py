"""Writes the eight worked examples of Wei et al. (2022, "Chain-of-Thought Prompting Elicits Reasoning
in Large Language Models") as rows for `bone eval gsm8k --shots 8 --shots-file`.

They are taken from the lm_eval package, whose task gsm8k_cot has them, and are not kept here.

    pip install lm-eval
    python tests/reference/gsm8k_shots.py shots.jsonl
"""

import argparse
import json
from importlib import metadata
from pathlib import Path

import yaml


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("out", type=Path, help="the file to write, a row a line")
    out = arguments.parse_args().out
    # Only now, for it takes long.
    import lm_eval

    task = Path(lm_eval.__file__).parent / "tasks/gsm8k/gsm8k-cot.yaml"
    # The task names functions by tags of its own, which are of no interest here.
    yaml.SafeLoader.add_multi_constructor("!", lambda loader, suffix, node: None)
    samples = yaml.safe_load(task.read_text())["fewshot_config"]["samples"]
    assert len(samples) == 8, f"{task} has {len(samples)} examples"
    with open(out, "w", encoding="utf-8") as file:
        for sample in samples:
            row = {"question": sample["question"], "answer": sample["target"]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(f"8 examples of lm_eval {metadata.version('lm-eval')} in {out}")


if __name__ == "__main__":
    main()
