"""What to call a wrong claim, and what a run that gave nothing is said to be.

The rule is lab 02's: a claim better than its evidence is `integrity` if the student's own kernels or test, run here, do
not make it, and were not changed after the file was written. Anything else is a mistake like any other, `mismatch`.
"""

from __future__ import annotations

import re

from checker.documents import Model
from checker.gate import Refusal
from checker.lab05 import causes
from checker.lab05.reading import KERNELS
from checker.lab05.work import MEASURE, TEST, Work
from checker.language import N_, _, told
from checker.replay import no_end, not_taken_along
from checker.report import Finding, Kind

SOURCES = {
    "lab": N_("its run on the lab's cases"),
    "hidden": N_("its run on hidden cases"),
    "own": N_("its run on your kernels"),
}


def better(work: Work, file: str, where: str, expected: str, found: str, message: str) -> Finding:
    """The finding for a claim that looks better than what the student's own scripts give here."""
    if any(work.folder.newer(script, than=file) for script in (KERNELS, TEST)):
        kind: Kind = "mismatch"
        message += " " + _("Your code was changed after the file was written: run it in its folder, then check again.")
    else:
        kind = "integrity"
        message += " " + _("The claim is the better one, and your code, run here, does not make it.")
    return Finding(kind=kind, file=file, where=where, expected=expected, found=found, message=message)


def mismatch(file: str, where: str, expected: str, found: str, message: str) -> Finding:
    return Finding(kind="mismatch", file=file, where=where, expected=expected, found=found, message=message)


def replayed(work: Work, name: str, found: Model | list[Finding] | Refusal, file: str) -> list[Finding]:
    """Why what the run ``name`` wrote is nothing to go by; nothing if it is."""
    run = work.run(name)
    if run.outcome == "missing":
        message = _("Without {script}, nothing can be run again.").format(script=run.script)
        return [Finding(kind="missing", file=run.script, message=message)]
    if why := no_end(run, work.timeout):
        return [_no_data(work, name, why)]
    if run.exit_code and not isinstance(found, Model):
        return [_stopped(work, name)]
    if isinstance(found, Refusal):
        return [_no_data(work, name, _("Its {file}: {found}").format(file=file, found=found), found.finding)]
    if isinstance(found, list):
        return [
            _no_data(work, name, _("In its {file}: {message}").format(file=file, message=fault.message), fault)
            for fault in found
        ]
    return []


def _stopped(work: Work, name: str) -> Finding:
    """The run ended with an error: its last line, and the line of the student's code that it came from."""
    run = work.run(name)
    yours = {TEST} if work.tests.get(name) else {KERNELS, TEST}
    cause = run.output_tail.split("The above exception was")[0]  # of two, the first: in the kernel, not its launch
    frames = [frame for frame in re.findall(r'/(\w+\.py)", line (\d+)', cause) if frame[0] in yours]
    file, line = frames[-1] if frames else (KERNELS if run.script == MEASURE else TEST, None)
    lines = [line.strip() for line in run.output_tail.splitlines() if line.strip()]
    return Finding(
        kind="replay",
        file=file,
        where=_("line {line}, in {source}").format(line=line, source=_source(name)) if line else _source(name),
        expected=_("that {script} comes to its end").format(script=run.script),
        found=lines[-1][:300] if lines else _("nothing printed"),
        message=_("{script} was run here and stopped with an error (exit code {exit_code}).").format(
            script=run.script, exit_code=run.exit_code
        ),
    )


def _source(name: str) -> str:
    return _(SOURCES.get(name, N_("its run on a kernels file of the checker's")))


def _no_data(work: Work, name: str, message: str, fault: Finding | None = None) -> Finding:
    run = work.run(name)
    source = _source(name)
    return Finding(
        kind="replay",
        file=run.script if name not in ("lab", "hidden") else KERNELS,
        where=f"{source}: {fault.where}" if fault and fault.where else source,
        expected=fault.expected if fault else _("data that can be compared"),
        found=fault.found if fault else _("none"),
        message=f"{_('{script} was run here.').format(script=run.script)} {message}{not_taken_along(run)}",
        usual_causes=told(causes.NO_DATA),
    )
