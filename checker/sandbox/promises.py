"""What each tier stops, and what it does not. The report, the selftest and the book draw from here."""

from __future__ import annotations

from dataclasses import dataclass

from checker.report import Tier

TIERS: tuple[Tier, ...] = ("full", "landlock", "rlimits")  # the best first


@dataclass(frozen=True)
class Promise:
    """``against`` is what a script may try; ``by`` says, for each tier, how it is stopped, or None: it is not."""

    id: str
    against: str
    by: dict[Tier, str | None]


def _promise(id_: str, against: str, full: str | None, landlock: str | None, rlimits: str | None) -> Promise:
    return Promise(id_, against, {"full": full, "landlock": landlock, "rlimits": rlimits})


_DEADLINE = "a deadline, after which everything is killed"
_WATCHED = "all its processes are watched together, and resource limits stand behind that"
_ON_LINUX = "Linux only: {how}"

PROMISES: tuple[Promise, ...] = (
    _promise(
        "verdict",
        "printing a verdict, or ending with exit code 0",
        *["only the data it wrote count; its output and its exit code decide nothing"] * 3,
    ),
    _promise(
        "forged data",
        "writing to the channel to the checker",
        "it has no descriptor of the channel, and does not know the key of the digest; it sees no process of ours",
        "it has no descriptor of the channel, and does not know the key of the digest; Landlock keeps it from ours",
        "it has no descriptor of the channel, and does not know the key of the digest; the processes that do cannot "
        "be looked into (Linux), or only with a debugger's rights (macOS)",
    ),
    _promise(
        "supervisor",
        "killing the process that hands its data over",
        "another uid, or the first process of a pid namespace: it cannot be signalled",
        "another uid (the checker runs as root), or Landlock's signal scope (kernel 6.12 or newer); where neither is "
        "at hand, the run is then one without data",
        "another uid (the checker runs as root); otherwise the run is then one without data",
    ),
    _promise("endless loop", "running without an end", _DEADLINE, _DEADLINE, _DEADLINE),
    _promise("memory", "taking all memory", _WATCHED, _WATCHED, _ON_LINUX.format(how=_WATCHED)),
    _promise("processes", "starting processes without an end", _WATCHED, _WATCHED, _ON_LINUX.format(how=_WATCHED)),
    _promise(
        "daemon",
        "leaving a process behind",
        "its pid namespace ends with it",
        "whatever it started becomes the supervisor's child, and is killed",
        "Linux: whatever it started becomes the supervisor's child, and is killed. macOS: only its process group",
    ),
    _promise(
        "disk",
        "filling the disk",
        "it writes to memory of a fixed size, which goes with it",
        "only a limit on the size of each file",
        "only a limit on the size of each file",
    ),
    _promise(
        "writing",
        "writing outside its scratch folder",
        "everything else is mounted read-only, or is not there",
        "Landlock",
        None,
    ),
    _promise(
        "reading",
        "reading the solutions, the checker's tests, another submission or your home",
        "they are not there",
        "Landlock; that a file is there can still be seen",
        None,
    ),
    _promise(
        "network",
        "using the network",
        "a network namespace with nothing in it; no socket but a Unix one can be made",
        "no socket but a Unix one can be made (on processors other than x86-64 and ARM64, only TCP is stopped)",
        "Linux on x86-64 and ARM64: no socket but a Unix one can be made",
    ),
    _promise(
        "other processes",
        "signalling or reading other processes",
        "it sees none",
        "another uid (the checker runs as root), or Landlock; signals only with kernel 6.12 or newer",
        "another uid (the checker runs as root); otherwise nothing",
    ),
    _promise("kernel", "using a fault of the kernel", None, None, None),
    _promise("side channels", "seeing by the clock that the machine is busy, or guessing it is graded", *[None] * 3),
)
