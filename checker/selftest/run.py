"""Try them: all that is asked for, several at a time, each in the tiers where it could come out differently."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from checker.report import Tier
from checker.sandbox import PROMISES, TIERS, SandboxError, choose
from checker.selftest.bench import Bench
from checker.selftest.trial import Attack, Family, Probe, Seen, Trial

Tell = Callable[[str, int, int], None]  # what is done, how much of it, of how much
Asked = tuple[Family, Trial]


@dataclass(frozen=True)
class Line:
    """One trial in one tier: what was to come of it, and what did."""

    family: str
    name: str
    says: str
    expected: str
    found: str
    fits: bool
    tier: Tier
    stopped: bool | None  # of a probe
    seconds: float


def tiers_here(asked: Tier | None) -> list[Tier]:
    """The tiers that work on this machine, the best first. SandboxError: the one that was asked for does not."""
    if asked:
        return [choose(asked).tier]
    found: list[Tier] = []
    for tier in TIERS:
        try:
            found.append(choose(tier).tier)
        except SandboxError:
            continue
    return found or [choose().tier]


def run(trials: Sequence[Asked], tiers: Sequence[Tier], jobs: int, tell: Tell) -> list[Line]:
    """In the order of the catalogue."""
    pairs = [(family, trial, tier) for family, trial in trials for tier in (tiers if trial.each_tier else tiers[:1])]
    bench = Bench(tiers[0])
    try:
        tell("making the reference submission", 0, len(pairs))
        _prepare(bench, [trial for _, trial in trials])
        found: dict[int, Line] = {}
        with ThreadPoolExecutor(jobs) as pool:
            futures = {pool.submit(_line, bench, *pair): n for n, pair in enumerate(pairs)}
            try:
                for future in as_completed(futures):
                    found[futures[future]] = future.result()
                    tell("trying", len(found), len(pairs))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return [found[n] for n in sorted(found)]
    finally:
        bench.close()


def _prepare(bench: Bench, trials: Sequence[Trial]) -> None:
    attacks = [trial for trial in trials if isinstance(trial, Attack) and trial.lab == "02"]
    for other in sorted({trial.lab for trial in trials if isinstance(trial, Attack)} - {"02"}):
        bench.begin_reference(other)
    if attacks:
        wanted = set[str]()
        for attack in attacks:
            lab = bench.labs[attack.lab]
            wanted |= lab.with_required(list(attack.only) or [task.id for task in lab.tasks])
        bench.make_reference(wanted)
        if all(attack.only for attack in attacks):  # otherwise one checks it whole, and runs them here
            bench.remember_its_runs()


def _line(bench: Bench, family: Family, trial: Trial, tier: Tier) -> Line:
    started = time.perf_counter()
    try:
        seen = trial.try_in(bench, tier)
    except SandboxError:
        raise
    except Exception as error:  # the checker, or the trial itself, failed: that is what a selftest is for
        seen = Seen(f"exit 5, the checker itself failed: {type(error).__name__}: {error}", False)
    seconds = round(time.perf_counter() - started, 3)
    return Line(family.name, trial.name, trial.says, trial.expected, seen.found, seen.fits, tier, seen.stopped, seconds)


def promises(trials: Sequence[Asked], lines: Sequence[Line], tiers: Sequence[Tier]) -> dict[str, dict[Tier, str]]:
    """For each promise of the sandbox, what the probes have shown in each tier; nothing if there was none."""
    probes = {trial.name: trial for _, trial in trials if isinstance(trial, Probe)}
    if not probes:
        return {}
    found: dict[str, dict[Tier, str]] = {}
    for promise in PROMISES:
        for tier in tiers:
            tried = [
                line
                for line in lines
                if line.tier == tier and line.name in probes and probes[line.name].promise == promise.id
            ]
            found.setdefault(promise.id, {})[tier] = _shown(promise.by[tier] is not None, tried)
    return found


def _shown(promised: bool, tried: list[Line]) -> str:
    through = [line.name for line in tried if not line.stopped]
    disproved = [line.name for line in tried if not line.fits]
    if disproved:
        return f"PROMISED, NOT KEPT: {', '.join(disproved)}"
    if not tried:
        return "promised, not tried" if promised else "not promised"
    if through:
        some = f"{len(tried) - len(through)} of {len(tried)} stopped; " if len(tried) > len(through) else ""
        return f"{some}not promised: {', '.join(through)} got through"
    return f"{len(tried)} of {len(tried)} stopped" + ("" if promised else ", though not promised")
