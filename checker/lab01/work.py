"""The evidence on one submission, each piece made when a task first asks for it, and only once.

exercise.py runs twice with the student's cache: as the student ran it, and on the lab's cases and hidden ones together,
when it hands over every word that the cache gave.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import courselib
from checker import replay
from checker.check import Options
from checker.documents import Model, read_model
from checker.gate import Folder, Refusal
from checker.gate_npz import Array, Expected, read_npz
from checker.lab01 import cases
from checker.lab01.playing import Step
from checker.lab01.reading import CACHE
from checker.lab01.schemas import Answer, Answers, Ask, AskGeneration, Manifest, Results
from checker.language import _
from checker.report import Evidence, Finding, Replay
from checker.runs import Runs
from checker.spec import Lab

if TYPE_CHECKING:
    from checker.lab01.recompute import Row

EXERCISE = "exercise.py"
OWN = (EXERCISE, "cases.py")  # a run takes the course's, whatever was handed in
RESULTS, MANIFEST, ANSWERS, OUTPUTS = "results.json", "manifest.json", "answers.json", "outputs.npz"
LAB, ALL = "lab", "all"  # the two runs
TIMEOUT = 120.0  # a run of the solution takes 2 to 5 seconds
MAX_ANSWERS, MAX_OUTPUTS = 8 * 1024 * 1024, 32 * 1024 * 1024
M = TypeVar("M", bound=Model)


class Work:
    """The files of the submission, the runs of exercise.py, and what a cache must give."""

    def __init__(self, folder: Folder, lab: Lab, wanted: set[str], options: Options) -> None:
        self.folder, self.lab, self.wanted, self.options = folder, lab, wanted, options
        self.hidden_seed = secrets.randbelow(2**31) if options.hidden_seed is None else options.hidden_seed
        self.timeout = options.timeout or TIMEOUT  # seconds one run may take
        self._runs = Runs(folder, lab, options.tier)
        self._stored: str | None = None  # why the bytes of stored generations are not compared; "": they are
        self._recomputed: list[str] = []

    # ---- what was handed in ----------------------------------------------------------------------------------------

    @cached_property
    def results(self) -> Results | list[Finding]:
        return self._model(RESULTS, Results)

    @cached_property
    def manifest(self) -> Manifest | list[Finding]:
        return self._model(MANIFEST, Manifest)

    @cached_property
    def cache(self) -> str:
        return self.text(CACHE)

    def text(self, name: str) -> str:
        return self.folder.read_text(name, self._cap(name))

    def has_cache(self) -> bool:
        return any(name == CACHE for name, _info in self.folder.files())

    def stored_bytes_comparable(self) -> bool:
        """Would a generation in results.json have the same bytes if it were made here?"""
        if self._stored is None:
            self._stored = self._why_not_comparable()
        return not self._stored

    def _why_not_comparable(self) -> str:
        from checker.lab01.recompute import promise

        try:
            manifest = self.manifest
        except Refusal:
            manifest = []
        if isinstance(manifest, list):
            return _("manifest.json cannot be read, so nothing says under which promise they were made")
        there = {
            "order": manifest.config.order,
            "weights_sha256": manifest.config.weights_sha256,
            "courselib": manifest.versions.courselib,
        }
        for name, value in promise().items():
            if there[name] != value:
                return _("manifest.json says {name} {there}, here it is {value}").format(
                    name=name, there=there[name], value=value
                )
        return ""

    # ---- what is asked ---------------------------------------------------------------------------------------------

    @cached_property
    def lab_cases(self) -> list[Ask]:
        return [Ask.model_validate(case) for case in cases.lab_cases()]

    @cached_property
    def lab_generations(self) -> list[AskGeneration]:
        return [AskGeneration.model_validate(ask) for ask in cases.lab_generations()]

    @cached_property
    def hidden_cases(self) -> list[Ask]:
        return [Ask.model_validate(case) for case in cases.hidden_cases(self.hidden_seed)]

    @cached_property
    def hidden_generations(self) -> list[AskGeneration]:
        return [AskGeneration.model_validate(ask) for ask in cases.hidden_generations(self.hidden_seed)]

    # ---- exercise.py, run again ------------------------------------------------------------------------------------

    def run(self, name: str) -> replay.Run:
        """The finished run ``name``, "lab" or "all"; waits for it."""
        if self.wanted & {"append-read", "refusals", "forgetting", "generate", "pages"}:
            self._start(ALL)
        if "results" in self.wanted:
            self._start(LAB)
        self._start(name)
        if not self._runs.done(name):
            self.options.progress(_("waiting for your {script}").format(script=EXERCISE), 0.3)
        return self._runs.finished(name)

    def replayed_results(self, name: str) -> Results | list[Finding]:
        """Refusal if the run wrote nothing readable."""
        return read_model(Folder(self.run(name).out), RESULTS, self._cap(RESULTS), Results)

    def given(self) -> None:
        """Refusal if what the run on all cases handed over cannot be read."""
        _read = self._given

    def steps(self, ask: Ask) -> list[Step]:
        """What each operation of a case gave, in the run on all of them. Refusal if that cannot be read."""
        answers, arrays = self._given
        return [
            Step(a.raised, a.said, a.numbers, [arrays[f"{ask.id}.{n}.{i}"] for i in range(len(a.arrays))])
            for n, a in enumerate(answers[ask.id])
        ]

    def arrays_of(self, ask: AskGeneration, name: str) -> list[Array]:
        """K, V or logits ("k", "v", "logits") of each prompt of a generation that came to its end."""
        return [self._given[1][f"{ask.id}.{row}.{name}"] for row in range(len(ask.prompts))]

    @cached_property
    def _given(self) -> tuple[dict[str, list[Answer]], dict[str, Array]]:
        out = Folder(self.run(ALL).out)
        read = read_model(out, ANSWERS, MAX_ANSWERS, Answers)
        if isinstance(read, list):
            raise Refusal("schema", ANSWERS, read[0].message, where=read[0].where, expected=read[0].expected)
        asked = {ask.id: ask for ask in (*self.lab_cases, *self.hidden_cases)}
        expected: Expected = {}
        for name, ask in asked.items():
            answers = read.cases.get(name, [])
            if len(answers) != len(ask.ops):
                message = _("There must be an answer for each operation.")
                raise Refusal("schema", ANSWERS, message, where=name)
            for n, answer in enumerate(answers):
                for i, array in enumerate(answer.arrays):
                    expected[f"{name}.{n}.{i}"] = (array.dtype, tuple(array.shape))
        total = sum(array.n_bytes for some in read.cases.values() for answer in some for array in answer.arrays)
        if total > MAX_OUTPUTS:
            raise Refusal("unreadable", OUTPUTS, _("The cache handed out more than any case can hold."))
        results = self.replayed_results(ALL)
        ended = {g.id for g in results.generations if g.stopped is None} if isinstance(results, Results) else set()
        for generation in (*self.lab_generations, *self.hidden_generations):
            if generation.id in ended:
                expected |= self._shapes(generation)
        return read.cases, read_npz(out, OUTPUTS, MAX_OUTPUTS, expected)

    def _shapes(self, ask: AskGeneration) -> Expected:
        return {
            f"{ask.id}.{row}.{name}": ("uint32", array.shape)
            for row, right in enumerate(self.truth(ask))
            for name, array in right.arrays.items()
        }

    def _start(self, name: str) -> None:
        def arguments(copy: Path, home: Path) -> list[str]:
            for file in OWN:
                (copy / file).write_bytes((Path(__file__).parent / file).read_bytes())
            if name == LAB:
                return []
            asked = {
                "cases": _dumped([*self.lab_cases, *self.hidden_cases]),
                "generations": _dumped([*self.lab_generations, *self.hidden_generations]),
            }
            path = home / "cases.json"
            path.write_text(json.dumps(asked), encoding="utf-8")
            return ["--cases", str(path)]

        self._runs.start(name, EXERCISE, arguments, self.timeout)

    # ---- what is right ---------------------------------------------------------------------------------------------

    def truth(self, ask: AskGeneration) -> Sequence[Row]:
        """What each prompt of a generation must give: of a run without a cache, but for a row that is overwritten."""
        from checker.lab01 import recompute  # imports torch

        return recompute.truth(ask)

    def truth_without_a_poke(self, ask: AskGeneration) -> Sequence[Row]:
        from checker.lab01 import recompute

        return recompute.without_a_poke(ask)

    def recomputed(self, what: str) -> None:
        self._recomputed.append(what)

    # ---- for the report --------------------------------------------------------------------------------------------

    def evidence(self) -> Evidence:
        reached = self._stored is not None
        replayed = [self._replay(name) for name in self._runs]
        if len({run.output_tail for run in replayed if run.exit_code}) == 1:  # one error is told once
            replayed = [*replayed[:1], *(run.model_copy(update={"output_tail": ""}) for run in replayed[1:])]
        return Evidence(
            replayed=replayed,
            recomputed=self._recomputed,
            stored_bytes="not reached" if not reached else "not compared" if self._stored else "compared",
            stored_bytes_because=self._stored or None,
            hidden_seed=self.hidden_seed if ALL in set(self._runs) else None,
        )

    def environment(self) -> dict[str, str]:
        found = {"courselib": courselib.__version__, "numpy": version("numpy")} | self._runs.sandbox
        if "torch" in sys.modules:
            from checker.lab01 import recompute

            found |= {"torch": version("torch"), "order": recompute.promise()["order"], "ops": recompute.ops_name()}
        return found

    def durations(self) -> dict[str, float]:
        return {f"replay {name}": self.run(name).seconds for name in self._runs}

    def close(self) -> None:
        self._runs.close()

    def _replay(self, name: str) -> Replay:
        run = self.run(name)
        return Replay(
            script=run.script,
            arguments=[] if name == LAB else ["--cases", "LAB_AND_HIDDEN"],
            outcome=run.outcome,
            exit_code=run.exit_code,
            seconds=round(run.seconds, 3),
            output_tail=run.output_tail,
        )

    def _model(self, name: str, model: type[M]) -> M | list[Finding]:
        try:
            return read_model(self.folder, name, self._cap(name), model)
        except Refusal as refusal:
            if refusal.finding.kind == "missing":
                message = _("The file is not there; {written_by} writes it. Run it in its folder.")
                raise Refusal("missing", name, message.format(written_by=EXERCISE)) from None
            raise

    def _cap(self, name: str) -> int:
        return self.lab.artifact(name).max_bytes


def _dumped(asked: Sequence[Model]) -> list[dict]:
    return [ask.model_dump() for ask in asked]
