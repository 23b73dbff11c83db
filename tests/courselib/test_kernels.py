"""The promise fixed-order/1: the same bytes for any batch, row, padding, neighbour, thread count and alignment.

fixed_torch states the orders in elementwise PyTorch and is the reference; fixed_c must give its bytes. Bits of a NaN
are not promised, so `nan_as_one` makes all NaNs one before bytes are compared. Every family of tests has its control:
the same assertion, on a sum taken in another order, must fail.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from courselib import bits
from courselib.kernels.cpu import build, fixed_c, fixed_torch

pytestmark = pytest.mark.skipif(build.find_compiler() is None, reason="no C compiler: fixed-torch is all there is")

Threads = Callable[[int], AbstractContextManager[None]]
EDGES = (1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129)
HEAD_SIZES = (1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100)
NAN, INF = float("nan"), float("inf")
Linear = Callable[[Tensor, Tensor], Tensor]

sizes = st.sampled_from(EDGES) | st.integers(1, 140)
seeds = st.integers(0, 2**32 - 1)


def values(*shape: int, seed: int, wild: bool = False) -> Tensor:
    """Normal numbers; wild ones have zeros of both signs, subnormals and large numbers among them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    if wild:
        kind = torch.randint(0, 12, shape, generator=generator)
        for i, value in enumerate((0.0, -0.0, 1e-40, -1.4e-45, 3e38, -1e20)):
            x[kind == i] = value
    return x


def nan_as_one(x: Tensor) -> Tensor:
    return torch.where(x.isnan(), NAN, x)


def assert_same(a: Tensor, b: Tensor, what: str = "") -> None:
    a, b = nan_as_one(a), nan_as_one(b)
    assert bits.equal(a, b), f"{what}\n{bits.report(a, b)}"


def reversed_linear(x: Tensor, w: Tensor) -> Tensor:
    """The same sum, k descending: correct, close, and another order."""
    return fixed_torch.linear(x.flip(-1), w.flip(0))


def linear_by_shape(x: Tensor, w: Tensor) -> Tensor:
    """What a library does that picks its order by batch size."""
    return (fixed_torch.linear if x.shape[0] == 1 else reversed_linear)(x, w)


# ------------------------------------------------------------------------------------------------ linear


def test_linear_gives_the_written_order_at_every_edge() -> None:
    for K, N in itertools.product(EDGES, EDGES):
        x, w = values(3, K, seed=K), values(K, N, seed=N)
        assert_same(fixed_c.linear(x, w), fixed_torch.linear(x, w), f"K {K}, N {N}")
        assert_same(fixed_c.linear(x[:1], w), fixed_torch.linear(x[:1], w), f"M 1, K {K}, N {N}")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), sizes, st.integers(1, 300), seeds, st.booleans())
def test_linear_gives_the_written_order(M: int, K: int, N: int, seed: int, wild: bool) -> None:
    x, w = values(M, K, seed=seed, wild=wild), values(K, N, seed=seed + 1, wild=wild)
    assert_same(fixed_c.linear(x, w), fixed_torch.linear(x, w))
    assert_same(fixed_c.linear(x, w.t().contiguous().t()), fixed_torch.linear(x, w))


def test_control_another_order_is_seen() -> None:
    x, w = values(3, 128, seed=1), values(128, 40, seed=2)
    torch.testing.assert_close(reversed_linear(x, w), fixed_torch.linear(x, w))  # as correct as the other,
    with pytest.raises(AssertionError, match="differ in"):
        assert_same(fixed_c.linear(x, w), reversed_linear(x, w))  # and not the same


def assert_rows_stand_alone(linear: Linear) -> None:
    x, w = values(21, 65, seed=3), values(65, 130, seed=4)
    full = linear(x, w)
    for row in range(len(x)):
        assert_same(linear(x[row : row + 1], w), full[row : row + 1], f"row {row} alone")
    for size in (2, 3, 5, 8, 9, 16):
        assert_same(linear(x[:size], w), full[:size], f"the first {size} rows")
    among_nan = torch.full_like(x, NAN)
    among_nan[7] = x[7]
    assert_same(linear(among_nan, w)[7], full[7], "among rows of NaN")
    assert_same(linear(x.view(3, 7, 65), w).view(21, 130), full, "as (3, 7, K)")


@pytest.mark.parametrize("ops", [fixed_c, fixed_torch], ids=["c", "torch"])
def test_a_row_of_linear_is_the_same_alone_and_in_any_batch(ops: ModuleType) -> None:
    assert_rows_stand_alone(ops.linear)


def test_control_an_order_picked_by_batch_size_is_seen() -> None:
    with pytest.raises(AssertionError, match="row 0 alone"):
        assert_rows_stand_alone(linear_by_shape)


def storages(x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """x (R, C) again, lying in memory in every way that a weight may."""
    R, C = x.shape
    yield "as it is", x.contiguous()
    yield "the transpose of (C, R)", x.t().contiguous().t()
    yield "columns of a wider one", torch.cat([torch.full((R, 3), NAN), x, torch.full((R, 5), NAN)], 1)[:, 3 : 3 + C]
    yield "rows of the transpose", torch.cat([torch.full((C, 3), NAN), x.t()], 1)[:, 3:].t()
    yield "every other row and column", torch.stack([x, x], 2).flatten(1).repeat_interleave(2, 0)[::2, ::2]
    for offset in (1, 2, 3, 5, 9):  # in floats: 4 bytes past an aligned address, and so on
        room = torch.full((R * C + offset,), NAN)
        room[offset:] = x.flatten()
        yield f"{4 * offset} bytes in", room[offset:].view(R, C)
    for offset in (1, 2, 3):  # in bytes: safetensors maps files whose tensors start anywhere
        raw = bytearray(offset) + x.contiguous().numpy().tobytes()
        yield f"{offset} bytes in", torch.frombuffer(raw, dtype=torch.float32, offset=offset).view(R, C)


@pytest.mark.parametrize("M", [1, 2, 9])
@pytest.mark.parametrize(("K", "N"), [(1, 1), (17, 1), (1, 33), (33, 130)])
def test_linear_does_not_care_how_its_inputs_are_stored(M: int, K: int, N: int) -> None:
    x, w = values(M, K, seed=5), values(K, N, seed=6)
    expected = fixed_torch.linear(x, w)
    for how, stored in storages(w):
        assert_same(fixed_c.linear(x, stored), expected, f"w {how}")
    for how, stored in storages(x):
        assert_same(fixed_c.linear(stored, w), expected, f"x {how}")


@pytest.mark.parametrize("M", [1, 3, 7, 8, 9, 65])
def test_threads_change_no_byte_of_linear(threads: Threads, M: int) -> None:
    x, w = values(M, 65, seed=7), values(65, 131, seed=8)
    for how, stored in storages(w):
        alone = fixed_c.linear(x, stored)
        for n in (1, 2, 3):
            with threads(n):
                assert_same(fixed_c.linear(x, stored), alone, f"{n} threads, w {how}")


def test_two_threads_do_share_the_work(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[list[tuple[int, int]]] = []

    class Pool:
        def map(self, kernel: Callable, starts: list[int], ends: list[int]) -> list:
            parts.append(list(zip(starts, ends, strict=True)))
            return list(map(kernel, starts, ends))

    monkeypatch.setattr(fixed_c, "_pool", lambda n: Pool())
    with threads(2):
        fixed_c.linear(values(9, 4, seed=0), values(4, 4, seed=0))  # by rows
        fixed_c.linear(values(1, 4, seed=0), values(4, 32, seed=0))  # by columns
        q = values(1, 6, 1, 8, seed=0)
        fixed_c.attention(q, q, q, [0], [0], [1])  # by heads
    assert parts == [[(0, 4), (4, 9)], [(0, 16), (16, 32)], [(0, 3), (3, 6)]]


@pytest.mark.parametrize("ops", [fixed_c, fixed_torch], ids=["c", "torch"])
def test_nothing_in_gives_zeros_out(ops: ModuleType) -> None:
    assert_same(ops.linear(torch.zeros(0, 5), torch.zeros(5, 3)), torch.zeros(0, 3))
    assert_same(ops.linear(torch.zeros(2, 0), torch.zeros(0, 3)), torch.zeros(2, 3))
    assert_same(ops.linear(torch.zeros(2, 5), torch.zeros(5, 0)), torch.zeros(2, 0))
    assert_same(ops.linear(torch.full((1, 1), -0.0), torch.ones(1, 1)), torch.zeros(1, 1))  # a sum begins at +0


# ------------------------------------------------------------------------------------------------ rows, elements


def rows_ops(ops: ModuleType, D: int) -> dict[str, Callable[[Tensor], Tensor]]:
    weight = values(D, seed=D)
    return {
        "softmax": ops.softmax,
        "log_softmax": ops.log_softmax,
        "rms_norm": lambda x: ops.rms_norm(x, weight, 1e-5),
        "silu": ops.silu,
        "gelu": ops.gelu,
        "exp": ops.exp,
        "log": ops.log,
    }


ROW_OPS = list(rows_ops(fixed_torch, 1))


@pytest.mark.parametrize("name", ROW_OPS)
def test_row_operations_give_the_written_order_at_every_edge(name: str) -> None:
    for D in EDGES:
        for wild in (False, True):
            x = values(5, D, seed=D, wild=wild)
            assert_same(rows_ops(fixed_c, D)[name](x), rows_ops(fixed_torch, D)[name](x), f"D {D}, wild {wild}")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ROW_OPS), st.integers(1, 6), sizes, seeds, st.sampled_from([1e-3, 1.0, 30.0]), st.booleans())
def test_row_operations_give_the_written_order(
    name: str, rows: int, D: int, seed: int, scale: float, wild: bool
) -> None:
    x = values(rows, D, seed=seed, wild=wild) * scale
    assert_same(rows_ops(fixed_c, D)[name](x), rows_ops(fixed_torch, D)[name](x))


def assert_row_operation_stands_alone(operation: Callable[[Tensor], Tensor]) -> None:
    x = values(9, 67, seed=11)
    full = operation(x)
    for row in range(9):
        assert_same(operation(x[row : row + 1]), full[row : row + 1], f"row {row} alone")
    among_nan = torch.full_like(x, NAN)
    among_nan[4] = x[4]
    assert_same(operation(among_nan)[4], full[4], "among rows of NaN")
    assert_same(operation(x.view(3, 3, 67)).view(9, 67), full, "as (3, 3, D)")
    for how, stored in storages(x):
        assert_same(operation(stored), full, f"x {how}")


@pytest.mark.parametrize("name", ROW_OPS)
@pytest.mark.parametrize("ops", [fixed_c, fixed_torch], ids=["c", "torch"])
def test_a_row_is_the_same_alone_in_any_batch_and_storage(ops: ModuleType, name: str) -> None:
    assert_row_operation_stands_alone(rows_ops(ops, 67)[name])


def test_control_a_softmax_that_sums_by_batch_size_is_seen() -> None:
    def softmax(x: Tensor) -> Tensor:
        e = fixed_torch.exp(x - x.amax(-1, keepdim=True))
        return e / (fixed_torch.lane_sum(e) if len(x) == 1 else fixed_torch.lane_sum(e.flip(-1)))[..., None]

    with pytest.raises(AssertionError, match="alone"):
        assert_row_operation_stands_alone(softmax)


def assert_position_does_not_matter(operation: Callable[[Tensor], Tensor]) -> None:
    x = values(200, seed=12)
    full = operation(x)
    for start in range(33):
        for n in (1, 15, 16, 17, 100):
            assert_same(operation(x[start : start + n]), full[start : start + n], f"{n} elements from {start}")


@pytest.mark.parametrize("name", ["silu", "gelu", "exp", "log"])
def test_an_element_is_the_same_at_every_position(name: str) -> None:
    assert_position_does_not_matter(rows_ops(fixed_c, 1)[name])


def test_control_a_vector_body_and_a_scalar_tail_that_round_differently_are_seen() -> None:
    def silu(x: Tensor) -> Tensor:
        body, tail = x[: len(x) // 8 * 8], x[len(x) // 8 * 8 :]
        return torch.cat([fixed_torch.silu(body), tail * (1.0 / (1.0 + fixed_torch.exp(-tail)))])

    with pytest.raises(AssertionError, match="elements from"):
        assert_position_does_not_matter(silu)


@pytest.mark.parametrize("name", ["exp", "log", "silu", "gelu"])
def test_c_and_torch_agree_on_a_sweep_of_all_floats(name: str) -> None:
    words = torch.arange(-(2**31), 2**31, 4093, dtype=torch.int64).to(torch.int32)  # a million: NaNs, both signs, all
    x = words.view(torch.float32)
    assert_same(getattr(fixed_c, name)(x), getattr(fixed_torch, name)(x))


@pytest.mark.parametrize("ops", [fixed_c, fixed_torch], ids=["c", "torch"])
def test_the_ends_of_exp_and_log(ops: ModuleType) -> None:
    x = torch.tensor([0.0, -0.0, INF, -INF, 88.8, -104.0, NAN])
    assert_same(ops.exp(x), torch.tensor([1.0, 1.0, INF, 0.0, INF, 0.0, NAN]))
    x = torch.tensor([1.0, 0.0, -0.0, INF, -1.0, -INF, NAN])
    assert_same(ops.log(x), torch.tensor([0.0, -INF, -INF, INF, NAN, NAN, NAN]))


@pytest.mark.parametrize("ops", [fixed_c, fixed_torch], ids=["c", "torch"])
def test_masked_logits(ops: ModuleType) -> None:
    x = torch.tensor([[1.0, -INF, 1.0], [-INF, -INF, -INF], [NAN, 0.0, 0.0], [0.0, 0.0, NAN], [-INF, 3.0, -INF]])
    expected = torch.tensor([[0.5, 0.0, 0.5], [NAN] * 3, [NAN] * 3, [NAN] * 3, [0.0, 1.0, 0.0]])
    assert_same(ops.softmax(x), expected)
    assert_same(ops.log_softmax(x)[[1, 4]], torch.tensor([[NAN] * 3, [-INF, 0.0, -INF]]))


# ------------------------------------------------------------------------------------------------ rope


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.sampled_from(HEAD_SIZES), seeds, st.booleans())
def test_rope_gives_the_written_order(B: int, H: int, T: int, half: int, seed: int, wild: bool) -> None:
    x = values(B, T, H, 2 * half, seed=seed, wild=wild).transpose(1, 2)
    cos, sin = values(B, T, half, seed=seed + 1), values(B, T, half, seed=seed + 2)
    full = fixed_c.rope(x, cos, sin)
    assert_same(full, fixed_torch.rope(x, cos, sin))
    assert_same(fixed_c.rope(x.contiguous(), cos, sin), full, "stored otherwise")
    b, t = seed % B, seed % T
    alone = fixed_c.rope(x[b : b + 1, :, t : t + 1], cos[b : b + 1, t : t + 1], sin[b : b + 1, t : t + 1])
    assert_same(alone, full[b : b + 1, :, t : t + 1], "one token alone")


# ------------------------------------------------------------------------------------------------ attention


class Case:
    """q, k, v and where their rows stand, drawn from one seed: grouped heads, ragged rows, padding on both sides."""

    def __init__(self, seed: int, B: int, H_kv: int, group: int, T: int, d: int, wild: bool = False) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.past = torch.randint(0, 40, (B,), generator=generator).tolist()
        self.count = torch.randint(0, T + 1, (B,), generator=generator).tolist()
        self.count[seed % B] = T
        self.first = [int(torch.randint(0, p + 2, (), generator=generator)) for p in self.past]
        self.S = max(p + n for p, n in zip(self.past, self.count, strict=True)) + 2  # a cache may hold more
        self.q = values(B, T, H_kv * group, d, seed=seed + 1, wild=wild).transpose(1, 2)
        self.k = values(B, H_kv, self.S, d, seed=seed + 2, wild=wild)
        self.v = values(B, H_kv, self.S, d, seed=seed + 3, wild=wild)

    def run(self, ops: ModuleType) -> Tensor:
        return ops.attention(self.q, self.k, self.v, self.past, self.first, self.count)

    def real(self, out: Tensor) -> Tensor:
        """The rows that count, (n, H, d)."""
        return torch.cat([out[b, :, :n].transpose(0, 1) for b, n in enumerate(self.count)])


CASE = st.builds(
    Case,
    seed=st.integers(0, 2**32 - 5),
    B=st.integers(1, 3),
    H_kv=st.integers(1, 3),
    group=st.integers(1, 3),
    T=st.integers(1, 5),
    d=st.sampled_from(HEAD_SIZES),
    wild=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(CASE)
def test_attention_gives_the_written_order(case: Case) -> None:
    assert_same(case.run(fixed_c), case.run(fixed_torch))


@pytest.mark.parametrize("d", HEAD_SIZES)
def test_attention_gives_the_written_order_at_every_head_size(d: int) -> None:
    case = Case(seed=d, B=2, H_kv=2, group=2, T=3, d=d)
    assert_same(case.run(fixed_c), case.run(fixed_torch))


@settings(max_examples=25, deadline=None)
@given(CASE, st.integers(1, 3))
def test_an_attention_row_is_the_same_alone_on_threads_and_in_any_storage(threads: Threads, case: Case, n: int) -> None:
    full = case.run(fixed_c)
    with threads(n):
        assert_same(case.run(fixed_c), full, f"{n} threads")
    stored_elsewhere = [
        case.k.transpose(1, 2).contiguous().transpose(1, 2),
        torch.cat([case.k, case.k], -1)[..., : case.k.shape[-1]],
        case.k.transpose(2, 3).contiguous().transpose(2, 3),
    ]
    for k in stored_elsewhere:
        assert_same(fixed_c.attention(case.q, k, case.v, case.past, case.first, case.count), full, "stored otherwise")
    for b, rows in enumerate(case.count):
        for t in range(rows):  # one query, a cache of exactly its slots, without its left padding: a decode step
            lo, hi = case.first[b], case.past[b] + t + 1
            if lo < hi:
                k, v = case.k[b : b + 1, :, lo:hi], case.v[b : b + 1, :, lo:hi]
                alone = fixed_c.attention(case.q[b : b + 1, :, t : t + 1], k, v, [hi - lo - 1], [0], [1])
                assert_same(alone[0, :, 0], full[b, :, t], f"sequence {b}, row {t} alone")


@settings(max_examples=25, deadline=None)
@given(CASE)
def test_attention_never_reads_a_slot_it_must_not_see(case: Case) -> None:
    for ops in (fixed_c, fixed_torch):
        full = case.real(case.run(ops))
        poisoned = Case.__new__(Case)
        poisoned.__dict__ = dict(case.__dict__, q=case.q.clone(), k=case.k.clone(), v=case.v.clone())
        for b, rows in enumerate(case.count):
            for x in (poisoned.k, poisoned.v):
                x[b, :, : case.first[b]] = NAN  # left padding
                x[b, :, case.past[b] + rows :] = NAN  # slots not written yet
            poisoned.q[b, :, rows:] = NAN  # right padding
        assert_same(poisoned.real(poisoned.run(ops)), full)
        assert not full.isnan().any() or case.k.abs().max() > 1e10  # else two NaNs would be what is compared


def test_control_mask_then_softmax_reads_them() -> None:
    # What adds -inf to a score and multiplies by a weight of 0 does read the slot: 0 * NaN is NaN.
    def masked(k: Tensor, v: Tensor) -> Tensor:
        scores = k[:, 0].clone()
        scores[3:] = -INF
        return (fixed_torch.softmax(scores)[:, None] * v).sum(0)

    k, v = values(5, 4, seed=1), values(5, 4, seed=2)
    poisoned = v.clone()
    poisoned[3:] = NAN
    assert_same(masked(k, v), masked(k, v))
    with pytest.raises(AssertionError, match="differ in"):
        assert_same(masked(k, v), masked(k, poisoned))


@pytest.mark.parametrize("ops", [fixed_c, fixed_torch], ids=["c", "torch"])
def test_every_row_attends_to_what_it_may_see_once_and_to_itself_once(ops: ModuleType) -> None:
    B, H, T, S, d = 3, 4, 5, 24, 24
    past, first, count = [0, 7, 19], [0, 3, 19], [5, 5, 2]
    k = torch.zeros(B, 2, S, d)  # all scores equal: the weights are 1/n
    v = torch.eye(S).expand(B, 2, S, d)  # slot j's row is the jth unit vector: the output is the weights
    out = ops.attention(values(B, H, T, d, seed=9), k, v, past, first, count)
    for b in range(B):
        for t in range(count[b]):
            expected = torch.zeros(H, d)
            expected[:, first[b] : past[b] + t + 1] = torch.tensor(1.0) / (past[b] + t + 1 - first[b])
            assert_same(out[b, :, t], expected, f"sequence {b}, row {t}")
    assert_same(out[2, :, 2:], torch.zeros(H, 3, d), "rows that do not count")


@pytest.mark.parametrize("ops", [fixed_c, fixed_torch], ids=["c", "torch"])
def test_query_heads_share_the_key_value_head_of_their_group(ops: ModuleType) -> None:
    v = torch.arange(3.0)[None, :, None, None].expand(1, 3, 2, 5)
    out = ops.attention(values(1, 6, 1, 5, seed=1), values(1, 3, 2, 5, seed=2), v, [1], [0], [1])
    torch.testing.assert_close(out[0, :, 0, 0], torch.tensor([0.0, 0.0, 1.0, 1.0, 2.0, 2.0]))  # weights sum to about 1


# ------------------------------------------------------------------------------------------------ mistakes

GOOD = torch.zeros(2, 4, 3, 8)
CACHE = torch.zeros(2, 2, 6, 8)
ANGLES = torch.zeros(2, 3, 4)


@pytest.mark.parametrize("ops", [fixed_c, fixed_torch], ids=["c", "torch"])
@pytest.mark.parametrize(
    ("name", "arguments", "error", "says"),
    [
        ("linear", (GOOD.double(), torch.zeros(8, 2)), TypeError, "x is torch.float64 on cpu"),
        ("linear", (GOOD, torch.zeros(8, 2).bfloat16()), TypeError, "w is torch.bfloat16 on cpu"),
        ("linear", (GOOD, torch.zeros(8, 2, device="meta")), TypeError, "w is torch.float32 on meta"),
        ("linear", (GOOD, torch.zeros(7, 2)), ValueError, r"needs w \(8, N\), got \(7, 2\)"),
        ("linear", (GOOD, torch.zeros(8)), ValueError, r"needs w \(8, N\), got \(8,\)"),
        ("rms_norm", (GOOD, torch.ones(7), 1e-5), ValueError, r"needs weight \(8,\), got \(7,\)"),
        ("rms_norm", (GOOD, torch.ones(8).double(), 1e-5), TypeError, "weight is torch.float64"),
        ("softmax", (GOOD.half(),), TypeError, "x is torch.float16"),
        ("log_softmax", (GOOD.long(),), TypeError, "x is torch.int64"),
        ("silu", (GOOD.double(),), TypeError, "x is torch.float64"),
        ("gelu", (GOOD.double(),), TypeError, "x is torch.float64"),
        ("exp", (GOOD.double(),), TypeError, "x is torch.float64"),
        ("log", (GOOD.double(),), TypeError, "x is torch.float64"),
        ("rope", (GOOD, ANGLES.double(), ANGLES), TypeError, "cos is torch.float64"),
        (
            "rope",
            (GOOD, ANGLES, ANGLES[:, :2]),
            ValueError,
            r"cos and sin \(2, 3, 4\), got \(2, 3, 4\) and \(2, 2, 4\)",
        ),
        ("rope", (GOOD[..., :7], ANGLES, ANGLES), ValueError, "an even last dimension"),
        ("attention", (GOOD.double(), CACHE, CACHE, [0, 0], [0, 0], [3, 3]), TypeError, "q is torch.float64"),
        ("attention", (GOOD, CACHE, CACHE[:, :, :5], [0, 0], [0, 0], [3, 3]), ValueError, r"and \(2, 2, 5, 8\)"),
        ("attention", (GOOD, CACHE[..., :4], CACHE[..., :4], [0, 0], [0, 0], [3, 3]), ValueError, "needs k and v"),
        ("attention", (GOOD[:, :3], CACHE, CACHE, [0, 0], [0, 0], [3, 3]), ValueError, "H_kv a divisor of 3"),
        ("attention", (GOOD, CACHE, CACHE, [0, 4], [0, 0], [3, 3]), ValueError, "the 6 slots of k"),
        ("attention", (GOOD, CACHE, CACHE, [0, 0], [0, 0], [3, 4]), ValueError, "the 3 rows of q"),
        ("attention", (GOOD, CACHE, CACHE, [0, 0], [-1, 0], [3, 3]), ValueError, r"first \[-1, 0\]"),
        ("attention", (GOOD, CACHE, CACHE, [0], [0, 0], [3, 3]), ValueError, "2 sequences need"),
    ],
)
def test_a_mistake_gets_one_clear_line(
    ops: ModuleType, name: str, arguments: tuple, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        getattr(ops, name)(*arguments)
    assert "\n" not in str(caught.value)


def test_only_the_kernels_that_allocate_are_asked_for_a_status() -> None:
    # The others return nothing, and nothing read as a number may be a 1: no memory.
    library = fixed_c.lib()
    status = {name for name in fixed_c._SIGNATURES if getattr(library, name).restype is not None}
    assert status == {"attention", "masked_attention"}
    with pytest.raises(MemoryError, match="scratch"):
        fixed_c._check_memory(1)


@pytest.mark.parametrize("ops", [fixed_c, fixed_torch], ids=["c", "torch"])
def test_inputs_that_want_gradients_are_served_without_one(ops: ModuleType) -> None:
    x, w = values(3, 16, seed=1).requires_grad_(), values(16, 16, seed=2).requires_grad_()
    out = ops.linear(ops.rms_norm(x, w[0], 1e-5), w)
    assert not out.requires_grad
