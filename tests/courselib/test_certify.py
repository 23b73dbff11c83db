"""`python -m courselib.kernels certify`: what it says without a GPU, and where it writes what it measures on one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from courselib.kernels.__main__ import main

HERE = {"device": "NVIDIA X1 80GB", "triton": "3.6.0", "kernels": "0" * 64}
KIND = {
    "dtype": "bfloat16", "precision": "ieee", "equal": ["64x64x32"], "differing": {}, "outputs_compared": 3000,
    "outputs_compared_over_m": 2000, "outputs_differing_over_m": 0,
}  # fmt: skip


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A GPU that is not there, and what was measured on it."""
    from courselib.kernels.triton import certificate, runtime

    found: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(runtime, "INTERPRETED", False)
    monkeypatch.setattr(certificate, "identity", lambda device: HERE)
    monkeypatch.setattr(
        certificate, "make", lambda device, progress: (found.append(str(device)), {**HERE, "kinds": [KIND]})[1]
    )
    return found


def test_without_a_gpu_it_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = CliRunner().invoke(main, ["certify"])
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert "CUDA GPU" in result.output


def test_the_interpreter_is_refused(measured: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from courselib.kernels.triton import runtime

    monkeypatch.setattr(runtime, "INTERPRETED", True)
    result = CliRunner().invoke(main, ["certify"])
    assert (result.exit_code, measured) == (2, [])
    assert "TRITON_INTERPRET is set" in result.output


def test_it_is_kept_where_the_product_looks(
    measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from courselib.kernels.triton import certificate

    monkeypatch.setenv("COURSELIB_CACHE", str(tmp_path))
    result = CliRunner().invoke(main, ["certify"])
    assert (result.exit_code, measured) == (0, ["cuda:0"])
    (path,) = certificate.user_folder().glob("*.json")
    assert path.name == "nvidia-x1-80gb-triton-3-6-0.json"
    assert json.loads(path.read_text())["kinds"] == [KIND]
    assert "bfloat16 ieee: 1 tiles agree; 0 of 5,000 outputs differ" in result.output


def test_a_place_that_cannot_be_written_is_named_before_anything_is_measured(
    measured: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(main, ["certify", "--out", str(tmp_path / "file" / "certificate.json")])
    assert (result.exit_code, measured) == (2, [])
    assert f"Nothing can be written in {tmp_path / 'file'}" in result.output
