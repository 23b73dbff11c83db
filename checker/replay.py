"""Run a student's script again, in a process of its own, on a scratch copy of the submission.

What comes back is data: the files the script wrote under --out, read later through the gate. Its exit code and its
output decide nothing. The process has its own session, so that it is stopped with all it started when its time is
up or it is done. (How much it may do meanwhile is the business of a sandbox, which would wrap ``_command``.)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from checker.report import Outcome

TAIL = 4000  # bytes of output that are kept
PASSED_ON = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "CC")  # the rest of the environment is the person's own

_running: set[subprocess.Popen[bytes]] = set()
_interrupted = threading.Event()


@dataclass(frozen=True)
class Run:
    """One finished run. ``out`` is the folder it was told to write to."""

    script: str
    arguments: list[str]
    out: Path
    outcome: Outcome
    exit_code: int | None
    seconds: float
    output_tail: str


def run_script(copy: Path, script: str, out: Path, arguments: list[str], home: Path, timeout: float) -> Run:
    """Run ``script`` (relative to ``copy``, the scratch copy) in its own folder, as a student does.

    ``out`` is an empty folder; ``arguments`` come after ``--out OUT``; ``home`` is its HOME and cache. Never raises
    for what the script does.
    """
    path = copy / script
    if not path.is_file():
        return Run(script, arguments, out, "missing", None, 0.0, "")
    if _interrupted.is_set():
        return Run(script, arguments, out, "timed out", None, 0.0, "")
    started = time.perf_counter()
    process = subprocess.Popen(
        _command(path.name, out, arguments),
        cwd=path.parent,
        env=_environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    _running.add(process)
    if _interrupted.is_set():  # meanwhile
        _stop(process)
    assert process.stdout is not None
    tail = _Tail(process.stdout)
    outcome: Outcome = "finished"
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        outcome = "timed out"
    finally:
        _stop(process)
        _running.discard(process)
    seconds = time.perf_counter() - started
    code = process.returncode if outcome == "finished" else None
    return Run(script, arguments, out, outcome, code, seconds, tail.text())


def stop_all() -> None:
    """End every script that still runs: the check itself was interrupted."""
    for process in list(_running):
        _stop(process)


def interrupt() -> None:
    """End every script, and start no more. For a signal handler: a library that is being imported may lose the
    KeyboardInterrupt, and the check must come to its end all the same."""
    _interrupted.set()
    stop_all()


def interrupted() -> bool:
    return _interrupted.is_set()


def _command(script: str, out: Path, arguments: list[str]) -> list[str]:
    return [sys.executable, script, "--out", str(out), *arguments]


def _environment(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        **kept,
        "HOME": str(home),  # a kernel cache of its own: it must not be able to change the checker's
        "TMPDIR": str(home),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and all of its group, also after it has ended by itself."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # nobody is left (macOS says it the second way)
        pass
    process.wait()


class _Tail:
    """Reads a pipe to its end on a thread of its own and keeps the last TAIL bytes."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._kept = b""
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe: IO[bytes]) -> None:
        while chunk := os.read(pipe.fileno(), 65536):
            self._kept = (self._kept + chunk)[-TAIL:]
        pipe.close()

    def text(self) -> str:
        self._thread.join(timeout=1)  # a process that left the group may hold the pipe open: it is not waited for
        return self._kept.decode("utf-8", "replace")
