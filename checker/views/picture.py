"""A row of K or V from both paths, drawn: one cell a word, one path above the other, differing words framed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from checker.report import Rows
from courselib import bits

PER_LINE = 16  # words a line: each cell is wide enough to be seen on a telephone
CELL, GAP, BETWEEN, MARGIN = 22, 2, 12, 26  # a cell, the gap beside it, the gap between lines, room for the index
LEVELS = 4  # shades of each sign

# By the number of hex digits. Sixteen bits may be float16 or bfloat16: they are shaded as one, and no value is named.
_FLOATS: dict[int, np.dtype[Any]] = {4: np.dtype(">f2"), 8: np.dtype(">f4"), 16: np.dtype(">f8")}


@dataclass(frozen=True)
class Cell:
    x: int
    y: int
    shade: str  # n4 ... n1, z, p1 ... p4, or odd for NaN and infinity
    differs: bool


@dataclass(frozen=True)
class Word:
    """One word that differs: both sides, and which of their hex digits are not the same."""

    index: int
    digits: tuple[list[tuple[str, bool]], list[tuple[str, bool]]]
    values: tuple[str, str] | None
    ulps: int


@dataclass(frozen=True)
class Picture:
    width: int
    height: int
    cells: list[Cell]
    frames: list[tuple[int, int]]  # the upper left corner of each pair of cells that differ
    lines: list[tuple[int, int]]  # (index of a line's first word, its y)
    words: list[Word]
    of: int


def picture(rows: Rows) -> Picture | None:
    """None if the words are not hex of one known width: there is nothing to colour then."""
    width = len(rows.words[0][0])
    if width not in _FLOATS or any(len(word) != width for side in rows.words for word in side):
        return None
    try:
        sides = [np.frombuffer(bytes.fromhex("".join(side)), _FLOATS[width]) for side in rows.words]
    except ValueError:
        return None
    differs = [a != b for a, b in zip(*rows.words, strict=True)]
    largest = max((abs(float(v)) for side in sides for v in side if np.isfinite(v)), default=0.0) or 1.0
    cells, frames, lines = [], [], []
    for i, different in enumerate(differs):
        line, column = divmod(i, PER_LINE)
        x, y = MARGIN + column * (CELL + GAP), line * (2 * (CELL + GAP) + BETWEEN) + GAP
        if column == 0:
            lines.append((i, y))
        if different:
            frames.append((x, y))
        for row, side in enumerate(sides):
            cells.append(Cell(x, y + row * (CELL + GAP), _shade(float(side[i]), largest), different))
    return Picture(
        width=MARGIN + min(PER_LINE, len(differs)) * (CELL + GAP) + GAP,
        height=len(lines) * (2 * (CELL + GAP) + BETWEEN) - BETWEEN + 2 * GAP,
        cells=cells,
        frames=frames,
        lines=lines,
        words=list(_words(rows, sides)),
        of=len(differs),
    )


def _words(rows: Rows, sides: list[np.ndarray]) -> Iterator[Word]:
    native = [side.astype(side.dtype.newbyteorder("=")) for side in sides]
    ulps = bits.ulp_distance(*native)
    for i, (a, b) in enumerate(zip(*rows.words, strict=True)):
        if a != b:
            same = [x == y for x, y in zip(a, b, strict=True)]
            digits = (
                [(x, not s) for x, s in zip(a, same, strict=True)],
                [(y, not s) for y, s in zip(b, same, strict=True)],
            )
            values = None if len(a) == 4 else (str(native[0][i]), str(native[1][i]))
            yield Word(i, digits, values, int(ulps[i]))


def _shade(value: float, largest: float) -> str:
    if not math.isfinite(value):
        return "odd"
    level = round(LEVELS * value / largest)
    return "z" if level == 0 else f"{'p' if level > 0 else 'n'}{abs(level)}"
