"""Triton's row kernels, compiled, at the sizes of models: the same bytes alone and in any crowd.

Close to float64: the bounds have the sources that tests/courselib/test_triton_rows.py names; in short, 512 u for a
chain in fp32 (u = 2^-24), and half a unit in the last place for the answer.
"""

import math
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from courselib import bits
from courselib.kernels.triton.norm import layer_norm, rms_norm
from courselib.kernels.triton.reduce import _rows, reduce
from courselib.kernels.triton.rows import options
from courselib.kernels.triton.runtime import triton
from courselib.kernels.triton.softmax import log_softmax, logsumexp, softmax

pytestmark = pytest.mark.gpu

Op = Callable[[Tensor], tuple[Tensor, ...]]

WIDE = (1, 7, 64, 127, 128, 1000, 4096, 5120, 8192, 11008, 32768, 32769, 128256, 151936)
SIZES = {
    torch.bfloat16: WIDE,
    torch.float16: (1, 64, 1000, 4096, 32769, 151936),
    torch.float32: (1, 127, 1000, 4096, 11008, 32768, 32769, 128256),
}
CROWDS = (1, 2, 3, 7, 16, 64, 257, 1024, 4096)
HALF_A_UNIT = {torch.float32: 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}
DTYPES = pytest.mark.parametrize("dtype", list(SIZES), ids=lambda dtype: str(dtype)[6:])
BIG = 512 * 2.0**-24


def values(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator("cuda").manual_seed(seed)
    return (torch.randn(shape, generator=generator, device="cuda") * 3).to(dtype)


def weight(D: int) -> Tensor:
    return values(D, seed=2) / 3


def summed(kind: str) -> Op:
    return lambda x: (reduce(x, kind, out_dtype=torch.float32),)  # type: ignore[arg-type]


OPS: dict[str, Op] = {
    "softmax": lambda x: (softmax(x),),
    "log_softmax": lambda x: (log_softmax(x),),
    "logsumexp": lambda x: (logsumexp(x, out_dtype=torch.float32),),
    "sum": summed("sum"),
    "sum_of_squares": summed("sum_of_squares"),
    "rms_norm": lambda x: rms_norm(x, weight(x.shape[1]), 1e-6),
    "layer_norm": lambda x: layer_norm(x, weight(x.shape[1]), weight(x.shape[1]), 1e-6),
}


def moved(op: Op, row: Tensor, R: int, places: int = 3) -> int:
    """How many results for `row` change their bytes when it stands at random places among R rows made to harm."""
    D = row.shape[0]
    harm = torch.tensor([math.nan, math.inf, -math.inf, 1e30, -1e30, 0.0], device="cuda").to(row.dtype)
    crowd = harm[torch.arange(R, device="cuda") % len(harm)].unsqueeze(1).expand(R, D).contiguous()
    at = torch.randint(R, (places,), generator=torch.Generator().manual_seed(R * 7919 + D))
    at[0] = R - 1
    crowd[at] = row
    alone = op(row.unsqueeze(0))
    return sum(not bits.equal(a[0], b[i]) for a, b in zip(alone, op(crowd), strict=True) for i in at.tolist())


@pytest.mark.parametrize("op", OPS.values(), ids=OPS.keys())
@DTYPES
def test_a_row_keeps_its_bytes_in_any_crowd(op: Op, dtype: torch.dtype) -> None:
    for D in SIZES[dtype]:
        row = values(D, seed=D, dtype=dtype)
        row[:: max(5, D // 9)] = 1e-3  # some repeats, some scales
        for R in CROWDS:
            assert moved(op, row, R) == 0, f"D {D} among {R} rows"
    torch.cuda.empty_cache()


def test_kernels_that_look_at_the_number_of_rows_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def chunk_by_rows(x: Tensor) -> tuple[Tensor, ...]:
        monkeypatch.setattr(sys.modules["courselib.kernels.triton.softmax"], "CHUNK", 4096 if len(x) < 16 else 8192)
        return (softmax(x.float()),)  # float32: a row of bfloat16 is one launch on Hopper

    def warps_by_rows(x: Tensor) -> tuple[Tensor, ...]:
        R, D = x.shape
        out = torch.empty(R, dtype=torch.float32, device="cuda")
        block = triton.next_power_of_2(D)
        warps = 2 if R < 16 else 8
        _rows[(R,)](x, x, out, R, D, 1, 1.0, 1, block, False, False, **options(warps))
        return (out,)

    for variant, D in ((chunk_by_rows, 128256), (warps_by_rows, 4096)):
        rows = [values(D, seed=seed, dtype=torch.bfloat16) for seed in range(12)]
        assert sum(moved(variant, row, 8) for row in rows) == 0  # below its threshold it looks innocent
        assert sum(moved(variant, row, 64) for row in rows) > 0, variant.__name__


def test_the_same_check_catches_pytorch() -> None:
    caught = {
        (name, D, R)
        for name, op in (("sum", torch.sum), ("logsumexp", torch.logsumexp))
        for D in (1000, 4096, 11008, 32768, 128256)
        for R in (2, 64, 1024)
        if moved(lambda x, op=op: (op(x, 1),), values(D, seed=D), R)  # type: ignore[misc]
    }
    assert caught, "none of these shapes shows that PyTorch's order follows the number of rows: search wider"


def test_strides_and_alignment_move_no_byte() -> None:
    for D in (7, 128, 1000, 5120, 128256):
        x = values(5, D, dtype=torch.bfloat16)
        for view in (
            torch.zeros(5, D + 3, dtype=x.dtype, device="cuda")[:, 1 : D + 1],
            torch.zeros(5, D, 2, dtype=x.dtype, device="cuda")[:, :, 1],
            torch.zeros(5 * D + 1, dtype=x.dtype, device="cuda")[1:].view(5, D),
        ):
            view.copy_(x)
            for name, op in OPS.items():
                for a, b, c in zip(op(x), op(view), op(view[3:4]), strict=True):
                    assert bits.equal(a, b), (name, D)
                    assert bits.equal(a[3:4], c), (name, D)
        w = torch.zeros(D + 1, device="cuda")[1:].copy_(weight(D))  # a weight that starts at an odd place
        assert bits.equal(rms_norm(x, w, 1e-6)[0], rms_norm(x, weight(D), 1e-6)[0])


def test_a_column_keeps_its_bytes_among_any_columns() -> None:
    for D in (1, 5, 128, 4096, 100_000):
        x = values(2, D, 700, dtype=torch.bfloat16)
        x[:, :, 1::7] = math.nan
        for kind in ("sum", "sum_of_squares"):
            whole = reduce(x, kind, out_dtype=torch.float32)  # type: ignore[arg-type]
            for columns in (slice(2, 3), slice(2, 4), slice(3, 68), slice(8, 520)):
                few = reduce(x[1:, :, columns], kind, out_dtype=torch.float32)  # type: ignore[arg-type]
                assert bits.equal(whole[1:, columns].contiguous(), few), (D, columns)
            turned = reduce(x.permute(2, 1, 0), kind, out_dtype=torch.float32)  # type: ignore[arg-type]
            assert bits.equal(whole.t().contiguous(), turned), D


@DTYPES
def test_close_to_float64(dtype: torch.dtype) -> None:
    for D in (127, 4096, 32768, 151936):
        x, w = values(4, D, dtype=dtype), weight(D)
        X = x.double()

        def check(found: Tensor, exact: Tensor, bound: Tensor, D: int = D) -> None:
            error = (found.double() - exact).abs()
            bound = bound + HALF_A_UNIT[found.dtype] * exact.abs() + 2.0**-24
            assert (error <= bound).all(), f"D {D}: off by {(error / bound).max():.3g} times the bound"

        log_p = torch.log_softmax(X, 1)
        check(log_softmax(x), log_p, BIG + 4 * 2.0**-24 * log_p.abs())
        check(softmax(x), log_p.exp(), log_p.exp() * BIG)
        check(logsumexp(x), torch.logsumexp(X, 1), BIG + 0 * X[:, 0])
        check(reduce(x, "sum", out_dtype=torch.float32), X.sum(1), BIG * X.abs().sum(1))
        check(reduce(X.float().t().unsqueeze(0), "sum")[0], X.sum(1), BIG * X.abs().sum(1))
        exact = torch.nn.functional.rms_norm(X, (D,), w.double(), 1e-6)
        check(rms_norm(x, w, 1e-6)[0], exact, BIG * exact.abs())
        exact = torch.nn.functional.layer_norm(X, (D,), w.double(), w.double(), 1e-6)
        check(layer_norm(x, w, w, 1e-6)[0], exact, BIG * 2 * w.abs() * (1 + X.abs() + exact.abs()))


def test_infinities_and_nans_go_as_in_pytorch() -> None:
    inf, nan = math.inf, math.nan
    starts = torch.tensor([[-inf, -inf], [-inf, 0], [inf, 0], [nan, 0], [inf, inf], [3e38, -3e38]], device="cuda")
    for D in (100, 50_000):
        x = torch.full((len(starts), D), -inf, device="cuda")
        x[:, 3:5] = starts
        for ours, theirs in ((softmax, torch.softmax), (log_softmax, torch.log_softmax), (logsumexp, torch.logsumexp)):
            torch.testing.assert_close(ours(x), theirs(x, 1), rtol=1e-5, atol=1e-5, equal_nan=True)


def test_captured_in_a_graph_and_replayed_on_other_numbers() -> None:
    ops = list(OPS.values())
    for R, D in ((4, 128256), (64, 4096)):
        static, fresh = values(R, D, seed=1, dtype=torch.bfloat16), values(R, D, seed=2, dtype=torch.bfloat16)
        eager = [op(fresh) for op in ops]  # compiles too
        w = weight(D)
        captured: list[Op] = [
            *ops[:5],
            lambda x, w=w: rms_norm(x, w, 1e-6),  # type: ignore[misc]
            lambda x, w=w: layer_norm(x, w, w, 1e-6),  # type: ignore[misc]
        ]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = [op(static) for op in captured]
        for _ in range(3):
            static.copy_(fresh)
            graph.replay()
            for found, expected in zip(results, eager, strict=True):
                assert all(bits.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_more_than_2_to_the_31_elements() -> None:
    D, R = 128256, 17_000
    x = torch.zeros(R, D, dtype=torch.bfloat16, device="cuda")
    row = values(D, dtype=torch.bfloat16)
    x[-1] = row
    assert x.numel() > 2**31
    assert bits.equal(log_softmax(x)[-1], log_softmax(row.unsqueeze(0))[0])
    assert bits.equal(reduce(x, "sum")[-1:], reduce(row.view(1, D), "sum"))
    columns = reduce(x.unsqueeze(0), "sum", out_dtype=torch.float32)  # (1, R, D) -> (1, D): one row that is not 0
    assert bits.equal(columns[0], row.float() + 0.0)
    everything = reduce(x.view(1, -1), "sum_of_squares", out_dtype=torch.float32)
    exact = row.double().square().sum()
    assert abs(everything.double().item() - exact) <= BIG * exact
    y = x.view(-1)[-131_200 * 16384 :].view(131_200, 16384)  # the last of these rows ends with the last of those
    assert bits.equal(rms_norm(y, None, 1e-6)[0][-1], rms_norm(y[-1:], None, 1e-6)[0][0])
    assert bits.equal(softmax(y)[-1], softmax(y[-1:])[0])
