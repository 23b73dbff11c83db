"""What the model gives without a cache, generated here; and with a row overwritten, on the reference. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

import courselib
from checker.lab01.given import Given
from checker.lab01.reference import Reference
from checker.lab01.schemas import Ask, AskGeneration
from courselib import bits
from courselib.generate import generate
from courselib.kernels import FIXED_ORDER, current_ops, use_ops
from courselib.minigpt import load_minigpt, weights_sha256
from courselib.tokenizer import WordTokenizer
from courselib.trace import Trace

POKED = 2.0  # as exercise.py has it
KEPT = ("k", "v", "logits")

torch.set_num_threads(1)


@dataclass(frozen=True)
class Row:
    """One prompt: its new tokens, and the words of K and V (L, H_kv, S, d_h) and of the logits (n_new, V)."""

    tokens: list[int]
    arrays: dict[str, np.ndarray]


class Plain:
    """The reference as a cache that the model can use."""

    def __init__(self, batch: int, slots: int) -> None:
        c = load_minigpt().config
        shape = {"layers": c.n_layers, "batch": batch, "kv_heads": c.n_kv_heads, "head_dim": c.head_dim, "slots": slots}
        usual = {"id": "plain", "block": "A", "cache": "contiguous", "dtype": "float32", "pages": None, "seed": 0}
        self.reference = Reference(Ask.model_validate({**usual, **shape, "ops": []}))
        self.first = [0] * batch

    @property
    def lengths(self) -> list[int]:
        return self.reference.lengths()

    def append(self, layer: int, k: Tensor, v: Tensor, count: Sequence[int] | None = None) -> None:
        k_given, v_given = (Given(tuple(x.shape), "float32", "cpu", bits.words(x)) for x in (k, v))
        self.reference.append(layer, k_given, v_given, count)

    def read(self, layer: int) -> tuple[Tensor, Tensor]:
        k, v = (torch.from_numpy(x.view(np.float32).copy()) for x in self.reference.read(layer))
        return k, v


def truth(ask: AskGeneration) -> tuple[Row, ...]:
    """Of each prompt. Remembered for the life of the process: a class is asked the lab's own again and again."""
    return _truth(ask.model_dump_json())


def without_a_poke(ask: AskGeneration) -> tuple[Row, ...]:
    return truth(ask.model_copy(update={"poke": None}))


@cache
def _truth(asked: str) -> tuple[Row, ...]:
    ask = AskGeneration.model_validate_json(asked)
    found = []
    with use_ops("fixed"):
        for prompt, seed in zip(ask.prompts, ask.seeds, strict=True):
            ids, trace = WordTokenizer.from_grammar().encode(prompt), Trace(KEPT)
            if ask.poke is None:
                tokens = generate(ids, ask.new, cache=False, seed=seed, trace=trace)
            else:
                tokens = _poked(ask, ids, seed, trace)
            k, v = trace.slots()
            arrays = {name: bits.words(x).copy() for name, x in (("k", k), ("v", v), ("logits", trace.logits()))}
            found.append(Row(tokens, arrays))
    return tuple(found)


@torch.no_grad()
def _poked(ask: AskGeneration, ids: list[int], seed: int, trace: Trace) -> list[int]:
    cache, poke = Plain(1, len(ids) + ask.new), ask.poke
    assert poke
    load_minigpt()(torch.tensor([ids[:-1]]), cache)
    cache.reference.data[poke.layer, poke.pair, 0, poke.head, poke.slot] = bits.words(np.float32(POKED))
    return list(generate(ids[-1:], ask.new, cache=cache, seed=seed, trace=trace))  # type: ignore[arg-type]


def promise() -> dict[str, str]:
    """What a manifest must say for its bytes to be the same as those here."""
    return {"order": FIXED_ORDER, "weights_sha256": weights_sha256(), "courselib": courselib.__version__}


def ops_name() -> str:
    with use_ops("fixed"):
        return str(current_ops().NAME)
