"""What is the same for a whole class, generated once: the checks that follow in this process remember it."""

from __future__ import annotations

from checker.check import Options
from checker.lab01 import cases, recompute
from checker.lab01.schemas import AskGeneration


def warm(wanted: set[str], options: Options) -> None:
    if not wanted & {"generate", "pages"}:
        return
    asked = cases.lab_generations()
    if options.hidden_seed is not None:
        asked += cases.hidden_generations(options.hidden_seed)
    for ask in map(AskGeneration.model_validate, asked):
        recompute.truth(ask)
        recompute.without_a_poke(ask)
