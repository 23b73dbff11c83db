"""Prompts for property tests: beginnings of sentences, drawn from the grammar with a seed of their own."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from courselib.grammar import Grammar, join, load_grammar, pick
from courselib.grammar.language import capitalised

Kind = Literal["adverbial", "partial", "mixed"]

_PATIENCE = 10_000  # draws in a row with nothing new before we call a kind exhausted


@dataclass(frozen=True)
class Prompt:
    """The beginning of a sentence (never its full stop) and the kind of beginning it is."""

    text: str
    kind: Kind


def sample_prompts(seed: int, n_adverbial: int = 20, n_partial: int = 20, n_mixed: int = 10) -> list[Prompt]:
    """Distinct prompts, the same for the same seed on any machine, in the order of these kinds:

    - adverbial: "<adverbial> <pronoun>";
    - partial: the first 4 to 8 words of a longer sentence;
    - mixed: the first 10 or more words of a longer sentence, with verbs of at least two tenses among them.

    Raises ValueError if more of a kind are asked for than exist.
    """
    grammar = load_grammar()
    rng = random.Random(seed)
    openings = _openings(grammar)
    if n_adverbial > len(openings):
        raise _too_many(n_adverbial, "adverbial", len(openings))
    seen = set(openings)  # so that no partial prompt looks like an adverbial one

    prompts = []
    for _ in range(n_adverbial):
        text = pick(rng, openings)
        openings.remove(text)
        prompts.append(Prompt(text, "adverbial"))
    prompts += _draw(lambda: _partial(grammar, rng), n_partial, "partial", seen)
    prompts += _draw(lambda: _mixed(grammar, rng), n_mixed, "mixed", seen)
    return prompts


def _openings(grammar: Grammar) -> list[str]:
    """Every "<adverbial> <pronoun>" there is."""
    return [
        f"{capitalised(adverbial)} {pronoun}"
        for language in map(grammar.language, grammar.languages)
        for adverbial in language.tense_of_adverbial
        for pronoun in language.pronouns
    ]


def _partial(grammar: Grammar, rng: random.Random) -> str | None:
    words = grammar.sentence(rng).removesuffix(".").split()
    return _cut(rng, words, 4, 8)


def _mixed(grammar: Grammar, rng: random.Random) -> str | None:
    clauses = grammar.clauses(rng)
    words = join(clauses).removesuffix(".").split()
    read = 0  # words in the clauses before this one
    for clause in clauses:
        if clause.tense != clauses[0].tense:  # the second tense is read with this clause's verb
            return _cut(rng, words, max(10, read + clause.words_to_verb()), len(words))
        read += len(clause.words())
    return None


def _cut(rng: random.Random, words: list[str], fewest: int, most: int) -> str | None:
    """The first `fewest` to `most` words, at least one fewer than there are; None if they are too few."""
    most = min(most, len(words) - 1)
    return " ".join(words[: pick(rng, range(fewest, most + 1))]) if fewest <= most else None


def _draw(draw: Callable[[], str | None], n: int, kind: Kind, seen: set[str]) -> list[Prompt]:
    """n prompts whose texts are not in `seen`, and are added to it."""
    prompts: list[Prompt] = []
    misses = 0
    while len(prompts) < n:
        text = draw()
        if text is None or text in seen:
            misses += 1
            if misses == _PATIENCE:
                raise _too_many(n, kind, len(prompts))
            continue
        misses = 0
        seen.add(text)
        prompts.append(Prompt(text, kind))
    return prompts


def _too_many(n: int, kind: Kind, found: int) -> ValueError:
    return ValueError(f"asked for {n} distinct {kind} prompts, but there are only {found}: ask for fewer")
