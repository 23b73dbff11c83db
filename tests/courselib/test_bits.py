import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from courselib import bits

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
OTHERS = [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool]
NAN, INF = float("nan"), float("inf")


def from_words(*w: int) -> np.ndarray:
    return np.array(w, dtype=np.uint32).view(np.float32)


# ------------------------------------------------------------------------------------------------ equal


@pytest.mark.parametrize("dtype", FLOATS + OTHERS)
def test_equal_in_every_dtype(dtype: torch.dtype) -> None:
    a = torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype)
    b = a.clone()
    assert bits.equal(a, b)
    assert bits.equal(a.t(), b.t().contiguous())  # how it is stored does not count
    assert not bits.equal(a, a.t())
    assert not bits.equal(a, a.view(3, 2))
    b[1, 2] = 0
    assert not bits.equal(a, b)
    other = torch.float32 if dtype != torch.float32 else torch.float64
    assert not bits.equal(a, a.to(other))
    assert bits.equal(a[0, 1], a[0, 2])  # 0-d
    assert not bits.equal(a[0, 0], a[0, 1])
    assert not bits.equal(a[0, 1], a[0, 1:2])  # () against (1,)
    assert bits.equal(a[:0], b[:0])  # empty
    assert not bits.equal(a[:0], a[:, :0])


@pytest.mark.parametrize("dtype", FLOATS)
def test_zeros_of_two_signs_differ_and_a_nan_equals_itself(dtype: torch.dtype) -> None:
    assert not bits.equal(torch.tensor([0.0], dtype=dtype), torch.tensor([-0.0], dtype=dtype))
    assert bits.equal(torch.tensor([NAN, INF], dtype=dtype), torch.tensor([NAN, INF], dtype=dtype))


def test_the_same_words_of_another_dtype_differ() -> None:
    for a, b in [(torch.float32, torch.int32), (torch.float16, torch.bfloat16), (torch.bool, torch.uint8)]:
        x, y = torch.zeros(3, dtype=a), torch.zeros(3, dtype=b)
        assert bits.hex_words(x) == bits.hex_words(y)
        assert not bits.equal(x, y)


def test_a_nan_is_its_payload() -> None:
    quiet, other, negative = from_words(0x7FC00000), from_words(0x7FC00001), from_words(0xFFC00000)
    assert bits.equal(quiet, quiet.copy())
    assert not bits.equal(quiet, other)
    assert not bits.equal(quiet, negative)


def test_numpy_and_torch_compare() -> None:
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    assert bits.equal(a, np.array([1, 2], dtype=np.float32))
    assert not bits.equal(a, np.array([1.0, 2.0]))
    assert bits.equal(np.float32(1.5), torch.tensor(1.5))
    assert bits.equal(np.arange(6).reshape(2, 3)[:, ::2], torch.tensor([[0, 2], [3, 5]]))


def test_a_dtype_without_words_is_refused() -> None:
    x = np.array([1j])
    with pytest.raises(TypeError, match="cannot compare the bits of dtype complex128"):
        bits.words(x)


def test_words_are_the_raw_words() -> None:
    assert bits.hex_words(torch.tensor([1.0, -0.0])) == ["3f800000", "80000000"]
    assert bits.hex_words(torch.tensor([1.0], dtype=torch.bfloat16)) == ["3f80"]
    assert bits.hex_words(torch.tensor([1.0], dtype=torch.float16)) == ["3c00"]
    assert bits.hex_words(torch.tensor(1.0, dtype=torch.float64)) == ["3ff0000000000000"]
    assert bits.hex_words(torch.tensor([True, False])) == ["01", "00"]
    assert bits.hex_words(torch.tensor([-1], dtype=torch.int8)) == ["ff"]
    assert bits.hex_words(torch.zeros(0)) == []


def test_importing_it_does_not_import_torch() -> None:
    check = "import sys, courselib.bits; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


# ------------------------------------------------------------------------------------------------ ULPs


def test_ulps_by_hand() -> None:
    one = np.float32(1)
    a = np.array([one, 0.0, -0.0, INF, 1.0, 1e-45, np.nextafter(INF, 0, dtype=np.float32)], dtype=np.float32)
    b = np.array([np.nextafter(one, 2), -0.0, 1e-45, -INF, -1.0, -1e-45, INF], dtype=np.float32)
    assert bits.ulp_distance(a, b).tolist() == [1, 1, 2, 2 * 0x7F800000 + 1, 2 * 0x3F800000 + 1, 3, 1]
    assert bits.ulp_distance(a, a).tolist() == [0] * 7
    assert bits.ulp_distance(from_words(0x7F800000), from_words(0x7F800001)).tolist() == [1]  # NaNs lie past infinity


@pytest.mark.parametrize("dtype", FLOATS)
def test_ulps_in_every_float(dtype: torch.dtype) -> None:
    integer = {8: torch.int64, 4: torch.int32, 2: torch.int16}[dtype.itemsize]
    x = torch.tensor([1.0, -1.0, INF], dtype=dtype)
    y = (x.view(integer) - torch.tensor([3, 5, 7]).to(integer)).view(dtype)
    assert bits.ulp_distance(x, y).tolist() == [3, 5, 7]
    assert bits.ulp_distance(x[0], y[0]).tolist() == 3  # 0-d
    assert bits.ulp_distance(x[:0], y[:0]).shape == (0,)


def test_the_widest_distance_there_is() -> None:
    ends = np.array([0xFFFFFFFFFFFFFFFF, 0x7FFFFFFFFFFFFFFF], dtype=np.uint64).view(np.float64)
    assert bits.ulp_distance(ends[:1], ends[1:]).tolist() == [2**64 - 1]


@given(st.floats(width=32, allow_nan=False), st.floats(width=32, allow_nan=False), st.floats(width=32, allow_nan=False))
def test_ulps_measure_a_line(a: float, b: float, c: float) -> None:
    x, y, z = (np.array([v], dtype=np.float32) for v in sorted([a, b, c]))

    def apart(p: np.ndarray, q: np.ndarray) -> int:
        return int(bits.ulp_distance(p, q)[0])

    assert apart(x, y) == apart(y, x)
    assert (apart(x, y) == 0) == bits.equal(x, y)
    if x != y and 0 not in (x, y):  # beside a zero lies the other zero
        assert (apart(x, y) == 1) == bool(np.nextafter(x, np.float32(INF)) == y)
    if x < y < z:
        assert apart(x, y) + apart(y, z) == apart(x, z)


# ------------------------------------------------------------------------------------------------ first difference


def test_the_first_difference_is_in_c_order() -> None:
    a = torch.zeros(2, 3, 4)
    b = a.clone()
    assert bits.first_difference(a, b) is None
    b[1, 0, 2], b[0, 2, 3] = 1e-45, -0.0
    found = bits.first_difference(a, b)
    assert found == bits.Difference((0, 2, 3), "00000000", "80000000", 0.0, -0.0, 1, 2, 24)
    found = bits.first_difference(a.transpose(0, 2), b.transpose(0, 2))
    assert found is not None
    assert found.index == (2, 0, 1)
    assert found.n_different == 2


@pytest.mark.parametrize("dtype", FLOATS + OTHERS)
def test_the_first_difference_in_every_dtype(dtype: torch.dtype) -> None:
    a = torch.tensor([0, 1, 1]).to(dtype)
    b = torch.tensor([0, 1, 0]).to(dtype)
    found = bits.first_difference(a, b)
    assert found is not None
    assert (found.index, found.value_a, found.value_b, found.n_different, found.n_total) == ((2,), 1, 0, 1, 3)
    assert len(found.hex_a) == 2 * dtype.itemsize
    assert (found.ulps is not None) == dtype.is_floating_point
    scalar = bits.first_difference(a[2], b[2])
    assert scalar is not None
    assert (scalar.index, scalar.hex_a, scalar.ulps) == ((), found.hex_a, found.ulps)
    assert bits.first_difference(a[:0], b[:0]) is None


@given(st.lists(st.tuples(st.integers(0, 59), st.integers(0, 31)), max_size=8))
def test_planted_bits_are_found(flips: list[tuple[int, int]]) -> None:
    a = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    w = a.copy().view(np.uint32).ravel()
    for where, bit in flips:
        w[where] ^= np.uint32(1 << bit)
    b = w.view(np.float32).reshape(a.shape)
    changed = [i for i in range(60) if w[i] != a.view(np.uint32).ravel()[i]]
    found = bits.first_difference(a, b)
    if not changed:
        assert found is None
        assert bits.equal(a, b)
    else:
        assert found is not None
        assert found.index == np.unravel_index(changed[0], a.shape)
        assert found.n_different == len(changed)
        assert not bits.equal(a, b)


def test_what_cannot_be_set_side_by_side_is_refused_by_name() -> None:
    for other in (torch.zeros(3), torch.zeros(2, dtype=torch.float64)):
        for function in (bits.first_difference, bits.ulp_distance, bits.report):
            with pytest.raises(ValueError, match=r"cannot compare float32 \(2,\) with float(32|64) \([23],\)"):
                function(torch.zeros(2), other)


# ------------------------------------------------------------------------------------------------ report


def test_the_report_of_a_difference() -> None:
    a, b = torch.zeros(2, 3), torch.zeros(2, 3)
    a[1, 2], b[1, 2] = 1.0, 1.0000001
    assert bits.report(a, b, names=("cached", "full"), axes=("slot", "dim")) == (
        "cached and full differ in 1 of 6 words; the first is at slot 1, dim 2:\n"
        "  cached  0x3f800000  1.0\n"
        "  full    0x3f800001  1.0000001192092896\n"
        "  apart   1 ULP"
    )
    assert "the first is at slot 1, axis 1 2:" in bits.report(a, b, axes=("slot",))
    assert "the first is at the one element:" in bits.report(a[1, 2], b[1, 2])


def test_the_report_of_equality_and_of_whole_numbers() -> None:
    a = torch.arange(6)
    assert bits.report(a, a.clone()) == "a and b are equal: 6 of 6 words"
    assert bits.report(a, a.flip(0)) == (
        "a and b differ in 6 of 6 words; the first is at axis 0 0:\n"
        "  a  0x0000000000000000  0\n"
        "  b  0x0000000000000005  5"
    )
