"""The peers that are timed against each other compute the same thing: on small inputs, in Triton's interpreter."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks import gpu, matmul, reductions
from benchmarks.record import Record
from courselib import bits

# bfloat16 keeps 8 bits: a result rounded once is within 2**-8 of another, and norms multiply by a rounded weight.
CLOSE = {"rtol": 2**-6, "atol": 2**-6}
NORM_PEERS = reductions.norm_peers


def numbers(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).to(dtype)


SUMS = [f"{kind}, {over}" for kind in ("sum", "mean") for over in ("dim -1", "dim 0", "all")]


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp", *SUMS, "rms_norm", "layer_norm"])
def test_reductions(name: str) -> None:
    weight, bias = numbers(2, 64)
    tables = reductions.softmax_peers() | reductions.sum_peers() | reductions.norm_peers(64, weight, bias)
    assert len(tables) == 11
    x = numbers(5, 64)
    ours, theirs = tables[name]["triton"](x), tables[name]["torch"](x)
    assert isinstance(ours, Tensor)
    assert isinstance(theirs, Tensor)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    torch.testing.assert_close(ours.flatten(), theirs.flatten(), **CLOSE)


def test_products_take_a_linears_weight() -> None:
    x, w = (numbers(n, 32, dtype=torch.float16) for n in (5, 16))
    torch.testing.assert_close(matmul.triton_product()(x, w), matmul.torch_product(x, w), **CLOSE)
    assert matmul.torch_product(x, w).shape == (5, 16)


def test_what_answers_row_by_row_is_what_the_bits_are_counted_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reductions, "random", numbers)
    cells = [(name, d) for name, _, d in reductions.rowwise()]
    assert len(cells) == len(set(cells)) == 3 * 3 + 2 * 2 + 2 * 4
    assert not any("dim 0" in name or "all" in name for name, _ in cells)


def test_bytes_that_a_product_must_move() -> None:
    assert matmul.moved(1, 4096, 4096, 2) == 2 * (4096 + 4096 * 4096 + 4096)


def test_errors_are_relative_to_the_products_root_mean_square() -> None:
    exact = torch.tensor([[3.0, -4.0]], dtype=torch.float64)  # root mean square sqrt(12.5)
    rms, largest = matmul.errors(torch.tensor([[3.0, -4.5]]), exact)
    assert math.isclose(rms, math.sqrt(0.125 / 12.5))
    assert math.isclose(largest, 0.5 / math.sqrt(12.5))


def test_error_rows_tell_a_coarse_product_from_a_fine_one() -> None:
    x, w = numbers(4, 64, dtype=torch.float32), numbers(8, 64, dtype=torch.float32)
    coarse = lambda x, w: matmul.torch_product(x.bfloat16(), w.bfloat16()).float()  # noqa: E731
    rows = matmul.error_rows(x, [w, w + 1, w - 1], {"fine": matmul.torch_product, "coarse": coarse})
    assert [row.name for row in rows] == ["matmul fp32, root mean square error", "matmul fp32, largest error"]
    for row in rows:
        assert row.values["fine"].repeats == 3
        assert row.values["fine"].median < 1e-6 < 1e-3 < row.values["coarse"].median
        assert row.settings == {"M": 4, "N": 8, "K": 64}


def test_a_negated_input_stays_apart_from_the_product() -> None:
    x, w = numbers(3, 32), numbers(16, 32)
    assert bits.equal(matmul.torch_product(torch.neg(x), w), -matmul.torch_product(x, w))


@pytest.fixture
def record(tmp_path: Path) -> Record:
    new = Record("test", tmp_path / "test.json", True, "none")
    new.ceilings = gpu.Ceilings(copy=3e12, read=2e12, rates={"bf16": 600e12, "fp16": 600e12, "fp32": 50e12})
    return new


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize("block", ["bf16", "fp16", "fp32", "apart"])
def test_every_block_of_matmul_runs(block: str, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul, "SHAPES", [(32, 48)] * 5)
    getattr(matmul, block)(record)
    assert record.missing == []
    timed = [row for row in record.rows if row.floor]
    assert timed
    assert all(str(row.settings["tile"]).startswith("triton") for row in timed)
    assert any("geometric mean 1." in note for note in record.notes)
    counted = {count.peer for count in record.counts}  # what the kernels' own tests prove is not proved again here
    assert counted == (set() if block == "apart" else set(timed[0].values))


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize("block", ["softmax", "sums", "norms", "bits"])
def test_every_block_of_reductions_runs(block: str, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reductions, "VOCABULARIES", [80])
    monkeypatch.setattr(reductions, "random", lambda rows, d: numbers(min(rows, 256), min(d, 128)))
    monkeypatch.setattr(reductions, "norm_peers", lambda d, w, b: NORM_PEERS(min(d, 128), w, b))
    getattr(reductions, block)(record)
    assert record.missing == []
    assert record.rows or record.counts
    assert all(row.floor for row in record.rows)
    assert {count.peer for count in record.counts} == ({"triton", "torch"} if block == "bits" else set())
    if block == "norms":
        assert any("is absent here" in note for note in record.notes)
