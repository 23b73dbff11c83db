"""Cached generation: how fast it is, how far from the machine's limits, and how many rows of it differ.

    python -m benchmarks.generate            # under four minutes
    python -m benchmarks.generate --quick    # under 40 seconds: fewer repeats, less proof

Prints tables and saves the same as JSON. Everything runs on one thread unless a row says otherwise: the operations
of a model this small take microseconds, and waking a second thread for one costs more than it brings.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from datetime import date
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from courselib.kernels.cpu.build import NoCompilerError
from courselib.kernels.registry import resolve
from courselib.minigpt import Config, MiniGPT, load_minigpt
from courselib.seeding import seed_everything
from courselib.tokenizer import WordTokenizer

from . import floor, llama, machine, proof, speed
from .schema import Count, Result, Row
from .show import show


@click.command(help=(__doc__ or "").split("\n")[0])
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where the JSON goes.")
@click.option("--quick", is_flag=True, help="Fewer repeats, less proof; saved under build/, not as the record.")
def main(out: Path | None, quick: bool) -> None:
    load, started = machine.load(), time.perf_counter()
    torch.set_num_threads(1)
    try:
        resolve("fixed-c")
    except NoCompilerError as error:
        raise click.ClickException(f"this times the kernels in C, which cannot be built here: {error}") from error
    folder = Path("build/benchmarks") if quick else Path(__file__).with_name("results")
    out = out or folder / f"generate-{machine.slug(machine.cpu_model())}.json"
    notes: list[str] = []
    if load is not None and load > 0.5:
        notes.append(
            f"others were at work here (load {load:.1f} before the start): the machine alone is faster than this"
        )
    shipped = shipped_model(notes)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty(),
    ) as bar:  # fmt: skip
        rows = timed(shipped, quick, bar, notes)
        rows += limits(shipped, quick, bar, notes)
        counts = proved([shipped] if quick else [shipped, random_model(1)], quick, bar)
    result = Result(
        name="generate",
        date=date.today(),
        quick=quick,
        seconds=round(time.perf_counter() - started, 1),
        device=machine.device([1, 2], load),
        versions=machine.versions("torch", "numpy", "transformers"),
        rows=rows,
        counts=counts,
        notes=notes,
    )
    show(result, Console(highlight=False, markup=False, emoji=False))
    result.save(out)
    click.echo(f"Saved as {out}, after {result.seconds:.0f} s.")


def timed(model: MiniGPT, quick: bool, bar: Progress, notes: list[str]) -> list[Row]:
    """Tokens a second, a row for each event."""
    there = None
    if importlib.util.find_spec("transformers") is None:
        notes.append("transformers is not installed, so its rows are left out: pip install -e '.[bench]'")
    else:
        there = llama.llama(model)
    events = speed.events(quick, machine.cores())
    task = bar.add_task("tokens a second", total=sum(speed.runs(e, there is not None) for e in events))
    return [speed.run(event, model, there, lambda: bar.advance(task)) for event in events]


def limits(model: MiniGPT, quick: bool, bar: Progress, notes: list[str]) -> list[Row]:
    """A decode step beside what the machine could do."""
    batches, rounds = (1, 4), 3 if quick else 7
    task = bar.add_task("the machine's limits", total=len(batches) * (rounds + 1) * floor.PEERS)
    rows = [floor.run(model, batch, rounds, lambda: bar.advance(task)) for batch in batches]
    notes.append(floor.rates(rows[0]))
    return rows


def proved(models: list[MiniGPT], quick: bool, bar: Progress) -> list[Count]:
    """Rows that differ, of every heat on every model."""
    heats = proof.heats(quick)
    task = bar.add_task("rows that differ", total=len(models) * sum(map(proof.runs, heats)))
    return proof.merged(
        [c for heat in heats for model in models for c in proof.run(heat, model, lambda: bar.advance(task))]
    )


def shipped_model(notes: list[str]) -> MiniGPT:
    """The trained model; where its weights do not load, one of the same shape with random weights, and a note."""
    try:
        return load_minigpt()
    except (OSError, ValueError) as error:
        notes.append(f"random weights stand in for the shipped ones: {error}")
        return random_model(0)


def random_model(seed: int) -> MiniGPT:
    """A model of the shipped shape that has learnt nothing."""
    seed_everything(seed)
    return MiniGPT(Config(vocab_size=WordTokenizer.from_grammar().vocab_size)).eval().requires_grad_(False)


if __name__ == "__main__":
    main()
