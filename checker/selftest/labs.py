"""The labs themselves: no hint is empty, a starter earns nothing and is accused of nothing, a solution passes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from checker.check import Options, check
from checker.report import Report, Tier
from checker.selftest.bench import HIDDEN_SEED, LABS, Bench
from checker.selftest.honest import starter
from checker.selftest.trial import Fact
from checker.spec import load_lab

Make = Callable[[Path, Bench], None]


def hints(lab_id: str, bench: Bench, tier: Tier) -> tuple[str, bool]:
    """Each says something, and something else than the one before."""
    lab = load_lab(LABS / lab_id)
    bare = [task.id for task in lab.tasks if not task.hints or not all(hint.strip() for hint in task.hints)]
    again = [task.id for task in lab.tasks if len(set(task.hints)) < len(task.hints)]
    n = sum(len(task.hints) for task in lab.tasks)
    found = f"{n} hints for {len(lab.tasks)} tasks" + "".join(f"; empty in {t}" for t in bare)
    return found + "".join(f"; twice in {t}" for t in again), not bare and not again


def earns_nothing(lab_id: str, make: Make, bench: Bench, tier: Tier) -> tuple[str, bool]:
    report = _checked(lab_id, make, bench, tier)
    passed = [task.id for task in report.tasks if task.points]
    found = f"{report.verdict}, {report.score.points} points" + "".join(f", some for {t}" for t in passed)
    return found, report.verdict == "not passed" and not passed


def passes(lab_id: str, make: Make, bench: Bench, tier: Tier) -> tuple[str, bool]:
    report = _checked(lab_id, make, bench, tier)
    open_ = [task.id for task in report.tasks if task.status != "passed"]
    return f"{report.verdict}, {report.score.points} points" + "".join(f", not {t}" for t in open_), not open_


def _checked(lab_id: str, make: Make, bench: Bench, tier: Tier) -> Report:
    with tempfile.TemporaryDirectory(dir=bench.scratch) as scratch:
        place = Path(scratch, "submission")
        place.mkdir()
        make(place, bench)
        return check(load_lab(LABS / lab_id), place, [], Options(hidden_seed=HIDDEN_SEED, tier=tier))


def _starter_01(place: Path, bench: Bench) -> None:
    for file in (LABS / "01/starter").glob("*.py"):
        shutil.copy(file, place)
    _python(["exercise.py"], place)


def _starter_03(place: Path, bench: Bench) -> None:
    for file in (LABS / "03/starter").glob("*.py"):
        shutil.copy(file, place)
    for script in ("measure.py", "analyse.py"):
        _python([script], place)


def _starter_05(place: Path, bench: Bench) -> None:
    for file in (LABS / "05/starter").glob("*.py"):
        shutil.copy(file, place)
    for script in ("measure.py", "invariance_test.py"):
        _python([script], place)


def _solution(lab_id: str, place: Path, bench: Bench) -> None:
    _python([str(LABS / lab_id / "solution/run.py"), "--out", str(place)], LABS.parent)


def _python(command: list[str], folder: Path) -> None:
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *command], cwd=folder, check=True, capture_output=True, env=one_thread)


NOTHING, ALL = "not passed, 0 points, nobody accused", "passed, 100 points"

FACTS = (
    Fact("hints-01", "the hints of lab 01", "none is empty, none is there twice", partial(hints, "01")),
    Fact("hints-02", "the hints of lab 02", "none is empty, none is there twice", partial(hints, "02")),
    Fact("hints-03", "the hints of lab 03", "none is empty, none is there twice", partial(hints, "03")),
    Fact("hints-05", "the hints of lab 05", "none is empty, none is there twice", partial(hints, "05")),
    Fact("starter-01", "the starter of lab 01, run as it is", NOTHING, partial(earns_nothing, "01", _starter_01)),
    Fact("starter-02", "the starter of lab 02, run as it is", NOTHING, partial(earns_nothing, "02", starter)),
    Fact("starter-03", "the starter of lab 03, run as it is", NOTHING, partial(earns_nothing, "03", _starter_03)),
    Fact("starter-05", "the starter of lab 05, run as it is", NOTHING, partial(earns_nothing, "05", _starter_05)),
    Fact(
        "solution-01",
        "the solution of lab 01",
        ALL,
        partial(passes, "01", partial(_solution, "01")),
        slow=True,
    ),
    Fact(
        "solution-03",
        "the solution of lab 03",
        ALL,
        partial(passes, "03", partial(_solution, "03")),
        slow=True,
    ),
    Fact(
        "solution-05",
        "the solution of lab 05; that of lab 02 is the control `reference`",
        ALL,
        partial(passes, "05", partial(_solution, "05")),
        slow=True,
    ),
)
