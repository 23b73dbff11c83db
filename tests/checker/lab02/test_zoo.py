"""Every planted bug can be seen: the reference test sees it, and an oracle gives the very same rows."""

import ast
from pathlib import Path
from typing import get_args

import pytest

import courselib
from checker.lab02.prompts import BATCH, WARM, hidden_prompts
from checker.lab02.schemas import Case, Diagnosis
from checker.lab02.zoo import SOUND, ZOO, Planted, oracle, plant
from checker.lab02.zoo.alone import ALONE
from checker.lab02.zoo.causes import CAUSES
from checker.lab02.zoo.mutant import CACHE, Edit, Mutant, patched
from checker.lab02.zoo.sample import ALWAYS, sample

ASK = hidden_prompts(7)[0]


def cases_of(names, seen):
    """The cases that can show a bug of this class, as the reference test makes them."""
    lab = names["lab_prompts"]()
    match seen:
        case "alone":
            return [names["run_case"](ASK.to_json(), 64)]
        case "long":
            return [names["run_case"]({**lab[0], "id": "long", "seed": 2000}, 256)]
        case "batch":
            return names["run_batch"]([lab[i] for i in BATCH])
        case "warm":
            return [names["run_warm"]({**lab[WARM], "id": "warm", "seed": 2005}, before=lab[BATCH[1]]["prompt"])]


def right(planted):
    if planted.mutant.seen == "alone":
        return {ASK.id: oracle.accounts(planted, (ASK,))[0]}
    return oracle.extended_accounts(planted)


@pytest.mark.parametrize("name", ZOO)
def test_the_reference_test_sees_it_and_the_oracle_gives_the_same_rows(script, name):
    planted = Planted.drawn(ZOO[name], "a student")
    with script(planted) as names:
        cases = [Case.model_validate(case) for case in cases_of(names, planted.mutant.seen)]
    seen = [case for case in cases if case.k.differing or case.v.differing or case.logits.differing]
    assert seen
    assert all(oracle.cached_account(case) in right(planted)[case.id] for case in seen)


def test_a_sound_copy_gives_no_alarm(script):
    with script(Planted.drawn(SOUND, "a student")) as names:
        cases = [case for seen in ("alone", "batch", "warm") for case in cases_of(names, seen)]
    assert not any(case[part]["differing"] for case in cases for part in ("k", "v", "logits"))


def test_the_zoo_is_large_and_each_bug_is_said_in_one_sentence():
    assert len(ZOO) >= 22
    assert {mutant.seen for mutant in ZOO.values()} == {"alone", "batch", "warm", "long"}
    behaviours = [mutant.behaviour for mutant in ZOO.values()]
    assert len(set(behaviours)) == len(behaviours)
    assert all(text.endswith(".") and len(text) < 120 for text in behaviours)


def test_every_published_cause_is_somebody_s_and_every_answer_can_be_given():
    assert {mutant.cause for mutant in ALONE if mutant.cause} == set(CAUSES)
    assert get_args(Diagnosis.model_fields["cause"].annotation) == tuple(CAUSES)


def test_a_sample_has_one_of_each_class_and_is_drawn_by_the_seed():
    classes = {tuple(p.mutant.seen for p in sample(seed)) for seed in range(20)}
    assert classes == {("alone",) * 4 + ("batch", "warm", "long")}
    assert all(sample(seed)[0].mutant.id == ALWAYS for seed in range(20))
    assert sample(3) == sample(3)
    met = {planted.mutant.id for seed in range(300) for planted in sample(seed)}
    assert met == set(ZOO)


def test_a_copy_is_the_library_with_nothing_added(tmp_path):
    """Every file is there, and the sound copy's bytes are as unlike the original's as the others' are."""
    sound = plant(Planted.drawn(SOUND, "a student"), tmp_path)
    here, copy = Path(courselib.__file__).parent, sound / "courselib"
    files = {path.relative_to(here) for path in here.rglob("*") if "__pycache__" not in path.parts}
    assert files == {path.relative_to(copy) for path in copy.rglob("*")}
    original, copied = (here / CACHE).read_text(), (copy / CACHE).read_text()
    assert original != copied
    assert ast.unparse(ast.parse(original)) == ast.unparse(ast.parse(copied))


@pytest.mark.parametrize("old", ["no such line", "self"])
def test_an_edit_that_matches_no_place_or_several_is_refused(old):
    planted = Planted.drawn(Mutant("stray", "It does nothing.", (Edit(CACHE, old, "new"),)), "a student")
    with pytest.raises(ValueError, match=r"mutant stray: \d+ places in kv_cache.py"):
        patched(planted, CACHE, "self and self")
