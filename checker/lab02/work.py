"""The evidence on one submission, each piece made when a task first asks for it, and only once.

The student's scripts run in processes of their own while the checker recomputes here: on two cores the two cost
little more than the longer of them.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from checker import replay
from checker.check import Options
from checker.collected import Collected, as_told
from checker.documents import read_model
from checker.gate import Folder
from checker.gate_npz import Array, Expected, read_npz
from checker.lab02.consistency import bytes_equal, first_divergence
from checker.lab02.planted import PlantedRuns
from checker.lab02.prompts import FLAGSHIP, hidden_dump, hidden_prompts, lab_prompts, n_tokens
from checker.lab02.schemas import Diagnosis, DumpManifest, Manifest, Results
from checker.lab02.zoo import Planted
from checker.language import _
from checker.report import Count, Evidence, Finding, Replay
from checker.spec import Lab

if TYPE_CHECKING:
    from checker.lab02.recompute import Slots, Truth

CORRECTNESS, WORKED = "22-cache-correctness", "22-yesterday-worked"
PROPERTY_TEST, DUMP = f"{CORRECTNESS}/property_test.py", f"{WORKED}/dump.py"
RESULTS, SLOTS = f"{CORRECTNESS}/results.json", f"{WORKED}/slots.npz"
DIAGNOSIS = f"{CORRECTNESS}/diagnosis.json"
MANIFESTS: dict[str, type[Manifest] | type[DumpManifest]] = {
    f"{CORRECTNESS}/manifest.json": Manifest,
    f"{WORKED}/manifest.json": DumpManifest,
}
NEEDED_BY = {"lab": "property", "hidden": "property", "dump": "dump", "dump hidden": "dump"}  # the runs
HIDDEN_ARGUMENTS = {  # as the report has them
    "hidden": ["--prompts", "HIDDEN", "--no-extended"],
    "dump hidden": ["--prompt", "HIDDEN"],
}
TIMEOUT = 300.0  # a run takes 20 seconds on an idle core; without a C compiler, some minutes


class Work(Collected):
    """The files of the submission, the runs of its scripts, and what the model says."""

    def __init__(self, folder: Folder, lab: Lab, wanted: set[str], options: Options) -> None:
        super().__init__(folder, lab, wanted, options)
        self.planted = PlantedRuns(self._runs, self.hidden_seed, PROPERTY_TEST)
        self._seconds: dict[str, float] = {}
        self._ticks = 0
        self._library: tempfile.TemporaryDirectory[str] | None = None

    # ---- what was handed in ----------------------------------------------------------------------------------------

    @cached_property
    def results(self) -> Results | list[Finding]:
        return self.model(RESULTS, Results)

    @cached_property
    def diagnosis(self) -> Diagnosis | list[Finding]:
        return read_model(self.folder, DIAGNOSIS, self.cap(DIAGNOSIS), Diagnosis)

    def manifest(self, name: str) -> Manifest | DumpManifest | list[Finding]:
        return self.model(name, MANIFESTS[name])

    @cached_property
    def slots(self) -> dict[str, Array]:
        with self.saying_who_writes(SLOTS):
            return read_npz(self.folder, SLOTS, self.cap(SLOTS), self._slots_expected(FLAGSHIP))

    def text(self, name: str) -> str:
        with self.saying_who_writes(name):
            return super().text(name)

    def who_writes(self, name: str) -> str:
        if name.endswith("README.md"):
            return ""
        script = PROPERTY_TEST if name.startswith(CORRECTNESS) else DUMP
        return _("The file is not there; {script} writes it. Run it in its folder.").format(script=script)

    def why_not_comparable(self, folder: str) -> str:
        """Under another promise than the one that holds here, bytes are others.

        Other weights are no reason not to compare: the lab has one model, and the task `manifest` asks for it.
        """
        name = f"{folder}/manifest.json"
        manifest = self.readable(lambda: self.manifest(name))
        if not isinstance(manifest, Manifest | DumpManifest):
            return _("{name} cannot be read, so nothing says under which promise they were recorded").format(name=name)
        config, here = manifest.config, self.recompute.promise()
        recorded = {"config.order": config.order, "versions.courselib": manifest.versions.courselib}
        for field, there in recorded.items():
            if there != here[field]:
                return _(
                    "{name} says {field} {there}, here it is {here}; the claims were recomputed here instead"
                ).format(name=name, field=field, there=there, here=here[field])
        return ""

    @cached_property
    def timeout(self) -> float:
        """Seconds one run of a script may take: many times what it needs."""
        return self.options.timeout or (TIMEOUT if self.recompute.ops_name() == "fixed-c" else 10 * TIMEOUT)

    # ---- the scripts, run again ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start every run that a task which was asked for will need; they go on while this process recomputes."""
        for name, task in NEEDED_BY.items():
            if task in self.wanted:
                self._start(name)

    def run(self, name: str) -> replay.Run:
        """The finished run ``name``, one of NEEDED_BY or one that was started; waits for it."""
        self._start(name)
        if not self._runs.done(name):
            self.options.progress(_("waiting for your {script}").format(script=Path(_script(name)).name), 1.0)
        return self._runs.finished(name)

    def replayed_results(self, name: str) -> Results | list[Finding]:
        """What property_test.py wrote for the "lab" or "hidden" prompts. Refusal if it wrote nothing readable."""
        return self.written(name, "results.json", Results, self.cap(RESULTS))

    def planted_results(self, planted: Planted) -> Results | list[Finding]:
        """What it wrote on a planted cache. Refusal as above."""
        return read_model(Folder(self.planted.run(planted).out), "results.json", self.cap(RESULTS), Results)

    def replayed_slots(self, name: str, prompt: str) -> dict[str, Array]:
        """What dump.py wrote in the run ``name``. Refusal if it is not the slots of a prompt as long as this one."""
        return read_npz(Folder(self.run(name).out), "slots.npz", self.cap(SLOTS), self._slots_expected(prompt))

    def replayed_dump_manifest(self, name: str) -> DumpManifest | None:
        """None if it cannot be read, or is not as its schema asks."""
        return self.readable(
            lambda: self.written(name, "manifest.json", DumpManifest, self.cap(f"{WORKED}/manifest.json"))
        )

    def run_on_other_weights(self) -> str:
        """Starts "dump other weights": dump.py on a copy of courselib with other weights. Answers their sha256."""
        from checker.lab02.weights import other_weights  # torch

        self._library = tempfile.TemporaryDirectory(prefix="checker-", ignore_cleanup_errors=True)
        os.chmod(self._library.name, 0o755)  # the script may run as another user, who must be able to read here
        folder = Path(self._library.name)
        digest = other_weights(folder)
        self._runs.start("dump other weights", DUMP, lambda copy, home: [], self.timeout, library=folder)
        return digest

    def _start(self, name: str) -> None:
        def arguments(copy: Path, home: Path) -> list[str]:
            if name.startswith("dump"):
                return ["--prompt", hidden_dump(self.hidden_seed)] if name == "dump hidden" else []
            if name == "lab":
                return [
                    "--ops",
                    "fixed",
                ]  # stock ops take longer and prove nothing: the hidden prompts show what they do
            prompts = home / "hidden.json"
            prompts.write_text(json.dumps([ask.to_json() for ask in hidden_prompts(self.hidden_seed)]))
            return ["--prompts", str(prompts), "--no-extended"]

        self._runs.start(name, _script(name), arguments, self.timeout)

    # ---- what the model says ---------------------------------------------------------------------------------------

    @property
    def recompute(self) -> ModuleType:
        from checker.lab02 import recompute  # imports torch, so only when something is to be recomputed

        return recompute

    @cached_property
    def truths(self) -> dict[str, list[Truth]]:
        """The truth for each prompt, of "lab" and "hidden"."""
        asks = {"lab": lab_prompts(), "hidden": hidden_prompts(self.hidden_seed)}
        started = time.perf_counter()
        found = {name: self.recompute.truths(some, self._tick) for name, some in asks.items()}
        self._seconds["recompute"] = time.perf_counter() - started
        n = {name: len(some) for name, some in found.items()}
        self._recomputed.append(
            _("generated here, with a cache and without: {lab} lab prompts, {hidden} hidden ones").format(**n)
        )
        return found

    @cached_property
    def extended_truths(self) -> list[Truth]:
        started = time.perf_counter()
        found: list[Truth] = self.recompute.extended_truths(self._tick)
        self._seconds["recompute extended"] = time.perf_counter() - started
        self._recomputed.append(_("generated here: 256 tokens, a batch of 4, a warm start"))
        return found

    def _slots_expected(self, prompt: str) -> Expected:
        n = n_tokens(prompt)
        rows = ("float32", self.recompute.slots_shape(n))
        return {"tokens": ("int64", (n + 1,)), "k_cached": rows, "v_cached": rows, "k_full": rows, "v_full": rows}

    def true_slots(self, prompt: str) -> Slots:
        found: Slots = self.recompute.slots(prompt)
        said = _('generated here, with a cache and without: the slots of "{prompt}"').format(prompt=prompt)
        if said not in self._recomputed:
            self._recomputed.append(said)
        return found

    def _tick(self, more: int) -> None:
        self._ticks += more
        total = 60 * ("property" in self.wanted) + 3 * ("extended" in self.wanted)
        self.options.progress(_("generating with a cache and without"), self._ticks / max(total, 1))

    # ---- for the report --------------------------------------------------------------------------------------------

    def evidence(self) -> Evidence:
        hidden = {"hidden", "dump hidden"} & set(self._runs) or self.planted.started
        more = {
            "recomputed": self._recomputed + self.planted.in_words(),
            "hidden_seed": self.hidden_seed if hidden else None,
        }
        return super().evidence().model_copy(update=more)

    def reruns(self) -> list[Replay]:
        return [
            *(self._replay(name) for name in self._runs if _is_told(name)),
            *(as_told(run, ["--prompts", "HIDDEN", "--ops", "fixed"]) for run in self.planted.troubled()[:1]),
        ]

    def environment(self) -> dict[str, str]:
        found = super().environment()
        if "torch" in found:
            found |= {"order": self.recompute.promise()["config.order"], "ops": self.recompute.ops_name()}
        return found

    def durations(self) -> dict[str, float]:
        seconds = {f"replay {name}": self.run(name).seconds for name in self._runs if _is_told(name)}
        planted = {"planted caches": self.planted.seconds()} if self.planted.started else {}
        return self._seconds | seconds | planted

    def close(self) -> None:
        super().close()
        self.planted.close()
        if self._library:
            self._library.cleanup()

    def _replay(self, name: str) -> Replay:
        run = self.run(name)
        told = as_told(run, HIDDEN_ARGUMENTS.get(name, run.arguments))
        return told.model_copy(update={"counts": self._counts(name)}) if name in ("lab", "hidden") else told

    def _counts(self, name: str) -> list[Count]:
        results = self.readable(lambda: self.replayed_results(name))
        if results is None:
            return []
        return [
            Count(
                ops=ops,
                cases=len(run.cases),
                tokens_equal=sum(first_divergence(c) is None for c in run.cases),
                bytes_equal=sum(map(bytes_equal, run.cases)),
            )
            for ops, run in (("fixed", results.runs.fixed), ("stock", results.runs.stock))
            if run is not None
        ]


def _script(name: str) -> str:
    return DUMP if name.startswith("dump") else PROPERTY_TEST


def _is_told(name: str) -> bool:
    """Is the run one of its own in the report? Those on planted caches are told together."""
    return name in NEEDED_BY or name.startswith("dump")
