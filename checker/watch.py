"""--watch: check again each time the student saves.

Each check is a process of its own, so that one that is out of date can be stopped: a verdict on files that are no
longer there helps nobody, and a check can take a minute. It is interrupted as Ctrl-C would, which ends the student's
scripts too, and it leaves nothing behind.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from checker.faults import printable
from checker.gate import SKIPPED
from checker.language import _

QUIET, LOOK = 300, 250  # ms: saves this close together are one; how often the running check is looked at
PATIENCE = 10.0  # seconds that an interrupted check has to put its things away


def watch(submission: Path, arguments: Sequence[str]) -> int:
    """Check with ``arguments`` now and after each change beneath ``submission``, until Ctrl-C or until it is gone."""
    from watchfiles import watch as changes_in

    here = submission.resolve()
    check: subprocess.Popen[bytes] | None = None
    first = True
    try:
        for found in changes_in(
            here,
            watch_filter=lambda _, path: is_work(here, Path(path)),
            step=QUIET,
            rust_timeout=LOOK,
            yield_on_timeout=True,
        ):
            if not here.exists():
                _say(
                    _("{submission} is gone: there is nothing left to watch.").format(
                        submission=printable(str(submission))
                    )
                )
                return 1
            if first or found:
                if check:
                    _stop(check)
                click.clear()
                if found:
                    _say(_("Changed: {names}").format(names=_names(here, (path for _kind, path in found))))
                check, first = _start(arguments), False
            elif check and check.poll() is not None:
                check = None
                _say(
                    _("Watching {submission}: save a file to check it again. Ctrl-C ends.").format(
                        submission=printable(str(submission))
                    )
                )
        return 0
    finally:
        if check:
            _stop(check)


def is_work(here: Path, path: Path) -> bool:
    """Is it a file of the student's? Not what the checker, Python or an editor keeps beside it."""
    parts = path.relative_to(here).parts if path.is_relative_to(here) else ()
    kept = (part in SKIPPED or part.startswith(".") or part.endswith(("~", ".swp")) for part in parts)
    return bool(parts) and not any(kept)


def _names(here: Path, paths: Iterable[str]) -> str:
    names = sorted({printable(str(Path(path).relative_to(here))) for path in paths})
    shown, rest = ", ".join(names[:3]), len(names) - 3
    return _("{names} and {n} more").format(names=shown, n=rest) if rest > 0 else shown


def _start(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    # In a process group of its own, Ctrl-C reaches only this process, and the check is interrupted once, by _stop.
    return subprocess.Popen([sys.executable, "-m", "checker", *arguments], process_group=0)


def _stop(check: subprocess.Popen[bytes]) -> None:
    if check.poll() is None:
        check.send_signal(signal.SIGINT)
        try:
            check.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            check.kill()
            check.wait()


def _say(line: str) -> None:
    """Beside the report, not in it."""
    click.echo(line, err=True)
