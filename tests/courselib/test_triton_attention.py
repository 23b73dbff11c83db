"""Attention's written order, in Triton's interpreter: blocks of 16 slots, so that small shapes have several.

The oracle for numbers is softmax in float64; for bytes it is the same row, alone and unpadded. Every family of byte
tests has its control: the same assertion, on a variant that breaks the order, must fail. On a GPU, with every tile,
the promise is tested in tests/gpu/test_attention.py.
"""

import importlib
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from courselib import bits
from courselib.kernels import listening

pytest.importorskip("triton", reason="Triton is made for Linux only")
kernel = importlib.import_module("courselib.kernels.triton.attention")
pytestmark = [
    pytest.mark.skipif(not kernel.INTERPRETED, reason="a GPU is here: tests/gpu has the wider tests"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # NumPy says aloud what NaN and infinity lead to
]

NAN, INF = float("nan"), float("inf")
Attention = Callable[..., tuple[Tensor, Tensor]]
# P is rounded once to v's dtype and the output once: a few eps of the dtype. The interpreter rounds float32 to bfloat16
# by cutting bits off, which doubles that.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 4 * 2**-10, torch.bfloat16: 6 * 2**-7}


def values(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def inputs(
    B: int = 2, H: int = 4, H_kv: int = 2, T: int = 5, S: int = 37, d: int = 8, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        values(B, H, T, d, seed=1, dtype=dtype),
        values(B, H_kv, S, d, seed=2, dtype=dtype),
        values(B, H_kv, S, d, seed=3, dtype=dtype),
    )


def oracle(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """The definition, in float64."""
    T, S, G = q.shape[2], k.shape[2], q.shape[1] // k.shape[1]
    q, k, v = q.double(), k.double().repeat_interleave(G, 1), v.double().repeat_interleave(G, 1)
    s = q @ k.transpose(2, 3) * (1 / math.sqrt(q.shape[3]) if scale is None else scale)
    if mask is not None:
        s = s.masked_fill(~mask, -INF) if mask.dtype == torch.bool else s + mask.double()
    if causal:
        s = s.masked_fill(~torch.ones(T, S, dtype=torch.bool).tril(), -INF)
    return torch.softmax(s, -1).nan_to_num(0.0) @ v, torch.logsumexp(s, -1)


def assert_same(a: Tensor, b: Tensor, what: str = "") -> None:
    assert bits.equal(a, b), f"{what}\n{bits.report(a, b)}"


def both_same(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], what: str = "") -> None:
    assert_same(a[0], b[0], f"out {what}")
    assert_same(a[1], b[1], f"lse {what}")


# ------------------------------------------------------------------------------------------------ numbers

MASKS = {
    "none": lambda B, H, T, S: None,
    "bool": lambda B, H, T, S: values(B, 1, T, S, seed=9) > -0.5,
    "a mask a head": lambda B, H, T, S: values(B, H, T, S, seed=9) > -0.5,
    "keys": lambda B, H, T, S: values(S, seed=9) > -0.5,
    "bias": lambda B, H, T, S: 3 * values(1, H, T, S, seed=9),
    "additive": lambda B, H, T, S: torch.where(values(B, 1, T, S, seed=9) > 0, 0.0, torch.finfo(torch.float32).min),
}


@pytest.mark.parametrize("causal", [False, True], ids=["", "causal"])
@pytest.mark.parametrize("kind", MASKS)
def test_is_softmax_attention(kind: str, causal: bool) -> None:
    for shape in ((2, 4, 2, 7, 37), (1, 3, 1, 20, 20), (2, 2, 2, 1, 33)):
        B, H, H_kv, T, S = shape
        q, k, v = values(B, H, T, 20, seed=1), values(B, H_kv, S, 20, seed=2), values(B, H_kv, S, 12, seed=3)
        mask = MASKS[kind](B, H, T, S)
        out, lse = kernel.attention(q, k, v, mask=mask, causal=causal)
        want, want_lse = oracle(q, k, v, mask, causal)
        blind = want_lse < -1e30  # the oracle sees a little even where an additive mask leaves nothing
        assert out.dtype == lse.dtype == torch.float32
        assert out.is_contiguous()
        torch.testing.assert_close(out.double(), want.masked_fill(blind[..., None], 0), rtol=0, atol=2e-6)
        torch.testing.assert_close(lse.double(), want_lse.masked_fill(blind, -INF), rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_every_dtype_and_head_size(dtype: torch.dtype) -> None:
    for d in (1, 8, 16, 33, 64):
        q, k, v = inputs(B=1, H=2, H_kv=1, T=3, S=40, d=d, dtype=dtype)
        out, lse = kernel.attention(q, k, v)
        want, want_lse = oracle(q, k, v)
        assert out.dtype == dtype
        torch.testing.assert_close(out.double(), want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
        torch.testing.assert_close(lse.double(), want_lse, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("scale", [0.7, 0.0, -0.3])
def test_any_scale(scale: float) -> None:
    q, k, v = inputs()
    mask = values(2, 1, 5, 37, seed=4) > 0
    out, _ = kernel.attention(q, k, v, mask=mask, scale=scale)
    torch.testing.assert_close(out.double(), oracle(q, k, v, mask, scale=scale)[0], rtol=2e-6, atol=2e-6)


def test_scores_far_from_zero() -> None:
    q, k, v = inputs()
    q = q * 300
    out, lse = kernel.attention(q, k, v)
    want, want_lse = oracle(q, k, v)
    torch.testing.assert_close(out.double(), want, rtol=1e-3, atol=1e-3)  # scores near 1000: eps of one is 6e-5
    torch.testing.assert_close(lse.double(), want_lse, rtol=1e-6, atol=0)


def assert_blind(out: Tensor, lse: Tensor) -> None:
    assert not out.any()
    assert (lse == -INF).all()


def test_a_row_that_sees_nothing() -> None:
    q, k, v = inputs(T=6, S=20)
    for mask in (torch.ones(6, 20, dtype=torch.bool), torch.zeros(6, 20)):
        mask[2] = False if mask.dtype == torch.bool else -INF
        out, lse = kernel.attention(q, k, v, mask=mask)
        assert_blind(out[:, :, 2], lse[:, :, 2])
        both_same(kernel.attention(q[:, :, 3:], k, v), (out[:, :, 3:], lse[:, :, 3:]), "the rows below it")
    out, lse = kernel.attention(q, k, v, mask=torch.zeros(20, dtype=torch.bool))
    assert_blind(out, lse)


@pytest.mark.parametrize("shape", [(0, 4, 2, 5, 9, 8), (2, 0, 2, 5, 9, 8), (2, 4, 2, 0, 9, 8), (2, 4, 2, 5, 0, 8)])
def test_nothing_is_a_legal_shape(shape: tuple[int, ...]) -> None:
    B, H, H_kv, T, S, d = shape
    for causal in (False, True):
        for mask in (None, torch.ones(T, S, dtype=torch.bool)):
            q, k, v = values(B, H, T, d), values(B, H_kv, S, d), values(B, H_kv, S, 3)
            out, lse = kernel.attention(q, k, v, mask=mask, causal=causal)
            assert (out.shape, lse.shape) == ((B, H, T, 3), (B, H, T))
            assert_blind(out, lse)


def test_heads_of_size_zero_weigh_all_slots_alike() -> None:
    v = values(1, 1, 20, 4)
    out, lse = kernel.attention(values(1, 1, 3, 0), values(1, 1, 20, 0), v)
    torch.testing.assert_close(out, v.mean(2, keepdim=True).expand(1, 1, 3, 4))
    torch.testing.assert_close(lse, torch.full((1, 1, 3), math.log(20)))
    assert kernel.attention(values(1, 1, 3, 4), values(1, 1, 20, 4), v[..., :0])[0].shape == (1, 1, 3, 0)


# ------------------------------------------------------------------------------------------------ bytes


def from_slot_zero(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor, **options: bool) -> tuple[Tensor, Tensor]:
    """What counts its blocks from slot 0: one more row, last, that sees every slot."""
    T = q.shape[2]
    everything = torch.full_like(mask[:, :, :1], mask.dtype == torch.bool)
    mask = torch.cat([mask, everything], 2)
    out, lse = kernel.attention(torch.cat([q, q[:, :, -1:]], 2), k, v, mask=mask, **options)
    return out[:, :, :T], lse[:, :, :T]


def split_when_alone(q: Tensor, k: Tensor, v: Tensor, **options: object) -> tuple[Tensor, Tensor]:
    """What splits K and V in two when the batch is small, to fill a GPU, and merges by lse (FlashDecoding)."""
    if q.shape[0] > 1 or options:
        return kernel.attention(q, k, v, **options)
    half = k.shape[2] // 2
    out_a, lse_a = kernel.attention(q, k[:, :, :half], v[:, :, :half])
    out_b, lse_b = kernel.attention(q, k[:, :, half:], v[:, :, half:])
    lse = torch.logaddexp(lse_a, lse_b)
    return out_a * (lse_a - lse).exp()[..., None] + out_b * (lse_b - lse).exp()[..., None], lse


def assert_a_sequence_stands_alone(attention: Attention) -> None:
    q, k, v = inputs(B=5, T=1, S=41)
    out, lse = attention(q, k, v)
    for b in range(5):
        one = slice(b, b + 1)
        both_same(attention(q[one], k[one], v[one]), (out[one], lse[one]), f"sequence {b} alone")
    for wild in (NAN, INF, 3e38, 0.0):
        x, y, z = (torch.full_like(t, wild) for t in (q, k, v))
        x[3], y[3], z[3] = q[3], k[3], v[3]
        both_same([t[3] for t in attention(x, y, z)], (out[3], lse[3]), f"among {wild}")


def test_a_sequence_is_the_same_alone_and_in_any_batch() -> None:
    assert_a_sequence_stands_alone(kernel.attention)


def test_control_splitting_by_batch_size_is_seen() -> None:
    with pytest.raises(AssertionError, match="sequence 0 alone"):
        assert_a_sequence_stands_alone(split_when_alone)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_prefill_chunks_and_decode_agree(dtype: torch.dtype) -> None:
    T = 37
    q, k, v = inputs(B=1, T=T, S=T, dtype=dtype)
    out, lse = kernel.attention(q, k, v, causal=True)
    for t in (0, 1, 15, 16, 17, 31, 36):  # decode: no mask, as many slots as there are
        row = slice(t, t + 1)
        one = kernel.attention(q[:, :, row], k[:, :, : t + 1], v[:, :, : t + 1])
        both_same(one, (out[:, :, row], lse[:, :, row]), f"row {t}")
    visible = torch.ones(T, T, dtype=torch.bool).tril()
    for start, stop in ((0, 9), (9, 26), (26, 37)):  # chunks, of which only the first could say `causal`
        chunk = kernel.attention(q[:, :, start:stop], k[:, :, :stop], v[:, :, :stop], mask=visible[start:stop, :stop])
        both_same(chunk, (out[:, :, start:stop], lse[:, :, start:stop]), f"chunk {start} to {stop}")


def padded(x: Tensor, left: int, right: int, fill: float = NAN) -> Tensor:
    return torch.nn.functional.pad(x, (0, 0, left, right), value=fill)


def padding_mask(T: int, left: int, right: int, kind: str, blind: bool = False) -> Tensor:
    """Causal among the T tokens; padding rows see what is visible before them, or nothing when blind."""
    total = left + T + right
    slot = torch.arange(total)
    visible = (slot[None, :] <= slot[:, None]) & (slot >= left) & (slot < left + T)
    if blind:
        visible &= (slot < left + T)[:, None]
    if kind == "bool":
        return visible[None, None]
    low = -INF if kind == "-inf" else torch.finfo(torch.float32).min
    return torch.where(visible, 0.0, low)[None, None]


def assert_padding_moves_nothing(attention: Attention, left: int, right: int) -> None:
    T = 35
    q, k, v = inputs(B=1, T=T, S=T)
    want = kernel.attention(q, k, v, causal=True)
    x, y, z = (padded(t, left, right) for t in (q, k, v))
    rows = slice(left, left + T)
    for kind in ("bool", "-inf", "finfo.min"):
        out, lse = attention(x, y, z, mask=padding_mask(T, left, right, kind))
        both_same((out[:, :, rows], lse[:, :, rows]), want, f"{kind}, left {left}, right {right}")


@pytest.mark.parametrize(("left", "right"), [(1, 0), (7, 0), (16, 0), (0, 1), (0, 19), (5, 6)])
def test_padding_moves_nothing(left: int, right: int) -> None:
    assert_padding_moves_nothing(kernel.attention, left, right)


def test_padding_rows_that_see_nothing_move_nothing() -> None:
    q, k, v = inputs(B=1, T=20, S=20)
    want = kernel.attention(q, k, v, causal=True)
    out, lse = kernel.attention(*(padded(t, 0, 9) for t in (q, k, v)), mask=padding_mask(20, 0, 9, "bool", blind=True))
    both_same((out[:, :, :20], lse[:, :, :20]), want)


def test_control_blocks_counted_from_slot_zero_are_seen() -> None:
    assert_padding_moves_nothing(from_slot_zero, 0, 6)
    assert_padding_moves_nothing(from_slot_zero, 16, 0)  # a whole block: the same boundaries
    with pytest.raises(AssertionError, match=r"differ in"):
        assert_padding_moves_nothing(from_slot_zero, 7, 0)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_a_ragged_batch_is_its_sequences(data: st.DataObject) -> None:
    """Sequences of any lengths, padded on either side; the mask of one head, of all, bool or additive."""
    B, G, H_kv = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([1, 2, 3])), data.draw(st.integers(1, 2))
    lengths = data.draw(st.lists(st.integers(1, 36), min_size=B, max_size=B))
    S = max(lengths) + data.draw(st.integers(0, 5))
    T = data.draw(st.integers(1, min(lengths)))  # each sequence's last T tokens are asked
    per_head, left = data.draw(st.booleans()), data.draw(st.booleans())
    q, k, v = inputs(B=B, H=G * H_kv, H_kv=H_kv, T=T, S=S)
    first = [S - n if left else 0 for n in lengths]
    mask = torch.zeros(B, G * H_kv if per_head else 1, T, S, dtype=torch.bool)
    for b, n in enumerate(lengths):
        for t in range(T):
            mask[b, :, t, first[b] : first[b] + n - T + t + 1] = True
        k[b, :, : first[b]] = v[b, :, : first[b]] = NAN
        k[b, :, first[b] + n :] = v[b, :, first[b] + n :] = NAN
    if data.draw(st.booleans()):
        # -inf, float16's lowest number, and what PyTorch puts for False where it chooses cuDNN's attention
        dtype, hide = data.draw(
            st.sampled_from([(torch.float32, -INF), (torch.float16, -65504), (torch.bfloat16, -65504)])
        )
        mask = torch.where(mask, 0.0, torch.tensor(float(hide), dtype=torch.float32)).to(dtype)
    out, lse = kernel.attention(q, k, v, mask=mask)
    for b, n in enumerate(lengths):
        one, own = slice(b, b + 1), slice(first[b], first[b] + n)
        visible = torch.ones(n, n, dtype=torch.bool).tril()[n - T :]
        alone = kernel.attention(q[one], k[one, :, own], v[one, :, own], mask=visible)
        both_same(alone, (out[one], lse[one]), f"sequence {b} of lengths {lengths}, S {S}, T {T}, left {left}")


def test_the_tile_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = inputs(B=1, T=19, S=40)
    mask = values(1, 1, 19, 40, seed=6) > 0
    calls = ({}, {"causal": True}, {"mask": mask}, {"mask": torch.ones(19, 40, dtype=torch.bool).tril(21)})
    found = []
    for tile in kernel.tiles(16, q.dtype, q.device):
        monkeypatch.setattr(kernel, "choose_tile", lambda *args, tile=tile: tile)
        found.append([kernel.attention(q, k, v, **options) for options in calls])
    assert len(found) > 1
    for one, other in zip(found[0], found[1], strict=True):
        both_same(one, other)


# ------------------------------------------------------------------------------------------------ what is hidden


@pytest.mark.parametrize("wild", [NAN, INF, -INF])
def test_a_hidden_slot_harms_nobody_and_a_visible_one_speaks(wild: float) -> None:
    """Slot 5 of a causal prefill is wild: rows 0 to 4 are in one tile with rows that see it."""
    q, k, v = inputs(B=1, T=20, S=20)
    want = kernel.attention(q, k, v, causal=True)
    spoiled = v.clone()
    spoiled[:, :, 5, 3] = wild
    for out, lse in (
        kernel.attention(q, k, spoiled, causal=True),
        kernel.attention(q, k, spoiled, mask=torch.ones(20, 20, dtype=torch.bool).tril()),
        kernel.attention(q, k, spoiled, mask=torch.zeros(20, 20).masked_fill(torch.ones(20, 20).triu(1).bool(), -INF)),
    ):
        assert_same(out[:, :, :5], want[0][:, :, :5])
        assert_same(lse, want[1])
        column = out[:, :, 5:, 3]
        assert column.isnan().all() if math.isnan(wild) else (column == wild).all()
        assert_same(out[..., :3], want[0][..., :3])
    spoiled = k.clone()
    spoiled[:, :, 5] = NAN
    out, lse = kernel.attention(q, spoiled, v, causal=True)
    both_same((out[:, :, :5], lse[:, :, :5]), (want[0][:, :, :5], want[1][:, :, :5]))
    assert out[:, :, 5:].isnan().all()


def test_holes_hide_and_an_additive_zero_adds_nothing() -> None:
    q, k, v = inputs(B=1, T=3, S=40)
    visible = values(1, 1, 3, 40, seed=8) > 0
    visible[..., 0] = True
    never = ~visible.any(2)[0, 0]
    k[:, :, never], v[:, :, never] = NAN, NAN
    want = kernel.attention(q, k, v, mask=visible)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        hide = torch.zeros(1, 1, 3, 40, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)
        both_same(kernel.attention(q, k, v, mask=hide), want, f"additive {dtype}")
    everything = torch.nan_to_num(k), torch.nan_to_num(v)
    both_same(kernel.attention(q, *everything, mask=torch.zeros(3, 40)), kernel.attention(q, *everything))


def test_a_row_does_not_mind_a_neighbour_with_holes_or_a_bias() -> None:
    q, k, v = inputs(B=1, T=3, S=40)
    want = kernel.attention(q, k, v)
    holes = torch.ones(3, 40, dtype=torch.bool)
    holes[1] = values(40, seed=8) > 0
    bias = torch.zeros(3, 40)
    bias[1] = values(40, seed=8)
    for mask in (holes, bias):
        out, lse = kernel.attention(q, k, v, mask=mask)
        for t in (0, 2):
            both_same((out[:, :, t], lse[:, :, t]), (want[0][:, :, t], want[1][:, :, t]), f"row {t}")
        assert not bits.equal(out[:, :, 1], want[0][:, :, 1])


def test_each_head_counts_from_its_own_first_slot() -> None:
    q, k, v = inputs(B=1, H=4, H_kv=1, T=1, S=40)
    mask = torch.ones(1, 4, 1, 40, dtype=torch.bool)
    for h in range(4):
        mask[:, h, :, : 5 * h] = False
    out, lse = kernel.attention(q, k, v, mask=mask)
    for h in range(4):
        alone = kernel.attention(q[:, h : h + 1], k[:, :, 5 * h :], v[:, :, 5 * h :])
        both_same(alone, (out[:, h : h + 1], lse[:, h : h + 1]), f"head {h}")


def test_an_earlier_row_may_see_more_than_the_last() -> None:
    """A sliding window: blocks are counted from the last row's first slot, backwards too."""
    q, k, v = inputs(B=1, T=40, S=40)
    slot = torch.arange(40)
    window = (slot[None, :] <= slot[:, None]) & (slot[None, :] > slot[:, None] - 9)
    out, _ = kernel.attention(q, k, v, mask=window)
    torch.testing.assert_close(out.double(), oracle(q, k, v, window)[0], rtol=2e-6, atol=2e-6)


# ------------------------------------------------------------------------------------------------ any tensor


def test_strides_move_nothing() -> None:
    q, k, v = inputs(T=6, S=20)
    want = kernel.attention(q, k, v)
    by_token = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in (q, k, v)]  # (B, T, H, d) in memory
    both_same(kernel.attention(*by_token), want, "by token")
    cache = [torch.full((2, 2, 50, 8), NAN) for _ in range(2)]
    for held, x in zip(cache, (k, v), strict=True):
        held[:, :, 3:23] = x
    both_same(kernel.attention(q, cache[0][:, :, 3:23], cache[1][:, :, 3:23]), want, "a part of a cache")
    columns = [t.transpose(2, 3).contiguous().transpose(2, 3) for t in (q, k, v)]
    both_same(kernel.attention(*columns), want, "by column")
    wide = torch.zeros(6, 20, 2, dtype=torch.bool)
    wide[..., 0] = values(6, 20, seed=5) > -1
    both_same(
        kernel.attention(q, k, v, mask=wide[..., 0]),
        kernel.attention(q, k, v, mask=wide[..., 0].contiguous().expand(2, 4, 6, 20)),
        "every other byte of a mask, and its expansion",
    )


def test_names_itself_once() -> None:
    heard: list[tuple[str, str]] = []
    with listening(lambda op, implementation: heard.append((op, implementation))):
        kernel.attention(*inputs(), mask=torch.ones(5, 37, dtype=torch.bool))
    assert heard == [("attention", "triton 16x16")]


def test_bad_inputs_are_named() -> None:
    q, k, v = inputs()
    with pytest.raises(TypeError, match=r"q is torch\.float64"):
        kernel.attention(q.double(), k.double(), v.double())
    with pytest.raises(TypeError, match="one dtype"):
        kernel.attention(q, k.half(), v)
    with pytest.raises(TypeError, match=r"mask is torch\.int64"):
        kernel.attention(q, k, v, mask=torch.ones(5, 37, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"broadcasts to \(2, 4, 5, 37\); got \(5, 36\)"):
        kernel.attention(q, k, v, mask=torch.ones(5, 36, dtype=torch.bool))
    with pytest.raises(ValueError, match="H a multiple of H_kv"):
        kernel.attention(q[:, :3], k, v)
    with pytest.raises(ValueError, match="one B, S and d_h"):
        kernel.attention(q, k, v[:, :, :-1])
    with pytest.raises(ValueError, match="q \\(B, H, T, d_h\\)"):
        kernel.attention(q[0], k, v)
    with pytest.raises(ValueError, match="up to 256"):
        kernel.attention(*inputs(d=257))
