"""What all trials share: reference submissions, their answers, runs that are remembered, and a host to break into."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from checker import replay
from checker.batch.handed_in import opened
from checker.check import Options, check, refused
from checker.gate import Refusal
from checker.report import Report, Tier
from checker.sandbox import Sandbox, choose
from checker.selftest.host import PRELUDE, a_host, alive
from checker.selftest.trial import Attack, Probe, Tried, got
from checker.spec import Lab, load_lab

ROOT = Path(__file__).parents[2]
LABS = ROOT / "labs"
HIDDEN_SEED = 7
CORRECTNESS, WORKED = "22-cache-correctness", "22-yesterday-worked"
PROPERTY_TEST, DUMP = f"{CORRECTNESS}/property_test.py", f"{WORKED}/dump.py"
RESULTS, SLOTS = f"{CORRECTNESS}/results.json", f"{WORKED}/slots.npz"
WROTE: dict[str, dict[str, tuple[str, ...]]] = {  # lab: what each script wrote when its reference was made
    "01": {"exercise.py": ("results.json", "manifest.json")},
    "03": {},
    "05": {"measure.py": ("results.json", "manifest.json"), "invariance_test.py": ("invariance.json",)},
}
TOUCHED = "touched"  # a file of this name beside a submission: code of theirs ran in the checker


class Bench:
    """Made ready once; each trial then gets a place of its own. Used by several threads at a time."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier  # in which submissions are checked
        self._stack = ExitStack()
        self.scratch = Path(self._stack.enter_context(_temporary()))
        self.reference = self.scratch / "reference"
        self.references = {"02": self.reference, **{lab: self.scratch / f"reference{lab}" for lab in WROTE}}
        self.labs: dict[str, Lab] = {lab: load_lab(LABS / lab) for lab in self.references}
        self._making: dict[str, subprocess.Popen[bytes]] = {}
        self.host = self._stack.enter_context(a_host(self.scratch / "host"))
        self._numbers = itertools.count()
        self._memory: dict[str, replay.Run] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._asking = threading.Lock()
        self._hidden = cache(self._written_for_the_hidden_prompts)
        self._run_script = replay.run_script
        replay.run_script = self._remembered  # the one way in which a script is run
        self._stack.callback(setattr, replay, "run_script", self._run_script)

    def close(self) -> None:
        for running in self._making.values():
            running.kill()
            running.communicate()
        self._stack.close()

    def make_reference(self, wanted: set[str]) -> None:
        """What labs/02/solution hands in; and meanwhile, what the tasks ``wanted`` will compare with."""
        running = _solution("02", self.reference)
        from checker.lab02.warm import warm  # torch

        warm(wanted, Options(hidden_seed=HIDDEN_SEED))
        _finished(running)

    def remember_its_runs(self) -> None:
        """The reference was made by running its scripts, so these need no other run. Stock ops are not asked again."""
        answers = self.answers()
        del answers["runs"]["stock"]
        lab = self.scratch / "lab"
        lab.mkdir()
        (lab / "results.json").write_text(json.dumps(answers), encoding="utf-8")
        self._remember("02", PROPERTY_TEST, ["--ops", "fixed"], lab)
        self._remember("02", DUMP, [], self.reference / WORKED)

    def begin_reference(self, lab: str) -> None:
        """Of another lab than 02. It is made while other trials go on."""
        self._making[lab] = _solution(lab, self.references[lab])

    def _reference_of(self, lab: str) -> Path:
        """Who needs it, waits; but for lab 02's, which is there before the first trial."""
        if lab not in WROTE:
            return self.references[lab]
        with self._asking:
            if running := self._making.pop(lab, None):
                _finished(running)
                for script, wrote in WROTE[lab].items():
                    folder = self.scratch / f"{lab}-{script.removesuffix('.py')}"
                    folder.mkdir()
                    for name in wrote:
                        shutil.copy(self.references[lab] / name, folder)
                    self._remember(lab, script, [], folder)
        return self.references[lab]

    # ---- submissions -------------------------------------------------------------------------------------------------

    @contextmanager
    def place(self, lab: str = "02") -> Iterator[Path]:
        """A copy of the reference, to be changed."""
        folder = self.scratch / f"trial{next(self._numbers)}"
        shutil.copytree(self._reference_of(lab), folder / "submission", ignore=shutil.ignore_patterns("__pycache__"))
        try:
            yield folder / "submission"
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def check(self, attack: Attack, place: Path, tier: Tier) -> Report:
        """The report on ``place``; or on the archive that lies there in its stead, as a batch opens it."""
        options, lab = Options(hidden_seed=HIDDEN_SEED, timeout=attack.timeout, tier=tier), self.labs[attack.lab]
        if not place.exists():
            (archive,) = place.parent.glob("submission.*")
            unpacked = place.parent / "unpacked"
            unpacked.mkdir()
            try:
                return check(lab, opened(archive, lab, unpacked), list(attack.only), options)
            except Refusal as refusal:
                return refused(lab, archive, list(attack.only), refusal.finding)
        _settle(place, attack.mended)
        return check(lab, place, list(attack.only), options)

    def touches(self, place: Path) -> str:
        """A line of Python that leaves the mark, should anybody but the sandbox execute it."""
        return f"open({str(place.parent / TOUCHED)!r}, 'w').close()"

    def was_touched(self, place: Path) -> bool:
        return (place.parent / TOUCHED).exists()

    def answers(self) -> dict[str, Any]:
        """results.json of the reference, as a document of one's own."""
        document: dict[str, Any] = json.loads((self.reference / RESULTS).read_text(encoding="utf-8"))
        return document

    def hidden_answers(self) -> dict[str, Any]:
        """What the reference's script writes for the hidden prompts."""
        with self._asking:
            return copy.deepcopy(self._hidden())

    def _written_for_the_hidden_prompts(self) -> dict[str, Any]:
        from checker.lab02.prompts import hidden_prompts

        with self.place() as place:
            home, out = place.parent / "home", place.parent / "out"
            home.mkdir()
            out.mkdir()
            prompts = home / "hidden.json"
            prompts.write_text(json.dumps([ask.to_json() for ask in hidden_prompts(HIDDEN_SEED)]))
            arguments = ["--prompts", str(prompts), "--no-extended"]
            run = replay.run_script(place, PROPERTY_TEST, out, arguments, home, 600.0, sandbox=choose(self.tier))
            found: dict[str, Any] = json.loads((run.out / "results.json").read_bytes())
            return found

    # ---- runs --------------------------------------------------------------------------------------------------------

    def _remembered(
        self,
        copy: Path,
        script: str,
        out: Path,
        arguments: list[str],
        home: Path,
        timeout: float,
        *,
        sandbox: Sandbox | None = None,
        library: Path | None = None,
    ) -> replay.Run:
        """As ``replay.run_script``. The reference's own scripts, unchanged, give the same data each time: they run
        once for each set of arguments."""
        mine = set(_python(copy / script))
        same = (lab for lab, reference in self.references.items() if mine and mine <= set(_python(reference / script)))
        if (lab := next(same, None)) is None:
            return self._run_script(copy, script, out, arguments, home, timeout, sandbox=sandbox, library=library)
        key = _key(lab, script, arguments, library)
        with self._locks.setdefault(key, threading.Lock()):
            if key not in self._memory:
                run = self._run_script(copy, script, out, arguments, home, timeout, sandbox=sandbox, library=library)
                kept = self.scratch / f"run{next(self._numbers)}"
                shutil.copytree(run.out, kept, symlinks=True)
                self._memory[key] = replace(run, out=kept)
                return run
        shutil.copytree(self._memory[key].out, out, dirs_exist_ok=True)
        return replace(self._memory[key], out=out)

    def _remember(self, lab: str, script: str, arguments: list[str], folder: Path) -> None:
        run = replay.Run(script, arguments, folder, "finished", 0, 0.0, "")
        self._memory[_key(lab, script, arguments, None)] = run

    # ---- probes ------------------------------------------------------------------------------------------------------

    @contextmanager
    def probe(self, probe: Probe, tier: Tier) -> Iterator[tuple[Tried, bool]]:
        """Run its script in ``tier``; and whether it had a uid of its own. What it handed over is gone afterwards."""
        sandbox = replace(choose(tier), limits=probe.limits)
        folder = self.scratch / f"trial{next(self._numbers)}"
        for name in ("copy", "out", "home"):
            (folder / name).mkdir(parents=True)
        (folder / "copy/probe.py").write_text(f"{PRELUDE}{probe.script}\nnote()\n", encoding="utf-8")
        copy, out, home = (folder / name for name in ("copy", "out", "home"))
        host = json.dumps(asdict(self.host))
        try:
            run = self._run_script(copy, "probe.py", out, [host], home, probe.limits.wall, sandbox=sandbox)
            yield Tried(run, got(run.out), self.host, alive(str(out))), sandbox.own_uid
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _settle(place: Path, mended: bool) -> None:
    """Scripts older than what they wrote, as after a run; or newer, as after an edit."""
    written = [p.lstat().st_mtime_ns for p in place.rglob("*") if p.suffix in (".json", ".npz")]
    if not written:
        return
    when = max(written) + 1 if mended else min(written) - 1
    for script in (*place.glob("22-*/*.py"), *place.glob("*.py")):
        if not script.is_symlink():
            os.utime(script, ns=(when, when))


def _python(script: Path) -> list[tuple[str, bytes]]:
    """All that it can import from its own folder."""
    try:
        return [(p.name, p.read_bytes()) for p in sorted(script.parent.rglob("*.py"))] if script.is_file() else []
    except OSError:
        return []


def _key(lab: str, script: str, arguments: list[str], library: Path | None) -> str:
    parts = [lab, script, *(Path(a).read_text(encoding="utf-8") if a.startswith("/") else a for a in arguments)]
    parts += [p.read_text(encoding="utf-8") for p in sorted(library.rglob("*.py"))] if library else []
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _solution(lab: str, out: Path) -> subprocess.Popen[bytes]:
    """Being made; wait for it with ``_finished``."""
    return subprocess.Popen(
        [sys.executable, str(LABS / lab / "solution/run.py"), "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
    )


def _finished(running: subprocess.Popen[bytes]) -> None:
    _, err = running.communicate()
    if running.returncode:
        raise RuntimeError(f"a lab's solution/run.py failed: {err.decode()[-500:]}")


@contextmanager
def _temporary() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="checker-selftest-", ignore_cleanup_errors=True) as scratch:
        os.chmod(scratch, 0o711)  # a script of another uid must get through to its own folder
        yield scratch
