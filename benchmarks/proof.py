"""How many rows differ: the cache, chunks of a prompt, a batch, padding and threads, each against the plainest way.

The reference of every sequence is that sequence alone, without a cache, on one thread, on the same ops. What is
compared with it, byte for byte: each K row and V row that attention read at the last step (a row is one layer, head and
slot: d_h numbers), the logits that each token was drawn from, and the list of tokens. Tokens are sampled at
temperature 1; where a list differs, the rows after its first other token belong to another text and count as
differing too, so read "token lists" first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from courselib import bits
from courselib.generate import generate
from courselib.grammar.prompts import sample_prompts
from courselib.kernels import use_ops
from courselib.kernels.cpu import fixed_c
from courselib.minigpt import MiniGPT
from courselib.tokenizer import WordTokenizer
from courselib.trace import Trace

from .race import Tick
from .schema import Count, Tally

BATCH = 4
SEED = 4004  # of the prompts; sequence i is sampled with seed i


@dataclass(frozen=True)
class Way:
    """One way to compute what the reference computes. prefill: tokens at a time, None for the whole prompt."""

    cache: bool
    batch: int
    padding: str = "right"
    prefill: int | None = None

    @property
    def name(self) -> str:
        """What the ways of one line of the table have in common: all chunk sizes share a line."""
        how = "chunked prefill" if self.prefill else "cache" if self.cache else "no cache"
        return f"{how}, B={self.batch}" + (f", {self.padding}-padded" if self.batch > 1 else "")


WAYS = [
    *(Way(True, 1, prefill=n) for n in (None, 1, 2, 3, 5)),
    *(Way(True, BATCH, padding, n) for padding in ("right", "left") for n in (None, 1, 3, 4)),
    *(Way(False, BATCH, padding) for padding in ("right", "left")),
]


@dataclass(frozen=True)
class Heat:
    """Which prompts go through every way, on which ops, how far. threads 2 forces the kernels to share their work."""

    ops: str
    threads: int
    prompts: int
    new_tokens: int


def heats(quick: bool) -> list[Heat]:
    """What is proved. On two threads stock ops wait for each other, and fixed-torch is slow on any: fewer prompts."""
    if quick:
        return [
            Heat("fixed-c", 1, 8, 16),
            Heat("fixed-c", 2, 4, 8),
            Heat("fixed-torch", 1, 4, 2),
            Heat("stock", 1, 4, 12),
        ]
    return [
        Heat("fixed-c", 1, 12, 48),
        Heat("fixed-c", 2, 12, 24),
        Heat("fixed-torch", 1, 4, 6),
        Heat("stock", 1, 12, 24),
        Heat("stock", 2, 4, 8),
    ]


@dataclass(frozen=True)
class Evidence:
    """What one sequence left behind: k, v (L, H_kv, S, d_h) and logits (new tokens, V), float32."""

    tokens: list[int]
    logits: np.ndarray
    k: np.ndarray
    v: np.ndarray


def runs(heat: Heat) -> int:
    """How often `run` will tick for one model."""
    return heat.prompts + sum(heat.prompts // way.batch for way in WAYS)


def run(heat: Heat, model: MiniGPT, tick: Tick) -> list[Count]:
    """Every way of one heat on one model, one Count a line of the table."""
    prompts = proof_prompts(heat.prompts)
    tallies: dict[str, dict[str, Tally]] = {}
    with use_ops(heat.ops):
        references = []
        with threads(1):
            for i, prompt in enumerate(prompts):
                references += evidence(model, [prompt], [i], Way(False, 1), heat.new_tokens)
                tick()
        with threads(heat.threads):
            for way in WAYS:
                for i in range(0, len(prompts), way.batch):
                    seeds = list(range(i, i + way.batch))
                    found = evidence(model, prompts[i : i + way.batch], seeds, way, heat.new_tokens)
                    for one, reference in zip(found, references[i:], strict=False):
                        tallies[way.name] = add(tallies.get(way.name, {}), compare(one, reference))
                    tick()
    if heat.ops == "fixed-torch":  # the promise is one order on both: compare with the C too
        with use_ops("fixed-c"), threads(1):
            for i, prompt in enumerate(prompts):
                (one,) = evidence(model, [prompt], [i], Way(True, 1), heat.new_tokens)
                name = "fixed-c's cache, B=1"
                tallies[name] = add(tallies.get(name, {}), compare(one, references[i]))
    return [
        Count(name=name, peer=heat.ops, settings={"threads": heat.threads}, tallies=t) for name, t in tallies.items()
    ]


def proof_prompts(n: int) -> list[list[int]]:
    """n prompts of all three kinds in turn, so that the lengths in a batch differ."""
    tokenizer = WordTokenizer.from_grammar()
    each = -(-n // 3)
    texts = [p.text for p in sample_prompts(SEED, each, each, each)]
    return [
        tokenizer.encode(text) for kinds in zip(*[texts[i * each :] for i in range(3)], strict=False) for text in kinds
    ][:n]


def evidence(model: MiniGPT, prompts: list[list[int]], seeds: list[int], way: Way, new_tokens: int) -> list[Evidence]:
    """Generate one batch in one way; an Evidence for each sequence."""
    trace = Trace(names=("k", "v", "logits"))
    answers = generate(
        prompts, new_tokens, cache=way.cache, seed=seeds, prefill_chunk=way.prefill, padding=way.padding,
        model=model, trace=trace,
    )  # fmt: skip
    return [Evidence(answers[b], trace.logits(b), *trace.slots(b)) for b in range(len(prompts))]


def compare(one: Evidence, other: Evidence) -> dict[str, Tally]:
    """How many rows differ in any byte."""
    return {
        "K rows": _rows(one.k, other.k),
        "V rows": _rows(one.v, other.v),
        "logits rows": _rows(one.logits, other.logits),
        "token lists": Tally(differing=int(one.tokens != other.tokens), compared=1),
    }


def _rows(a: np.ndarray, b: np.ndarray) -> Tally:
    different = (bits.words(a) != bits.words(b)).any(axis=-1)
    return Tally(differing=int(different.sum()), compared=different.size)


def add(a: dict[str, Tally], b: dict[str, Tally]) -> dict[str, Tally]:
    return {what: a[what] + tally if what in a else tally for what, tally in b.items()}


def merged(counts: Sequence[Count]) -> list[Count]:
    """Counts of the same way, peer and settings (of several models) as one."""
    table: dict[tuple[str, str, str], Count] = {}
    for count in counts:
        key = (count.name, count.peer, str(count.settings))
        before = table[key].tallies if key in table else {}
        table[key] = count.model_copy(update={"tallies": add(before, count.tallies)})
    return list(table.values())


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run on n threads. With more than one, the fixed-order kernels share any work, however small."""
    before = torch.get_num_threads(), fixed_c.MIN_WORK
    torch.set_num_threads(n)
    fixed_c.MIN_WORK = 1 if n > 1 else before[1]
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        fixed_c.MIN_WORK = before[1]
