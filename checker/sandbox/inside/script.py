"""The child that becomes the student's script: it gives up all that the supervisor has, then executes it."""

from __future__ import annotations

import os
import resource
import signal
import sys

from .processes import drop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Job = dict[str, Any]

LINUX = sys.platform == "linux"


def become_the_script(job: Job, trouble: int) -> None:
    """In the child: give everything up, then run the script. Never returns."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        os.set_inheritable(trouble, False)
        os.closerange(3, trouble)
        os.closerange(trouble + 1, 1024)
        if LINUX:
            from . import kernel

            _first_to_go()
            kernel.drop_capabilities()
        if job["uid"] is not None:
            drop(job["uid"])
        for name, value in job["limits"].items():
            _limit(getattr(resource, name), value)
        os.umask(0o022)
        for source, target in job["copies"]:
            _copy(source, target)
        os.makedirs(job["out"], exist_ok=True)
        if LINUX:
            kernel.control(kernel.NO_NEW_PRIVILEGES, 1)
            kernel.control(kernel.DEATH_SIGNAL, signal.SIGKILL)
            if job["landlock"]:
                kernel.landlock(*job["landlock"])
            if job["seccomp"]:
                kernel.seccomp(job["seccomp"])
        os.chdir(job["cwd"])
        os.execve(job["argv"][0], job["argv"], job["env"])
    except BaseException as error:
        os.write(trouble, f"{type(error).__name__}: {error}\n".encode()[:2000])
    finally:
        os._exit(127)


def _limit(number: int, value: int) -> None:
    """Lower the limit, for good. Of processor time: SIGXCPU, which says so, and SIGKILL 5 s later."""
    hard = resource.getrlimit(number)[1]
    most = value + 5 if number == resource.RLIMIT_CPU else value
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    try:
        resource.setrlimit(number, (min(value, most), most))
    except (ValueError, OSError):  # macOS has the name of some, and no more
        if LINUX:
            raise


def _first_to_go() -> None:
    """Should the machine run out of memory all the same, the kernel ends this and nothing else."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass  # no /proc of ours


def _copy(source: str, target: str) -> None:
    """The checker's own copy of the submission, into the scratch space: folders and regular files, no more."""
    os.makedirs(target, exist_ok=True)
    with os.scandir(source) as entries:
        for entry in entries:
            there = os.path.join(target, entry.name)
            if entry.is_dir(follow_symlinks=False):
                _copy(entry.path, there)
            elif entry.is_file(follow_symlinks=False):
                with open(entry.path, "rb") as read, open(there, "wb") as write:
                    write.write(read.read())
                info = entry.stat()
                os.chmod(there, info.st_mode & 0o755)
                os.utime(there, ns=(info.st_atime_ns, info.st_mtime_ns))
