"""Where a student stands: the labs there are, and how far each is."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from checker import store
from checker.check import nothing_started
from checker.faults import printable
from checker.language import _
from checker.spec import Lab, load_lab
from checker.views import words

LABS = Path("labs")


def list_labs() -> int:
    folders = sorted(p.parent for p in LABS.glob("*/lab.toml"))
    if not folders:
        raise click.UsageError(_("no labs under ./labs; run it from the root of the course, or name a lab's folder."))
    for folder in folders:
        lab = load_lab(folder)
        click.echo(f"{folder}  {lab.title}: {_how_far(lab, folder / 'experiments')}")
    click.echo(
        _("To check one: {command}    More: {help}").format(
            command=f"python -m checker {quoted(folders[0])}", help="python -m checker --help"
        )
    )
    return 0


def _how_far(lab: Lab, submission: Path) -> str:
    try:
        if nothing_started(submission):
            return _("not started")
    except OSError:
        return _("cannot be read")
    report = store.last_report(submission)
    if report is None:
        return _("started, not checked yet")
    said = words.verdict(report)
    if store.fresh_report(submission, lab):
        return said
    return _("{verdict} when last checked; changed since").format(verdict=said)


def quoted(path: Path) -> str:
    """A path as it is typed in a shell."""
    return shlex.quote(printable(str(path)))
