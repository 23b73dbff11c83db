from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from courselib import bits
from courselib.kv_cache import KVCache
from courselib.minigpt import Config, MiniGPT

L, B, H_KV, SLOTS, D_H = 2, 3, 2, 8, 4


def cache() -> KVCache:
    return KVCache(L, B, H_KV, SLOTS, D_H)


def rows(T: int, seed: int = 0, **change: int) -> Tensor:
    shape = {"B": B, "H_kv": H_KV, "T": T, "d_h": D_H} | change
    return torch.randn(tuple(shape.values()), generator=torch.Generator().manual_seed(seed))


def fill(kv: KVCache, T: int, count: list[int] | None = None) -> None:
    for layer in range(L):
        kv.append(layer, rows(T, seed=layer), rows(T, seed=layer + 10), count)


# ------------------------------------------------------------------------------------------------ append and read


def test_the_pair_index_is_k_then_v() -> None:
    kv = cache()
    k, v = rows(3, seed=1), rows(3, seed=2)
    kv.append(1, k, v)
    assert kv.data.shape == (L, 2, B, H_KV, SLOTS, D_H)
    assert bits.equal(kv.data[1, 0, :, :, :3], k)
    assert bits.equal(kv.data[1, 1, :, :, :3], v)
    assert not kv.data[0].any()
    assert not kv.data[1, :, :, :, 3:].any()


def test_reading_gives_what_was_appended_without_a_copy() -> None:
    kv = cache()
    assert [x.shape for x in kv.read(0)] == [(B, H_KV, 0, D_H)] * 2
    k, v = rows(5, seed=1), rows(5, seed=2)
    for part in (slice(0, 2), slice(2, 2), slice(2, 3), slice(3, 5)):
        kv.append(0, k[:, :, part], v[:, :, part])
    assert kv.lengths == [5] * B
    found_k, found_v = kv.read(0)
    assert bits.equal(found_k, k)
    assert bits.equal(found_v, v)
    assert found_k.data_ptr() == kv.data[0, 0].data_ptr()
    assert found_v.data_ptr() == kv.data[0, 1].data_ptr()


def test_what_was_appended_is_a_copy() -> None:
    kv = cache()
    k, v = rows(2), rows(2)
    kv.append(0, k, v)
    k.zero_()
    assert bits.equal(kv.read(0)[0], v)


def test_the_last_slot_can_be_used() -> None:
    kv = cache()
    fill(kv, SLOTS)
    assert kv.lengths == [SLOTS] * B
    assert bits.equal(kv.read(1)[0], rows(SLOTS, seed=1))
    fill(kv, 0)
    assert kv.lengths == [SLOTS] * B


def test_ragged_rows_go_to_their_own_cursor_and_padding_is_not_kept() -> None:
    kv = cache()
    fill(kv, 3, [3, 1, 0])
    assert kv.lengths == [3, 1, 0]
    fill(kv, 2, [0, 2, 1])
    assert kv.lengths == [3, 3, 1]
    k = kv.read(0)[0]
    first, second = rows(3, seed=0), rows(2, seed=0)
    assert k.shape == (B, H_KV, 3, D_H)
    assert bits.equal(k[0], first[0])
    assert bits.equal(k[1], torch.cat([first[1, :, :1], second[1]], 1))
    assert bits.equal(k[2, :, :1], second[2, :, :1])
    assert not kv.data[:, :, 2, :, 1:].any()


@settings(deadline=None)
@given(
    st.lists(
        st.integers(0, 3).flatmap(lambda T: st.tuples(st.just(T), st.lists(st.integers(0, T), min_size=B, max_size=B)))
    )
)
def test_it_holds_what_lists_would_hold(appends: list[tuple[int, list[int]]]) -> None:
    kv = KVCache(1, B, H_KV, 100, D_H)
    held: list[list[Tensor]] = [[] for _ in range(B)]
    for i, (T, count) in enumerate(appends[:30]):
        k, v = rows(T, seed=2 * i), rows(T, seed=2 * i + 1)
        kv.append(0, k, v, count)
        for b, n in enumerate(count):
            held[b] += [torch.stack([k[b, :, t], v[b, :, t]]) for t in range(n)]
    assert kv.lengths == [len(sequence) for sequence in held]
    found = torch.stack(kv.read(0))  # (2, B, H_kv, S, d_h)
    for b, sequence in enumerate(held):
        if sequence:
            assert bits.equal(found[:, b, :, : len(sequence)], torch.stack(sequence, 2))
        assert not kv.data[0, :, b, :, len(sequence) :].any()


def test_one_copy_for_all_and_a_copy_for_each_write_the_same() -> None:
    together, apart = cache(), cache()
    k, v = rows(3, seed=1), rows(3, seed=2)
    padding = torch.full((B, H_KV, 1, D_H), 7.0)
    together.append(0, k, v)
    apart.append(0, torch.cat([k, padding], 2), torch.cat([v, padding], 2), [3, 3, 3])
    assert bits.equal(together.data, apart.data)


# ------------------------------------------------------------------------------------------------ mistakes


def appending(k: Tensor, v: Tensor, count: list[int] | None = None) -> Callable[[KVCache], None]:
    return lambda kv: kv.append(0, k, v, count)


def of_shape(*shape: int) -> Callable[[KVCache], None]:
    return appending(torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize(
    ("mistake", "error", "says"),
    [
        (appending(rows(5), rows(5)), ValueError, "sequence 0 holds 5 slots and gets 5 more; there is room for 8"),
        (appending(rows(5), rows(5), [1, 5, 2]), ValueError, "sequence 1 holds 4 slots and gets 5 more"),
        (of_shape(1, 2, 2, 4), ValueError, r"takes k \(3, 2, T, 4\), got \(1, 2, 2, 4\)"),
        (of_shape(3, 4, 2, 4), ValueError, r"got \(3, 4, 2, 4\)"),
        (of_shape(3, 2, 2, 8), ValueError, r"got \(3, 2, 2, 8\)"),
        (of_shape(2, 2, 4), ValueError, r"got \(2, 2, 4\)"),
        (of_shape(3, 1, 2, 4), ValueError, r"got \(3, 1, 2, 4\)"),  # (B, T, H_kv, d_h): not transposed
        (appending(rows(2), rows(1)), ValueError, r"takes v \(3, 2, T, 4\), got \(3, 2, 1, 4\)"),
        (appending(rows(2).double(), rows(2)), TypeError, "holds torch.float32 on cpu, got k torch.float64 on cpu"),
        (appending(rows(2), rows(2).bfloat16()), TypeError, "got v torch.bfloat16 on cpu"),
        (appending(rows(2).to("meta"), rows(2)), TypeError, "got k torch.float32 on meta"),
        (appending(rows(2), rows(2), [1, 1]), ValueError, "count must be 3 numbers from 0 to T = 2"),
        (appending(rows(2), rows(2), [1, 1, 3]), ValueError, r"from 0 to T = 2, got \[1, 1, 3\]"),
        (appending(rows(2), rows(2), [1, 1, -1]), ValueError, r"got \[1, 1, -1\]"),
        (lambda kv: kv.truncate(5), ValueError, r"cannot keep 5 slots, the sequences hold \[5, 4, 5\]"),
        (lambda kv: kv.truncate(-1), ValueError, "cannot keep -1 slots"),
    ],
)
def test_a_mistake_gets_one_clear_line_and_writes_nothing(
    mistake: Callable[[KVCache], None], error: type[Exception], says: str
) -> None:
    kv = cache()
    fill(kv, 5, [5, 4, 5])
    before, lengths = kv.data.clone(), kv.lengths
    with pytest.raises(error, match=says) as caught:
        mistake(kv)
    assert "\n" not in str(caught.value)
    assert bits.equal(kv.data, before)
    assert kv.lengths == lengths
    kv.append(0, rows(1), rows(1))  # and it goes on


@pytest.mark.parametrize("shape", [(0, 1, 1, 1, 1), (1, 0, 1, 1, 1), (1, 1, 0, 1, 1), (1, 1, 1, 0, 1), (1, 1, 1, 1, 0)])
def test_a_cache_of_nothing_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="every dimension"):
        KVCache(*shape)


# ------------------------------------------------------------------------------------------------ forget


def test_reset_forgets_everything() -> None:
    kv = cache()
    fill(kv, 3, [3, 1, 2])
    kv.first = [0, 2, 1]
    kv.reset()
    assert (kv.lengths, kv.first) == ([0] * B, [0] * B)
    assert not kv.data.any()
    fill(kv, 2)
    assert bits.equal(kv.read(1)[1], rows(2, seed=11))


def test_truncate_keeps_the_first_slots_and_zeroes_the_rest() -> None:
    kv = cache()
    fill(kv, 5, [5, 4, 5])
    kept = kv.data[:, :, :, :, :3].clone()
    kv.truncate(3)
    assert kv.lengths == [3] * B
    assert bits.equal(kv.data[:, :, :, :, :3], kept)
    assert not kv.data[:, :, :, :, 3:].any()
    kv.truncate(3)
    assert kv.lengths == [3] * B
    fill(kv, 1)
    assert bits.equal(kv.read(0)[0][:, :, 3:], rows(1, seed=0))
    kv.truncate(0)
    assert not kv.data.any()


def test_a_cache_for_a_model_has_its_shape() -> None:
    model = MiniGPT(Config(vocab_size=5, n_layers=3, dim=24, n_heads=6, n_kv_heads=2, ff_dim=8, max_slots=16))
    kv = KVCache.for_model(model, batch=2)
    assert kv.data.shape == (3, 2, 2, 2, 16, 4)
    assert kv.data.dtype == torch.float32
    assert KVCache.for_model(model, max_slots=7).data.shape == (3, 2, 1, 2, 7, 4)
    assert KVCache.for_model(model.double()).data.dtype == torch.float64
