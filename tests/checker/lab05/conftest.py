"""What tests/checker/conftest.py makes, of lab 05."""

from functools import partial

import pytest


@pytest.fixture(scope="session")
def reference(solved):
    return solved("05")


@pytest.fixture(scope="session")
def started(starter):
    """The starter, run as it is."""
    return starter("05", "measure.py", "invariance_test.py")


@pytest.fixture
def check(checked):
    """check(submission, *options, mended=False) -> (exit code, the report)."""
    return partial(checked, "05", code=["kernels.py", "invariance_test.py"])
