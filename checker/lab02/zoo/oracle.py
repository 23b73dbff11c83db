"""What a planted cache really gives: the copy is imported here, under a name of its own, and run.

A script that says a planted cache makes a difference must have met it, and then its digests are those given here.
Imports torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch

from checker.lab02.consistency import LONG
from checker.lab02.prompts import BATCH, Ask, extended_prompts, lab_prompts
from checker.lab02.recompute import KEPT, WARM_TOKENS, Truth, digest, drawn
from checker.lab02.schemas import MAX_NEW_TOKENS, Case
from checker.lab02.zoo.mutant import Planted, plant
from courselib.tokenizer import WordTokenizer

if TYPE_CHECKING:
    from courselib.trace import Trace

BEFORE = BATCH[1]  # the lab prompt that has been through the warm cache before it was reset
_numbers = itertools.count()


@dataclass(frozen=True)
class Account:
    """One path of one case: its new tokens, and sha256 of K, V and logits."""

    tokens: tuple[int, ...]
    k: str
    v: str
    logits: str


def cached_account(case: Case) -> Account:
    return Account(tuple(case.tokens.cached), case.k.cached, case.v.cached, case.logits.cached)


def uncached_account(case: Case) -> Account:
    return Account(tuple(case.tokens.uncached), case.k.uncached, case.v.uncached, case.logits.uncached)


def account(truth: Truth) -> Account:
    return Account(tuple(truth.tokens), truth.k, truth.v, truth.logits)


class Copy:
    """A copy of courselib, imported."""

    def __init__(self, name: str) -> None:
        self.name = name

    def module(self, part: str) -> ModuleType:
        return importlib.import_module(f"{self.name}.{part}")

    def trace(self, names: Sequence[str] = KEPT) -> Trace:
        found: Trace = self.module("trace").Trace(names)
        return found


@contextmanager
def imported(planted: Planted) -> Iterator[Copy]:
    """The copy of courselib with the bug in it, on fixed-order operations."""
    with tempfile.TemporaryDirectory(prefix="checker-zoo-") as scratch:
        folder = plant(planted, Path(scratch)) / "courselib"
        name = f"courselib_planted_{next(_numbers)}"
        where = [str(folder)]
        spec = importlib.util.spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=where)
        assert spec
        assert spec.loader
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
            copy = Copy(name)
            with copy.module("kernels").use_ops("fixed"):
                yield copy
        finally:
            for key in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
                del sys.modules[key]


@cache
def accounts(planted: Planted, asks: tuple[Ask, ...]) -> tuple[frozenset[Account], ...]:
    """For each prompt what the cached path may honestly give: a case's seed goes to ``seed_everything`` or, as good,
    to ``generate`` itself."""
    with imported(planted) as copy:
        return tuple(frozenset(_alone(copy, ask, seed) for seed in (drawn(ask), ask.seed)) for ask in asks)


@cache
def extended_accounts(planted: Planted) -> dict[str, frozenset[Account]]:
    """The same for those extended cases that can see this bug, by their ids."""
    long, *batch, warm = extended_prompts()
    with imported(planted) as copy:
        if planted.mutant.seen == "long":
            return {"long": frozenset(_alone(copy, long, seed, LONG) for seed in (drawn(long), long.seed))}
        if planted.mutant.seen == "batch":
            return {ask.id: frozenset([found]) for ask, found in zip(batch, _together(copy, batch), strict=True)}
        ways = itertools.product((warm.seed, drawn(warm)), (True, False))
        return {"warm": frozenset(_warm(copy, warm, seed, used) for seed, used in ways)}


def _alone(copy: Copy, ask: Ask, seed: int, n_new: int = MAX_NEW_TOKENS) -> Account:
    trace = copy.trace()
    tokens = copy.module("generate").generate(ids(ask), n_new, cache=True, seed=seed, trace=trace)
    return _account(tokens, trace)


def _together(copy: Copy, asks: Sequence[Ask]) -> list[Account]:
    trace, seeds = copy.trace(), [ask.seed for ask in asks]
    tokens = copy.module("generate").generate([ids(ask) for ask in asks], MAX_NEW_TOKENS, seed=seeds, trace=trace)
    return [_account(tokens[row], trace, row) for row in range(len(asks))]


@torch.no_grad()
def _warm(copy: Copy, ask: Ask, seed: int, used: bool) -> Account:
    """``used``: as the brief says, on a cache that another prompt went through, and from which tokens are cut."""
    prompt, trace, model = ids(ask), copy.trace(), copy.module("minigpt").load_minigpt()
    kv = copy.module("kv_cache").KVCache.for_model(model)
    if used:
        model(torch.tensor([ids(lab_prompts()[BEFORE])]), kv)
        kv.reset()
        model(torch.tensor([prompt]), kv)
        kv.truncate(len(prompt) - WARM_TOKENS)
    else:
        model(torch.tensor([prompt[:-WARM_TOKENS]]), kv)
    generate = copy.module("generate").generate
    tokens = generate(prompt[-WARM_TOKENS:], MAX_NEW_TOKENS, cache=kv, seed=seed, trace=trace)
    return _account(tokens, trace)


def _account(tokens: Sequence[int], trace: Trace, row: int = 0) -> Account:
    k, v = trace.slots(row)
    return Account(tuple(tokens), digest(k), digest(v), digest(trace.logits(row)))


def ids(ask: Ask) -> list[int]:
    return WordTokenizer.from_grammar().encode(ask.prompt)
