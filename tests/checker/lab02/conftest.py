"""The reference property_test.py, played in this process on planted caches: one import of torch for all of them."""

import contextlib
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from checker.check import Options
from checker.gate import Refusal
from checker.lab02 import recompute
from checker.lab02.prompts import hidden_prompts
from checker.lab02.schemas import Results
from checker.lab02.zoo import POISON, SOUND, Planted, oracle
from checker.lab02.zoo.sample import ASKED
from checker.replay import Run

ROOT = Path(__file__).parents[3]
SEED = "7"


@contextlib.contextmanager
def loaded(planted):
    """The names of labs/02/solution/property_test.py, which imports the planted copy of courselib."""
    source = (ROOT / "labs/02/solution/property_test.py").read_text()
    with oracle.imported(planted) as copy, contextlib.redirect_stderr(io.StringIO()):
        names = {"__name__": "property_test", "__file__": "property_test.py"}
        exec(compile(source.replace("from courselib", f"from {copy.name}"), "property_test.py", "exec"), names)
        yield names


@pytest.fixture(scope="session")
def script():
    return loaded


class Played:
    """Stands for checker.lab02.work.Work: each run of the script happens here, when its results are asked for."""

    def __init__(self, sample, change):
        drawn = [Planted.drawn(mutant, SEED) for mutant in (SOUND, POISON, *sample)]
        self.options, self.timeout, self.change = Options(), 60, change
        self.planted = SimpleNamespace(
            sound=drawn[0],
            poison=drawn[1],
            sample=drawn[2:],
            asks=tuple(hidden_prompts(int(SEED))[i] for i in ASKED[:2]),
            start=lambda timeout: None,
            run=lambda planted: Run("property_test.py", [], Path(), "finished", 0, 1.0, ""),
        )

    recompute = recompute

    @property
    def extended_truths(self):
        return recompute.extended_truths(lambda n: None)

    def planted_results(self, planted):
        with loaded(planted) as names:
            self.change(names)
            document = {"schema": "lab02.results/1", "prompt_seed": None, "max_new_tokens": 64, "extended": None}
            try:
                document["runs"] = {"fixed": names["run"]("fixed", [ask.to_json() for ask in self.planted.asks])}
                if planted.mutant.seen != "alone":
                    document["extended"] = names["run_extended"](names["lab_prompts"]())
            except AssertionError:
                raise Refusal("missing", "results.json", "The file is not there.") from None
        return Results.model_validate_json(json.dumps(document))


@pytest.fixture(scope="session")
def played():
    """played(sample, change): a Work on which the script, with its names changed, meets the mutants of ``sample``."""
    return lambda sample, change=lambda names: None: Played(sample, change)
