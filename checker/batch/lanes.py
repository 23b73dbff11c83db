"""Zygotes from outside: a thread that has a question takes a free one, or starts one, and waits for the answer.

``ask`` is all that an engine is given, so it may be called on any thread of any machine that sees the same files.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

from checker.language import _

WORK = "checker.batch.work"  # the module that does it; another one in tests
MAX_ANSWER = 64 * 1024 * 1024

_free: list[subprocess.Popen[bytes]] = []
_all: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()
_closed = threading.Event()


class BatchError(Exception):
    """The batch cannot go on; the message says why, in a line."""


@dataclass(frozen=True)
class Bounds:
    """What one submission may take, all in all; its scripts have narrower bounds of their own, those of the sandbox."""

    seconds: float = 3600.0
    memory: int = 4 * 1024**3  # bytes, for the checker's own part; it needs less than 1 GiB


def ask(request: dict[str, Any]) -> dict[str, Any]:
    """The answer of a zygote: what the function ``request["do"]`` of WORK gave, or {"trouble": text}."""
    zygote = _taken()
    try:
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        zygote.stdin.write(json.dumps(request).encode() + b"\n")
        zygote.stdin.flush()
        line = zygote.stdout.readline(2 * MAX_ANSWER)
    except OSError:  # it went away before it was asked
        line = b""
    if not line.endswith(b"\n"):
        _ended(zygote)
        if _closed.is_set():
            return {"trouble": _("The batch was stopped.")}
        return {
            "trouble": _("The process that checks it was ended from outside (exit status {returncode}).").format(
                returncode=zygote.returncode
            )
        }
    with _lock:
        _free.append(zygote)
    answer: dict[str, Any] = json.loads(line)
    if "cannot" in answer:
        raise BatchError(f"{_('this machine cannot check the lab.')} {answer['cannot']}")
    return answer


def open_lanes() -> None:
    _closed.clear()


def stop_lanes() -> None:
    """Tell every zygote to end, and with it what it is doing. For a signal handler: it waits for nothing."""
    _closed.set()
    for zygote in tuple(_all):
        with contextlib.suppress(ProcessLookupError):
            zygote.terminate()


def close_lanes() -> None:
    """End every zygote, and wait for that."""
    stop_lanes()
    for zygote in tuple(_all):
        _ended(zygote)


def rest() -> None:
    """End those there are; others may be started."""
    close_lanes()
    open_lanes()


def _taken() -> subprocess.Popen[bytes]:
    with _lock:
        if _closed.is_set():
            raise BatchError(_("the batch was stopped."))
        if _free:
            return _free.pop()
        # Python 3.12 warns when a process forks that has threads: here courselib's, idle, and it counts with that.
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "checker.batch.zygote", WORK]
        zygote = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # and no others
            start_new_session=True,  # Ctrl-C is the batch's business
        )
        _all.add(zygote)
        return zygote


def _ended(zygote: subprocess.Popen[bytes]) -> None:
    """Its stdin closed, it ends by itself and takes its fork along; killed only if it does not."""
    with _lock:
        _all.discard(zygote)
        if zygote in _free:
            _free.remove(zygote)
    with contextlib.suppress(ProcessLookupError):
        zygote.terminate()
    try:
        zygote.wait(15)
    except subprocess.TimeoutExpired:
        zygote.kill()
        zygote.wait()
    for pipe in (zygote.stdin, zygote.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
