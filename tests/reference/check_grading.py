"""Compares bone-grade's verdicts with lm-evaluation-harness's on all golds of GSM8K and MATH.

    python check_grading.py DATASETS VERDICTS

DATASETS has gsm8k/{train,test}.jsonl and math/test.jsonl; VERDICTS is the example `verdicts` of
bone-grade, built. Needs requirements-grading.txt. Three parts:

solutions  every solution as the output, by every rule of its benchmark, and every solution with
           its answer changed
pairs      every gold of MATH beside others: the next ones in order of text and in a fixed random
           order
spellings  every gold of MATH beside itself, spelt otherwise: each rewriting alone, then several
           at random, among them cuts and doublings that leave broken LaTeX
"""

import json
import random
import subprocess
import sys
from pathlib import Path

from lm_eval.tasks.hendrycks_math import utils as hendrycks

from grade_outputs import by_filter, gold, hendrycks_verdict, task

OTHERS = 10
MIXED = 20

REWRITINGS = [
    ("\\frac", "\\dfrac"),
    ("\\frac", "\\tfrac "),
    ("\\frac{", "\\frac "),
    ("\\frac{1}{", "\\frac1{"),
    ("}{", "} {"),
    ("{", ""),
    ("}", ""),
    ("(", "\\left("),
    (")", "\\right)"),
    (",", ", "),
    (",", ",\\!"),
    (" ", ""),
    (" ", "  "),
    ("\\text{", "\\text{ "),
    ("\\text{", "\\mbox{"),
    ("\\sqrt{", "\\sqrt "),
    ("\\sqrt", ""),
    ("\\\\", "\\\\\\\\"),
    ("^\\circ", "^{\\circ}"),
    ("0.", "."),
    ("1", "0.5"),
    ("2", "1/2"),
    ("-", "x=-"),
    ("=", "=="),
    ("\\", ""),
]

WRAPPINGS = [
    "{}",
    "x = {}",
    "xy={}",
    "x_1={}",
    "{}\\%",
    "\\${}",
    "${}$",
    "{}.",
    " {} ",
    ".{}",
    "{}\\text{{ cm}}",
    "{}\\text{{ cm}}\\text{{ s}}",
    "{}^\\circ",
    "{}\n",
    "{}/2",
    "1/{}",
    "{}\\sqrt",
    "{}\\frac",
    "{}\\frac1",
    "\\frac{}",
    "\\sqrt{}",
]


def rows(path, field):
    return [json.loads(line)[field] for line in path.read_text().splitlines() if line.strip()]


def ours(binary, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([binary], input=text, capture_output=True, text=True, check=True)
    verdicts = [verdict == "true" for verdict in done.stdout.split()]
    assert len(verdicts) == len(lines)
    return verdicts


def solutions(gsm8k, math):
    """Lines and the harness's verdicts."""
    config = task("gsm8k/gsm8k.yaml")
    for solution in gsm8k:
        number = solution.rsplit("####", 1)[1]
        for output in [solution, solution + "0", solution.rsplit("####", 1)[0], f"The answer is:{number}."]:
            case = {"solution": solution, "output": output}
            for rule in ["strict-match", "flexible-extract"]:
                line = {"benchmark": "gsm8k", "rule": rule, **case}
                yield line, bool(by_filter(config, rule, case, solution))
    for solution in math:
        own = gold(solution)
        stop = hendrycks.last_boxed_only_string(solution)
        outputs = [solution, solution.replace(stop, "\\boxed{" + own + "0}"), f"It is ${own}$.", own]
        for output in outputs:
            line = {"benchmark": "math", "output": output, "solution": solution}
            whole = hendrycks.process_results({"solution": solution}, [output])
            yield {**line, "rule": "hendrycks-math"}, bool(whole["exact_match"])
            verdict = hendrycks_verdict(hendrycks.last_boxed_only_string(output), own)
            if verdict is not None:
                yield {**line, "rule": "boxed"}, verdict


def pairs(golds):
    golds = sorted(set(golds))
    mixed = random.Random(1).sample(golds, len(golds))
    for order in (golds, mixed):
        for at, own in enumerate(order):
            for step in range(1, OTHERS + 1):
                yield own, order[(at + step) % len(order)]


def spellings(golds):
    rng = random.Random(2)
    for own in sorted(set(golds)):
        for old, new in REWRITINGS:
            yield own.replace(old, new), own
        for wrapping in WRAPPINGS:
            yield wrapping.format(own), own
        for _ in range(MIXED):
            given = own
            for _ in range(rng.randint(1, 3)):
                given = given.replace(*rng.choice(REWRITINGS), rng.randint(-1, 2))
            given = rng.choice(WRAPPINGS).format(given)
            cut = rng.randrange(len(given) + 1)
            given = rng.choice([given, given[:cut], given[cut:], given[:cut] * 2])
            yield given, own
            # Both in one broken form, so that what is left of it counts.
            yield given, hendrycks_form(given)


def hendrycks_form(text):
    try:
        return hendrycks.strip_string(text)
    except Exception:
        return text


def report(name, binary, lines, theirs):
    verdicts = ours(binary, lines)
    differ = [(line, their) for line, our, their in zip(lines, verdicts, theirs) if our != their]
    print(f"{name}: {len(lines)} verdicts, {sum(theirs)} right, {len(differ)} differ")
    for line, their in differ[:20]:
        print(f"  harness {their}: {json.dumps(line)}")
    return len(differ)


def compared(name, binary, given):
    given = list(given)
    lines = [{"benchmark": "math", "given": a, "gold": b} for a, b in given]
    return report(name, binary, lines, [hendrycks.is_equiv(a, b) for a, b in given])


def main():
    datasets, binary = Path(sys.argv[1]), sys.argv[2]
    gsm8k = [row for part in ("train", "test") for row in rows(datasets / f"gsm8k/{part}.jsonl", "answer")]
    math = rows(datasets / "math/test.jsonl", "solution")
    golds = [gold(solution) for solution in math]
    print(f"{len(gsm8k)} solutions of GSM8K, {len(math)} of MATH with {len(set(golds))} golds")
    differ = report("solutions", binary, *zip(*solutions(gsm8k, math)))
    differ += compared("pairs", binary, pairs(golds))
    differ += compared("spellings", binary, spellings(golds))
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
