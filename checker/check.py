"""One check: the lab's tasks in order, each on the evidence it asks for, and the report they make."""

from __future__ import annotations

import importlib
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar

from checker import __version__
from checker.faults import printable
from checker.gate import SKIPPED, Folder, Refusal
from checker.language import _, spoken
from checker.report import (
    NOT_ASKED,
    Claim,
    Environment,
    Evidence,
    Finding,
    Report,
    Score,
    Submission,
    TaskResult,
    Tier,
    verdict_of,
)
from checker.spec import Lab, SpecError, Task

MAX_FINDINGS = 50  # of one task; a last one says how many more there were
Progress = Callable[[str, float], None]  # what is being done, and how much of it (0 to 1)


@dataclass(frozen=True)
class Options:
    hidden_seed: int | None = None  # None: drawn afresh
    timeout: float | None = None  # seconds for one run of a student's script; None: what the lab deems ample
    tier: Tier | None = None  # of the sandbox; None: the best that works here
    progress: Progress = field(default=lambda what, share: None)


class Work(Protocol):
    """What a lab's package collects about one submission: the files, the replays, the recomputation."""

    def evidence(self) -> Evidence: ...
    def environment(self) -> dict[str, str]: ...
    def durations(self) -> dict[str, float]: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Part:
    """How much of a task is done: it earns that part of its points, rounded down, should it fail."""

    done: int
    of: int


# A task yields a Finding for each fault, a Claim for each thing the submission says that was looked into, a plain
# string for each thing worth knowing, and a Part if its points can be earned in parts.
Item = Finding | Claim | Part | str
Check = Callable[[Work], Iterator[Item]]
W = TypeVar("W")  # a lab's own Work


def with_claims(
    task: Callable[[W], Iterator[Finding | Part | str]], claims: Callable[[W, list[Finding]], Iterator[Claim]]
) -> Callable[[W], Iterator[Item]]:
    """The task, and after it the claims it looked into, which stand on its findings."""

    def run(work: W) -> Iterator[Item]:
        faults: list[Finding] = []
        for item in task(work):
            if isinstance(item, Finding):
                faults.append(item)
            yield item
        yield from claims(work, faults)

    return run


def check(lab: Lab, submission: Path, only: list[str], options: Options) -> Report:
    """Check ``submission``. Every task that was asked for runs, unless one it requires has not passed."""
    started, clock = datetime.now(UTC), time.perf_counter()
    wanted = lab.with_required(only or [t.id for t in lab.tasks])
    folder = Folder(submission)
    try:
        fingerprint = folder.fingerprint()
    except Refusal as refusal:
        return refused(lab, submission, only, refusal.finding)
    module = importlib.import_module(f"checker.lab{lab.id}")  # imported only when there is something to check
    if list(module.TASKS) != [t.id for t in lab.tasks]:
        raise SpecError(
            _("lab.toml of lab {lab}: expected the tasks {tasks}, in this order").format(
                lab=lab.id, tasks=", ".join(module.TASKS)
            )
        )
    work: Work = module.Work(folder, lab, wanted, options)
    results: list[TaskResult] = []
    try:
        for task in lab.tasks:
            results.append(_run(task, module.TASKS[task.id], work, wanted, results))
        environment = Environment.model_validate({**_environment(), **work.environment()})
        evidence, durations = work.evidence(), work.durations()
    finally:
        work.close()
    durations["total"] = time.perf_counter() - clock
    return Report(
        schema="checker.report/1",
        lab=lab.id,
        title=lab.title,
        submission=Submission(path=printable(str(submission)), fingerprint=fingerprint),
        language=spoken(),
        started=started.isoformat(timespec="seconds"),
        only=only,
        verdict=verdict_of(results, []),
        score=Score(points=sum(r.points for r in results), possible=sum(r.possible for r in results)),
        tasks=results,
        evidence=evidence,
        environment=environment,
        durations={name: round(seconds, 3) for name, seconds in durations.items()},
    )


def nothing_started(submission: Path) -> bool:
    """No folder, or one without a file of the student's. OSError if it cannot be looked into."""
    if not submission.exists() and not submission.is_symlink():
        return True
    return not any(p.name not in SKIPPED and not p.name.startswith(".") for p in submission.iterdir())


def not_started(lab: Lab, submission: Path, only: list[str]) -> Report:
    return _nothing_ran(lab, submission, only, _("nothing is started yet"), [])


def refused(lab: Lab, submission: Path, only: list[str], finding: Finding) -> Report:
    """The report on a submission that cannot be read at all."""
    return _nothing_ran(lab, submission, only, _("the submission cannot be read"), [finding])


def _nothing_ran(lab: Lab, submission: Path, only: list[str], because: str, findings: list[Finding]) -> Report:
    return Report(
        schema="checker.report/1",
        lab=lab.id,
        title=lab.title,
        submission=Submission(path=printable(str(submission))),
        language=spoken(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        only=only,
        verdict=verdict_of([], findings) if findings else "not started",
        score=Score(points=0, possible=sum(t.points for t in lab.tasks)),
        tasks=[_not_run(t, because) for t in lab.tasks],
        findings=findings,
        environment=Environment.model_validate(_environment()),
    )


def _run(task: Task, run: Check, work: Work, wanted: set[str], earlier: list[TaskResult]) -> TaskResult:
    if task.id not in wanted:
        return _not_run(task, _(NOT_ASKED))
    for result in earlier:
        if result.id in task.requires and result.status != "passed":
            return _not_run(task, _("{result} has not passed").format(result=result.id))
    findings: list[Finding] = []
    claims: list[Claim] = []
    notes: list[str] = []
    part = Part(0, 1)
    try:
        for item in run(work):
            match item:
                case Finding():
                    findings.append(item)
                case Claim():
                    claims.append(item)
                case Part():
                    part = item
                case str():
                    notes.append(item)
    except Refusal as refusal:
        findings.append(refusal.finding)
    if len(findings) > MAX_FINDINGS:
        # An accusation is never the part that is left out.
        findings.sort(key=lambda f: f.kind != "integrity")
        rest = len(findings) - MAX_FINDINGS
        findings[MAX_FINDINGS:] = [
            Finding(kind=findings[-1].kind, message=_("And {rest} more like these.").format(rest=rest))
        ]
    return TaskResult(
        id=task.id,
        title=task.title,
        status="failed" if findings else "passed",
        points=task.points if not findings else min(task.points * part.done // part.of, task.points - 1),
        possible=task.points,
        findings=findings,
        claims=claims,
        notes=notes,
    )


def _not_run(task: Task, because: str) -> TaskResult:
    return TaskResult(id=task.id, title=task.title, status="not run", because=because, points=0, possible=task.points)


def _environment() -> dict[str, str]:
    return {
        "checker": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
