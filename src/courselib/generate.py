"""generate: tokens out of a model, with a KV cache or without, and the same ones either way."""

from __future__ import annotations

import operator
import random
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch

from .kernels import current_ops
from .kv_cache import KVCache
from .minigpt import MiniGPT, load_minigpt
from .tokenizer import WordTokenizer
from .trace import Trace

Prompt = str | Sequence[int]


@torch.no_grad()
def generate(
    prompt: Prompt | Sequence[Prompt],
    max_new_tokens: int,
    *,
    cache: bool | KVCache = True,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int | Sequence[int] | None = None,
    stop: Collection[int] = (),
    prefill_chunk: int | None = None,
    padding: str = "right",
    model: MiniGPT | None = None,
    tokenizer: Any = None,
    trace: Trace | None = None,
) -> Any:
    """Continue a prompt, or a batch of prompts of any lengths, by up to max_new_tokens tokens each.

    prompt: text or token ids, or a list of those. Answers the new ids as list[int], for a batch list[list[int]].
    cache: True decodes with a fresh KVCache, False recomputes everything at every step. A KVCache of yours, or anything
        else with its lengths, first, append and read, continues from what it holds (its slots come before the
        prompt's); the last token answered is not in it yet.
    temperature: 0 takes the largest logit (the lowest id of several); above 0 draws from softmax(logits / temperature),
        among the top_k largest if given.
    seed: what is drawn depends on (seed, step) alone, never on the rest of the batch. A batch takes a list of seeds, or
        one: row i then uses seed + i. None draws one from Python's `random`, which `seed_everything` sets.
    stop: token ids that end a sequence; the stop token is the last one answered.
    prefill_chunk: feed the prompt in pieces of at most this many tokens (with a cache).
    padding: the side on which a batch's shorter prompts are filled up, "right" or "left".
    model, tokenizer: the shipped MiniGPT and its WordTokenizer by default.
    Raises ValueError for an empty prompt, ids outside the vocabulary, a sequence longer than the model's max_slots, or
        logits of which the largest is NaN or infinite.
    """
    model = load_minigpt() if model is None else model
    single, prompts = _as_batch(prompt, tokenizer, model.config.vocab_size)
    B = len(prompts)
    rngs = [random.Random(s) for s in _seeds(seed, B)]
    if max_new_tokens < 0 or not temperature >= 0 or (top_k is not None and top_k < 1) or (prefill_chunk or 1) < 1:
        raise ValueError("max_new_tokens and temperature must not be negative; top_k and prefill_chunk at least 1")
    if padding not in ("right", "left"):
        raise ValueError(f'padding must be "right" or "left", got "{padding}"')

    if cache is True:
        cache = KVCache.for_model(model, batch=B)
    kv = None if cache is False else cache
    if kv is not None and len(kv.lengths) != B:
        raise ValueError(f"the cache holds {len(kv.lengths)} sequences, {B} prompts were given")
    warm = kv is not None and any(kv.lengths)
    if warm and padding == "left":
        raise ValueError("a cache that already holds slots continues without left padding")
    width = max(map(len, prompts))
    first = [width - len(p) if padding == "left" else 0 for p in prompts]
    sequences = [[0] * pad + list(p) for pad, p in zip(first, prompts, strict=True)]
    if kv is not None:
        first = kv.first = kv.first if warm else first
    answers: list[list[int]] = [[] for _ in prompts]
    pending = [list(s) for s in sequences]  # what the cache has not seen yet
    live = list(range(B)) if max_new_tokens else []

    for step in range(max_new_tokens):
        if not live:
            break
        if trace is not None:
            trace.step = step
        if kv is None:
            logits = _forward(model, sequences, None, first, trace)
        else:
            size = prefill_chunk or max(map(len, pending))
            while max(map(len, pending)) > size:  # every row keeps at least its last token for the deciding pass
                chunk = [row[: min(size, len(row) - 1)] for row in pending]
                _forward(model, chunk, kv, first, trace)
                pending = [row[len(part) :] for row, part in zip(pending, chunk, strict=True)]
            logits = _forward(model, pending, kv, first, trace)
        for b in live:
            answers[b].append(_choose(logits[b], temperature, top_k, rngs[b]))
        live = [b for b in live if answers[b][-1] not in stop]
        # A finished row rides along: it is fed nothing more, holds what it held, and its logits are not looked at.
        pending = [[] for _ in range(B)]
        for b in live:
            pending[b] = answers[b][-1:]
            sequences[b] += pending[b]
    return answers[0] if single else answers


def _forward(
    model: MiniGPT, rows: Sequence[Sequence[int]], kv: KVCache | None, first: list[int], trace: Trace | None
) -> torch.Tensor:
    T = max(map(len, rows))
    tokens = torch.tensor([list(row) + [0] * (T - len(row)) for row in rows], device=model.embed.device)
    count = [len(row) for row in rows]
    return model(tokens, kv, first=first, count=count, last_only=True, trace=trace).cpu()


def _choose(logits: torch.Tensor, temperature: float, top_k: int | None, rng: random.Random) -> int:
    """One token from logits (V,). `random.random()` is the one stream that Python promises to keep between versions."""
    best = int(np.argmax(logits.numpy()))  # the first of several largest; a NaN counts as largest
    if not logits[best].isfinite():
        raise ValueError(f"the model gave {logits[best].item()} as the logit of token {best}: nothing can be drawn")
    if temperature < np.finfo(np.float32).tiny:  # nothing float32 can divide by: the limit is the largest logit
        return best
    p = current_ops().softmax(_top((logits - logits[best]) / temperature, top_k))  # none above 0: nothing overflows
    edges = np.cumsum(p.numpy(), dtype=np.float64)  # one addition after another, in id order
    drawn = min(rng.random() * edges[-1], np.nextafter(edges[-1], 0))  # the product may round up to the whole
    return int(np.searchsorted(edges, drawn, side="right"))


def _top(logits: torch.Tensor, k: int | None) -> torch.Tensor:
    """The k largest logits (of equal ones, those of the lowest ids) as they are, all others -inf."""
    if k is None or k >= len(logits):
        return logits
    kept = torch.full_like(logits, -torch.inf)
    ids = np.argsort(-logits.numpy(), kind="stable")[:k].copy()
    kept[ids] = logits[ids]
    return kept


def _seeds(seed: int | Sequence[int] | None, B: int) -> list[int]:
    if seed is None:
        seed = random.getrandbits(32)
    seeds = [int(seed) + row for row in range(B)] if isinstance(seed, int | np.integer) else list(seed)
    if len(seeds) != B:
        raise ValueError(f"{len(seeds)} seeds were given for {B} prompts: give one number, or one for each prompt")
    if min(seeds) < 0:  # Python's generator drops the sign: -1 and 1 would draw the same
        raise ValueError(f"seed {min(seeds)} is negative: expected 0 or more")
    return [operator.index(s) for s in seeds]


def _as_batch(prompt: Any, tokenizer: Any, vocab_size: int) -> tuple[bool, list[list[int]]]:
    """(was it one prompt?, its ids as a batch)."""
    single = isinstance(prompt, str) or (len(prompt) > 0 and isinstance(prompt[0], int | np.integer))
    prompts = []
    for row, p in enumerate([prompt] if single else prompt):
        if isinstance(p, str):
            tokenizer = tokenizer or WordTokenizer.from_grammar()
            p = tokenizer.encode(p)
        try:
            ids = [operator.index(i) for i in p]
        except TypeError:
            raise TypeError(f"prompt {row} is {p!r}: expected text or a list of token ids") from None
        if not ids:
            raise ValueError(f"prompt {row} is empty: generation needs at least one token to start from")
        if bad := [i for i in ids if not 0 <= i < vocab_size]:
            raise ValueError(f"prompt {row} holds id {bad[0]}: the vocabulary has ids 0 to {vocab_size - 1}")
        prompts.append(ids)
    if not prompts:
        raise ValueError("no prompt was given: expected text, token ids, or a list of those")
    return single, prompts
