"""Before anything imports Triton: on a machine without a GPU its kernels run in its interpreter.

Triton is made for Linux only. Elsewhere the tests of what stands on it are left out, and pytest's first lines say so.
"""

import os
from importlib.util import find_spec

import torch

ON_TRITON = [
    "benchmarks/test_peers.py",
    "checker/lab05",
    "courselib/test_certify.py",
    "courselib/test_triton_attention.py",
    "courselib/test_triton_matmul.py",
    "courselib/test_triton_rows.py",
    "courselib/test_triton_runtime.py",
    "gpu",
]
collect_ignore = [] if find_spec("triton") else ON_TRITON

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_report_header() -> str | None:
    if collect_ignore:
        return "Triton is not installed (it is made for Linux only); left out: " + ", ".join(collect_ignore)
    return None
