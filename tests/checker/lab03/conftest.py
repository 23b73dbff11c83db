"""One reference submission a session, made by the lab's own solution; every other submission is a change to it.

The same code with the same arguments runs once a session: what it wrote is copied where a later check asks for it.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from checker import cli, replay
from checker.report import Report

ROOT = Path(__file__).parents[3]
HIDDEN_SEED = 7
YOURS = ("costs.py", "fit.py", "plot.py", "predict.py")
PYTHON = [sys.executable, "-W", "error"]


def run(*arguments, folder):
    done = subprocess.run([*PYTHON, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """What labs/03/solution hands in. Nobody writes to it."""
    folder = tmp_path_factory.mktemp("reference03")
    run("labs/03/solution/run.py", "--out", folder, folder=ROOT)
    return folder


@pytest.fixture(scope="session")
def started(tmp_path_factory, reference):
    """The starter, run as it is; only the clock's part is the reference's, since it takes a while."""
    folder = tmp_path_factory.mktemp("starter03")
    for file in (ROOT / "labs/03/starter").glob("*.py"):
        shutil.copy(file, folder)
    for name in ("results.json", "manifest.json"):
        document = json.loads((reference / name).read_text())
        document["summary" if name == "results.json" else "results_summary"]["values_equal"] = 0
        for entry in [e for some in document.get("costs", {}).values() for e in some]:
            entry["formula"] = dict.fromkeys(entry["formula"], 0)
        (folder / name).write_text(json.dumps(document))
    run("analyse.py", folder=folder)
    return folder


@pytest.fixture
def submission(reference, tmp_path):
    """A copy of the reference, to be changed."""
    return Path(shutil.copytree(reference, tmp_path / "submission"))


@pytest.fixture
def analysed():
    """analysed(folder): what a student does after a change to anything but costs.py."""
    return lambda folder: run("analyse.py", folder=folder)


@pytest.fixture(scope="session")
def memory(tmp_path_factory):
    """What a run depends on -> the run."""
    return tmp_path_factory.mktemp("runs03"), {}


@pytest.fixture
def check(memory, monkeypatch, capsys):
    """check(submission, *options, mended=False) -> (exit code, the report), with runs remembered.

    mended: the code is newer than the files beside it; otherwise these were written later, as a run does.
    """
    folder, runs = memory
    run_script = replay.run_script

    def remembered(copy, script, out, arguments, home, timeout, **shut_in):
        parts = [script, *(p.read_text() for p in sorted(copy.rglob("*.py")))]
        parts += [Path(a).read_text() if a.startswith("/") else a for a in arguments]
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        if key not in runs:
            made = run_script(copy, script, out, arguments, home, timeout, **shut_in)
            runs[key] = replace(made, out=Path(shutil.copytree(made.out, folder / key)))
        else:
            shutil.copytree(runs[key].out, out, dirs_exist_ok=True)
        return replace(runs[key], out=out)

    monkeypatch.setattr(replay, "run_script", remembered)
    monkeypatch.chdir(ROOT)

    def check(submission, *options, mended=False):
        written = [p.stat().st_mtime_ns for p in Path(submission).glob("*.json")]
        for script in YOURS:
            if written and (submission / script).exists():
                when = max(written) + 1 if mended else min(written) - 1
                os.utime(submission / script, ns=(when, when))
        arguments = ["labs/03", "--submission", str(submission), "--hidden-seed", str(HIDDEN_SEED), *options]
        code = cli.main([*arguments, "--format", "json"])
        out, err = capsys.readouterr()
        assert code in (0, 1, 3, 4), f"exit code {code}: {err}"
        return code, Report.model_validate_json(out)

    return check
