"""The property itself: what results.json claims, what its script gives when run here, and what the model says."""

from __future__ import annotations

from collections.abc import Iterator

from checker.lab02.claims import other_counts, replayed, source
from checker.lab02.consistency import tally
from checker.lab02.prompts import hidden_prompts, lab_prompts
from checker.lab02.schemas import Case, Results, Summary
from checker.lab02.work import CORRECTNESS, PROPERTY_TEST, RESULTS, Work
from checker.language import _
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
    changed = work.folder.newer(PROPERTY_TEST, than=RESULTS)
    wrong = list(judge(pairs, RESULTS, PROPERTY_TEST, source("lab"), other, changed=changed))
    yield from wrong
    if lab and not comparable:
        yield _("results.json, made under another promise: its counts compared with those of your script, run here")
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
        yield from judge(pairs, RESULTS, PROPERTY_TEST, source("hidden"), other, known=not wrong)
    yield from _stock(submitted, hidden)


def _stock(submitted: Results, hidden: Results | None) -> Iterator[Finding | str]:
    """The stock run proves nothing and is compared with nothing; but it must be one."""
    stock = submitted.runs.stock
    assert stock  # the task `results` has passed
    mine = tally(stock.cases)
    again = hidden.runs.stock if hidden else None
    here = tally(again.cases) if again else None
    yield _in_words(mine, here)
    if _is_the_fixed_run(submitted):
        script_too = hidden is None or again is None or _is_the_fixed_run(hidden)
        kind: Kind = "mismatch" if script_too else "integrity"
        message = _("The stock run holds the bytes of the fixed one: the ops were not switched.")
        if not script_too:
            message += " " + _("Your script, run here, does switch them: the file is not what it gives.")
        yield Finding(
            kind=kind,
            file=RESULTS,
            where="runs.stock",
            expected=_("a run on PyTorch's own ops"),
            found=_("the digests of runs.fixed, every one"),
            message=message,
        )


def _in_words(mine: Summary, here: Summary | None) -> str:
    """``mine``: the stock run in the file; ``here``: the one on hidden prompts, if the script gave one."""
    counts = {"tokens": mine.tokens_passed, "bytes": mine.bytes_passed, "n": mine.n}
    if here is None:
        return _("on stock ops, by your file: tokens equal in {tokens} of {n}, bytes in {bytes} of {n}").format(
            **counts
        )
    return _(
        "on stock ops, by your file: tokens equal in {tokens} of {n}, bytes in {bytes} of {n}; run here on hidden "
        "prompts: in {tokens_here} and {bytes_here} of {n_here}"
    ).format(**counts, tokens_here=here.tokens_passed, bytes_here=here.bytes_passed, n_here=here.n)


def _is_the_fixed_run(results: Results) -> bool:
    stock = results.runs.stock
    pairs = zip(stock.cases, results.runs.fixed.cases, strict=True) if stock else ()
    return bool(stock) and all((a.k, a.v, a.logits) == (b.k, b.v, b.logits) for a, b in pairs)
