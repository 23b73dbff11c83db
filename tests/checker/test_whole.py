"""The whole check, as a person runs it: the solution passes, the starter fails, and nothing is remembered."""

import json
import secrets
import shutil
import signal
import subprocess
import sys
import time
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
    assert [t["status"] for t in report["tasks"]] == ["passed"] * 9
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


def test_an_interrupted_check_leaves_nothing_running(submission, running):
    word = f"endless-{secrets.token_hex(8)}"  # the sandbox lets a script write nowhere, but it has a command line
    endless = (
        f"import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(600)', {word!r}])"
    )
    (submission / CORRECTNESS / "property_test.py").write_text(endless)
    command = [sys.executable, "-m", "checker", "labs/02", "--submission", str(submission), "--only", "property"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as checker:
        while not running(word):
            assert checker.poll() is None, checker.stderr.read()
            time.sleep(0.1)
        checker.send_signal(signal.SIGINT)
        _, err = checker.communicate(timeout=60)
    assert checker.returncode == 130
    assert err.strip() == "checker: interrupted"
    deadline = time.monotonic() + 20
    while running(word):
        assert time.monotonic() < deadline, "the student's script still runs"
        time.sleep(0.1)
