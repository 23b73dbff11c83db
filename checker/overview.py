"""Where a student stands: the labs in order, what each is about, how far it is, and what comes next.

On a terminal, a table; elsewhere a line for each lab.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from checker import store, terminal
from checker.check import nothing_started
from checker.faults import printable
from checker.language import _, ngettext
from checker.report import Report
from checker.spec import Lab, load_lab
from checker.views import words

LABS = Path("labs")


@dataclass(frozen=True)
class Standing:
    """One lab, and how far it is: the last report, if there is one, or what stands in its place."""

    folder: Path
    lab: Lab
    report: Report | None
    instead: str = ""
    changed: bool = False  # since the report

    @property
    def passed(self) -> bool:
        return self.report is not None and self.report.verdict == "passed" and not self.changed

    @property
    def points(self) -> int:
        return self.report.score.points if self.report else 0

    @property
    def possible(self) -> int:
        return sum(task.points for task in self.lab.tasks)

    def in_words(self) -> str:
        if self.report is None:
            return self.instead
        said = words.verdict(self.report)
        return _("{verdict} when last checked; changed since").format(verdict=said) if self.changed else said


def list_labs() -> int:
    folders = sorted(p.parent for p in LABS.glob("*/lab.toml"))
    if not folders:
        raise click.UsageError(_("no labs under ./labs; run it from the root of the course, or name a lab's folder."))
    labs = [_standing(folder) for folder in folders]
    out = terminal.console()
    if out.is_terminal:
        draw(labs, out)
    else:
        for lab in labs:
            click.echo(f"{lab.folder}  {lab.lab.title}: {lab.in_words()}")
    for line in comes_next(labs):
        out.print(line, soft_wrap=True)
    return 0


def _standing(folder: Path) -> Standing:
    lab, submission = load_lab(folder), folder / "experiments"
    try:
        if nothing_started(submission):
            return Standing(folder, lab, None, _("not started"))
    except OSError:
        return Standing(folder, lab, None, _("cannot be read"))
    report = store.last_report(submission)
    if report is None:
        return Standing(folder, lab, None, _("started, not checked yet"))
    return Standing(folder, lab, report, changed=store.fresh_report(submission, lab) is None)


def draw(labs: list[Standing], out: Console) -> None:
    out.print(Text(_("The course, lab by lab"), style="bold"))
    out.print(Text(_("In this order, if you like: no lab needs an earlier one to have passed."), style="dim"))
    out.print()
    if out.width < terminal.NARROW:
        for lab in labs:
            out.print(Text(str(lab.folder), style="bold"))
            hours = Text(_("{hours} hours").format(hours=_hours(lab)) if lab.lab.hours else "", style="dim")
            for text in filter(None, (_title(lab), hours, _how_far(lab))):
                out.print(Padding(text, (0, 0, 0, 2), expand=False))
            out.print()
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0), header_style="dim")
    table.add_column(_("lab"), no_wrap=True, style="bold")
    table.add_column(_("what it is about"), ratio=1)
    table.add_column(_("hours"), no_wrap=True)
    table.add_column(_("how far"), max_width=18)
    table.add_column(_("points"), justify="right", no_wrap=True)
    for lab in labs:
        points = _("{points} of {possible}").format(points=lab.points, possible=lab.possible)
        table.add_row(str(lab.folder), _title(lab), _hours(lab), _how_far(lab), points)
    out.print(table)
    out.print()


def comes_next(labs: list[Standing]) -> list[str]:
    """What to read and to type now."""
    todo = next((lab for lab in labs if not lab.passed), None)
    so_far = _("{points} of {possible} points so far.")
    lines = [so_far.format(points=sum(lab.points for lab in labs), possible=sum(lab.possible for lab in labs))]
    if todo is None:
        n = len(labs)
        lines.append(ngettext("The one lab there is has passed.", "All {n} labs have passed.", n).format(n=n))
    else:
        lines.append(_("Next: lab {lab}, {title}.").format(lab=todo.lab.id, title=todo.lab.title))
        check = f"python -m checker {quoted(todo.folder)}"
        if todo.report is None and todo.lab.chapter:
            lines.append("  " + _("read first: {chapter}").format(chapter=_chapter(todo.lab.chapter)))
        lines.append("  " + _("its brief: {path}").format(path=printable(str(todo.folder / "README.md"))))
        lines.append("  " + _("to check it: {command}").format(command=check))
        if todo.report is not None and todo.report.verdict != "passed":
            lines.append("  " + _("the next hint: {command}").format(command=f"{check} --hint"))
    lines.append(_("More: {help}").format(help="python -m checker --help"))
    return lines


def _title(lab: Standing) -> Text:
    """The title, what the lab is about, and the chapter that leads to it."""
    text = Text(lab.lab.title)
    if lab.lab.about:
        text.append(f"\n{lab.lab.about}", style="dim")
    if lab.lab.chapter:
        text.append("\n" + _("after {chapter}").format(chapter=_chapter(lab.lab.chapter)), style="dim")
    return text


def _hours(lab: Standing) -> str:
    if not lab.lab.hours:
        return ""
    low, high = lab.lab.hours
    return _("{low} to {high}").format(low=low, high=high) if low < high else str(low)


def _how_far(lab: Standing) -> Text:
    """The verdict in its colour, and under it how many tasks have passed."""
    if lab.report is None:
        return Text(lab.instead, style="yellow")
    report = lab.report
    text = Text(_(words.NAMES[report.verdict]), style=terminal.VERDICTS[report.verdict])
    n = len(report.tasks)
    done = sum(task.status == "passed" for task in report.tasks)
    text.append("\n" + ngettext("{done} of {n} task", "{done} of {n} tasks", n).format(done=done, n=n), style="dim")
    if lab.changed:
        text.append("\n" + _("changed since"), style="yellow")
    return text


def _chapter(path: str) -> str:
    """ "chapter 4, Yesterday I worked", if the chapter lies where it should; else its path."""
    number = re.match(r"0*(\d+)_", Path(path).name)
    try:
        found = re.search(r"^# # (.+)$", Path(f"{path}.py").read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        found = None
    if not number or not found:
        return path
    return _("chapter {number}, {title}").format(number=number[1], title=printable(found[1]))


def quoted(path: Path) -> str:
    """A path as it is typed in a shell."""
    return shlex.quote(printable(str(path)))
