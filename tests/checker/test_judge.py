"""Cases against the truth, with the model at hand: who is contradicted decides what a wrong claim is called."""

import random

import pytest

from checker.lab02 import recompute
from checker.lab02.judge import Pair, judge, wrong
from checker.lab02.prompts import Ask, extended_prompts, hidden_prompts, lab_prompts
from checker.lab02.schemas import Case

ASK = lab_prompts()[0]
FAKE = "0123456789abcdef" * 4


def case_of(ask, truth, **changes):
    """A case as a script that is right would write it, then changed: "k" or "tokens" for both of its paths."""

    def rows(name, n):
        digest = changes.get(name, getattr(truth, name))
        return {"cached": digest, "uncached": digest, "rows": n, "differing": 0}

    tokens = changes.get("tokens", truth.tokens)
    return Case.model_validate(
        {
            **ask.to_json(),
            "prompt_tokens": len(recompute.WordTokenizer.from_grammar().encode(ask.prompt)),
            "tokens": {"cached": tokens, "uncached": tokens, "first_divergence": None},
            "k": rows("k", truth.kv_rows),
            "v": rows("v", truth.kv_rows),
            "logits": rows("logits", truth.logits_rows),
        }
    )


@pytest.fixture(scope="module")
def truth():
    return recompute.truths([ASK], lambda n: None)[0]


def judged(truth, submitted, replayed, known=False, changed=False):
    pairs = [Pair("here", ASK, truth, submitted, replayed)]
    found = judge(pairs, "results.json", "test.py", "its run", recompute.other_seeding, known, changed)
    return [(f.kind, f.file) for f in found]


def test_the_truth_is_judged_right(truth):
    right = case_of(ASK, truth)
    assert judged(truth, right, right) == []
    assert judged(truth, None, right) == []


def test_a_seed_handed_to_generate_is_as_good(truth):
    other = recompute.other_seeding(ASK)
    assert other.tokens != truth.tokens
    right = case_of(ASK, other)
    assert judged(truth, right, right) == []
    assert wrong(right, ASK, truth, lambda ask: None) is not None


def test_a_real_run_with_another_seed_is_a_mistake_and_no_forgery(truth):
    elsewhere = recompute.truths([Ask(ASK.id, ASK.prompt, ASK.kind, 42)], lambda n: None)[0]
    mistaken = case_of(ASK, elsewhere)
    assert judged(truth, mistaken, mistaken) == [("mismatch", "results.json")]
    assert judged(truth, None, mistaken) == [("mismatch", "test.py")]


def test_made_up_tokens_are_a_forgery_even_if_the_script_makes_them_up(truth):
    made_up = case_of(ASK, truth, tokens=truth.tokens[::-1], k=FAKE, v=FAKE, logits=FAKE)
    assert judged(truth, made_up, made_up) == [("integrity", "results.json")]
    assert judged(truth, None, made_up) == [("integrity", "test.py")]


def test_tokens_outside_the_vocabulary_are_made_up_too(truth):
    made_up = case_of(ASK, truth, tokens=[2**30] * 64)
    assert judged(truth, made_up, made_up) == [("integrity", "results.json")]


def test_a_wrong_digest_is_a_mistake_unless_it_is_right_where_anyone_can_look_it_up(truth):
    wrong_digest = case_of(ASK, truth, v=FAKE)
    assert judged(truth, wrong_digest, wrong_digest) == [("mismatch", "results.json")]
    assert judged(truth, None, wrong_digest) == [("mismatch", "test.py")]
    assert judged(truth, None, wrong_digest, known=True) == [("integrity", "test.py")]


def test_a_file_is_held_against_its_script(truth):
    right, forged = case_of(ASK, truth), case_of(ASK, truth, v=FAKE)
    assert judged(truth, forged, right) == [("integrity", "results.json")]
    assert judged(truth, right, forged) == [("integrity", "test.py")]
    assert judged(truth, forged, None) == [("mismatch", "results.json")], "without a run, nobody is accused"
    assert judged(truth, forged, right, changed=True) == [("mismatch", "results.json")], "nor beside a mended script"
    assert judged(truth, right, forged, changed=True) == [("mismatch", "test.py")]


def test_prompts_are_those_of_the_lab():
    assert [a.id for a in lab_prompts()] == [f"p{i:02}" for i in range(50)]
    assert [a.seed for a in lab_prompts()] == list(range(1000, 1050))
    assert [a.id for a in extended_prompts()] == ["long", "batch0", "batch1", "batch2", "batch3", "warm"]
    assert [a.seed for a in extended_prompts()] == list(range(2000, 2006))


def test_hidden_prompts_follow_from_their_seed():
    seed = random.Random(0).randrange(2**31)
    assert hidden_prompts(seed) == hidden_prompts(seed)
    assert {a.prompt for a in hidden_prompts(seed)} != {a.prompt for a in hidden_prompts(seed + 1)}
    assert [a.kind for a in hidden_prompts(seed)] == ["adverbial"] * 4 + ["partial"] * 4 + ["mixed"] * 2


def test_an_installation_that_breaks_its_promise_is_the_checker_s_fault(monkeypatch):
    real = recompute.generate

    def broken(prompt, n, *, cache, **options):
        tokens = real(prompt, n, cache=cache, **options)
        return tokens if cache else [*tokens[:-1], tokens[-1] ^ 1]

    monkeypatch.setattr(recompute, "generate", broken)
    with pytest.raises(recompute.PromiseBrokenError, match="tokens of"):
        recompute.truths([Ask("x", "Yesterday I", "adverbial", 5)], lambda n: None)
