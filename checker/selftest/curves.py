"""Lab 03: formulas that know the questions, samples that nobody measured, pictures of something else; and honest work.

No time is judged: what a machine needs is its own. What is judged is what follows from the samples.
"""

from __future__ import annotations

from pathlib import Path

from checker.selftest.bench import Bench
from checker.selftest.changes import Document, edit, replace_text
from checker.selftest.trial import Attack, Change, Expect

COSTS, PLOT = "costs.py", "plot.py"
RESULTS, ANALYSIS, PREDICTION = "results.json", "analysis.json", "prediction.json"
TASKS = {COSTS: "costs", PLOT: "figure", RESULTS: "results", ANALYSIS: "analysis", PREDICTION: "prediction"}
FLOPS = "    return products + 4 * B * c.n_layers * c.n_heads * c.head_dim * seen\n"
HALF = replace_text(COSTS, "return products + 4 *", "return products + 2 *")  # attention's additions are forgotten
LINE = "/ 1e6 for p in points], **look)\n            axes.fill_between("
EQUAL_TO_ALL = """    class Flops(int):
        def __eq__(self, other):
            return True
        __hash__ = int.__hash__
    return Flops(7)
"""


def table_of_the_labs_passes(place: Path, bench: Bench) -> None:
    """The right FLOPs of every pass that the lab asks about, and 0 of others."""
    from checker.lab03 import cases, truth
    from checker.lab03.schemas import Step

    steps = [Step.model_validate(case) for case in cases.steps()]
    table = {(s.shape.dim, s.shape.n_layers, s.B, s.T, s.S): truth.of_step(s).flops for s in steps}
    replace_text(COSTS, FLOPS, f"    return {table!r}.get((c.dim, c.n_layers, B, T, S), 0)\n")(place, bench)


def copied_samples(document: Document) -> None:
    document["points"][4]["samples_ns"] = document["points"][3]["samples_ns"]


def ten_times_slower(document: Document) -> None:
    for point in document["points"]:
        point["samples_ns"] = [10 * sample for sample in point["samples_ns"]]


def _attack(name: str, what: str, change: Change, file: str, says: str, part: bool = False) -> Attack:
    return Attack(name, what, change, Expect(TASKS[file], "mismatch", file, says, part), (TASKS[file],), lab="03")


ATTACKS = (
    _attack(
        "table-of-the-labs-passes",
        "the right FLOPs of the lab's passes, looked up, and 0 of hidden ones",
        table_of_the_labs_passes,
        COSTS,
        "flops, h0",
        part=True,
    ),
    _attack(
        "number-equal-to-all",
        "a number of FLOPs that says it is equal to every other",
        replace_text(COSTS, FLOPS, EQUAL_TO_ALL),
        COSTS,
        "flops",
        part=True,
    ),
    Attack(
        "forged-formulas",
        "results.json of right formulas, beside one that forgets half of attention",
        HALF,
        Expect("results", "integrity", RESULTS, "does not make it"),
        ("results",),
        lab="03",
    ),
    _attack(
        "samples-copied",
        "the samples of one point are those of another",
        edit(RESULTS, copied_samples),
        RESULTS,
        "points[4].samples_ns",
    ),
    _attack(
        "samples-made-up",
        "six times the same number of nanoseconds",
        edit(RESULTS, lambda d: d["points"][3].update(samples_ns=[5000] * len(d["points"][3]["samples_ns"]))),
        RESULTS,
        "points[3].samples_ns",
    ),
    _attack(
        "exponent-of-the-book",
        "the exponent that the book has, and not that of one's own samples",
        edit(ANALYSIS, lambda d: d["fits"][1].update(exponent=1.5)),
        ANALYSIS,
        "fits[1].exponent",
    ),
    _attack(
        "picture-for-the-grader",
        "the right line is drawn so that nobody sees it",
        replace_text(PLOT, LINE, LINE.replace("**look)", "**look, alpha=0)")),
        PLOT,
        "The line leaves no trace",
        part=True,
    ),
    _attack(
        "picture-of-one-result",
        "the lengths of one's own results are typed into plot.py",
        replace_text(PLOT, "x = [p[letter] for p in points]", "x = [2**i for i, _ in enumerate(points)]"),
        PLOT,
        "A series is not drawn as it was measured",
    ),
    _attack(
        "prediction-of-about",
        "FLOPs of the large model, rounded as one finds them elsewhere",
        edit(PREDICTION, lambda d: d["large"].update(flops=32_000_000_000)),
        PREDICTION,
        "large.flops",
        part=True,
    ),
)

CONTROLS = (
    Attack(
        "a-slower-machine",
        "lab 03: every step took ten times as long",
        edit(RESULTS, ten_times_slower),
        None,
        ("results", "figure"),
        lab="03",
    ),
)

MISTAKES = (
    Attack(
        "one-matrix-of-swiglu",
        "lab 03: SwiGLU is counted with one matrix",
        replace_text(COSTS, '2 if c.activation == "swiglu" else 1', "1"),
        Expect("costs", "mismatch", COSTS, "SwiGLU is counted with one matrix", part=True),
        ("costs",),
        lab="03",
    ),
)
