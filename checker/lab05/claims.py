"""What a run of the student's scripts that gave nothing is said to be."""

from __future__ import annotations

from checker import claims
from checker.documents import Model
from checker.gate import Refusal
from checker.lab05.work import Work
from checker.language import _
from checker.report import Finding


def replayed(work: Work, name: str, found: Model | list[Finding] | Refusal, file: str) -> list[Finding]:
    """Why what the run ``name`` wrote is nothing to go by; nothing if it is."""
    run = work.run(name)
    if run.outcome == "missing":
        message = _("Without {script}, nothing can be run again.").format(script=run.script)
        return [Finding(kind="missing", file=run.script, message=message)]
    return claims.replayed(work, name, found, file)
