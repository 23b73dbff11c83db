"""python -m benchmarks.check: how long a student waits for `python -m checker labs/02`.

Times the whole command, as typed: on the reference submission (made first, by labs/02/solution/run.py), and on a folder
in which nothing is started yet. Saves the same JSON as every benchmark. The aims: 30 s on two cores, and 2 s.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import click
from tqdm import tqdm

from . import machine
from .schema import Measured, Result, Row

ROOT = Path(__file__).parents[1]


def seconds(submission: Path, expected_exit: int) -> float:
    """One run of the checker. Raises RuntimeError when it does not end as it must: then its time means nothing."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "checker", "labs/02", "--submission", str(submission)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if run.returncode != expected_exit:
        raise RuntimeError(f"the checker ended with {run.returncode}, expected {expected_exit}:\n{run.stdout[-2000:]}")
    return time.perf_counter() - started


@click.command(help=__doc__.split("\n")[0])
@click.option("--out", type=click.Path(path_type=Path), help="default: benchmarks/results/check-<cpu>.json")
@click.option("--repeats", default=5, show_default=True)
def main(out: Path | None, repeats: int) -> None:
    begun, load = time.perf_counter(), machine.load()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        reference = Path(scratch) / "reference"
        empty = Path(scratch) / "empty"
        empty.mkdir()
        solution = [sys.executable, "labs/02/solution/run.py", "--out", str(reference)]
        subprocess.run(solution, cwd=ROOT, check=True, capture_output=True)
        for name, folder, code in (
            ("reference submission", reference, 0),
            ("nothing started", empty, 1),
        ):
            times = [seconds(folder, code) for _ in tqdm(range(repeats), desc=name)]
            value = {"python -m checker labs/02": Measured.of(times)}
            rows.append(Row(name=name, unit="s", better="lower", settings={}, values=value, ratios={}))
            click.echo(f"{name}: median {value['python -m checker labs/02'].median} s of {repeats}")
    result = Result(
        name="check",
        date=date.today(),
        quick=False,
        seconds=round(time.perf_counter() - begun, 1),
        device=machine.device([1], load),
        versions=machine.versions("torch", "numpy", "pydantic"),
        rows=rows,
        counts=[],
        notes=["the checker and the script it replays run side by side, one thread each"],
    )
    path = out or Path(__file__).parent / "results" / f"check-{machine.slug(machine.cpu_model())}.json"
    result.save(path)
    click.echo(f"Saved as {path}.")


if __name__ == "__main__":
    main()
