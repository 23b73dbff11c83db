"""Cases that a submission has not seen: shapes, generations, medians, power laws and results, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

from checker.lab03 import cases
from checker.lab03.schemas import AskedFit, AskedFits, AskedMedian, Generation, Point, Step

# ---- for costs.py ----------------------------------------------------------------------------------------------------


def steps(seed: int) -> list[Step]:
    """Every kind of model and of pass; sizes of 1, 2 and 4 bytes; tokens and slots in thousands."""
    rng = random.Random(f"steps {seed}")
    kinds = [(swiglu, tied) for swiglu in (True, False) for tied in (True, False)] * 2
    made = []
    for i, (swiglu, tied) in enumerate(kinds):
        T = (1, rng.randint(2, 9), rng.randint(100, 3000), 1)[i % 4]
        S = (rng.randint(1000, 90_000), rng.randint(1, 500), 0, rng.randint(1, 99))[(i + i // 4) % 4]
        shape = shape_of(rng, swiglu, tied)
        made.append(cases.make_step(f"h{i}", shape, rng.randint(2, 40), T, S, rng.choice([1, 2, 4])))
    made.append(cases.make_step("h8", cases.LARGE, 1, 1, rng.randint(2000, 90_000), 2))
    return [Step.model_validate(case) for case in made]


def generations(seed: int) -> list[Generation]:
    rng = random.Random(f"generations {seed}")
    made = []
    for i in range(6):
        shape = shape_of(rng, swiglu=i % 3 > 0, tied=i % 3 == 0)
        prompt, new = rng.randint(2, 200), (rng.randint(2, 9), rng.randint(50, 300), 1)[i // 2]
        made.append(
            cases.make_generation(f"k{i}", shape, rng.randint(2, 9), prompt, new, not i % 2, rng.choice([2, 4]))
        )
    return [Generation.model_validate(case) for case in made]


def shape_of(rng: random.Random, swiglu: bool, tied: bool) -> dict:
    """H_kv < H, and no two of its numbers alike."""
    kv, group, head_dim = rng.choice([2, 3, 5]), rng.choice([2, 3, 4]), 2 * rng.randint(5, 60)
    dim = kv * group * head_dim
    return {
        "vocab_size": rng.randint(1000, 90_000),
        "n_layers": rng.randint(7, 60),
        "dim": dim,
        "n_heads": kv * group,
        "n_kv_heads": kv,
        "ff_dim": dim * 2 + rng.randint(1, 999),
        "activation": "swiglu" if swiglu else "gelu",
        "tied_head": tied,
    }


# ---- for fit.py ------------------------------------------------------------------------------------------------------


def numbers(seed: int) -> AskedFits:
    rng = random.Random(f"numbers {seed}")
    return AskedFits(medians=list(_medians(rng)), fits=list(_fits(rng)))


def _medians(rng: random.Random) -> Iterator[AskedMedian]:
    """Out of order, odd and even in number, with a slow start, and with a sample that something got in the way of."""
    for n, warmup in ((5, 1), (6, 2), (7, 0), (4, 3), (1, 1)):
        base = rng.randint(10_000, 10_000_000)
        samples = [base + rng.randint(0, base // 5) for _ in range(n)]
        if n > 3:
            samples[rng.randrange(n)] = base * rng.randint(20, 90)
        slow = [base * rng.randint(3, 40) for _ in range(warmup)]
        yield AskedMedian(samples=[*slow, *samples], warmup=warmup)


def _fits(rng: random.Random) -> Iterator[AskedFit]:
    """Exact power laws, rising and falling; out of order; with an overhead below the range; of two points only."""
    x = [2**i for i in range(4, 13)]
    for exponent in (rng.uniform(0.2, 0.9), rng.uniform(1.1, 2.2), -rng.uniform(0.2, 1.5)):
        a = rng.uniform(50, 90_000)
        yield AskedFit(x=x, y=[a * n**exponent for n in x], low=16, high=4096)
    a, b = rng.uniform(50, 500), rng.uniform(0.8, 1.8)
    overhead = [round(a * n**b + rng.randint(20_000, 90_000)) for n in x]
    yield AskedFit(x=x, y=overhead, low=128, high=4096)  # both ends are points of the range
    yield AskedFit(x=x, y=overhead, low=100, high=2500)  # and here neither is
    yield AskedFit(x=[128, 4096], y=[rng.randint(500, 900), rng.randint(9000, 99_000)], low=1, high=10_000)
    shuffled = rng.sample(x, len(x))
    noisy = [round(a * n**b * rng.uniform(0.8, 1.3)) + 1 for n in shuffled]
    yield AskedFit(x=shuffled, y=noisy, low=32, high=1024)
    yield AskedFit(x=[1, 3, 5, 12, 40], y=[rng.randint(10, 10_000) for _ in range(5)], low=1, high=40)


# ---- for plot.py -----------------------------------------------------------------------------------------------------

WARMUP = 2


def results(seed: int) -> list[list[Point]]:
    """Points of two other machines, other lengths, other batches: what a drawing has to follow. Not in order."""
    rng = random.Random(f"results {seed}")
    return [_points(rng, base, growth) for base, growth in ((rng.uniform(2e4, 9e4), 1.8), (rng.uniform(1e6, 1e7), 0.6))]


def _points(rng: random.Random, base: float, growth: float) -> list[Point]:
    lengths = sorted(rng.sample(range(10, 9000), rng.randint(5, 9)))
    batches = sorted(rng.sample(range(1, 99), rng.randint(4, 7)))
    points = []
    for sweep, values in (("length", lengths), ("batch", batches)):
        for cache in (True, False):
            for value in values:
                time = base * (1 + (value / 40) ** (growth if not cache else 0.3))
                samples = [round(time * rng.uniform(0.9, 1.4)) for _ in range(5)]
                slow = [round(time * rng.uniform(5, 30)) for _ in range(WARMUP)]
                B, n = (1, value) if sweep == "length" else (value, 333)
                point = {"sweep": sweep, "cache": cache, "B": B, "n": n, "samples_ns": [*slow, *samples]}
                points.append(Point.model_validate(point))
    rng.shuffle(points)
    return points
