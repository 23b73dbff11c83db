"""--hint: the next hint for the first task that has not passed, one at a time."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from checker import store
from checker.language import _, said_by_the_system
from checker.report import Report
from checker.spec import Lab


def show_hint(lab: Lab, submission: Path, report: Report, only: list[str], again: str) -> None:
    """``again`` is what a person types to check; which hints were shown is remembered in the report folder."""
    asked = [r for r in report.tasks if not only or r.id in only]
    task = next((r for r in asked if r.status == "failed"), None)
    task = task or next((r for r in asked if r.status == "not run"), None)
    if task is None:
        click.echo(_("Every task has passed: there is nothing to hint at."))
        return
    hints = lab.task(task.id).hints
    shown = store.hints_shown(submission)
    number = min(shown.get(task.id, 0) + 1, len(hints))
    click.echo(f"{task.id}: {task.title}")
    click.echo(_("Hint {number} of {n}: {hint}").format(number=number, n=len(hints), hint=hints[number - 1].strip()))
    if number < len(hints):
        again += "".join(f" --only {t}" for t in only) + " --hint"
        click.echo(_("Still stuck? {again}").format(again=again))
    else:
        click.echo(_("That was the last one."))
    try:
        store.save_hints(submission, {**shown, task.id: number})
    except OSError as error:
        print(
            _("checker: which hint was shown could not be kept: {why}").format(why=said_by_the_system(error)),
            file=sys.stderr,
        )
