"""python -m checker selftest: every known attack, tried on this machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from checker.language import speaking
from checker.report import Tier
from checker.selftest import table
from checker.selftest.catalogue import FAMILIES, chosen
from checker.selftest.run import Tell, promises, run, tiers_here
from checker.terminal import console

HELP = f"""Show that every known attack is found, that honest work passes, and that nobody who is honest is accused.

Each attack is a change to a lab's reference submission, or a script that is run in each tier of the sandbox; it must
give the finding that is written beside it. A table says what came of each, and what each tier stops on this machine.

Families: {", ".join(family.name for family in FAMILIES)}.

\b
Examples:
  python -m checker selftest
  python -m checker selftest --only escapes --only resources
  python -m checker selftest --only fork-bomb --tier rlimits

\b
Exit codes:
  0  every result is as expected
  1  one is not: it is named at the end
  2  the command was not understood, or this machine lacks what it needs
"""


@click.command(help=HELP)
@click.option("--tier", type=click.Choice(get_args(Tier)), help="This tier of the sandbox only.  [default: all here]")
@click.option("--only", multiple=True, metavar="NAME", help="This attack or family only; repeatable.")
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="How many at a time.")
@click.option("--slow", is_flag=True, help="Check the labs' solutions too.")
@click.option("--format", "format_", type=click.Choice(["terminal", "json"]), default="terminal", show_default=True)
@click.option("--debug", is_flag=True, help="Show the traceback if the selftest itself fails.")
def command(tier: Tier | None, only: tuple[str, ...], jobs: int, slow: bool, format_: str, debug: bool) -> int:
    try:
        trials = chosen(only, slow)
    except KeyError as error:
        families = ", ".join(family.name for family in FAMILIES)
        raise click.UsageError(f"no attack and no family is called {error}; the families are {families}.") from None
    tiers = tiers_here(tier)
    started = time.perf_counter()
    with speaking("en"), _progress() as tell:  # what is expected is written in English
        lines = run(trials, tiers, jobs, tell)
    seconds, shown = time.perf_counter() - started, promises(trials, lines, tiers)
    if format_ == "json":
        click.echo(table.as_json(lines, shown, tiers, seconds).encode(), nl=False)
    else:
        table.draw(lines, shown, tiers, seconds, console())
    return 0 if all(line.fits for line in lines) else 1


@contextmanager
def _progress() -> Iterator[Tell]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with bar:
        task = bar.add_task("")
        yield lambda what, done, of: bar.update(task, description=what, completed=done, total=of)
