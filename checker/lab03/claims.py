"""What a run of the student's code that gave nothing is said to be."""

from __future__ import annotations

from checker import claims
from checker.documents import Model
from checker.gate import Refusal
from checker.lab03.work import Work
from checker.language import _
from checker.report import Finding


def replayed(work: Work, name: str, found: Model | list[Finding] | Refusal) -> list[Finding]:
    """Why what the run ``name`` wrote is nothing to go by; nothing if it is."""
    run, file = work.run(name), work.runs[name].code[0]
    if run.outcome == "missing":
        return [Finding(kind="missing", file=run.script, message=_("Without it, nothing can be run again."))]
    faults = claims.replayed(work, name, found)
    module = file.removesuffix(".py")
    if faults and run.exit_code and f"No module named '{module}'" in claims.last_line(run):
        return [Finding(kind="missing", file=file, message=_("The file is not there: copy it from the lab's starter."))]
    return faults
