"""The prompts a submission is asked about: the lab's own, which everyone knows, and hidden ones, drawn afresh."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from functools import cache

from courselib.grammar.prompts import Prompt, sample_prompts
from courselib.tokenizer import WordTokenizer

LAB_SEED = 1
FLAGSHIP = "Yesterday I"
EXTENDED_SEEDS = {"long": 2000, "batch0": 2001, "batch1": 2002, "batch2": 2003, "batch3": 2004, "warm": 2005}
BATCH = (0, 20, 30, 40)  # lab prompts of the batch of four: two short, one middling, one long
WARM = 40  # the lab prompt whose end meets a warm cache


@dataclass(frozen=True)
class Ask:
    """One generation to make twice, with a cache and without. The same fields as in a --prompts file."""

    id: str
    prompt: str
    kind: str
    seed: int

    def to_json(self) -> dict[str, str | int]:
        return asdict(self)


@cache
def lab_prompts() -> tuple[Ask, ...]:
    return tuple(Ask(f"p{i:02}", p.text, p.kind, 1000 + i) for i, p in enumerate(sample_prompts(LAB_SEED)))


@cache
def hidden_prompts(seed: int) -> tuple[Ask, ...]:
    """Ten prompts in the lab's mix; their generation seeds follow from ``seed`` too, and from no pattern."""
    rng = random.Random(seed)
    prompts: list[Prompt] = sample_prompts(seed, n_adverbial=4, n_partial=4, n_mixed=2)
    return tuple(Ask(f"h{i:02}", p.text, p.kind, rng.randrange(2**31)) for i, p in enumerate(prompts))


def hidden_dump(seed: int) -> str:
    """The other prompt that dump.py is asked about: a hidden one of four words or more, so that no slot is as in the
    lab's own."""
    return next(ask.prompt for ask in hidden_prompts(seed) if ask.kind == "partial")


@cache
def extended_prompts() -> tuple[Ask, ...]:
    """In the order long, batch0 .. batch3, warm."""
    lab = lab_prompts()
    chosen = [lab[0], *(lab[i] for i in BATCH), lab[WARM]]
    named = zip(EXTENDED_SEEDS.items(), chosen, strict=True)
    return tuple(Ask(name, ask.prompt, ask.kind, seed) for (name, seed), ask in named)


@cache
def n_tokens(prompt: str) -> int:
    return len(_tokenizer().encode(prompt))


def word(token: int) -> str:
    return _tokenizer().decode([token])


@cache
def _tokenizer() -> WordTokenizer:
    return WordTokenizer.from_grammar()
