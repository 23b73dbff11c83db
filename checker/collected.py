"""What a check collects about one submission, each piece when a task first asks for it, and only once.

A lab's Work is a ``Collected``, and adds what is its own: the runs there are, what they are asked, and what is right.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import courselib
from checker import replay
from checker.check import Options
from checker.documents import read_model
from checker.gate import Folder, Refusal
from checker.language import _
from checker.report import Evidence, Finding, Model, Replay
from checker.runs import Runs
from checker.spec import Lab

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Rerun:
    """One run of the student's code, here."""

    script: str  # the course's driver, or a script of the student's
    code: tuple[str, ...]  # the student's files that run in it, the one it is about first
    called: str  # as in N_("its run on hidden cases")
    arguments: list[str]  # as the report has them; where there are any, they hand over something hidden
    needed_by: set[str]  # tasks


class Collected:
    """The files of the submission, the runs of its code, and what was computed beside them."""

    own: tuple[str, ...] = ()  # files of the lab's package: a run takes these, whatever was handed in
    claimants: tuple[str, ...] = ()  # the student's files that stand behind what the others claim
    written_by: Mapping[str, str] = {}  # file: the script that writes it
    runs: Mapping[str, Rerun] = {}
    patience = 300.0  # seconds for one run: many times what it needs

    def __init__(self, folder: Folder, lab: Lab, wanted: set[str], options: Options) -> None:
        self.folder, self.lab, self.wanted, self.options = folder, lab, wanted, options
        self.hidden_seed = secrets.randbelow(2**31) if options.hidden_seed is None else options.hidden_seed
        self._runs = Runs(folder, lab, options.tier)
        self._incomparable: dict[str, str] = {}  # folder: why its stored bytes are not compared; "": they are
        self._recomputed: list[str] = []

    # ---- what was handed in ----------------------------------------------------------------------------------------

    def model(self, name: str, model: type[M]) -> M | list[Finding]:
        with self.saying_who_writes(name):
            return read_model(self.folder, name, self.cap(name), model)

    def text(self, name: str) -> str:
        return self.folder.read_text(name, self.cap(name))

    def sha256(self, name: str) -> str:
        return hashlib.sha256(self.folder.read_bytes(name, self.cap(name))).hexdigest()

    def cap(self, name: str) -> int:
        return self.lab.artifact(name).max_bytes

    def readable(self, read: Callable[[], M | list[Finding]]) -> M | None:
        """The document, for a task that another one answers for; None if it cannot be gone by."""
        found = refused_or(read)
        return found if isinstance(found, Model) else None

    @contextmanager
    def saying_who_writes(self, name: str) -> Iterator[None]:
        """A file that is missing because its script was not run yet is told so."""
        try:
            yield
        except Refusal as refusal:
            if refusal.finding.kind == "missing" and (message := self.who_writes(name)):
                raise Refusal("missing", name, message) from None
            raise

    def who_writes(self, name: str) -> str:
        """A sentence on the script that writes a file which is not there; nothing if none does."""
        if name not in self.written_by:
            return ""
        message = _("The file is not there; {written_by} writes it. Run it in its folder.")
        return message.format(written_by=self.written_by[name])

    def stored_bytes_comparable(self, folder: str = "") -> bool:
        """Would the bytes in ``folder`` be the same if they were made here?"""
        if folder not in self._incomparable:
            self._incomparable[folder] = self.why_not_comparable(folder)
        return not self._incomparable[folder]

    def why_not_comparable(self, folder: str) -> str:
        return ""

    # ---- the student's code, run here ------------------------------------------------------------------------------

    @cached_property
    def timeout(self) -> float:
        """Seconds one run may take."""
        return self.options.timeout or self.patience

    def begin(self) -> None:
        """Start every run that a task which was asked for will need."""
        for name, run in self.runs.items():
            if self.wanted & run.needed_by:
                self._start(name)

    def run(self, name: str) -> replay.Run:
        """The finished run, one of ``runs``; waits for it."""
        self.begin()
        self._start(name)
        if not self._runs.done(name):
            names = list(self._runs)
            what = _("waiting for your {script}").format(script=self.runs[name].code[0])
            self.options.progress(what, names.index(name) / len(names))
        return self._runs.finished(name)

    def written(self, name: str, file: str, model: type[M], max_bytes: int | None = None) -> M | list[Finding]:
        """The ``file`` that a run wrote. Refusal if it is not there, or not to be read."""
        return read_model(Folder(self.run(name).out), file, max_bytes or self.cap(file), model)

    def arguments(self, name: str, copy: Path, home: Path) -> list[str]:
        """Of a run; what it is asked is put into ``home`` first."""
        return []

    def traceback(self, name: str) -> str:
        """The part of what a run printed that ends in the line which stopped it."""
        return self.run(name).output_tail

    def _start(self, name: str) -> None:
        def arguments(copy: Path, home: Path) -> list[str]:
            given = self.arguments(name, copy, home)
            for file in self.own:
                if (copy / file).is_dir():  # handed in under a name of ours
                    shutil.rmtree(copy / file)
                (copy / file).write_bytes((Path(__file__).parent / f"lab{self.lab.id}" / file).read_bytes())
            return given

        self._runs.start(name, self.runs[name].script, arguments, self.timeout)

    # ---- for the report --------------------------------------------------------------------------------------------

    def recomputed(self, what: str) -> None:
        self._recomputed.append(what)

    def evidence(self) -> Evidence:
        replayed, reasons = self.reruns(), list(filter(None, self._incomparable.values()))
        return Evidence(
            replayed=replayed,
            recomputed=self._recomputed,
            stored_bytes="not reached" if not self._incomparable else "not compared" if reasons else "compared",
            stored_bytes_because="; ".join(reasons) or None,
            hidden_seed=self.hidden_seed if any(run.arguments for run in replayed) else None,
        )

    def reruns(self) -> list[Replay]:
        return [as_told(self.run(name), self.runs[name].arguments) for name in self._runs]

    def environment(self) -> dict[str, str]:
        found = {"courselib": courselib.__version__, "numpy": version("numpy"), **self._runs.sandbox}
        return found | ({"torch": version("torch")} if "torch" in sys.modules else {})

    def durations(self) -> dict[str, float]:
        return {f"replay {name}": self._runs.finished(name).seconds for name in self._runs}

    def close(self) -> None:
        self._runs.close()


def refused_or(read: Callable[[], M | list[Finding]]) -> M | list[Finding] | Refusal:
    """What ``read`` gives, or the Refusal that it ends with."""
    try:
        return read()
    except Refusal as refusal:
        return refusal


def as_told(run: replay.Run, arguments: list[str]) -> Replay:
    """A run as the report has it."""
    return Replay(
        script=run.script,
        arguments=arguments,
        outcome=run.outcome,
        exit_code=run.exit_code,
        seconds=round(run.seconds, 3),
        output_tail=run.output_tail,
    )
