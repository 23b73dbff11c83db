"""What each tier stops, and what it does not. The report, the selftest and the book draw from here."""

from __future__ import annotations

from dataclasses import dataclass

from checker.language import N_
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


_DEADLINE = N_("a deadline, after which everything is killed")
_WATCHED = N_("all its processes are watched together, and resource limits stand behind that")
_WATCHED_ON_LINUX = N_("Linux only: all its processes are watched together, and resource limits stand behind that")

PROMISES: tuple[Promise, ...] = (
    _promise(
        "verdict",
        N_("printing a verdict, or ending with exit code 0"),
        *[N_("only the data it wrote count; its output and its exit code decide nothing")] * 3,
    ),
    _promise(
        "forged data",
        N_("writing to the channel to the checker"),
        N_("it has no descriptor of the channel, and does not know the key of the digest; it sees no process of ours"),
        N_("it has no descriptor of the channel, and does not know the key of the digest; Landlock keeps it from ours"),
        N_(
            "it has no descriptor of the channel, and does not know the key of the digest; the "
            "processes that do cannot be looked into (Linux), or only with a debugger's rights "
            "(macOS)"
        ),
    ),
    _promise(
        "supervisor",
        N_("killing the process that hands its data over"),
        N_("another uid, or the first process of a pid namespace: it cannot be signalled"),
        N_(
            "another uid (the checker runs as root), or Landlock's signal scope (kernel 6.12 or "
            "newer); where neither is at hand, the run is then one without data"
        ),
        N_("another uid (the checker runs as root); otherwise the run is then one without data"),
    ),
    _promise("endless loop", N_("running without an end"), _DEADLINE, _DEADLINE, _DEADLINE),
    _promise("memory", N_("taking all memory"), _WATCHED, _WATCHED, _WATCHED_ON_LINUX),
    _promise("processes", N_("starting processes without an end"), _WATCHED, _WATCHED, _WATCHED_ON_LINUX),
    _promise(
        "daemon",
        N_("leaving a process behind"),
        N_("its pid namespace ends with it"),
        N_("whatever it started becomes the supervisor's child, and is killed"),
        N_("Linux: whatever it started becomes the supervisor's child, and is killed. macOS: only its process group"),
    ),
    _promise(
        "disk",
        N_("filling the disk"),
        N_("it writes to memory of a fixed size, which goes with it"),
        N_("only a limit on the size of each file"),
        N_("only a limit on the size of each file"),
    ),
    _promise(
        "writing",
        N_("writing outside its scratch folder"),
        N_("everything else is mounted read-only, or is not there"),
        "Landlock",
        None,
    ),
    _promise(
        "reading",
        N_("reading the solutions, the checker's tests, another submission or your home"),
        N_("they are not there"),
        N_("Landlock; that a file is there can still be seen"),
        None,
    ),
    _promise(
        "network",
        N_("using the network"),
        N_("a network namespace with nothing in it; no socket but a Unix one can be made"),
        N_("no socket but a Unix one can be made (on processors other than x86-64 and ARM64, only TCP is stopped)"),
        N_("Linux on x86-64 and ARM64: no socket but a Unix one can be made"),
    ),
    _promise(
        "other processes",
        N_("signalling or reading other processes"),
        N_("it sees none"),
        N_("another uid (the checker runs as root), or Landlock; signals only with kernel 6.12 or newer"),
        N_("another uid (the checker runs as root); otherwise nothing"),
    ),
    _promise("kernel", N_("using a fault of the kernel"), None, None, None),
    _promise(
        "side channels", N_("seeing by the clock that the machine is busy, or guessing it is graded"), *[None] * 3
    ),
)
