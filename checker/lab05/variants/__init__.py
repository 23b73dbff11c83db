"""Kernels that a test of batch invariance must tell from sound ones, and how they are put before a student's test.

A candidate is one kernels file: the sound kernels, with some of the three replaced by a planted one. Which are planted
together is drawn from the hidden seed, and in every file but a few some are left sound: a test that always cries wolf
is found out as surely as one that never does.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from checker.language import N_

HERE = Path(__file__).parent
OPS = ("matmul", "log_softmax", "mean")


@dataclass(frozen=True)
class Variant:
    """One planted kernel: a function of the file ``op``.py beside this one, and how it behaves, in words."""

    op: str
    name: str
    behaviour: str


VARIANTS = (
    Variant("matmul", "split_by_rows", N_("with few rows, the sum over k is made of more parts than with many")),
    Variant("matmul", "steps_by_rows", N_("from some number of rows on, k is taken in longer steps")),
    Variant(
        "matmul", "in_order_of_arrival", N_("partial sums are added up as they arrive, and the batch decides the order")
    ),
    Variant(
        "matmul", "by_place_of_the_tile", N_("a row far down in the batch is added up in another order than the first")
    ),
    Variant(
        "matmul", "tail_not_masked", N_("where K is no multiple of a step, the next row is multiplied in, by zero")
    ),
    Variant("log_softmax", "chunks_by_rows", N_("the row is cut into other chunks when there are more rows")),
    Variant("log_softmax", "shared_maximum", N_("what is subtracted before exp depends on a row next to it")),
    Variant(
        "log_softmax", "reads_past_the_row", N_("some lengths let the row's sum reach into what lies behind the row")
    ),
    Variant("mean", "partial_sums_by_rows", N_("the number of partial sums depends on how many rows there are")),
    Variant("mean", "only_the_first_row_as_alone", N_("only in the first place is a row added up as it is alone")),
)
Candidate = dict[str, Variant | None]  # op -> what is planted there, or None: the sound kernel


def candidates(seed: int) -> list[Candidate]:
    """As few files as show every variant once and each sound kernel at least once."""
    rng = random.Random(seed)
    planted: dict[str, list[Variant | None]] = {op: [v for v in VARIANTS if v.op == op] for op in OPS}
    n = max(map(len, planted.values())) + 1
    for column in planted.values():
        column += [None] * (n - len(column))
        rng.shuffle(column)
    return [{op: planted[op][i] for op in OPS} for i in range(n)]


def source(candidate: Candidate) -> str:
    """The kernels file."""
    parts = [_text("sound")]
    for op, variant in candidate.items():
        if variant:
            parts.append(f"{_text(op)}\n\n{op} = {variant.name}\n")
    return "\n\n".join(parts)


def recorded(candidate: Candidate) -> str:
    """The same, and it notes which calls were made, and whether a row came out in two ways."""
    return f"{source(candidate)}\n\n{_text('recorder')}"


def _text(name: str) -> str:
    return (HERE / f"{name}.py").read_text(encoding="utf-8")
