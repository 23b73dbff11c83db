"""What is the same for a whole class, recomputed once: the checks that follow in this process remember it."""

from __future__ import annotations

from checker.check import Options
from checker.lab02 import recompute
from checker.lab02.prompts import FLAGSHIP, hidden_dump, hidden_prompts, lab_prompts
from checker.lab02.zoo import POISON, Planted, oracle
from checker.lab02.zoo.sample import ASKED, sample


def warm(wanted: set[str], options: Options) -> None:
    recompute.promise()
    if wanted & {"slots", "dump"}:
        recompute.slots(FLAGSHIP)
    if "dump" in wanted and options.hidden_seed is not None:
        recompute.slots(hidden_dump(options.hidden_seed))
    if "property" in wanted:
        recompute.truths(lab_prompts(), _silent)
        if options.hidden_seed is not None:
            recompute.truths(hidden_prompts(options.hidden_seed), _silent)
    if "extended" in wanted:
        recompute.extended_truths(_silent)
    if "catches" in wanted and options.hidden_seed is not None:
        prompts = hidden_prompts(options.hidden_seed)
        asks = tuple(prompts[i] for i in ASKED)
        for planted in (Planted.drawn(POISON, str(options.hidden_seed)), *sample(options.hidden_seed)):
            if planted.mutant.seen == "alone":
                oracle.accounts(planted, asks)
            else:
                oracle.extended_accounts(planted)


def _silent(more: int) -> None:
    pass
