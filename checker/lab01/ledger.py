"""The claims a submission of this lab makes, and what became of each once its task had looked into it.

A claim stands on the task's findings: the places they name are contradicted, and what exercise.py wrote again here is
verified. What nobody can make again here, such as a machine and a date, is said to be so.
"""

from __future__ import annotations

from collections.abc import Iterator

from checker.lab01.schemas import Manifest, Results
from checker.lab01.work import LAB, MANIFEST, RESULTS, Work
from checker.language import N_, _
from checker.ledger import claim, or_unchecked, unchecked
from checker.report import Claim, Finding

NO_RUN = N_("exercise.py, run here with your cache, gave nothing to compare")


def of_the_manifest(work: Work, faults: list[Finding]) -> Iterator[Claim]:
    found = work.manifest
    if not isinstance(found, Manifest):
        return
    config = found.config
    text = _("manifest.json: it is about {cases} cases and {generations} generations, drawn from seed {seed}").format(
        cases=config.n_cases, generations=config.n_generations, seed=config.case_seed
    )
    yield claim(text, MANIFEST, faults, "config")
    text = _("manifest.json: it was made with torch {torch} on {platform}").format(
        torch=found.versions.torch, platform=found.platform
    )
    yield unchecked(text, MANIFEST, _("what it was made with leaves no trace that another machine could look at"))


def of_the_results(work: Work, faults: list[Finding]) -> Iterator[Claim]:
    found = work.results
    if not isinstance(found, Results) or any(f.file == RESULTS and f.where in ("cases", "generations") for f in faults):
        return  # of other cases than the lab's, nothing was looked into
    total = found.summary
    if not total.rows_read:
        return  # it claims nothing
    here = work.readable(lambda: work.replayed_results(LAB))
    asked = {
        _("results.json: read() handed out {n} rows").format(n=total.rows_read): ("rows", "rows_read"),
        _("results.json: the answers of every case, as sha256"): ("sha256", "refused", "operations"),
        _("results.json: {equal} of {n} generations equal a run without a cache").format(
            equal=total.generations_equal, n=total.generations
        ): ("differing", "stopped", "generations_equal", "rows_differing", "rows_compared", "compared"),
        _("results.json: {seen} of {n} overwritten rows were seen").format(seen=total.pokes_seen, n=total.pokes): (
            "pokes_seen",
            "pokes",
        ),
    }
    for text, places in asked.items():
        yield or_unchecked(claim(text, RESULTS, faults, *places), "" if here else _(NO_RUN))
