"""What is tried, and what must come of it: a changed submission, a script in a sandbox, or a fact about a lab."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from checker.faults import printable
from checker.replay import Run
from checker.report import EXIT_CODES, Finding, Kind, Report, Tier
from checker.sandbox import PROMISES, TIERS, Limits

if TYPE_CHECKING:
    from checker.selftest.bench import Bench
    from checker.selftest.host import Host

Change = Callable[[Path, "Bench"], None]


@dataclass(frozen=True)
class Seen:
    """What came of one trial. ``stopped``: for a probe, whether it achieved nothing."""

    found: str
    fits: bool
    stopped: bool | None = None


@dataclass(frozen=True)
class Expect:
    """The finding that must be there, of a task that then earns nothing; ``task`` None: of the whole submission."""

    task: str | None
    kind: Kind
    file: str | None
    says: str  # stands in its message, where, expected or found
    part: bool = False  # what is honestly there may earn a part of the points

    @property
    def code(self) -> int:
        return {"integrity": 4, "unreadable": 3}.get(self.kind, 1)

    def __str__(self) -> str:
        return f"exit {self.code}, {self.kind} in {self.file or 'the submission'}: {self.says}"

    def met_by(self, finding: Finding) -> bool:
        text = "\n".join(filter(None, (finding.message, finding.where, finding.expected, finding.found)))
        return (finding.kind, finding.file) == (self.kind, self.file) and self.says in text


@dataclass(frozen=True)
class Attack:
    """A change to the reference submission of ``lab``. ``expect`` None: it is honest and must pass.

    What a check says of data does not depend on the sandbox, so it is tried in one tier and holds in all.
    """

    name: str
    says: str
    change: Change
    expect: Expect | None
    only: tuple[str, ...] = ()
    timeout: float | None = None
    mended: bool = False  # the scripts are newer than what they wrote
    lab: str = "02"
    tiers: tuple[Tier, ...] = TIERS
    each_tier: bool = False

    @property
    def expected(self) -> str:
        return str(self.expect) if self.expect else "exit 0, passed"

    def promised(self, tier: Tier, own_uid: bool) -> bool:
        return True

    def try_in(self, bench: Bench, tier: Tier) -> Seen:
        with bench.place(self.lab) as place:
            self.change(place, bench)
            report = bench.check(self, place, tier)
            planted = bench.was_touched(place)
        seen = judged(self.expect, report)
        return Seen("code of theirs ran in the checker", False) if planted else seen


def judged(expect: Expect | None, report: Report) -> Seen:
    """Is the report the one that was expected?"""
    code = EXIT_CODES[report.verdict]
    found = [(None, f) for f in report.findings] + [(t.id, f) for t in report.tasks for f in t.findings]
    if expect is None:
        return Seen(_told(code, found[0][1] if found else None), code == 0)
    points = 0 if expect.part else sum(t.points for t in report.tasks if t.id == expect.task)
    right = next((f for task, f in found if task == expect.task and expect.met_by(f)), None)
    told = _told(code, right or (found[0][1] if found else None))
    if points:
        told += f" ({points} points were given)"
    return Seen(told, bool(right) and code == expect.code and points == 0)


def _told(code: int, finding: Finding | None) -> str:
    if finding is None:
        return f"exit {code}, no finding"
    where = f", {finding.where}" if finding.where else ""
    return printable(f"exit {code}, {finding.kind} in {finding.file or 'the submission'}{where}: {finding.message}")


@dataclass(frozen=True)
class Tried:
    """One run of a probe, as ``stopped`` judges it. ``got``: what the script says it managed; None: it says nothing."""

    run: Run
    got: list[str] | None
    host: Host
    left: list[str]  # processes of it that still run


def in_vain(tried: Tried) -> bool:
    """It ran to its end, and managed nothing."""
    return tried.run.outcome == "finished" and tried.got == [] and not tried.left


@dataclass(frozen=True)
class Probe:
    """A script that is run in each tier. Where ``promise`` holds, ``stopped`` must; elsewhere it is told what happened.

    The script has ``out``, ``HOST`` (see ``host``) and ``attempt(name, what)``, which notes what did not fail.
    """

    name: str
    says: str
    script: str
    promise: str | None  # an id of checker.sandbox.PROMISES; None: it is stopped in every tier
    stopped: Callable[[Tried], bool] = in_vain
    limits: Limits = field(default_factory=lambda: Limits(wall=20.0))
    only_in: tuple[Tier, ...] | None = None  # a promise that is kept in words: the tiers that do
    own_uid: bool = False  # without a uid of its own, only the full tier promises it
    linux: bool = False  # nobody promises it elsewhere
    each_tier: bool = True

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """Those that stop it."""
        if self.only_in is not None or self.promise is None:
            return self.only_in or TIERS
        by = next(promise.by for promise in PROMISES if promise.id == self.promise)
        return tuple(tier for tier in TIERS if by[tier])

    @property
    def expected(self) -> str:
        if self.tiers == TIERS:
            return "stopped in every tier"
        return f"stopped in {', '.join(self.tiers)}; not promised elsewhere" if self.tiers else "not promised anywhere"

    def promised(self, tier: Tier, own_uid: bool) -> bool:
        if (self.linux and sys.platform != "linux") or (self.own_uid and not own_uid and tier != "full"):
            return False
        return tier in self.tiers

    def try_in(self, bench: Bench, tier: Tier) -> Seen:
        with bench.probe(self, tier) as (tried, own_uid):
            stopped = self.stopped(tried)
        how: str = tried.run.outcome
        if how == "finished" and tried.got is not None:
            how = f"managed: {', '.join(tried.got) or 'nothing'}"
        elif how == "finished" and tried.run.exit_code:
            how = f"exit code {tried.run.exit_code} {tried.run.output_tail[-200:].strip()}".strip()
        if tried.left:
            how += f"; {len(tried.left)} of its processes still run"
        words = "stopped" if stopped else "got through"
        return Seen(printable(f"{words} ({how})"), stopped or not self.promised(tier, own_uid), stopped)


@dataclass(frozen=True)
class Fact:
    """Something that must hold for the labs themselves. ``holds`` answers what it saw, and whether that is right."""

    name: str
    says: str
    expected: str
    holds: Callable[[Bench, Tier], tuple[str, bool]]
    slow: bool = False
    tiers: tuple[Tier, ...] = TIERS
    each_tier: bool = False

    def promised(self, tier: Tier, own_uid: bool) -> bool:
        return True

    def try_in(self, bench: Bench, tier: Tier) -> Seen:
        return Seen(*self.holds(bench, tier))


Trial = Attack | Probe | Fact


@dataclass(frozen=True)
class Family:
    name: str
    says: str
    trials: tuple[Trial, ...]


def got(out: Path) -> list[str] | None:
    """What a probe's script noted, read as warily as anything of a student's."""
    try:
        found = json.loads((out / "got.json").read_bytes()[:100_000])
    except (OSError, ValueError):
        return None
    return [str(what) for what in found] if isinstance(found, list) else None
