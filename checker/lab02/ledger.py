"""The claims a submission of this lab makes, and what became of each once its task had looked into it.

A claim stands on the task's findings: where one contradicts its file, so is the claim. What leaves no trace that could
be looked at again, such as the day of a run, is said to be so.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from checker.lab02.schemas import Results
from checker.lab02.work import DIAGNOSIS, MANIFESTS, PROPERTY_TEST, RESULTS, SLOTS, WORKED, Work
from checker.language import N_, _
from checker.ledger import claim, or_unchecked, unchecked
from checker.report import Claim, Finding

ITS_PROBE = N_("its run on a probe")  # where a finding on it stands
NO_TRACE = N_("the day and the machine of a run leave no trace that could be looked at again")
NO_RUN = N_("property_test.py, run here, gave nothing to compare")


def of_the_manifests(work: Work, faults: list[Finding]) -> Iterator[Claim]:
    for name in MANIFESTS:
        if found := work.readable(partial(work.manifest, name)):
            text = _("manifest.json: it was made with the course's weights")
            yield claim(text, name, faults, "config.weights_sha256")
            text = _("manifest.json: it was made on {date} on {platform}, with torch {torch}").format(
                date=found.date, platform=found.platform, torch=found.versions.torch
            )
            yield unchecked(text, name, _(NO_TRACE))


def of_the_counts(work: Work, faults: list[Finding]) -> Iterator[Claim]:
    """That the files agree with one another. Whether the numbers are true is for the next task."""
    if isinstance(work.results, Results):
        yield claim(_("results.json: its counts and divergences are those of its cases"), RESULTS, faults)
        name = next(iter(MANIFESTS))
        if work.readable(lambda: work.manifest(name)):
            yield claim(_("manifest.json: its counts are those of results.json"), name, faults)


def of_the_property(work: Work, faults: list[Finding]) -> Iterator[Claim]:
    assert isinstance(work.results, Results)  # the task `results` has passed
    fixed, stock = work.results.runs.fixed.summary, work.results.runs.stock
    text = _(
        "results.json: on fixed-order operations, tokens agree in {tokens} of {n} prompts and bytes in {bytes}"
    ).format(tokens=fixed.tokens_passed, n=fixed.n, bytes=fixed.bytes_passed)
    no_run = any(fault.file == PROPERTY_TEST and fault.kind in ("replay", "missing") for fault in faults)
    yield or_unchecked(claim(text, RESULTS, faults, "runs.fixed"), _(NO_RUN) if no_run else "")
    if stock:
        mine = stock.summary
        text = _(
            "results.json: on stock operations, tokens agree in {tokens} of {n} prompts and bytes in {bytes}"
        ).format(tokens=mine.tokens_passed, n=mine.n, bytes=mine.bytes_passed)
        because = _("the bytes of stock operations depend on the machine and on the version of PyTorch")
        yield unchecked(text, RESULTS, because)


def of_the_extended(work: Work, faults: list[Finding]) -> Iterator[Claim]:
    assert isinstance(work.results, Results)
    if work.results.extended:
        text = _("results.json: tokens and bytes of the six extended cases are as it says")
        no_run = any(fault.kind == "replay" for fault in faults)
        yield or_unchecked(claim(text, RESULTS, faults), _(NO_RUN) if no_run else "")


def of_the_slots(work: Work, faults: list[Finding]) -> Iterator[Claim]:
    yield claim(
        _("slots.npz: slots 0 and 1 hold the same bytes on both paths, and they are the model's"), SLOTS, faults
    )
    yield claim(_("manifest.json: it counts the rows that slots.npz holds"), f"{WORKED}/manifest.json", faults)


def of_the_catches(work: Work, faults: list[Finding]) -> Iterator[Claim]:
    text = _("property_test.py: what it calls cached reads a KV cache, one token a step")
    yield claim(text, PROPERTY_TEST, faults, _(ITS_PROBE))


def of_the_diagnosis(work: Work, faults: list[Finding]) -> Iterator[Claim]:
    if found := work.readable(lambda: work.diagnosis):
        text = _("diagnosis.json: it is the diagnosis of {student}").format(student=found.student)
        because = _("who hands a file in is not to be seen in the file; compare the name with the one on your list")
        yield unchecked(text, DIAGNOSIS, because)
