"""What tests/checker/conftest.py makes, of lab 03."""

import json
from functools import partial

import pytest

from tests.checker.submissions import run


@pytest.fixture(scope="session")
def reference(solved):
    return solved("03")


@pytest.fixture(scope="session")
def started(starter, reference):
    """The starter, run as it is; only the clock's part is the reference's, since it takes a while."""
    folder = starter("03")
    for name in ("results.json", "manifest.json"):
        document = json.loads((reference / name).read_text())
        document["summary" if name == "results.json" else "results_summary"]["values_equal"] = 0
        for entry in [e for some in document.get("costs", {}).values() for e in some]:
            entry["formula"] = dict.fromkeys(entry["formula"], 0)
        (folder / name).write_text(json.dumps(document))
    run("analyse.py", folder=folder)
    return folder


@pytest.fixture
def analysed():
    """analysed(folder): what a student does after a change to anything but costs.py."""
    return lambda folder: run("analyse.py", folder=folder)


@pytest.fixture
def check(checked):
    """check(submission, *options, mended=False) -> (exit code, the report)."""
    return partial(checked, "03", code=["costs.py", "fit.py", "plot.py", "predict.py"])
