"""What is wrong with the answer of one operation, and a row that differs, told by its place and both its words."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from checker.lab01 import causes
from checker.language import _
from checker.report import Rows
from courselib import bits


@dataclass(frozen=True)
class Fault:
    message: str
    expected: str
    found: str
    place: str = ""  # what goes on after the operation's name
    rows: Rows | None = None
    causes: list[str] = field(default_factory=list)


def of_words(
    message: str, must: np.ndarray, does: np.ndarray, row: tuple[int, ...], dim: int, n: int, total: int
) -> Fault:
    """A row of words that differs, first in ``dim``. ``row``: layer, pair (0 is K), sequence, head, slot. ``n`` of
    ``total`` words differ in all."""
    place = place_of(row)
    a, b = bits.hex_words(must), bits.hex_words(does)
    ulps = int(bits.ulp_distance(must[dim], does[dim]))
    found = _("0x{word}, {ulps} ULP apart; {n} of {total} words differ").format(
        word=b[dim], ulps=ulps, n=n, total=total
    )
    rows = Rows(name=place, labels=(_("expected"), _("yours")), words=(a, b))
    return Fault(message, f"0x{a[dim]}", found, f": {place}, dim {dim}", rows, causes.WORDS)


def place_of(row: tuple[int, ...]) -> str:
    layer, pair, sequence, head, slot = row
    return f"{'KV'[pair]}, layer {layer}, sequence {sequence}, head {head}, slot {slot}"
