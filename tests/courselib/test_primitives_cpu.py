"""The CPU primitives keep fixed-order/1: a row's bytes are its own, whatever stands around it and however it lies.

Two implementations, the C and the PyTorch statement, have to give the same bytes; float16, bfloat16 and float64 ride on
them. Bits of a NaN are not promised. How close the answers are is test_kernel_accuracy.py's.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from courselib import bits
from courselib.kernels import listening
from courselib.kernels.cpu import build, fixed_c, fixed_torch, primitives, primitives_c, primitives_torch

pytestmark = pytest.mark.skipif(build.find_compiler() is None, reason="no C compiler: fixed-torch is all there is")

NAN, INF = float("nan"), float("inf")
SIZES = (1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 100, 129, 300)
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
Threads = Callable[[int], AbstractContextManager[None]]
Answer = Tensor | tuple[Tensor, ...]
Operation = Callable[[Tensor], Answer]

sizes = st.sampled_from(SIZES)
seeds = st.integers(0, 2**32 - 9)


@pytest.fixture(params=[fixed_c, fixed_torch], ids=["c", "torch"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the primitives on this implementation."""
    monkeypatch.setattr(primitives, "resolve", lambda name: request.param)
    return request.param.NAME


def values(*shape: int, seed: int, wild: bool = False, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers; wild ones have zeros of both signs, subnormals and large numbers among them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    if wild:
        kind = torch.randint(0, 12, shape, generator=generator)
        for i, value in enumerate((0.0, -0.0, 1e-40, -1.4e-45, 3e38, -1e20)):
            x[kind == i] = value
    return x.to(dtype)


def assert_same(found: Answer, expected: Answer, what: str = "") -> None:
    if isinstance(expected, Tensor):
        found, expected = (found,), (expected,)
    assert len(found) == len(expected)
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        a, b = (torch.where(x.isnan(), NAN, x) for x in (a, b))
        assert bits.equal(a, b), f"{what}, answer {i}\n{bits.report(a, b)}"


def storages(x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """x (R, C) again, lying in memory in other ways."""
    R, C = x.shape
    yield "transposed", x.t().contiguous().t()
    yield "within a wider one", torch.cat([torch.full((R, 3), NAN, dtype=x.dtype), x, x], 1)[:, 3 : 3 + C]
    yield "every other", torch.stack([x, x], 2).flatten(1).repeat_interleave(2, 0)[::2, ::2]
    for offset in (1, 2, 3, 4, 8):
        raw = bytearray(offset) + x.contiguous().view(torch.uint8).numpy().tobytes()
        yield f"{offset} bytes in", torch.frombuffer(raw, dtype=x.dtype, offset=offset).view(R, C)


# ------------------------------------------------------------------------------------------------ the same two ways


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 20), sizes, st.integers(1, 140), seeds, st.booleans(), st.booleans())
def test_c_matmul_gives_the_written_order(
    threads: Threads, B: int, M: int, K: int, N: int, seed: int, wild: bool, nk: bool
) -> None:
    a = values(B, M, K, seed=seed, wild=wild)
    b = values(B, N, K, seed=seed + 1, wild=wild).transpose(1, 2) if nk else values(B, K, N, seed=seed + 1, wild=wild)
    expected = primitives_torch.matmul(a, b)
    assert_same(primitives_c.matmul(a, b), expected)
    assert_same(expected, torch.stack([fixed_torch.linear(x, w) for x, w in zip(a, b, strict=True)]), "one by one")
    for n in (1, 2):
        with threads(n):
            assert_same(primitives_c.matmul(a, b), expected, f"{n} threads")


def test_threads_share_a_batch_of_products_by_rows(threads: Threads) -> None:
    for B, M in ((2, 1), (3, 1), (2, 3), (4, 2)):
        a, b = values(B, M, 67, seed=1), values(B, 67, 70, seed=2)
        for n in (1, 2, 3):
            with threads(n):
                assert_same(primitives_c.matmul(a, b), primitives_torch.matmul(a, b), f"B {B}, M {M}, {n} threads")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.sampled_from(SIZES), st.sampled_from((1, 2, 3, 17, 255, 256, 257, 520)), seeds,
       st.booleans(), st.booleans(), st.booleans())  # fmt: skip
def test_c_reduce_gives_the_written_order(threads: Threads,
    O: int, D: int, I: int, seed: int, wild: bool, squares: bool, shifted: bool  # noqa: E741
) -> None:  # fmt: skip
    x = values(O, D, I, seed=seed, wild=wild)
    shift = values(O, I, seed=seed + 1) if shifted else None
    expected = primitives_torch.reduce(x, squares, shift, 3.0)
    assert_same(primitives_c.reduce(x, squares, shift, 3.0), expected)
    with threads(2):
        assert_same(primitives_c.reduce(x, squares, shift, 3.0), expected, "2 threads")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), sizes, seeds, st.booleans(), st.sampled_from((1.0, 40.0)))
def test_c_rows_give_the_written_order(threads: Threads, R: int, D: int, seed: int, wild: bool, scale: float) -> None:
    x, w, b = values(R, D, seed=seed, wild=wild) * scale, values(D, seed=seed + 1), values(D, seed=seed + 2)
    x[x.abs() > 1e38] = -INF if wild and D > 1 else 0.0
    x[:, 0] = 1.0  # never a whole row of -inf
    for n in (1, 2):
        with threads(n):
            for name in ("softmax", "log_softmax", "logsumexp", "silu", "sigmoid"):
                assert_same(getattr(primitives_c, name)(x), getattr(primitives_torch, name)(x), f"{name}, {n} threads")
            for weight, bias in ((w, b), (w, None), (None, b), (None, None)):
                found = primitives_c.layer_norm(x, weight, bias, 1e-5)
                assert_same(found, primitives_torch.layer_norm(x, weight, bias, 1e-5), f"layer_norm, {n} threads")
            for weight in (w, None):
                found = primitives_c.rms_norm(x, weight, 1e-5)
                assert_same(found, primitives_torch.rms_norm(x, weight, 1e-5), f"rms_norm, {n} threads")


def test_c_sigmoid_gives_the_written_order_on_a_sweep_of_all_floats() -> None:
    x = torch.arange(-(2**31), 2**31, 4093, dtype=torch.int64).to(torch.int32).view(torch.float32)
    assert_same(primitives_c.sigmoid(x), primitives_torch.sigmoid(x))


def test_what_the_kernels_of_lab_02_do_too_has_their_bytes(implementation: str) -> None:
    x, w, weight = values(9, 130, seed=1), values(70, 130, seed=2), values(130, seed=3)
    assert_same(primitives.matmul(x, w.t()), fixed_torch.linear(x, w.t()))
    assert_same(primitives.softmax(x), fixed_torch.softmax(x))
    assert_same(primitives.log_softmax(x), fixed_torch.log_softmax(x))
    assert_same(primitives.silu(x), fixed_torch.silu(x))
    assert_same(primitives.rms_norm(x, weight, 1e-5)[0], fixed_torch.rms_norm(x, weight, 1e-5))
    assert_same(primitives.reduce(x, "sum"), fixed_torch.lane_sum(x))
    assert_same(primitives.reduce(x[..., None], "sum")[:, 0], fixed_torch.lane_sum(x))
    q, k, v = values(2, 6, 9, 20, seed=4), values(2, 2, 9, 20, seed=5), values(2, 2, 9, 20, seed=6)
    prefill = fixed_torch.attention(q, k, v, [0, 0], [0, 0], [9, 9])
    assert_same(primitives.attention(q, k, v, causal=True)[0], prefill.contiguous())


# ------------------------------------------------------------------------------------------------ a row is its own


def operations(D: int, dtype: torch.dtype) -> dict[str, Operation]:
    """Every primitive as a function of rows x (R, D); its answers have R rows too."""
    w, weight, bias = (values(*shape, seed=D, dtype=dtype) for shape in ((D, 70), (D,), (D,)))
    stored_nk = w.t().contiguous().t()
    add = values(70, seed=D + 1, dtype=dtype)
    return {
        "matmul": lambda x: primitives.matmul(x, w),
        "matmul, w transposed": lambda x: primitives.matmul(x, stored_nk),
        "matmul, epilogue": lambda x: primitives.matmul(x, w, bias=add, alpha=0.3, beta=0.7),
        "matmul, batched": lambda x: primitives.matmul(x[:, None], w.expand(len(x), -1, -1))[:, 0],
        "softmax": primitives.softmax,
        "log_softmax": primitives.log_softmax,
        "logsumexp": primitives.logsumexp,
        "sum": lambda x: primitives.reduce(x, "sum"),
        "sum, the rows as columns": lambda x: primitives.reduce(x.t()[None], "sum")[0],
        "var": lambda x: primitives.reduce(x.t()[None], "sum_of_squares", shift=x[None, :, 0].float(), divide_by=3)[0],
        "rms_norm": lambda x: primitives.rms_norm(x, weight, 1e-5),
        "layer_norm": lambda x: primitives.layer_norm(x, weight, bias, 1e-5),
        "silu": primitives.silu,
        "sigmoid": primitives.sigmoid,
    }


def rows_of(answer: Answer, rows: slice) -> Answer:
    return answer[rows] if isinstance(answer, Tensor) else tuple(x[rows] for x in answer)


def assert_rows_stand_alone(threads: Threads, operation: Operation, D: int, dtype: torch.dtype = torch.float32) -> None:
    x = values(21, D, seed=D + 3, dtype=dtype) * 3
    full = operation(x)
    for row in (0, 1, 7, 20):
        assert_same(operation(x[row : row + 1]), rows_of(full, slice(row, row + 1)), f"row {row} alone")
    for n in (2, 3, 5, 16):
        assert_same(operation(x[:n]), rows_of(full, slice(n)), f"the first {n} rows")
        assert_same(operation(x.roll(n, 0)), operation_rolled(full, n), f"{n} rows further on")
    for poison in (NAN, INF, -INF):
        among = torch.full_like(x, poison)
        among[7] = x[7]
        assert_same(rows_of(operation(among), slice(7, 8)), rows_of(full, slice(7, 8)), f"among rows of {poison}")
    for how, stored in storages(x):
        assert_same(operation(stored), full, how)
    for n in (1, 2, 3):
        with threads(n):
            assert_same(operation(x), full, f"{n} threads")


def operation_rolled(answer: Answer, n: int) -> Answer:
    return answer.roll(n, 0) if isinstance(answer, Tensor) else tuple(x.roll(n, 0) for x in answer)


@pytest.mark.parametrize("name", operations(1, torch.float32))
@pytest.mark.parametrize("D", [1, 67, 128])
def test_a_row_is_the_same_alone_anywhere_among_anything(
    threads: Threads, implementation: str, name: str, D: int
) -> None:
    assert_rows_stand_alone(threads, operations(D, torch.float32)[name], D)


@pytest.mark.parametrize("name", operations(1, torch.float32))
@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
def test_so_it_is_in_every_dtype(threads: Threads, name: str, dtype: torch.dtype) -> None:
    assert_rows_stand_alone(threads, operations(67, dtype)[name], 67, dtype)


def test_control_the_library_s_own_product_depends_on_the_number_of_rows(threads: Threads) -> None:
    w = values(1024, 512, seed=2)
    with pytest.raises(AssertionError, match=r"alone|the first"):
        assert_rows_stand_alone(threads, lambda x: torch.mm(x, w), 1024)


def test_control_a_sum_in_another_order_for_one_row_is_seen(threads: Threads) -> None:
    def total(x: Tensor) -> Tensor:
        return fixed_torch.lane_sum(x if len(x) > 1 else x.flip(-1))

    with pytest.raises(AssertionError, match="row 0 alone"):
        assert_rows_stand_alone(threads, total, 128)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_column_has_the_bytes_of_the_same_numbers_in_a_row(implementation: str, dtype: torch.dtype) -> None:
    x = values(2, 133, 300, seed=5, dtype=dtype)
    for kind in ("sum", "sum_of_squares"):
        columns = primitives.reduce(x, kind, divide_by=133)
        rows = primitives.reduce(x.transpose(1, 2).reshape(600, 133, 1), kind, divide_by=133)
        assert_same(columns, rows.view(2, 300), kind)
        alone = primitives.reduce(x[1:, :, 7:8], kind, divide_by=133)
        assert_same(alone, columns[1:, 7:8], f"{kind} of one column")


@pytest.mark.parametrize("op", [primitives.silu, primitives.sigmoid])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_element_is_the_same_at_every_position(op: Operation, dtype: torch.dtype) -> None:
    x = values(150, seed=12, dtype=dtype)
    full = op(x)
    for start in range(17):
        for n in (1, 15, 16, 17, 100):
            assert_same(op(x[start : start + n]), full[start : start + n], f"{n} elements from {start}")


# ------------------------------------------------------------------------------------------------ attention


class Case:
    """q, k, v and a mask with holes, drawn from one seed: grouped heads, rows that see nothing, any strides."""

    def __init__(self, seed: int, B: int, H_kv: int, group: int, T: int, S: int, d: int, d_v: int, wild: bool) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.q = values(B, T, H_kv * group, d, seed=seed + 1, wild=wild).transpose(1, 2)
        self.k = values(B, H_kv, S, d, seed=seed + 2, wild=wild)
        self.v = values(B, S, H_kv, d_v, seed=seed + 3, wild=wild).transpose(1, 2)
        shape = [n if torch.randint(0, 2, (), generator=generator) else 1 for n in (B, H_kv * group, T, S)]
        self.seen = torch.rand(shape, generator=generator) < torch.rand((), generator=generator)
        self.seen[..., : S // 3] &= bool(seed % 2)  # a stretch without any, as left padding has
        self.added = torch.where(self.seen, torch.randn(shape, generator=generator), -INF)


CASE = st.builds(
    Case,
    seed=seeds,
    B=st.integers(1, 3),
    H_kv=st.integers(1, 2),
    group=st.integers(1, 3),
    T=st.integers(1, 5),
    S=st.integers(1, 40),
    d=st.sampled_from((1, 7, 16, 33, 64)),
    d_v=st.sampled_from((1, 15, 16, 31, 32, 65)),
    wild=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(CASE, st.booleans())
def test_c_attention_gives_the_written_order(threads: Threads, case: Case, causal: bool) -> None:
    everything = (*case.q.shape[:3], case.k.shape[2])
    for mask in (None, case.added.expand(everything)):
        expected = primitives_torch.attention(case.q, case.k, case.v, mask, causal, 0.3)
        for n in (1, 2):
            with threads(n):
                assert_same(primitives_c.attention(case.q, case.k, case.v, mask, causal, 0.3), expected, f"{n} threads")


def assert_a_query_row_stands_alone(attention: Callable[..., Answer]) -> None:
    B, H, T, S, d = 3, 4, 6, 40, 24
    q, k, v = values(B, H, T, d, seed=1), values(B, 2, S, d, seed=2), values(B, 2, S, d, seed=3)
    seen = torch.rand(B, 1, T, S, generator=torch.Generator().manual_seed(4)) < 0.6
    seen[..., 0] = seen[:, :, -1, 3:] = True
    full = attention(q, k, v, mask=seen)
    for b in range(B):
        for t in range(T):
            alone = attention(
                q[b : b + 1, :, t : t + 1], k[b : b + 1], v[b : b + 1], mask=seen[b : b + 1, :, t : t + 1]
            )
            assert_same(alone, tuple(x[b : b + 1, :, t : t + 1] for x in full), f"sequence {b}, row {t} alone")
    others = q.clone()
    others[0], others[1:, :, 1:] = NAN, INF
    assert_same(tuple(x[1:, :, 0] for x in attention(others, k, v, mask=seen)), tuple(x[1:, :, 0] for x in full), "NaN")
    unaligned = torch.frombuffer(bytearray(3) + k.numpy().tobytes(), dtype=torch.float32, offset=3).view(k.shape)
    for how, x in {
        "slots before heads": k.transpose(1, 2).contiguous().transpose(1, 2),
        "part of a wider one": torch.cat([k, k], -1)[..., :d],
        "transposed": k.transpose(2, 3).contiguous().transpose(2, 3),
        "3 bytes in": unaligned,
    }.items():
        assert_same(attention(q, x, v, mask=seen), full, f"k {how}")


def test_a_query_row_is_the_same_alone_among_anything_however_stored(implementation: str) -> None:
    assert_a_query_row_stands_alone(primitives.attention)


def test_control_the_library_s_own_attention_depends_on_its_neighbours() -> None:
    def stock(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Answer:
        return (torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True),)

    with pytest.raises(AssertionError, match="alone"):
        assert_a_query_row_stands_alone(stock)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_left_padding_and_decoding_move_no_bit(implementation: str, dtype: torch.dtype) -> None:
    H, S, d = 4, 37, 20
    q, k, v = (values(1, n, S, d, seed=n, dtype=dtype) for n in (H, 2, 2))
    prefill = primitives.attention(q, k, v, causal=True)
    for t in (0, 1, 15, 16, 36):
        decode = primitives.attention(q[:, :, t : t + 1], k[:, :, : t + 1], v[:, :, : t + 1])
        assert_same(decode, tuple(x[:, :, t : t + 1] for x in prefill), f"a decode step at {t}")
    for pad in (1, 5, 16, 19):
        q_pad, k_pad, v_pad = (torch.cat([torch.full_like(x[:, :, :pad], NAN), x], 2) for x in (q, k, v))
        slot = torch.arange(pad + S)
        seen = (slot <= slot[:, None]) & (slot >= pad)
        lowest = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)
        for mask in (seen, lowest, seen[None, None].expand(1, H, -1, -1)):
            k_in, v_in = (x.nan_to_num() if mask is lowest else x for x in (k_pad, v_pad))
            found = primitives.attention(q_pad, k_in, v_in, mask=mask)
            assert_same(tuple(x[:, :, pad:] for x in found), prefill, f"{pad} pads on the left, mask {mask.dtype}")


def test_control_chunks_counted_from_the_first_slot_of_the_cache_are_seen() -> None:
    def total(e: Tensor) -> Tensor:  # what a kernel does that takes 16 slots at a time, wherever the row's own begin
        return fixed_torch.lane_sum(fixed_torch.lane_sum(e.unflatten(-1, (3, 16))))

    e = values(20, 37, seed=1).abs()
    alone, padded = (torch.nn.functional.pad(e, (pad, 11 - pad)) for pad in (0, 5))
    with pytest.raises(AssertionError, match="differ in"):
        assert_same(total(padded), total(alone))
    assert_same(fixed_torch.lane_sum(padded), fixed_torch.lane_sum(alone))  # the lanes and their tree can be turned


def test_a_masked_slot_is_never_read_and_a_row_of_them_gives_zeros(implementation: str) -> None:
    q, k, v = values(2, 4, 3, 20, seed=1), values(2, 2, 30, 20, seed=2), values(2, 2, 30, 70, seed=3)
    seen = torch.rand(2, 1, 1, 30, generator=torch.Generator().manual_seed(4)) < 0.5
    full = primitives.attention(q, k, v, mask=seen)
    hidden = ~seen[:, 0, 0, None, :, None]
    for poison in (NAN, INF):
        poisoned = (x.masked_fill(hidden, poison) for x in (k, v))
        assert_same(primitives.attention(q, *poisoned, mask=seen), full, f"{poison} in the masked slots")
    assert not full[0].isnan().any()
    seen = seen.expand(2, 1, 3, 30).clone()
    seen[1, 0, 1] = False
    out, lse = primitives.attention(q, torch.full_like(k, NAN), torch.full_like(v, NAN), mask=seen)
    assert_same(out[1, :, 1], torch.zeros(4, 70))
    assert_same(lse[1, :, 1], torch.full((4,), -INF))
    assert out[0].isnan().all()


def test_masks_that_say_the_same_give_the_same_bytes(implementation: str) -> None:
    q, k, v = values(2, 4, 9, 20, seed=1), values(2, 4, 9, 20, seed=2), values(2, 4, 9, 20, seed=3)
    causal = torch.ones(9, 9, dtype=torch.bool).tril()
    expected = primitives.attention(q, k, v, causal=True)
    lower = torch.zeros(9, 9).masked_fill_(~causal, -INF)
    strided = torch.stack([causal, causal], -1)[..., 0].t().contiguous().t()
    for mask in (causal, lower, lower.double(), lower.bfloat16(), causal.expand(2, 1, 9, 9), strided):
        assert_same(primitives.attention(q, k, v, mask=mask), expected)
    assert_same(primitives.attention(q, k, v, mask=torch.ones(9, 9, dtype=torch.bool), causal=True), expected, "both")
    everything = primitives.attention(q, k, v)
    for mask in (torch.zeros(()), torch.zeros(2, 1, 1, 1), torch.ones(9, dtype=torch.bool)):
        assert_same(primitives.attention(q, k, v, mask=mask), everything, f"mask {tuple(mask.shape)}")
    hidden = torch.arange(9) < 3
    expected = primitives.attention(q, k, v, mask=~hidden)
    for number in (-INF, -30000.0, -65504.0, -1e9, torch.finfo(torch.float32).min):  # what models write for -inf
        mask = torch.zeros(9).masked_fill_(hidden, number)
        assert_same(primitives.attention(q, k, v, mask=mask), expected, f"{number} in the masked slots")
    lowest = torch.full((9, 9), torch.finfo(torch.float32).min)  # nothing else to see: then these are seen
    assert_same(primitives.attention(q * 0, k, v, mask=lowest)[0], primitives.attention(q * 0, k, v)[0])


# ------------------------------------------------------------------------------------------------ what is computed


def test_the_epilogue_is_products_then_a_sum_then_one_rounding(implementation: str) -> None:
    a, b, bias = (values(*s, seed=i, dtype=torch.bfloat16) for i, s in enumerate([(5, 40), (40, 9), (9,)]))
    product = fixed_torch.linear(a.float(), b.float())
    assert_same(primitives.matmul(a, b, out_dtype=torch.float32), product)
    found = primitives.matmul(a, b, bias=bias, alpha=0.3, beta=-0.7)
    assert_same(found, (product * 0.3 + bias.float() * -0.7).bfloat16())
    assert_same(primitives.matmul(a, b, bias=bias), (product + bias.float()).bfloat16())
    nothing = torch.full((5, 1), NAN)
    assert_same(primitives.matmul(a, b, bias=nothing, beta=0.0), product.bfloat16(), "beta 0")
    for shape in ((), (9,), (1, 9), (5, 1), (5, 9)):
        bias = values(*shape, seed=7)
        found = primitives.matmul(a, b, bias=bias, beta=2.0, out_dtype=torch.float32)
        assert_same(found, product + (bias * 2.0).expand(5, 9), f"bias {shape}")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_types_are_widened_and_rounded_once(implementation: str, dtype: torch.dtype) -> None:
    x, weight = values(5, 67, seed=1, dtype=dtype), values(67, seed=2, dtype=dtype)
    q, k = values(1, 2, 5, 20, seed=3, dtype=dtype), values(1, 2, 9, 20, seed=4, dtype=dtype)
    for op in ("softmax", "log_softmax", "logsumexp", "silu", "sigmoid"):
        run = getattr(primitives, op)
        assert_same(run(x), run(x.float()).to(dtype), op)
    assert_same(primitives.softmax(x, out_dtype=torch.float32), primitives.softmax(x.float()))
    assert_same(primitives.reduce(x[None], "sum"), primitives.reduce(x[None].float(), "sum").to(dtype))
    for run, parameters in ((primitives.rms_norm, (weight,)), (primitives.layer_norm, (weight, weight))):
        y, *statistics = run(x, *parameters, 1e-5)
        y_wide, *statistics_wide = run(x.float(), *(p.float() for p in parameters), 1e-5)
        assert_same((y, *statistics), (y_wide.to(dtype), *statistics_wide))
    out, lse = primitives.attention(q, k, k)
    out_wide, lse_wide = primitives.attention(q.float(), k.float(), k.float())
    assert_same((out, lse), (out_wide.to(dtype), lse_wide))


def test_infinities_in_logsumexp(implementation: str) -> None:
    x = torch.tensor([[-INF, -INF], [INF, 0.0], [INF, INF], [INF, -INF], [-INF, 2.0], [NAN, 0.0], [INF, NAN]])
    expected = torch.tensor([-INF, INF, INF, INF, 2.0, NAN, NAN])
    assert_same(primitives.logsumexp(x), expected)
    assert_same(primitives.logsumexp(x.double()), expected.double())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nothing_in(implementation: str, dtype: torch.dtype) -> None:
    def empty(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=dtype)

    wide = torch.float64 if dtype == torch.float64 else torch.float32
    for B, M, K, N in ((2, 3, 0, 4), (2, 0, 3, 4), (2, 3, 4, 0), (0, 3, 4, 5), (1, 3, 0, 4)):
        found = primitives.matmul(empty(B, M, K), empty(B, K, N), bias=torch.ones(N, dtype=dtype))
        assert_same(found, torch.ones(B, M, N, dtype=dtype), f"matmul {B} {M} {K} {N}")
    for R, D in ((0, 5), (3, 0), (0, 0)):
        assert_same(primitives.softmax(empty(R, D)), empty(R, D))
        assert_same(primitives.log_softmax(empty(R, D)), empty(R, D))
        assert_same(primitives.logsumexp(empty(R, D)), torch.full((R,), 0.0 if D else -INF, dtype=dtype))
        assert primitives.rms_norm(empty(R, D), None, 1e-5)[0].shape == (R, D)
        assert [x.shape for x in primitives.layer_norm(empty(R, D), None, None, 1e-5)] == [(R, D), (R,), (R,)]
    for O, D, I in ((2, 0, 3), (0, 4, 3), (2, 4, 0), (2, 0, 1)):  # noqa: E741
        assert_same(primitives.reduce(empty(O, D, I), "sum", divide_by=2.0), empty(O, I))
        assert_same(primitives.reduce(empty(O, 0, I), "sum", divide_by=0.0), torch.full((O, I), NAN, dtype=dtype))
    for T, S in ((0, 3), (2, 0), (0, 0)):
        out, lse = primitives.attention(empty(2, 4, T, 8), empty(2, 2, S, 8), empty(2, 2, S, 6))
        assert_same(out, empty(2, 4, T, 6))
        assert_same(lse, torch.full((2, 4, T), -INF, dtype=wide))
    assert_same(primitives.silu(empty(0, 3)), empty(0, 3))


def test_each_call_names_what_ran(implementation: str) -> None:
    x, q = values(3, 16, seed=1), values(1, 2, 3, 16, seed=2)
    heard: list[tuple[str, str]] = []
    with listening(lambda op, by: heard.append((op, by))):
        primitives.matmul(x, x.t())
        primitives.matmul(x[None], x.t()[None])
        primitives.softmax(x)
        primitives.log_softmax(x.half())
        primitives.logsumexp(x)
        primitives.reduce(x[..., None], "sum")
        primitives.rms_norm(x, None, 1e-5)
        primitives.layer_norm(x, None, None, 1e-5)
        primitives.attention(q, q, q)
        primitives.silu(x)
        primitives.sigmoid(x.double())
    ops = ["matmul", "matmul", "softmax", "log_softmax", "logsumexp", "reduce", "rms_norm", "layer_norm", "attention"]
    assert heard == [*((op, implementation) for op in [*ops, "silu"]), ("sigmoid", "fixed-torch float64")]


def test_answers_are_contiguous_and_without_a_gradient(implementation: str) -> None:
    x, q = values(6, 16, seed=1).requires_grad_(), values(1, 3, 4, 16, seed=2).transpose(1, 2).requires_grad_()
    answers = [
        primitives.matmul(x.t(), x, bias=x[0], alpha=2.0), primitives.softmax(x.t()), primitives.logsumexp(x),
        primitives.reduce(x[None], "sum"), *primitives.rms_norm(x.t(), x[:, 0], 1e-5),
        *primitives.layer_norm(x, x[0], x[1], 1e-5), *primitives.attention(q, q, q), primitives.silu(x.t()),
    ]  # fmt: skip
    assert all(y.is_contiguous() and not y.requires_grad for y in answers)


X, Q = torch.zeros(4, 8), torch.zeros(2, 4, 3, 8)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: primitives.matmul(X.long(), X), TypeError, "a is torch.int64 on cpu"),
        (lambda: primitives.matmul(X, X.half()), TypeError, "one dtype, got torch.float32 and torch.float16"),
        (lambda: primitives.matmul(X, X), ValueError, r"got \(4, 8\) and \(4, 8\)"),
        (lambda: primitives.matmul(Q[0], Q[:3, 0]), ValueError, r"got \(4, 3, 8\) and \(2, 3, 8\)"),
        (lambda: primitives.matmul(X, X.t(), bias=X), ValueError, r"bias \(4, 8\) cannot .* result \(4, 4\)"),
        (lambda: primitives.matmul(X, X.t(), precision="half"), ValueError, 'got "half"'),
        (lambda: primitives.softmax(Q), ValueError, r"softmax: expected x \(R, D\), got \(2, 4, 3, 8\)"),
        (lambda: primitives.logsumexp(X.to("meta")), TypeError, "x is torch.float32 on meta"),
        (lambda: primitives.reduce(X[0], "sum"), ValueError, r"expected x \(R, D\) or \(O, D, I\)"),
        (lambda: primitives.reduce(X[None], "max"), ValueError, 'got "max"'),
        (lambda: primitives.reduce(X[None], "sum", shift=X), ValueError, r"needs shift \(1, 8\), got \(4, 8\)"),
        (lambda: primitives.rms_norm(X, X[:, 0], 1e-5), ValueError, r"needs weight \(8,\), got \(4,\)"),
        (lambda: primitives.layer_norm(X, None, X[:, 0], 1e-5), ValueError, r"needs bias \(8,\), got \(4,\)"),
        (lambda: primitives.attention(Q, Q.half(), Q), TypeError, "q, k and v need one dtype"),
        (lambda: primitives.attention(Q, Q[:, :3], Q[:, :3]), ValueError, "a divisor of H"),
        (lambda: primitives.attention(Q, Q[:, :0], Q[:, :0]), ValueError, "a divisor of H"),
        (lambda: primitives.attention(Q, Q[:, :, :2], Q), ValueError, "expected q"),
        (lambda: primitives.attention(Q, Q, Q, mask=X), ValueError, r"mask \(4, 8\) on cpu cannot .* \(2, 4, 3, 3\)"),
        (lambda: primitives.attention(Q, Q, Q, mask=torch.ones(3).long()), TypeError, "mask is torch.int64"),
        (lambda: primitives.sigmoid(X.bool()), TypeError, "x is torch.bool"),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_clear_line(call: Callable[[], Answer], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
