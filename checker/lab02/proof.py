"""The property itself: what results.json claims, what its script gives when run here, and what the model says."""

from __future__ import annotations

from collections.abc import Iterator

from checker.gate import Refusal
from checker.lab02 import causes
from checker.lab02.consistency import contradictions, tally
from checker.lab02.prompts import extended_prompts, hidden_prompts, lab_prompts
from checker.lab02.schemas import Case, Extended, Results
from checker.lab02.work import CORRECTNESS, PROPERTY_TEST, RESULTS, Work
from checker.report import Finding, Kind

SOURCES = {"lab": "its run on the lab's prompts", "hidden": "its run on hidden prompts"}


def property_(work: Work) -> Iterator[Finding | str]:
    """Tokens and bytes of the 50 lab prompts, and of hidden ones, are those the model gives."""
    from checker.lab02.judge import Pair, judge  # torch

    work.begin()
    truths = work.truths
    submitted = _submitted(work)
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
    yield from _stock(submitted, lab)


def extended(work: Work) -> Iterator[Finding | str]:
    """256 new tokens, four sequences in one batch, five tokens onto a warm cache."""
    from checker.lab02.judge import Pair, judge  # torch

    submitted = _submitted(work)
    if submitted.extended is None:
        wanted, message = "long, batch and warm", "The extended cases are not there yet (block C)."
        yield Finding(
            kind="missing",
            file=RESULTS,
            where="extended",
            expected=wanted,
            found="null",
            message=message,
        )
        return
    truths = work.extended_truths
    comparable = work.stored_bytes_comparable(CORRECTNESS)
    lab, faults = replayed(work, "lab")
    yield from faults
    if lab and lab.extended is None:
        yield _no_data(work, "lab", "It gave no extended cases.")
    in_run: list[Case] | list[None] = _flat(lab.extended) if lab and lab.extended else [None] * len(truths)
    places = ["long", *(f"batch[{i}]" for i in range(4)), "warm"]
    pairs = [
        Pair(f"extended.{place}", ask, truth, case if comparable else None, again)
        for place, ask, truth, case, again in zip(
            places, extended_prompts(), truths, _flat(submitted.extended), in_run, strict=True
        )
    ]
    yield from judge(pairs, RESULTS, PROPERTY_TEST, SOURCES["lab"], work.recompute.other_seeding)


def replayed(work: Work, name: str) -> tuple[Results | None, list[Finding]]:
    """What the script wrote for the "lab" or "hidden" prompts, or why that is nothing to go by."""
    run = work.run(name)
    if run.outcome == "missing":
        message = "Without the script, nothing that results.json claims can be run again."
        return None, [Finding(kind="missing", file=PROPERTY_TEST, message=message)]
    if run.outcome == "timed out":
        return None, [_no_data(work, name, f"It did not end within {work.options.timeout:g} s (--timeout).")]
    try:
        found = work.replayed_results(name)
    except Refusal as refusal:
        return None, [_no_data(work, name, f"Its results.json: {refusal}", refusal.finding)]
    if isinstance(found, list):
        return None, [_no_data(work, name, f"In its results.json: {fault.message}", fault) for fault in found]
    asked = lab_prompts() if name == "lab" else hidden_prompts(work.hidden_seed)
    faults = [
        Finding(
            kind="mismatch",
            file=PROPERTY_TEST,
            where=f"results.json of {SOURCES[name]}: {fault.where}",
            expected=fault.expected,
            found=fault.found,
            message=f"Your script was run here. {fault.message}",
        )
        for fault in contradictions(found, asked)
    ]
    return (None if faults else found), faults


def _submitted(work: Work) -> Results:
    assert isinstance(work.results, Results)  # the task `results` has passed
    return work.results


def _no_data(work: Work, name: str, message: str, fault: Finding | None = None) -> Finding:
    code = work.run(name).exit_code
    ended = "" if code in (0, None) else f" It ended with exit code {code}."
    where = f"{SOURCES[name]}: {fault.where}" if fault and fault.where else SOURCES[name]
    return Finding(
        kind="replay",
        file=PROPERTY_TEST,
        where=where,
        expected=fault.expected if fault else "data that can be compared",
        found=fault.found if fault else "none",
        message=f"Your script was run here. {message}{ended}",
        usual_causes=causes.NO_DATA,
    )


def _flat(extended: Extended) -> list[Case]:
    return [extended.long, *extended.batch, extended.warm]


def _stock(submitted: Results, lab: Results | None) -> Iterator[Finding | str]:
    """The stock run proves nothing and is compared with nothing; but it must be one."""
    stock = submitted.runs.stock
    assert stock  # the task `results` has passed
    mine = tally(stock.cases)
    line = f"on stock ops, by your file: tokens equal in {mine.tokens_passed} of {mine.n}, "
    line += f"bytes in {mine.bytes_passed} of {mine.n}"
    again = lab.runs.stock if lab else None
    if again:
        here = tally(again.cases)
        line += f"; run here: {here.tokens_passed} and {here.bytes_passed}"
    yield line
    if _is_the_fixed_run(submitted):
        script_too = lab is None or again is None or _is_the_fixed_run(lab)
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
