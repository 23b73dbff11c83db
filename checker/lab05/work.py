"""The evidence on one submission, each piece made when a task first asks for it, and only once.

measure.py runs twice, on the lab's cases and on hidden ones, and the student's invariance_test.py once on the student's
kernels and once on each candidate. They go on, two at a time, while the tasks look at what is there already.
"""

from __future__ import annotations

import json
import shutil
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from checker.check import Options
from checker.collected import Collected, Rerun
from checker.gate import Folder
from checker.gate_npz import Array, Expected, read_npz
from checker.lab05.reading import KERNELS
from checker.lab05.schemas import Ask, Calls, Invariance, Manifest, Results
from checker.lab05.variants import Candidate, candidates, recorded
from checker.language import N_, _
from checker.report import Finding, Replay
from checker.spec import Lab, SpecError

if TYPE_CHECKING:
    from checker.lab05.accuracy import Truth

MEASURE, TEST = "measure.py", "invariance_test.py"
RESULTS, MANIFEST, INVARIANCE = "results.json", "manifest.json", "invariance.json"
OPS = {"matmul", "log-softmax", "mean", "registered"}  # tasks
RUNS = {
    "lab": Rerun(MEASURE, (KERNELS, TEST), N_("its run on the lab's cases"), [], {"results"}),
    "hidden": Rerun(MEASURE, (KERNELS, TEST), N_("its run on hidden cases"), ["--cases", "HIDDEN"], OPS),
    "own": Rerun(TEST, (TEST, KERNELS), N_("its run on your kernels"), [], {"test-catches"}),
}
MAX_OUTPUTS = 32 * 1024 * 1024
CALLS, MAX_CALLS = "calls.json", 1024 * 1024
WRITTEN_BY = {RESULTS: MEASURE, MANIFEST: MEASURE, INVARIANCE: TEST}


class Work(Collected):
    """The files of the submission, the runs of its scripts, and what float64 says."""

    own = (MEASURE, "inputs.py", "interpreter.py", "sealed.py")
    claimants = (KERNELS, TEST)
    written_by = WRITTEN_BY
    patience = 300.0  # a run of the solution takes 4 to 10 seconds

    def __init__(self, folder: Folder, lab: Lab, wanted: set[str], options: Options) -> None:
        if find_spec("triton") is None:
            raise SpecError(
                _(
                    "lab 05 is checked by running its kernels, and Triton, made for Linux only, is "
                    "not installed here. Check it on Linux, in WSL, or on Colab."
                )
            )
        super().__init__(folder, lab, wanted, options)
        planted = {f"candidate {i}": candidate for i, candidate in enumerate(candidates(self.hidden_seed))}
        self.tests: dict[str, Candidate] = {"own": {}, **planted}  # the runs of invariance_test.py, and on what
        self.runs = RUNS | {name: _on_a_candidate(name) for name in planted}

    # ---- what was handed in ----------------------------------------------------------------------------------------

    @cached_property
    def results(self) -> Results | list[Finding]:
        return self.model(RESULTS, Results)

    @cached_property
    def manifest(self) -> Manifest | list[Finding]:
        return self.model(MANIFEST, Manifest)

    @cached_property
    def invariance(self) -> Invariance | list[Finding]:
        return self.model(INVARIANCE, Invariance)

    @cached_property
    def kernels(self) -> str:
        return self.text(KERNELS)

    def why_not_comparable(self, folder: str) -> str:
        manifest = self.readable(lambda: self.manifest)
        if manifest is None:
            return _("manifest.json cannot be read, so nothing says on what they were made")
        if manifest.config.device != "cpu":
            return _("they were made on {device_name}; how many rows agree was compared instead").format(
                device_name=manifest.config.device_name
            )
        here = {name: version(name) for name in ("numpy", "torch", "triton")} | {"arithmetic": self.arithmetic}
        there = manifest.versions.model_dump() | {"arithmetic": manifest.config.arithmetic}
        for name, value in here.items():
            if there[name] != value:
                return _(
                    "manifest.json says {name} {there}, here it is {value}; how many rows agree was compared instead"
                ).format(name=name, there=there[name], value=value)
        return ""

    # ---- the scripts, run again ------------------------------------------------------------------------------------

    def replayed_results(self, name: str) -> Results | list[Finding]:
        """Refusal if the run wrote nothing readable; so below."""
        return self.written(name, RESULTS, Results)

    def replayed_test(self, name: str) -> Invariance | list[Finding]:
        return self.written(name, INVARIANCE, Invariance)

    def calls(self, name: str) -> Calls:
        """What the candidate itself noted of the test's calls to it; nothing, if that cannot be read."""
        return self.readable(lambda: self.written(name, CALLS, Calls, MAX_CALLS)) or Calls()

    @cached_property
    def outputs(self) -> dict[str, Array]:
        """What the hidden cases gave, by "ID.CALL": (rows of the call, columns). By "ID.sealed", what one call gave
        whose numbers only the kernels could read."""
        from checker.lab05.inputs import SEALED_CALL

        expected: Expected = {}
        for ask in self.hidden_cases:
            columns = {"matmul": ask.columns or 0, "log_softmax": ask.length, "mean": 1}[ask.op]
            for i, call in enumerate(ask.calls):
                expected[f"{ask.id}.{i}"] = (ask.dtype, (len(call), columns))
            expected[f"{ask.id}.sealed"] = (ask.dtype, (len(ask.calls[SEALED_CALL]), columns))
        return read_npz(Folder(self.run("hidden").out), "outputs.npz", MAX_OUTPUTS, expected)

    def arguments(self, name: str, copy: Path, home: Path) -> list[str]:
        if self.runs[name].script == MEASURE:  # beside it, nothing but the kernels: no numpy.py of one's own
            _leave(copy, {KERNELS})
        if name == "hidden":
            cases = home / "hidden.json"
            cases.write_text(json.dumps([ask.model_dump() for ask in self.hidden_cases]))
            return ["--cases", str(cases)]
        if self.tests.get(name):
            candidate = home / "kernels.py"
            candidate.write_text(recorded(self.tests[name]), encoding="utf-8")
            return ["--kernels", str(candidate)]
        return []

    def traceback(self, name: str) -> str:
        """Of two errors, the first: in the kernel, not its launch."""
        return super().traceback(name).split("The above exception was")[0]

    # ---- what float64 says -----------------------------------------------------------------------------------------

    @cached_property
    def hidden_cases(self) -> list[Ask]:
        from checker.lab05 import cases  # imports torch

        return cases.hidden_cases(self.hidden_seed)

    @cached_property
    def lab_cases(self) -> list[Ask]:
        from checker.lab05 import cases

        return cases.lab_cases()

    @cached_property
    def arithmetic(self) -> str:
        from checker.lab05 import inputs

        return inputs.arithmetic()

    def truth(self, ask: Ask) -> Truth:
        from checker.lab05 import accuracy

        return accuracy.truth(ask)

    # ---- for the report --------------------------------------------------------------------------------------------

    def reruns(self) -> list[Replay]:
        replayed = super().reruns()
        said: set[str] = set()
        for i, run in enumerate(replayed):  # one error is told once, however many runs ended with it
            end = run.output_tail.rstrip().rpartition("\n")[2]
            if run.exit_code and end in said:
                replayed[i] = run.model_copy(update={"output_tail": ""})
            said.add(end)
        return replayed

    def environment(self) -> dict[str, str]:
        return super().environment() | {"triton": version("triton")}


def _on_a_candidate(name: str) -> Rerun:
    called, arguments = N_("its run on a kernels file of the checker's"), ["--kernels", name.upper()]
    return Rerun(TEST, (TEST,), called, arguments, {"test-catches"})


def _leave(folder: Path, names: set[str]) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in names:
            path.unlink()
