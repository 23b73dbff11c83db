"""Which planted caches a submission meets: drawn by the hidden seed, every class among them."""

from __future__ import annotations

import random

from checker.lab02.zoo.alone import ALONE
from checker.lab02.zoo.extended import EXTENDED
from checker.lab02.zoo.mutant import Mutant, Planted

ALWAYS = "sign-of-zero"  # the one that a comparison with != lets pass
ASKED = (0, 4, 8)  # of the hidden prompts: one of each kind
N_ALONE = 3


def sample(hidden_seed: int) -> list[Planted]:
    """Seven: the sign of zero, three more that one sequence shows, and one each for the batch, the warm cache and the
    long run."""
    rng = random.Random(f"zoo/{hidden_seed}")
    alone = [mutant for mutant in ALONE if mutant.id != ALWAYS]
    chosen: list[Mutant] = [mutant for mutant in ALONE if mutant.id == ALWAYS]
    chosen += rng.sample(alone, N_ALONE)
    chosen += [rng.choice([m for m in EXTENDED if m.seen == seen]) for seen in ("batch", "warm", "long")]
    return [Planted.drawn(mutant, str(hidden_seed)) for mutant in chosen]
