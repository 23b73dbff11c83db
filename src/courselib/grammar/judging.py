"""Is a sentence grammatical? A strict reader, written apart from the generator: it sees only the text."""

import re
import unicodedata
from collections.abc import Container, Sequence
from dataclasses import dataclass

from courselib.grammar.language import Language, capitalised

_LONGEST_PHRASE = 4  # words


@dataclass(frozen=True)
class Judgement:
    """What the judge says of one sentence. `reason` names its tenses, or the first thing wrong with it."""

    sentence: str
    agrees: bool
    reason: str


class _Fault(Exception):
    pass


def judge(text: str, languages: Sequence[Language], complete_only: bool = False) -> list[Judgement]:
    """Judge each sentence of a text; `complete_only` leaves out a last one that has no full stop."""
    text = unicodedata.normalize("NFC", text)
    sentences = [piece.strip() for piece in re.findall(r"[^.]*\.|[^.]+$", text) if piece.strip()]
    if complete_only and sentences and not sentences[-1].endswith("."):
        sentences.pop()
    return [_judge_sentence(sentence, languages) for sentence in sentences]


def _judge_sentence(sentence: str, languages: Sequence[Language]) -> Judgement:
    words = sentence.removesuffix(".").split()
    try:
        tenses = _read_clauses(words, languages)
        if not sentence.endswith("."):
            raise _Fault("the sentence does not end in a full stop")
        if sentence != " ".join(words) + ".":
            raise _Fault("words stand one space apart, and the full stop right after the last")
    except _Fault as fault:
        return Judgement(sentence, False, str(fault))
    return Judgement(sentence, True, ", ".join(tenses))


def _read_clauses(words: list[str], languages: Sequence[Language]) -> list[str]:
    """The tense of each clause; raises _Fault at the first thing that is wrong."""
    language, starts = _language_of(words, languages)
    tenses: list[str] = []
    at = 0
    while True:
        adverbial = _phrase(words, at, language.tense_of_adverbial if tenses else starts)
        if not adverbial:
            raise _Fault(f"no adverbial where one should start: {_rest(words, at)}")
        tense = (language.tense_of_adverbial if tenses else starts)[adverbial]
        at += len(adverbial.split())

        pronoun = _phrase(words, at, language.pronouns)
        if not pronoun:
            raise _Fault(f'no pronoun after "{adverbial}": {_rest(words, at)}')
        at += 1

        group = _phrase(words, at, language.readings)
        if not group:
            raise _Fault(f'no verb form after "{pronoun}": {_rest(words, at)}')
        at += len(group.split())
        readings, person = language.readings[group], language.pronouns[pronoun]
        if tense not in {reading[0] for reading in readings}:
            raise _Fault(f'"{adverbial}" asks for {tense}, but "{group}" is {_tenses(readings)}')
        if (tense, person) not in readings:
            raise _Fault(f'"{group}" does not agree with "{pronoun}" in the {tense}')
        tenses.append(tense)

        at += len(_phrase(words, at, language.complements).split())
        if at == len(words):
            return tenses
        if words[at] not in language.connectors:
            raise _Fault(f'no complement, connector or full stop after "{words[at - 1]}": {_rest(words, at)}')
        at += 1


def _language_of(words: list[str], languages: Sequence[Language]) -> tuple[Language, dict[str, str]]:
    """The language whose adverbial opens the sentence, and its adverbials with a capital letter."""
    for language in languages:
        starts = {capitalised(phrase): tense for phrase, tense in language.tense_of_adverbial.items()}
        if _phrase(words, 0, starts):
            return language, starts
    raise _Fault(f"no adverbial where one should start: {_rest(words, 0)}")


def _phrase(words: list[str], at: int, known: Container[str]) -> str:
    """The longest known phrase that starts at words[at], or ""."""
    for length in range(min(_LONGEST_PHRASE, len(words) - at), 0, -1):
        phrase = " ".join(words[at : at + length])
        if phrase in known:
            return phrase
    return ""


def _rest(words: list[str], at: int) -> str:
    return f'"{" ".join(words[at : at + 3])}"' if at < len(words) else "the sentence ends"


def _tenses(readings: set[tuple[str, str]]) -> str:
    return " or ".join(sorted({tense for tense, _ in readings}))
