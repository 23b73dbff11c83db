"""Who handed in what: one folder or one archive a student, in one folder.

A name is a stranger's text. It is shown with its control characters escaped, and the files that are written about a
student have names made from it that are safe on every disk, and are nobody else's.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from checker.faults import printable
from checker.gate import SKIPPED, Folder, Refusal
from checker.language import _
from checker.spec import Lab
from checker.unpack import unpack

MAX_STEM = 80
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class HandedIn:
    """One submission: its path, the name it is shown by, and the stem of the files about it."""

    path: Path
    name: str
    stem: str


def handed_in(submissions: Path) -> list[HandedIn]:
    """Everything that lies in ``submissions``, sorted. What is neither folder nor archive is somebody's too."""
    names = sorted(name for name in os.listdir(submissions) if not name.startswith(".") and name not in SKIPPED)
    plain = {name: re.sub(r"[^\w.-]", "_", name, flags=re.ASCII).strip(".")[:MAX_STEM] for name in names}
    times = Counter(stem.casefold() for stem in plain.values())
    found = []
    for name, stem in plain.items():
        if stem != name or times[stem.casefold()] > 1:
            stem = f"{stem}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"
        found.append(HandedIn(submissions / name, printable(name), stem))
    return found


def opened(path: Path, lab: Lab, scratch: Path) -> Path:
    """The folder that holds the work in ``path``; an archive goes to ``scratch`` first. Refusal: there is none."""
    if path.is_symlink():
        message = _("Only a folder or an archive that lies here itself is read.")
        raise Refusal(
            "unreadable", path.name, message, expected=_("a folder or an archive"), found=_("a symbolic link")
        )
    found = _step_in(path, lab) if path.is_dir() else path
    if not found.is_dir():
        folder = scratch / "submission"
        folder.mkdir()
        unpack(found, folder)
        found = _step_in(folder, lab, archives=False)
    return found


def _step_in(folder: Path, lab: Lab, archives: bool = True) -> Path:
    """Past what wraps the work, as long as there is nothing else: a folder in an archive, an archive in a folder."""
    wanted = {artifact.path.split("/")[0] for artifact in lab.artifacts}
    for _depth in range(4):
        with os.scandir(folder) as entries:
            inside = [e for e in entries if e.name not in SKIPPED and not e.name.startswith(".")]
        if len(inside) != 1 or inside[0].name in wanted:
            break
        if archives and inside[0].name.endswith(ARCHIVES) and inside[0].is_file(follow_symlinks=False):
            return folder / inside[0].name
        if not inside[0].is_dir(follow_symlinks=False):
            break
        folder = folder / inside[0].name
    return folder


def artifacts(folder: Folder, lab: Lab) -> dict[str, str]:
    """sha256 of each file the lab asks for; one that cannot be read is the task's business, and left out."""
    found = {}
    for artifact in lab.artifacts:
        try:
            data = folder.read_bytes(artifact.path, artifact.max_bytes)
        except Refusal:
            continue
        if data.strip():
            found[artifact.path] = hashlib.sha256(data).hexdigest()
    return found


def given_out(lab_dir: Path) -> set[str]:
    """sha256 of every file the course hands out itself: to have it is no sign of anything."""
    return {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("starter", "solution")
        for path in (lab_dir / folder).rglob("*")
        if path.is_file()
    }
