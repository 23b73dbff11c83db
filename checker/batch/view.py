"""What a batch leaves in its folder, drawn from batch.sqlite each time.

index.html   the class, one page          summary.csv    a line a student
reports/     NAME.json and NAME.html: the same bytes whenever and wherever the class is checked
logs/        NAME.txt: when, how long, and what the scripts printed: all that is not the same twice
"""

from __future__ import annotations

import csv
import io
import shutil
from collections import Counter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from checker.batch import together
from checker.batch.handed_in import given_out
from checker.batch.run import Batch, Row
from checker.batch.together import FAILED, STANDINGS, Student, without_clock
from checker.faults import printable
from checker.language import _, ngettext, spoken
from checker.report import Report
from checker.spec import Lab
from checker.views import draw
from checker.views.words import NAMES

HERE = Path(__file__).parent


def publish(rows: list[Row], lab: Lab, batch: Batch, out: Path) -> None:
    """Write all of it anew. A folder is filled beside its place first: a batch that is killed leaves the old one."""
    students = [_student(row) for row in rows]
    with _Folder(out / "reports") as reports, _Folder(out / "logs") as logs:
        for row, student in zip(rows, students, strict=True):
            if student.report is not None:
                (reports / f"{row.who.stem}.json").write_text(student.report.to_json(), encoding="utf-8")
                (reports / f"{row.who.stem}.html").write_text(draw("html", student.report, lab), encoding="utf-8")
            (logs / f"{row.who.stem}.txt").write_text(_log(row), encoding="utf-8")
    (out / "summary.csv").write_text(table(students, lab), encoding="utf-8")
    (out / "index.html").write_text(page(students, lab, batch), encoding="utf-8")


def summary(rows: list[Row]) -> list[str]:
    """For the terminal: how many stand where, and on whom the checker failed."""
    students = [_student(row) for row in rows]
    counts = Counter(student.standing for student in students)
    shown = ", ".join(f"{counts[standing]} {_(NAMES[standing])}" for standing in STANDINGS if counts[standing])
    first = ngettext("{n} submission: {verdicts}", "{n} submissions: {verdicts}", len(rows))
    lines = [first.format(n=len(rows), verdicts=shown or _("none"))]
    for student in students:
        if student.trouble:
            lines.append(
                _("The checker itself failed on {name}: {what}").format(
                    name=student.who.name, what=_last(student.trouble)
                )
            )
    return lines


def page(students: list[Student], lab: Lab, batch: Batch) -> str:
    """index.html: nothing is fetched, nothing runs, and whatever came from a submission is text."""
    environment = Environment(
        loader=FileSystemLoader([HERE, HERE.parent / "views"]),
        autoescape=True,
        finalize=lambda v: printable(v, keep="\n") if isinstance(v, str) and not isinstance(v, Markup) else v,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(_=_, ngettext=ngettext)
    asked = lab.with_required(batch.only or [task.id for task in lab.tasks])
    points = [student.report.score.points for student in students if student.report]
    return environment.get_template("class.html.j2").render(
        language=spoken(),
        NAMES=NAMES,
        lab=lab,
        students=students,
        options=batch.options,
        standings={s: n for s in STANDINGS if (n := sum(student.standing == s for student in students))},
        tasks=together.by_task(lab, asked, students),
        points=_tenths(points, sum(task.points for task in lab.tasks if task.id in asked)),
        faults=together.first_faults(students),
        survivors=together.survivors(students),
        shared=together.shared(lab, students, given_out(batch.lab_dir)),
        slowest=together.slowest(students),
        refused=[student for student in students if student.standing == "unreadable"],
        failed=[student for student in students if student.standing == FAILED],
    )


def table(students: list[Student], lab: Lab) -> str:
    """summary.csv. A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    tasks = [task.id for task in lab.tasks]
    writer.writerow(["name", "verdict", "points", "possible", *tasks, "first finding", "report"])
    for student in students:
        report, first = student.report, student.first
        points = {task.id: task.points for task in report.tasks if task.status != "not run"} if report else {}
        says = f"{first[1].message} {first[1].where or ''}".strip() if first else _last(student.trouble or "")
        cells = [student.who.name, student.standing]
        cells += [str(report.score.points), str(report.score.possible)] if report else ["", ""]
        cells += [str(points.get(task, "")) for task in tasks]
        cells += [printable(says), f"reports/{student.who.stem}.json" if report else f"logs/{student.who.stem}.txt"]
        writer.writerow([f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell for cell in cells])
    return text.getvalue()


def _student(row: Row) -> Student:
    kept = row.checked
    report = without_clock(Report.model_validate_json(kept.report), row.who.name) if kept.report else None
    return Student(row.who, report, kept.trouble, kept.seconds, row.fingerprint, dict(row.files))


def _log(row: Row) -> str:
    lines = [row.who.name, _("checked in {seconds:.1f} s").format(seconds=row.checked.seconds)]
    if row.checked.trouble:
        lines += ["", _("The checker itself failed on this submission:"), printable(row.checked.trouble, keep="\n")]
    if row.checked.report:
        report = Report.model_validate_json(row.checked.report)
        lines.append(_("started {when}").format(when=report.started))
        for run in report.evidence.replayed:
            command = printable(" ".join([run.script, *run.arguments]))
            said = _("{command}: {outcome}, exit code {code}, {seconds:.1f} s; it printed:").format(
                command=command, outcome=_(NAMES[run.outcome]), code=run.exit_code, seconds=run.seconds
            )
            lines += ["", said]
            # Of a progress bar, what a terminal shows in the end.
            shown = [line.rstrip("\r").rpartition("\r")[2] for line in run.output_tail.split("\n")]
            lines.append(printable("\n".join(shown), keep="\n"))
    return "\n".join(lines).rstrip() + "\n"


def _tenths(points: list[int], most: int) -> list[tuple[str, int]]:
    """How many have how many of ``most`` points, in ten steps; those who have all are apart."""
    steps = [(most * n // 10, most * (n + 1) // 10 - 1) for n in range(10)]
    found = [
        (_("{first} to {last}").format(first=a, last=b) if b > a else str(a), sum(a <= p <= b for p in points))
        for a, b in steps
        if b >= a
    ]
    return [*found, (str(most), points.count(most))]


def _last(text: str) -> str:
    """The last line: of a traceback, the one that says what happened."""
    return printable(text.strip().splitlines()[-1]) if text.strip() else ""


class _Folder:
    """A folder that takes the place of the one before it only when it is whole."""

    def __init__(self, path: Path) -> None:
        self.path, self.draft = path, path.with_name(f".{path.name}")

    def __enter__(self) -> Path:
        shutil.rmtree(self.draft, ignore_errors=True)
        self.draft.mkdir(parents=True)
        return self.draft

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            shutil.rmtree(self.path, ignore_errors=True)
            self.draft.rename(self.path)
