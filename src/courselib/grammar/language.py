"""One language of the grammar: its words, read from a TOML file, and the clause they make."""

import tomllib
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

from courselib.grammar.conjugate import (
    Verb,
    english_regular,
    english_verb,
    spanish_regular,
    spanish_verb,
)

_FILES = {"en": "english.toml", "es": "spanish.toml"}


def capitalised(phrase: str) -> str:
    """The phrase as it stands at the start of a sentence."""
    return phrase[0].upper() + phrase[1:]


@dataclass(frozen=True)
class Language:
    """The words of one language. Phrases ("last week", "am working") are words joined by one space."""

    code: str
    adverbials: dict[str, tuple[str, ...]]  # tense -> adverbials, written as inside a sentence
    pronouns: dict[str, str]  # pronoun -> person
    verbs: tuple[Verb, ...]
    complements: tuple[str, ...]
    connectors: tuple[str, ...]

    @cached_property
    def tense_of_adverbial(self) -> dict[str, str]:
        return {phrase: tense for tense, phrases in self.adverbials.items() for phrase in phrases}

    @cached_property
    def readings(self) -> dict[str, set[tuple[str, str]]]:
        """Verb group -> every (tense, person) it may express. "read" has past and present ones."""
        table: dict[str, set[tuple[str, str]]] = {}
        for verb in self.verbs:
            for reading, group in verb.items():
                table.setdefault(group, set()).add(reading)
        return table

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Every word that can appear in a sentence, distinct, in the order of the data."""
        adverbials = list(self.tense_of_adverbial)
        phrases = [*map(capitalised, adverbials), *adverbials, *self.pronouns, *self.connectors]
        phrases += [*self.complements, *self.readings]
        return tuple(dict.fromkeys(word for phrase in phrases for word in phrase.split()))


@dataclass(frozen=True)
class Clause:
    """One clause: "but" + "tomorrow" + "he" + "will play" + "in the park"."""

    connector: str  # "" in a sentence's first clause
    adverbial: str
    pronoun: str
    group: str
    complement: str  # may be ""
    tense: str

    def words(self) -> list[str]:
        return f"{self.connector} {self.adverbial} {self.pronoun} {self.group} {self.complement}".split()

    def words_to_verb(self) -> int:
        """How many words of the clause it takes to have read its verb."""
        return len(self.words()) - len(self.complement.split())


def read_language(code: str) -> Language:
    """Read "en" or "es" from the TOML file beside this module."""
    text = files("courselib.grammar").joinpath(_FILES[code]).read_text(encoding="utf-8")
    data = tomllib.loads(text)
    regular, irregular = data["verbs"]["regular"], data["verbs"]["irregular"]
    auxiliaries = data["auxiliaries"]
    if code == "en":
        forms = {base: english_regular(base) for base in regular} | irregular
        verbs = [english_verb(base, forms[base], auxiliaries) for base in forms]
    else:
        forms = {infinitive: spanish_regular(infinitive) for infinitive in regular} | irregular
        verbs = [spanish_verb(forms[infinitive], auxiliaries) for infinitive in forms]
    return Language(
        code=code,
        adverbials={tense: tuple(phrases) for tense, phrases in data["adverbials"].items()},
        pronouns=data["pronouns"],
        verbs=tuple(verbs),
        complements=tuple(data["complements"]),
        connectors=tuple(data["connectors"]),
    )
