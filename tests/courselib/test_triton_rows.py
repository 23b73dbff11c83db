"""Triton's row kernels on small shapes: in the interpreter without a GPU, compiled with one. Large ones: tests/gpu.

Sources of the tolerances. u = 2^-24 is float32's unit roundoff. A sum whose every term passes through at most n
additions is off by at most gamma(n) times the sum of the magnitudes (Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., section 4.2); n stays below 400 here. exp is ex2.approx of a product: 2^-22 relative (PTX ISA), and
|x| times a few u for the roundings of its argument. LAST is what the last rounding costs, relative: half a unit in the
last place, or a whole one in bfloat16, where the interpreter cuts the bits off.
"""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from courselib import bits
from courselib.kernels.evidence import listening
from courselib.kernels.triton.norm import layer_norm, rms_norm
from courselib.kernels.triton.reduce import _rows, reduce
from courselib.kernels.triton.rows import WHOLE, options
from courselib.kernels.triton.runtime import INTERPRETED, triton
from courselib.kernels.triton.softmax import log_softmax, logsumexp, softmax

DEVICE = "cpu" if INTERPRETED else "cuda"
LAST = {torch.float32: 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0 ** (-7 if INTERPRETED else -8)}
DTYPES = pytest.mark.parametrize("dtype", list(LAST), ids=lambda dtype: str(dtype)[6:])
U = 2.0**-24
MANY = 400 * U / (1 - 400 * U)  # gamma(400)
LONG = WHOLE + 1001  # two strategies, and a last chunk that is neither full nor a multiple of 16


def values(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3
    return x.to(DEVICE, dtype)


def assert_within(found: Tensor, exact: Tensor, bound: Tensor) -> None:
    assert found.dtype in LAST
    error = (found.double() - exact).abs()
    bound = bound + exact.abs() * LAST[found.dtype] + 2.0**-24  # float16's subnormals lie 2^-24 apart
    assert (error <= bound).all(), f"off by up to {(error / bound).max():.3g} times the bound"


def weight(D: int) -> Tensor:
    return values(D, seed=2) / 3


ROW_OPS: dict[str, Callable[[Tensor], tuple[Tensor, ...]]] = {
    "softmax": lambda x: (softmax(x),),
    "log_softmax": lambda x: (log_softmax(x),),
    "logsumexp": lambda x: (logsumexp(x),),
    "sum": lambda x: (reduce(x, "sum", out_dtype=torch.float32),),
    "sum_of_squares": lambda x: (reduce(x, "sum_of_squares", out_dtype=torch.float32),),
    "rms_norm": lambda x: rms_norm(x, weight(x.shape[1]), 1e-6),
    "layer_norm": lambda x: layer_norm(x, weight(x.shape[1]), weight(x.shape[1]), 1e-6),
}
EVERY_ROW_OP = pytest.mark.parametrize("op", ROW_OPS.values(), ids=ROW_OPS.keys())


def moved(op: Callable[[Tensor], tuple[Tensor, ...]], row: Tensor, R: int, at: int) -> int:
    """How many of op's results for `row` change their bytes when it is row `at` of R, among neighbours made to harm."""
    D = row.shape[0]
    harm = torch.tensor([math.nan, math.inf, -math.inf, 1e30, -1e30, 0.0], device=row.device).to(row.dtype)
    crowd = harm[torch.arange(R, device=row.device) % len(harm)].unsqueeze(1).expand(R, D).contiguous()
    crowd[at] = row
    return sum(not bits.equal(a[0], b[at]) for a, b in zip(op(row.unsqueeze(0)), op(crowd), strict=True))


@DTYPES
@pytest.mark.parametrize("D", [1, 2, 7, 64, 127, 1000, LONG])
def test_softmax_is_close_to_float64(D: int, dtype: torch.dtype) -> None:
    x = values(3, D, dtype=dtype)
    exact = torch.log_softmax(x.double(), 1)
    lse = torch.logsumexp(x.double(), 1)
    slack = (64 + 4 * math.log(D)) * U
    assert_within(log_softmax(x), exact, slack + 4 * U * (x.double() - x.amax(1, keepdim=True)).abs())
    assert_within(softmax(x), exact.exp(), exact.exp() * (slack + 8 * U * exact.abs()))
    assert_within(logsumexp(x), lse, slack + 2 * U * lse.abs())


@DTYPES
@pytest.mark.parametrize("D", [1, 7, 64, 1000, LONG])
def test_norms_are_close_to_float64(D: int, dtype: torch.dtype) -> None:
    x, w, b = values(3, D, dtype=dtype), weight(D), values(D, seed=3)
    X, W, B, eps = x.double(), w.double(), b.double(), 1e-5
    rstd = (X.square().mean(1) + eps).rsqrt()
    y, found = rms_norm(x, w, eps)
    exact = X * rstd[:, None] * W
    assert y.dtype == dtype
    assert_within(found, rstd, MANY * rstd)
    assert_within(y, exact, 2 * MANY * exact.abs())
    assert_within(rms_norm(x, None, eps)[0], X * rstd[:, None], 2 * MANY * (X * rstd[:, None]).abs())

    mean, var = X.mean(1), X.var(1, correction=0)
    rstd = (var + eps).rsqrt()
    y, found_mean, found = layer_norm(x, w, b, eps)
    size = X.abs().mean(1)
    assert_within(found_mean, mean, MANY * size)
    off = MANY * (size / (var + eps).sqrt()) + 2 * MANY  # what an error of the mean does to the differences
    assert_within(found, rstd, off * rstd)
    plain = (X - mean[:, None]) * rstd[:, None]
    error = (MANY * (size[:, None] + X.abs()) * rstd[:, None] + off[:, None] * plain.abs()) * 2
    assert_within(y, plain * W + B, error * W.abs() + 2 * U * B.abs())
    assert_within(layer_norm(x, None, None, eps)[0], plain, error)


@DTYPES
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 7, 1), (2, 1000, 1), (1, 17_003, 1), (2, 5, 3), (1, 129, 70), (1, 300, 2)]
)
def test_reduce_is_close_to_float64(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    x, shift = values(*shape, dtype=dtype), values(shape[0], shape[2], seed=2)
    X, S = x.double(), shift.double()[:, None]
    for kind, power in (("sum", 1), ("sum_of_squares", 2)):
        terms = (X**power) / 3
        assert_within(reduce(x, kind, divide_by=3.0), terms.sum(1), MANY * terms.abs().sum(1))
        terms = (X - S) ** power
        bound = MANY * (X.abs() + S.abs()).pow(power).sum(1)
        found = reduce(x, kind, shift=shift, out_dtype=torch.float32)
        assert_within(found, terms.sum(1), bound)


@EVERY_ROW_OP
@DTYPES
def test_a_row_keeps_its_bytes_in_any_crowd(op: Callable[[Tensor], tuple[Tensor, ...]], dtype: torch.dtype) -> None:
    for D, crowds in ((1, (2, 130)), (7, (3, 33)), (127, (2, 19)), (1000, (2, 7)), (LONG, (3,))):
        row = values(D, seed=D, dtype=dtype)
        for R in crowds:
            for at in (0, R // 2, R - 1):
                assert moved(op, row, R, at) == 0, f"D {D}, row {at} of {R}"


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_a_row_keeps_its_bytes_wherever_it_is(data: st.DataObject) -> None:
    op = data.draw(st.sampled_from(list(ROW_OPS.values())))
    D, R = data.draw(st.integers(1, 200)), data.draw(st.integers(1, 40))
    at, dtype = data.draw(st.integers(0, R - 1)), data.draw(st.sampled_from(list(LAST)))
    assert moved(op, values(D, seed=R, dtype=dtype), R, at) == 0


def test_a_kernel_that_cuts_by_the_number_of_rows_is_caught() -> None:
    def by_rows(x: Tensor) -> tuple[Tensor, ...]:
        (R, D), block = x.shape, 64 if len(x) < 4 else 256
        for last in (False, True):
            block = triton.next_power_of_2(D) if last else block
            chunks = triton.cdiv(D, block)
            out = torch.empty((R, chunks), dtype=torch.float32, device=x.device)
            _rows[(R * chunks,)](x, x, out, R, D, chunks, 1.0, 1, block, False, False, **options(4))
            x, D = out, chunks
        return (x,)

    rows = [values(1000, seed=seed) for seed in range(20)]
    assert sum(moved(by_rows, row, 2, 1) for row in rows) == 0
    assert sum(moved(by_rows, row, 5, 3) for row in rows) > 0


@EVERY_ROW_OP
def test_strides_and_alignment_move_no_byte(op: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
    for D in (7, 64, 1000):
        x = values(5, D, dtype=torch.bfloat16)
        odd = torch.zeros(5, D + 3, dtype=x.dtype, device=x.device)[:, 1 : D + 1]
        strided = torch.zeros(5, D, 2, dtype=x.dtype, device=x.device)[:, :, 1]
        turned = torch.zeros(D, 5, dtype=x.dtype, device=x.device).t()
        for view in (odd, strided, turned):
            view.copy_(x)
            assert all(bits.equal(a, b) for a, b in zip(op(x), op(view), strict=True))
        assert all(bits.equal(a[2:3], b) for a, b in zip(op(x), op(odd[2:3]), strict=True))


def test_a_column_keeps_its_bytes_among_any_columns() -> None:
    for D in (5, 130, 600):  # one level and two
        x = values(2, D, 9, dtype=torch.bfloat16)
        x[:, :, 1::4] = math.nan
        x[:, :, 2::4] = math.inf
        for kind in ("sum", "sum_of_squares"):
            whole = reduce(x, kind, out_dtype=torch.float32)
            for columns in (slice(6, 8), slice(4, 5)):  # one alone is no row
                few = reduce(x[1:, :, columns], kind, out_dtype=torch.float32)
                assert bits.equal(whole[1:, columns], few)
            turned = reduce(x.permute(2, 1, 0), kind, out_dtype=torch.float32)  # (9, D, 2), other strides
            assert bits.equal(whole.t().contiguous(), turned)


def test_infinities_and_nans_go_as_in_pytorch() -> None:
    inf, nan = math.inf, math.nan
    rows = torch.tensor(
        [[-inf, -inf, -inf], [-inf, 0, 1], [inf, 0, -inf], [nan, 0, 1], [inf, inf, 0], [3e38, 3e38, -3e38]],
        device=DEVICE,
    )
    long = torch.full((len(rows), LONG), -inf, device=DEVICE)
    long[:, 1:4] = rows  # all other chunks hold nothing but -inf
    for x in (rows, long):
        for ours, theirs in (
            (softmax, torch.softmax),
            (log_softmax, torch.log_softmax),
            (logsumexp, torch.logsumexp),
        ):
            torch.testing.assert_close(ours(x), theirs(x, 1), rtol=1e-6, atol=1e-6, equal_nan=True)


def test_out_dtype_rounds_the_same_number() -> None:
    for D in (100, LONG):
        x = values(2, D, dtype=torch.float32)
        for op in (softmax, log_softmax, logsumexp):
            assert op(x, out_dtype=torch.bfloat16).dtype == torch.bfloat16
            torch.testing.assert_close(op(x, out_dtype=torch.bfloat16).float(), op(x), rtol=2**-7, atol=1e-30)
            half = x.half()
            assert_within(op(half, out_dtype=torch.float32), op(half.float()).double(), MANY * op(half.float()).abs())


def test_nothing_in_nothing_out() -> None:
    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.bfloat16, device=DEVICE)

    for op in (softmax, log_softmax):
        assert op(empty(0, 5)).shape == (0, 5)
        assert op(empty(3, 0)).shape == (3, 0)
    assert logsumexp(empty(0, 5)).shape == (0,)
    assert logsumexp(empty(2, 0)).tolist() == [-math.inf] * 2
    assert reduce(empty(2, 0, 3), "sum", divide_by=2.0).tolist() == [[0.0] * 3] * 2
    assert math.isnan(reduce(empty(1, 0, 1), "sum", divide_by=0.0).item())
    assert reduce(empty(2, 5, 0), "sum").shape == (2, 0)
    assert [t.shape for t in layer_norm(empty(0, 5), None, None, 1e-5)] == [(0, 5), (0,), (0,)]
    assert rms_norm(empty(2, 0), None, 1e-5)[1].isnan().all()


def test_bad_input_is_told_in_one_line() -> None:
    x = values(2, 8)
    with pytest.raises(ValueError, match='unknown kind "mean" of reduce'):
        reduce(x, "mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"rms_norm: weight has shape \(7,\), expected \(8,\)"):
        rms_norm(x, weight(7), 1e-5)
    with pytest.raises(TypeError, match=r"x is torch\.float64"):
        softmax(x.double())
    for call in (softmax, log_softmax, logsumexp, lambda x: rms_norm(x, None, 1e-5)):
        with pytest.raises(ValueError, match=r"expected x \(R, D\), got \(2, 1, 8\)"):
            call(x[:, None])
    with pytest.raises(ValueError, match=r"expected x \(R, D\) or \(O, D, I\), got \(8,\)"):
        reduce(x[0], "sum")
    with pytest.raises(ValueError, match=r"reduce: x \(2, 8\) needs shift \(2,\), got \(1,\)"):
        reduce(x, "sum", shift=torch.zeros(1))


def test_each_call_says_what_ran() -> None:
    said: list[tuple[str, str]] = []
    x = values(2, 8)
    with listening(lambda op, implementation: said.append((op, implementation))):
        softmax(x), log_softmax(x), logsumexp(x), reduce(x.unsqueeze(1), "sum")
        rms_norm(x, None, 1e-5), layer_norm(x, None, None, 1e-5)
    names = ["softmax", "log_softmax", "logsumexp", "reduce", "rms_norm", "layer_norm"]
    assert said == [(name, "triton") for name in names]
