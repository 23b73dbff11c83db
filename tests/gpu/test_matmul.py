"""The matrix product on a GPU: a row's bytes, whatever is around it."""

import json
import random

import pytest
import torch

from courselib import bits
from courselib.kernels import listening
from courselib.kernels.triton import certificate, matmul
from courselib.kernels.triton.matmul import launch
from courselib.kernels.triton.tiles import FIXED, Tile, candidates, gpu

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda")
KINDS = [
    (torch.bfloat16, "ieee"),
    (torch.float16, "ieee"),
    (torch.float32, "ieee"),
    (torch.float32, "tf32x3"),
    (torch.float32, "tf32"),
]
EDGES = [*range(1, 513), *(m + d for m in (640, 1024, 2048, 4096, 8192) for d in (-1, 0, 1) if m + d <= 8192)]
WORDS = {2: torch.int16, 4: torch.int32}


def normal(*shape, dtype=torch.bfloat16, seed=0):
    return torch.randn(*shape, device=CUDA, generator=torch.Generator(CUDA).manual_seed(seed)).to(dtype)


def same(x, y):
    """bits.equal on the device: a comparison of many megabytes, many times."""
    assert x.shape == y.shape
    assert x.dtype == y.dtype
    words = WORDS[x.element_size()]
    return torch.equal(x.contiguous().view(words), y.contiguous().view(words))


def heard(call):
    names = []
    with listening(lambda op, name: names.append(name)):
        call()
    return names


@pytest.mark.parametrize(("dtype", "precision"), KINDS)
@pytest.mark.parametrize(("N", "K"), [(4096, 4096), (1536, 1000), (130, 257)])
def test_every_m_gives_the_rows_of_the_largest(dtype, precision, N, K):
    a, w = normal(8192, K, dtype=dtype), normal(N, K, dtype=dtype, seed=1)
    whole = matmul(a, w.t(), precision=precision)
    place = random.Random(N)
    for M in EDGES:
        start = place.randint(0, len(a) - M)
        part = matmul(a[start : start + M], w.t(), precision=precision)
        assert same(part, whole[start : start + M]), f"M={M}: " + bits.report(part, whole[start : start + M])


@pytest.mark.parametrize(("dtype", "precision"), KINDS)
@pytest.mark.parametrize("neighbour", [0.0, float("nan"), float("inf"), 1e30])
def test_a_row_among_neighbours(dtype, precision, neighbour):
    N, K = 520, 1000
    row, w = normal(1, K, dtype=dtype), normal(N, K, dtype=dtype, seed=1)
    alone = matmul(row, w.t(), precision=precision)
    for M in (2, 16, 17, 64, 65, 128, 129, 256, 700):
        for at in {0, 1, M // 2, M - 1}:
            batch = torch.full((M, K), neighbour, device=CUDA).to(dtype)
            batch[at] = row
            assert same(matmul(batch, w.t(), precision=precision)[at : at + 1], alone)


@pytest.mark.parametrize(("dtype", "precision"), KINDS)
def test_strides_alignment_and_batches_move_no_bit(dtype, precision):
    M, N, K = 70, 264, 520
    a, b = normal(M, K, dtype=dtype), normal(K, N, dtype=dtype, seed=1)
    expected = matmul(a, b, precision=precision)
    shifted = torch.empty(M * K + 1, dtype=dtype, device=CUDA)[1:].view(M, K).copy_(a)
    for x in (a, a.t().contiguous().t(), shifted, torch.stack([a, a], 1)[:, 1], torch.stack([a, a], 2)[..., 0]):
        for y in (b, b.t().contiguous().t(), torch.stack([b, b], 1)[:, 1]):
            assert same(matmul(x, y, precision=precision), expected)
    batch = matmul(torch.stack([-a, a, 2 * a]), b.expand(3, K, N), precision=precision)
    assert same(batch[1], expected)


@pytest.mark.parametrize(("dtype", "precision"), KINDS)
def test_the_epilogue_is_the_same_in_every_tile(dtype, precision):
    N, K = 640, 512
    a, w, bias = normal(300, K, dtype=dtype), normal(N, K, dtype=dtype, seed=1), normal(N, dtype=dtype, seed=2)
    for more in ({}, {"alpha": 0.3, "beta": 1.7}, {"alpha": -1.0}, {"beta": 0.0}, {"out_dtype": torch.float32}):
        whole = matmul(a, w.t(), bias=bias, precision=precision, **more)
        for M in (1, 5, 16, 17, 32, 33, 64, 65, 128, 129, 256, 257):
            assert same(matmul(a[:M], w.t(), bias=bias, precision=precision, **more), whole[:M])
    product = matmul(a, w.t(), out_dtype=torch.float32, precision=precision)
    scaled = matmul(a, w.t(), bias=bias, alpha=0.3, beta=1.7, out_dtype=torch.float32, precision=precision)
    by_hand = product * torch.tensor(0.3, device=CUDA) + bias.float() * torch.tensor(1.7, device=CUDA)
    # Beyond the product, three roundings of numbers no larger than those here.
    size = (product * 0.3).abs() + (bias.float() * 1.7).abs()
    assert ((scaled - by_hand).abs() <= 3 * 2**-24 * size + 1e-30).all()


@pytest.mark.parametrize(("dtype", "precision"), KINDS)
@pytest.mark.parametrize("M", [1, 16, 64, 300, 2048])
def test_close_to_float64(dtype, precision, M):
    """|error| <= K u |a| |b| (Higham, Accuracy and Stability of Numerical Algorithms, 3.5), then one rounding."""
    N, K = 520, 1000
    a, w = normal(M, K, dtype=dtype), normal(N, K, dtype=dtype, seed=1)
    exact, size = a.double() @ w.double().t(), a.double().abs() @ w.double().abs().t()
    product = matmul(a, w.t(), precision=precision).double()
    # Tensor cores cut what they align below an fp32 sum's last bits: 2 u a term. tf32 first rounds to 10 bits.
    unit = 2.0**-23 * K + (2.0**-10 if precision == "tf32" else 0)
    rounding = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11, torch.float32: 2.0**-24}[dtype]
    assert ((product - exact).abs() <= unit * size + rounding * exact.abs() + 1e-6).all()
    if precision == "tf32x3":  # and near to what fp32 gives: a twentieth of what plain tf32 loses
        plain = matmul(a, w.t(), precision="tf32").double()
        assert (product - exact).norm() < (plain - exact).norm() / 20


def test_offsets_beyond_2_to_the_31():
    row, w = normal(3, 4096), normal(128, 4096, seed=1)
    a = torch.zeros(600_000, 4096, dtype=torch.bfloat16, device=CUDA)  # 2.4e9 elements
    a[-3:] = row
    assert same(matmul(a, w.t())[-3:], matmul(row, w.t()))
    del a
    small, wide = normal(20_000, 64, seed=2), normal(120_000, 64, seed=3)  # 2.4e9 results
    assert same(matmul(small, wide.t())[-1:], matmul(small[-1:], wide.t()))


def test_a_captured_graph_replays_the_same_bytes():
    w = normal(4096, 4096, seed=1)
    for M in (1, 16, 64, 256, 2048):
        a = normal(M, 4096)
        expected = matmul(a, w.t())
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = matmul(a, w.t())
        out.zero_()
        for _ in range(3):
            graph.replay()
        assert same(out, expected)


def test_early_launches_wait_for_what_they_read():
    """A chain of products, each reading the last one's result, launched back to back."""
    w = [normal(4096, 4096, seed=i) / 64 for i in range(4)]
    for M in (1, 16, 64):
        x = normal(M, 4096)
        step_by_step = x
        for weight in w * 5:
            step_by_step = matmul(step_by_step, weight.t())
            torch.cuda.synchronize()
        for _ in range(20):
            chained = x
            for weight in w * 5:
                chained = matmul(chained, weight.t())
            assert same(chained, step_by_step)


# ---- the controls ------------------------------------------------------------------------------------------------


def test_the_comparison_catches_cublas():
    a, w = normal(2048, 4096, dtype=torch.float32), normal(4096, 4096, dtype=torch.float32, seed=1)
    whole = torch.mm(a, w.t())
    assert not all(same(torch.mm(a[:M], w.t()), whole[:M]) for M in (1, 16, 64, 256, 1024))


def test_the_comparison_catches_a_tile_that_adds_otherwise():
    """tf32x3 adds the small parts of a whole step first, so that a tile with another BLOCK_K has other bits."""
    a, w = normal(16, 4096, dtype=torch.float32), normal(4096, 4096, dtype=torch.float32, seed=1)
    results = [torch.empty(1, 16, 4096, device=CUDA) for _ in range(2)]
    for tile, out in zip((Tile(16, 32, 32, 4, 3), Tile(16, 32, 128, 4, 3)), results, strict=True):
        launch(a[None], w.t()[None], out, tile, precision="tf32x3")
    assert not same(*results)


# ---- certificates ------------------------------------------------------------------------------------------------


def test_this_gpu_has_a_certificate_for_these_kernels():
    for dtype, precision in KINDS:
        held = certificate.holds(dtype, precision, torch.empty(0, device=CUDA).device)
        assert held, f"none for {dtype} {precision}: make one with python -m courselib.kernels certify"


def test_without_a_certificate_one_tile_serves_every_m_and_that_is_said_once(monkeypatch, capsys, tmp_path):
    a, w = normal(512, 1024), normal(512, 1024, seed=1)
    with_one = matmul(a, w.t())
    assert len({name for M in (1, 64, 512) for name in heard(lambda M=M: matmul(a[:M], w.t()))}) > 1
    certificate._covered.cache_clear()
    monkeypatch.setattr(certificate, "SHIPPED", tmp_path)
    monkeypatch.setenv("COURSELIB_CACHE", str(tmp_path / "none"))
    try:
        names = {name for M in (1, 64, 512) for name in heard(lambda M=M: matmul(a[:M], w.t()))}
        assert names == {f"triton {FIXED[2]}"}
        assert same(matmul(a, w.t()), with_one)
        said = capsys.readouterr().err
        assert said.count("no certificate") == 1
        assert "python -m courselib.kernels certify" in said
    finally:
        certificate._covered.cache_clear()


@pytest.mark.parametrize("field", ["device", "triton", "kernels"])
def test_a_certificate_for_something_else_does_not_count(monkeypatch, tmp_path, field):
    device = torch.empty(0, device=CUDA).device
    document = {"format": certificate.FORMAT, **certificate.identity(device), "kinds": []}
    tiles = [str(tile) for tile in candidates(2, "ieee", gpu(device))]
    document["kinds"] = [{"dtype": "bfloat16", "precision": "ieee", "equal": tiles}]
    monkeypatch.setattr(certificate, "SHIPPED", tmp_path)
    monkeypatch.setenv("COURSELIB_CACHE", str(tmp_path / "none"))
    try:
        for change, counts in (({}, True), ({field: "another"}, False)):
            (tmp_path / "one.json").write_text(json.dumps(document | change))
            certificate._covered.cache_clear()
            assert certificate.holds(torch.bfloat16, "ieee", device) is counts
    finally:
        certificate._covered.cache_clear()
