"""batch.sqlite: every answer, as soon as it is there. A batch that is killed goes on from here.

A row is found again by all that decides a verdict: the submission's contents, the checker's own sources, the
environment, the lab, and the options. A change to any of them is a reason to check again; the same work handed in by
two people is not.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import secrets
import sqlite3
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import checker
import courselib
from checker.batch.lanes import BatchError
from checker.check import Options
from checker.language import _, spoken

PACKAGES = ("torch", "numpy", "triton", "pydantic")
TABLES = """
CREATE TABLE IF NOT EXISTS said (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS checked (
    fingerprint TEXT, checker TEXT, environment TEXT, lab TEXT, options TEXT,
    report TEXT,             -- the whole report, as the checker gave it
    trouble TEXT,            -- or why there is none: the checker itself failed on this submission
    seconds REAL NOT NULL, finished TEXT NOT NULL,
    PRIMARY KEY (fingerprint, checker, environment, lab, options)
);
"""


@dataclass(frozen=True)
class Conditions:
    """What a verdict depends on, apart from the submission."""

    checker: str
    environment: str
    lab: str
    options: str


@dataclass(frozen=True)
class Checked:
    """A report as JSON, or the trouble there was instead of one."""

    report: str | None
    trouble: str | None
    seconds: float


def conditions(lab_dir: Path, only: list[str], options: Options) -> Conditions:
    """Those of this batch, here."""
    sources = [Path(checker.__file__).parent, Path(courselib.__file__).parent]
    chosen = {
        "only": sorted(only),
        "timeout": options.timeout,
        "tier": options.tier,
        "seed": options.hidden_seed,
        "language": spoken(),
    }
    lab = hashlib.sha256((lab_dir / "lab.toml").read_bytes()).hexdigest()
    return Conditions(_hash_of(sources), _environment(), lab, json.dumps(chosen))


class Kept:
    """The file, open; there is one writer, and it is the thread that made this."""

    def __init__(self, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(out / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise BatchError(
                _("another batch is writing to {out}. Wait for it, or name another --report.").format(out=out)
            ) from None
        try:
            self._base = sqlite3.connect(out / "batch.sqlite", isolation_level=None)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.executescript(TABLES)
        except sqlite3.DatabaseError as error:
            os.close(self._lock)
            message = _("{file} cannot be used ({error}). Move it away to check the class afresh.").format(
                file=out / "batch.sqlite", error=error
            )
            raise BatchError(message) from None

    def hidden_seed(self, asked: int | None) -> int:
        """The one seed of this class: the one asked for, else that of the last start, else one drawn now."""
        found = self._base.execute("SELECT value FROM said WHERE name = 'hidden_seed'").fetchone()
        seed = asked if asked is not None else int(found[0]) if found else secrets.randbelow(2**31)
        self._base.execute("INSERT OR REPLACE INTO said VALUES ('hidden_seed', ?)", (str(seed),))
        return seed

    def get(self, fingerprint: str, here: Conditions) -> Checked | None:
        """What is known of these contents under these conditions."""
        where = "fingerprint = ? AND checker = ? AND environment = ? AND lab = ? AND options = ?"
        query = f"SELECT report, trouble, seconds FROM checked WHERE {where}"
        row = self._base.execute(query, (fingerprint, *astuple(here))).fetchone()
        return Checked(*row) if row else None

    def put(self, fingerprint: str, here: Conditions, checked: Checked) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        values = (fingerprint, *astuple(here), *astuple(checked), now)
        self._base.execute(f"INSERT OR REPLACE INTO checked VALUES ({', '.join('?' * len(values))})", values)

    def close(self) -> None:
        self._base.close()
        os.close(self._lock)


def _hash_of(folders: list[Path]) -> str:
    """sha256 over the names and contents of all that lies in ``folders``."""
    total = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                total.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return total.hexdigest()


def _environment() -> str:
    found = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()
