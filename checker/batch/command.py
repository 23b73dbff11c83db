"""python -m checker batch: its options, a progress bar, and what is left in the report folder."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import get_args

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from checker.batch.kept import Kept, conditions
from checker.batch.lanes import BatchError, Bounds, stop_lanes
from checker.batch.run import Batch, Tick, engine, run
from checker.batch.view import publish, summary
from checker.check import Options
from checker.language import AS_IT_IS, N_, _
from checker.report import Tier
from checker.sandbox import SandboxError, choose
from checker.spec import SpecError, load_lab
from checker.terminal import console

HELP = "\n\n".join(
    [
        N_("Check a class at once: every folder and every archive in SUBMISSIONS is one student's work."),
        N_(
            "Each is checked in a process of its own, and a hang or a crash costs that submission only. What is found "
            "goes to REPORT/batch.sqlite as it comes: a batch that is stopped, however, goes on from there when it is "
            "started again, and checks only what has changed. The verdicts are in REPORT/index.html, summary.csv and "
            "reports/."
        ),
        AS_IT_IS
        + N_("""Examples:
  python -m checker batch handed-in --jobs 8 --report out
  python -m checker batch handed-in --report out --only slots
  python -m checker batch handed-in --report out --engine dask --address tcp://10.0.0.1:8786"""),
        AS_IT_IS
        + N_("""Exit codes:
  0  every submission has its verdict, whatever it is
  1  the checker itself failed on a submission; the class view names it
  2  the command was not understood, or this machine lacks what it needs"""),
    ]
)


@click.command(help=HELP)
@click.argument("submissions", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--report", "out", required=True, type=click.Path(path_type=Path, file_okay=False), help=N_("What is found.")
)
@click.option("--lab", "lab_dir", default="labs/02", show_default=True, type=click.Path(path_type=Path))
@click.option("--jobs", type=click.IntRange(min=1), help=N_("How many at a time.  [default: one for every two cores]"))
@click.option("--engine", "engine_", type=click.Choice(["threads", "dask"]), default="threads", show_default=True)
@click.option(
    "--address", help=N_("The dask scheduler; its workers must see the same files.  [default: one is started]")
)
@click.option(
    "--sandbox", type=click.Choice(get_args(Tier)), help=N_("How far scripts are shut in.  [default: the best]")
)
@click.option("--allow-weak-sandbox", is_flag=True, help=N_("Go on with the rlimits tier, which stops little."))
@click.option("--only", multiple=True, metavar="TASK", help=N_("Check this task and what it requires; repeatable."))
@click.option("--timeout", type=click.FloatRange(1, 86400), help=N_("Seconds one run of a script may take."))
@click.option("--limit", type=click.FloatRange(1, 86400), default=3600.0, help=N_("Seconds one submission may take."))
@click.option("--hidden-seed", type=click.IntRange(0, 2**31 - 1), help=N_("The hidden inputs.  [default: drawn once]"))
@click.option("--debug", is_flag=True, help=N_("Show the traceback if the batch itself fails."))
def command(
    submissions: Path,
    out: Path,
    lab_dir: Path,
    jobs: int | None,
    engine_: str,
    address: str | None,
    sandbox: Tier | None,
    allow_weak_sandbox: bool,
    only: tuple[str, ...],
    timeout: float | None,
    limit: float,
    hidden_seed: int | None,
    debug: bool,
) -> int:
    if not (lab_dir / "lab.toml").is_file():
        raise click.UsageError(
            _("{folder} is not a lab: it has no lab.toml. Name one with --lab.").format(folder=lab_dir)
        )
    lab = load_lab(lab_dir)
    if find_spec(f"checker.lab{lab.id}") is None:
        raise SpecError(
            _("{file}: this checker has no tests for lab {lab!r}.").format(file=lab_dir / "lab.toml", lab=lab.id)
        )
    for task in only:
        if task not in {t.id for t in lab.tasks}:
            known = ", ".join(t.id for t in lab.tasks)
            raise click.UsageError(
                _("lab {lab} has no task {task!r}; its tasks are {known}.").format(lab=lab.id, task=task, known=known)
            )
    if address and engine_ != "dask":
        raise click.UsageError(_("--address is that of a dask scheduler: it needs --engine dask."))
    if out.resolve().is_relative_to(submissions.resolve()):
        raise click.UsageError(_("--report {out} lies among the submissions, which are only read.").format(out=out))
    try:
        tier = choose(sandbox).tier
        if tier == "rlimits" and not allow_weak_sandbox:
            raise click.UsageError(
                _(
                    "only the rlimits tier of the sandbox works here, and it would let these scripts "
                    "read and write what you can. Install bubblewrap, or say --allow-weak-sandbox if "
                    "you trust every one of them."
                )
            )
        kept = Kept(out)
        try:
            options = Options(hidden_seed=kept.hidden_seed(hidden_seed), timeout=timeout, tier=tier)
            batch = Batch(lab_dir, submissions, list(only), options, Bounds(seconds=limit))
            here = conditions(lab_dir, batch.only, options)
            jobs = jobs or max(1, (os.cpu_count() or 1) // 2)  # a check is two processes that work
            with _stoppable(), engine(engine_, jobs, address), _progress() as tick:
                rows = run(batch, kept, here, tick)
            publish(rows, lab, batch, out)
        finally:
            kept.close()
    except (BatchError, SandboxError) as error:
        raise click.UsageError(str(error)) from None
    for line in summary(rows):
        click.echo(line)
    click.echo(_("The class: {page}").format(page=out / "index.html"))
    return 1 if any(row.checked.report is None for row in rows) else 0


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C ends the checks that are under way, so that no thread waits for one."""

    def stop(number: int, frame: FrameType | None) -> None:
        stop_lanes()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    except KeyboardInterrupt:
        click.echo(_("checker: what was checked so far is kept; the same command goes on from there"), err=True)
        raise
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress() -> Iterator[Tick]:
    """A bar on stderr with the time that is left; silent where stderr is not a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with bar:
        shown = {what: bar.add_task(_(what), total=None, visible=False) for what in (N_("reading"), N_("checking"))}
        yield lambda what, done, of: bar.update(shown[what], completed=done, total=of, visible=True)
