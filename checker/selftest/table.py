"""What came of the selftest, for a person: each trial, what each tier stops, and what is not as it should be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from checker.report import Tier
from checker.sandbox import PROMISES
from checker.selftest.catalogue import FAMILIES
from checker.selftest.run import Line

MAX_TOLD = 160  # characters of what was found, where it is what was expected


def draw(
    lines: Sequence[Line], shown: dict[str, dict[Tier, str]], tiers: Sequence[Tier], seconds: float, out: Console
) -> None:
    for family in FAMILIES:
        mine = [line for line in lines if line.family == family.name]
        if mine:
            out.print(Text(f"\n{family.says}", style="bold"))
            out.print(_family(mine))
    if shown:
        out.print(Text("\nWhat each tier stops", style="bold"))
        out.print(_promises(shown, tiers))
    wrong = [line for line in lines if not line.fits]
    out.print()
    for line in wrong:
        out.print(f"NOT AS EXPECTED: {line.name} ({line.tier}). Expected: {line.expected}. Found: {line.found}")
    trials, used = len({line.name for line in lines}), ", ".join(dict.fromkeys(line.tier for line in lines))
    fits = len(lines) - len(wrong)
    out.print(f"{trials} trials in {used}: {fits} of {len(lines)} results as expected, in {seconds:.0f} s.")


def _family(lines: list[Line]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name, ratio in (("attack", 3), ("expected", 4), ("found", 5), ("tier", 2)):
        table.add_column(name, ratio=ratio, overflow="fold")
    table.expand = True
    for _, some in groupby(lines, key=lambda line: line.name):
        trials = list(some)
        first = True
        for (told, fits), same in groupby(trials, key=lambda line: (_told(line), line.fits)):
            tiers = ", ".join(line.tier for line in same)
            what = Text(trials[0].name).append(f"\n{trials[0].says}", style="dim") if first else Text("")
            expected = trials[0].expected if first else ""
            table.add_row(what, expected, Text(told, style="" if fits else "bold red"), tiers)
            first = False
    return table


def _told(line: Line) -> str:
    return line.found if not line.fits or len(line.found) <= MAX_TOLD else f"{line.found[:MAX_TOLD]} ..."


def _promises(shown: dict[str, dict[Tier, str]], tiers: Sequence[Tier]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    table.add_column("what a script may try", ratio=3, overflow="fold")
    for tier in tiers:
        table.add_column(tier, ratio=3, overflow="fold")
    for promise in PROMISES:
        cells = [shown[promise.id][tier] for tier in tiers]
        table.add_row(promise.against, *(Text(c, style="bold red" if c.startswith("PROMISED,") else "") for c in cells))
    return table


def as_json(lines: Sequence[Line], shown: dict[str, dict[Tier, str]], tiers: Sequence[Tier], seconds: float) -> str:
    document = {
        "schema": "checker.selftest/1",
        "as_expected": all(line.fits for line in lines),
        "tiers": list(tiers),
        "lines": [asdict(line) for line in lines],
        "promises": shown,
        "seconds": round(seconds, 1),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
