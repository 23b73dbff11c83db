"""The mistakes that caches are known for, as lines of reference.py changed, so that what each of them gives is exact.

A cause is named only where every word that a cache gave is the one that such a bug gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from checker.lab01 import reference
from checker.lab01.playing import Make
from checker.lab01.schemas import Ask
from checker.language import N_

Edit = tuple[str, str]  # a text that stands in reference.py exactly once, and what it becomes

AT = "at = before[b]"
BEFORE = "before = list(self.cursor[layer])"
MOVED = "self.cursor[layer][b] = before[b] + count[b]"
K_ROW, V_ROW = (f"self.data[layer, {i}, b, :, at + t] = {x}.words[b, :, t]" for i, x in enumerate("kv"))
NO_CHECK = ("        self.check_room(layer, count)\n", "")
CURSORS = "self.cursor = [[0] * self.B for _ in range(self.L)]"
SEEN = "S = max(self.cursor[layer])"
PAIR = "K, V = self.data[layer, 0], self.data[layer, 1]"
RETURNED = "count = self.checked_count(k, count)"


@dataclass(frozen=True)
class Bug:
    """``behaviour`` says what the cache does, in a sentence that goes on after "a cache in which"."""

    id: str
    behaviour: str
    edits: tuple[Edit, ...]

    def make(self) -> Make:
        """As ``reference.of``, with the bug in it."""
        return _patched(self.edits)


def rows(
    *, slot: str = "at + t", layer: str = "layer", k: str = "k.words[b, :, t]", v: str = "v.words[b, :, t]"
) -> Any:
    """The two lines that write a row, changed."""
    return tuple(
        (old, f"self.data[{layer}, {i}, b, :, {slot}] = {new}") for i, (old, new) in enumerate([(K_ROW, k), (V_ROW, v)])
    )


BUGS = (
    # ---- where a row goes
    Bug("ahead", N_("every row is written one slot too far"), rows(slot="at + t + 1")),
    Bug(
        "moved-first",
        N_("the cursor is moved on before the rows are written"),
        ((AT, "at = before[b] + count[b]"),),
    ),
    Bug(
        "one-short",
        N_("the cursor stops one short, so that the next row is written over the last"),
        ((MOVED, "self.cursor[layer][b] = before[b] + max(count[b] - 1, 0)"),),
    ),
    Bug("never-moved", N_("the cursor is never moved on"), ((MOVED, "pass"),)),
    Bug(
        "counts-calls",
        N_("the cursor counts the calls of append, not the rows"),
        ((MOVED, "self.cursor[layer][b] = before[b] + 1"),),
    ),
    Bug(
        "one-cursor",
        N_("all layers share one cursor, and each of them moves it on"),
        ((CURSORS, "self.cursor = [[0] * self.B] * self.L"),),
    ),
    Bug(
        "moved-by-layer-0",
        N_("all layers share one cursor, and layer 0 moves it on before the others have written"),
        (
            (CURSORS, "self.cursor = [[0] * self.B] * self.L"),
            (MOVED, "self.cursor[layer][b] = before[b] + count[b] * (layer == 0)"),
        ),
    ),
    Bug(
        "moved-by-the-last",
        N_("all layers share one cursor, and only the last one moves it on, when the others have been read"),
        (
            (CURSORS, "self.cursor = [[0] * self.B] * self.L"),
            (MOVED, "self.cursor[layer][b] = before[b] + count[b] * (layer == self.L - 1)"),
        ),
    ),
    Bug("layer-0-written", N_("every layer's rows are written into layer 0"), rows(layer="0")),
    Bug("layer-0-read", N_("every layer is read out of layer 0"), ((PAIR, "K, V = self.data[0, 0], self.data[0, 1]"),)),
    # ---- what is taken for what
    Bug(
        "read-swapped",
        N_("read() hands out V as K and K as V"),
        ((PAIR, "V, K = self.data[layer, 0], self.data[layer, 1]"),),
    ),
    Bug(
        "stored-swapped",
        N_("k is stored where V belongs and v where K belongs, index 0 of data being K"),
        rows(k="v.words[b, :, t]", v="k.words[b, :, t]"),
    ),
    Bug("keys-twice", N_("k is stored in V's place too"), rows(v="k.words[b, :, t]")),
    Bug(
        "heads-reversed",
        N_("the heads are stored in the opposite order"),
        rows(k="k.words[b, ::-1, t]", v="v.words[b, ::-1, t]"),
    ),
    Bug(
        "sequence-0-for-all",
        N_("every sequence is given the rows of sequence 0"),
        rows(k="k.words[0, :, t]", v="v.words[0, :, t]"),
    ),
    Bug(
        "kept-tensors",
        N_("the tensors that append was given are kept, and not a copy of their rows"),
        rows(k="k.gone", v="v.gone"),
    ),
    # ---- a batch of unequal lengths
    Bug(
        "where-the-first-stands",
        N_("all sequences are written where the first one's cursor stands"),
        ((AT, "at = before[0]"),),
    ),
    Bug(
        "where-the-longest-stands",
        N_("all sequences are written where the longest one's cursor stands"),
        ((AT, "at = max(before)"),),
    ),
    Bug(
        "count-ignored",
        N_("count is ignored: padding is kept like any row, and moves the cursor on"),
        ((RETURNED, "count = [k.shape[2]] * len(self.checked_count(k, count))"),),
    ),
    Bug(
        "padding-written",
        N_("the cursor moves on by count, and the padding is written behind it all the same"),
        (("for t in range(count[b]):", "for t in range(min(k.shape[2], self.slots - at)):"),),
    ),
    Bug(
        "as-long-as-the-first",
        N_("read() hands out as many slots as sequence 0 holds"),
        ((SEEN, "S = self.cursor[layer][0]"),),
    ),
    Bug(
        "as-long-as-the-shortest",
        N_("read() hands out as many slots as the shortest sequence holds"),
        ((SEEN, "S = min(self.cursor[layer])"),),
    ),
    Bug("all-slots", N_("read() hands out all slots, held or not"), ((SEEN, "S = self.slots"),)),
    Bug("one-slot-less", N_("read() leaves out the last slot"), ((SEEN, "S = max(max(self.cursor[layer]) - 1, 0)"),)),
    # ---- no room
    Bug(
        "wraps",
        N_("a row for which there is no room is written over the oldest, from slot 0 on"),
        (NO_CHECK, *rows(slot="(at + t) % self.slots")),
    ),
    Bug(
        "dropped",
        N_("rows for which there is no room are left out, and nobody is told"),
        (
            NO_CHECK,
            (
                RETURNED,
                f"{RETURNED}\n        count = [min(n, self.slots - c) for n, c in zip(count, self.cursor[layer])]",
            ),
        ),
    ),
    Bug(
        "half-refused",
        N_("the sequences before the one that has no room are written before append refuses"),
        (NO_CHECK, (AT, f"{AT}\n            if at + count[b] > self.slots:\n                raise ValueError")),
    ),
    # ---- forgetting
    Bug("reset-keeps-rows", N_("reset() leaves the old rows in data"), (("self.data[:] = 0", "pass"),)),
    Bug(
        "reset-keeps-cursors",
        N_("reset() leaves the cursors where they stand"),
        (("self.cursor[layer][:] = [0] * self.B", "pass"),),
    ),
    Bug(
        "reset-forgets-layers",
        N_("reset() puts back the cursors of layer 0 and of no other"),
        (("self.cursor[layer][:] = [0] * self.B", "self.cursor[0][:] = [0] * self.B"),),
    ),
    Bug(
        "reset-keeps-first",
        N_("reset() leaves first as it was"),
        (("        self.first = [0] * self.B\n        for", "        for"),),
    ),
    Bug(
        "truncate-keeps-rows",
        N_("truncate() leaves the rows behind slot n in data"),
        (("self.data[..., n:, :] = 0", "pass"),),
    ),
    Bug(
        "truncate-keeps-cursors",
        N_("truncate() leaves the cursors where they stand"),
        (("self.cursor[layer][:] = [n] * self.B", "pass"),),
    ),
    Bug(
        "truncate-forgets-layers",
        N_("truncate() puts back the cursors of layer 0 and of no other"),
        (("self.cursor[layer][:] = [n] * self.B", "self.cursor[0][:] = [n] * self.B"),),
    ),
    Bug(
        "truncate-one-more",
        N_("truncate() leaves one old row too many in data"),
        (("self.data[..., n:, :]", "self.data[..., n + 1:, :]"),),
    ),
    Bug(
        "truncate-one-less",
        N_("truncate() wipes the last row that is to be kept"),
        (("self.data[..., n:, :]", "self.data[..., max(n - 1, 0):, :]"),),
    ),
    Bug(
        "truncate-takes-n",
        N_("truncate(n) takes n slots away instead of keeping n"),
        (
            (
                "        self.data[..., n:, :] = 0",
                "        n = min(self.lengths()) - n\n        self.data[..., n:, :] = 0",
            ),
        ),
    ),
    Bug(
        "padding-alone-is-kept",
        N_("truncate() may leave a sequence with nothing but its left padding"),
        (("max(self.first) <= n", "0 <= n"),),
    ),
)


@cache
def _patched(edits: tuple[Edit, ...]) -> Callable[[Ask], reference.Reference]:
    source = Path(reference.__file__).read_text(encoding="utf-8")
    for old, new in edits:
        if source.count(old) != 1:
            raise ValueError(f"{source.count(old)} places in reference.py read {old!r}")
        source = source.replace(old, new)
    namespace: dict[str, Any] = {"__name__": reference.__name__}
    exec(compile(source, reference.__file__, "exec"), namespace)
    made: Callable[[Ask], reference.Reference] = namespace["of"]
    return made
