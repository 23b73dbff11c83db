"""A student's script, run again: in its own folder, with little, and never longer than its time."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from checker import cli, replay
from checker.gate import Folder
from checker.replay import run_script
from checker.runs import Runs
from checker.sandbox.running import TAIL
from checker.spec import load_lab

SCRIPT = "folder/script.py"


@pytest.fixture
def run(tmp_path):
    def run(text, *arguments, timeout=20.0):
        path = tmp_path / "copy" / SCRIPT
        path.parent.mkdir(parents=True)
        path.write_text(text)
        (tmp_path / "home").mkdir()
        (tmp_path / "out").mkdir()
        return run_script(tmp_path / "copy", SCRIPT, tmp_path / "out", list(arguments), tmp_path / "home", timeout)

    return run


@pytest.fixture
def gone(running):
    """gone(word): within ten seconds no process is left that has ``word`` in its command line."""

    def gone(word):
        for _ in range(100):
            if not running(word):
                return True
            time.sleep(0.1)
        return False

    return gone


LOOK = """
import json, os, sys
out = sys.argv[sys.argv.index("--out") + 1]
json.dump({"argv": sys.argv, "cwd": os.getcwd(), "env": dict(os.environ), "stdin": sys.stdin.read()},
          open(out + "/seen.json", "w"))
"""


def test_it_runs_in_its_own_folder_with_little(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    result = run(LOOK, "--no-extended")
    seen = json.loads((result.out / "seen.json").read_text())
    assert seen["argv"] == ["script.py", "--out", str(tmp_path / "out"), "--no-extended"]
    assert Path(seen["cwd"]).resolve() == (tmp_path / "copy" / "folder").resolve()
    assert seen["stdin"] == ""
    assert seen["env"]["OMP_NUM_THREADS"] == "1"
    assert seen["env"]["HOME"] == str(tmp_path / "home")
    assert "SECRET_TOKEN" not in seen["env"]


def test_exit_code_and_output_are_noted(run):
    result = run("import sys; print('all passed'); sys.exit(3)")
    assert (result.outcome, result.exit_code, result.output_tail) == ("finished", 3, "all passed\n")


def test_output_is_kept_to_its_tail(run):
    result = run("print('x' * 5_000_000 + 'end')")
    assert len(result.output_tail) == TAIL
    assert result.output_tail.endswith("end\n")


def test_a_script_that_does_not_end_is_stopped_with_what_it_started(run, gone):
    text = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *sys.argv])
print("started", flush=True)
time.sleep(600)
"""
    result = run(text, timeout=2.0)
    assert (result.outcome, result.exit_code) == ("timed out", None)
    assert result.output_tail == "started\n"
    assert gone(str(result.out))


def test_what_it_leaves_running_is_stopped_too(run, gone):
    text = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *sys.argv])
"""
    result = run(text)
    assert result.outcome == "finished"
    assert result.seconds < 20
    assert gone(str(result.out))


def test_a_missing_script_is_said_to_be(tmp_path):
    result = run_script(tmp_path, SCRIPT, tmp_path / "out", [], tmp_path, 1.0)
    assert (result.outcome, result.exit_code) == ("missing", None)


@pytest.mark.parametrize("outcome", ["timed out", "out of memory", "too many processes", "no data"])
def test_whatever_cut_a_run_short_is_told(tmp_path, outcome):
    cut_short = replay.Run(SCRIPT, [], tmp_path, outcome, None, 1.0, "")
    assert replay.no_end(cut_short, 1.0).startswith("It ")
    assert replay.no_end(replace(cut_short, outcome="finished"), 1.0) is None


def test_what_was_not_taken_along_is_told(run):
    result = run("import os, sys; os.makedirs(sys.argv[2] + '/a' * 12)")
    assert replay.not_taken_along(result).endswith(f"not taken along: {'a/' * 8}a: too deep.")


def test_after_an_interrupt_no_script_starts(run, tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "_interrupted", threading.Event())
    replay.interrupt()
    done = run(f"open({str(tmp_path / 'started')!r}, 'w')")
    assert done.outcome == "timed out"
    assert not (tmp_path / "started").exists()


def test_an_interrupt_that_a_library_swallows_still_ends_the_check(monkeypatch, capsys):
    def importing(*arguments, **options):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except BaseException:
            return 0

    monkeypatch.setattr(replay, "_interrupted", threading.Event())
    monkeypatch.setattr(cli.command, "main", importing)
    before = signal.getsignal(signal.SIGINT)
    assert cli.main(["labs/02"]) == 130
    assert capsys.readouterr().err == "checker: interrupted\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_the_kernels_that_were_built_here_are_given_along(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSELIB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "courselib").mkdir(parents=True)
    (tmp_path / "cache" / "courselib" / "built.so").write_bytes(b"machine code")
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / "script.py").write_text(
        "import pathlib, sys\n"
        "[kept] = (pathlib.Path.home() / '.cache' / 'courselib').iterdir()\n"
        "kept.write_bytes(kept.read_bytes() + b' of its own')\n"
        "pathlib.Path(sys.argv[2], 'seen').write_bytes(kept.read_bytes())\n"
    )
    runs = Runs(Folder(tmp_path / "submission"), load_lab(Path("labs/02")))
    try:
        runs.start("one", "script.py", lambda copy, home: [], 20.0)
        assert (runs.finished("one").out / "seen").read_bytes() == b"machine code of its own"
    finally:
        runs.close()
    assert (tmp_path / "cache" / "courselib" / "built.so").read_bytes() == b"machine code"
