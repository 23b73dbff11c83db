"""The Triton matrix product in the interpreter, and the choice of tiles. (Speed and the real kernels: tests/gpu.)"""

import json
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from courselib import bits
from courselib.kernels.triton import certificate, matmul
from courselib.kernels.triton.matmul import launch
from courselib.kernels.triton.tiles import FIXED, Gpu, Tile, candidates, choose

H100 = Gpu((9, 0), 132, 232448)
T4, ADA, A100 = Gpu((7, 5), 40, 65536), Gpu((8, 9), 128, 101376), Gpu((8, 0), 108, 166912)


def normal(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@settings(max_examples=15, deadline=None)
@given(
    M=st.integers(0, 40), N=st.integers(0, 40), K=st.integers(0, 70),
    dtype=st.sampled_from([torch.float32, torch.float16]), B=st.sampled_from([None, 1, 3]), bias=st.booleans(),
    alpha=st.sampled_from([1.0, 0.5]), beta=st.sampled_from([0.0, 1.0, 2.0]), turned=st.booleans(),
)  # fmt: skip
def test_close_to_float64(M, N, K, dtype, B, bias, alpha, beta, turned):
    """|error| <= K u |a| |b| (Higham, Accuracy and Stability of Numerical Algorithms, 3.5), then one rounding."""
    batch = () if B is None else (B,)
    a, b = normal(*batch, M, K, dtype=dtype), normal(*batch, K, N, dtype=dtype, seed=1)
    b = b.mT.contiguous().mT if turned else b
    add = normal(N, dtype=dtype, seed=2) if bias else None
    y = matmul(a, b, bias=add, alpha=alpha, beta=beta)
    assert y.shape == (*batch, M, N)
    assert y.dtype == dtype
    exact = alpha * (a.double() @ b.double())
    size = alpha * (a.double().abs() @ b.double().abs())
    if add is not None and beta:
        exact, size = exact + beta * add.double(), size + (beta * add.double()).abs()
    rounding = 2.0**-11 if dtype == torch.float16 else 2.0**-24
    assert ((y.double() - exact).abs() <= (K + 2) * 2.0**-24 * size + rounding * exact.abs() + 1e-7).all()


@pytest.mark.parametrize("neighbour", [0.0, float("nan"), 1e30])
def test_a_row_has_the_same_bytes_alone_and_in_a_batch(neighbour):
    row, b = normal(1, 70), normal(70, 45, seed=1)
    alone = matmul(row, b)
    for M in (2, 33, 65):
        for at in (0, M - 1):
            batch = torch.full((M, 70), neighbour)
            batch[at] = row
            assert bits.equal(matmul(batch, b)[at : at + 1], alone)


def test_the_comparison_catches_a_tile_that_follows_m():
    """The interpreter's dot is NumPy's: another BLOCK_K is another order there, as it may be on a GPU without a
    certificate."""
    a, b = normal(4, 1024), normal(1024, 16, seed=1)
    results = [torch.empty(1, 4, 16) for _ in range(2)]
    for tile, out in zip((Tile(16, 16, 32, 4, 2), Tile(16, 16, 256, 4, 2)), results, strict=True):
        launch(a[None], b[None], out, tile)
    assert not bits.equal(*results)


def test_beta_zero_does_not_read_the_bias():
    y = matmul(normal(3, 8), normal(8, 5), bias=torch.full((5,), float("nan")), beta=0.0)
    assert y.isfinite().all()


def test_half_precision_inputs_can_give_float32():
    a, b = normal(3, 40, dtype=torch.float16), normal(40, 5, dtype=torch.float16)
    wide = matmul(a, b, out_dtype=torch.float32)
    assert bits.equal(wide.half(), matmul(a, b))


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (((3, 4), (5, 6)), ValueError, "cannot multiply (3, 4) by (5, 6)"),
        (((2, 3, 4), (3, 4, 5)), ValueError, "cannot multiply"),
        (((3, 4), (2, 4, 5)), ValueError, "cannot multiply (3, 4) by (2, 4, 5)"),
        (((4,), (4, 5)), ValueError, "cannot multiply (4,) by (4, 5)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(arguments, error, says):
    with pytest.raises(error) as caught:
        matmul(*(torch.zeros(shape) for shape in arguments))
    assert says in str(caught.value)


def test_a_bias_that_does_not_fit_is_refused():
    a, b = torch.zeros(3, 4), torch.zeros(4, 5)
    with pytest.raises(ValueError, match=r"bias \(4,\) cannot be broadcast to the result \(3, 5\)"):
        matmul(a, b, bias=torch.zeros(4))
    with pytest.raises(TypeError, match=r"bias is torch\.float64"):
        matmul(a, b, bias=torch.zeros(5, dtype=torch.float64))


def test_dtypes_and_precisions_that_are_unknown_are_refused():
    a = torch.zeros(2, 2)
    with pytest.raises(TypeError, match="float64"):
        matmul(a.double(), a.double())
    with pytest.raises(TypeError, match="must have one dtype"):
        matmul(a, a.half())
    with pytest.raises(ValueError, match='unknown precision "fast"'):
        matmul(a, a, precision="fast")


# ---- tiles -------------------------------------------------------------------------------------------------------


@given(
    M=st.integers(1, 20_000), N=st.integers(1, 200_000), kind=st.sampled_from([(2, "ieee"), (4, "ieee"), (4, "tf32x3"),
    (4, "tf32")]), out=st.sampled_from([2, 4]), tma=st.booleans(), here=st.sampled_from([H100, A100, ADA, T4]),
)  # fmt: skip
def test_every_tile_fits_and_is_one_that_a_certificate_covers(M, N, kind, out, tma, here):
    itemsize, precision = kind
    tile = choose(M, N, itemsize, out, precision, tma, here)
    assert tile.shared_memory(itemsize, out) <= here.shared_memory
    assert tile.tma <= (tma and here.capability[0] == 9)
    # The stages may be fewer than in the table; they only say how far ahead tiles are fetched.
    known = {(t.m, t.n, t.n2, t.k, t.warps, t.tma) for t in candidates(itemsize, precision, here)}
    assert (tile.m, tile.n, tile.n2, tile.k, tile.warps, tile.tma) in known


def test_the_fixed_tiles_fit_everywhere():
    for itemsize, tile in FIXED.items():
        assert tile.shared_memory(itemsize, 4) <= 48 * 1024


@pytest.mark.parametrize("path", sorted(certificate.SHIPPED.glob("*.json")), ids=lambda path: path.stem)
def test_the_shipped_certificates_are_about_these_kernels_and_tiles(path):
    kept = json.loads(path.read_text())
    code = "from courselib.kernels.triton.certificate import kernels_sha256; print(kernels_sha256())"
    environment = {**os.environ, "TRITON_INTERPRET": "0"}  # the text that is compiled, not the interpreter's
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert kept["kernels"] == run.stdout.strip(), "the kernels were changed: certify them again, on that GPU"
    assert any(name in kept["device"] for name in ("H100", "H200")), "is its table of tiles that of an H100?"
    assert {(str(dtype), precision) for dtype, precision in certificate.covered(kept, H100)} == {
        ("torch.bfloat16", "ieee"), ("torch.float16", "ieee"),
        ("torch.float32", "ieee"), ("torch.float32", "tf32x3"), ("torch.float32", "tf32"),
    }  # fmt: skip
    for kind in kept["kinds"]:
        assert kind["differing"] == {}
        assert kind["outputs_differing_over_m"] == 0


def test_a_tile_that_was_found_different_is_not_covered():
    path = next(iter(certificate.SHIPPED.glob("*h100*.json")))
    kept = json.loads(path.read_text())
    kept["kinds"][0]["equal"].remove("16x64x256 4 warps 4 stages tma early")
    assert (torch.bfloat16, "ieee") not in certificate.covered(kept, H100)
    assert (torch.float16, "ieee") in certificate.covered(kept, H100)


def test_all_tf32x3_tiles_step_alike():
    """It adds the small parts of a whole step of K before the large ones, so the step is part of its order."""
    assert {tile.k for tile in candidates(4, "tf32x3", H100)} == {FIXED[4].k}
