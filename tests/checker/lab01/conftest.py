"""One reference submission a session, made by the lab's own solution; every other submission is a change to it.

The same cache with the same arguments runs once a session: what it gave is copied where a later check asks for it. And
where only the judgement is tested, a cache is played in this very process.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from checker import cli, replay
from checker.lab01 import cases
from checker.lab01.playing import Step
from checker.report import Report

ROOT = Path(__file__).parents[3]
HIDDEN_SEED = 7


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """What labs/01/solution hands in. Nobody writes to it."""
    folder = tmp_path_factory.mktemp("reference01")
    command = [sys.executable, "labs/01/solution/run.py", "--out", str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return folder


@pytest.fixture(scope="session")
def started(tmp_path_factory):
    """The starter, run as it is."""
    folder = tmp_path_factory.mktemp("starter01")
    for file in (ROOT / "labs/01/starter").glob("*.py"):
        shutil.copy(file, folder)
    subprocess.run([sys.executable, "exercise.py"], check=True, capture_output=True, cwd=folder)
    return folder


@pytest.fixture
def submission(reference, tmp_path):
    """A copy of the reference, to be changed."""
    return Path(shutil.copytree(reference, tmp_path / "submission"))


@pytest.fixture(scope="session")
def memory(tmp_path_factory):
    """What a run depends on -> the run."""
    return tmp_path_factory.mktemp("runs01"), {}


@pytest.fixture
def check(memory, monkeypatch, capsys):
    """check(submission, *options, mended=False) -> (exit code, the report), with runs remembered.

    mended: the cache is newer than the files beside it; otherwise these were written later, as a run does.
    """
    folder, runs = memory
    run_script = replay.run_script

    def remembered(copy, script, out, arguments, home, timeout, **shut_in):
        parts = [script, *(p.read_text() for p in sorted(copy.rglob("*.py")))]
        parts += [Path(a).read_text() if a.startswith("/") else a for a in arguments]
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        if key not in runs:
            run = run_script(copy, script, out, arguments, home, timeout, **shut_in)
            runs[key] = replace(run, out=Path(shutil.copytree(run.out, folder / key)))
        else:
            shutil.copytree(runs[key].out, out, dirs_exist_ok=True)
        return replace(runs[key], out=out)

    monkeypatch.setattr(replay, "run_script", remembered)
    monkeypatch.chdir(ROOT)

    def check(submission, *options, mended=False):
        cache = Path(submission) / "kv_cache.py"
        written = [p.stat().st_mtime_ns for p in Path(submission).glob("*.json")]
        if written and cache.exists():
            when = max(written) + 1 if mended else min(written) - 1
            os.utime(cache, ns=(when, when))
        arguments = ["labs/01", "--submission", str(submission), "--hidden-seed", str(HIDDEN_SEED), *options]
        code = cli.main([*arguments, "--format", "json"])
        out, err = capsys.readouterr()
        assert code in (0, 1, 3, 4), f"exit code {code}: {err}"
        return code, Report.model_validate_json(out)

    return check


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
