"""What to call a wrong claim, and what a run that gave nothing is said to be.

The rule is that of the other labs: a claim better than its evidence is `integrity` if the student's own cache, run
here, does not make it, and was not changed after the file was written. Anything else is a mistake like any other,
`mismatch`.
"""

from __future__ import annotations

import re

from checker.documents import Model
from checker.gate import Refusal
from checker.lab01 import causes
from checker.lab01.reading import CACHE
from checker.lab01.work import EXERCISE, LAB, Work
from checker.language import _, told
from checker.replay import no_end, not_taken_along
from checker.report import Finding, Kind


def better(work: Work, file: str, where: str, expected: str, found: str, message: str) -> Finding:
    """The finding for a claim that looks better than what the student's own cache gives here."""
    if work.folder.newer(CACHE, than=file):
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
    if not work.has_cache():
        message = _("There is no kv_cache.py: copy the starter's files, and write the cache there.")
        return [Finding(kind="missing", file=CACHE, message=message)]
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
    """The run ended with an error: its last line, and the line of kv_cache.py that it came from."""
    run = work.run(name)
    frames = re.findall(rf'/{CACHE}", line (\d+)', run.output_tail)
    lines = [line.strip() for line in run.output_tail.splitlines() if line.strip()]
    return Finding(
        kind="replay",
        file=CACHE,
        where=_("line {line}, in {source}").format(line=frames[-1], source=_source(name)) if frames else _source(name),
        expected=_("that {script} comes to its end").format(script=run.script),
        found=lines[-1][:300] if lines else _("nothing printed"),
        message=_("{script} was run here and stopped with an error (exit code {exit_code}).").format(
            script=run.script, exit_code=run.exit_code
        ),
    )


def _source(name: str) -> str:
    return _("its run on the lab's cases") if name == LAB else _("its run on the lab's cases and hidden ones")


def _no_data(work: Work, name: str, message: str, fault: Finding | None = None) -> Finding:
    run, source = work.run(name), _source(name)
    return Finding(
        kind="replay",
        file=CACHE,
        where=f"{source}: {fault.where}" if fault and fault.where else source,
        expected=fault.expected if fault and fault.expected else _("data that can be compared"),
        found=fault.found if fault and fault.found else _("none"),
        message=f"{_('{script} was run here.').format(script=EXERCISE)} {message}{not_taken_along(run)}",
        usual_causes=told(causes.NO_DATA),
    )
