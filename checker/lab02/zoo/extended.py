"""Bugs that only the extended cases see: in a batch, on a warm cache, past 128 slots."""

from __future__ import annotations

from checker.lab02.zoo.alone import READ, after_write, attend, before_write, position
from checker.lab02.zoo.mutant import CACHE, MODEL, Edit, Mutant
from checker.language import N_

ABOVE_0 = (1, 2, 3)  # a cache says by layer 0 how much it holds
WRITE_ONE = "                {0}[b, :, cursor[b] : cursor[b] + n] = {1}[b, :, :n]\n"

EXTENDED = (
    # ---- batch
    Mutant(
        "neighbour-s-key",
        N_("When a batch decodes, each sequence is given its neighbour's key."),
        (Edit(CACHE, WRITE_ONE.format("K", "k"), WRITE_ONE.format("K", "k").replace("k[b,", "k[b - (T == 1),")),),
        seen="batch",
    ),
    Mutant(
        "one-cursor-for-all",
        N_("All sequences of a batch are written where the first one stands."),
        tuple(
            Edit(CACHE, line, line.replace("cursor[b]", "cursor[0]"))
            for line in (WRITE_ONE.format("K", "k"), WRITE_ONE.format("V", "v"))
        ),
        seen="batch",
    ),
    Mutant(
        "sees-past-its-end",
        N_("A shorter sequence of a batch attends to the padding past its own end."),
        (attend("[max(step.past)] * B if T == 1 else step.past"),),
        seen="batch",
    ),
    Mutant(
        "positions-of-the-longest",
        N_("In a batch, every decoded token is rotated for the position of the longest sequence."),
        (position("max(past) - p if T == 1 else 0"),),
        seen="batch",
    ),
    Mutant(
        "swaps-heads-in-a-batch",
        N_("With more than one sequence, one layer swaps the keys of its two heads."),
        (before_write("if B > 1 and layer == $layer:", "    k = k.flip(1)"),),
        seen="batch",
    ),
    # ---- a warm cache: a chunk of several tokens, reset, truncate
    Mutant(
        "chunk-sees-the-start",
        N_("A chunk of several tokens on a warm cache sees the slots of a chunk on an empty one."),
        (attend("[0 if T > 1 else p for p in step.past]"),),
        seen="warm",
    ),
    Mutant(
        "chunk-at-position-0",
        N_("A chunk of several tokens on a warm cache is rotated as if it stood at the start."),
        (position("-p if T > 1 else 0"),),
        seen="warm",
    ),
    Mutant(
        "keeps-the-end-of-a-chunk",
        N_("Of a chunk of several tokens on a warm cache, only the last row is written."),
        (after_write("if T > 1 and cursor[0]:", "    K[:, :, cursor[0] : cursor[0] + T - 1] = 0"),),
        seen="warm",
    ),
    Mutant(
        "reset-forgets-a-layer",
        N_("After reset, one layer goes on writing where it stood."),
        (
            Edit(
                CACHE,
                "[[0] * len(cursor) for cursor in self._cursors]",
                "[[0] * len(c) if i != $layer else c for i, c in enumerate(self._cursors)]",
            ),
        ),
        seen="warm",
        layers=ABOVE_0,
    ),
    Mutant(
        "reset-keeps-slot-0",
        N_("After reset, slot 0 still holds the key of the sequence before."),
        (
            Edit(CACHE, "        self.data.zero_()\n", "        self.old = self.data[..., 0, :].clone()\n"),
            after_write("if hasattr(self, 'old') and cursor[0] == 0:", "    K[:, :, 0] = self.old[layer, 0]"),
        ),
        seen="warm",
    ),
    Mutant(
        "truncate-keeps-the-tail",
        N_("truncate keeps the last slots instead of the first."),
        (
            Edit(
                CACHE,
                "        self.data[..., n:, :] = 0\n",
                "        held = self.lengths[0]\n"
                "        self.data[..., :n, :] = self.data[..., held - n : held, :].clone()\n",
            ),
        ),
        seen="warm",
    ),
    Mutant(
        "truncate-forgets-a-layer",
        N_("After truncate, one layer goes on writing where it stood."),
        (
            Edit(
                CACHE,
                "[[n] * len(cursor) for cursor in self._cursors]",
                "[[n] * len(c) if i != $layer else c for i, c in enumerate(self._cursors)]",
            ),
        ),
        seen="warm",
        layers=ABOVE_0,
    ),
    # ---- past 128 slots
    Mutant(
        "full-at-200",
        N_("When 200 slots are full, a new key is written over the oldest one as well."),
        (after_write("if cursor[0] >= 200 and layer == $layer:", "    K[:, :, cursor[0] - 200] = k[:, :, 0]"),),
        seen="long",
    ),
    Mutant(
        "positions-slip-at-128",
        N_("From slot 128 on, tokens are rotated for the position after their own."),
        (position("p >= 128"),),
        seen="long",
    ),
    Mutant(
        "layer-below-at-150",
        N_("From slot 150 on, one layer reads the rows of the layer below it."),
        (
            Edit(
                MODEL,
                READ,
                "            k, v = step.cache.read(self.layer - (self.layer == $layer and step.past[0] >= 150))\n",
            ),
        ),
        seen="long",
        layers=ABOVE_0,
    ),
)
