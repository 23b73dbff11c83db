"""From a verb's base to its verb groups: the regular rules of English and Spanish.

A verb is a table from (tense, person) to its verb group, the words that follow the pronoun:
`("progressive", "1s") -> "am working"`. Irregular forms never come from here: the TOML files spell them out.
"""

import re
from collections.abc import Mapping, Sequence

TENSES = ("past", "present", "future", "progressive")
PERSONS = ("1s", "2s", "3s", "1p", "3p")

Verb = dict[tuple[str, str], str]
Auxiliaries = Mapping[str, Sequence[str]]

# ------------------------------------------------------------------------------------------------ English


def english_regular(base: str) -> list[str]:
    """[third person singular, past, gerund] of a regular verb: work -> works, worked, working."""
    if re.search(r"[^aeiou]y$", base):  # study -> studies, studied, studying
        return [base[:-1] + "ies", base[:-1] + "ied", base + "ing"]
    third = base + ("es" if re.search(r"(s|x|z|ch|sh)$", base) else "s")  # relax -> relaxes
    if base.endswith("e"):  # dance -> danced, dancing
        return [third, base + "d", base[:-1] + "ing"]
    if re.search(r"^[^aeiou]*[aeiou][^aeiouwxy]$", base):  # one short syllable: stop -> stopped, stopping
        base += base[-1]
    return [third, base + "ed", base + "ing"]


def english_verb(base: str, forms: Sequence[str], auxiliaries: Auxiliaries) -> Verb:
    """The verb groups of a verb from its base and its [third person singular, past, gerund]."""
    third, past, gerund = forms
    verb: Verb = {}
    for i, person in enumerate(PERSONS):
        verb["past", person] = past
        verb["present", person] = third if person == "3s" else base
        verb["future", person] = f"{auxiliaries['future'][i]} {base}"
        verb["progressive", person] = f"{auxiliaries['progressive'][i]} {gerund}"
    return verb


# ------------------------------------------------------------------------------------------------ Spanish

_ENDINGS = {
    "ar": {"past": "é aste ó amos aron", "present": "o as a amos an", "gerund": "ando"},
    "er": {"past": "í iste ió imos ieron", "present": "o es e emos en", "gerund": "iendo"},
    "ir": {"past": "í iste ió imos ieron", "present": "o es e imos en", "gerund": "iendo"},
}
_FUTURE = "é ás á emos án"  # added to the whole infinitive

SpanishForms = Mapping[str, Sequence[str]]  # past, present, future: a form a person; gerund: one word


def spanish_regular(infinitive: str) -> SpanishForms:
    """The forms of a regular verb: its stem with the endings of its class, -ar, -er or -ir."""
    stem, endings = infinitive[:-2], _ENDINGS[infinitive[-2:]]
    return {
        "past": [stem + ending for ending in endings["past"].split()],
        "present": [stem + ending for ending in endings["present"].split()],
        "future": [infinitive + ending for ending in _FUTURE.split()],
        "gerund": stem + endings["gerund"],
    }


def spanish_verb(forms: SpanishForms, auxiliaries: Auxiliaries) -> Verb:
    """The verb groups of a verb from its forms, laid out as in `spanish.toml`."""
    verb: Verb = {}
    for i, person in enumerate(PERSONS):
        for tense in ("past", "present", "future"):
            verb[tense, person] = forms[tense][i]
        verb["progressive", person] = f"{auxiliaries['progressive'][i]} {forms['gerund']}"
    return verb
