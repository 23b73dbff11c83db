"""A planted bug: a few lines of courselib, changed in a copy that stands first on the script's path.

The copy has the library's name, its files and its version, and no hook: the script imports it as it imports the
original. In every copy, the sound one too, the comments are gone, so that no copy has the bytes of the original.
"""

from __future__ import annotations

import ast
import random
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Literal

import courselib
from checker.language import N_

CACHE, MODEL = "kv_cache.py", "minigpt.py"
# Where a bug can be seen: with one sequence and 64 new tokens, in a batch, on a warm cache, only past 128 slots.
Seen = Literal["alone", "batch", "warm", "long"]


@dataclass(frozen=True)
class Edit:
    """``old``, which stands in ``file`` exactly once, becomes ``new``; $layer, $head and $slot are filled in."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """One bug. ``behaviour`` tells a student what the cache does, never how to find it or how it is mended."""

    id: str
    behaviour: str
    edits: tuple[Edit, ...]
    seen: Seen = "alone"
    cause: str | None = None  # what to answer in diagnosis.json; None: it is nobody's personal bug
    layers: tuple[int, ...] = (0, 1, 2, 3)  # what $layer may be
    changes_model: bool = False  # also without a cache the numbers are others


@dataclass(frozen=True)
class Planted:
    """A mutant with its numbers filled in."""

    mutant: Mutant
    layer: int
    head: int
    slot: int

    @classmethod
    def drawn(cls, mutant: Mutant, seed: str) -> Planted:
        """Slots 5 to 10: a token that is decoded, whatever short prompt it follows."""
        rng = random.Random(f"{mutant.id}/{seed}")
        return cls(mutant, rng.choice(mutant.layers), rng.randrange(2), rng.randrange(5, 11))

    def without_the_bug(self) -> Planted:
        """A copy whose model is the same, and whose cache is sound: what a run without a cache gives in this one."""
        model = tuple(edit for edit in self.mutant.edits if edit.file == MODEL and self.mutant.changes_model)
        return replace(self, mutant=replace(self.mutant, edits=model))


#: No bug at all: a test that finds fault with it believes nothing that it sees.
SOUND = Mutant("sound", N_("The cache keeps every row as it was given."), ())

#: A probe. Each decoded token overwrites a number of slot 1 with how many tokens were fed with it and how many calls
#: went before: who reads the cache reads that, and who recomputes does not.
POISON = Mutant(
    "poison",
    N_("The cache writes how much work was done into one of its slots."),
    (
        Edit(
            CACHE,
            "        self._cursors[layer] = [c + n for c, n in zip(cursor, count, strict=True)]\n",
            "        if cursor[0]:\n"
            "            self.calls = getattr(self, 'calls', 0) + 1\n"
            "            K[:, $head, 1, 3] = T + self.calls / 1024\n"
            "        self._cursors[layer] = [c + n for c, n in zip(cursor, count, strict=True)]\n",
        ),
    ),
)


def plant(planted: Planted, folder: Path) -> Path:
    """A copy of courselib with the bug in it, in ``folder``/courselib. Answers ``folder``, to stand first on a path."""
    here = Path(courselib.__file__).parent
    copy = folder / "courselib"
    shutil.copytree(here, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path in {edit.file for edit in planted.mutant.edits}:
        (copy / path).write_text(patched(planted, path, (here / path).read_text(encoding="utf-8")), encoding="utf-8")
    for path in (CACHE, MODEL):
        source = (copy / path).read_text(encoding="utf-8")
        (copy / path).write_text(ast.unparse(ast.parse(source)) + "\n", encoding="utf-8")
    return folder


def patched(planted: Planted, file: str, source: str) -> str:
    """``source`` with the edits of ``file``. ValueError if one does not match exactly once."""
    numbers = {"layer": planted.layer, "head": planted.head, "slot": planted.slot}
    for edit in planted.mutant.edits:
        if edit.file != file:
            continue
        if source.count(edit.old) != 1:
            raise ValueError(f"mutant {planted.mutant.id}: {source.count(edit.old)} places in {file} read {edit.old!r}")
        source = source.replace(edit.old, Template(edit.new).substitute(numbers))
    return source
