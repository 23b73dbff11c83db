"""The one trusted process inside a sandbox: it starts the student's script, ends it, and hands over what it wrote.

Its standard input brings the job, with the nonce, before the script exists, and stays open: when it ends, the checker
is gone or wants no more, and so everything is ended. Its standard output is the private channel (see frames); the
script inherits neither. Its standard error is the script's output. The script has another uid, or another pid
namespace, or at least no way to look into this process; what it can do all the same, checker.sandbox.promises says.
"""

from __future__ import annotations

import marshal
import os
import resource
import select
import signal
import sys
import time

from . import frames
from .collect import collect
from .processes import drop, end_all, reap, too_much
from .script import become_the_script

TYPE_CHECKING = False  # typing and contextlib would take 10 ms to import, at every start
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    Job = dict[str, Any]

LINUX = sys.platform == "linux"
LOOK_EVERY = 0.05  # seconds between two looks at what is running


def main() -> None:
    channel = os.fdopen(1, "wb", closefd=False)
    job = _receive()
    if LINUX:
        from . import kernel

        kernel.control(kernel.DUMPABLE, 0)  # nobody of the same uid reads its memory or its descriptors
        if os.getpid() != 1:
            kernel.control(kernel.SUBREAPER, 1)  # a daemon becomes its child
        if job["own_mounts"]:
            try:
                kernel.open_private_folders(job["own_mounts"])
            except OSError:
                pass  # not allowed here: then the script cannot be started, and says so
    _send(channel, frames.MAGIC)
    ending, code = _supervise(job, _awake_when_a_child_ends())
    _hand_over(channel, job, ending, code)


def _receive() -> Job:
    size = int.from_bytes(_exactly(8), "big")
    job: Job = marshal.loads(_exactly(size))
    return job


def _exactly(size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = os.read(0, size - len(data))
        if not chunk:
            os._exit(1)  # the checker is gone
        data += chunk
    return data


def _awake_when_a_child_ends() -> int:
    """A descriptor that can be read from then on."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return read


def _supervise(job: Job, awake: int) -> tuple[str, int]:
    """How the script ended, and its exit code, as subprocess counts it: -9 is signal 9."""
    trouble, write = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        become_the_script(job, write)
    os.close(write)
    with os.fdopen(trouble, "rb") as pipe:
        why = pipe.read()
    ending = "finished"
    status: int | None = None
    while status is None and not why:
        if time.monotonic() - started > job["wall"]:
            ending = "timed out"
        elif LINUX:
            ending = too_much(job) or ending
        if ending != "finished":
            break
        ready = select.select([0, awake], [], [], LOOK_EVERY)[0]
        if 0 in ready:  # nothing more comes from the checker: it is gone, or stops us
            end_all(job, child)
            os._exit(1)
        if awake in ready:
            os.read(awake, 512)
        status, _ = reap(child)
    status = end_all(job, child, status)
    if why:
        sys.stderr.write(why.decode("utf-8", "replace"))
        sys.stderr.flush()
        return "not started", 0
    code = os.waitstatus_to_exitcode(status) if status is not None else -signal.SIGKILL
    if ending == "finished" and (code == -signal.SIGXCPU or (code == -signal.SIGKILL and _half_spent(job))):
        ending = "timed out"
    return ending, code


def _half_spent(job: Job) -> bool:
    """Did it use so much processor time that the kernel killed it? The kernel counts that in ticks, and too many."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime >= job["cpu"] / 2


def _hand_over(channel: BinaryIO, job: Job, ending: str, code: int) -> None:
    if job["uid"] is not None:
        drop(job["uid"])  # from here on it can open no more than the script could
    digest = frames.keyed(job["nonce"])

    def send(data: bytes) -> None:
        digest.update(data)
        _send(channel, data)

    for kind, name, data in collect(job["out"], job["out_files"], job["out_bytes"]):
        send(frames.ENTRY + frames.ENTRY_HEAD.pack(kind, len(name), len(data)) + name)
        send(data)
    send(frames.END + frames.ENDING.pack(frames.ENDINGS.index(ending), code))
    _send(channel, digest.digest())


def _send(channel: BinaryIO, data: bytes) -> None:
    channel.write(data)
    channel.flush()
