"""How far decode is from what the machine could do: the same step, with less and less in it.

A step must read every weight once, whatever the batch, and each sequence's earlier K and V rows; and for each weight it
must multiply and add once a sequence, for each number of a row once for every query head that shares it. Two loops in
C (floor.c) do that much reading and nothing else, and that much arithmetic and nothing else, on one thread and over a
buffer of that very size. Between them and the whole step stand the matrix products alone. The rest is attention, the
small operations, and what Python takes to call them all.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from courselib.generate import generate
from courselib.kernels import use_ops
from courselib.kernels.cpu import fixed_c
from courselib.kernels.cpu.build import FLAGS, NoCompilerError, find_compiler
from courselib.minigpt import MiniGPT

from .race import Peers, Tick, race
from .schema import Row

STEPS = 256
PEERS = 4


def run(model: MiniGPT, batch: int, rounds: int, tick: Tick) -> Row:
    """One decode step of `batch` sequences, as steps a second; ticks (rounds + 1) * PEERS times.

    Raises NoCompilerError where floor.c cannot be built.
    """
    c, library = model.config, build()
    weights = products(model)
    held = STEPS // 2  # slots a sequence holds, on average over the steps
    in_rows = batch * held * c.n_layers * 2 * c.n_kv_heads * c.head_dim  # numbers in the K and V rows that are read
    in_weights = sum(w.numel() for w in weights)
    multiply_adds = batch * in_weights + in_rows * (c.n_heads // c.n_kv_heads)
    numbers = torch.zeros(in_weights + in_rows)
    inputs = [torch.randn(batch, w.shape[0]) for w in weights]
    peers: Peers = {
        "whole step": partial(_steps, model, batch),
        "matrix products alone": partial(_products, inputs, weights),
        "reading alone": partial(library.read_floats, numbers.data_ptr(), numbers.numel(), STEPS),
        "arithmetic alone": partial(library.multiply_add, STEPS * multiply_adds),
    }
    settings: dict[str, int | str] = {
        "B": batch, "threads": 1, "bytes read": 4 * numbers.numel(), "multiply-adds": multiply_adds,
    }  # fmt: skip
    return race("one decode step", peers, rounds, settings, STEPS, "steps/s", tick)


def rates(row: Row) -> str:
    """The speeds behind a row's limits, as a sentence."""
    size, operations = (float(row.settings[name]) for name in ("bytes read", "multiply-adds"))
    read = size * row.values["reading alone"].median / 1e9
    computed = operations * row.values["arithmetic alone"].median / 1e9
    return f"one thread reads {read:.0f} GB/s of a {size / 1e6:.1f} MB buffer and does {computed:.0f} G multiply-adds/s"


def build() -> ctypes.CDLL:
    """floor.c, compiled as the kernels are (so multiplications and additions stay apart)."""
    compiler = find_compiler()
    if compiler is None:
        raise NoCompilerError("no C compiler found")
    source = Path(__file__).with_name("floor.c")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "floor.so"
        for native in (["-march=native"], []):  # some compilers for ARM know no -march=native
            command = [compiler, *FLAGS, *native, str(source), "-o", str(out)]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode == 0:
                break
        else:
            raise NoCompilerError(f"{compiler} could not build {source.name}: {result.stderr.strip()[:300]}")
        library = ctypes.CDLL(str(out))
    library.read_floats.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
    library.multiply_add.argtypes = [ctypes.c_int64]
    library.read_floats.restype = library.multiply_add.restype = ctypes.c_float
    return library


def products(model: MiniGPT) -> list[Tensor]:
    """Every matrix (in, out) that a step multiplies by, in order."""
    blocks: Any = model.blocks  # for mypy they are no more than modules
    layers = [w for block in blocks for w in (block.w_qkv, block.w_o, block.w_up, block.w_down)]
    return [*layers, model.embed.t() if model.head is None else model.head]


def _steps(model: MiniGPT, batch: int) -> None:
    with use_ops("fixed-c"):
        generate([[1]] * batch, STEPS, temperature=0, model=model)


def _products(inputs: list[Tensor], weights: list[Tensor]) -> None:
    with torch.no_grad():
        for _ in range(STEPS):
            for x, w in zip(inputs, weights, strict=True):
                fixed_c.linear(x, w)
