"""The tiers: how the supervisor is started in each, and the best one that works on this machine."""

from __future__ import annotations

import marshal
import os
import secrets
import shutil
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from checker.language import N_, _, said_by_the_system
from checker.report import Tier
from checker.sandbox import channel, syscalls
from checker.sandbox.limits import Limits
from checker.sandbox.promises import TIERS
from checker.sandbox.readable import readable
from checker.sandbox.running import Running

LINUX = sys.platform == "linux"
INSIDE = Path(__file__).parent / "inside"
GIVEN = "/run/given"  # where the full tier shows the supervisor what it copies into the scratch space
START = "import sys; sys.path.insert(0, sys.argv[1]); from inside.supervisor import main; main()"
NO_LANDLOCK = N_("the kernel has no Landlock, or it is turned off")


class SandboxError(Exception):
    """The script cannot be run as safely as was asked for; in one line, with what to do."""


@dataclass(frozen=True)
class Task:
    """One run: the script's own argv, environment and folder, the same in every tier.

    ``copy``, ``out`` and ``home`` are folders that lie in one scratch folder; the script may write to them alone.
    """

    argv: list[str]
    env: dict[str, str]
    cwd: Path
    copy: Path
    out: Path
    home: Path
    library: Path | None = None


@dataclass(frozen=True)
class Sandbox:
    """A tier that works here. ``own_uid``: each run has an unused uid, for which the checker has to be root."""

    tier: Tier
    own_uid: bool = False
    nested: bool = True  # the full tier without root: bubblewrap knows --disable-userns
    limits: Limits = field(default_factory=Limits)

    def start(self, task: Task, limits: Limits | None = None) -> Running:
        """Start the supervisor, and with it the script. OSError: it cannot be."""
        limits = limits or self.limits
        uid = _unused_uid() if self.own_uid else None
        for folder in (task.copy, task.home, *([] if self.tier == "full" else [task.out])):
            _give(folder, uid)
        full, nonce = self.tier == "full", secrets.token_bytes(32)
        scratch = [task.copy, task.home, task.out]
        reads = readable(task.library)
        job = {
            "nonce": nonce,
            "argv": task.argv,
            "env": task.env,
            "cwd": str(task.cwd),
            "out": str(task.out),
            "uid": uid,
            "wall": limits.wall,
            "cpu": limits.cpu_seconds(),
            "memory": limits.memory,
            "processes": limits.processes,
            "limits": limits.resource_limits(self.own_uid),
            "out_files": limits.out_files,
            "out_bytes": limits.out_bytes,
            "copies": [(f"{GIVEN}/{i}", str(path)) for i, path in enumerate(scratch[:2])] if full else [],
            "own_mounts": [*reads, *map(str, scratch)] if self.own_uid and not full else [],
            "landlock": (
                [[*reads, "/proc/cpuinfo", "/proc/meminfo", "/proc/stat"], [*map(str, scratch), *DEVICES]]
                if self.tier == "landlock"
                else None
            ),
            "seccomp": syscalls.network_and_namespaces() if LINUX else None,
        }
        start = [sys.executable, "-I", "-S", "-c", START]
        where = GIVEN if full else str(INSIDE.parent)
        command = [*(self._bubblewrap(task, limits, reads) if full else []), *start, where]
        if LINUX and not full and not self.own_uid:
            from checker.sandbox.inside import kernel

            kernel.control(kernel.DUMPABLE, 0)  # the script has this process's uid: it must not look into it
        written = marshal.dumps(job)
        return Running(command, len(written).to_bytes(8, "big") + written, nonce, limits)

    def _bubblewrap(self, task: Task, limits: Limits, reads: list[str]) -> list[str]:
        command = [shutil.which("bwrap") or "bwrap", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"]
        command += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
        if self.own_uid:  # the supervisor needs these three to start the script as somebody else, and to end it
            command += ["--cap-drop", "ALL"]
            command += [a for cap in ("CAP_SETUID", "CAP_SETGID", "CAP_KILL") for a in ("--cap-add", cap)]
        else:
            command += ["--unshare-user", *(["--disable-userns"] if self.nested else [])]
        command += ["--proc", "/proc", "--dev", "/dev", *_memory("/dev/shm", limits.scratch // 4)]
        command += _memory("/tmp", limits.scratch // 4)
        command += [*_folders_above(str(task.out)), *_memory(str(task.out.parent), limits.scratch)]
        shown = {path: path for path in reads}
        shown |= {f"{GIVEN}/inside": str(INSIDE), f"{GIVEN}/0": str(task.copy), f"{GIVEN}/1": str(task.home)}
        for path, source in shown.items():
            command += _folders_above(path)
            link = os.path.islink(source)
            command += ["--symlink", os.readlink(source), path] if link else ["--ro-bind", source, path]
        return [*command, "--remount-ro", "/dev", "--remount-ro", "/", "--"]


DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_chosen: dict[Tier | None, Sandbox] = {}
_choosing = threading.Lock()


def choose(asked: Tier | None = None) -> Sandbox:
    """The best tier that works here, or the one asked for. Each is really tried, once a process.

    SandboxError: the one asked for does not work here, or none does.
    """
    with _choosing:
        if asked not in _chosen:
            _chosen[asked] = _choose(asked)
        return _chosen[asked]


def _choose(asked: Tier | None) -> Sandbox:
    why = ""
    for tier in TIERS if asked is None else (asked,):
        for sandbox in _ways(tier):
            why = _why_not(sandbox)
            if not why:
                return sandbox
    if asked:
        message = _("the sandbox {asked!r} was asked for, and a script cannot be run in it on this machine ({why}).")
    else:
        message = _("no sandbox works here: a script cannot be run in it on this machine ({why}).")
    raise SandboxError(f"{message.format(asked=asked, why=why)} {_(_ADVICE[asked or 'rlimits'])}")


_ADVICE: dict[Tier, str] = {
    "full": N_("Install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap), or ask for landlock or rlimits."),
    "landlock": N_("It takes Linux 5.13 or newer; ask for rlimits, the last tier."),
    "rlimits": N_("Is there room in the folder for temporary files?"),
}


def _ways(tier: Tier) -> list[Sandbox]:
    """The ways to have this tier, the best first."""
    root = os.geteuid() == 0
    if not LINUX:
        return [Sandbox(tier)]
    if tier == "full":
        return [Sandbox(tier, own_uid=True)] * root + [Sandbox(tier), Sandbox(tier, nested=False)]
    return [Sandbox(tier, own_uid=True)] * root + [Sandbox(tier)]


def _why_not(sandbox: Sandbox) -> str:
    """Nothing if a script ran in it and its data came back."""
    if sandbox.tier != "rlimits" and not LINUX:
        return _("it is made for Linux")
    if sandbox.tier == "full" and shutil.which("bwrap") is None:
        return _("bubblewrap is not installed")
    if sandbox.tier == "landlock":
        from checker.sandbox.inside import kernel

        if kernel.landlock_abi() == 0:
            return _(NO_LANDLOCK)
    with tempfile.TemporaryDirectory(prefix="checker-", ignore_cleanup_errors=True) as scratch:
        copy, out, home = (Path(scratch, name) for name in ("copy", "out", "home"))
        for folder in (copy, out, home):
            folder.mkdir()
        script = "import sys; open(sys.argv[1] + '/works', 'w').write('yes')"
        argv = [sys.executable, "-I", "-S", "-c", script, str(out)]
        try:
            running = sandbox.start(Task(argv, {}, copy, copy, out, home), Limits(wall=20.0))
        except OSError as error:
            return said_by_the_system(error)
        try:
            handed = running.handed()
        except channel.Broken as error:
            return running.last_line() or str(error)
        if [(e.name, e.data) for e in handed.entries] != [("works", b"yes")]:
            return running.last_line() or handed.ending
    return ""


def _folders_above(path: str) -> list[str]:
    """Left to itself, bubblewrap makes them private."""
    above = [str(folder) for folder in Path(path).parents][-2::-1]  # without the root, from there down
    return [word for folder in above for word in ("--perms", "0755", "--dir", folder)]


def _memory(path: str, size: int) -> list[str]:
    return ["--perms", "1777", "--size", str(size), "--tmpfs", path]


def _unused_uid() -> int:
    """A uid that nobody has, drawn from a range that nothing hands out; in a container, from those it has."""
    first, count = 1_900_000_000, 200_000_000
    with open("/proc/self/uid_map") as file:
        ends = [int(start) + int(length) for start, _, length in map(str.split, file)]
    if max(ends) < first + count:
        first, count = 20_000, max(1, min(40_000, max(ends) - 20_000))
    return first + secrets.randbelow(count)


def _give(folder: Path, uid: int | None) -> None:
    """Make ``folder`` and all in it the script's: they are the checker's own copies."""
    if uid is None:
        return
    os.chown(folder, uid, uid)
    for root, folders, files in os.walk(folder):
        for name in folders + files:
            os.chown(os.path.join(root, name), uid, uid, follow_symlinks=False)
