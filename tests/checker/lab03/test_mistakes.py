"""Honest mistakes, each a small change to the solution, are told what they are: on any hidden cases.

The solution's code runs in this very process: what the checker does with the code of others is tested elsewhere.
"""

import importlib
import sys

import pytest

from checker.check import Part
from checker.lab03 import cases, fitting, formulas, hidden, mistakes, truth
from checker.lab03.schemas import Fits, Generation, SaidGeneration, SaidStep, Step
from checker.publish import ROOT
from checker.report import Finding

SOLUTION = ROOT / "labs/03/solution"
STEPS = [Step.model_validate(case) for case in cases.steps()]
GENERATED = [Generation.model_validate(case) for case in cases.generations()]
SEEDS = range(5)


class Module:
    """The solution's file with some text replaced, as a module."""

    def __init__(self, file, old="", new=""):
        source = (SOLUTION / file).read_text(encoding="utf-8")
        assert old in source
        exec(compile(source.replace(old, new) if old else source, file, "exec"), self.__dict__)


@pytest.fixture
def driver(monkeypatch):
    monkeypatch.setitem(sys.modules, "cases", cases)  # beside which it lies in a student's folder
    return importlib.import_module("checker.lab03.measure")


def sorted_out(items):
    """(the findings by what they are about, how much is right)."""
    items = list(items)
    (part,) = [item for item in items if isinstance(item, Part)]
    found = [item for item in items if isinstance(item, Finding)]
    return {finding.where.split(",")[0]: finding for finding in found}, part.done


def of_passes(driver, costs, seed):
    asked = STEPS + hidden.steps(seed)
    answers = [{**case.model_dump(), "formula": driver.of_step(costs, case.model_dump())} for case in asked]
    said = [SaidStep.model_validate(answer) for answer in answers]
    return sorted_out(formulas.judged(asked, said, truth.of_step, mistakes.named))


def of_generations(driver, costs, seed):
    asked = GENERATED + hidden.generations(seed)
    answers = [{**case.model_dump(), "formula": driver.of_generation(costs, case.model_dump())} for case in asked]
    said = [SaidGeneration.model_validate(answer) for answer in answers]
    return sorted_out(formulas.judged(asked, said, truth.of_generation, mistakes.named_of_generation))


def of_fits(fit, seed):
    asked = hidden.numbers(seed)
    lines = [fit.fit(each.x, each.y, each.low, each.high) for each in asked.fits]
    document = {
        "schema": "lab03.fits/1",
        "medians": [float(fit.median(each.samples, each.warmup)) for each in asked.medians],
        "fits": [{"exponent": exponent, "prefactor": prefactor} for exponent, prefactor in lines],
    }
    items = list(fitting.judged(asked, Fits.model_validate(document)))
    return [item for item in items if isinstance(item, Finding)], items[-1].done


# ---- one pass --------------------------------------------------------------------------------------------------------

GATE = '2 if c.activation == "swiglu" else 1'
MISTAKES = {  # what is changed in the solution; the quantity; the cause that is named
    "no head": (
        "c.n_layers * layer_weights(c) + head_weights(c))",
        "c.n_layers * layer_weights(c))",
        "flops",
        "the head is left out",
    ),
    "no gate": (GATE, "1", "flops", "SwiGLU is counted with one matrix"),
    "a gate in GELU": (GATE, "2", "weight_bytes", "GELU is counted with a gate"),
    "all heads": ("c.n_heads + 2 * c.n_kv_heads", "3 * c.n_heads", "flops", "as many heads as the queries have"),
    "H for H_kv": ("2 * c.n_layers * c.n_kv_heads", "2 * c.n_layers * c.n_heads", "cache_bytes", "K and V have H_kv"),
    "a square": ("T * (T + 1) // 2", "T * T", "flops", "see all S + T slots"),
    "half a square": ("T * (T + 1) // 2", "T * T // 2", "flops", "half of the square"),
    "one product": ("return products + 4 *", "return products + 2 *", "flops", "one of attention's two products"),
    "bits": (
        "return B * slots * slot_bytes(c, size)",
        "return 8 * B * slots * slot_bytes(c, size)",
        "cache_bytes",
        "it is in bits",
    ),
    "numbers": ("head_weights(c)) * size", "head_weights(c))", "weight_bytes", "size is left out"),
    "held only": ("return B * (S + T)", "return B * S", "kv_bytes_read", "only the slots held before"),
    "one of K and V": ("return 2 * c.n_layers", "return c.n_layers", "kv_bytes_written", "of K and V only one"),
    "a float": ("// 2  #", "/ 2  #", "flops", "/ makes one, // does not"),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_solution_has_made_none(driver, seed):
    assert of_passes(driver, Module("costs.py"), seed) == ({}, 5)
    assert of_generations(driver, Module("costs.py"), seed) == ({}, 5)
    assert of_fits(Module("fit.py"), seed) == ([], 3)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_an_honest_mistake_is_told_what_it_is(driver, mistake, seed):
    old, new, quantity, words = MISTAKES[mistake]
    found, right = of_passes(driver, Module("costs.py", old, new), seed)
    assert words in found[quantity].message
    assert found[quantity].usual_causes == []
    assert found[quantity].expected != found[quantity].found
    assert right == 5 - len(found)


def test_a_mistake_that_is_not_known_is_shown_by_its_numbers_alone(driver):
    found, _ = of_passes(driver, Module("costs.py", "return products + 4 *", "return products + 3 *"), 7)
    (fault,) = found.values()
    assert fault.message == "FLOPs: 15 of 15 are wrong."
    assert fault.where.startswith("flops, s0: B 1, T 8, S 0, size 4 (L 4, D 128, H 4, H_kv 2, F 256, V 719, SwiGLU")
    assert fault.usual_causes


def test_formulas_for_minigpt_alone_fail_elsewhere(driver):
    found, _ = of_passes(driver, Module("costs.py", "return c.dim * c.vocab_size", "return c.dim * 719"), 7)
    assert set(found) == {"flops", "weight_bytes"}
    assert all(", s3: " in fault.where for fault in found.values())


# ---- a generation ----------------------------------------------------------------------------------------------------

GENERATIONS = {
    "one pass more": ("range(new - 1)]", "range(new)]", "flops", "one pass too many"),
    "a slot more": ("(1, prompt + i)", "(1, prompt + i + 1)", "flops", "one slot too many"),
    "weights once": ("len(passes) * weight_bytes", "weight_bytes", "weight_bytes", "read once in all"),
    "held to the end": ("prompt + new - 1, size", "prompt + new, size", "cache_bytes", "the last new token is counted"),
    "a token more": ("[(prompt + i, 0)", "[(prompt + i + 1, 0)", "flops", "one token too many"),
    "written without": (
        " for T, S in passes) if cache else 0,",
        " for T, S in passes),",
        "kv_bytes_written",
        "nothing is written to one",
    ),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mistake", GENERATIONS)
def test_a_generation_that_is_off_is_told_by_what(driver, mistake, seed):
    old, new, quantity, words = GENERATIONS[mistake]
    costs = Module("costs.py", old, new)
    found, right = of_generations(driver, costs, seed)
    assert words in found[quantity].message
    assert right == 5 - len(found)
    assert of_passes(driver, costs, seed) == ({}, 5)


# ---- a fit -----------------------------------------------------------------------------------------------------------

FITS = {
    "warm-up": ("samples[warmup:]", "samples", "median", "the warm-up are counted too"),
    "mean": ("statistics.median(", "statistics.fmean(", "median", "it is the mean, which one slow sample moves"),
    "no range": (" if low <= a <= high", "", "exponent", "the range is not looked at"),
    "half open": ("low <= a <= high", "low < a <= high", "exponent", "a point at the lower end"),
    "intercept": ("math.exp(mean_y - slope * mean_x)", "mean_y - slope * mean_x", "prefactor", "a natural logarithm"),
    "bases mixed": ("math.exp(mean_y", "10 ** (mean_y", "prefactor", "10 was raised to the intercept"),
    "not log y": ("(math.log(a), math.log(b))", "(math.log(a), b / 1e9)", "exponent", ""),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("how", FITS)
def test_a_fit_that_is_wrong_is_told_what_it_is(how, seed):
    old, new, which, words = FITS[how]
    (fault,), right = of_fits(Module("fit.py", old, new), seed)
    assert fault.where.startswith(which)
    assert words in fault.message
    assert bool(fault.usual_causes) == (not words)
    assert right == (1 if which == "exponent" else 2)
