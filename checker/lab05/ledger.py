"""The claims a submission of this lab makes, and what became of each once its task had looked into it.

A claim stands on the task's findings: the places they name are contradicted, and what the scripts wrote again here
is verified. What nobody can make again here, such as a machine and a date, is said to be so.
"""

from __future__ import annotations

from collections.abc import Iterator

from checker.gate import Refusal
from checker.lab05.schemas import Ask, Invariance, Manifest, Results
from checker.lab05.work import INVARIANCE, MANIFEST, RESULTS, Work
from checker.language import N_, _, ngettext
from checker.report import Claim, Finding

Item = Finding | Claim | str
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
    yield _claim(text, MANIFEST, faults, "config.case_seed", "config.n_cases")
    made = f"{found.config.device_name}, torch {found.versions.torch}, Triton {found.versions.triton}"
    yield Claim(
        text=_("manifest.json: it was made with {made}").format(made=made),
        file=MANIFEST,
        standing="not checkable here",
        because=_("what it was made with leaves no trace that another machine could look at"),
    )


def of_the_results(work: Work, faults: list[Finding]) -> Iterator[Claim]:
    found = work.results
    if not isinstance(found, Results) or _against(faults, RESULTS, "cases", *Ask.model_fields):
        return  # of other cases than the lab's, nothing was looked into
    here = _measured_again(work)
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
        claim = _claim(text, RESULTS, faults, *places)
        if claim.standing == "verified" and (why_not or here is None):
            claim = _unchecked(claim, why_not or _(NO_RUN))
        yield claim


def of_the_test(work: Work, faults: list[Finding]) -> Iterator[Claim]:
    try:
        found = work.invariance
    except Refusal:
        return
    if not isinstance(found, Invariance):
        return
    for op, tested in found.ops:
        text = _("invariance.json: {differing} of {n} comparisons of your {op} differ").format(
            differing=tested.differing, n=tested.comparisons, op=op
        )
        claim = _claim(text, INVARIANCE, faults, f"ops.{op}.differing", f"ops.{op}.comparisons", "kernels_sha256")
        broken = claim.standing == "verified" and any(fault.kind in ("replay", "missing") for fault in faults)
        yield _unchecked(claim, _("invariance_test.py, run here, gave nothing to compare")) if broken else claim


def _claim(text: str, file: str, faults: list[Finding], *places: str) -> Claim:
    return Claim(text=text, file=file, standing="contradicted" if _against(faults, file, *places) else "verified")


def _against(faults: list[Finding], file: str, *places: str) -> bool:
    """Is a finding on ``file`` about one of ``places``, a path or the end of one?"""
    return any(fault.file == file and _ends(fault.where or "", place) for fault in faults for place in places)


def _ends(where: str, place: str) -> bool:
    bare = where.rpartition("[")[0] if where.endswith("]") else where  # cases[3].sha256[0]
    return bare == place or bare.endswith(f".{place}")


def _unchecked(claim: Claim, because: str) -> Claim:
    return Claim(text=claim.text, file=claim.file, standing="not checkable here", because=because)


def _measured_again(work: Work) -> Results | None:
    try:
        here = work.replayed_results("lab")
    except Refusal:
        return None
    return here if isinstance(here, Results) else None


def _not_compared(work: Work) -> str:
    return "" if work.stored_bytes_comparable() else work.evidence().stored_bytes_because or _(NO_RUN)
