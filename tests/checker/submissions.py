"""What the tests of every lab do to a submission, and what they ask of its report."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FAKE = "0123456789abcdef" * 4  # a sha256 of nothing


def run(*arguments, folder):
    """A script, as its student runs it; no warning is let pass."""
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def edit(path, change):
    """Change a JSON document."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def rewrite(path, old, new, n=1):
    """``n`` places, and no more, read ``old``."""
    text = path.read_text()
    assert text.count(old) == n, f"{text.count(old)} places read {old!r}"
    path.write_text(text.replace(old, new))


def the_task(report, task):
    (result,) = [t for t in report.tasks if t.id == task]
    return result


def findings(report, task):
    return the_task(report, task).findings


def the_finding(report, task, n=1):
    found = findings(report, task)
    assert len(found) == n, found
    return found[0]


def points(report, task):
    return the_task(report, task).points
