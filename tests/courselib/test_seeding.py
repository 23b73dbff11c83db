import random

import numpy as np
import pytest
import torch

from courselib import bits
from courselib.seeding import seed_everything


def draw() -> tuple[float, float, torch.Tensor]:
    return random.random(), float(np.random.random()), torch.rand(3)  # noqa: NPY002 (the one that it seeds)


@pytest.mark.parametrize("seed", [0, 42, 2**32 - 1])
def test_every_generator_is_seeded(seed: int) -> None:
    seed_everything(seed)
    first = draw()
    second = draw()  # control: without seeding again, every generator has moved on
    assert all(a != b for a, b in zip(first[:2], second[:2], strict=True))
    assert not bits.equal(first[2], second[2])
    seed_everything(seed)
    again = draw()
    assert first[:2] == again[:2]
    assert bits.equal(first[2], again[2])


def test_other_seeds_give_other_numbers() -> None:
    seed_everything(1)
    a = draw()
    seed_everything(2)
    b = draw()
    assert a[0] != b[0]
    assert a[1] != b[1]
    assert not bits.equal(a[2], b[2])


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused_and_nothing_is_seeded(seed: int) -> None:
    seed_everything(3)
    expected = random.random()
    seed_everything(3)
    with pytest.raises(ValueError, match=r"^seed -?\d+ is out of range: expected 0 <= seed < 2\*\*32$"):
        seed_everything(seed)
    assert random.random() == expected
