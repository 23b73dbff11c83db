"""The property itself: what results.json claims, what its script gives when run here, and what the model says."""

from __future__ import annotations

from collections.abc import Iterator

from checker.lab02.claims import SOURCES, other_counts, replayed
from checker.lab02.consistency import tally
from checker.lab02.prompts import hidden_prompts, lab_prompts
from checker.lab02.schemas import Case, Results
from checker.lab02.work import CORRECTNESS, PROPERTY_TEST, RESULTS, Work
from checker.report import Finding, Kind


def property_(work: Work) -> Iterator[Finding | str]:
    """Tokens and bytes of the 50 lab prompts, and of hidden ones, are those the model gives."""
    from checker.lab02.judge import Pair, judge  # torch

    work.begin()
    truths = work.truths
    submitted = work.results
    assert isinstance(submitted, Results)  # the task `results` has passed
    comparable = work.stored_bytes_comparable(CORRECTNESS)

    lab, faults = replayed(work, "lab")
    yield from faults
    in_run: list[Case] | list[None] = lab.runs.fixed.cases if lab else [None] * len(truths["lab"])
    pairs = [
        Pair(f"runs.fixed.cases[{i}]", ask, truth, case if comparable else None, again)
        for i, (ask, truth, case, again) in enumerate(
            zip(lab_prompts(), truths["lab"], submitted.runs.fixed.cases, in_run, strict=True)
        )
    ]
    other = work.recompute.other_seeding
    wrong = list(judge(pairs, RESULTS, PROPERTY_TEST, SOURCES["lab"], other))
    yield from wrong
    if lab and not comparable:
        yield "results.json, made under another promise: its counts compared with those of your script, run here"
        yield from other_counts("runs.fixed", submitted.runs.fixed.cases, lab.runs.fixed.cases)

    hidden = None
    if lab:  # a script that gives nothing for the lab's prompts would only say so twice
        hidden, faults = replayed(work, "hidden")
        yield from faults
        asks = hidden_prompts(work.hidden_seed)
        pairs = [
            Pair(f"runs.fixed.cases[{i}]", ask, truth, None, again)
            for i, (ask, truth, again) in enumerate(
                zip(asks, truths["hidden"], hidden.runs.fixed.cases if hidden else [None] * len(asks), strict=True)
            )
        ]
        yield from judge(pairs, RESULTS, PROPERTY_TEST, SOURCES["hidden"], other, known=not wrong)
    yield from _stock(submitted, hidden)


def _stock(submitted: Results, hidden: Results | None) -> Iterator[Finding | str]:
    """The stock run proves nothing and is compared with nothing; but it must be one."""
    stock = submitted.runs.stock
    assert stock  # the task `results` has passed
    mine = tally(stock.cases)
    line = f"on stock ops, by your file: tokens equal in {mine.tokens_passed} of {mine.n}, "
    line += f"bytes in {mine.bytes_passed} of {mine.n}"
    again = hidden.runs.stock if hidden else None
    if again:
        here = tally(again.cases)
        line += f"; run here on hidden prompts: in {here.tokens_passed} and {here.bytes_passed} of {here.n}"
    yield line
    if _is_the_fixed_run(submitted):
        script_too = hidden is None or again is None or _is_the_fixed_run(hidden)
        kind: Kind = "mismatch" if script_too else "integrity"
        yield Finding(
            kind=kind,
            file=RESULTS,
            where="runs.stock",
            expected="a run on PyTorch's own ops",
            found="the digests of runs.fixed, every one",
            message="The stock run holds the bytes of the fixed one: the ops were not switched."
            + ("" if script_too else " Your script, run here, does switch them: the file is not what it gives."),
        )


def _is_the_fixed_run(results: Results) -> bool:
    stock = results.runs.stock
    pairs = zip(stock.cases, results.runs.fixed.cases, strict=True) if stock else ()
    return bool(stock) and all((a.k, a.v, a.logits) == (b.k, b.v, b.logits) for a, b in pairs)
