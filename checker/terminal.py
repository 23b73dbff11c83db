"""The report, drawn for a terminal: it reads at 80 columns, without colour, and in a pipe.

Whatever came from a submission is printed as plain text, never as markup, with control characters escaped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from checker.check import Progress as Tell
from checker.faults import printable
from checker.language import N_, _, ngettext
from checker.report import Claim, Finding, Replay, Report, TaskResult
from checker.spec import Lab
from checker.views import words

MAX_SHOWN = 3  # findings of one task; report.json holds the others
MAX_VALUE = 1000  # characters of one value
NARROW = 60  # columns; below that a table's cells hold a word or two a line
MARKS = {
    "passed": (N_("passed"), "green"),
    "failed": (N_("FAILED"), "bold red"),
    "in part": (N_("in part"), "bold yellow"),  # failed, and earned some of its points
    "not run": (N_("not run"), "yellow"),
}
VERDICTS = {
    "passed": "green",
    "not passed": "bold red",
    "not started": "yellow",
    "unreadable": "bold red",
    "integrity": "bold red",
}


def console(stderr: bool = False) -> Console:
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)


def draw(report: Report, out: Console, command: str, saved: str | None) -> None:
    """``command`` is what a person types to check again; ``saved`` where report.json lies, if anywhere."""
    out.print(Text(_("Lab {lab}: {title}").format(lab=report.lab, title=report.title), style="bold"))
    out.print(_("Submission: {path}").format(path=printable(report.submission.path)), soft_wrap=True)
    out.print()
    for finding in report.findings:
        _draw_finding(finding, out)
    _draw_tasks(report, out)
    for task in report.tasks:
        if task.findings:
            _draw_failure(task, out, command)
    if any(t.status == "failed" for t in report.tasks):
        for replay in words.outputs(report):
            _draw_output(replay, out)
    _draw_claims([claim for task in report.tasks for claim in task.claims], out)
    _draw_evidence(report, out)
    out.print()
    out.print(_verdict(report))
    if report.verdict == "integrity":
        out.print(_("A claim in the submission is better than its evidence: see [integrity] above."))
    failed = [task.id for task in report.tasks if task.findings]
    if len(failed) > 1:
        out.print(_("Begin with {task}: what comes after it may follow from it.").format(task=failed[0]))
    if saved:
        out.print(_("The whole report: {path}").format(path=printable(saved)), soft_wrap=True)
    if report.verdict != "passed":
        out.print(_("The same as a page: {command}").format(command=f"{command} --format html"), soft_wrap=True)


def draw_not_started(lab: Lab, lab_dir: Path, submission: Path, out: Console, command: str) -> None:
    """Two lines: what to do next."""
    scripts = f" {_('and')} ".join(a.path for a in lab.artifacts if a.kind == "python")
    here, starter = printable(str(submission)), printable(str(lab_dir / "starter"))
    out.print(
        _("Nothing is in {here} yet. Copy the scripts of {starter} there: {scripts}.").format(
            here=here, starter=starter, scripts=scripts
        ),
        soft_wrap=True,
    )
    out.print(_("Then do their TODOs, run them, and check again: {command}").format(command=command), soft_wrap=True)


@contextmanager
def progress_bar() -> Iterator[Tell]:
    """A bar on stderr, gone when done; silent where stderr is not a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with bar:
        task = bar.add_task(_("reading the submission"), total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


def _draw_tasks(report: Report, out: Console) -> None:
    tasks = [task for task in report.tasks if task.asked]
    if out.width < NARROW:
        for task in tasks:
            mark, style = _mark(task)
            out.print(Text.assemble(f"{task.id}: ", (mark, style), f", {_points(task)}"))
            out.print(Padding(_title(task), (0, 0, 0, 2), expand=False))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(_("task"), no_wrap=True)
    table.add_column("")
    table.add_column(_("status"), no_wrap=True)
    table.add_column(_("points"), justify="right", no_wrap=True)
    for task in tasks:
        mark, style = _mark(task)
        table.add_row(task.id, _title(task), Text(mark, style=style), _points(task))
    out.print(table)


def _mark(task: TaskResult) -> tuple[str, str]:
    mark, style = MARKS["in part" if task.status == "failed" and task.points else task.status]
    return _(mark), style


def _points(task: TaskResult) -> str:
    return _("{points} of {possible}").format(points=task.points, possible=task.possible)


def _verdict(report: Report) -> Text:
    """The line that says it, the verdict itself in its colour."""
    name = _(words.NAMES[report.verdict])
    name = name.upper() if report.verdict == "integrity" else name
    points = _("{points} of {possible} points").format(points=report.score.points, possible=report.score.possible)
    line = Text.assemble(_("Verdict:"), " ", (name, VERDICTS[report.verdict]), f", {points}")
    if report.only:
        line.append(" (" + _("asked for: {tasks}").format(tasks=", ".join(report.only)) + ")")
    return line


def _title(task: TaskResult) -> Text:
    title = Text(task.title)
    for note in task.notes:
        title.append(f"\n{printable(note)}", style="dim")
    if task.because:
        title.append("\n" + _("not run: {because}").format(because=task.because), style="yellow")
    return title


def _draw_failure(task: TaskResult, out: Console, command: str) -> None:
    out.print()
    out.print(Text(f"{task.id}: {task.title}", style="bold"))
    shown = words.in_order(task.findings)[:MAX_SHOWN]
    said: tuple[str, str] | None = None
    for finding in shown:
        _draw_finding(finding, out, say=said != (finding.kind, finding.message))
        said = (finding.kind, finding.message)
    rest = len(task.findings) - len(shown)
    if rest:
        out.print("  " + _("and {n} more of this task; --format html shows them all").format(n=rest), soft_wrap=True)
    if causes := words.causes(shown):
        out.print("  " + _("usual causes:"))
        for cause in causes:
            out.print(_item("-", cause, 4))
    out.print("  " + _("next hint: {command}").format(command=f"{command} --only {task.id} --hint"), soft_wrap=True)


def _draw_finding(finding: Finding, out: Console, say: bool = True) -> None:
    style = "bold red" if finding.kind == "integrity" else "red"
    if say:
        out.print(_item(f"[{finding.kind}]", printable(finding.message), 2, style))
    else:
        out.print("  " + _("and"))
    rows = Table.grid(padding=(0, 2, 0, 0))
    rows.add_column(no_wrap=True, style="dim")
    rows.add_column(overflow="fold")
    for name, label in words.LABELS.items():
        value = getattr(finding, name)
        if value is not None:
            rows.add_row(_(label), Text(_short(printable(value)), overflow="fold"))
    out.print(Padding(rows, (0, 0, 0, 4), expand=False))


def _short(text: str) -> str:
    """A screenful of one value hides all the others."""
    if len(text) <= MAX_VALUE:
        return text
    return _("{start} ... ({n} characters; --format html shows them all)").format(
        start=text[: MAX_VALUE // 2], n=len(text)
    )


def _draw_output(replay: Replay, out: Console) -> None:
    out.print()
    out.print(printable(words.printed(replay)), soft_wrap=True)
    for line in replay.output_tail.splitlines()[-20:]:
        out.print(Padding(Text(printable(line), overflow="fold"), (0, 0, 0, 2), expand=False))


def _draw_claims(claims: list[Claim], out: Console) -> None:
    """How many hold; the others by name."""
    if not claims:
        return
    verified = sum(claim.standing == "verified" for claim in claims)
    out.print()
    out.print(
        ngettext(
            "What the submission says of itself: {verified} of {n} claim verified here.",
            "What the submission says of itself: {verified} of {n} claims verified here.",
            len(claims),
        ).format(verified=verified, n=len(claims)),
        soft_wrap=True,
    )
    for claim in sorted(claims, key=lambda claim: claim.standing != "contradicted"):
        if claim.standing == "contradicted":
            out.print(_item("-", _("contradicted: {claim}").format(claim=printable(claim.text)), 2))
        elif claim.because:
            text = _("not checkable here: {claim} ({because})")
            text = text.format(claim=printable(claim.text), because=printable(claim.because))
            out.print(_item("-", text, 2))


def _draw_evidence(report: Report, out: Console) -> None:
    lines = words.evidence(report)
    out.print()
    if lines:
        out.print(_("What the verdict stands on:"))
    for line in lines:
        out.print(_item("-", printable(line), 2))
    out.print(words.sandbox(report), style="dim")


def _item(mark: str, text: str, indent: int, style: str = "") -> Padding:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True, style=style)
    grid.add_column(overflow="fold")
    grid.add_row(Text(mark), Text(text, overflow="fold"))
    return Padding(grid, (0, 0, 0, indent), expand=False)
