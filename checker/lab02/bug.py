"""Everybody's own bug: python -m checker bug --student NAME --out DIR writes the traces of one to diagnose.

The name decides which bug it is, at which layer, head and slot, and on which prompt: the same case for the same name,
every time. What is written is data, two runs of one prompt; the checker makes it again to know the answer.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from checker.lab02.prompts import Ask
from checker.lab02.zoo.alone import ALONE
from checker.lab02.zoo.causes import CAUSES
from checker.lab02.zoo.mutant import Planted
from checker.language import N_, _, said_by_the_system
from courselib.grammar.prompts import sample_prompts

if TYPE_CHECKING:
    from courselib.trace import Trace

N_NEW = 12
KEPT = ("q", "k", "v", "attention")


@dataclass(frozen=True)
class Answer:
    """Where the two runs first differ, as ``courselib.trace.first_divergence`` counts, and why."""

    step: int
    layer: int
    head: int
    slot: int
    cause: str


@dataclass(frozen=True)
class Runs:
    """The case: one prompt with the planted bug and without a cache."""

    ask: Ask
    ids: list[int]
    tokens: dict[str, list[int]]
    traces: dict[str, Trace]
    answer: Answer


def planted(student: str) -> tuple[Planted, Ask]:
    """The bug that is this student's own, and the prompt that shows it."""
    rng = random.Random(f"lab 02/{student}")
    cause = rng.choice(list(CAUSES))
    mutant = rng.choice([mutant for mutant in ALONE if mutant.cause == cause])
    prompt = sample_prompts(rng.randrange(2**31), n_adverbial=1, n_partial=0, n_mixed=0)[0]
    return Planted.drawn(mutant, student), Ask("case", prompt.text, prompt.kind, rng.randrange(2**31))


def runs(student: str) -> Runs:
    """Both runs, made here. Imports torch."""
    from checker.lab02.zoo.oracle import ids, imported
    from courselib.trace import first_divergence

    bug, ask = planted(student)
    tokens, traces = {}, {}
    with imported(bug) as copy:
        for path in ("cached", "uncached"):
            traces[path] = copy.trace(KEPT)
            generate = copy.module("generate").generate
            tokens[path] = generate(ids(ask), N_NEW, cache=path == "cached", seed=ask.seed, trace=traces[path])
    first = first_divergence(traces["cached"], traces["uncached"])
    assert first
    assert first.layer is not None
    assert first.head is not None
    assert bug.mutant.cause
    answer = Answer(first.step, first.layer, first.head, first.slot, bug.mutant.cause)
    return Runs(ask, ids(ask), tokens, traces, answer)


def write_case(student: str, out: Path) -> None:
    """case.npz: an array (heads, rows, d_h) for PATH/STEP/LAYER/NAME; case.json: what was asked, and the causes."""
    case = runs(student)
    arrays: dict[str, Any] = {
        f"{path}/{call.step}/{layer}/{name}": x[0].numpy()
        for path, trace in case.traces.items()
        for call in trace.calls
        for (layer, name), x in call.rows.items()
    }
    about = {
        "schema": "lab02.case/1",
        "student": student,
        **{key: value for key, value in asdict(case.ask).items() if key in ("prompt", "seed")},
        "ids": case.ids,
        "tokens": case.tokens,
        "causes": {name: _(words) for name, words in CAUSES.items()},
    }
    out.mkdir(parents=True, exist_ok=True)
    np.savez(out / "case.npz", **arrays)
    (out / "case.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@click.command(name="bug", help=N_("Write the traces of your own planted bug, to be diagnosed: lab 02, block B."))
@click.option(
    "--student", required=True, help=N_("Your name, as your course writes it: it decides which bug is yours.")
)
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help=N_("The folder to write to.")
)
def command(student: str, out: Path) -> int:
    if not student.strip() or len(student) > 100 or not student.isprintable():
        raise click.UsageError(_("--student takes a name of 1 to 100 printable characters."))
    try:
        write_case(student.strip(), out)
    except OSError as error:
        raise click.UsageError(
            _("the case cannot be written to {out}: {strerror}.").format(out=out, strerror=said_by_the_system(error))
        ) from None
    click.echo(
        _("Two runs of one prompt, with a planted cache and without, are in {out}: case.npz and case.json.").format(
            out=out
        )
    )
    click.echo(_("Where do they first differ, and why? Write it down in diagnosis.json; lab 02's brief says how."))
    return 0
