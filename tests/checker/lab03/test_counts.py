"""What the checker holds to be right is what a real model does; and a known mistake is told from any other."""

import random
from itertools import combinations

import pytest
import torch

from checker.lab03 import cases, hidden, mistakes, truth
from checker.lab03.schemas import Generation, Step
from courselib.counting import counting
from courselib.generate import generate
from courselib.kv_cache import KVCache
from courselib.minigpt import Config, MiniGPT

STEPS = [Step.model_validate(case) for case in cases.steps()]
GENERATIONS = [Generation.model_validate(case) for case in cases.generations()]
SEEDS = range(20)


def model_of(case):
    return MiniGPT(Config(**case.shape.model_dump(), max_slots=64)).eval()


def small(rng, i):
    """A shape that runs in milliseconds."""
    kv = rng.choice([1, 2, 3])
    heads = kv * rng.choice([1, 2, 4])
    return {
        "vocab_size": rng.randint(11, 99),
        "n_layers": rng.randint(1, 3),
        "dim": heads * 2 * rng.randint(1, 5),
        "n_heads": heads,
        "n_kv_heads": kv,
        "ff_dim": rng.randint(3, 50),
        "activation": "gelu" if i % 2 else "swiglu",
        "tied_head": i % 4 > 1,
    }


# ---- the truth -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("i", range(12))
def test_a_pass_costs_what_the_model_really_does(i):
    rng = random.Random(i)
    B, T, S = rng.randint(1, 3), rng.choice([1, 2, 7]), rng.choice([0, 1, 9])
    case = Step.model_validate(cases.make_step("any", small(rng, i), B, T, S, 4))
    model = model_of(case)
    cache = KVCache.for_model(model, B, max_slots=S + T)
    tokens = torch.zeros(B, S + T, dtype=torch.int64)
    with torch.no_grad():
        if S:
            model(tokens[:, :S], cache)
        with counting() as counts:
            model(tokens[:, S:], cache, last_only=True)
    right = truth.of_step(case)
    assert (right.flops, right.weight_bytes, right.kv_bytes_read) == (
        counts.flops,
        counts.weight_bytes,
        counts.kv_bytes,
    )
    assert right.cache_bytes == cache.data.nbytes
    written = [k[:, :, S:].nbytes + v[:, :, S:].nbytes for k, v in map(cache.read, range(case.shape.n_layers))]
    assert right.kv_bytes_written == sum(written)


@pytest.mark.parametrize("i", range(8))
def test_a_generation_costs_what_generate_really_does(i):
    rng = random.Random(100 + i)
    B, prompt, new = rng.randint(1, 3), rng.randint(1, 6), rng.randint(1, 5)
    cache = i % 4 < 2
    case = Generation.model_validate(cases.make_generation("any", small(rng, i), B, prompt, new, cache, 4))
    model = model_of(case)
    kv = KVCache.for_model(model, B)
    with counting() as counts:
        generate([[0] * prompt] * B, new, cache=kv if cache else False, temperature=0, model=model)
    right = truth.of_generation(case)
    assert (right.flops, right.weight_bytes, right.kv_bytes_read) == (
        counts.flops,
        counts.weight_bytes,
        counts.kv_bytes,
    )
    held = kv.data[..., : kv.lengths[0], :].nbytes  # nothing, without one
    assert right.cache_bytes == held
    assert right.kv_bytes_written == held, "each slot is written once"


def test_a_size_of_2_halves_the_bytes_and_leaves_the_flops():
    case = STEPS[2]
    whole, half = truth.of_step(case), truth.of_step(case.model_copy(update={"size": 2}))
    assert half.flops == whole.flops
    assert all(2 * getattr(half, q) == getattr(whole, q) for q in truth.QUANTITIES[1:])


def test_what_everybody_knows_of_the_large_model():
    """8.03 billion parameters, of which the embedding's 0.53 are not multiplied with; 128 KiB a slot; 4 GiB at 32k."""
    case = Step.model_validate(cases.make_step("large", cases.LARGE, 1, 1, cases.SLOTS - 1, cases.LARGE_SIZE))
    right = truth.of_step(case)
    norms = (2 * 32 + 1) * 4096
    assert right.weight_bytes // 2 + norms + 128_256 * 4096 == 8_030_261_248
    assert right.cache_bytes == 4 * 2**30
    assert right.flops == right.weight_bytes + 4 * 32 * 4096 * 32_768


# ---- hidden cases ----------------------------------------------------------------------------------------------------


def test_hidden_cases_follow_from_their_seed():
    for draw in (hidden.steps, hidden.generations, hidden.numbers, hidden.results):
        assert draw(7) == draw(7)
        assert draw(7) != draw(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_hidden_shapes_are_of_every_kind_and_their_numbers_fit_into_the_file(seed):
    asked = hidden.steps(seed)
    kinds = {(case.shape.activation, case.shape.tied_head) for case in asked}
    assert len(kinds) == 4
    assert all(case.shape.n_kv_heads < case.shape.n_heads for case in asked)
    assert {case.T == 1 for case in asked} == {True, False}
    assert {case.S == 0 for case in asked} == {True, False}
    for case in asked:
        Config(**case.shape.model_dump())  # a shape that a model can have
        assert max(truth.of_step(case).model_dump().values()) < 10**18
    assert {case.cache for case in hidden.generations(seed)} == {True, False}


# ---- well-known mistakes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", truth.QUANTITIES)
def test_without_a_mistake_the_wrong_formula_is_right(quantity):
    known = mistakes.KNOWN[quantity]
    for case in STEPS + hidden.steps(3):
        assert known.of(case, frozenset()) == getattr(truth.of_step(case), quantity)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("quantity", truth.QUANTITIES)
def test_every_mistake_is_wrong_somewhere_and_told_from_every_other(quantity, seed):
    asked, known = STEPS + hidden.steps(seed), mistakes.KNOWN[quantity]
    right = [getattr(truth.of_step(case), quantity) for case in asked]
    made = {name: [known.of(case, frozenset([name])) for case in asked] for name in known.says}
    assert all(values != right for values in made.values())
    assert all(made[a] != made[b] for a, b in combinations(made, 2))
    for name, values in made.items():
        assert known.says[name] in mistakes.named(quantity, asked, values)


def test_two_mistakes_are_told_together_where_no_other_two_give_the_same():
    asked = STEPS + hidden.steps(1)
    values = [mistakes.flops(case, frozenset({"no-head", "no-gate"})) for case in asked]
    said = mistakes.named("flops", asked, values)
    assert said.startswith("It is exactly what these two mistakes give together: the head is left out; and SwiGLU")
    both = [mistakes.flops(case, frozenset({"all-heads", "no-out"})) for case in asked]
    assert mistakes.named("flops", asked, both) == "", "two other mistakes give the same"


def test_a_number_that_no_mistake_explains_is_given_no_name():
    asked = STEPS + hidden.steps(1)
    right = [truth.of_step(case).flops for case in asked]
    values = [mistakes.flops(case, frozenset({"no-head"})) for case in asked]
    assert mistakes.named("flops", asked, [value + 1 for value in right]) == ""
    assert mistakes.named("flops", asked, [*values[:-1], values[-1] + 1]) == "", "in all cases, or not at all"


@pytest.mark.parametrize("mistake", mistakes.OF_GENERATION)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_generation_with_the_wrong_passes_is_told_which(mistake, seed):
    asked = GENERATIONS + hidden.generations(seed)
    says, change = mistakes.OF_GENERATION[mistake]
    told = 0
    for quantity in truth.QUANTITIES:
        right = [getattr(truth.of_generation(case), quantity) for case in asked]
        passes = [list(truth.passes_of(case.prompt, case.new, case.cache)) for case in asked]
        values = [mistakes.of_passes(quantity, case, change(case, p)) for case, p in zip(asked, passes, strict=True)]
        if values != right:
            said = mistakes.named_of_generation(quantity, asked, values)
            assert said in ("", mistakes.one(says), mistakes.one(mistakes.FULL_TO_THE_END))
            told += says in said
    assert told
