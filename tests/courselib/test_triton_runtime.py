"""Where the Triton kernels run without a GPU, and what is said when that can no longer be chosen."""

import os
import subprocess
import sys

import pytest
import torch


def python(code, **environment):
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**kept, **environment})


def test_without_a_gpu_the_interpreter_is_chosen():
    run = python("from courselib.kernels.triton import runtime; print(runtime.INTERPRETED)", CUDA_VISIBLE_DEVICES="")
    assert run.stdout == "True\n", run.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU there is nothing to choose")
def test_triton_loaded_too_early_is_told_in_one_line():
    run = python("import triton; import courselib.kernels.triton")
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert "import courselib.kernels.triton earlier, or start Python with TRITON_INTERPRET=1" in last
    run = python("import triton; import courselib.kernels.triton", TRITON_INTERPRET="1")
    assert run.returncode == 0, run.stderr
