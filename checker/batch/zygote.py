"""python -m checker.batch.zygote: one submission after the other, each in a fork of this process.

Importing torch takes two seconds and a fork of a process that has done it a hundredth of one; only trusted code is
imported here, and nothing of a submission is ever read but in the fork. Requests come as lines of JSON on stdin, and
one answer to each goes to stdout. When stdin ends, whoever asked is gone, even if it was killed: what still runs is
killed, and so is this. A fork is bounded in time and memory, and ended with all that it has started.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from checker.language import _, speaking

MAX_ANSWER = 64 * 1024 * 1024
MAX_REQUEST = 1024 * 1024
TAIL = 8000  # bytes of what a fork that came to a bad end has said
SUBREAPER, DEATH_SIGNAL = 36, 1  # prctl's numbers for them
LINUX = sys.platform == "linux"


class AskerGoneError(Exception):
    """Nobody waits for the answer any more."""


def main() -> None:
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    signal.signal(signal.SIGTERM, _leave)
    _prctl(SUBREAPER, 1)  # orphans of a fork come here, where they are found
    work = importlib.import_module(sys.argv[1])
    warm, buffer = False, b""
    while True:
        while b"\n" not in buffer:
            more = os.read(0, MAX_REQUEST)
            if not more:
                return
            buffer += more
        line, _newline, buffer = buffer.partition(b"\n")
        request = json.loads(line)
        try:
            with speaking(request.get("language", "en")):
                if request["do"] == "check_one" and not warm:
                    work.warm(request)
                    warm = True
                answer = _served(work, request)
        except AskerGoneError:
            return
        except Exception as error:  # it is not the submission's doing, and no other would fare better
            answer = {"cannot": f"{type(error).__name__}: {error}"}
        data = json.dumps(answer).encode() + b"\n"
        while data:
            data = data[os.write(answers, data) :]


def _leave(number: int, frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would come into the midst of leaving
    sys.exit(1)


def _served(work: Any, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of a fork, or {"trouble": why there is none}; with the seconds it took."""
    started = time.monotonic()
    scratch = Path(tempfile.mkdtemp(prefix="checker-batch-"))
    scratch.chmod(0o711)  # a script that runs as somebody else must get through to its own folder in it
    source, sink = os.pipe()
    try:
        child = os.fork()
        if child == 0:
            os.close(source)
            _be_the_fork(work, request, scratch, sink)
        os.close(sink)
        status = None
        try:
            data, in_time = _read(source, started + request["limit"])
        finally:
            status = _end(child)
        try:
            answer: dict[str, Any] = json.loads(data)
        except ValueError:
            answer = {"trouble": _why(status, in_time, request["limit"], scratch)}
    finally:
        os.close(source)
        shutil.rmtree(scratch, ignore_errors=True)
    return {**answer, "seconds": round(time.monotonic() - started, 3)}


def _read(source: int, deadline: float) -> tuple[bytes, bool]:
    """All that the fork writes, and whether it came to its end in time. AskerGoneError: stdin has ended meanwhile."""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    poll.register(0, select.POLLIN)  # nothing is asked before this is answered: it can only be the end
    data = b""
    while (left := deadline - time.monotonic()) > 0 and len(data) <= MAX_ANSWER:
        ready = [fd for fd, _event in poll.poll(min(left, 60) * 1000)]
        if 0 in ready:
            raise AskerGoneError
        if source in ready:
            more = os.read(source, 1 << 20)
            if not more:
                return data, True
            data += more
    return b"", False


def _why(status: int | None, in_time: bool, limit: float, scratch: Path) -> str:
    """What became of a fork that gave no answer, and the end of what it said."""
    if not in_time:
        how = _("It did not end within {limit:g} s, and was stopped with all it had started.").format(limit=limit)
    elif status is not None and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        how = _("It was ended by signal {number} ({name}).").format(number=number, name=signal.strsignal(number))
    else:
        how = _("It ended without an answer.")
    with contextlib.suppress(OSError), open(scratch / "stderr", "rb") as file:
        file.seek(max(0, (scratch / "stderr").stat().st_size - TAIL))
        said = file.read(TAIL).decode("utf-8", "replace").strip()
        return f"{how}\n{said}".strip()
    return how


# ---- in the fork ---------------------------------------------------------------------------------------------------


def _be_the_fork(work: Any, request: dict[str, Any], scratch: Path, sink: int) -> NoReturn:
    try:
        _prctl(DEATH_SIGNAL, signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        said = os.open(scratch / "stderr", os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 1)
        os.dup2(said, 2)
        faulthandler.enable(2)
        tempfile.tempdir = os.environ["TMPDIR"] = str(scratch)
        _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (request["memory"], hard))  # the soft one: a sandbox sets its own
        try:
            answer = getattr(work, request["do"])(request, scratch)
        except BaseException:
            answer = {"trouble": traceback.format_exc()}
        data = json.dumps(answer).encode()
        while data:
            data = data[os.write(sink, data) :]
    finally:
        os._exit(0)


# ---- ending a fork with all that it has started ----------------------------------------------------------------------


def _end(child: int) -> int | None:
    """Kill the fork and whatever came of it; its exit status."""
    status = None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # also the fork itself: it has a session of its own
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)  # should it not have come so far
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            pid, how = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break  # nobody is left
        if pid == child:
            status = how
        if pid == 0:
            for pid in _descendants():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
    return status


def _descendants() -> list[int]:
    """Every process that came of this one, as /proc tells; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found, waiting = [], [os.getpid()]
    while waiting:
        more = children.get(waiting.pop(), [])
        found += more
        waiting += more
    return found


def _prctl(option: int, value: int) -> None:
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
