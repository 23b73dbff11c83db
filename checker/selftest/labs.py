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


def _starter(lab_id: str, scripts: tuple[str, ...], place: Path, bench: Bench) -> None:
    for file in (LABS / lab_id / "starter").glob("*.py"):
        shutil.copy(file, place)
    for script in scripts:
        _python([script], place)


def _solution(lab_id: str, place: Path, bench: Bench) -> None:
    _python([str(LABS / lab_id / "solution/run.py"), "--out", str(place)], LABS.parent)


def _python(command: list[str], folder: Path) -> None:
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *command], cwd=folder, check=True, capture_output=True, env=one_thread)


NONE_EMPTY = "none is empty, none is there twice"
NOTHING, ALL = "not passed, 0 points, nobody accused", "passed, 100 points"
STARTERS: dict[str, Make] = {
    "01": partial(_starter, "01", ("exercise.py",)),
    "02": starter,
    "03": partial(_starter, "03", ("measure.py", "analyse.py")),
    "05": partial(_starter, "05", ("measure.py", "invariance_test.py")),
}
SOLUTIONS = {
    "01": "the solution of lab 01",
    "03": "the solution of lab 03",
    "05": "the solution of lab 05; that of lab 02 is the control `reference`",
}

FACTS = (
    *(Fact(f"hints-{id_}", f"the hints of lab {id_}", NONE_EMPTY, partial(hints, id_)) for id_ in STARTERS),
    *(
        Fact(f"starter-{id_}", f"the starter of lab {id_}, run as it is", NOTHING, partial(earns_nothing, id_, make))
        for id_, make in STARTERS.items()
    ),
    *(
        Fact(f"solution-{id_}", says, ALL, partial(passes, id_, partial(_solution, id_)), slow=True)
        for id_, says in SOLUTIONS.items()
    ),
)
