"""A run on a GPU keeps what it measured: saved as it grows, honest about what is missing, shown in lines."""

import importlib
import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from rich.console import Console

from benchmarks import gpu, machine, record
from benchmarks.schema import Count, Floor, Row, Tally, load
from benchmarks.show import show

NAMES = ["matmul", "reductions", "model"]


@pytest.fixture
def new(tmp_path: Path) -> record.Record:
    return record.Record("matmul", tmp_path / "results" / "matmul-gpu.json", False, "A GPU")


def cell(m: int) -> Row:
    floor = Floor.of("µs", 30_000_000, 3e12)
    times = {"triton": [20e-6, 20e-6], "torch.mm": [25e-6, 25e-6]}
    return gpu.row("matmul bf16", "µs", times, {"M": m, "tile": "64x64"}, ["torch.mm / triton"], floor)


def test_a_row_is_on_disk_at_once_and_marked_incomplete(new: record.Record) -> None:
    new.add(cell(1))
    stored = load(new.path)
    assert stored.rows == [cell(1)]
    assert stored.notes == ["incomplete: not yet at its end"]
    assert stored.device.gpu == "A GPU"


def test_only_a_whole_run_is_complete(new: record.Record) -> None:
    record.run(new, {"a": lambda r: r.add(cell(1)), "b": lambda r: r.add("a note")})
    assert load(new.path).notes == ["complete", "a note"]


def test_what_fails_is_named_and_the_rest_still_runs(new: record.Record, capsys: pytest.CaptureFixture[str]) -> None:
    def failing(r: record.Record) -> None:
        for m in r.track([1, 2, 3], "cells"):
            with r.attempt(f"M={m}"):
                if m == 2:
                    raise RuntimeError("out of memory\nand a long trace")
                r.add(cell(m))
        raise ValueError("no summary")

    record.run(new, {"failing": failing, "next": lambda r: r.add(cell(4))})
    stored = load(new.path)
    assert [row.settings["M"] for row in stored.rows] == [1, 3, 4]
    assert stored.notes == [
        "incomplete",
        "not measured: M=2: RuntimeError: out of memory",
        "not measured: failing: ValueError: no summary",
    ]
    assert "failing: 2 rows, 0 counts" in capsys.readouterr().err


def test_a_run_out_of_time_says_what_it_left(new: record.Record, monkeypatch: pytest.MonkeyPatch) -> None:
    def cells(r: record.Record) -> None:
        for m in r.track([1, 2, 3], "cells"):
            monkeypatch.setattr(record, "LIMIT", 0.0 if m == 2 else 1e9)

    monkeypatch.setattr(record, "LIMIT", 1e9)
    assert record.run(new, {"cells": cells}).notes == [
        "incomplete", "not measured: cells: 1 of 3, for the time limit of 0 s",
    ]  # fmt: skip


def test_a_gpus_rows_are_shown_in_lines_of_one_table(new: record.Record) -> None:
    tally = {"1 of 8,192": Tally(differing=3, compared=4096)}
    new.add(cell(1), cell(8192), Count(name="rows", peer="torch.mm", settings={"N": 4096}, tallies=tally))
    console = Console(width=180, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        show(new.result(done=True), console)
        text = console.export_text()
    assert text.count("matmul bf16, µs") == 1
    line = next(line for line in text.splitlines() if line.strip().startswith("8,192"))
    assert line.split() == ["8,192", "64x64", "20", "25", "1.250", "(1.250", "to", "1.250)", "10", "50%"]
    assert "3 of 4,096" in text
    assert "A GPU" in text


@pytest.mark.parametrize("name", NAMES)
def test_without_a_gpu_it_says_so_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    main = importlib.import_module(f"benchmarks.{name}").main
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run = CliRunner().invoke(main, [])
    assert run.exit_code == 2
    assert run.output == f"benchmarks.{name} times a CUDA GPU, and PyTorch finds none here.\n"
    usage = CliRunner().invoke(main, ["--help"])
    assert usage.exit_code == 0
    assert all(option in usage.output for option in ("--quick", "--only", "--out"))


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch, "manual_seed", lambda seed: None)
    monkeypatch.setattr(record, "ceilings", lambda r: None)


@pytest.mark.usefixtures("found")
def test_chosen_blocks_run_and_are_not_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main = record.command("matmul", "About.", {m: lambda r, m=m: r.add(cell(int(m))) for m in ("1", "2", "3")})
    run = CliRunner().invoke(main, ["--only", "3", "--only", "1"])
    assert run.exit_code == 0, run.output
    saved = tmp_path / "build" / "benchmarks" / "matmul-nvidia-h100-80gb-hbm3.json"
    assert [row.settings["M"] for row in load(saved).rows] == [1, 3]
    assert load(saved).notes == ["complete", "only these blocks: 1, 3"]
    failing = record.command("matmul", "About.", {"a": lambda r: r.add(str(1 / 0))})
    assert CliRunner().invoke(failing, ["--quick"]).exit_code == 1
    assert CliRunner().invoke(main, ["--only", "bf17"]).exit_code == 2


def test_a_save_that_is_cut_short_leaves_the_one_before(new: record.Record, monkeypatch: pytest.MonkeyPatch) -> None:
    new.add(cell(1))

    def half(self: Path, text: str, encoding: str) -> int:
        self.write_bytes(text[: len(text) // 2].encode())
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(KeyboardInterrupt):
        new.add(cell(2))
    assert len(json.loads(new.path.read_text())["rows"]) == 1


def test_the_driver_is_none_where_there_is_no_nvidia_smi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert machine.driver() is None
