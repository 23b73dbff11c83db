"""python -m checker: the command line.

Nothing here imports torch: it is loaded only when a submission is there to be recomputed.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

import click

from checker import __version__, replay, store, terminal
from checker.check import Options, check, not_started, nothing_started, refused
from checker.faults import printable
from checker.gate import Folder, Refusal
from checker.report import EXIT_CODES, Finding, Report
from checker.spec import Lab, SpecError, load_lab

USAGE, FAULT, INTERRUPTED = 2, 5, 130
LABS = Path("labs")

HELP = """Check a lab: say what holds, what does not, and where the first wrong byte is.

LAB_DIR is the lab's folder, such as labs/02. Without it, the labs under ./labs are listed, and how far each is.

The submission (LAB_DIR/experiments, or --submission) is only read. Its scripts are run again in a scratch copy,
what they claim is recomputed here, and the report is kept in SUBMISSION/.checker/report.json.

\b
Examples:
  python -m checker                            how far am I?
  python -m checker labs/02                    check everything
  python -m checker labs/02 --only slots       one task, and what it requires
  python -m checker labs/02 --hint             the next hint
  python -m checker labs/02 --submission DIR   work that lies elsewhere
  python -m checker labs/02 --format json      checker/report.schema.json

\b
Exit codes:
  0  passed
  1  not passed, or not started
  2  the command was not understood, lab.toml is at fault, or this machine lacks what the lab needs
  3  unreadable: not a folder, no permission, a link or device, too large
  4  integrity: a claim is better than its evidence
  5  the checker itself failed
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):  # what the terminal cannot show is escaped, and stops nothing
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _interruptible():
            code = command.main(arguments, prog_name="python -m checker", standalone_mode=False)
        if replay.interrupted():
            raise KeyboardInterrupt
        return int(code or 0)
    except click.ClickException as error:
        print(f"checker: {error.format_message()}", file=sys.stderr)
        return USAGE
    except SpecError as error:
        print(f"checker: {printable(str(error))}", file=sys.stderr)
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        print("checker: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        print(
            f"checker: the checker itself failed ({type(error).__name__}: {error}).\n"
            "This says nothing about your work. Run the same command with --debug and send what it prints to "
            "whoever keeps the course.",
            file=sys.stderr,
        )
        return FAULT


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the student's scripts at once, whatever this process is doing."""

    def stop(number: int, frame: FrameType | None) -> None:
        replay.interrupt()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _finite(context: click.Context, option: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number of seconds.")
    return value


@click.command(help=HELP)
@click.argument("lab_dir", required=False, type=click.Path(path_type=Path))
@click.option("--submission", type=click.Path(path_type=Path), help="The work to check; default LAB_DIR/experiments.")
@click.option("--format", "format_", type=click.Choice(["terminal", "json"]), default="terminal", show_default=True)
@click.option("--only", multiple=True, metavar="TASK", help="Check this task and what it requires; repeatable.")
@click.option("--hint", is_flag=True, help="Show the next hint for the first task not passed.")
@click.option("--hidden-seed", type=click.IntRange(0, 2**31 - 1), help="Repeat a check with its hidden inputs.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    callback=_finite,
    help="Seconds one run of a script may take.  [default: 300, ten times that on the slow fallback ops]",
)
@click.option("--debug", is_flag=True, help="Show the traceback if the checker itself fails.")
def command(
    lab_dir: Path | None,
    submission: Path | None,
    format_: str,
    only: tuple[str, ...],
    hint: bool,
    hidden_seed: int | None,
    timeout: float | None,
    debug: bool,
) -> int:
    if os.name == "nt":
        raise click.UsageError("the checker runs on Linux and macOS; on Windows, run it inside WSL.")
    if lab_dir is None:
        return _list_labs()
    if not os.path.isfile(lab_dir / "lab.toml"):
        raise click.UsageError(f"{lab_dir} is not a lab: it has no lab.toml. Try: python -m checker")
    if hint and format_ == "json":
        raise click.UsageError("--hint is for a person: it has no --format json.")
    lab = load_lab(lab_dir)
    if find_spec(f"checker.lab{lab.id}") is None:
        raise SpecError(f"{lab_dir / 'lab.toml'}: this checker has no tests for lab {lab.id!r}.")
    for task in only:
        if task not in {t.id for t in lab.tasks}:
            known = ", ".join(t.id for t in lab.tasks)
            raise click.UsageError(f"lab {lab.id} has no task {task!r}; its tasks are {known}.")
    if submission is not None and not os.path.lexists(submission):
        raise click.UsageError(f"there is no folder {submission}.")
    again = f"python -m checker {_quoted(lab_dir)}" + (f" --submission {_quoted(submission)}" if submission else "")
    submission = submission or lab_dir / "experiments"

    report = _fresh_report(lab, submission) if hint else None
    if report is None or report.verdict == "passed" or report.findings:
        # The file lies in the submission, where anybody may write to it: it can point to a hint, and vouch for nothing.
        report = _check(lab, submission, list(only), Options(hidden_seed, timeout))
    saved = _save(submission, report)
    out = terminal.console()
    if format_ == "json":
        click.echo(report.to_json().encode(), nl=False)  # JSON is UTF-8, whatever the terminal's encoding
    elif report.verdict == "not started":
        terminal.draw_not_started(lab, lab_dir, submission, out, again)
    elif hint and not report.findings:
        _show_hint(lab, submission, report, list(only), again)
    else:
        terminal.draw(report, out, again, saved)
    return EXIT_CODES[report.verdict]


def _quoted(path: Path) -> str:
    """A path as it is typed in a shell."""
    return shlex.quote(printable(str(path)))


def _check(lab: Lab, submission: Path, only: list[str], options: Options) -> Report:
    try:
        if nothing_started(submission):
            return not_started(lab, submission, only)
    except OSError as error:
        found = (error.strerror or str(error)).lower()
        message = "The submission cannot be opened."
        finding = Finding(kind="unreadable", message=message, expected="a folder that can be read", found=found)
        return refused(lab, submission, only, finding)
    with terminal.progress_bar() as progress:
        options = replace(options, progress=progress)
        return check(lab, submission, only, options)


def _save(submission: Path, report: Report) -> str | None:
    """Keep a whole report; one narrowed by --only would hide how far the rest is."""
    if report.only or report.submission.fingerprint is None:
        return None
    try:
        store.save_report(submission, report)
    except OSError as error:
        print(f"checker: the report could not be kept in {submission}: {error.strerror}", file=sys.stderr)
        return None
    return f"{submission}/.checker/report.json"


def _fresh_report(lab: Lab, submission: Path) -> Report | None:
    """The last report, if it is this checker's on this lab and nothing in the submission has changed since."""
    report = store.last_report(submission)
    if report is None:
        return None
    here = (lab.id, __version__, [t.id for t in lab.tasks])
    if (report.lab, report.environment.checker, [t.id for t in report.tasks]) != here:
        return None
    try:
        unchanged = report.submission.fingerprint == Folder(submission).fingerprint()
    except Refusal:
        return None
    return report if unchanged else None


def _show_hint(lab: Lab, submission: Path, report: Report, only: list[str], again: str) -> None:
    asked = [r for r in report.tasks if not only or r.id in only]
    task = next((r for r in asked if r.status == "failed"), None)
    task = task or next((r for r in asked if r.status == "not run"), None)
    if task is None:
        click.echo("Every task has passed: there is nothing to hint at.")
        return
    hints = lab.task(task.id).hints
    shown = store.hints_shown(submission)
    number = min(shown.get(task.id, 0) + 1, len(hints))
    click.echo(f"{task.id}: {task.title}")
    click.echo(f"Hint {number} of {len(hints)}: {hints[number - 1].strip()}")
    if number < len(hints):
        click.echo(f"Still stuck? {again}" + "".join(f" --only {t}" for t in only) + " --hint")
    else:
        click.echo("That was the last one.")
    try:
        store.save_hints(submission, {**shown, task.id: number})
    except OSError as error:
        print(f"checker: which hint was shown could not be kept: {error.strerror}", file=sys.stderr)


def _list_labs() -> int:
    folders = sorted(p.parent for p in LABS.glob("*/lab.toml"))
    if not folders:
        raise click.UsageError("no labs under ./labs; run it from the root of the course, or name a lab's folder.")
    for folder in folders:
        lab = load_lab(folder)
        click.echo(f"{folder}  {lab.title}: {_how_far(lab, folder / 'experiments')}")
    click.echo(f"To check one: python -m checker {_quoted(folders[0])}    More: python -m checker --help")
    return 0


def _how_far(lab: Lab, submission: Path) -> str:
    try:
        if nothing_started(submission):
            return "not started"
    except OSError:
        return "cannot be read"
    report = store.last_report(submission)
    if report is None:
        return "started, not checked yet"
    words = f"{report.verdict}, {report.score.points} of {report.score.possible} points"
    return words if _fresh_report(lab, submission) else f"{words} when last checked; changed since"
