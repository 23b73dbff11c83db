"""The claims a submission of this lab makes, and what became of each once its task had looked into it.

A claim stands on the task's findings: the places they name are contradicted, and what the scripts wrote again here
is verified. What nobody can make again here, such as a machine and a date, is said to be so.
"""

from __future__ import annotations

from collections.abc import Iterator

from checker.lab05.schemas import Ask, Manifest, Results
from checker.lab05.work import INVARIANCE, MANIFEST, RESULTS, Work
from checker.language import N_, _, ngettext
from checker.ledger import claim, or_unchecked, unchecked
from checker.report import Claim, Finding

NO_RUN = N_("measure.py, run here with your kernels, gave nothing to compare")


def of_the_manifest(work: Work, faults: list[Finding]) -> Iterator[Claim]:
    found = work.manifest
    if not isinstance(found, Manifest):
        return
    text = ngettext(
        "manifest.json: it is about {n} case, drawn from seed {seed}",
        "manifest.json: it is about {n} cases, drawn from seed {seed}",
        found.config.n_cases,
    ).format(n=found.config.n_cases, seed=found.config.case_seed)
    yield claim(text, MANIFEST, faults, "config.case_seed", "config.n_cases")
    made = f"{found.config.device_name}, torch {found.versions.torch}, Triton {found.versions.triton}"
    text = _("manifest.json: it was made with {made}").format(made=made)
    yield unchecked(text, MANIFEST, _("what it was made with leaves no trace that another machine could look at"))


def of_the_results(work: Work, faults: list[Finding]) -> Iterator[Claim]:
    found = work.results
    last = {(fault.where or "").rpartition(".")[2] for fault in faults if fault.file == RESULTS}
    if not isinstance(found, Results) or last & {"cases", *Ask.model_fields}:
        return  # of other cases than the lab's, nothing was looked into
    here = work.readable(lambda: work.replayed_results("lab"))
    total = found.summary
    asked = {
        _("results.json: {differing} of {compared} rows changed in other company").format(
            differing=total.rows_differing, compared=total.rows_compared
        ): (
            ("rows_differing", "rows_compared", "differing", "compared"),
            "",
        ),
        _("results.json: Triton kernels of yours ran"): (("launches", "inside"), ""),
        _("results.json: the bytes of every call, as sha256"): (("sha256",), _not_compared(work) if here else ""),
    }
    for text, (places, why_not) in asked.items():
        if places[0] == "launches" and not total.launches:
            continue  # it claims nothing of the kind
        yield or_unchecked(claim(text, RESULTS, faults, *places), why_not or ("" if here else _(NO_RUN)))


def of_the_test(work: Work, faults: list[Finding]) -> Iterator[Claim]:
    found = work.readable(lambda: work.invariance)
    if found is None:
        return
    nothing = any(fault.kind in ("replay", "missing") for fault in faults)
    because = _("invariance_test.py, run here, gave nothing to compare") if nothing else ""
    for op, tested in found.ops:
        text = _("invariance.json: {differing} of {n} comparisons of your {op} differ").format(
            differing=tested.differing, n=tested.comparisons, op=op
        )
        said = claim(text, INVARIANCE, faults, f"ops.{op}.differing", f"ops.{op}.comparisons", "kernels_sha256")
        yield or_unchecked(said, because)


def _not_compared(work: Work) -> str:
    return "" if work.stored_bytes_comparable() else work.evidence().stored_bytes_because or _(NO_RUN)
