"""The matrix products: their full aten semantics, and their accuracy.

Accuracy: with K products summed one after another in float32, |error| <= (K + 2) u sum|a||b|, u = 2^-24 (N. Higham,
Accuracy and Stability of Numerical Algorithms, 3.5), and one rounding to the result's dtype.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from courselib import bits
from courselib.invariant import set_batch_invariant_mode

FLOATS = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def noise(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def on(fn, *args, **kwargs):
    with set_batch_invariant_mode():
        return fn(*args, **kwargs)


def assert_close(fn, *args, K):
    """fn(*args) under the mode against fn in float64, within the bound above."""
    found = on(fn, *args)
    exact = fn(*[x.double() for x in args])
    size = fn(*[x.double().abs() for x in args])
    u = 2.0**-53 if found.dtype == torch.float64 else 2.0**-24
    bound = (K + 4) * u * size + torch.finfo(found.dtype).eps * exact.abs() + torch.finfo(found.dtype).tiny
    assert found.shape == exact.shape
    assert ((found.double() - exact).abs() <= bound).all()


PRODUCTS = {
    "mm": (lambda a, b, c: torch.mm(a, b), [(5, 37), (37, 9), (9,)]),
    "addmm": (lambda a, b, c: torch.addmm(c, a, b), [(5, 37), (37, 9), (9,)]),
    "addmm scaled": (lambda a, b, c: torch.addmm(c, a, b, beta=0.5, alpha=2.5), [(5, 37), (37, 9), (5, 1)]),
    "bmm": (lambda a, b, c: torch.bmm(a, b), [(3, 5, 37), (3, 37, 9), (1,)]),
    "baddbmm": (lambda a, b, c: torch.baddbmm(c, a, b, beta=2, alpha=3), [(3, 5, 37), (3, 37, 9), (5, 9)]),
    "mv": (lambda a, b, c: torch.mv(a, b), [(5, 37), (37,), (1,)]),
    "addmv": (lambda a, b, c: torch.addmv(c, a, b, beta=2, alpha=0.5), [(5, 37), (37,), (5,)]),
    "addmv scalar": (lambda a, b, c: torch.addmv(c, a, b), [(5, 37), (37,), ()]),
    "dot": (lambda a, b, c: torch.dot(a, b), [(37,), (37,), ()]),
    "vdot": (lambda a, b, c: torch.vdot(a, b), [(37,), (37,), ()]),
    "addbmm": (lambda a, b, c: torch.addbmm(c, a, b, beta=2), [(3, 5, 37), (3, 37, 9), (9,)]),
    "linear": (lambda a, b, c: torch.nn.functional.linear(a, b, c), [(2, 5, 37), (9, 37), (9,)]),
    "linear, one row": (lambda a, b, c: torch.nn.functional.linear(a, b, c), [(37,), (9, 37), (9,)]),
    "matmul": (lambda a, b, c: a @ b, [(2, 5, 37), (2, 37, 9), (1,)]),
    "einsum": (lambda a, b, c: torch.einsum("bik,bkj->bij", a, b), [(3, 5, 37), (3, 37, 9), (1,)]),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_accurate(name, dtype):
    fn, shapes = PRODUCTS[name]
    assert_close(fn, *[noise(*s, dtype=dtype, seed=i) for i, s in enumerate(shapes)], K=3 * 37)


@given(
    M=st.integers(0, 6), K=st.integers(0, 20), N=st.integers(0, 6), B=st.integers(0, 3),
    turned=st.booleans(), step=st.integers(1, 3), data=st.data(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_shape_and_strides(M, K, N, B, turned, step, data):
    a = noise(B, M, K * step)[..., ::step]
    b = noise(B, N, K, seed=1).transpose(1, 2) if turned else noise(B, K, N * step, seed=1)[..., ::step]
    c = noise(*data.draw(st.sampled_from([(), (N,), (1, N), (M, 1), (M, N), (B, M, N)])), seed=2)
    assert_close(torch.bmm, a, b, K=K)
    assert_close(torch.baddbmm, c, a, b, K=K)
    if B:
        assert_close(torch.mm, a[0], b[0], K=K)


def test_beta_zero_ignores_what_is_there():
    a, b, nan = noise(3, 5), noise(5, 4), torch.full((3, 4), torch.nan)
    assert bits.equal(on(torch.addmm, nan, a, b, beta=0), on(torch.mm, a, b))
    assert bits.equal(on(torch.addmv, nan[:, 0], a, b[:, 0], beta=0), on(torch.mv, a, b[:, 0]))


def test_out_and_in_place():
    a, b, c = noise(3, 5), noise(5, 4), noise(3, 4, seed=2)
    for fn, args in [
        (torch.mm, (a, b)),
        (torch.addmm, (c, a, b)),
        (torch.mv, (a, b[:, 0])),
        (torch.dot, (a[0], b[:, 0])),
    ]:
        expected = on(fn, *args)
        out = torch.empty(expected.shape)
        assert on(fn, *args, out=out) is out
        assert bits.equal(out, expected)
        assert bits.equal(on(fn, *args, out=torch.empty(0)), expected)
    assert bits.equal(on(c.clone().addmm_, a, b, beta=2), on(torch.addmm, c, a, b, beta=2))
    assert bits.equal(on(c[:, 0].clone().addmv_, a, b[:, 0]), on(torch.addmv, c[:, 0], a, b[:, 0]))
    assert bits.equal(on(c[None].clone().baddbmm_, a[None], b[None]), on(torch.baddbmm, c, a[None], b[None]))
    assert bits.equal(on(c.clone().addbmm_, a[None], b[None]), on(torch.addbmm, c, a[None], b[None]))
    with pytest.warns(UserWarning, match="resized"):
        on(torch.mm, a, b, out=torch.empty(7))


def test_activation_epilogue():
    a, b, c = noise(3, 5), noise(5, 4), noise(4, seed=2)
    for gelu in (False, True):
        exact = torch._addmm_activation(c.double(), a.double(), b.double(), use_gelu=gelu)
        found = on(torch._addmm_activation, c, a, b, use_gelu=gelu)
        torch.testing.assert_close(
            found.double(), exact, rtol=1e-5, atol=1e-6
        )  # a few float32 roundings of O(1) values


def test_whole_and_complex_numbers_are_pytorchs_own():
    i, j = torch.arange(6).reshape(2, 3), torch.arange(12).reshape(3, 4)
    assert torch.equal(on(torch.mm, i, j), i @ j)
    assert torch.equal(on(torch.dot, i[0], i[1]), torch.dot(i[0], i[1]))
    z = torch.randn(2, 3, dtype=torch.complex64)
    assert torch.equal(on(torch.mm, z, z.mH), z @ z.mH)


@pytest.mark.parametrize(
    "call",
    [
        lambda: torch.mm(noise(2, 3), noise(4, 5)),
        lambda: torch.mm(noise(2, 3), noise(3)),
        lambda: torch.mm(noise(2, 3), noise(3, 4).bfloat16()),
        lambda: torch.bmm(noise(2, 3, 4), noise(3, 4, 5)),
        lambda: torch.addmm(noise(7), noise(2, 3), noise(3, 4)),
        lambda: torch.addmm(noise(4).double(), noise(2, 3), noise(3, 4)),
        lambda: torch.addmv(noise(3), noise(2, 3), noise(3)),
        lambda: torch.dot(noise(2), noise(3)),
        lambda: torch.mm(noise(2, 3), noise(3, 4), out=torch.empty(2, 4, dtype=torch.float64)),
        lambda: noise(4).addmm_(noise(2, 3), noise(3, 4)),
        lambda: torch.addmm(noise(4), noise(2, 3), noise(3, 4), alpha=1j),
    ],
)
def test_bad_input_is_refused_in_pytorchs_words(call):
    with pytest.raises((RuntimeError, ValueError)) as off:
        call()
    with set_batch_invariant_mode(), pytest.raises(off.type) as found:
        call()
    assert str(found.value) == str(off.value)


def test_an_op_without_any_kernel_says_what_to_do(monkeypatch):
    from courselib.invariant import support

    monkeypatch.setattr(support, "HANDS_OUT_KERNELS", False)
    run = support.overriding("mm", "CPU", lambda a, b: NotImplemented)
    with pytest.raises(RuntimeError, match=r"aten::mm .*int64, int64 on CPU.*cast to float32"):
        run(torch.ones(2, 2, dtype=torch.int64), torch.ones(2, 2, dtype=torch.int64))
