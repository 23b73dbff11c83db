"""Every process below the supervisor: how much they use together, and how they all are ended."""

from __future__ import annotations

import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Job = dict[str, Any]

LINUX = sys.platform == "linux"
PATIENCE = 5.0  # seconds in which what was killed has to go
PAGE = os.sysconf("SC_PAGE_SIZE")


def drop(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def reap(child: int) -> tuple[int | None, bool]:
    """Take leave of what has ended: the status of ``child`` if it is among that, and whether anybody is left."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found, False
        if pid == 0:
            return found, True
        if pid == child:
            found = status


def too_much(job: Job) -> str | None:
    """Which limit all its processes together have reached."""
    descendants = _descendants()
    threads = sum(threads for _, threads in descendants.values())
    if threads >= job["processes"]:
        return "too many processes"
    # Resident pages hold those of libraries too, which processes share: looked at closely only where they are many.
    if sum(pages for pages, _ in descendants.values()) * PAGE < job["memory"]:
        return None
    return "out of memory" if sum(map(_own_memory, descendants)) >= job["memory"] else None


def _descendants() -> dict[int, tuple[int, int]]:
    """Every living process below this one: its resident pages and its threads."""
    children: dict[int, list[int]] = {}
    seen: dict[int, tuple[int, int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] not in b"ZX":
            seen[int(name)] = (int(fields[21]), int(fields[17]))
        children.setdefault(int(fields[1]), []).append(int(name))
    below, found = [os.getpid()], {}
    while below:
        for pid in children.get(below.pop(), []):
            below.append(pid)
            if pid in seen:
                found[pid] = seen[pid]
    return found


def _own_memory(pid: int) -> int:
    """Bytes of memory that back no file."""
    total = 0
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith((b"RssAnon", b"RssShmem")):
                    total += int(line.split()[1]) * 1024
    except OSError:
        pass  # it has just ended
    return total


def end_all(job: Job, child: int, status: int | None = None) -> int | None:
    """Kill whatever is left, until nothing is; the status of ``child``."""
    deadline = time.monotonic() + PATIENCE
    while True:
        _kill_all(job, child)
        found, somebody = reap(child)
        status = found if found is not None else status
        if not somebody or time.monotonic() > deadline:
            return status
        time.sleep(0.002)


def _kill_all(job: Job, child: int) -> None:
    if os.getpid() == 1:
        _kill(-1)
    elif job["uid"] is not None:  # all of that uid in one call: none can fork in between
        killer = os.fork()
        if killer == 0:
            drop(job["uid"])
            _kill(-1)
            os._exit(0)
        os.waitpid(killer, 0)
    else:
        _kill(-child)  # its group
        for pid in _descendants() if LINUX else ():
            _kill(pid)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass  # nobody is there
