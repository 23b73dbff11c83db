"""One reference submission of a lab a session, made by its own solution; every other submission is a change to it.

Running a student's scripts is what costs time, so the same script with the same arguments runs once a session: what
it wrote is copied where a later check asks for it. `test_whole.py` checks without any of this.
"""

import hashlib
import itertools
import json
import os
import shutil
import subprocess
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest

from checker import cli, replay
from checker.lab02.prompts import hidden_prompts
from checker.report import Report
from tests.checker.submissions import ROOT, run

CORRECTNESS, WORKED = "22-cache-correctness", "22-yesterday-worked"
PROPERTY_TEST, DUMP = f"{CORRECTNESS}/property_test.py", f"{WORKED}/dump.py"
HIDDEN_SEED = 7


@pytest.fixture(autouse=True)
def in_english(monkeypatch):
    """Whatever the locale of whoever runs the tests."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


@pytest.fixture(scope="session")
def solved(tmp_path_factory):
    """solved(lab): what labs/LAB/solution hands in, made once a session. Nobody writes to it."""

    @cache
    def solved(lab):
        folder = tmp_path_factory.mktemp(f"reference{lab}")
        run(f"labs/{lab}/solution/run.py", "--out", folder, folder=ROOT)
        return folder

    return solved


@pytest.fixture(scope="session")
def starter(tmp_path_factory):
    """starter(lab, *scripts): a copy of labs/LAB/starter, in which these were run."""

    def starter(lab, *scripts):
        folder = tmp_path_factory.mktemp(f"starter{lab}")
        for file in (ROOT / "labs" / lab / "starter").glob("*.py"):
            shutil.copy(file, folder)
        for script in scripts:
            run(script, folder=folder)
        return folder

    return starter


@pytest.fixture(scope="session")
def reference(solved):
    """Lab 02's; another lab's tests have their own."""
    return solved("02")


@pytest.fixture
def submission(reference, tmp_path):
    """A copy of the reference, to be changed."""
    return Path(shutil.copytree(reference, tmp_path / "submission"))


@pytest.fixture(scope="session")
def running():
    """running(word): does a process have ``word`` in its command line?"""

    def running(word):
        command = ["ps", "-axww", "-o", "command="]
        return word in subprocess.run(command, capture_output=True, text=True, check=True).stdout

    return running


class Memory:
    """Runs that were made already, and what they wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs, self.numbers = folder, {}, itertools.count()  # two threads ask for runs

    def key(self, copy: Path, script: str, arguments: list[str], library: Path | None = None) -> str:
        """All that a run depends on: the Python files beside the script, the contents of its arguments, and the library
        it imports, if that is another than ours."""
        parts = [script]
        parts += [p.read_text() for p in sorted((copy / script).parent.rglob("*.py"))]
        parts += [Path(a).read_text() if a.startswith("/") else a for a in arguments]
        parts += [p.read_text() for p in sorted(library.rglob("*.py"))] if library else []
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def keep(self, key: str, run: replay.Run) -> None:
        kept = self.folder / str(next(self.numbers))
        shutil.copytree(run.out, kept, symlinks=True)
        self.runs[key] = replace(run, out=kept)


@pytest.fixture(scope="session")
def memory(tmp_path_factory):
    return Memory(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def checked(memory, monkeypatch, capsys):
    """checked(lab, submission, *options, code, mended=False) -> (exit code, the report), with runs remembered.

    mended: the code is newer than the files beside it; otherwise they were written after it, as a run does.
    """
    run_script = replay.run_script

    def remembered(copy, script, out, arguments, home, timeout, *, library=None, **shut_in):
        key = memory.key(copy, script, arguments, library)
        if key in memory.runs:
            run = memory.runs[key]
            shutil.copytree(run.out, out, symlinks=True, dirs_exist_ok=True)
            return replace(run, out=out)
        run = run_script(copy, script, out, arguments, home, timeout, library=library, **shut_in)
        memory.keep(key, run)
        return run

    monkeypatch.setattr(replay, "run_script", remembered)
    monkeypatch.chdir(ROOT)

    def checked(lab, submission, *options, code, mended=False):
        for script in (Path(submission) / name for name in code):
            written = [file.stat().st_mtime_ns for file in script.parent.glob("*.json")]
            if script.is_file() and written:
                when = max(written) + 1 if mended else min(written) - 1
                os.utime(script, ns=(when, when))
        arguments = [f"labs/{lab}", "--submission", str(submission), "--hidden-seed", str(HIDDEN_SEED), *options]
        exit_code = cli.main([*arguments, "--format", "json"])
        out, err = capsys.readouterr()
        assert exit_code in (0, 1, 3, 4), f"exit code {exit_code}: {err}"
        return exit_code, Report.model_validate_json(out)

    return checked


# ---- lab 02 --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def first_runs(memory, reference, tmp_path_factory):
    """The reference was made by running its scripts: that was their first run. Stock ops are not asked for again."""
    out = Path(shutil.copytree(reference / CORRECTNESS, tmp_path_factory.mktemp("first") / "out"))
    answers = json.loads((out / "results.json").read_text())
    del answers["runs"]["stock"]
    (out / "results.json").write_text(json.dumps(answers))
    for script, arguments, wrote in ((PROPERTY_TEST, ["--ops", "fixed"], out), (DUMP, [], reference / WORKED)):
        run = replay.Run(script, arguments, wrote, "finished", 0, 1.0, "")
        memory.keep(memory.key(reference, script, arguments), run)


@pytest.fixture
def check(first_runs, checked):
    """check(submission, *options, mended=False), of lab 02; another lab's tests have their own."""
    return partial(checked, "02", code=[PROPERTY_TEST])


@pytest.fixture(scope="session")
def lab_answers(reference):
    """results.json of the reference, as a document."""
    return json.loads((reference / CORRECTNESS / "results.json").read_text())


@pytest.fixture
def hidden_answers(check, memory, reference, tmp_path):
    """What the reference's script writes for the hidden prompts, as a document."""
    check(reference, "--only", "property")
    prompts = tmp_path / "hidden.json"
    prompts.write_text(json.dumps([ask.to_json() for ask in hidden_prompts(HIDDEN_SEED)]))
    run = memory.runs[memory.key(reference, PROPERTY_TEST, ["--prompts", str(prompts), "--no-extended"])]
    return json.loads((run.out / "results.json").read_text())
