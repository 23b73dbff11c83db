"""The tasks of lab 03, by the id that lab.toml gives them.

Each yields a finding for each fault and a plain string for what is worth knowing; one that yields no finding has
passed. A Refusal (a file that cannot be read) ends it with that finding. Five also say what became of the claims they
looked into, and four give a part of their points for a part of the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from checker.check import Item, with_claims
from checker.lab03 import ledger, stored
from checker.lab03.fitting import analysis, fit
from checker.lab03.formulas import costs, generation
from checker.lab03.honesty import figure
from checker.lab03.predicting import prediction
from checker.lab03.work import Work
from checker.texts import writing

TASKS: dict[str, Callable[[Work], Iterator[Item]]] = {
    "manifest": with_claims(stored.manifest, ledger.of_the_manifest),
    "results": with_claims(stored.results, ledger.of_the_results),
    "costs": costs,
    "generation": generation,
    "fit": fit,
    "analysis": with_claims(analysis, ledger.of_the_analysis),
    "figure": with_claims(figure, ledger.of_the_figure),
    "prediction": with_claims(prediction, ledger.of_the_prediction),
    "writing": writing,
}
