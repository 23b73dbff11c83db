"""Attention on a GPU: the same bytes from every tile, alone and in any batch, padded or not, in prefill and decode.

What the interpreter cannot show: tensor cores and their layouts. Most of the time goes into compiling.
"""

import importlib
import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from courselib import bits

pytest.importorskip("triton", reason="Triton is made for Linux only")
kernel = importlib.import_module("courselib.kernels.triton.attention")
pytestmark = pytest.mark.gpu

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
KINDS = [(BF16, 64), (BF16, 80), (BF16, 96), (BF16, 128), (BF16, 256), (FP16, 64), (FP16, 128), (FP32, 64), (FP32, 128)]
# P is rounded to the dtype and so is the output: a few eps. float32: sums of 600 terms, exp2 and division to 2 ULP.
TOLERANCE = {BF16: 3 * 2**-8, FP16: 3 * 2**-11, FP32: 2e-5}
NAN, INF = float("nan"), float("inf")
Attention = Callable[..., tuple[Tensor, Tensor]]
every_kind = pytest.mark.parametrize(("dtype", "d"), KINDS, ids=lambda x: str(x).removeprefix("torch."))
main_kinds = pytest.mark.parametrize(("dtype", "d"), [(BF16, 128), (FP32, 64)], ids=["bfloat16-128", "float32-64"])


def values(*shape: int, seed: int, dtype: torch.dtype = FP32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator("cuda").manual_seed(seed), device="cuda").to(dtype)


def inputs(B: int, H: int, H_kv: int, T: int, S: int, d: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    q = 2 * values(B, H, T, d, seed=1)  # sharper than 1: some weights near 1, most far below
    return q.to(dtype), values(B, H_kv, S, d, seed=2, dtype=dtype), values(B, H_kv, S, d, seed=3, dtype=dtype)


def triangle(T: int, S: int) -> Tensor:
    """The last T rows of S."""
    return torch.ones(S, S, dtype=torch.bool, device="cuda").tril()[S - T :]


def oracle(q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    G = q.shape[1] // k.shape[1]
    q, k, v = q.double(), k.double().repeat_interleave(G, 1), v.double().repeat_interleave(G, 1)
    s = (q @ k.transpose(2, 3) / math.sqrt(q.shape[3])).masked_fill(~visible, -INF)
    return torch.softmax(s, -1) @ v, torch.logsumexp(s, -1)


def both_same(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], what: str) -> None:
    for name, x, y in zip(("out", "lse"), a, b, strict=True):
        assert bits.equal(x, y), f"{name}: {what}\n{bits.report(x, y)}"


def rows(answer: tuple[Tensor, Tensor], start: int, stop: int) -> tuple[Tensor, Tensor]:
    return answer[0][:, :, start:stop], answer[1][:, :, start:stop]


@pytest.fixture
def each_tile(monkeypatch: pytest.MonkeyPatch) -> Callable[[torch.dtype, int], Iterator[object]]:
    """for tile in each_tile(dtype, d): every tile that may run, forced."""

    def force(dtype: torch.dtype, d: int) -> Iterator[object]:
        width = 1 << (d - 1).bit_length()
        for tile in kernel.tiles(width, dtype, torch.device("cuda", torch.cuda.current_device())):
            monkeypatch.setattr(kernel, "choose_tile", lambda *_, tile=tile: tile)
            yield tile

    return force


# ------------------------------------------------------------------------------------------------ tiles and numbers


@every_kind
def test_every_tile_gives_the_same_bytes_and_is_right(dtype: torch.dtype, d: int, each_tile: Callable) -> None:
    T = 333
    holes = triangle(T, T) & (values(T, T, seed=4) > -1.5)
    for H, H_kv in ((4, 4), (8, 2), (8, 1)):
        q, k, v = inputs(2, H, H_kv, T, T, d, dtype)
        calls = {
            "causal": ({"causal": True}, triangle(T, T)),
            "all": ({}, torch.ones_like(holes)),
            "mask": ({"mask": triangle(T, T)}, triangle(T, T)),
            "holes": ({"mask": holes | torch.eye(T, dtype=torch.bool, device="cuda")}, None),
        }
        calls["holes"] = (calls["holes"][0], calls["holes"][0]["mask"])
        for name, (options, visible) in calls.items():
            found = {tile: kernel.attention(q, k, v, **options) for tile in each_tile(dtype, d)}
            (first, answer), *others = found.items()
            for tile, other in others:
                both_same(other, answer, f"{name}, H {H}, H_kv {H_kv}: {tile} against {first}")
            want, want_lse = oracle(q, k, v, visible)
            torch.testing.assert_close(answer[0].double(), want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
            torch.testing.assert_close(answer[1].double(), want_lse, rtol=0, atol=TOLERANCE[dtype])


@main_kinds
def test_every_tile_gives_the_same_bytes_on_cruel_inputs(dtype: torch.dtype, d: int, each_tile: Callable) -> None:
    """Values that cancel, exponents far apart, scores far from zero, a bias: any other order shows."""
    T, S = 130, 700
    q, k, v = inputs(1, 8, 2, T, S, d, dtype)
    wide = torch.exp2(torch.randint(-12, 12, (S, 1), generator=torch.Generator().manual_seed(5)).float()).cuda()
    cancelling = torch.cat([v[:, :, : S // 2], -v[:, :, : S // 2]], 2)
    cases = {
        "cancel": (q, k, cancelling, {"scale": 0.001}),
        "wide": (q, k, (v * wide).to(dtype), {}),
        "sharp": (q * 30, k, v, {}),
        "bias": (q, k, v, {"mask": 5 * values(1, 8, T, S, seed=6)}),
        "far": (q, k, v, {"mask": torch.full((S,), 3000.0, device="cuda")}),
    }
    for name, (x, y, z, options) in cases.items():
        found = {tile: kernel.attention(x, y, z, **options) for tile in each_tile(dtype, d)}
        (first, answer), *others = found.items()
        assert answer[0].isfinite().all()
        for tile, other in others:
            both_same(other, answer, f"{name}: {tile} against {first}")


@every_kind
def test_prefill_chunks_and_decode_agree(dtype: torch.dtype, d: int) -> None:
    T = 601
    q, k, v = inputs(1, 8, 2, T, T, d, dtype)
    full = kernel.attention(q, k, v, causal=True)
    for t in (0, 1, 15, 16, 31, 63, 64, 127, 128, 129, 255, 256, 400, 600):
        one = kernel.attention(q[:, :, t : t + 1], k[:, :, : t + 1], v[:, :, : t + 1])
        both_same(one, rows(full, t, t + 1), f"decode at {t}")
    for start, stop in ((0, 100), (100, 103), (103, 400), (400, 601)):
        mask = triangle(stop - start, stop)
        chunk = kernel.attention(q[:, :, start:stop], k[:, :, :stop], v[:, :, :stop], mask=mask)
        both_same(chunk, rows(full, start, stop), f"chunk {start} to {stop}")


# ------------------------------------------------------------------------------------------------ batches and padding


def split_by_batch(q: Tensor, k: Tensor, v: Tensor, **options: Tensor) -> tuple[Tensor, Tensor]:
    """What splits K and V in two when the batch is small, and merges by lse (FlashDecoding)."""
    if q.shape[0] > 2:
        return kernel.attention(q, k, v, **options)
    half = k.shape[2] // 2
    (a, lse_a), (b, lse_b) = (
        kernel.attention(q, k[:, :, part], v[:, :, part], mask=options["mask"][..., part])
        for part in (slice(0, half), slice(half, None))
    )
    lse = torch.logaddexp(lse_a, lse_b)
    out = a * (lse_a - lse).nan_to_num(-INF).exp()[..., None] + b * (lse_b - lse).nan_to_num(-INF).exp()[..., None]
    return out.to(q.dtype), lse


def assert_sequences_stand_alone(attention: Attention, dtype: torch.dtype, d: int, T: int, batches: list[int]) -> None:
    """The same sequence at a random place of batches, left-padded, among NaN and huge neighbours."""
    n = 517
    q, k, v = inputs(1, 8, 2, T, n, d, dtype)
    want = attention(q, k, v, mask=triangle(T, n))
    generator = torch.Generator().manual_seed(7)
    for B in batches:
        b, extra = (int(torch.randint(0, m, (), generator=generator)) for m in (B, 150))
        wild = (NAN, 1e30 if dtype != FP16 else 6e4, 0.0, 1.0)[B % 4]
        S = n + extra
        x, y, z = (
            torch.full((B, t.shape[1], m, d), wild, dtype=dtype, device="cuda") for t, m in ((q, T), (k, S), (v, S))
        )
        x[b], y[b, :, extra:], z[b, :, extra:] = q[0], k[0], v[0]
        mask = torch.zeros(B, 1, T, S, dtype=torch.bool, device="cuda")
        mask[:, :, :, extra:] = triangle(T, n)
        mask[torch.arange(B) != b, :, :, extra // 2 :] = True  # others see more
        out, lse = attention(x, y, z, mask=mask)
        both_same((out[b : b + 1], lse[b : b + 1]), want, f"T {T}, place {b} of {B}, {extra} to its left, among {wild}")


@main_kinds
@pytest.mark.parametrize("T", [1, 7, 200])
def test_a_sequence_is_the_same_alone_and_in_any_batch(dtype: torch.dtype, d: int, T: int) -> None:
    assert_sequences_stand_alone(kernel.attention, dtype, d, T, list(range(1, 65)) if T == 1 else [1, 2, 3, 8, 17, 64])


def test_control_splitting_by_batch_size_is_seen() -> None:
    with pytest.raises(AssertionError, match="differ in"):
        assert_sequences_stand_alone(split_by_batch, BF16, 128, 1, [3, 4, 5])


def from_slot_zero(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor) -> tuple[Tensor, Tensor]:
    """What counts its blocks from slot 0: one more row, last, that sees every slot."""
    everything = torch.full_like(mask[:, :, :1], mask.dtype == torch.bool)
    answer = kernel.attention(torch.cat([q, q[:, :, -1:]], 2), k, v, mask=torch.cat([mask, everything], 2))
    return rows(answer, 0, q.shape[2])


def assert_padding_moves_nothing(
    attention: Attention, dtype: torch.dtype, d: int, sides: list[tuple[int, int]]
) -> None:
    T = 300
    q, k, v = inputs(1, 8, 2, T, T, d, dtype)
    want = kernel.attention(q, k, v, causal=True)
    for left, right in sides:
        x, y, z = (torch.nn.functional.pad(t, (0, 0, left, right), value=NAN) for t in (q, k, v))
        visible = triangle(left + T + right, left + T + right)
        visible[:, :left], visible[:, left + T :] = False, False
        masks = {"bool": visible}
        for low in (torch.finfo(dtype).min, -math.inf, -65504.0):  # the last is PyTorch's, for cuDNN's attention
            masks[f"additive {low}"] = torch.zeros(visible.shape, dtype=dtype, device="cuda").masked_fill(~visible, low)
        for kind, mask in masks.items():
            answer = rows(attention(x, y, z, mask=mask[None, None]), left, left + T)
            both_same(answer, want, f"{kind} mask, {left} to the left, {right} to the right")


@main_kinds
def test_padding_moves_nothing(dtype: torch.dtype, d: int) -> None:
    sides = [(0, 0), (1, 0), (0, 1), (5, 0), (64, 0), (127, 0), (128, 0), (200, 0), (0, 300), (33, 65)]
    assert_padding_moves_nothing(kernel.attention, dtype, d, sides)


def test_control_blocks_counted_from_slot_zero_are_seen() -> None:
    block = kernel.block_size(128, BF16, torch.device("cuda", torch.cuda.current_device()))
    y, z = (values(1, 2, block + 300, 128, seed=s, dtype=BF16) for s in (2, 3))
    q = values(1, 8, 300, 128, seed=1, dtype=BF16)
    for left, moved in ((block, False), (5, True)):
        k, v = y[:, :, left : left + 300], z[:, :, left : left + 300]
        mask = torch.zeros(1, 1, 300, left + 300, dtype=torch.bool, device="cuda")
        mask[..., left:] = triangle(300, 300)
        answer = from_slot_zero(q, y[:, :, : left + 300], z[:, :, : left + 300], mask=mask)
        same = all(bits.equal(a, b) for a, b in zip(answer, kernel.attention(q, k, v, causal=True), strict=True))
        assert same != moved


# ------------------------------------------------------------------------------------------------ the rest


@main_kinds
def test_a_hidden_slot_harms_nobody_and_a_visible_one_speaks(dtype: torch.dtype, d: int, each_tile: Callable) -> None:
    q, k, v = inputs(1, 8, 2, 200, 200, d, dtype)
    want = kernel.attention(q, k, v, causal=True)
    for wild in (NAN, INF, -INF):
        spoiled = v.clone()
        spoiled[:, :, 77, 3] = wild
        for tile in each_tile(dtype, d):
            out, lse = kernel.attention(q, k, spoiled, causal=True)
            assert bits.equal(lse, want[1]), f"{wild}, {tile}"
            assert bits.equal(out[:, :, :77], want[0][:, :, :77]), f"{wild}, {tile}"
            assert bits.equal(out[..., 4:], want[0][..., 4:]), f"{wild}, {tile}"
            assert not out[:, :, 77:, 3].isfinite().any(), f"{wild}, {tile}"


@main_kinds
def test_strides_and_addresses_move_nothing(dtype: torch.dtype, d: int) -> None:
    q, k, v = inputs(2, 8, 2, 50, 300, d, dtype)
    want = kernel.attention(q, k, v)
    by_token = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in (q, k, v)]
    both_same(kernel.attention(*by_token), want, "(B, T, H, d) in memory")
    odd = []
    for t in (q, k, v):  # rows of d + 1 numbers, from an odd address on
        room = torch.full((*t.shape[:3], d + 1), NAN, dtype=dtype, device="cuda")
        room[..., 1:] = t
        odd.append(room[..., 1:])
    both_same(kernel.attention(*odd), want, "rows at odd addresses")


def test_a_graph_replays_the_same_bytes() -> None:
    q, k, v = inputs(4, 8, 2, 1, 500, 128, BF16)
    mask = torch.ones(4, 1, 1, 500, dtype=torch.bool, device="cuda")
    kernel.attention(q, k, v, mask=mask)  # compiled before the capture
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        answer = kernel.attention(q, k, v, mask=mask)
    for first in (0, 3, 130):  # found on the device, so a replay follows the mask
        mask.fill_(True)
        mask[..., :first] = False
        graph.replay()
        both_same(answer, kernel.attention(q[:], k[:, :, first:], v[:, :, first:]), f"first {first}")


def test_more_than_two_to_the_31_numbers() -> None:
    S = 2**31 // (8 * 128) + 300
    if torch.cuda.mem_get_info()[0] < 3 * 2**32:
        S = 2048  # a small card: the same test, without its point
    k = torch.zeros(1, S, 8, 128, dtype=BF16, device="cuda").transpose(1, 2)  # one tensor for K and V, by token
    q, few, _ = inputs(1, 8, 8, 4, 300, 128, BF16)
    k[:, :, -300:] = few
    mask = torch.zeros(S, dtype=torch.bool, device="cuda")
    mask[-300:] = True
    both_same(kernel.attention(q, k, k, mask=mask), kernel.attention(q, few, few), "the last slots of a long cache")
