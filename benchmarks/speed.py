"""How many tokens a second: MiniGPT on fixed-order ops, the same model on stock ops, and in Hugging Face transformers.

Greedy, float32, every prompt of a batch equally long. The two ops run the same Python; transformers runs its own, both
through its `generate` and in a bare loop, so that nobody need wonder whether it was generate's overhead that was beaten.
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
    """One row to be: how many sequences side by side, on how many threads, and who takes part."""

    batch: int
    threads: int
    rounds: int
    cache: bool = True
    new_tokens: int = 256

    def name(self) -> str:
        return f"{'cached' if self.cache else 'uncached'} generation, B={self.batch}"


def events(quick: bool, cores: int) -> list[Event]:
    """What is timed. On two threads only where there are two cores."""
    if quick:
        return [Event(1, 1, 3), Event(4, 1, 3), Event(1, 1, 1, cache=False, new_tokens=64)]
    on_one = [Event(1, 1, 7), Event(4, 1, 7), Event(1, 1, 3, cache=False), Event(4, 1, 3, cache=False, new_tokens=128)]
    return on_one + ([Event(1, 2, 3), Event(4, 2, 3)] if cores > 1 else [])


def runs(event: Event, with_llama: bool) -> int:
    """How often `run` will tick."""
    return (event.rounds + 1) * (2 + (4 if with_llama and event.cache else 0))


def run(event: Event, model: MiniGPT, there: Any, tick: Tick) -> Row:
    """Time one event. there: the model in transformers, or None to leave it out."""
    tokenizer = WordTokenizer.from_grammar()
    texts = [p.text for p in sample_prompts(SEED, 0, event.batch, 0)]  # of 4 to 8 words each
    prompts = [tokenizer.encode(text)[:PROMPT] for text in texts]
    n = event.new_tokens
    peers: Peers = {ops: partial(_ours, ops, prompts, n, event.cache, model) for ops in ("fixed-c", "stock")}
    if there is not None and event.cache:
        ids = torch.tensor(prompts)
        ways: dict[str, Callable[..., object]] = {"generate": llama.by_generate, "loop": llama.by_hand}
        for name, way in ways.items():
            for static in (False, True):
                cache = "static" if static else "dynamic"
                peers[f"transformers {name}, {cache} cache"] = partial(way, there, ids, n, static)
    before = torch.get_num_threads()
    torch.set_num_threads(event.threads)
    try:
        settings: dict[str, int | str] = {"B": event.batch, "new tokens": n, "threads": event.threads}
        return race(event.name(), peers, event.rounds, settings, event.batch * n, "tokens/s", tick)
    finally:
        torch.set_num_threads(before)


def _ours(ops: str, prompts: list[list[int]], n: int, cache: bool, model: MiniGPT) -> None:
    with use_ops(ops):
        generate(prompts, n, cache=cache, temperature=0, model=model)
