"""What the submissions of a class have in common: where they fail first, what they miss, what two of them share."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from checker.batch.handed_in import HandedIn
from checker.language import _
from checker.report import Evidence, Finding, Report, Submission, TaskResult
from checker.spec import Lab

FAILED = "checker failed"  # beside the verdicts: it says nothing about the work
STANDINGS = ("passed", "not passed", "not started", "unreadable", "integrity", FAILED)
SLOWEST = 10


@dataclass(frozen=True)
class Student:
    """One line of the class."""

    who: HandedIn
    report: Report | None  # without a clock
    trouble: str | None
    seconds: float
    fingerprint: str | None
    files: dict[str, str]  # artifact -> sha256

    @property
    def standing(self) -> str:
        return self.report.verdict if self.report else FAILED

    @property
    def first(self) -> tuple[TaskResult | None, Finding] | None:
        """The first thing that does not hold: of the submission as a whole, else of the first task that failed."""
        if self.report is None:
            return None
        if self.report.findings:
            return None, self.report.findings[0]
        failed = next((task for task in self.report.tasks if task.findings), None)
        return (failed, sorted(failed.findings, key=lambda f: f.kind != "integrity")[0]) if failed else None


@dataclass
class Group:
    """Students with the same fault; ``places``: where each place has it, and whom."""

    title: str
    task: str | None = None
    places: dict[str, list[HandedIn]] = field(default_factory=lambda: defaultdict(list))

    @property
    def size(self) -> int:
        return sum(map(len, self.places.values()))


@dataclass(frozen=True)
class Shared:
    """A file that several have in the same bytes."""

    what: str
    who: list[HandedIn]


def without_clock(report: Report, name: str) -> Report:
    """The report as it is written into the class's folder: the same submission gives the same bytes, at any time.

    When it was made, how long it took and what the scripts printed are in logs/ instead.
    """
    runs = [run.model_copy(update={"seconds": 0.0, "output_tail": ""}) for run in report.evidence.replayed]
    evidence: Evidence = report.evidence.model_copy(update={"replayed": runs})
    submission = Submission(path=name, fingerprint=report.submission.fingerprint)
    changes = {"submission": submission, "started": _("with the class"), "durations": {}, "evidence": evidence}
    return report.model_copy(update=changes)


def by_task(lab: Lab, asked: set[str], students: Iterable[Student]) -> dict[str, Counter[str]]:
    """task -> how many passed, earned a part, failed, and did not get to it."""
    counts: dict[str, Counter[str]] = {task.id: Counter() for task in lab.tasks if task.id in asked}
    for student in students:
        for task in student.report.tasks if student.report else ():
            if task.id in asked:
                counts[task.id]["part" if task.status == "failed" and task.points else task.status] += 1
    return {task: count for task, count in counts.items() if count}


def first_faults(students: Iterable[Student]) -> list[Group]:
    """Those who fail first in the same way, the largest group first; within it, by the place."""
    groups: dict[tuple[str, str, str], Group] = {}
    for student in students:
        if student.first is None:
            continue
        task, finding = student.first
        key = (task.id if task else "", finding.kind, finding.message)
        group = groups.setdefault(key, Group(f"[{finding.kind}] {finding.message}", task.id if task else None))
        place = ": ".join(part for part in (finding.file if task else None, finding.where) if part)
        group.places[place or _("as a whole")].append(student.who)
    return _largest_first(groups.values())


def survivors(students: Iterable[Student]) -> list[Group]:
    """Planted bugs that somebody's test did not notice, by what each does."""
    groups: dict[str, Group] = {}
    for student in students:
        for task in student.report.tasks if student.report else ():
            for finding in task.findings if task.id == "catches" else ():
                group = groups.setdefault(finding.message, Group(finding.message, task.id))
                if student.who not in group.places[finding.where or ""]:
                    group.places[finding.where or ""].append(student.who)
    return _largest_first(groups.values())


def shared(lab: Lab, students: Iterable[Student], given_out: set[str]) -> list[Shared]:
    """Files that several students have in the same bytes, the course's own left out.

    The right data are the same bytes for everybody, so a data file counts only where a finding names it: two people
    seldom have the same wrong numbers by themselves.
    """
    # What two people do not write alike: programs, and texts that are asked for in words (others a script writes).
    own = {a.path for a in lab.artifacts if a.kind == "python" or (a.kind == "markdown" and a.min_words)}
    whole: dict[str, list[Student]] = defaultdict(list)
    files: dict[tuple[str, str], list[Student]] = defaultdict(list)
    for student in students:
        if student.fingerprint:
            whole[student.fingerprint].append(student)
        for path, digest in student.files.items():
            if digest not in given_out and (path in own or _at_fault(student, path)):
                files[path, digest].append(student)
    found = [Shared(_("the whole submission"), [s.who for s in some]) for some in whole.values() if len(some) > 1]
    for (path, _digest), some in sorted(files.items()):
        if len({student.fingerprint for student in some}) > 1:
            found.append(Shared(path, [student.who for student in some]))
    return found


def slowest(students: Iterable[Student]) -> list[Student]:
    return sorted(students, key=lambda student: (-student.seconds, student.who.name))[:SLOWEST]


def _at_fault(student: Student, path: str) -> bool:
    return student.report is not None and any(f.file == path for task in student.report.tasks for f in task.findings)


def _largest_first(groups: Iterable[Group]) -> list[Group]:
    for group in (some := list(groups)):
        group.places = dict(sorted(group.places.items(), key=lambda item: (-len(item[1]), item[0])))
    return sorted(some, key=lambda group: (-group.size, group.title))
