"""The evidence on one submission, each piece made when a task first asks for it, and only once.

Nothing is timed here: another machine's times say nothing of the student's. measure.py asks costs.py about the lab's
cases and hidden ones; analyse.py hands hidden numbers to fit.py, and hidden results, and those that were handed in, to
plot.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence, Sized
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from checker.collected import Collected, Rerun
from checker.gate import Refusal
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
from checker.language import N_, _
from checker.report import Finding, Model

MEASURE, ANALYSE = "measure.py", "analyse.py"
COSTS, FIT, PREDICT, PLOT = "costs.py", "fit.py", "predict.py", "plot.py"
YOURS = (COSTS, FIT, PREDICT, PLOT)
OWN = (MEASURE, ANALYSE, "cases.py", "drawn.py")
RESULTS, MANIFEST, ANALYSIS, PREDICTION = "results.json", "manifest.json", "analysis.json", "prediction.json"
CURVES = "curves.png"
MAX_WRITTEN = 4_000_000
M = TypeVar("M", bound=Model)
Series = tuple[list[int], list[list[int]]]  # x, and the samples of each
WRITTEN_BY = {RESULTS: MEASURE, MANIFEST: MEASURE, ANALYSIS: ANALYSE, PREDICTION: ANALYSE, CURVES: ANALYSE}
RUNS = {
    "formulas": Rerun(
        MEASURE,
        (COSTS, *YOURS),
        N_("its run on the lab's cases and hidden ones"),
        ["--cases", "HIDDEN"],
        {"results", "costs", "generation"},
    ),
    "fits": Rerun(ANALYSE, (FIT, *YOURS), N_("its run on hidden numbers"), ["--fits", "HIDDEN"], {"fit"}),
    "figures": Rerun(
        ANALYSE, (PLOT, *YOURS), N_("its run on your results and hidden ones"), ["--figures", "HIDDEN"], {"figure"}
    ),
}


class Work(Collected):
    """The files of the submission, the runs of its code, and what is right."""

    own = OWN
    claimants = (COSTS,)
    written_by = WRITTEN_BY
    runs = RUNS

    # ---- what was handed in ------------------------------------------------------------------------------------------

    @cached_property
    def results(self) -> Results | list[Finding]:
        return self.model(RESULTS, Results)

    @cached_property
    def manifest(self) -> Manifest | list[Finding]:
        return self.model(MANIFEST, Manifest)

    @cached_property
    def analysis(self) -> Analysis | list[Finding]:
        return self.model(ANALYSIS, Analysis)

    @cached_property
    def prediction(self) -> Prediction | list[Finding]:
        return self.model(PREDICTION, Prediction)

    def bytes(self, name: str) -> bytes:
        with self.saying_who_writes(name):
            return self.folder.read_bytes(name, self.cap(name))

    # ---- the student's code, run here --------------------------------------------------------------------------------

    @cached_property
    def formulas(self) -> Formulas | list[Finding]:
        """What costs.py says of the lab's cases and of hidden ones. Refusal if the run wrote nothing; so below."""
        found = self.written("formulas", "formulas.json", Formulas, MAX_WRITTEN)
        if isinstance(found, Formulas):
            _all_there(found.steps, self.steps)
            _all_there(found.generations, self.generations)
        return found

    @cached_property
    def fits(self) -> Fits | list[Finding]:
        """What fit.py makes of ``numbers``."""
        found = self.written("fits", "fits.json", Fits, MAX_WRITTEN)
        if isinstance(found, Fits):
            _all_there(found.medians, self.numbers.medians)
            _all_there(found.fits, self.numbers.fits)
        return found

    @cached_property
    def figures(self) -> Figures | list[Finding]:
        """What plot.py draws of ``drawn``."""
        found = self.written("figures", "figures.json", Figures, MAX_WRITTEN)
        if isinstance(found, Figures):
            _all_there(found.figures, self.drawn)
        return found

    def arguments(self, name: str, copy: Path, home: Path) -> list[str]:
        asked = {"formulas": self._asked_of_costs, "fits": self._asked_of_fit, "figures": self._asked_of_plot}[name]
        given = home / f"{name}.json"
        given.write_text(json.dumps(asked()), encoding="utf-8")
        return [self.runs[name].arguments[0], str(given)]

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


def _all_there(answers: Sized, questions: Sized) -> None:
    if len(answers) != len(questions):
        message = _("There is not one answer to each question.")
        raise Refusal("schema", None, message, expected=str(len(questions)), found=str(len(answers)))


def series(points: Sequence[Point], sweep: str, cache: bool) -> Series:
    """x, which is the length or the batch, and the samples of each, in the order in which they stand."""
    mine = [point for point in points if (point.sweep, point.cache) == (sweep, cache)]
    return [point.n if sweep == "length" else point.B for point in mine], [point.samples_ns for point in mine]
