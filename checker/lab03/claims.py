"""What to call a wrong claim, and what a run that gave nothing is said to be.

The rule is lab 02's: a claim better than its evidence is `integrity` if the student's own code, run here, does not make
it, and was not changed after the file was written. Anything else is a mistake like any other, `mismatch`.
"""

from __future__ import annotations

import re

from checker.documents import Model
from checker.gate import Refusal
from checker.lab03 import causes
from checker.lab03.work import COSTS, FIT, PLOT, PREDICT, RUNS, Work
from checker.language import N_, _, told
from checker.replay import no_end, not_taken_along
from checker.report import Finding, Kind

SOURCES = {
    "formulas": N_("its run on the lab's cases and hidden ones"),
    "fits": N_("its run on hidden numbers"),
    "figures": N_("its run on your results and hidden ones"),
}
YOURS = {COSTS, FIT, PREDICT, PLOT}


def better(work: Work, script: str, file: str, where: str, expected: str, found: str, message: str) -> Finding:
    """The finding for a claim that is better than what ``script``, the student's, makes here."""
    if work.folder.newer(script, than=file):
        kind: Kind = "mismatch"
        message += " " + _("Your code was changed after the file was written: run it in its folder, then check again.")
    else:
        kind = "integrity"
        message += " " + _("The claim is the better one, and your code, run here, does not make it.")
    return Finding(kind=kind, file=file, where=where, expected=expected, found=found, message=message)


def mismatch(
    file: str, where: str | None, expected: str, found: str, message: str, usual: list[str] | None = None
) -> Finding:
    return Finding(
        kind="mismatch",
        file=file,
        where=where,
        expected=expected,
        found=found,
        message=message,
        usual_causes=told(usual or []),
    )


def replayed(work: Work, name: str, found: Model | list[Finding] | Refusal) -> list[Finding]:
    """Why what the run ``name`` wrote is nothing to go by; nothing if it is."""
    run = work.run(name)
    if run.outcome == "missing":
        return [Finding(kind="missing", file=run.script, message=_("Without it, nothing can be run again."))]
    if why := no_end(run, work.timeout):
        return [_no_data(work, name, why)]
    if isinstance(found, Model):
        return []
    if run.exit_code:
        return [_stopped(work, name)]
    if isinstance(found, Refusal):
        return [_no_data(work, name, str(found), found.finding)]
    return [_no_data(work, name, fault.message, fault) for fault in found]


def _stopped(work: Work, name: str) -> Finding:
    """The run ended with an error: its last line, and the line of the student's code that it came from."""
    run = work.run(name)
    lines = [line.strip() for line in run.output_tail.splitlines() if line.strip()]
    last = lines[-1][:300] if lines else _("nothing printed")
    whose = RUNS[name][1]
    if (missing := re.search(r"No module named '(costs|fit|plot)'", last)) and f"{missing[1]}.py" == whose:
        return Finding(kind="missing", file=whose, message=_("The file is not there: copy it from the lab's starter."))
    frames = [f for f in re.findall(r'/(\w+\.py)", line (\d+)', run.output_tail) if f[0] in YOURS]
    file, line = frames[-1] if frames else (whose, None)
    source = _(SOURCES[name])
    return Finding(
        kind="replay",
        file=file,
        where=_("line {line}, in {source}").format(line=line, source=source) if line else source,
        expected=_("that {script} comes to its end").format(script=run.script),
        found=last,
        message=_("{script} was run here and stopped with an error (exit code {exit_code}).").format(
            script=run.script, exit_code=run.exit_code
        ),
    )


def _no_data(work: Work, name: str, message: str, fault: Finding | None = None) -> Finding:
    run = work.run(name)
    source = _(SOURCES[name])
    return Finding(
        kind="replay",
        file=RUNS[name][1],
        where=f"{source}: {fault.where}" if fault and fault.where else source,
        expected=fault.expected if fault else _("data that can be compared"),
        found=fault.found if fault else _("none"),
        message=f"{_('{script} was run here.').format(script=run.script)} {message}{not_taken_along(run)}",
        usual_causes=told(causes.NO_DATA),
    )
