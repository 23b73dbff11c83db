"""diagnosis.json: where the student's own planted bug first shows, and what it is."""

from __future__ import annotations

from collections.abc import Iterator

from checker.faults import show
from checker.gate import Refusal
from checker.lab02.work import DIAGNOSIS, Work
from checker.language import _
from checker.report import Finding


def diagnosis(work: Work) -> Iterator[Finding | str]:
    """Step, layer, head and slot of the first difference, and its cause, are those of the bug made for this name."""
    try:
        found = work.diagnosis
    except Refusal as refusal:
        if refusal.finding.kind != "missing":
            raise
        yield Finding(
            kind="missing",
            file=DIAGNOSIS,
            message=_(
                "The diagnosis is not started yet (block B). python -m checker bug --student "
                "YOUR_NAME --out FOLDER writes the case that is yours."
            ),
        )
        return
    if isinstance(found, list):
        yield from found
        return
    from checker.lab02.bug import runs  # torch

    answer = runs(found.student).answer
    for field in ("step", "layer", "head", "slot"):
        given = getattr(found, field)
        if given != getattr(answer, field):
            yield Finding(
                kind="mismatch",
                file=DIAGNOSIS,
                where=field,
                expected=_("the {field} of the first difference in the case of {student}").format(
                    field=field, student=found.student
                ),
                found=show(given),
                message=_("The two runs of your case do not first differ there."),
                usual_causes=[
                    _("the name is another one than the case was made for"),
                    _("it is the bug's effect further on, and not the first difference"),
                ],
            )
    if found.cause != answer.cause:
        yield Finding(
            kind="mismatch",
            file=DIAGNOSIS,
            where="cause",
            expected=_("another of the published causes"),
            found=show(found.cause),
            message=_("What your case shows has another cause."),
        )
