"""A fit's tolerance has a reason: every sound way of computing one stays far inside, every wrong one falls outside."""

import math
import statistics

import numpy as np
import pytest

from checker.lab03 import fitting, hidden

SEEDS = range(30)


def centred(u, v):
    u, v = np.array(u), np.array(v)
    slope = ((u - u.mean()) * (v - v.mean())).sum() / ((u - u.mean()) ** 2).sum()
    return slope, v.mean() - slope * u.mean()


def normal_equations(u, v):
    """Not centred, as a textbook has them: the worst of the usual ways."""
    n = len(u)
    sx, sy, sxx, sxy = sum(u), sum(v), sum(a * a for a in u), sum(a * b for a, b in zip(u, v, strict=True))
    slope = (n * sxy - sx * sy) / (n * sxx - sx * sx)
    return slope, (sy - slope * sx) / n


def solved(u, v):
    matrix = np.stack([np.array(u), np.ones(len(u))], axis=1)
    return tuple(np.linalg.solve(matrix.T @ matrix, matrix.T @ np.array(v)))


WAYS = {
    "polyfit": lambda u, v: tuple(np.polyfit(u, v, 1)),
    "lstsq": lambda u, v: tuple(np.linalg.lstsq(np.stack([u, np.ones(len(u))], axis=1), v, rcond=None)[0]),
    "statistics": lambda u, v: tuple(statistics.linear_regression(u, v)),
    "centred": centred,
    "normal equations": normal_equations,
    "solved": solved,
}
BASES = {"e": (math.log, math.exp), "2": (math.log2, lambda a: 2**a), "10": (math.log10, lambda a: 10**a)}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("way", WAYS)
def test_every_sound_way_is_a_hundred_times_nearer_than_the_tolerance(way, base):
    log, exp = BASES[base]
    for seed in SEEDS:
        for asked in hidden.numbers(seed).fits:
            pairs = [(a, b) for a, b in zip(asked.x, asked.y, strict=True) if asked.low <= a <= asked.high]
            slope, intercept = WAYS[way]([log(a) for a, _ in pairs], [log(b) for _, b in pairs])
            exponent, prefactor = fitting.fitted(asked)
            assert fitting.close(slope, exponent, fitting.EXPONENT / 100)
            assert fitting.relatively_close(exp(intercept), prefactor, fitting.PREFACTOR / 100)


def test_float32_is_outside():
    asked = hidden.numbers(1).fits[0]
    u, v = np.log(np.float32(asked.x)), np.log(np.float32(asked.y))
    slope = ((u - u.mean()) * (v - v.mean())).sum() / ((u - u.mean()) ** 2).sum()
    assert not fitting.close(float(slope), fitting.fitted(asked)[0], fitting.EXPONENT)


def test_a_power_law_that_is_known_comes_out():
    for asked in hidden.numbers(5).fits[:3]:
        first, last = asked.y[0], asked.y[-1]
        exponent = math.log(last / first) / math.log(asked.x[-1] / asked.x[0])
        assert fitting.close(fitting.fitted(asked)[0], exponent, 1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_wrong_fit_is_outside_and_told_what_it_is(seed):
    asked = hidden.numbers(seed).fits
    right = [fitting.fitted(each) for each in asked]
    for says, wrong in fitting.WRONG_EXPONENTS.items():
        try:
            values = [wrong(each) for each in asked]
        except ZeroDivisionError:  # both ends left out of two points
            continue
        assert any(not fitting.close(v, e, 1000 * fitting.EXPONENT) for v, (e, _) in zip(values, right, strict=True))
        assert says in fitting._cause(fitting.WRONG_EXPONENTS, asked, values, fitting.EXPONENT)
    for says, wrong in fitting.WRONG_PREFACTORS.items():
        values = [wrong(prefactor) for _, prefactor in right]
        told = fitting._cause(fitting.WRONG_PREFACTORS, [p for _, p in right], values, fitting.PREFACTOR)
        assert says in told


@pytest.mark.parametrize("seed", SEEDS)
def test_every_wrong_median_is_outside_and_told_what_it_is(seed):
    asked = hidden.numbers(seed).medians
    right = [fitting.median(each) for each in asked]
    for says, wrong in fitting.WRONG_MEDIANS.items():
        values = [wrong(each) for each in asked]
        assert values != right
        assert says in fitting._cause(fitting.WRONG_MEDIANS, asked, values, fitting.HALF)
