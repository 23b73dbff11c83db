"""--watch: what counts as the student's, and that each save is checked, with a running check stopped first."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from checker import cli
from checker.watch import is_work

ROOT = Path(__file__).parents[2]
HERE = Path("/course/labs/02/experiments")


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("results.json", True),
        ("22-cache-correctness/property_test.py", True),
        (".checker/report.json", False),
        (".checker", False),
        ("__pycache__/x.pyc", False),
        ("22-cache-correctness/.property_test.py.swp", False),
        ("22-cache-correctness/property_test.py~", False),
        (".ipynb_checkpoints/a.ipynb", False),
        ("", False),
        ("../solution/run.py", False),
    ],
)
def test_only_the_student_s_files_count(path, counts):
    assert is_work(HERE, Path(os.path.normpath(HERE / path))) == counts


def test_nothing_to_watch_is_one_line(monkeypatch, capsys, tmp_path):
    (tmp_path / "lab.toml").write_bytes((ROOT / "labs/02/lab.toml").read_bytes())
    assert cli.main([str(tmp_path), "--watch"]) == 2
    assert "copy the lab's starter there first" in capsys.readouterr().err


class Watching:
    """python -m checker labs/02 --watch, with what it prints in a file."""

    def __init__(self, submission, log, *options):
        self.log = log
        command = [sys.executable, "-m", "checker", "labs/02", "--submission", str(submission), "--watch", *options]
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)

    def sees(self, words, times=1):
        """Wait until it has said so; generous, since another machine may be slow."""
        for _ in range(1200):
            if self.log.read_text().count(words) >= times:
                return
            time.sleep(0.05)
        pytest.fail(f"never said {words!r} {times} times:\n{self.log.read_text()}")

    def end(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@pytest.fixture
def watching(tmp_path):
    started = []

    def start(submission, *options):
        started.append(Watching(submission, tmp_path / "log", *options))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def test_each_save_is_checked_and_ctrl_c_ends(watching, tmp_path):
    work = tmp_path / "work"
    (work / "22-yesterday-worked").mkdir(parents=True)
    report = work / "22-yesterday-worked" / "report.md"
    report.write_text("short")
    watch = watching(work)
    watch.sees("save a file to check it again")
    assert (work / ".checker" / "report.json").exists(), "and that it was written has started nothing"
    report.write_text("short still")
    watch.sees("Changed: 22-yesterday-worked/report.md")
    watch.sees("save a file to check it again", 2)
    assert watch.log.read_text().count("Verdict: not passed") == 2
    assert watch.end() == 130


def test_a_check_that_is_out_of_date_is_not_waited_for(watching, tmp_path):
    script = tmp_path / "work" / "22-yesterday-worked" / "dump.py"
    script.parent.mkdir(parents=True)
    script.write_text("import time\ntime.sleep(600)\n")
    watch = watching(tmp_path / "work", "--only", "dump")
    time.sleep(1)  # into the check; wherever it is by now, it has nine minutes to go
    script.write_text("raise SystemExit('mended')\n")
    watch.sees("Changed: 22-yesterday-worked/dump.py")
    watch.sees("Verdict: not passed")
    assert watch.end() == 130


def test_a_folder_that_goes_ends_the_watch(watching, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "notes.txt").write_text("mine")
    watch = watching(tmp_path / "work")
    watch.sees("save a file to check it again")
    (tmp_path / "work").rename(tmp_path / "gone")
    assert watch.process.wait(30) == 1
    watch.sees("is gone: there is nothing left to watch")
