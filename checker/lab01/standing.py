"""Whose row is it? The rows that a script handed to append, so that a row in the wrong place can be called by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from checker.lab01 import cases
from checker.lab01.given import given
from checker.lab01.schemas import Ask
from checker.language import _
from courselib import bits


class Rowbook:
    """Every row that operations 0 to ``last`` gave, by its words in hex."""

    def __init__(self, case: Ask, last: int) -> None:
        self.case = case
        self.rows: dict[tuple[str, ...], tuple[int, str, int, int, int, int]] = {}
        for n, op in enumerate(case.ops[: last + 1]):
            for name in "kv" if op["do"] == "append" else "":
                words = given(case, n, name).words
                if words.ndim != 4:
                    continue
                for b, h, t in np.ndindex(words.shape[:3]):
                    self.rows[tuple(bits.hex_words(words[b, h, t]))] = (n, name, op["layer"], b, h, t)

    def says(self, row: Sequence[str]) -> str:
        """A sentence on the row that was found."""
        if found := self.rows.get(tuple(row)):
            n, name, layer, b, h, t = found
            return _(
                "In its place stands a row that operation {n} gave: {name} for layer {layer}, sequence {b}, head {h}, "
                "row {t}."
            ).format(n=n, name=name, layer=layer, b=b, h=h, t=t)
        word = int(row[0], 16) if len(set(row)) == 1 else None
        dtype = self.case.dtype
        if word == 0:
            return _("In its place stand zeros: nothing was written there, or it was wiped.")
        if word == cases.GONE[dtype]:
            return _(
                "In its place stands what k and v were overwritten with when append had returned: the cache keeps the "
                "tensors it is given, not their rows."
            )
        if word in (cases.FILLS["nan"][dtype], cases.FILLS["number"][dtype]):
            return _("In its place stands what every slot was filled with before: nothing was written there.")
        return _("Such a row was never handed to append.")
