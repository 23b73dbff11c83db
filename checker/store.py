"""The report folder, SUBMISSION/.checker: the one place in a submission that the checker writes to.

It holds report.json, the last whole report, report.html, the last one that was drawn as a page, and hints.json,
how many hints of each task were shown. A submission may be hostile, so the folder is opened without following a
link, and a file is written beside its place and then renamed onto it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path

from pydantic import ValidationError

from checker import __version__
from checker.gate import REPORT_FOLDER, Folder, Refusal
from checker.gate_json import parse_json
from checker.report import Report
from checker.spec import Lab

MAX_REPORT = 8 * 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def save_report(submission: Path, report: Report) -> None:
    """OSError if it cannot be written."""
    _write(submission, "report.json", report.to_json())


def save_page(submission: Path, page: str) -> str:
    """Where it lies now. OSError if it cannot be written."""
    _write(submission, "report.html", page)
    return f"{submission}/{REPORT_FOLDER}/report.html"


def last_report(submission: Path) -> Report | None:
    """The last whole report, or None if there is none that this version can read."""
    try:
        data = Folder(submission).read_bytes(f"{REPORT_FOLDER}/report.json", MAX_REPORT)
        parse_json(data, "report.json")
        return Report.model_validate_json(data)
    except (Refusal, ValidationError):
        return None


def fresh_report(submission: Path, lab: Lab) -> Report | None:
    """The last report, if it is this checker's on this lab and nothing in the submission has changed since."""
    report = last_report(submission)
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


def hints_shown(submission: Path) -> dict[str, int]:
    try:
        data = Folder(submission).read_bytes(f"{REPORT_FOLDER}/hints.json", MAX_REPORT)
        shown = parse_json(data, "hints.json")
    except Refusal:
        return {}
    if not isinstance(shown, dict):
        return {}
    return {task: n for task, n in shown.items() if isinstance(n, int) and n >= 0}


def save_hints(submission: Path, shown: dict[str, int]) -> None:
    _write(submission, "hints.json", json.dumps(shown, indent=2) + "\n")


def _write(submission: Path, name: str, text: str) -> None:
    outer = os.open(submission, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(REPORT_FOLDER, dir_fd=outer)
        inner = os.open(REPORT_FOLDER, _FOLDER, dir_fd=outer)
    finally:
        os.close(outer)
    try:
        draft = f".{name}.{secrets.token_hex(4)}"
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=inner)
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(draft, name, src_dir_fd=inner, dst_dir_fd=inner)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(draft, dir_fd=inner)
            raise
    finally:
        os.close(inner)
