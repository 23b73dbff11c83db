"""What `python -m checker LAB_DIR` does: its options, the check, and the report shown as it was asked for."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import click

from checker import store, terminal, views, watch
from checker.check import Options, check, not_started, nothing_started, refused
from checker.faults import printable
from checker.hints import show_hint
from checker.language import AS_IT_IS, N_, _, said_by_the_system, spoken
from checker.overview import list_labs, quoted
from checker.report import EXIT_CODES, Finding, Report, Tier
from checker.spec import Lab, SpecError, load_lab
from checker.views import words

HELP = "\n\n".join(
    [
        N_("Check a lab: say what holds, what does not, and where the first wrong byte is."),
        N_(
            "LAB_DIR is the lab's folder, such as labs/02. Without it, the labs under ./labs are listed, and how far "
            "each is."
        ),
        N_(
            "The submission (LAB_DIR/experiments, or --submission) is only read. Its scripts are run again in a "
            "scratch copy, what they claim is recomputed here, and the report is kept in "
            "SUBMISSION/.checker/report.json."
        ),
        N_("A first word that is none of these commands is a lab's folder:"),
        AS_IT_IS
        + N_("""Commands:
  batch     check a class at once
  selftest  show that every known attack is found
  bug       draw your own bug to diagnose, for lab 02"""),
        AS_IT_IS
        + N_("""Examples:
  python -m checker                            how far am I?
  python -m checker labs/02                    check everything
  python -m checker labs/02 --only slots       one task, and what it requires
  python -m checker labs/02 --hint             the next hint
  python -m checker labs/02 --watch            check again each time you save
  python -m checker labs/02 --format html      the report as a page, with a picture of the first difference
  python -m checker labs/02 --submission DIR   work that lies elsewhere"""),
        AS_IT_IS
        + N_("""Exit codes:
  0  passed
  1  not passed, or not started
  2  the command was not understood, lab.toml is at fault, or this machine lacks what the lab needs
  3  unreadable: not a folder, no permission, a link or device, too large
  4  integrity: a claim is better than its evidence
  5  the checker itself failed"""),
    ]
)


def _finite(context: click.Context, option: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(_("{value} is not a finite number of seconds.").format(value=value))
    return value


@click.command(help=HELP)
@click.argument("lab_dir", required=False, type=click.Path(path_type=Path))
@click.option(
    "--submission", type=click.Path(path_type=Path), help=N_("The work to check; default LAB_DIR/experiments.")
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["terminal", *views.FORMATS]),
    default="terminal",
    show_default=True,
    help=N_("How to show the report. A page, on a terminal, is kept beside report.json."),
)
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help=N_("Where to write it, if not here."))
@click.option("--only", multiple=True, metavar="TASK", help=N_("Check this task and what it requires; repeatable."))
@click.option("--hint", is_flag=True, help=N_("Show the next hint for the first task not passed."))
@click.option("--watch", "watching", is_flag=True, help=N_("Check again each time a file of the submission is saved."))
@click.option(
    "--sandbox",
    type=click.Choice(get_args(Tier)),
    help=N_("How far the scripts are shut in.  [default: as far as this machine can]"),
)
@click.option("--hidden-seed", type=click.IntRange(0, 2**31 - 1), help=N_("Repeat a check with its hidden inputs."))
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    callback=_finite,
    help=N_("Seconds one run of a script may take.  [default: 300, ten times that on the slow fallback ops]"),
)
@click.option("--debug", is_flag=True, help=N_("Show the traceback if the checker itself fails."))
@click.pass_obj
def command(
    arguments: list[str],
    lab_dir: Path | None,
    submission: Path | None,
    format_: str,
    output: Path | None,
    only: tuple[str, ...],
    hint: bool,
    watching: bool,
    sandbox: Tier | None,
    hidden_seed: int | None,
    timeout: float | None,
    debug: bool,
) -> int:
    if os.name == "nt":
        raise click.UsageError(_("the checker runs on Linux and macOS; on Windows, run it inside WSL."))
    if lab_dir is None:
        return list_labs()
    lab = _lab(lab_dir)
    for task in only:
        if task not in {t.id for t in lab.tasks}:
            known = ", ".join(t.id for t in lab.tasks)
            raise click.UsageError(
                _("lab {lab} has no task {task!r}; its tasks are {known}.").format(lab=lab.id, task=task, known=known)
            )
    if submission is not None and not os.path.lexists(submission):
        raise click.UsageError(_("there is no folder {submission}.").format(submission=submission))
    again = f"python -m checker {quoted(lab_dir)}" + (f" --submission {quoted(submission)}" if submission else "")
    again += f" --lang {spoken()}" if any(a.startswith("--lang") for a in arguments) else ""
    submission = submission or lab_dir / "experiments"
    if hint and (format_ != "terminal" or watching):
        raise click.UsageError(_("--hint is for a person: it has no --watch, and no --format other than terminal."))
    if output:
        _may_write(output, format_, submission)
    if watching:
        if not submission.exists():
            raise click.UsageError(
                _("there is no folder {submission} to watch yet; copy the lab's starter there first.").format(
                    submission=submission
                )
            )
        return watch.watch(submission, [a for a in arguments if a != "--watch"])

    report = store.fresh_report(submission, lab) if hint else None
    if report is None or report.verdict == "passed" or report.findings:
        # The file lies in the submission, where anybody may write to it: it can point to a hint, and vouch for nothing.
        report = _check(lab, submission, list(only), Options(hidden_seed, timeout, sandbox))
    saved = _save(submission, report)
    page = format_ == "html" and output is None and sys.stdout.isatty()  # nobody reads HTML in a terminal
    if format_ != "terminal" and not (page and report.verdict == "not started"):
        _write(views.draw(format_, report, lab), format_, report, submission if page else None, output)
    elif report.verdict == "not started":
        terminal.draw_not_started(lab, lab_dir, submission, terminal.console(), again)
    elif hint and not report.findings:
        show_hint(lab, submission, report, list(only), again)
    else:
        terminal.draw(report, terminal.console(), again, saved)
    return EXIT_CODES[report.verdict]


def _lab(folder: Path) -> Lab:
    if not os.path.isfile(folder / "lab.toml"):
        raise click.UsageError(
            _("{folder} is not a lab: it has no lab.toml. Try: python -m checker").format(folder=folder)
        )
    lab = load_lab(folder)
    if find_spec(f"checker.lab{lab.id}") is None:
        raise SpecError(
            _("{file}: this checker has no tests for lab {lab!r}.").format(file=folder / "lab.toml", lab=lab.id)
        )
    return lab


def _check(lab: Lab, submission: Path, only: list[str], options: Options) -> Report:
    try:
        if nothing_started(submission):
            return not_started(lab, submission, only)
    except OSError as error:
        found = said_by_the_system(error).lower()
        message = _("The submission cannot be opened.")
        finding = Finding(kind="unreadable", message=message, expected=_("a folder that can be read"), found=found)
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
        print(
            _("checker: the report could not be kept in {submission}: {why}").format(
                submission=submission, why=said_by_the_system(error)
            ),
            file=sys.stderr,
        )
        return None
    return f"{submission}/.checker/report.json"


def _may_write(output: Path, format_: str, submission: Path) -> None:
    """Said before the check, which may take a minute."""
    if format_ == "terminal":
        raise click.UsageError(_("--output needs a --format: json, html, junit or gradescope."))
    if not output.parent.is_dir() or output.is_dir():
        raise click.UsageError(
            _("--output {output}: it is a folder, or there is no folder for it.").format(output=output)
        )
    if output.resolve().is_relative_to(submission.resolve()):
        raise click.UsageError(_("--output {output} lies in the submission, which is only read.").format(output=output))


def _write(text: str, format_: str, report: Report, submission: Path | None, output: Path | None) -> None:
    """To ``output``, as a page into the report folder of ``submission``, or to stdout."""
    if not output and not submission:
        click.echo(text.encode(), nl=False)  # it says it is UTF-8, whatever the terminal's encoding
        return
    try:
        if output:
            output.write_bytes(text.encode())
        place = str(output) if output else store.save_page(submission, text) if submission else ""
    except OSError as error:
        message = _("the report could not be written: {why}. Say where with --output FILE.")
        raise click.UsageError(message.format(why=said_by_the_system(error))) from None
    click.echo(
        _("Verdict: {verdict}. The whole report, as {format}: {path}").format(
            verdict=words.verdict(report), format=format_, path=printable(place)
        )
    )
