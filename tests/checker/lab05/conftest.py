"""One reference submission a session, made by the lab's own solution; every other submission is a change to it.

The same script with the same arguments runs once a session: what it wrote is copied where a later check asks for it.
"""

import hashlib
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
SCRIPTS = ("kernels.py", "invariance_test.py")


def made(folder, files):
    """The files in ``folder``, and what its scripts write there."""
    for file in files:
        shutil.copy(file, folder)
    for script in ("measure.py", "invariance_test.py"):
        subprocess.run([sys.executable, script], check=True, capture_output=True, cwd=folder)
    return folder


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """What labs/05/solution hands in. Nobody writes to it."""
    folder = tmp_path_factory.mktemp("reference05")
    command = [sys.executable, "labs/05/solution/run.py", "--out", str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return folder


@pytest.fixture(scope="session")
def started(tmp_path_factory):
    """The starter, run as it is."""
    return made(tmp_path_factory.mktemp("starter05"), (ROOT / "labs/05/starter").glob("*.py"))


@pytest.fixture
def submission(reference, tmp_path):
    """A copy of the reference, to be changed."""
    return Path(shutil.copytree(reference, tmp_path / "submission"))


@pytest.fixture(scope="session")
def memory(tmp_path_factory):
    """What a run depends on -> the run."""
    return tmp_path_factory.mktemp("runs05"), {}


@pytest.fixture
def check(memory, monkeypatch, capsys):
    """check(submission, *options, mended=False) -> (exit code, the report), with runs remembered.

    mended: the scripts are newer than the files beside them; otherwise these were written later, as a run does.
    """
    folder, runs = memory
    run_script = replay.run_script

    def remembered(copy, script, out, arguments, home, timeout, **shut_in):
        parts = [script, *(p.read_text() for p in sorted(copy.rglob("*.py")))]
        parts += [Path(a).read_text() if a.startswith("/") else a for a in arguments]
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        if key not in runs:
            run = run_script(copy, script, out, arguments, home, timeout, **shut_in)
            kept = Path(shutil.copytree(run.out, folder / key))
            runs[key] = replace(run, out=kept)
        else:
            shutil.copytree(runs[key].out, out, dirs_exist_ok=True)
        return replace(runs[key], out=out)

    monkeypatch.setattr(replay, "run_script", remembered)
    monkeypatch.chdir(ROOT)

    def check(submission, *options, mended=False):
        written = [p.stat().st_mtime_ns for p in Path(submission).glob("*.json")]
        for script in SCRIPTS:
            if written and (submission / script).exists():
                when = max(written) + 1 if mended else min(written) - 1
                os.utime(submission / script, ns=(when, when))
        arguments = ["labs/05", "--submission", str(submission), "--hidden-seed", str(HIDDEN_SEED), *options]
        code = cli.main([*arguments, "--format", "json"])
        out, err = capsys.readouterr()
        assert code in (0, 1, 3, 4), f"exit code {code}: {err}"
        return code, Report.model_validate_json(out)

    return check
