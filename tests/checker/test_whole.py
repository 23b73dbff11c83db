"""The whole check, as a person runs it: the solution passes, the starter fails, and nothing is remembered."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORRECTNESS, WORKED = "22-cache-correctness", "22-yesterday-worked"


def checked(submission):
    command = [sys.executable, "-m", "checker", "labs/02", "--submission", str(submission), "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_the_solution_passes(submission):
    code, report, err = checked(submission)
    assert (code, report["verdict"], report["score"]) == (0, "passed", {"points": 100, "possible": 100}), err
    assert [t["status"] for t in report["tasks"]] == ["passed"] * 7
    assert report["evidence"]["stored_bytes"] == "compared"


def test_the_starter_fails_and_is_accused_of_nothing(tmp_path):
    for folder, script in ((CORRECTNESS, "property_test.py"), (WORKED, "dump.py")):
        (tmp_path / folder).mkdir()
        shutil.copy(ROOT / "labs/02/starter" / script, tmp_path / folder)
        command = [sys.executable, script]
        subprocess.run(command, check=True, cwd=tmp_path / folder, capture_output=True)
    code, report, err = checked(tmp_path)
    assert (code, report["verdict"], report["score"]["points"]) == (1, "not passed", 0), err
    assert all(t["findings"] for t in report["tasks"] if t["status"] == "failed")
