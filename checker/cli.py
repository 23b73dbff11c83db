"""python -m checker: one command or another, and what becomes of an interrupt or a fault.

Nothing here imports torch: it is loaded only when a submission is there to be recomputed.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module
from types import FrameType

import click

from checker import replay
from checker.command import command
from checker.faults import printable
from checker.language import _, language_of, speaking, translated
from checker.sandbox import SandboxError
from checker.spec import SpecError

USAGE, FAULT, INTERRUPTED = 2, 5, 130
COMMANDS = {  # first word -> the module whose ``command`` it runs; one is imported only when it is asked for
    "batch": "checker.batch.command",
    "selftest": "checker.selftest.command",
    "bug": "checker.lab02.bug",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):  # what the terminal cannot show is escaped, and stops nothing
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # What the selftest looks for in the findings, and its table, are English.
    with speaking("en" if arguments[:1] == ["selftest"] else language_of(arguments, os.environ)):
        return _answered(arguments)


def _answered(arguments: list[str]) -> int:
    try:
        with _interruptible():
            code = _run(arguments)
        if replay.interrupted():
            raise KeyboardInterrupt
        return int(code or 0)
    except click.ClickException as error:
        print(f"checker: {error.format_message()}", file=sys.stderr)
        return USAGE
    except (SpecError, SandboxError) as error:
        print(f"checker: {printable(str(error))}", file=sys.stderr)
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        print(_("checker: interrupted"), file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        what = f"{type(error).__name__}: {error}"
        print(_("checker: the checker itself failed ({what}).").format(what=what), file=sys.stderr)
        print(
            _(
                "This says nothing about your work. Run the same command with --debug and send what it prints to "
                "whoever keeps the course."
            ),
            file=sys.stderr,
        )
        return FAULT


def _run(arguments: list[str]) -> int | None:
    word, *rest = arguments or [""]
    if word not in COMMANDS:
        return translated(command).main(arguments, prog_name="python -m checker", standalone_mode=False, obj=arguments)
    chosen: click.Command = import_module(COMMANDS[word]).command
    return translated(chosen).main(rest, prog_name=f"python -m checker {word}", standalone_mode=False)


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
