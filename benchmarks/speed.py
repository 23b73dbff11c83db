"""How many tokens a second: MiniGPT on fixed-order ops, the same model on stock ops, and in Hugging Face transformers.

Greedy, float32, every prompt of a batch equally long. The two ops run the same Python; transformers runs its own, both
through its `generate` and in a bare loop (lest generate's overhead be all that is measured), each with both of its
caches: the dynamic one grows, the static one is allocated once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from courselib.generate import generate
from courselib.grammar.prompts import sample_prompts
from courselib.kernels import use_ops
from courselib.minigpt import MiniGPT
from courselib.tokenizer import WordTokenizer

from . import llama
from .race import Peers, Tick, race
from .schema import Row

PROMPT = 4  # tokens in a prompt
SEED = 2002  # of the prompts


@dataclass(frozen=True)
class Event:
    """One row to be: how many sequences side by side, on how many threads, how often, for how many tokens."""

    batch: int
    threads: int
    rounds: int
    cache: bool = True
    new_tokens: int = 256

    @property
    def with_llama(self) -> bool:
        """transformers takes part where everyone has a cache and a thread to themselves."""
        return self.cache and self.threads == 1


def events(quick: bool, cores: int) -> list[Event]:
    """What is timed. On two threads only where there are two cores."""
    if quick:
        return [Event(1, 1, 2), Event(4, 1, 2), Event(1, 1, 2, cache=False, new_tokens=64)]
    on_one = [Event(1, 1, 7), Event(4, 1, 7), Event(1, 1, 3, cache=False), Event(4, 1, 3, cache=False, new_tokens=128)]
    on_two = [Event(1, 2, 3, new_tokens=64), Event(4, 2, 3, new_tokens=64)]  # where others work too, these crawl
    return on_one + (on_two if cores > 1 else [])


def runs(event: Event, with_llama: bool) -> int:
    """How often `run` will tick."""
    return (event.rounds + 1) * (2 + (4 if with_llama and event.with_llama else 0))


def run(event: Event, model: MiniGPT, there: Any, tick: Tick) -> Row:
    """Time one event. there: the model in transformers, or None to leave it out."""
    tokenizer = WordTokenizer.from_grammar()
    texts = [p.text for p in sample_prompts(SEED, 0, event.batch, 0)]  # of 4 to 8 words each
    prompts = [tokenizer.encode(text)[:PROMPT] for text in texts]
    n = event.new_tokens
    peers: Peers = {ops: partial(_ours, ops, prompts, n, event.cache, model) for ops in ("fixed-c", "stock")}
    if there is not None and event.with_llama:
        ids = torch.tensor(prompts)
        ways: dict[str, Callable[..., object]] = {"generate": llama.by_generate, "loop": llama.by_hand}
        for name, way in ways.items():
            for static in (False, True):
                peers[f"transformers {name}, {'static' if static else 'dynamic'}"] = partial(way, there, ids, n, static)
    before = torch.get_num_threads()
    torch.set_num_threads(event.threads)
    try:
        settings: dict[str, int | str] = {"B": event.batch, "new tokens": n, "threads": event.threads}
        name = "cached generation" if event.cache else "uncached generation"
        return race(name, peers, event.rounds, settings, event.batch * n, "tokens/s", tick)
    finally:
        torch.set_num_threads(before)


def _ours(ops: str, prompts: list[list[int]], n: int, cache: bool, model: MiniGPT) -> None:
    with use_ops(ops):
        generate(prompts, n, cache=cache, temperature=0, model=model)
