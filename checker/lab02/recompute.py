"""What the model says, generated here: tokens and digests with a cache and without, and the slots of the flagship.

The only file of this lab that imports torch. Everything runs on the fixed-order ops, on one thread (the student's
script runs beside it on the other core), and is remembered for the life of the process.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

import courselib
from checker.lab02.consistency import LONG
from checker.lab02.prompts import Ask, extended_prompts
from checker.lab02.schemas import MAX_NEW_TOKENS, Case
from courselib import bits
from courselib.generate import generate
from courselib.kernels import FIXED_ORDER, current_ops, use_ops
from courselib.kv_cache import KVCache
from courselib.minigpt import load_minigpt, weights_sha256
from courselib.tokenizer import WordTokenizer
from courselib.trace import Trace

WARM_TOKENS = 5
KEPT = ("k", "v", "logits")
TOGETHER = 10  # prompts in one batch: enough to be quick, few enough for their traces to fit in memory
Tick = Callable[[int], None]

torch.set_num_threads(1)


class PromiseBrokenError(RuntimeError):
    """This installation's fixed-order ops gave different bytes with a cache and without."""


@dataclass(frozen=True)
class Truth:
    """One generation: the new tokens, sha256 of K, V (L, H_kv, S, d_h) and logits (n_new, V), and their rows."""

    tokens: list[int]
    k: str
    v: str
    logits: str
    kv_rows: int
    logits_rows: int


@dataclass(frozen=True)
class Slots:
    """K and V (L, H_kv, n, d_h) float32 of a prompt's n slots, and the tokens they stand for, with the one that was
    decoded after them (n + 1,) int64."""

    tokens: np.ndarray
    k: np.ndarray
    v: np.ndarray

    @property
    def decoded(self) -> str:
        return WordTokenizer.from_grammar().decode([int(self.tokens[-1])])


def truths(asks: Sequence[Ask], tick: Tick) -> list[Truth]:
    """One Truth for each prompt, 64 new tokens; ``tick`` is called with how many more are done."""
    found: list[Truth] = []
    for start in range(0, len(asks), TOGETHER):
        some = tuple(asks[start : start + TOGETHER])
        found += _generated(some, tuple(map(drawn, some)), MAX_NEW_TOKENS)
        tick(len(some))
    return found


def extended_truths(tick: Tick) -> list[Truth]:
    """In the order of ``extended_prompts``: the long one, the batch of four, the warm start."""
    long, *batch, warm = extended_prompts()
    found = [*_generated((long,), (drawn(long),), LONG)]
    tick(1)
    found += _generated(tuple(batch), tuple(ask.seed for ask in batch), MAX_NEW_TOKENS)
    tick(1)
    found.append(_warm(warm, warm.seed))
    tick(1)
    return found


@cache
def slots(text: str) -> Slots:
    """K and V rows of a prompt's slots after one greedy token: the same with a cache and without."""
    prompt = WordTokenizer.from_grammar().encode(text)
    with use_ops("fixed"):
        cached, full = Trace(("k", "v")), Trace(("k", "v"))
        model = load_minigpt()
        new = generate(prompt, 2, cache=True, temperature=0, trace=cached)[0]  # the 2nd step reads n + 1 slots
        with torch.no_grad():
            model(torch.tensor([[*prompt, new]]), last_only=True, trace=full)
    pairs = list(zip(cached.slots(), full.slots(), strict=True))
    (k, v) = (a[:, :, : len(prompt)].copy() for a, _ in pairs)
    for name, (a, b) in zip("KV", pairs, strict=True):
        _must_agree(a, b, f"{name} rows of {text!r}")
    return Slots(np.array([*prompt, new], dtype=np.int64), k, v)


def slots_shape(n: int) -> tuple[int, int, int, int]:
    """(L, H_kv, n, d_h)"""
    c = load_minigpt().config
    return (c.n_layers, c.n_kv_heads, n, c.head_dim)


def is_a_run_of_the_model(ask: Ask, case: Case) -> bool:
    """Do the digests of ``case`` belong to its tokens, whatever drew them? One pass over prompt and tokens tells."""
    prompt, new = WordTokenizer.from_grammar().encode(ask.prompt), case.tokens.cached
    model, trace = load_minigpt(), Trace(("k", "v"))
    if max(new) >= model.config.vocab_size:
        return False
    with use_ops("fixed"), torch.no_grad():
        logits = model(torch.tensor([[*prompt, *new[:-1]]]), trace=trace)[0, len(prompt) - 1 :].numpy()
    k, v = trace.slots()
    pairs = ((k, case.k), (v, case.v), (logits, case.logits))
    return any(digest(array) == rows.cached for array, rows in pairs)  # one is proof enough that the model ran


def digest(array: np.ndarray) -> str:
    """sha256 over little-endian bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(array, dtype="<f4").tobytes()).hexdigest()


def ops_name() -> str:
    with use_ops("fixed"):
        return str(current_ops().NAME)


def promise() -> dict[str, str]:
    """What a manifest must say for its bytes to be the same as those here, by its fields."""
    return {
        "config.order": FIXED_ORDER,
        "config.weights_sha256": weights_sha256(),
        "versions.courselib": courselib.__version__,
    }


def drawn(ask: Ask) -> int:
    """The seed that ``generate(seed=None)`` draws after ``seed_everything(ask.seed)``, as the lab asks for."""
    return random.Random(ask.seed).getrandbits(32)


def other_seeding(ask: Ask) -> Truth | None:
    """The truth where the case's seed went to ``generate(seed=...)`` instead, or the other way round.

    Both ways keep the property, so a student who chose the other one is not refused. None for the batch, where
    only one way gives each sequence a seed of its own.
    """
    if ask.id == "warm":
        return _warm(ask, drawn(ask))
    if ask.id.startswith("batch"):
        return None
    return _generated((ask,), (ask.seed,), LONG if ask.id == "long" else MAX_NEW_TOKENS)[0]


@cache
def _generated(asks: tuple[Ask, ...], seeds: tuple[int, ...], n_new: int) -> tuple[Truth, ...]:
    """With a cache all prompts in one batch, without one each alone: two runs that have little in common.

    The fixed order promises that neither the batch nor the cache can be seen in a row's bytes, so both must agree.
    """
    trace = Trace(KEPT)
    found = []
    with use_ops("fixed"):
        tokens = generate([a.prompt for a in asks], n_new, cache=True, seed=seeds, trace=trace)
        for row, (ask, seed) in enumerate(zip(asks, seeds, strict=True)):
            full = Trace(KEPT)
            tokens_full = generate(ask.prompt, n_new, cache=False, seed=seed, trace=full)
            found.append(_agreed(ask, tokens[row], tokens_full, trace, full, row))
    return tuple(found)


@cache
def _warm(ask: Ask, seed: int) -> Truth:
    prompt = WordTokenizer.from_grammar().encode(ask.prompt)
    trace, full = Trace(KEPT), Trace(KEPT)
    with use_ops("fixed"), torch.no_grad():
        model = load_minigpt()
        kv = KVCache.for_model(model)
        model(torch.tensor([prompt[:-WARM_TOKENS]]), kv, last_only=True)
        tokens = generate(prompt[-WARM_TOKENS:], MAX_NEW_TOKENS, cache=kv, seed=seed, trace=trace)
        tokens_full = generate(prompt, MAX_NEW_TOKENS, cache=False, seed=seed, trace=full)
    return _agreed(ask, tokens, tokens_full, trace, full)


def _agreed(ask: Ask, tokens: list[int], tokens_full: list[int], trace: Trace, full: Trace, row: int = 0) -> Truth:
    """The one truth of a run with a cache (``row`` of its trace) and of one without."""
    (k, v), logits = trace.slots(row), trace.logits(row)
    for name, a, b in zip(("K", "V", "logits"), (k, v, logits), (*full.slots(), full.logits()), strict=True):
        _must_agree(a, b, f"{name} of {ask.prompt!r}")
    if tokens != tokens_full:
        raise PromiseBrokenError(f"tokens of {ask.prompt!r} differ with a cache and without")
    rows = k.shape[0] * k.shape[1] * k.shape[2]
    return Truth(tokens, digest(k), digest(v), digest(logits), rows, len(logits))


def _must_agree(a: np.ndarray, b: np.ndarray, what: str) -> None:
    if not bits.equal(a, b):
        raise PromiseBrokenError(f"{what} differ with a cache and without: {bits.report(a, b)}")
