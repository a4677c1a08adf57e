"""Makes tests/fixtures/grading: outputs to grade, and the verdicts of lm-evaluation-harness on them.

    python grade_outputs.py             write outputs.jsonl and lm_eval.json anew
    python grade_outputs.py --out DIR   write them into DIR instead
    python grade_outputs.py --check     make both and compare them with the committed ones

Needs requirements-grading.txt in an environment of its own. Problems, outputs and answers are made
up: right and wrong ones in the styles that models write in, from a fixed seed. They are in
grading_cases.py.

outputs.jsonl   a line an output: id, benchmark, solution (of a dataset's row, with the gold answer
                in it) and output
lm_eval.json    the versions, and for each id the verdict of each grader:
                  gsm8k  strict, flexible  the filters and metric of the task gsm8k
                  math   hendrycks         is_equiv of hendrycks_math, on what its own
                                           last_boxed_only_string finds
                         hendrycks_math    process_results of hendrycks_math
                null where a grader finds no answer, so that it says nothing of one; flexible
                and hendrycks_math always say something.

An output is cut at the stop strings of the grader's task first, as the harness cuts it on
generation. tests/fixtures/grading/disagreements.tsv is written by hand.
"""

import argparse
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import lm_eval
import yaml
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import exact_match_fn
from lm_eval.filters import build_filter_ensemble
from lm_eval.tasks.hendrycks_math import utils as hendrycks

from grading_cases import cases

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "grading"
TASKS = Path(lm_eval.__file__).parent / "tasks"


class Loader(yaml.SafeLoader):
    """Reads the tasks' files without the functions they name."""


Loader.add_constructor("!function", lambda loader, node: node.value)


def task(name):
    return yaml.load((TASKS / name).read_text(), Loader)


def cut(text, stops):
    """Up to the first of the stop strings."""
    for stop in stops:
        text = text.split(stop)[0]
    return text


def by_filter(config, name, case, target):
    """The verdict of one of a task's filters and its metric; None where the filter finds nothing."""
    filters = next(f["filter"] for f in config["filter_list"] if f["name"] == name)
    steps = [(f["function"], {k: v for k, v in f.items() if k != "function"}) for f in filters]
    output = cut(case["output"], config["generation_kwargs"]["until"])
    instance = Instance("generate_until", {"answer": case["solution"]}, ("", {}), 0, resps=[output])
    build_filter_ensemble(name, steps).apply([instance])
    found = instance.filtered_resps[name]
    metric = next(m for m in config["metric_list"] if m["metric"] == "exact_match")
    settings = {k: metric[k] for k in ("regexes_to_ignore", "ignore_case", "ignore_punctuation")}
    score = exact_match_fn(predictions=[found], references=[target], **settings)["exact_match"]
    return None if found == "[invalid]" else bool(score)


def grade_gsm8k(case):
    config = task("gsm8k/gsm8k.yaml")
    return {
        "strict": by_filter(config, "strict-match", case, case["solution"]),
        "flexible": bool(by_filter(config, "flexible-extract", case, case["solution"])),
    }


def grade_math(case):
    stops = task("hendrycks_math/hendrycks_math_algebra.yaml")["generation_kwargs"]["until"]
    output = cut(case["output"], stops)
    box = hendrycks.last_boxed_only_string(output)
    whole = hendrycks.process_results({"solution": case["solution"]}, [output])
    return {
        "hendrycks": hendrycks_verdict(box, gold(case["solution"])),
        "hendrycks_math": bool(whole["exact_match"]),
    }


def gold(solution):
    return hendrycks.remove_boxed(hendrycks.last_boxed_only_string(solution))


def hendrycks_verdict(box, gold):
    if box is None:
        return None
    try:
        given = hendrycks.remove_boxed(box)
    except AssertionError:
        # It knows no \\fbox, though it looks for one.
        return None
    return bool(hendrycks.is_equiv(given, gold))


GRADERS = {"gsm8k": grade_gsm8k, "math": grade_math}


def write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    made = cases()
    lines = [json.dumps(case, ensure_ascii=False) for case in made]
    (folder / "outputs.jsonl").write_text("\n".join(lines) + "\n")
    versions = {"lm_eval": version("lm_eval")}
    verdicts = [
        f"    {json.dumps(case['id'])}: {json.dumps(GRADERS[case['benchmark']](case))}"
        for case in made
    ]
    text = '{\n  "versions": ' + json.dumps(versions) + ',\n  "verdicts": {\n'
    (folder / "lm_eval.json").write_text(text + ",\n".join(verdicts) + "\n  }\n}\n")


def check():
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        names = ["outputs.jsonl", "lm_eval.json"]
        other = [n for n in names if (Path(folder) / n).read_bytes() != (FIXTURES / n).read_bytes()]
    for name in other:
        print(f"{name} differs from the committed one")
    if not other:
        print("both files are as committed")
    return 1 if other else 0


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--out", type=Path, default=FIXTURES)
    arguments.add_argument("--check", action="store_true")
    arguments = arguments.parse_args()
    if arguments.check:
        return check()
    write(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
