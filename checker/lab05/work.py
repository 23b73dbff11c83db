"""The evidence on one submission, each piece made when a task first asks for it, and only once.

measure.py runs twice, on the lab's cases and on hidden ones, and the student's invariance_test.py once on the student's
kernels and once on each candidate. They go on, two at a time, while the tasks look at what is there already.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import sys
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import courselib
from checker import replay
from checker.check import Options
from checker.documents import Model, read_model
from checker.gate import Folder, Refusal
from checker.gate_npz import Array, Expected, read_npz
from checker.lab05.reading import KERNELS
from checker.lab05.schemas import Ask, Calls, Invariance, Manifest, Results
from checker.lab05.variants import Candidate, candidates, recorded
from checker.language import _
from checker.report import Evidence, Finding, Replay
from checker.runs import Runs
from checker.spec import Lab, SpecError

if TYPE_CHECKING:
    from checker.lab05.accuracy import Truth

MEASURE, TEST = "measure.py", "invariance_test.py"
OWN = (MEASURE, "inputs.py", "interpreter.py")  # a run takes the course's, whatever was handed in
RESULTS, MANIFEST, INVARIANCE = "results.json", "manifest.json", "invariance.json"
WRITTEN_BY = {RESULTS: MEASURE, MANIFEST: MEASURE, INVARIANCE: TEST}
TIMEOUT = 300.0  # a run of the solution takes 4 to 10 seconds
MAX_OUTPUTS = 32 * 1024 * 1024
CALLS, MAX_CALLS = "calls.json", 1024 * 1024
M = TypeVar("M", bound=Model)


class Work:
    """The files of the submission, the runs of its scripts, and what float64 says."""

    def __init__(self, folder: Folder, lab: Lab, wanted: set[str], options: Options) -> None:
        if find_spec("triton") is None:
            raise SpecError(
                _(
                    "lab 05 is checked by running its kernels, and Triton, made for Linux only, is "
                    "not installed here. Check it on Linux, in WSL, or on Colab."
                )
            )
        self.folder, self.lab, self.wanted, self.options = folder, lab, wanted, options
        self.hidden_seed = secrets.randbelow(2**31) if options.hidden_seed is None else options.hidden_seed
        self.timeout = options.timeout or TIMEOUT  # seconds one run of a script may take
        self._runs = Runs(folder, lab, options.tier)
        self._stored: str | None = None  # why stored bytes are not compared; "": they are
        self._recomputed: list[str] = []

    # ---- what was handed in ----------------------------------------------------------------------------------------

    @cached_property
    def results(self) -> Results | list[Finding]:
        return self._model(RESULTS, Results)

    @cached_property
    def manifest(self) -> Manifest | list[Finding]:
        return self._model(MANIFEST, Manifest)

    @cached_property
    def invariance(self) -> Invariance | list[Finding]:
        return self._model(INVARIANCE, Invariance)

    @cached_property
    def kernels(self) -> str:
        return self.text(KERNELS)

    def kernels_sha256(self) -> str:
        return hashlib.sha256(self.folder.read_bytes(KERNELS, self._cap(KERNELS))).hexdigest()

    def text(self, name: str) -> str:
        return self.folder.read_text(name, self._cap(name))

    def stored_bytes_comparable(self) -> bool:
        """Would the bytes in results.json be the same if they were made here?"""
        if self._stored is None:
            self._stored = self._why_not_comparable()
        return not self._stored

    def _why_not_comparable(self) -> str:
        try:
            manifest = self.manifest
        except Refusal:
            manifest = []
        if isinstance(manifest, list):
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

    def begin(self) -> None:
        """Start every run that a task which was asked for will need."""
        wanted = self.wanted
        if "results" in wanted:
            self._start("lab")
        if wanted & {"matmul", "log-softmax", "mean", "registered"}:
            self._start("hidden")
        if "test-catches" in wanted:
            for name in self.tests:
                self._start(name)

    @cached_property
    def tests(self) -> dict[str, Candidate]:
        """The runs of invariance_test.py: on the student's own kernels, and on each candidate."""
        nothing: Candidate = {}
        return {"own": nothing} | {f"candidate {i}": c for i, c in enumerate(candidates(self.hidden_seed))}

    def run(self, name: str) -> replay.Run:
        """The finished run ``name``: "lab", "hidden", or one of ``tests``; waits for it."""
        self.begin()
        self._start(name)
        if not self._runs.done(name):
            names = list(self._runs)
            self.options.progress(
                _("waiting for your {script}").format(script=_script(name)), names.index(name) / len(names)
            )
        return self._runs.finished(name)

    def replayed_results(self, name: str) -> Results | list[Finding]:
        """Refusal if the run wrote nothing readable; so below."""
        return read_model(Folder(self.run(name).out), RESULTS, self._cap(RESULTS), Results)

    def replayed_test(self, name: str) -> Invariance | list[Finding]:
        return read_model(Folder(self.run(name).out), INVARIANCE, self._cap(INVARIANCE), Invariance)

    def calls(self, name: str) -> Calls:
        """What the candidate itself noted of the test's calls to it; nothing, if that cannot be read."""
        try:
            found = read_model(Folder(self.run(name).out), CALLS, MAX_CALLS, Calls)
        except Refusal:
            return Calls()
        return found if isinstance(found, Calls) else Calls()

    @cached_property
    def outputs(self) -> dict[str, Array]:
        """What the hidden cases gave, by "ID.CALL": (rows of the call, columns). By "ID.idle", what their longest call
        gave while no kernel ran."""
        expected: Expected = {}
        for ask in self.hidden_cases:
            columns = {"matmul": ask.columns or 0, "log_softmax": ask.length, "mean": 1}[ask.op]
            for i, call in enumerate(ask.calls):
                expected[f"{ask.id}.{i}"] = (ask.dtype, (len(call), columns))
            expected[f"{ask.id}.idle"] = (ask.dtype, (max(map(len, ask.calls)), columns))
        return read_npz(Folder(self.run("hidden").out), "outputs.npz", MAX_OUTPUTS, expected)

    def _start(self, name: str) -> None:
        def arguments(copy: Path, home: Path) -> list[str]:
            if _script(name) == MEASURE:  # beside it, nothing but the kernels: no numpy.py of one's own
                _leave(copy, {KERNELS})
            for file in OWN:
                (copy / file).write_bytes((Path(__file__).parent / file).read_bytes())
            if name == "hidden":
                cases = home / "hidden.json"
                cases.write_text(json.dumps([ask.model_dump() for ask in self.hidden_cases]))
                return ["--cases", str(cases)]
            if self.tests.get(name):
                candidate = home / "kernels.py"
                candidate.write_text(recorded(self.tests[name]), encoding="utf-8")
                return ["--kernels", str(candidate)]
            return []

        self._runs.start(name, _script(name), arguments, self.timeout)

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

    def recomputed(self, what: str) -> None:
        self._recomputed.append(what)

    # ---- for the report --------------------------------------------------------------------------------------------

    def evidence(self) -> Evidence:
        reached = self._stored is not None
        replayed = [self._replay(name) for name in self._runs]
        said: set[str] = set()
        for i, run in enumerate(replayed):  # one error is told once, however many runs ended with it
            end = run.output_tail.rstrip().rpartition("\n")[2]
            if run.exit_code and end in said:
                replayed[i] = run.model_copy(update={"output_tail": ""})
            said.add(end)
        return Evidence(
            replayed=replayed,
            recomputed=self._recomputed,
            stored_bytes="not reached" if not reached else "not compared" if self._stored else "compared",
            stored_bytes_because=self._stored or None,
            hidden_seed=self.hidden_seed if set(self._runs) - {"lab", "own"} else None,
        )

    def environment(self) -> dict[str, str]:
        found = {"courselib": courselib.__version__, "numpy": version("numpy"), "triton": version("triton")}
        found |= self._runs.sandbox
        if "torch" in sys.modules:
            found["torch"] = version("torch")
        return found

    def durations(self) -> dict[str, float]:
        return {f"replay {name}": self.run(name).seconds for name in self._runs}

    def close(self) -> None:
        self._runs.close()

    def _replay(self, name: str) -> Replay:
        run = self.run(name)
        arguments = {"lab": [], "own": [], "hidden": ["--cases", "HIDDEN"]}.get(name, ["--kernels", name.upper()])
        return Replay(
            script=run.script,
            arguments=arguments,
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
                message = _("The file is not there; {written_by} writes it. Run it in its folder.").format(
                    written_by=WRITTEN_BY[name]
                )
                raise Refusal("missing", name, message) from None
            raise

    def _cap(self, name: str) -> int:
        return self.lab.artifact(name).max_bytes


def _leave(folder: Path, names: set[str]) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in names:
            path.unlink()


def _script(name: str) -> str:
    return MEASURE if name in ("lab", "hidden") else TEST
