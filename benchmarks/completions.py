"""One prompt in many random batches: how many different completions come out, and do its logits ever differ?

Greedy, left-padded, by transformers' own generate. The first batch is the prompt alone; in every other it stands at a
random place among random neighbours, some shorter and some longer than itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .gpu import rows_differing
from .record import Record
from .schema import Count, Tally

BATCHES, LARGEST = 200, 32  # batches, and sequences in the largest
PROMPT, NEW_TOKENS = 16, 16


@dataclass(frozen=True)
class Batch:
    """Left-padded prompts: ids, mask (B, T). THE prompt is in row `row`."""

    ids: Tensor
    mask: Tensor
    row: int


def batch_of(rows: list[list[int]], row: int) -> Batch:
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(r)) + r for r in rows])
    mask = torch.tensor([[0] * (longest - len(r)) + [1] * len(r) for r in rows])
    return Batch(ids, mask, row)


def random_batches(n: int, vocabulary: int, seed: int = 5) -> list[Batch]:
    """A random prompt alone, and then in n - 1 random batches."""
    draw = random.Random(seed)

    def tokens(length: int) -> list[int]:
        return [draw.randrange(1, vocabulary) for _ in range(length)]

    prompt = tokens(PROMPT)
    batches = [batch_of([prompt], 0)]
    for _ in range(n - 1):
        rows = [tokens(draw.randint(1, 2 * PROMPT)) for _ in range(draw.randint(1, LARGEST - 1))]
        place = draw.randint(0, len(rows))
        batches.append(batch_of([*rows[:place], prompt, *rows[place:]], place))
    return batches


def complete(model: Any, batch: Batch) -> tuple[list[int], Tensor]:
    """THE prompt's greedy completion, and the logits (NEW_TOKENS, V) that its tokens were chosen from."""
    answer = model.generate(
        batch.ids.to(model.device), attention_mask=batch.mask.to(model.device), max_new_tokens=NEW_TOKENS,
        min_new_tokens=NEW_TOKENS, do_sample=False, output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    return answer.sequences[batch.row, -NEW_TOKENS:].tolist(), torch.stack([step[batch.row] for step in answer.logits])


class Tallied:
    """Completions of one prompt as they come, each compared with the first (its own, the same bytes: not counted)."""

    def __init__(self, tokens: list[int], logits: Tensor) -> None:
        self._first = tokens, logits
        self.unique = {tuple(tokens)}
        self.tallies: dict[str, Tally] = {}

    def add(self, tokens: list[int], logits: Tensor) -> None:
        """After its first other token a completion is another text, whose logits are not compared."""
        first, rows = self._first
        other = [i for i, (a, b) in enumerate(zip(tokens, first, strict=True)) if a != b]
        n = other[0] + 1 if other else len(first)
        found = {
            "completions": Tally(differing=int(bool(other)), compared=1),
            "logits rows": rows_differing(logits[:n], rows[:n]),
        }
        self.unique.add(tuple(tokens))
        self.tallies = {what: t + self.tallies[what] if self.tallies else t for what, t in found.items()}


def prove(record: Record, model: Any, modes: Mapping[str, Callable[[], AbstractContextManager[object]]]) -> None:
    """Every batch under every mode in turn; a Count and a note for each mode."""
    batches = random_batches(4 if record.quick else BATCHES, model.config.vocab_size)
    found: dict[str, Tallied] = {}
    for batch in record.track(batches, "proof"):
        for name, mode in modes.items():
            with mode():
                answer = complete(model, batch)
            if name in found:
                found[name].add(*answer)
            else:
                found[name] = Tallied(*answer)
    for name, tallied in found.items():
        if not tallied.tallies:
            continue  # time ran out before a second batch, as the record says: there is nothing to compare
        n = 1 + tallied.tallies["completions"].compared
        settings: dict[str, int | str] = {"batches": n, "new tokens": NEW_TOKENS, "unique": len(tallied.unique)}
        record.add(
            Count(name="one prompt in random batches", peer=name, settings=settings, tallies=tallied.tallies),
            f"{name}: {len(tallied.unique)} different completions of one prompt in {n} batches",
        )
