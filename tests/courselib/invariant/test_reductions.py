"""sum, mean, var, std, norms, softmax, logsumexp over any dimensions: aten semantics, and accuracy.

Accuracy: a sum of D terms in float32 in any order has |error| <= D u sum|x|, u = 2^-24 (N. Higham, 4.2).
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from courselib import bits
from courselib.invariant import set_batch_invariant_mode

FLOATS = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
pytestmark = pytest.mark.filterwarnings("ignore:.*degrees of freedom:UserWarning")


def noise(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def on(fn, *args, **kwargs):
    with set_batch_invariant_mode():
        return fn(*args, **kwargs)


REDUCTIONS = {
    "sum": torch.sum,
    "mean": torch.mean,
    "nansum": torch.nansum,
    "var": torch.var,
    "std": torch.std,
    "var, correction 0": lambda x, dim, keepdim: torch.var(x, dim, correction=0, keepdim=keepdim),
    "var_mean": lambda x, dim, keepdim: torch.var_mean(x, dim, correction=1, keepdim=keepdim)[0],
    "mean of var_mean": lambda x, dim, keepdim: torch.var_mean(x, dim, correction=1, keepdim=keepdim)[1],
    "std_mean": lambda x, dim, keepdim: torch.std_mean(x, dim, correction=1, keepdim=keepdim)[0],
    "vector_norm": lambda x, dim, keepdim: torch.linalg.vector_norm(x, 2, dim, keepdim),
    "vector_norm 1": lambda x, dim, keepdim: torch.linalg.vector_norm(x, 1, dim, keepdim),
    "vector_norm 3": lambda x, dim, keepdim: torch.linalg.vector_norm(x, 3, dim, keepdim),
    "vector_norm 0": lambda x, dim, keepdim: torch.linalg.vector_norm(x, 0, dim, keepdim),
    "norm": lambda x, dim, keepdim: torch.norm(x, dim=dim, keepdim=keepdim),
    "logsumexp": torch.logsumexp,
}


def same_but_for_rounding(found, expected, exact):
    """dtype and shape are PyTorch's; values are within 1e-5, or two roundings of the dtype, of float64's.

    1e-5 is 100 terms of size <= 4 with u = 2^-24 each, relative to values of order one, and slack for cancellation."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    eps = max(1e-5 if found.dtype != torch.float64 else 1e-13, 2 * torch.finfo(found.dtype).eps)
    torch.testing.assert_close(found.double(), exact, rtol=eps, atol=3 * eps, equal_nan=True)


@given(
    shape=st.lists(st.integers(0, 4), min_size=0, max_size=4),
    name=st.sampled_from(sorted(REDUCTIONS)),
    keepdim=st.booleans(),
    dtype=st.sampled_from(FLOATS),
    turned=st.booleans(),
    data=st.data(),
)
@settings(max_examples=300, deadline=None)
def test_any_dims(shape, name, keepdim, dtype, turned, data):
    x = noise(*shape, dtype=dtype)
    x = x.permute(*reversed(range(x.dim()))) if turned and x.dim() else x
    rank = max(x.dim(), 1)
    dim = data.draw(st.lists(st.integers(-rank, rank - 1), unique_by=lambda d: d % rank, max_size=rank))
    fn = REDUCTIONS[name]
    try:
        expected = fn(x, dim, keepdim)
    except (RuntimeError, IndexError) as error:
        with pytest.raises(type(error)):
            on(fn, x, dim, keepdim)
        return
    same_but_for_rounding(on(fn, x, dim, keepdim), expected, fn(x.double(), dim, keepdim))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x.sum(),
        lambda x: x.mean(),
        lambda x: x.var(),
        lambda x: x.std(unbiased=False),
        lambda x: x.norm(),
        lambda x: x.norm(3, dim=1),
        lambda x: x.norm(math.inf, 1),
        lambda x: torch.linalg.vector_norm(x, -math.inf),
        lambda x: torch.linalg.norm(x),
        lambda x: x.nanmean(1),
        lambda x: x.sum(1, dtype=torch.float64),
        lambda x: x.sum((0, -1), keepdim=True, dtype=torch.float32),
        lambda x: x.mean(0, dtype=torch.float16),
        lambda x: torch.cosine_similarity(x, x.flip(0), 1),
        lambda x: torch.nn.functional.normalize(x, dim=1),
        lambda x: torch.softmax(x, 1),
        lambda x: torch.softmax(x, 0, dtype=torch.float32),
        lambda x: torch.log_softmax(x, -1),
        lambda x: torch.logsumexp(x, (0, 1)),
        lambda x: torch.special.logsumexp(x, 1, keepdim=True),
        lambda x: torch.nn.functional.cross_entropy(x, torch.arange(x.shape[0])),
    ],
)
def test_the_rest_of_the_semantics(fn, dtype):
    x = noise(5, 37, dtype=dtype)
    same_but_for_rounding(on(fn, x), fn(x), fn(x.double()).double())


def test_the_accuracy_of_a_long_sum():
    x = noise(2, 10_007)
    u = 2.0**-24
    assert ((on(torch.sum, x, 1).double() - x.double().sum(1)).abs() <= 10_007 * u * x.double().abs().sum(1)).all()


def test_variance_survives_a_large_mean():
    # One pass (mean of squares less the square of the mean) would lose every digit here.
    x = noise(4, 1000) + 4096
    torch.testing.assert_close(on(torch.var, x, 1).double(), x.double().var(1), rtol=1e-4, atol=0)


@pytest.mark.parametrize("fn", [torch.sum, torch.mean, torch.logsumexp, torch.var])
def test_out(fn):
    x = noise(3, 5)
    expected = on(fn, x, 1)
    for out in (torch.empty(3), torch.empty(0)):
        assert on(fn, x, 1, out=out) is out
        assert bits.equal(out, expected)
    wider = on(fn, x, 1, out=torch.empty(3, dtype=torch.float64))
    torch.testing.assert_close(wider, fn(x.double(), 1), rtol=1e-6, atol=1e-6)


def test_whole_numbers_are_exact_and_stay_whole():
    x = torch.arange(24).reshape(2, 3, 4)
    for fn in (lambda: x.sum(), lambda: x.sum((0, 2)), lambda: (x > 3).sum(1), lambda: x.sum(1, dtype=torch.int32)):
        expected = fn()
        assert bits.equal(on(fn), expected)
    assert on(lambda: (x > 3).sum(dtype=torch.float32)).item() == 20.0
    assert on(lambda: x.mean(dtype=torch.float32)).item() == 11.5


def test_whole_numbers_without_pytorchs_own_kernel(monkeypatch):
    from courselib.invariant import reductions, support

    monkeypatch.setattr(support, "HANDS_OUT_KERNELS", False)
    x = torch.arange(24).reshape(2, 3, 4)
    assert torch.equal(reductions.sum_(x, (0, 2)), x.sum((0, 2)))
    assert torch.equal(reductions.sum_(x[:0], 0), x[:0].sum(0))
    assert torch.equal(reductions.sum_(x > 3, None, dtype=torch.int32), (x > 3).sum(dtype=torch.int32))


@pytest.mark.parametrize(
    "call",
    [
        lambda: noise(2, 3).sum((0, 0)),
        lambda: noise(2, 3).sum(2),
        lambda: torch.arange(3).mean(),
        lambda: torch.softmax(noise(2, 3), 2),
        lambda: torch.sum(noise(2, 3), 1, dtype=torch.float32, out=torch.empty(2, dtype=torch.float64)),
        lambda: torch.linalg.vector_norm(noise(2, 3), dtype=torch.float16),
    ],
)
def test_bad_input_is_refused_in_pytorchs_words(call):
    with pytest.raises((RuntimeError, IndexError)) as off:
        call()
    with set_batch_invariant_mode(), pytest.raises(off.type) as found:
        call()
    assert str(found.value) == str(off.value)


def test_nan_and_infinity():
    x = torch.tensor([[1.0, torch.nan, 2.0], [torch.inf, 1.0, 2.0], [-torch.inf] * 3])
    for fn in (lambda x: x.sum(1), lambda x: x.nansum(1), lambda x: x.logsumexp(1), lambda x: x.softmax(1)):
        torch.testing.assert_close(on(fn, x), fn(x), equal_nan=True)
