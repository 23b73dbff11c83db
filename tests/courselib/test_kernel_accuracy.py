"""Close to the exact value, computed in float64: the same bounds for the fixed orders and for the stock ones.

Sources of the tolerances. u = 2^-24 is float32's unit roundoff. A sum of n products in any order, fused or not, is off
by at most gamma(n) times the sum of their magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.,
section 3.1). A function within 1 ULP of its exact value is within 2u of it. What else a test allows stands beside it.
Closeness says nothing about bytes; those are test_kernels.py's.
"""

import math
from types import ModuleType

import pytest
import torch
from torch import Tensor

from courselib.kernels.cpu import build, fixed_c, fixed_torch, primitives, primitives_torch, stock

C = pytest.param(
    fixed_c, id="c", marks=pytest.mark.skipif(build.find_compiler() is None, reason="no C compiler: no fixed-c")
)
FIXED = pytest.mark.parametrize("ops", [C, pytest.param(fixed_torch, id="torch")])
ALL = pytest.mark.parametrize("ops", [C, pytest.param(fixed_torch, id="torch"), pytest.param(stock, id="stock")])
U = 2.0**-24
TINY = 2.0**-126  # below it float32 has fewer bits: errors there are absolute


def gamma(n: int) -> float:
    return n * U / (1 - n * U)


def values(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_within(found: Tensor, exact: Tensor, bound: Tensor) -> None:
    assert found.dtype == torch.float32
    error = (found.double() - exact).abs()
    assert (error <= bound).all(), f"off by up to {(error / bound).max():.3g} times the bound"


def ulps_off(found: Tensor, exact: Tensor) -> float:
    """The largest error, in units of the gap between floats at the exact value."""
    exponent = torch.frexp(exact)[1].clamp(min=-125)  # subnormals all have the gap 2^-149
    return ((found.double() - exact).abs() / torch.ldexp(torch.ones_like(exact), exponent - 24)).max().item()


def floats(start: float, stop: float, step: int) -> Tensor:
    """Every step-th positive float from start to stop."""
    lo, hi = (int(torch.tensor(x).view(torch.int32)) for x in (start, stop))
    return torch.arange(lo, hi, step, dtype=torch.int32).view(torch.float32)


@FIXED
def test_exp_is_within_one_ulp(ops: ModuleType) -> None:
    # All 2.2e9 floats where exp is finite and not 0 were tried once: 0.991 ULP at worst. Here every 4001st is.
    x = torch.cat([floats(1e-30, 88.72, 4001), -floats(1e-30, 103.9, 4001), torch.tensor([70.4030990600586])])
    assert 0.99 < ulps_off(ops.exp(x), torch.exp(x.double())) < 0.9904  # reached at that last one


@FIXED
def test_log_is_within_one_ulp(ops: ModuleType) -> None:
    # All 2.1e9 positive floats were tried once: 0.830 ULP at worst.
    x = torch.cat([floats(1e-45, 3e38, 4001), floats(0.5, 2.0, 101), torch.tensor([0.6999768018722534])])
    assert 0.829 < ulps_off(ops.log(x), torch.log(x.double())) < 0.8291


@ALL
@pytest.mark.parametrize(("M", "K", "N"), [(1, 1, 1), (1, 128, 512), (9, 257, 65), (3, 1000, 17)])
def test_linear(ops: ModuleType, M: int, K: int, N: int) -> None:
    x, w = values(M, K), values(K, N, seed=2)
    magnitudes = x.double().abs() @ w.double().abs()
    assert_within(ops.linear(x, w), x.double() @ w.double(), gamma(K) * magnitudes)


@ALL
@pytest.mark.parametrize("D", [1, 16, 33, 1000])
def test_rms_norm(ops: ModuleType, D: int) -> None:
    x, weight = values(7, D) * 3, values(D, seed=2)
    y = x.double()
    exact = y / (y.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight.double()
    # The mean of D squares (no cancellation) under a square root: half its error; then eps, /, sqrt, 1/, two products.
    assert_within(ops.rms_norm(x, weight, 1e-5), exact, gamma(D // 2 + 8) * exact.abs() + TINY)


@ALL
@pytest.mark.parametrize("scale", [1.0, 25.0])
@pytest.mark.parametrize("D", [1, 16, 33, 1000])
def test_softmax_and_log_softmax(ops: ModuleType, D: int, scale: float) -> None:
    x = values(7, D) * scale
    below = x.amax(-1, keepdim=True).double() - x.double()
    # x - max is rounded once, which exp turns into a relative error of |x - max| u; then exp itself, the sum, /.
    relative = (below + below.amax() + D + 8) * U
    exact = torch.softmax(x.double(), -1)
    assert_within(ops.softmax(x), exact, relative * exact + TINY)
    exact = torch.log_softmax(x.double(), -1)
    assert_within(ops.log_softmax(x), exact, relative + 4 * U * exact.abs())


@ALL
def test_silu_and_gelu(ops: ModuleType) -> None:
    x = torch.cat([torch.linspace(-99, 99, 4001), values(1000), torch.tensor([0.0, 1e-30, -1e-30, 300.0, -300.0])])
    y = x.double()
    nothing = y.abs() * 2.0**-127  # where exp overflows, past 2^128, the sigmoid counts as 0

    def bound(z: Tensor, roundings: int) -> Tensor:
        # An argument off by some roundings moves sigmoid(z) by (1 - sigmoid(z)) |z| of it; then exp, 1 +, /.
        return ((1 - torch.sigmoid(z)) * z.abs() * roundings + 8) * U * (y * torch.sigmoid(z)).abs() + nothing

    assert_within(ops.silu(x), y * torch.sigmoid(y), bound(y, 1))
    z = 2 * math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)
    # The stock one takes 1 + tanh, which cancels where the result is small: there 4u of |x| is lost.
    cancels = 4 * U * y.abs() if ops is stock else torch.zeros(())
    assert_within(ops.gelu(x), y * torch.sigmoid(z), bound(z, 6) + cancels)


@ALL
def test_rope_rotates(ops: ModuleType) -> None:
    x, angle = values(2, 3, 4, 10), values(2, 4, 5).double() * 100
    cos, sin = angle.cos().float(), angle.sin().float()
    a, b = x.double().chunk(2, -1)
    c, s = cos.double()[:, None], sin.double()[:, None]
    exact = torch.cat([a * c - b * s, b * c + a * s], -1)
    magnitudes = torch.cat([(a * c).abs() + (b * s).abs(), (b * c).abs() + (a * s).abs()], -1)
    assert_within(ops.rope(x, cos, sin), exact, gamma(2) * magnitudes)


@ALL
@pytest.mark.parametrize(
    ("past", "first", "count"),
    [
        ([0, 0], [0, 0], [4, 4]),  # a prefill
        ([30, 30], [0, 0], [4, 4]),  # a chunk of one
        ([30, 12], [0, 0], [4, 2]),  # ragged, right padding
        ([30, 30], [0, 17], [4, 4]),  # left padding
        ([0, 0], [0, 2], [4, 4]),  # left padding inside this call
    ],
)
def test_attention(ops: ModuleType, past: list[int], first: list[int], count: list[int]) -> None:
    B, H, H_kv, T, d = 2, 6, 2, 4, 20
    S = max(p + n for p, n in zip(past, count, strict=True))
    q, k, v = values(B, H, T, d), values(B, H_kv, S, d, seed=2), values(B, H_kv, S, d, seed=3)
    out = ops.attention(q, k, v, past, first, count)
    assert out.shape == (B, H, T, d)
    for b in range(B):
        for t in range(max(0, first[b] - past[b]), count[b]):
            seen = slice(first[b], past[b] + t + 1)
            keys = k[b, :, seen].double().repeat_interleave(H // H_kv, 0)
            rows = v[b, :, seen].double().repeat_interleave(H // H_kv, 0)
            products = q[b, :, t, None].double() * keys / math.sqrt(d)
            weights = torch.softmax(products.sum(-1), -1)
            exact = (weights[..., None] * rows).sum(1)
            # A score is off by gamma(d + 2) of its magnitudes; softmax turns twice the worst into a relative error of
            # every weight, and adds its own (see above); then a weighted sum of n rows.
            score = gamma(d + 2) * products.abs().sum(-1).amax()
            n = keys.shape[1]
            relative = 2 * score + (2 * 2 * products.sum(-1).abs().amax() + 2 * n + 8) * U
            assert_within(out[b, :, t], exact, relative * (weights[..., None] * rows.abs()).sum(1))


@pytest.fixture(params=[C, pytest.param(fixed_torch, id="torch")])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the primitives on this implementation."""
    monkeypatch.setattr(primitives, "resolve", lambda name: request.param)


@pytest.mark.parametrize("D", [1, 16, 33, 1000])
@pytest.mark.parametrize("scale", [1.0, 25.0])
def test_logsumexp(implementation: None, D: int, scale: float) -> None:
    x = values(7, D) * scale
    most = x.amax(-1).double()
    below = most[:, None] - x.double()
    exact = torch.logsumexp(x.double(), -1)
    # The sum is off relatively as softmax's is, and its logarithm absolutely; then log itself, and the last +.
    relative = (below.amax(-1) * 2 + D + 8) * U
    assert_within(primitives.logsumexp(x), exact, relative + 4 * U * (exact.abs() + (exact - most).abs()))


@pytest.mark.parametrize(("O", "D", "I"), [(7, 1000, 1), (2, 133, 300), (3, 1, 5)])
def test_reduce(implementation: None, O: int, D: int, I: int) -> None:  # noqa: E741
    x, shift = values(O, D, I) + 3, values(O, I, seed=2) + 3
    y = x.double()
    found = primitives.reduce(x, "sum", divide_by=D)
    assert_within(found, y.mean(1), gamma(D + 1) * y.abs().mean(1))
    exact = (y - shift.double()[:, None]).square().sum(1) / 7
    found = primitives.reduce(x, "sum_of_squares", shift=shift, divide_by=7)
    assert_within(found, exact, gamma(D + 4) * exact)  # a difference and its square: 3 roundings; then / 7


@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("D", [2, 16, 33, 1000])
def test_layer_norm(implementation: None, D: int, offset: float) -> None:
    x, weight, bias, eps = values(7, D) + offset, values(D, seed=2), values(D, seed=3), 1e-5
    y = x.double()
    mean, variance = y.mean(-1, keepdim=True), y.var(-1, correction=0, keepdim=True)
    rstd = 1 / (variance + eps).sqrt()
    normal = (y - mean) * rstd
    found, found_mean, found_rstd = primitives.layer_norm(x, weight, bias, eps)
    off = gamma(D + 1) * y.abs().mean(-1, keepdim=True)  # how far the mean may be; every difference is off by it too
    assert_within(found_mean[:, None], mean, off)
    spread = 2 * off * (y - mean).abs().mean(-1, keepdim=True) + off.square() + gamma(D + 6) * variance
    relative = spread / (variance + eps) / 2 * 1.01 + 4 * U
    assert_within(found_rstd[:, None], rstd, relative * rstd)
    exact = normal * weight.double() + bias.double()
    bound = (off * rstd * 1.01 + normal.abs() * (relative + 4 * U)) * weight.double().abs() + U * exact.abs()
    assert_within(found, exact, bound * 1.01)


def test_sigmoid(implementation: None) -> None:
    x = torch.cat([torch.linspace(-99, 99, 4001), values(1000), torch.tensor([0.0, 1e-30, 300.0, -300.0])])
    exact = torch.sigmoid(x.double())
    assert_within(primitives.sigmoid(x), exact, 6 * U * exact + 2.0**-127)  # exp, 1 +, /; 0 where exp overflows


def test_masked_attention(implementation: None) -> None:
    B, H, H_kv, T, S, d = 2, 6, 2, 4, 50, 20
    q, k, v = values(B, H, T, d), values(B, H_kv, S, d, seed=2), values(B, H_kv, S, 33, seed=3)
    mask = values(B, 1, T, S, seed=4)
    mask[mask > 0.7] = -math.inf
    out, lse = primitives.attention(q, k, v, mask=mask, scale=0.3)
    keys, rows = (x.double().repeat_interleave(H // H_kv, 1) for x in (k, v))
    products = q.double()[..., None, :] * keys[:, :, None] * 0.3
    scores = products.sum(-1) + mask.double()
    weights = torch.softmax(scores, -1)
    # As for `attention` above, with one more rounding where the mask is added.
    score = gamma(d + 3) * (products.abs().sum(-1) + mask.nan_to_num(neginf=0.0).abs()).amax(-1)
    relative = 2 * score + (4 * scores.nan_to_num(neginf=0.0).abs().amax(-1) + 2 * S + 8) * U
    assert_within(out, weights @ rows, relative[..., None] * (weights @ rows.abs()))
    exact = torch.logsumexp(scores, -1)
    assert_within(lse, exact, relative + 8 * U * exact.abs())


def test_float64_is_close_to_the_library_s_float64() -> None:
    # exp and log: both libraries' are within 1 ULP. (Ours, at millions of points: 0.875 and 0.901.)
    x = torch.cat([torch.linspace(-745, 709.7, 100_001).double(), values(100_000).double()])
    assert torch.allclose(primitives_torch.exp(x), x.exp(), rtol=2.0**-51, atol=2.0**-1073)
    y = x.exp() + 2.0**-1060
    assert torch.allclose(primitives_torch.log(y), y.log(), rtol=2.0**-51, atol=0)
    ends = torch.tensor([0.0, -0.0, math.inf, -math.inf, 709.9, -746.0, math.nan, 5e-324, -1.0]).double()
    torch.testing.assert_close(primitives_torch.exp(ends), ends.exp(), rtol=2.0**-51, atol=0, equal_nan=True)
    torch.testing.assert_close(primitives_torch.log(ends), ends.log(), rtol=2.0**-51, atol=0, equal_nan=True)
    # Sums: each is off by at most gamma(n) of its magnitudes, with float64's u.
    a, b = values(9, 257).double(), values(257, 65, seed=2).double()
    bound = 2 * 257 * 2.0**-53 * 1.01 * (a.abs() @ b.abs())
    assert ((primitives.matmul(a, b) - a @ b).abs() <= bound).all()
    assert ((primitives.softmax(a) - a.softmax(-1)).abs() <= 600 * 2.0**-53 * a.softmax(-1)).all()
    found, exact = primitives.reduce(a[None], "sum")[0], a.sum(0)
    assert ((found - exact).abs() <= 2 * 9 * 2.0**-53 * 1.01 * a.abs().sum(0)).all()


def test_control_a_wrong_formula_is_not_close() -> None:
    x = values(7, 33)
    exact = torch.softmax(x.double(), -1)
    with pytest.raises(AssertionError, match="times the bound"):
        assert_within(stock.softmax(x * 1.00001), exact, (33 + 16) * U * exact)
    with pytest.raises(AssertionError, match="times the bound"):
        assert_within(fixed_torch.linear(x, x.t()), (x @ x.t()).double().roll(1), gamma(33) * (x.abs() @ x.t().abs()))
