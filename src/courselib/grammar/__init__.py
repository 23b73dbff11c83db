"""The verb grammar: sentences whose adverbial decides the tense of the verb, in English and in Spanish.

    Yesterday I worked at home but tomorrow he will play in the park.

A sentence has one to three clauses; a clause is adverbial + pronoun + verb group + optional complement. It is
small enough to judge every sentence a model writes, and rich enough that a verb depends on words read before.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TypeVar

from courselib.grammar.conjugate import PERSONS, TENSES
from courselib.grammar.judging import Judgement, judge
from courselib.grammar.language import Clause, Language, capitalised, read_language

__all__ = ["PERSONS", "TENSES", "Clause", "Grammar", "Judgement", "Language", "join", "load_grammar", "pick"]

Item = TypeVar("Item")


def pick(rng: random.Random, items: Sequence[Item]) -> Item:
    """One of the items. Uses `rng.random()` alone: the only method whose stream Python promises to keep."""
    return items[int(rng.random() * len(items))]


def pick_common(rng: random.Random, items: Sequence[Item]) -> Item:
    """One of the items, the earlier the likelier: of 41, the first 16 % of the time and the last 1 %. Words of a real
    language are uneven like this; a model that learns it has a favourite, and says "worked" after "Yesterday I"."""
    return items[int(rng.random() ** 2 * len(items))]


def join(clauses: Sequence[Clause]) -> str:
    """The sentence that the clauses make, with its capital letter and its full stop."""
    return capitalised(" ".join(word for clause in clauses for word in clause.words())) + "."


@dataclass(frozen=True)
class Grammar:
    """Languages, and the sentences that can be made of them. Get the course's one from `load_grammar()`."""

    by_code: dict[str, Language]

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self.by_code)

    def language(self, code: str) -> Language:
        """Raises ValueError for a language that the grammar does not have."""
        if code not in self.by_code:
            raise ValueError(f"unknown language {code!r}: the grammar has {', '.join(self.by_code)}")
        return self.by_code[code]

    @cached_property
    def verb_forms(self) -> tuple[str, ...]:
        """Every distinct verb form, auxiliaries included, in a fixed order."""
        groups = (group for language in self.by_code.values() for group in language.readings)
        return tuple(dict.fromkeys(word for group in groups for word in group.split()))

    @property
    def n_verb_forms(self) -> int:
        return len(self.verb_forms)

    def words(self) -> list[str]:
        """Every word of every sentence, distinct, in a fixed order; the full stop comes first."""
        return list(dict.fromkeys([".", *(w for lang in self.by_code.values() for w in lang.words)]))

    # ---------------------------------------------------------------------------------------- writing

    def clauses(self, rng: random.Random, language: str | None = None) -> list[Clause]:
        """One to three clauses in one language, each with a tense of its own. None: any language."""
        lang = self.language(pick(rng, self.languages) if language is None else language)
        return [self._clause(rng, lang, first=i == 0) for i in range(pick(rng, (1, 1, 2, 2, 3)))]

    def _clause(self, rng: random.Random, lang: Language, first: bool) -> Clause:
        tense = pick(rng, TENSES)
        pronoun = pick(rng, tuple(lang.pronouns))
        return Clause(
            connector="" if first else pick(rng, lang.connectors),
            adverbial=pick(rng, lang.adverbials[tense]),
            pronoun=pronoun,
            group=pick_common(rng, lang.verbs)[tense, lang.pronouns[pronoun]],
            complement=pick(rng, lang.complements) if rng.random() < 0.75 else "",
            tense=tense,
        )

    def sentence(self, rng: random.Random, language: str | None = None) -> str:
        """One random sentence. Raises ValueError for an unknown language."""
        return join(self.clauses(rng, language))

    def corpus(self, n: int, seed: int) -> list[str]:
        """n distinct sentences: the same ones for the same seed, on any machine and any Python."""
        rng = random.Random(seed)
        sentences: dict[str, None] = {}
        while len(sentences) < n:
            sentences[self.sentence(rng)] = None
        return list(sentences)

    # ---------------------------------------------------------------------------------------- judging

    def judge(self, text: str, complete_only: bool = False) -> list[Judgement]:
        """Judge each sentence of a text strictly, clause by clause: does the verb agree with its adverbial's
        tense and its pronoun's person? A form with several readings agrees if any of them does.
        `complete_only` leaves out a last sentence that has no full stop; otherwise it does not agree.
        """
        return judge(text, tuple(self.by_code.values()), complete_only)

    def tense_of(self, word: str, language: str | None = None) -> set[str]:
        """The tenses that a word right after a pronoun can announce: "worked" -> {"past"}, "will" ->
        {"future"}, "read" -> {"past", "present"}; an empty set if no verb group starts with it.
        """
        languages = self.by_code.values() if language is None else [self.language(language)]
        return {
            tense
            for lang in languages
            for group, readings in lang.readings.items()
            if group.split()[0] == word
            for tense, _ in readings
        }


@cache
def load_grammar() -> Grammar:
    """The grammar of the course: English ("en") and Spanish ("es")."""
    return Grammar({code: read_language(code) for code in ("en", "es")})
