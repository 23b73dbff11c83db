"""The bytes of lab 02's prompts are the ones written down, on this machine too; and stock ops are not held to it."""

import torch

from benchmarks.same_bytes import KERNELS_DIGEST, PROMPTS_SHA256, kernels_digest, prompts_digest
from courselib.kernels.cpu.build import find_compiler


def test_fifty_prompts_give_the_bytes_written_down() -> None:
    torch.set_num_threads(1)
    assert prompts_digest() == PROMPTS_SHA256


def test_negative_control_stock_ops_give_others() -> None:
    assert prompts_digest("stock") != PROMPTS_SHA256


def test_the_driver_gives_its_digest_unoptimised_and_optimised() -> None:
    compiler = find_compiler()
    assert compiler is not None, "CI and `make test` need a C compiler"
    assert kernels_digest(compiler, ["-O0"]) == kernels_digest(compiler, ["-O3", "-march=native"]) == KERNELS_DIGEST
