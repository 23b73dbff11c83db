"""What tests/checker/conftest.py makes, of lab 01.

And where only the judgement is tested, a cache is played in this very process.
"""

import importlib.util
import sys
from functools import partial
from types import ModuleType

import pytest

from checker.lab01 import cases
from checker.lab01.playing import Step
from tests.checker.submissions import ROOT


@pytest.fixture(scope="session")
def reference(solved):
    return solved("01")


@pytest.fixture(scope="session")
def started(starter):
    """The starter, run as it is."""
    return starter("01", "exercise.py")


@pytest.fixture
def check(checked):
    """check(submission, *options, mended=False) -> (exit code, the report)."""
    return partial(checked, "01", code=["kv_cache.py"])


# ---- in this process -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def driver():
    """exercise.py, as a module."""
    path = ROOT / "checker/lab01/exercise.py"
    before = sys.modules.get("cases")
    sys.modules["cases"] = cases  # as it lies beside exercise.py for a student
    try:
        spec = importlib.util.spec_from_file_location("exercise_of_lab01", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        if before is None:
            del sys.modules["cases"]
        else:
            sys.modules["cases"] = before
    return module


@pytest.fixture(scope="session")
def played(driver):
    """played(source, ask): what each operation gives with the cache in ``source``."""

    def played(source, ask):
        module = ModuleType("kv_cache")
        exec(compile(source, "kv_cache.py", "exec"), vars(module))
        return [Step(a["raised"], a["said"], a["numbers"], a["arrays"]) for a in driver.play(ask.model_dump(), module)]

    return played
