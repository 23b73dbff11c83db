"""The evidence on one submission, each piece made when a task first asks for it, and only once.

Nothing is timed here: another machine's times say nothing of the student's. measure.py asks costs.py about the lab's
cases and hidden ones; analyse.py hands hidden numbers to fit.py, and hidden results, and those that were handed in, to
plot.py.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from collections.abc import Callable, Sequence, Sized
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import courselib
from checker import replay
from checker.check import Options
from checker.documents import read_model
from checker.gate import Folder, Refusal
from checker.lab03 import cases, hidden
from checker.lab03.schemas import (
    Analysis,
    AskedFits,
    Figures,
    Fits,
    Formulas,
    Generation,
    Manifest,
    Point,
    Prediction,
    Results,
    Step,
)
from checker.language import _
from checker.report import Evidence, Finding, Model, Replay
from checker.runs import Runs
from checker.spec import Lab

MEASURE, ANALYSE = "measure.py", "analyse.py"
COSTS, FIT, PREDICT, PLOT = "costs.py", "fit.py", "predict.py", "plot.py"
OWN = (MEASURE, ANALYSE, "cases.py", "drawn.py")  # a run takes the course's, whatever was handed in
RESULTS, MANIFEST, ANALYSIS, PREDICTION = "results.json", "manifest.json", "analysis.json", "prediction.json"
CURVES = "curves.png"
WRITTEN_BY = {RESULTS: MEASURE, MANIFEST: MEASURE, ANALYSIS: ANALYSE, PREDICTION: ANALYSE, CURVES: ANALYSE}
RUNS = {"formulas": (MEASURE, COSTS), "fits": (ANALYSE, FIT), "figures": (ANALYSE, PLOT)}  # the driver, and whose it is
TIMEOUT = 300.0  # a run takes two or three seconds
MAX_WRITTEN = 4_000_000
M = TypeVar("M", bound=Model)
Series = tuple[list[int], list[list[int]]]  # x, and the samples of each


class Work:
    """The files of the submission, the runs of its code, and what is right."""

    def __init__(self, folder: Folder, lab: Lab, wanted: set[str], options: Options) -> None:
        self.folder, self.lab, self.wanted, self.options = folder, lab, wanted, options
        self.hidden_seed = secrets.randbelow(2**31) if options.hidden_seed is None else options.hidden_seed
        self.timeout = options.timeout or TIMEOUT  # seconds one run of a script may take
        self._runs = Runs(folder, lab, options.tier)
        self._recomputed: list[str] = []

    # ---- what was handed in ------------------------------------------------------------------------------------------

    @cached_property
    def results(self) -> Results | list[Finding]:
        return self._model(RESULTS, Results)

    @cached_property
    def manifest(self) -> Manifest | list[Finding]:
        return self._model(MANIFEST, Manifest)

    @cached_property
    def analysis(self) -> Analysis | list[Finding]:
        return self._model(ANALYSIS, Analysis)

    @cached_property
    def prediction(self) -> Prediction | list[Finding]:
        return self._model(PREDICTION, Prediction)

    def readable(self, read: Callable[[], M | list[Finding]]) -> M | None:
        """The document, for a task that another one answers for; None if it cannot be gone by."""
        try:
            found = read()
        except Refusal:
            return None
        return None if isinstance(found, list) else found

    def results_sha256(self) -> str:
        return hashlib.sha256(self.folder.read_bytes(RESULTS, self._cap(RESULTS))).hexdigest()

    def text(self, name: str) -> str:
        return self.folder.read_text(name, self._cap(name))

    def bytes(self, name: str) -> bytes:
        try:
            return self.folder.read_bytes(name, self._cap(name))
        except Refusal as refusal:
            raise self._told_who_writes(refusal, name) from None

    # ---- the student's code, run here --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start every run that a task which was asked for will need."""
        if self.wanted & {"results", "costs", "generation"}:
            self._start("formulas")
        if self.wanted & {"fit"}:
            self._start("fits")
        if "figure" in self.wanted:
            self._start("figures")

    def run(self, name: str) -> replay.Run:
        """The finished run: "formulas", "fits" or "figures"; waits for it."""
        self.begin()
        self._start(name)
        if not self._runs.done(name):
            names = list(self._runs)
            what = _("waiting for your {script}").format(script=RUNS[name][1])
            self.options.progress(what, names.index(name) / len(names))
        return self._runs.finished(name)

    @cached_property
    def formulas(self) -> Formulas | list[Finding]:
        """What costs.py says of the lab's cases and of hidden ones. Refusal if the run wrote nothing; so below."""
        found = self._written("formulas", Formulas)
        if isinstance(found, Formulas):
            _all_there(found.steps, self.steps)
            _all_there(found.generations, self.generations)
        return found

    @cached_property
    def fits(self) -> Fits | list[Finding]:
        """What fit.py makes of ``numbers``."""
        found = self._written("fits", Fits)
        if isinstance(found, Fits):
            _all_there(found.medians, self.numbers.medians)
            _all_there(found.fits, self.numbers.fits)
        return found

    @cached_property
    def figures(self) -> Figures | list[Finding]:
        """What plot.py draws of ``drawn``."""
        found = self._written("figures", Figures)
        if isinstance(found, Figures):
            _all_there(found.figures, self.drawn)
        return found

    def _start(self, name: str) -> None:
        asked = {"formulas": self._asked_of_costs, "fits": self._asked_of_fit, "figures": self._asked_of_plot}[name]
        option = {"formulas": "--cases", "fits": "--fits", "figures": "--figures"}[name]

        def arguments(copy: Path, home: Path) -> list[str]:
            for file in OWN:
                (copy / file).write_bytes((Path(__file__).parent / file).read_bytes())
            given = home / f"{name}.json"
            given.write_text(json.dumps(asked()), encoding="utf-8")
            return [option, str(given)]

        self._runs.start(name, RUNS[name][0], arguments, self.timeout)

    def _written(self, name: str, model: type[M]) -> M | list[Finding]:
        return read_model(Folder(self.run(name).out), f"{name}.json", MAX_WRITTEN, model)

    # ---- what it is asked --------------------------------------------------------------------------------------------

    @cached_property
    def lab_steps(self) -> list[Step]:
        return [Step.model_validate(case) for case in cases.steps()]

    @cached_property
    def lab_generations(self) -> list[Generation]:
        return [Generation.model_validate(case) for case in cases.generations()]

    @cached_property
    def steps(self) -> list[Step]:
        """The lab's, then the hidden ones."""
        return self.lab_steps + hidden.steps(self.hidden_seed)

    @cached_property
    def generations(self) -> list[Generation]:
        return self.lab_generations + hidden.generations(self.hidden_seed)

    def _asked_of_costs(self) -> dict[str, list[object]]:
        return {
            "steps": [case.model_dump() for case in self.steps],
            "generations": [case.model_dump() for case in self.generations],
        }

    @cached_property
    def numbers(self) -> AskedFits:
        return hidden.numbers(self.hidden_seed)

    def _asked_of_fit(self) -> dict[str, object]:
        return self.numbers.model_dump()

    @cached_property
    def drawn(self) -> list[tuple[str, int, list[Point]]]:
        """What is drawn: "" for a hidden one or the file's name, the samples to leave out, and the points."""
        made = [("", hidden.WARMUP, points) for points in hidden.results(self.hidden_seed)]
        results = self.readable(lambda: self.results)
        if results is None or not all(series(results.points, *each)[0] for each in cases.SERIES):
            return made
        if any(len(point.samples_ns) <= results.warmup for point in results.points):
            return made  # nothing that counts was measured: the task `results` says so
        return [(RESULTS, results.warmup, results.points), *made]

    def _asked_of_plot(self) -> list[dict[str, object]]:
        return [
            {"schema": "lab03.results/1", "warmup": warmup, "points": [point.model_dump() for point in points]}
            for _name, warmup, points in self.drawn
        ]

    def recomputed(self, what: str) -> None:
        self._recomputed.append(what)

    # ---- for the report ----------------------------------------------------------------------------------------------

    def evidence(self) -> Evidence:
        return Evidence(
            replayed=[self._replay(name) for name in self._runs],
            recomputed=self._recomputed,
            hidden_seed=self.hidden_seed if list(self._runs) else None,
        )

    def environment(self) -> dict[str, str]:
        found = {"courselib": courselib.__version__, "numpy": version("numpy"), **self._runs.sandbox}
        return found | ({"torch": version("torch")} if "torch" in sys.modules else {})

    def durations(self) -> dict[str, float]:
        return {f"replay {name}": self.run(name).seconds for name in self._runs}

    def close(self) -> None:
        self._runs.close()

    def _replay(self, name: str) -> Replay:
        run = self.run(name)
        return Replay(
            script=run.script,
            arguments=[run.arguments[0], "HIDDEN"],
            outcome=run.outcome,
            exit_code=run.exit_code,
            seconds=round(run.seconds, 3),
            output_tail=run.output_tail,
        )

    def _model(self, name: str, model: type[M]) -> M | list[Finding]:
        try:
            return read_model(self.folder, name, self._cap(name), model)
        except Refusal as refusal:
            raise self._told_who_writes(refusal, name) from None

    def _told_who_writes(self, refusal: Refusal, name: str) -> Refusal:
        if refusal.finding.kind != "missing":
            return refusal
        message = _("The file is not there; {written_by} writes it. Run it in its folder.")
        return Refusal("missing", name, message.format(written_by=WRITTEN_BY[name]))

    def _cap(self, name: str) -> int:
        return self.lab.artifact(name).max_bytes


def _all_there(answers: Sized, questions: Sized) -> None:
    if len(answers) != len(questions):
        message = _("There is not one answer to each question.")
        raise Refusal("schema", None, message, expected=str(len(questions)), found=str(len(answers)))


def series(points: Sequence[Point], sweep: str, cache: bool) -> Series:
    """x, which is the length or the batch, and the samples of each, in the order in which they stand."""
    mine = [point for point in points if (point.sweep, point.cache) == (sweep, cache)]
    return [point.n if sweep == "length" else point.B for point in mine], [point.samples_ns for point in mine]
