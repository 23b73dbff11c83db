"""python -m benchmarks.batch: a class that does not exist, checked; every verdict is known before.

Makes N submissions to lab 02 (honest, wrong, cheating, broken: benchmarks/classroom.py), checks them in a batch that
is killed three times and started again, then once more without a kill into another folder, and compares: verdicts that
should have been others, submissions that were lost, report files that differ. Then the engines in turn on a part of the
class, whole checks of a few, and what the sandbox adds to the start of a script.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import click
from tqdm import tqdm

from checker import replay
from checker.report import Tier
from checker.sandbox import TIERS, SandboxError, choose

from . import machine
from .classroom import KINDS, Made, make_class
from .race import race
from .schema import Count, Measured, Result, Row, Tally

ROOT = Path(__file__).parents[1]
CHEAP = ["manifest", "slots", "dump"]  # two seconds a submission, nearly all of it the script's import of torch
SEED, HIDDEN_SEED, TIMEOUT = 1, 7, 60  # seconds: an honest script takes four, and a hanging one all of them
LANES = 2


class Run:
    """One batch, as it is typed."""

    def __init__(self, submissions: Path, out: Path, only: list[str], engine: str = "threads") -> None:
        self.out = out
        self.command = [sys.executable, "-m", "checker", "batch", str(submissions), "--report", str(out)]
        self.command += ["--jobs", str(LANES), "--engine", engine, "--hidden-seed", str(HIDDEN_SEED)]
        self.command += ["--timeout", str(TIMEOUT), *(word for task in only for word in ("--only", task))]

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def whole(self) -> float:
        """To its end; the seconds. RuntimeError if it does not end well."""
        started = time.perf_counter()
        process = self.start()
        out, err = process.communicate()
        if process.returncode not in (0, 1):
            raise RuntimeError(f"the batch ended with {process.returncode}: {err[-2000:]}")
        click.echo(f"  {out.splitlines()[0]}")
        return time.perf_counter() - started

    def killed_at(self, rows: int) -> None:
        """Started, and killed as soon as so many are in its file."""
        process = self.start()
        while len(self.finished()) < rows and process.poll() is None:
            time.sleep(0.05)
        process.kill()
        process.communicate()

    def finished(self) -> list[datetime]:
        """When each was finished, in order."""
        try:
            with sqlite3.connect(f"file:{self.out}/batch.sqlite?mode=ro", uri=True) as base:
                rows = base.execute("SELECT finished FROM checked ORDER BY finished").fetchall()
        except sqlite3.OperationalError:  # it is not there yet
            return []
        return [datetime.fromisoformat(row[0]) for row in rows]

    def verdicts(self) -> dict[str, str]:
        reports = [json.loads(path.read_text()) for path in (self.out / "reports").glob("*.json")]
        return {report["submission"]["path"]: report["verdict"] for report in reports}

    def files(self) -> dict[str, bytes]:
        names = [*(self.out / "reports").iterdir(), self.out / "summary.csv"]
        return {path.name: path.read_bytes() for path in names}


def judged(name: str, made: list[Made], run: Run, settings: dict[str, int | str]) -> Count:
    """Every verdict against the one that was known before."""
    verdicts = run.verdicts()
    of = Counter(one.kind.work for one in made)
    not_honest = len(made) - of["honest"]
    wrong = {
        "accepted, though wrong, cheating or broken": (
            sum(verdicts.get(m.name) == "passed" for m in made if m.kind.work != "honest"), not_honest),
        "refused, though honest": (
            sum(verdicts.get(m.name) != "passed" for m in made if m.kind.work == "honest"), of["honest"]),
        "accused, though no cheat": (
            sum(verdicts.get(m.name) == "integrity" for m in made if m.kind.work != "cheating"),
            len(made) - of["cheating"]),
        "another verdict than the one known before": (
            sum(verdicts.get(m.name) not in m.kind.verdicts for m in made), len(made)),
        "lost": (sum(m.name not in verdicts for m in made), len(made)),
    }  # fmt: skip
    for m in made:
        if verdicts.get(m.name) not in m.kind.verdicts:
            click.echo(f"  {m.name}, {m.kind.work} ({m.kind.name}): {verdicts.get(m.name)}, expected {m.kind.verdicts}")
    tallies = {what: Tally(differing=differing, compared=n) for what, (differing, n) in wrong.items() if n}
    return Count(name=name, peer="checker", settings=settings, tallies=tallies)


def cost(run: Run, started: datetime) -> Row:
    """Seconds a submission, over the first quarter, the first half and all of those that were checked."""
    ends = run.finished()
    values = {}
    for name, n in (("a quarter", -(-len(ends) // 4)), ("half", -(-len(ends) // 2)), ("all", len(ends))):
        values[f"{name}: {n}"] = Measured.of([(ends[n - 1] - started).total_seconds() / n])
    return Row(
        name="one submission of a growing class",
        unit="s",
        better="lower",
        settings={"lanes": LANES},
        values=values,
        ratios={},
    )


def overhead(repeats: int) -> Row:
    """Milliseconds for a script that does nothing, in each tier that works here, and as plain Python."""
    values: dict[str, list[float]] = {"python alone": []}
    for tier in TIERS:
        try:
            choose(tier)
            values[tier] = []
        except SandboxError:
            pass
    for i in tqdm(range(repeats + 1), desc="starts", leave=False):
        for name, times in values.items():
            with tempfile.TemporaryDirectory() as scratch:
                copy, out, home = (Path(scratch, part) for part in ("copy", "out", "home"))
                for folder in (copy, out, home):
                    folder.mkdir()
                (copy / "script.py").write_text("")
                started = time.perf_counter()
                if name == "python alone":
                    subprocess.run([sys.executable, "script.py"], cwd=copy, check=True)
                else:
                    sandbox = choose(name)  # type: ignore[arg-type]
                    replay.run_script(copy, "script.py", out, [], home, 60.0, sandbox=sandbox)
                if i:
                    times.append(1e3 * (time.perf_counter() - started))
    ratios = {
        f"{tier} / python alone": Measured.of([a / b for a, b in zip(times, values["python alone"], strict=True)])
        for tier, times in values.items() if tier != "python alone"
    }  # fmt: skip
    return Row(name="start of an empty script", unit="ms", better="lower", settings={},
               values={name: Measured.of(times) for name, times in values.items()}, ratios=ratios)  # fmt: skip


def engines(submissions: Path, scratch: Path, n: int, rounds: int) -> Row:
    """Submissions a second on threads and on dask, in turn, on a part of the class."""

    def checked(engine: str) -> Callable[[], float]:
        def call() -> float:
            with tempfile.TemporaryDirectory(dir=scratch) as out:
                return Run(submissions, Path(out) / "out", CHEAP, engine).whole()

        return call

    peers = {engine: checked(engine) for engine in ("threads", "dask")}
    settings: dict[str, int | str] = {"submissions": n, "lanes": LANES}
    return race("a batch on each engine", peers, rounds, settings, n, "submissions/s", lambda: None)


@click.command(help=__doc__.split("\n")[0])
@click.option("--out", type=click.Path(path_type=Path), help="default: benchmarks/results/batch-<cpu>.json")
@click.option("--n", default=1000, show_default=True, help="How many submissions; few are saved under build/.")
@click.option("--whole", default=2 * len(KINDS), show_default=True, help="How many are checked with all tasks too.")
@click.option("--rounds", default=3, show_default=True, help="Of each engine.")
def main(out: Path | None, n: int, whole: int, rounds: int) -> None:
    begun, load = time.perf_counter(), machine.load()
    rows, counts = [], []
    with tempfile.TemporaryDirectory(prefix="class-") as name:
        scratch = Path(name)
        reference = scratch / "reference"
        solution = [sys.executable, "labs/02/solution/run.py", "--out", str(reference)]
        subprocess.run(solution, cwd=ROOT, check=True, capture_output=True)
        made = make_class(scratch / "class", reference, n, SEED)
        settings: dict[str, int | str] = {"submissions": n, "tasks": ", ".join(CHEAP)}

        click.echo(f"{n} submissions, killed three times")
        killed = Run(scratch / "class", scratch / "killed", CHEAP)
        for at in sorted(random.Random(SEED).sample(range(1, max(4, 3 * n // 4)), 3)):
            killed.killed_at(at)
        killed.whole()
        counts.append(judged("verdicts after three kills", made, killed, settings))

        click.echo(f"{n} submissions, at one go")
        again = Run(scratch / "class", scratch / "again", CHEAP)
        started = datetime.now().astimezone()
        again.whole()
        rows.append(cost(again, started))
        one, other = killed.files(), again.files()
        differing = sorted(name for name in one | other if one.get(name) != other.get(name))
        if differing:
            click.echo(f"  report files that differ in the second run: {', '.join(differing)}")
        tally = {"report files": Tally(differing=len(differing), compared=len(one | other))}
        counts.append(Count(name="the second run", peer="checker", settings=settings, tallies=tally))
        seconds = again.whole()
        rows.append(Row(name="a class that is known already", unit="s", better="lower", settings={"submissions": n},
                        values={"the batch again": Measured.of([seconds])}, ratios={}))  # fmt: skip

        some = min(n, max(len(KINDS), n // 20))
        click.echo(f"{some} submissions on each engine, {rounds} rounds and one to warm up")
        make_class(scratch / "some", reference, some, SEED + 1)
        rows.append(engines(scratch / "some", scratch, some, rounds))

        if whole:
            click.echo(f"{whole} submissions, all tasks")
            made = make_class(scratch / "few", reference, whole, SEED + 2)
            few = Run(scratch / "few", scratch / "whole", [])
            started = datetime.now().astimezone()
            few.whole()
            rows.append(cost(few, started))
            counts.append(judged("verdicts of whole checks", made, few, {"submissions": whole, "tasks": "all"}))
        rows.append(overhead(10 if n < 100 else 50))
    tier: Tier = choose(None).tier
    result = Result(
        name="batch",
        date=date.today(),
        quick=n < 1000,
        seconds=round(time.perf_counter() - begun, 1),
        device=machine.device([1], load),
        versions=machine.versions("torch", "numpy", "pydantic", "joblib", "dask"),
        rows=rows,
        counts=counts,
        notes=[
            f"the sandbox's tier: {tier}; {LANES} submissions at a time",
            f"the class is checked with --only {' --only '.join(CHEAP)}; the whole checks have every task of the lab",
        ],
    )
    folder = Path("build/benchmarks") if n < 1000 else Path(__file__).with_name("results")
    path = out or folder / f"batch-{machine.slug(machine.cpu_model())}.json"
    result.save(path)
    click.echo(f"Saved as {path}, after {result.seconds:.0f} s.")


if __name__ == "__main__":
    main()
