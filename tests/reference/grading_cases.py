"""Made-up problems, and outputs of models on them, for grade_outputs.py.

GSM8K's are arithmetic over a few scenes, each with steps, a right and a wrong answer, written down
in every style of STYLES. MATH's are answers in several spellings, right and wrong, in the styles of
BOXED and the others. What fits no style is written out in ODD_GSM8K and ODD_MATH.
"""

import random


def cases():
    """All of them, the same in every run."""
    rng = random.Random(7)
    gsm8k = [*styled_gsm8k(rng), *ODD_GSM8K]
    math = [*styled_math(rng), *ODD_MATH]
    return [
        {"id": f"{benchmark[0]}{number:03}", "benchmark": benchmark, "solution": solution, "output": output}
        for benchmark, outputs in (("gsm8k", gsm8k), ("math", math))
        for number, (solution, output) in enumerate(outputs, 1)
    ]


# GSM8K: scenes


def marbles(rng):
    bags, each, lost = rng.randint(3, 9), rng.randint(12, 40), rng.randint(2, 11)
    all_of_them = bags * each
    steps = f"{bags} bags of {each} marbles are {bags} * {each} = {all_of_them} marbles. After {lost} are lost, {all_of_them} - {lost} = {all_of_them - lost} are left."
    return steps, all_of_them - lost, "marbles"


def wages(rng):
    hours, rate, weeks = rng.randint(20, 45), rng.randint(12, 38), rng.randint(4, 11)
    week = hours * rate
    steps = f"In a week she earns {hours} * ${rate} = ${week}. In {weeks} weeks that is {weeks} * {week} = ${weeks * week:,}."
    return steps, weeks * week, "dollars"


def temperature(rng):
    start, fall = rng.randint(-3, 4), rng.randint(6, 19)
    steps = f"It is {start} degrees at noon and falls by {fall} degrees, so it is {start} - {fall} = {start - fall} degrees at night."
    return steps, start - fall, "degrees"


def distance(rng):
    speed, hours, rest = rng.randint(31, 78), rng.randint(2, 7), rng.randint(5, 25)
    steps = f"At {speed} miles an hour the train goes {speed} * {hours} = {speed * hours} miles in {hours} hours. With the last {rest} miles it is {speed * hours + rest} miles."
    return steps, speed * hours + rest, "miles"


def share(rng):
    friends, each = rng.randint(3, 8), rng.randint(14, 60)
    steps = f"The {friends * each} cards are shared by {friends} friends: {friends * each} / {friends} = {each} cards for each."
    return steps, each, "cards"


def pages(rng):
    books, length = rng.randint(12, 60), rng.randint(110, 420)
    steps = f"{books} books of {length} pages have {books} * {length} = {books * length} pages."
    return steps, books * length, "pages"


SCENES = [marbles, wages, temperature, distance, share, pages]

# GSM8K: styles. `s` are the steps, `a` the answer given, `u` its unit, `b` another number.

STYLES = [
    lambda s, a, u, b: f"{s}\n#### {a}",
    lambda s, a, u, b: f"{s}\n#### {a:,}",
    lambda s, a, u, b: f"{s}\n#### ${a}",
    lambda s, a, u, b: f"{s}\n#### {a} {u}",
    lambda s, a, u, b: f"{s}\n####{a}",
    lambda s, a, u, b: f"{s}\n#### {a}.0",
    lambda s, a, u, b: f"{s}\n#### {a}\nThe answer is: {a}",
    lambda s, a, u, b: f"{s}\nThe answer is: {a}",
    lambda s, a, u, b: f"{s} The answer is {a}.",
    lambda s, a, u, b: f"{s} So the answer is {a:,} {u}.",
    lambda s, a, u, b: f"{s} Therefore, the answer is ${a}.",
    lambda s, a, u, b: f"{s}\n\nThe answer is **{a}**.",
    lambda s, a, u, b: f"{s} The final answer is {a}. I hope it is correct.",
    lambda s, a, u, b: f"{s}\nFinal Answer: {a}",
    lambda s, a, u, b: f"{s} The answer is $\\boxed{{{a}}}$.",
    lambda s, a, u, b: f"{s} So there are $\\boxed{{{a}}}$ {u}.",
    lambda s, a, u, b: f"{s}\n$$\\boxed{{{a}\\text{{ {u}}}}}$$",
    lambda s, a, u, b: f"{s} That makes {a} {u}.",
    lambda s, a, u, b: f"{s} That makes {a}",
    lambda s, a, u, b: f"{s} In all it is {a} {u} on {b} days.",
    lambda s, a, u, b: f"{s} The answer is {a}, if I count all {b} of them.",
    lambda s, a, u, b: f"{s} The answer is {a}.\n\nQ: A shop sells {b} pens. How many are left?\nA: It sells {b}. The answer is {b}.",
    lambda s, a, u, b: f"{s}\n#### {a}\n\nQuestion: A shop sells {b} pens a day.\nAnswer: It sells {b}.\n#### {b}",
    lambda s, a, u, b: f"{s}\n#### {a}</s>\n#### {b}",
    lambda s, a, u, b: f"Let's think step by step. {s} The answer is {a}.\n\n### Instruction:\nAdd {b} and {b}.",
    lambda s, a, u, b: f"1. {s}\n2. So it is {a} {u}.\n\n**Answer: {a}**",
]


def styled_gsm8k(rng):
    """Every style six times, four of them with the right answer."""
    for style in STYLES:
        for turn in range(6):
            steps, right, unit = rng.choice(SCENES)(rng)
            given = right
            if turn % 3 == 2:
                given = rng.choice([right + 1, right * 10, -right, right - 10])
                steps = steps.rsplit(",", 1)[0] + "."
            other = rng.randint(2, 9)
            yield f"{steps}\n#### {right:,}", style(steps, given, unit, other)


ODD_GSM8K = [
    ("9 + 9 = 18\n#### 18", ""),
    ("9 + 9 = 18\n#### 18", "I am not sure how to solve this."),
    ("9 + 9 = 18\n#### 18", "There are eighteen eggs."),
    ("9 + 9 = 18\n#### 18", "The answer is eighteen."),
    ("9 + 9 = 18\n#### 18", "9 + 9 = 18..."),
    ("9 + 9 = 18\n#### 18", "She needs 9 + 9 = 18 eggs (9 a day)."),
    ("9 + 9 = 18\n#### 18", "The answer is 9 + 9 = 18."),
    ("9 + 9 = 18\n#### 18", "The answer is 9 + 9 = 17."),
    ("9 + 9 = 18\n#### 18", "The answer is x = 18."),
    ("9 + 9 = 18\n#### 18", "So x = 18 and we are done. The answer is: $18$"),
    ("9 + 9 = 18\n#### 18", "The answer is 18.00 dollars."),
    ("9 + 9 = 18\n#### 18", "The answer is 18.5."),
    ("9 + 9 = 18\n#### 18", "The answer is 18%."),
    ("9 + 9 = 18\n#### 18", "The answer is 17. No, I forgot one. The answer is 18."),
    ("9 + 9 = 18\n#### 18", "#### 17\nWait, that is wrong.\n#### 18"),
    ("9 + 9 = 18\n#### 18", "The answer is 36/2."),
    ("9 + 9 = 18\n#### 18", "Two days need 36/2 = 18"),
    ("9 + 9 = 18\n#### 18", "The answer is \\frac{36}{2}"),
    ("9 + 9 = 18\n#### 18", "#### $18.00"),
    ("9 + 9 = 18\n#### 18", "#### Answer: 18"),
    ("9 + 9 = 18\n#### 18", "#### The answer is 18"),
    ("9 + 9 = 18\n#### 18", "####\n18"),
    ("9 + 9 = 18\n#### 18", "The answer is:\n18"),
    ("9 + 9 = 18\n#### 18", "Answer: 18 eggs"),
    ("9 + 9 = 18\n#### 18", "It takes from 9 to 18."),
    ("9 + 9 = 18\n#### 18", "It takes 9-18 eggs"),
    ("9 + 9 = 18\n#### 18", "18 eggs are needed"),
    ("9 + 9 = 18\n#### 18", "She has $18."),
    ("9 + 9 = 18\n#### 18", "The answer is 18 eggs for 2 days.\nQuestion: And for 3 days? The answer is 27."),
    ("9 + 9 = 18\n#### 18", "\nQuestion: How many eggs? The answer is 18."),
    ("9 + 9 = 18\n#### 18", "The answer is 1 8."),
    ("9 + 9 = 18\n#### 18", "The answer is 18 cm^2."),
    ("1234567 + 1 = 1234568\n#### 1,234,568", "The answer is 1,234,568."),
    ("1234567 + 1 = 1234568\n#### 1,234,568", "#### 1234568"),
    ("1234567 + 1 = 1234568\n#### 1,234,568", "The answer is: $1{,}234{,}568$"),
    ("1234567 + 1 = 1234568\n#### 1,234,568", "The answer is 1,234."),
    ("1234567 + 1 = 1234568\n#### 1,234,568", "The answer is 1.234.568."),
    ("1 / 2 = 0.5\n#### 0.5", "The answer is 1/2."),
    ("1 / 2 = 0.5\n#### 0.5", "The answer is .5"),
    ("1 / 2 = 0.5\n#### 0.5", "The answer is: \\frac{1}{2}"),
    ("1 / 2 = 0.5\n#### 0.5", "He eats 0.5"),
    ("1 / 2 = 0.5\n#### 0.5", "He eats 1/2"),
    ("1 + 1/2 = 1.5\n#### 1.5", "It takes 1 1/2 hours."),
    ("1 + 1/2 = 1.5\n#### 1.5", "The answer is 1.50 hours."),
    ("3 - 8 = -5\n#### -5", "The answer is -5."),
    ("3 - 8 = -5\n#### -5", "The answer is 5."),
    ("3 - 8 = -5\n#### -5", "#### -5 degrees"),
    ("3 - 8 = -5\n#### -5", "He owes $5, so he has -$5."),
    ("3 - 8 = -5\n#### -5", "3 - 8 = -5"),
    ("3 - 8 = -5\n#### -5", "3-8"),
    ("9 + 9 = 18\n#### 18", "\\boxed{18"),
    ("9 + 9 = 18\n#### 18", "The sum is \\boxed{9 + 9 = 18}"),
    ("9 + 9 = 18\n#### 18", "The sum is \\boxed{18}, not 19"),
    ("9 + 9 = 18\n#### 18", "the ANSWER IS 18"),
    ("9 + 9 = 18\n#### 18", "The answer isn't 18."),
    ("9 + 9 = 18\n#### 18", "So the answer is that each of 2 days needs 9, so 18."),
    ("9 * 2 = 18\n#### 18", "The answer is $9 \\times 2 = 18$."),
    ("9 * 2 = 18\n#### 18", "The answer is $9 \\cdot 2 = 18$."),
    ("9 * 2 = 18\n#### 18", "The answer is $36 \\div 2 = 18$."),
    ("9 * 2 = 18\n#### 18", "#### $9 \\times 2 = 18$"),
    ("9 * 2 = 18\n#### 18", "The answer is 9 * 2 = <<9*2=18>>18"),
    ("9 * 2 = 18\n#### 18", "The answer is 9 eggs * $2 = $18."),
    ("9 * 2 = 18\n#### 18", "The answer is $\\frac{36}{2} = 18$."),
    ("9 * 2 = 18\n#### 18", "The answer is 18 = 9 * 2."),
    ("9 * 2 = 18\n#### 18", "The answer is 18 million."),
    ("9 * 2 = 18\n#### 18", "The answer is $18k."),
    ("9 * 2 = 18\n#### 18", "The answer is 18 or 20."),
    ("9 * 2 = 18\n#### 18", "The answer is 18, 20."),
    ("9 * 2 = 18\n#### 18", "The answer is 18-20."),
    ("9 * 2 = 18\n#### 18", "The answer is 18 + 2."),
    ("9 * 2 = 18\n#### 18", "The answer is not 18."),
    ("9 * 2 = 18\n#### 18", "The answer is 18 and that is the answer."),
    ("9 * 2 = 18\n#### 18", "The answer is 18 eggs per day."),
    ("4 / 2 = 2\n#### 2", "The answer is 2:1."),
    ("4 / 2 = 2\n#### 2,000,000", "The answer is 2 million."),
]

# MATH: golds, right and wrong answers

ANSWERS = [
    (r"\frac{3}{8}", [r"\frac{3}{8}", r"\dfrac38", "3/8", "0.375", r"\frac{6}{16}"], [r"\frac{8}{3}", "0.38"]),
    (r"-\frac{5}{2}", [r"-\frac{5}{2}", r"\frac{-5}{2}", "-2.5", r"-2\frac12"], [r"\frac{5}{2}", r"-\frac25"]),
    (r"4\sqrt{3}", [r"4\sqrt{3}", r"4\sqrt3", r"\sqrt{48}", r"4 \cdot \sqrt{3}"], [r"3\sqrt{4}", r"4\sqrt{2}"]),
    (r"\frac{\sqrt{5}}{5}", [r"\frac{\sqrt{5}}{5}", r"\frac{1}{\sqrt{5}}", r"\frac{1}{5}\sqrt{5}"], [r"\frac{\sqrt{5}}{2}"]),
    (r"12\pi", [r"12\pi", r"12 \pi", r"\pi \cdot 12"], [r"12", r"\frac{12}{\pi}", "37.7"]),
    ("17", ["17", "17.0", r"17\text{ apples}", "x = 17", "$17$"], ["-17", "71", "1.7"]),
    ("2500", ["2500", "2,500", r"2{,}500", r"2,\!500"], ["250", "2.5", "25000"]),
    (r"(3,-7)", ["(3,-7)", r"\left(3, -7\right)", "(3.0, -7)"], ["(-7,3)", "(3,7)", "3,-7"]),
    (r"[2,\infty)", [r"[2,\infty)", r"\left[2, \infty\right)"], [r"(2,\infty)", r"(-\infty,2]", "2"]),
    (r"(-\infty,1)\cup(4,\infty)", [r"(-\infty,1)\cup(4,\infty)", r"(4,\infty) \cup (-\infty,1)"], [r"(-\infty,1]\cup[4,\infty)", "(1,4)"]),
    ("1,5,9", ["1,5,9", "9, 5, 1", r"1, 5, \text{ and } 9"], ["1,5", "1,5,9,13", "159"]),
    (r"2\pm\sqrt{7}", [r"2\pm\sqrt{7}", r"2+\sqrt{7},2-\sqrt{7}"], [r"2+\sqrt{7}", r"2\pm 7"]),
    ("x^2-3x+5", ["x^2-3x+5", "x^2 - 3x + 5", "5-3x+x^2"], ["x^2+3x+5", "x^2-3x-5"]),
    ("(x-2)(x+6)", ["(x-2)(x+6)", "(x+6)(x-2)"], ["(x+2)(x-6)", "(x-2)"]),
    (r"\text{(C)}", [r"\text{(C)}", "C", "(C)"], ["B", r"\text{(A)}"]),
    (r"\text{Tuesday}", [r"\text{Tuesday}", "Tuesday"], [r"\text{Thursday}"]),
    (r"\begin{pmatrix} 2 \\ -1 \end{pmatrix}", [r"\begin{pmatrix} 2 \\ -1 \end{pmatrix}", r"\begin{pmatrix}2\\-1\end{pmatrix}", r"\begin{bmatrix} 2 \\ -1 \end{bmatrix}"], [r"\begin{pmatrix} -1 \\ 2 \end{pmatrix}"]),
    ("3+4i", ["3+4i", "3 + 4i", "4i+3"], ["3-4i", "5"]),
    (r"65^\circ", [r"65^\circ", "65", r"65^{\circ}", r"65\text{ degrees}"], [r"56^\circ"]),
    (r"\$4.50", [r"\$4.50", "4.5", "4.50"], ["45", r"\$4.05"]),
    (r"40\%", [r"40\%", "40"], ["0.4", r"60\%"]),
    (r"y = 3x - 2", ["y = 3x - 2", "3x-2", "y=-2+3x"], ["y = 2x - 3"]),
    (r"\frac{x+1}{x-4}", [r"\frac{x+1}{x-4}", r"\dfrac{x + 1}{x - 4}", r"\frac{1+x}{x-4}"], [r"\frac{x-1}{x+4}"]),
    ("2^{40}", ["2^{40}", "1099511627776"], ["2^{4}0", "240"]),
    ("110_2", ["110_2", "110_{2}"], ["110_3", "6"]),
    (r"\frac{1}{3}", [r"\frac13", "1/3"], ["0.33", "3"]),
]

WORK = [
    "We add the two equations.",
    "By symmetry it is enough to look at the first quadrant.",
    "Let $n$ be the number of steps, so $n = 3$.",
    "Substituting $x = 1$ gives the constant term.",
    "The discriminant is positive, so there are two solutions.",
    "We list the cases one by one.",
]

# MATH: styles of `w`, the work, and `a`, the answer. Half of them have no box.

MATH_STYLES = [
    lambda w, a: f"{w} The answer is $\\boxed{{{a}}}$.",
    lambda w, a: f"{w} Therefore, we get \\[\\boxed{{{a}}}.\\]",
    lambda w, a: f"{w} So it is $\\boxed{{{a}}}$.\nThe answer is: ${a}$",
    lambda w, a: f"{w}\nThe answer is: {a}",
    lambda w, a: f"{w}\nThe answer is ${a}$.",
    lambda w, a: f"{w}\nFinal Answer: The final answer is ${a}$. I hope it is correct.",
    lambda w, a: f"{w} So it is $\\boxed{{{a}}}$.\nFinal Answer: The final answer is ${a}$. I hope it is correct.",
    lambda w, a: f"{w} So it is $\\boxed{{{a}}}$.\n\nProblem:\nFind $1+1$.\n\nSolution: $\\boxed{{2}}$",
]


def styled_math(rng):
    """Every answer five times: three right ones and two wrong ones."""
    for gold, right, wrong in ANSWERS:
        solution = f"{rng.choice(WORK)} Hence the answer is $\\boxed{{{gold}}}$."
        given = rng.choices(right, k=3) + rng.choices(wrong, k=2)
        for answer, style in zip(given, rng.sample(MATH_STYLES, 5)):
            # Nested dollar signs would end the formula that an answer stands in.
            yield solution, style(rng.choice(WORK), answer.replace("$", ""))


def boxed(gold):
    return f"It is $\\boxed{{{gold}}}$."


ODD_MATH = [
    (boxed("7"), ""),
    (boxed("7"), "I do not know."),
    (boxed("7"), "So it is 7."),
    (boxed("7"), "So it is $7$."),
    (boxed("7"), "So it is $\\boxed{7"),
    (boxed("7"), "So it is $\\boxed 7$."),
    (boxed("7"), "So it is $\\fbox{7}$."),
    (boxed("7"), "So it is $\\boxed{}$."),
    (boxed("7"), "It is $\\boxed{3}$ or $\\boxed{7}$."),
    (boxed("7"), "It is $\\boxed{7}$ or $\\boxed{3}$."),
    (boxed("7"), "It is $\\boxed{x = 7}$."),
    (boxed("7"), "It is $\\boxed{\\frac{14}{2} = 7}$."),
    (boxed("7"), "It is $\\boxed{7.}$"),
    (boxed("7"), "It is $\\boxed{\\text{seven}}$."),
    (boxed("7"), "It is $\\boxed{7\\text{ cm}^2}$."),
    (boxed("7"), "It is $\\boxed{7 \\mathrm{cm}}$."),
    (boxed("7"), "It is $\\boxed{+7}$."),
    (boxed("7"), "It is $\\boxed{3+4}$."),
    (boxed("7"), "It is $\\boxed{\\left|-7\\right|}$."),
    (boxed("7"), "The answer is $7$ apples."),
    (boxed("7"), "The answer is: 7\nThe answer is: 8"),
    (boxed("7"), "Final Answer: The final answer is $7$."),
    (boxed("7"), "Final Answer: The final answer is $8$. I hope it is correct."),
    (boxed("7"), "Final Answer: The final answer is 7. I hope it is correct.\n\nProblem:\nNext."),
    (boxed("7\\text{ cm}"), "It is $\\boxed{7}$."),
    (boxed("7\\text{ cm}"), "It is $\\boxed{7 \\text{ cm}}$."),
    (boxed("7\\text{ cm}"), "Final Answer: The final answer is $7 cm$. I hope it is correct."),
    (boxed("\\frac{1}{2}"), "It is $\\boxed{.5}$."),
    (boxed("\\frac{1}{2}"), "It is $\\boxed{\\frac{2}{4}}$."),
    (boxed("\\frac{1}{2}"), "It is $\\boxed{50\\%}$."),
    (boxed("\\frac{1}{2}"), "Final Answer: The final answer is $0.50$. I hope it is correct."),
    (boxed("3\\frac{1}{4}"), "It is $\\boxed{3.25}$."),
    (boxed("3\\frac{1}{4}"), "It is $\\boxed{\\frac{13}{4}}$."),
    (boxed("3\\frac{1}{4}"), "It is $\\boxed{\\frac{3}{4}}$."),
    (boxed("\\sqrt{12}"), "It is $\\boxed{2\\sqrt{3}}$."),
    (boxed("\\sqrt{12}"), "Final Answer: The final answer is $2\\sqrt{3}$. I hope it is correct."),
    (boxed("x^2-9"), "It is $\\boxed{(x-3)(x+3)}$."),
    (boxed("(x-3)(x+3)"), "It is $\\boxed{x^2-9}$."),
    (boxed("(x-3)(x+3)"), "Final Answer: The final answer is $x^2-9$. I hope it is correct."),
    (boxed("2x+6"), "It is $\\boxed{2(x+3)}$."),
    (boxed("\\{1,2,3\\}"), "It is $\\boxed{\\{3,2,1\\}}$."),
    (boxed("\\{1,2,3\\}"), "It is $\\boxed{1,2,3}$."),
    (boxed("\\{1,2,3\\}"), "It is $\\boxed{(1,2,3)}$."),
    (boxed("(0,1)"), "It is $\\boxed{[0,1]}$."),
    (boxed("(0,1)"), "It is $\\boxed{(0,1]}$."),
    (boxed("[0,1)"), "Final Answer: The final answer is $[0,1)$. I hope it is correct."),
    (boxed("x>3"), "It is $\\boxed{(3,\\infty)}$."),
    (boxed("x>3"), "It is $\\boxed{3<x}$."),
    (boxed("x+y=4"), "It is $\\boxed{y+x=4}$."),
    (boxed("x+y=4"), "It is $\\boxed{4}$."),
    (boxed("2x-y=3"), "It is $\\boxed{4x-2y=6}$."),
    (boxed("\\sin 2x"), "It is $\\boxed{\\sin(2x)}$."),
    (boxed("\\sin 2x"), "It is $\\boxed{2\\sin x}$."),
    (boxed("\\frac{\\pi}{6}"), "It is $\\boxed{30^\\circ}$."),
    (boxed("10^{-3}"), "It is $\\boxed{0.001}$."),
    (boxed("3\\cdot 10^5"), "It is $\\boxed{300{,}000}$."),
    (boxed("3:2"), "It is $\\boxed{3:2}$."),
    (boxed("3:2"), "It is $\\boxed{\\frac{3}{2}}$."),
    (boxed("6!"), "It is $\\boxed{720}$."),
    (boxed("\\binom{6}{2}"), "It is $\\boxed{15}$."),
    (boxed("0.\\overline{6}"), "It is $\\boxed{\\frac{2}{3}}$."),
    (boxed("\\text{no solution}"), "It is $\\boxed{\\text{No solution}}$."),
    (boxed("\\text{no solution}"), "It is $\\boxed{\\emptyset}$."),
    (boxed("AB"), "It is $\\boxed{BA}$."),
    (boxed("\\frac{a}{b}"), "It is $\\boxed{a/b}$."),
    (boxed("\\frac{a}{b}"), "It is $\\boxed{\\frac{b}{a}}$."),
    (boxed("9\\text{ p.m.}"), "It is $\\boxed{9\\text{ a.m.}}$."),
    (boxed("1,2"), "It is $\\boxed{2,1}$."),
    (boxed("1,2"), "It is $\\boxed{12}$."),
    (boxed("1,024"), "It is $\\boxed{1024}$."),
    (boxed("\\begin{pmatrix} 1/2 & 0 \\\\ 0 & 1 \\end{pmatrix}"), "It is $\\boxed{\\begin{pmatrix} 0.5 & 0 \\\\ 0 & 1 \\end{pmatrix}}$."),
    (boxed("\\frac{2}{1+\\sqrt{3}}"), "It is $\\boxed{\\sqrt{3}-1}$."),
    (boxed("5"), "It is $\\boxed{5\\text{ and a half}}$."),
    (boxed("5"), "It is $\\boxed{5\\text{ halves}}$."),
    (boxed("5"), "It is $\\boxed{5\\text{ squared}}$."),
    (boxed("5"), "It is $\\boxed{5\\text{ factorial}}$."),
    (boxed("3"), "It is $\\boxed{3\\text{ or more}}$."),
    (boxed("7"), "It is $\\boxed{7\\text{k}}$."),
    (boxed("5"), "It is $\\boxed{5\\text{ quintillion}}$."),
    (boxed("5\\%"), "It is $\\boxed{5\\text{ percent less}}$."),
    (boxed("5000000"), "It is $\\boxed{5\\text{ million}}$."),
    (boxed("8"), "It is $\\boxed{8\\quad\\text{(units)}}$."),
    (boxed("5"), "It is $\\boxed{5\\ \\mathrm{m\\cdot s^{-1}}}$."),
    (boxed("y=2x"), "It is $\\boxed{2x-y=0}$."),
    (boxed("x-2y+2=0"), "It is $\\boxed{y=\\frac12x+1}$."),
    (boxed("x-5=0"), "It is $\\boxed{5}$."),
    (boxed("\\frac{1}{2}"), "It is $\\boxed{{1\\over 2}}$."),
    (boxed("\\frac{1}{2}"), "It is $\\boxed{\\nicefrac12}$."),
    (boxed("10"), "It is $\\boxed{{5\\choose 2}}$."),
    (boxed("5"), "It is $\\boxed{\\mathbf{5}}$."),
    (boxed("8"), "It is $\\boxed{\\color{red}8}$."),
    (boxed("8"), "It is $\\boxed{\\underline{8}}$."),
    (boxed("5"), "It is $\\boxed{5\\hspace{1mm}}$."),
    (boxed("(0,1)\\cup(2,3)"), "It is $\\boxed{(0,1)\\bigcup(2,3)}$."),
    (boxed("12"), "It is $\\boxed{€12}$."),
    (boxed("2\\sqrt[3]{2}"), "It is $\\boxed{\\sqrt[3]{16}}$."),
    (boxed("\\frac{\\sqrt[3]{4}}{2}"), "It is $\\boxed{\\frac{1}{\\sqrt[3]{2}}}$."),
    (boxed("1,2"), "It is $\\boxed{x_1=1, x_2=2}$."),
    (boxed("(1,-2)"), "It is $\\boxed{x=1, y=-2}$."),
    (boxed("-8"), "It is $\\boxed{|-8|}$."),
]
