import hashlib

import pytest

from courselib.grammar import Grammar, load_grammar, prompts
from courselib.grammar.language import Language, capitalised, read_language
from courselib.grammar.prompts import Prompt, sample_prompts

GRAMMAR = load_grammar()
OPENINGS = {
    f"{capitalised(adverbial)} {pronoun}"
    for lang in GRAMMAR.by_code.values()
    for adverbial in lang.tense_of_adverbial
    for pronoun in lang.pronouns
}


def of_kind(kind: str, sample: list[Prompt]) -> list[str]:
    return [prompt.text for prompt in sample if prompt.kind == kind]


def tenses_read(text: str) -> set[str]:
    """Tenses of the clauses whose verb is read, by the judge alone: the longest prefix it accepts."""
    words = text.split()
    for n in range(len(words), 2, -1):
        (judgement,) = GRAMMAR.judge(" ".join(words[:n]) + ".")
        if judgement.agrees:
            return set(judgement.reason.split(", "))
    return set()


def can_begin_a_sentence(text: str) -> bool:
    """Some way of going on is grammatical: try to finish the phrase that was cut, then the clause."""
    endings = ["", *(" " + e for lang in GRAMMAR.by_code.values() for e in finishing(lang))]
    tails = {text + ending for ending in endings}
    for ending in endings[1:]:  # a phrase cut in the middle: "in the" goes on as "in the park"
        words = ending.split()
        for k in range(1, len(words)):
            if text.endswith(" " + " ".join(words[:k])):
                tails.add(text + " " + " ".join(words[k:]))
    return any(GRAMMAR.judge(tail + ".")[0].agrees for tail in tails)


def finishing(lang: Language) -> list[str]:
    verb = lang.verbs[0]
    clauses = [
        f"{adverbial} {pronoun} {verb[tense, person]}"
        for adverbial, tense in lang.tense_of_adverbial.items()
        for pronoun, person in lang.pronouns.items()
    ]
    groups = [*lang.readings]
    rest = [f"{pronoun} {verb[t, p]}" for pronoun, p in lang.pronouns.items() for t in lang.adverbials]
    return [*lang.complements, *clauses, *groups, *rest]


@pytest.mark.parametrize("seed", range(20))
def test_kinds_counts_and_order(seed: int) -> None:
    sample = sample_prompts(seed)
    assert [prompt.kind for prompt in sample] == ["adverbial"] * 20 + ["partial"] * 20 + ["mixed"] * 10
    assert len({prompt.text for prompt in sample}) == 50
    assert sample == sample_prompts(seed)
    assert set(of_kind("adverbial", sample)) <= OPENINGS
    for text in of_kind("partial", sample):
        assert 4 <= len(text.split()) <= 8
        assert text not in OPENINGS
    for text in of_kind("mixed", sample):
        assert 10 <= len(text.split()) <= 32
        assert len(tenses_read(text)) >= 2, text
    for prompt in sample:
        assert "." not in prompt.text
        assert set(prompt.text.split()) <= set(GRAMMAR.words())


def test_prompts_begin_grammatical_sentences() -> None:
    for prompt in sample_prompts(1):
        assert can_begin_a_sentence(prompt.text), prompt
    assert not can_begin_a_sentence("Yesterday I work")


def test_prompts_are_the_same_on_every_machine() -> None:
    """Written down once: results of the labs are recorded against these prompts."""
    text = "\n".join(f"{prompt.kind}: {prompt.text}" for prompt in sample_prompts(1))
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert digest == "5fd35271626990a68c7856189c55bb49588060e584c60e7f035451e2ef3b1554"
    assert sample_prompts(1) != sample_prompts(2)


def test_all_openings_can_be_asked_for_but_no_more() -> None:
    n = len(OPENINGS)
    assert {prompt.text for prompt in sample_prompts(0, n, 0, 0)} == OPENINGS
    with pytest.raises(ValueError, match=f"asked for {n + 1} distinct adverbial prompts, .* only {n}"):
        sample_prompts(0, n + 1, 0, 0)


@pytest.mark.parametrize("kind", ["partial", "mixed"])
def test_a_small_grammar_runs_out_of_prompts(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    full = read_language("en")
    tiny = Language(
        code="en",
        adverbials={tense: phrases[:1] for tense, phrases in full.adverbials.items()},
        pronouns={"I": "1s"},
        verbs=full.verbs[:1],
        complements=("at home",),
        connectors=("and",),
    )
    monkeypatch.setattr(prompts, "load_grammar", lambda: Grammar({"en": tiny}))
    with pytest.raises(ValueError, match=rf"asked for 5000 distinct {kind} prompts, .* only \d+"):
        sample_prompts(0, 0, **{"n_partial": 0, "n_mixed": 0, f"n_{kind}": 5000})
