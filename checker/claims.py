"""What to call a wrong claim, and what a run that gave nothing is said to be.

The rule of every lab: a claim better than its evidence is `integrity` if the student's own code, run here, does not
make it, and was not changed after the file was written. Anything else is a mistake like any other, `mismatch`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from checker.collected import Collected
from checker.documents import Model
from checker.gate import Refusal
from checker.language import _, told
from checker.replay import Run, no_end, not_taken_along
from checker.report import Finding, Kind


def better(work: Collected, file: str, where: str, expected: str, found: str, message: str) -> Finding:
    """The finding for a claim that is better than what the student's own code gives here."""
    if any(work.folder.newer(script, than=file) for script in work.claimants):
        kind: Kind = "mismatch"
        message += " " + _("Your code was changed after the file was written: run it in its folder, then check again.")
    else:
        kind = "integrity"
        message += " " + _("The claim is the better one, and your code, run here, does not make it.")
    return Finding(kind=kind, file=file, where=where, expected=expected, found=found, message=message)


def mismatch(
    file: str, where: str | None, expected: str, found: str, message: str, usual: Sequence[str] = ()
) -> Finding:
    return Finding(
        kind="mismatch",
        file=file,
        where=where,
        expected=expected,
        found=found,
        message=message,
        usual_causes=told(usual),
    )


def replayed(work: Collected, name: str, found: Model | list[Finding] | Refusal, file: str = "") -> list[Finding]:
    """Why what the run ``name`` wrote is nothing to go by; nothing if it is. ``file``, if a student knows it."""
    run = work.run(name)
    if why := no_end(run, work.timeout):
        return [_no_data(work, name, why)]
    if isinstance(found, Model):
        return []
    if run.exit_code:
        return [_stopped(work, name)]
    if isinstance(found, Refusal):
        said = _("Its {file}: {found}").format(file=file, found=found) if file else str(found)
        return [_no_data(work, name, said, found.finding)]
    return [
        _no_data(
            work,
            name,
            _("In its {file}: {message}").format(file=file, message=fault.message) if file else fault.message,
            fault,
        )
        for fault in found
    ]


def last_line(run: Run) -> str:
    lines = [line.strip() for line in run.output_tail.splitlines() if line.strip()]
    return lines[-1][:300] if lines else _("nothing printed")


def _stopped(work: Collected, name: str) -> Finding:
    """The run ended with an error: its last line, and the line of the student's code that it came from."""
    run, code, source = work.run(name), work.runs[name].code, _(work.runs[name].called)
    frames = [f for f in re.findall(r'/(\w+\.py)", line (\d+)', work.traceback(name)) if f[0] in code]
    file, line = frames[-1] if frames else (code[0], None)
    return Finding(
        kind="replay",
        file=file,
        where=_("line {line}, in {source}").format(line=line, source=source) if line else source,
        expected=_("that {script} comes to its end").format(script=run.script),
        found=last_line(run),
        message=_("{script} was run here and stopped with an error (exit code {exit_code}).").format(
            script=run.script, exit_code=run.exit_code
        ),
    )


def _no_data(work: Collected, name: str, message: str, fault: Finding | None = None) -> Finding:
    run, source = work.run(name), _(work.runs[name].called)
    return Finding(
        kind="replay",
        file=work.runs[name].code[0],
        where=f"{source}: {fault.where}" if fault and fault.where else source,
        expected=fault.expected if fault else _("data that can be compared"),
        found=fault.found if fault else _("none"),
        message=f"{_('{script} was run here.').format(script=run.script)} {message}{not_taken_along(run)}",
        usual_causes=[_("it writes beside itself instead of into the folder that --out names")],
    )
