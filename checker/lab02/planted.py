"""The runs of property_test.py on planted caches: each imports a copy of courselib with one bug, or none, in it."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from functools import partial
from pathlib import Path

from checker.lab02.prompts import hidden_prompts
from checker.lab02.zoo import POISON, SOUND, Planted, plant
from checker.lab02.zoo.sample import ASKED, sample
from checker.language import ngettext
from checker.replay import Run
from checker.runs import Runs


class PlantedRuns:
    """Made when they are first asked for. ``asks`` are three of the hidden prompts."""

    def __init__(self, runs: Runs, hidden_seed: int, script: str) -> None:
        self._runs, self._script = runs, script
        self._scratch = tempfile.TemporaryDirectory(prefix="checker-", ignore_cleanup_errors=True)
        self.started = False
        self.asks = tuple(hidden_prompts(hidden_seed)[i] for i in ASKED)
        self.sound, self.poison = (Planted.drawn(mutant, str(hidden_seed)) for mutant in (SOUND, POISON))
        self.sample = sample(hidden_seed)
        self._all = (self.poison, self.sound, *self.sample)

    def start(self, timeout: float) -> None:
        if self.started:
            return
        self.started = True
        os.chmod(self._scratch.name, 0o755)  # the scripts may run as another user, who must be able to read here
        for planted in self._all:
            library = plant(planted, Path(self._scratch.name, secrets.token_hex(8)))  # its name tells nothing
            self._runs.start(_name(planted), self._script, partial(self._arguments, planted), timeout, library=library)

    def run(self, planted: Planted) -> Run:
        """Waits for it."""
        return self._runs.finished(_name(planted))

    def troubled(self) -> list[Run]:
        """Those that did not end well: what they printed is worth a look."""
        return [run for run in map(self.run, self._all) if run.exit_code != 0] if self.started else []

    def seconds(self) -> float:
        """Of all runs together."""
        return sum(self.run(planted).seconds for planted in self._all)

    def in_words(self) -> list[str]:
        """For the report: what was run."""
        if not self.started:
            return []
        n = len(self.sample)
        return [
            ngettext(
                "your property_test.py was run here on {n} planted cache, a sound one and a probe",
                "your property_test.py was run here on {n} planted caches, a sound one and a probe",
                n,
            ).format(n=n)
        ]

    def close(self) -> None:
        self._scratch.cleanup()

    def _arguments(self, planted: Planted, copy: Path, home: Path) -> list[str]:
        prompts = home / "prompts.json"
        prompts.write_text(json.dumps([ask.to_json() for ask in self.asks]))
        arguments = ["--prompts", str(prompts), "--ops", "fixed"]
        return arguments if planted.mutant.seen != "alone" else [*arguments, "--no-extended"]


def _name(planted: Planted) -> str:
    return f"planted {planted.mutant.id}"
