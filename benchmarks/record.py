"""The record of a run on a GPU: made of blocks, saved as it grows, finished only when every block is.

A row is on disk as soon as it is measured, so a run that is stopped keeps what it had; until the last block is done,
and wherever a cell failed or time ran out, its notes say that it is incomplete.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TypeVar

import click
import torch
from rich.console import Console
from tqdm import tqdm

from . import machine
from .gpu import Ceilings, measure_ceilings
from .schema import Count, Result, Row
from .show import show

LIMIT = 280.0  # seconds: no cell starts later than this
PACKAGES = ("torch", "triton", "transformers", "flashinfer-python", "liger-kernel", "numpy")
T = TypeVar("T")


class Record:
    """What a run has found so far. gpu: the device's name; path: where it is saved, again after each addition."""

    def __init__(self, name: str, path: Path, quick: bool, gpu: str) -> None:
        self.name, self.path, self.quick, self.gpu = name, path, quick, gpu
        self.rows: list[Row] = []
        self.counts: list[Count] = []
        self.notes: list[str] = []
        self.missing: list[str] = []  # what was meant to be measured and was not, and why
        self.ceilings: Ceilings
        self._begun, self._load = time.perf_counter(), machine.load()
        self._versions = machine.versions(*PACKAGES)
        if driver := machine.driver():
            self._versions["driver"] = driver

    def add(self, *found: Row | Count | str) -> None:
        """Rows, counts and notes, to be kept."""
        for one in found:
            kind: list = self.rows if isinstance(one, Row) else self.counts if isinstance(one, Count) else self.notes
            kind.append(one)
        self.save()

    def named(self, name: str) -> list[Row]:
        return [row for row in self.rows if row.name == name]

    def track(self, cells: Sequence[T], what: str) -> Iterator[T]:
        """cells in turn, with a progress bar on a terminal, until LIMIT; what is left then is missing."""
        bar = tqdm(cells, desc=what, disable=not sys.stderr.isatty(), leave=False)
        for i, cell in enumerate(bar):
            if time.perf_counter() - self._begun > LIMIT:
                self.missing.append(f"{what}: {len(cells) - i} of {len(cells)}, for the time limit of {LIMIT:.0f} s")
                break
            yield cell

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """A cell that fails is missing, by name, and the next one is tried; unless the device itself has failed."""
        try:
            yield
        except Exception as error:
            first = next(iter(str(error).strip().splitlines()), "")
            self.missing.append(f"{what}: {type(error).__name__}: {first[:300]}")
            click.echo(f"Failed: {self.missing[-1]}", err=True)
            self.save()
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # raises again where nothing more can run

    def result(self, done: bool) -> Result:
        state = "complete" if done and not self.missing else "incomplete" if done else "incomplete: not yet at its end"
        return Result(
            name=self.name,
            date=date.today(),
            quick=self.quick,
            seconds=max(0.1, round(time.perf_counter() - self._begun, 1)),
            device=machine.device([torch.get_num_threads()], self._load, self.gpu),
            versions=self._versions,
            rows=self.rows,
            counts=self.counts,
            notes=[state, *(f"not measured: {what}" for what in self.missing), *self.notes],
        )

    def save(self, done: bool = False) -> Result:
        result = self.result(done)
        result.save(self.path)
        return result


Block = Callable[[Record], None]


def run(record: Record, blocks: dict[str, Block]) -> Result:
    """Every block in turn, each given the record to add to; what a block raises is missing, and the next one runs."""
    for name, block in blocks.items():
        started, rows, counts = time.perf_counter(), len(record.rows), len(record.counts)
        with record.attempt(name):
            block(record)
        seconds = time.perf_counter() - started
        line = f"{name}: {len(record.rows) - rows} rows, {len(record.counts) - counts} counts, {seconds:.0f} s"
        click.echo(line, err=True)
    return record.save(done=True)


def ceilings(record: Record) -> None:
    """The first block of every run: what the device can do at best."""
    record.ceilings, rows = measure_ceilings()
    record.add(*rows)


def command(name: str, about: str, blocks: dict[str, Block]) -> click.Command:
    """The command line of a benchmark. It exits with 2 without a GPU, with 1 where something could not be measured."""

    @click.command(name, help=about.split("\n")[0])
    @click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where the JSON goes.")
    @click.option(
        "--quick", is_flag=True, help="Few cells, to see that it runs; saved under build/, not as the record."
    )
    @click.option(
        "--only", multiple=True, type=click.Choice(list(blocks)), help="This block (again for more); under build/ too."
    )
    def main(out: Path | None, quick: bool, only: Iterable[str]) -> None:
        if not torch.cuda.is_available():
            click.echo(f"benchmarks.{name} times a CUDA GPU, and PyTorch finds none here.", err=True)
            sys.exit(2)
        chosen = {block: blocks[block] for block in blocks if not only or block in only}
        gpu = torch.cuda.get_device_name()
        folder = Path("build/benchmarks") if quick or only else Path(__file__).with_name("results")
        record = Record(name, out or folder / f"{name}-{machine.slug(gpu)}.json", quick, gpu)
        if only:
            record.notes.append(f"only these blocks: {', '.join(chosen)}")
        torch.manual_seed(0)
        result = run(record, {"ceilings": ceilings, **chosen})
        width = None if sys.stdout.isatty() else 180
        show(result, Console(highlight=False, markup=False, emoji=False, width=width))
        click.echo(f"Saved as {record.path}, after {result.seconds:.0f} s.")
        sys.exit(1 if record.missing else 0)

    return main
