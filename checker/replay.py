"""Run a student's script again, on a scratch copy of the submission, in a sandbox.

What comes back is data: the files the script wrote under --out, handed over by the sandbox's supervisor and read
later through the gate. Its exit code and its output decide nothing. ``run_script`` is the one way in which a script
of a student's is ever run.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from checker.faults import printable
from checker.language import _
from checker.report import Outcome
from checker.sandbox import Limits, Sandbox, SandboxError, channel, choose
from checker.sandbox.running import Running
from checker.sandbox.tiers import Task

PASSED_ON = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "CC")  # the rest of the environment is the person's own
OUTCOMES: dict[str, Outcome] = {
    "finished": "finished",
    "timed out": "timed out",
    "out of memory": "out of memory",
    "too many processes": "too many processes",
}

_running: set[Running] = set()
_interrupted = threading.Event()


@dataclass(frozen=True)
class Run:
    """One finished run. ``out`` is the folder it was told to write to, with what it handed over."""

    script: str
    arguments: list[str]
    out: Path
    outcome: Outcome
    exit_code: int | None  # None: it did not end by itself
    seconds: float
    output_tail: str
    left_out: list[str] = field(default_factory=list)  # what lay in OUT and was not taken along, and why


def run_script(
    copy: Path,
    script: str,
    out: Path,
    arguments: list[str],
    home: Path,
    timeout: float,
    *,
    sandbox: Sandbox | None = None,
    library: Path | None = None,
) -> Run:
    """Run ``script`` (relative to ``copy``, the scratch copy) in its own folder, as a student does.

    ``out`` is an empty folder; ``arguments`` come after ``--out OUT``; ``home`` is its HOME and cache; the three lie
    in one folder. ``library`` is put before everything else that Python imports from, and can only be read. Never
    raises for what the script does; SandboxError if it could not be started at all.
    """
    path = copy / script
    if not path.is_file():
        return Run(script, arguments, out, "missing", None, 0.0, "")
    if _interrupted.is_set():
        return Run(script, arguments, out, "timed out", None, 0.0, "")
    sandbox = sandbox or choose()
    limits = replace(sandbox.limits, wall=timeout)
    task = Task(_command(path.name, out, arguments), _environment(home, library), path.parent, copy, out, home, library)
    started = time.perf_counter()
    running = sandbox.start(task, limits)
    _running.add(running)
    try:
        if _interrupted.is_set():  # meanwhile
            running.stop()
        ended = _ended(running, out, limits)
    finally:
        running.stop()
        _running.discard(running)
    outcome, code, left_out = ended
    return Run(script, arguments, out, outcome, code, time.perf_counter() - started, running.output(), left_out)


def _ended(running: Running, out: Path, limits: Limits) -> tuple[Outcome, int | None, list[str]]:
    """How it ended, its exit code, and what was not taken along; what was, is in ``out``."""
    try:
        handed = running.handed()
        if handed.ending == "not started":
            raise SandboxError(_("the script could not be started: {why}").format(why=printable(running.last_line())))
        _set_aside(out)
        channel.write(handed.entries, out)
    except (channel.Broken, OSError):
        if _interrupted.is_set():
            return "timed out", None, []
        if not running.started():
            raise SandboxError(
                _("the sandbox could not be started: {why}").format(why=printable(running.last_line()))
            ) from None
        _set_aside(out)  # what lies there was not handed over
        return "no data", None, []
    outcome = OUTCOMES[handed.ending]
    code = handed.exit_code if outcome == "finished" else None
    return outcome, code, [printable(what) for what in handed.left_out()]


def _set_aside(out: Path) -> None:
    """An empty folder in the place of ``out``: whoever still writes there, writes nowhere that is read."""
    with contextlib.suppress(FileNotFoundError):  # a script that is not held back may have removed it
        out.rename(out.with_name(f"{out.name}.{secrets.token_hex(4)}"))
    out.mkdir()


def no_end(run: Run, timeout: float) -> str | None:
    """Why the run did not come to an end of its own, in a sentence; None if it did."""
    match run.outcome:
        case "timed out":
            return _("It did not end within {timeout:g} s (--timeout).").format(timeout=timeout)
        case "out of memory":
            return _(
                "It and what it started held more than {n} GiB of memory, so it was stopped. "
                "Does a list or a tensor grow with every step?"
            ).format(n=Limits().memory // 2**30)
        case "too many processes":
            return _(
                "It ran {n} processes and threads at once, so it was stopped. Does something start a process in a loop?"
            ).format(n=Limits().processes)
        case "no data":
            return _(
                "It ended without handing over its data: the process that watches it was cut "
                "off. Does it kill processes that it did not start?"
            )
    return None


def ended_with(run: Run) -> str:
    """A sentence on a bad exit code; nothing if it was good, or the run did not end by itself."""
    return " " + _("It ended with exit code {code}.").format(code=run.exit_code) if run.exit_code else ""


def not_taken_along(run: Run) -> str:
    """A sentence on what lay under OUT and could not be handed over; nothing if all was."""
    if not run.left_out:
        return ""
    what = "; ".join(run.left_out[:5])
    return " " + _("Of what it wrote, this was not taken along: {what}.").format(what=what)


def stop_all() -> None:
    """End every script that still runs: the check itself was interrupted."""
    for running in list(_running):
        running.stop()


def interrupt() -> None:
    """End every script, and start no more. For a signal handler: a library that is being imported may lose the
    KeyboardInterrupt, and the check must come to its end all the same."""
    _interrupted.set()
    stop_all()


def interrupted() -> bool:
    return _interrupted.is_set()


def _command(script: str, out: Path, arguments: list[str]) -> list[str]:
    return [sys.executable, script, "--out", str(out), *arguments]


def _environment(home: Path, library: Path | None) -> dict[str, str]:
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    if library is not None:
        kept["PYTHONPATH"] = os.pathsep.join([str(library), *filter(None, [kept.get("PYTHONPATH")])])
    return {
        **kept,
        "HOME": str(home),  # a kernel cache of its own: it must not be able to change the checker's
        "TMPDIR": str(home),
        "USER": "student",  # nobody's uid has no name
        "CUDA_VISIBLE_DEVICES": "",  # the same arithmetic in every tier: a GPU is out of sight in the better ones
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
