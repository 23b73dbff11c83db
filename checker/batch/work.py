"""What is done with one submission, in the process that it has for itself.

The two functions are called by ``zygote`` in a fork of it; each takes the request and gives the answer, both plain
JSON, and may fail as it likes. ``warm`` is called in the zygote, before there is anything of a student's.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from checker.batch.handed_in import artifacts, opened
from checker.check import Options, check, not_started, nothing_started, refused
from checker.gate import Folder, Refusal
from checker.language import _, said_by_the_system
from checker.report import Report
from checker.sandbox import choose
from checker.spec import load_lab

Request = dict[str, Any]
Answer = dict[str, Any]


def read_one(request: Request, scratch: Path) -> Answer:
    """Its fingerprint and its artifacts' sha256; or at once the report on one that holds nothing to check."""
    lab = load_lab(Path(request["lab"]))
    found = _open(request, scratch)
    if isinstance(found, Report):
        return {"report": found.to_json()}
    folder = Folder(found)
    try:
        return {"fingerprint": folder.fingerprint(), "files": artifacts(folder, lab)}
    except Refusal as refusal:
        return {"report": refused(lab, found, request["only"], refusal.finding).to_json()}


def check_one(request: Request, scratch: Path) -> Answer:
    """The report."""
    found = _open(request, scratch)
    if not isinstance(found, Report):
        found = check(load_lab(Path(request["lab"])), found, request["only"], _options(request))
    return {"report": found.to_json()}


def warm(request: Request) -> None:
    """Import what every check needs, try the sandbox, and let the lab remember what is the same for the class."""
    choose(request["tier"])
    lab = load_lab(Path(request["lab"]))
    importlib.import_module(f"checker.lab{lab.id}")
    if find_spec(f"checker.lab{lab.id}.warm"):
        wanted = lab.with_required(request["only"] or [task.id for task in lab.tasks])
        importlib.import_module(f"checker.lab{lab.id}.warm").warm(wanted, _options(request))


def _open(request: Request, scratch: Path) -> Path | Report:
    """The folder with the work, or the report on one that has none."""
    lab, path, only = load_lab(Path(request["lab"])), Path(request["path"]), request["only"]
    try:
        folder = opened(path, lab, scratch)
        return not_started(lab, path, only) if nothing_started(folder) else folder
    except Refusal as refusal:
        return refused(lab, path, only, refusal.finding)
    except OSError as error:
        found = said_by_the_system(error).lower()
        expected, message = _("a folder that can be read"), _("The submission cannot be opened.")
        return refused(lab, path, only, Refusal("unreadable", None, message, expected=expected, found=found).finding)


def _options(request: Request) -> Options:
    return Options(hidden_seed=request["hidden_seed"], timeout=request["timeout"], tier=request["tier"])
