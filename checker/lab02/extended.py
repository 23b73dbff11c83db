"""The extended cases: 256 new tokens, four sequences in one batch, five tokens onto a warm cache."""

from __future__ import annotations

from collections.abc import Iterator

from checker.lab02.claims import contradicted, no_data, of_the_run, other_counts, replayed, source
from checker.lab02.consistency import extended_cases, extended_contradictions
from checker.lab02.prompts import extended_prompts
from checker.lab02.schemas import Case, Results
from checker.lab02.work import CORRECTNESS, PROPERTY_TEST, RESULTS, Work
from checker.language import _
from checker.report import Finding


def extended(work: Work) -> Iterator[Finding | str]:
    """As `property`, for six cases that only the lab's own run has."""
    from checker.lab02.judge import Pair, judge  # torch

    if "catches" in work.wanted:  # `property` has passed, so it will run: the scripts can start meanwhile
        work.planted.start(work.timeout)
    assert isinstance(work.results, Results)  # the task `results` has passed
    submitted = work.results.extended
    if submitted is None:
        yield Finding(
            kind="missing",
            file=RESULTS,
            where="extended",
            expected=_("long, batch and warm"),
            found="null",
            message=_("The extended cases are not there yet (block C)."),
        )
        return
    faults = list(extended_contradictions(submitted))
    if faults:
        yield from (contradicted(work, fault, RESULTS, _contradicts_itself) for fault in faults)
        return

    lab, _faults = replayed(work, "lab")  # the task `property` has passed
    again: dict[str, Case] = {}
    if lab is None or lab.extended is None:
        yield no_data(work, "lab", _("It gave no extended cases."))
    else:
        wrong = [of_the_run(fault, "lab") for fault in extended_contradictions(lab.extended)]
        yield from wrong
        again = {} if wrong else extended_cases(lab.extended)
    comparable = work.stored_bytes_comparable(CORRECTNESS)
    pairs = [
        Pair(where, ask, truth, case if comparable else None, again.get(where))
        for (where, case), ask, truth in zip(
            extended_cases(submitted).items(), extended_prompts(), work.extended_truths, strict=True
        )
    ]
    if again and not comparable:
        yield from other_counts("extended", list(extended_cases(submitted).values()), list(again.values()))
    changed = work.folder.newer(PROPERTY_TEST, than=RESULTS)
    yield from judge(pairs, RESULTS, PROPERTY_TEST, source("lab"), work.recompute.other_seeding, changed=changed)


def _contradicts_itself(again: Results) -> bool:
    return again.extended is None or any(extended_contradictions(again.extended))
