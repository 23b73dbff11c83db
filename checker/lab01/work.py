"""The evidence on one submission, each piece made when a task first asks for it, and only once.

exercise.py runs twice with the student's cache: as the student ran it, and on the lab's cases and hidden ones together,
when it hands over every word that the cache gave.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from checker.collected import Collected, Rerun
from checker.documents import Model, read_model
from checker.gate import Folder, Refusal
from checker.gate_npz import Array, Expected, read_npz
from checker.lab01 import cases
from checker.lab01.playing import Step
from checker.lab01.reading import CACHE
from checker.lab01.schemas import Answer, Answers, Ask, AskGeneration, Manifest, Results
from checker.language import N_, _
from checker.report import Finding, Replay

if TYPE_CHECKING:
    from checker.lab01.recompute import Row

EXERCISE = "exercise.py"
RESULTS, MANIFEST, ANSWERS, OUTPUTS = "results.json", "manifest.json", "answers.json", "outputs.npz"
LAB, ALL = "lab", "all"  # the two runs
CODE = {"append-read", "refusals", "forgetting", "generate", "pages"}  # the tasks of the cache itself
MAX_ANSWERS, MAX_OUTPUTS = 8 * 1024 * 1024, 32 * 1024 * 1024
WRITTEN_BY = {RESULTS: EXERCISE, MANIFEST: EXERCISE}
RUNS = {
    ALL: Rerun(
        EXERCISE,
        (CACHE,),
        N_("its run on the lab's cases and hidden ones"),
        ["--cases", "LAB_AND_HIDDEN"],
        CODE,
    ),
    LAB: Rerun(EXERCISE, (CACHE,), N_("its run on the lab's cases"), [], {"results"}),
}


class Work(Collected):
    """The files of the submission, the runs of exercise.py, and what a cache must give."""

    own = (EXERCISE, "cases.py")
    claimants = (CACHE,)
    written_by = WRITTEN_BY
    runs = RUNS
    patience = 120.0  # a run of the solution takes 2 to 5 seconds

    # ---- what was handed in ----------------------------------------------------------------------------------------

    @cached_property
    def results(self) -> Results | list[Finding]:
        return self.model(RESULTS, Results)

    @cached_property
    def manifest(self) -> Manifest | list[Finding]:
        return self.model(MANIFEST, Manifest)

    @cached_property
    def cache(self) -> str:
        return self.text(CACHE)

    def has_cache(self) -> bool:
        return any(name == CACHE for name, _info in self.folder.files())

    def why_not_comparable(self, folder: str) -> str:
        from checker.lab01.recompute import promise

        manifest = self.readable(lambda: self.manifest)
        if manifest is None:
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

    def replayed_results(self, name: str) -> Results | list[Finding]:
        """Refusal if the run wrote nothing readable."""
        return self.written(name, RESULTS, Results)

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

    def arguments(self, name: str, copy: Path, home: Path) -> list[str]:
        if name == LAB:
            return []
        asked = {
            "cases": _dumped([*self.lab_cases, *self.hidden_cases]),
            "generations": _dumped([*self.lab_generations, *self.hidden_generations]),
        }
        path = home / "cases.json"
        path.write_text(json.dumps(asked), encoding="utf-8")
        return ["--cases", str(path)]

    # ---- what is right ---------------------------------------------------------------------------------------------

    def truth(self, ask: AskGeneration) -> Sequence[Row]:
        """What each prompt of a generation must give: of a run without a cache, but for a row that is overwritten."""
        from checker.lab01 import recompute  # imports torch

        return recompute.truth(ask)

    def truth_without_a_poke(self, ask: AskGeneration) -> Sequence[Row]:
        from checker.lab01 import recompute

        return recompute.without_a_poke(ask)

    # ---- for the report --------------------------------------------------------------------------------------------

    def reruns(self) -> list[Replay]:
        replayed = super().reruns()
        if len({run.output_tail for run in replayed if run.exit_code}) == 1:  # one error is told once
            replayed = [*replayed[:1], *(run.model_copy(update={"output_tail": ""}) for run in replayed[1:])]
        return replayed

    def environment(self) -> dict[str, str]:
        found = super().environment()
        if "torch" in found:
            from checker.lab01 import recompute

            found |= {"order": recompute.promise()["order"], "ops": recompute.ops_name()}
        return found


def _dumped(asked: Sequence[Model]) -> list[dict]:
    return [ask.model_dump() for ask in asked]
