"""Compile every kernel that some kernels files launch, for GPUs that need not be there.

    python compile_offline.py FILE...

Run by test_compiles in a process of its own, with TRITON_INTERPRET=0: kernels are then compiled, not interpreted. Each
launch is answered by compiling with that launch's arguments, so the launchers themselves say which kernels there are.
Prints each kernel's name; stops with Triton's error at the first that does not compile.
"""

import importlib.util
import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

TARGETS = [GPUTarget("cuda", capability, 32) for capability in (75, 90)]  # Colab's T4, and Hopper
POINTERS = {torch.float32: "*fp32", torch.float16: "*fp16"}
compiled = set()


def compile_instead(kernel, *arguments, **options):
    """Stands in for JITFunction.run. Pointers and integers are specialised as a launch does it."""
    signature, constants, attributes = {}, {}, {}
    for p, value in zip(kernel.params, arguments, strict=True):
        by_value = not (p.is_constexpr or p.do_not_specialize or torch.is_tensor(value))
        if p.is_constexpr or (by_value and value == 1):
            signature[p.name], constants[(p.num,)] = "constexpr", value
            continue
        signature[p.name] = POINTERS[value.dtype] if torch.is_tensor(value) else "i32"
        if torch.is_tensor(value) or (by_value and value % 16 == 0):
            attributes[(p.num,)] = [["tt.divisibility", 16]]
    key = kernel, str((signature, constants, attributes))
    if key not in compiled:
        compiled.add(key)
        for target in TARGETS:
            triton.compile(ASTSource(kernel, signature, constants, attributes), target=target)
        print(kernel.fn.__name__, flush=True)


def load(path):
    spec = importlib.util.spec_from_file_location("kernels_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    JITFunction.run = compile_instead
    torch.cuda.is_available = lambda: True  # or the files would ask for the interpreter
    for path in sys.argv[1:]:
        kernels = load(path)
        for rows in (1, 33):  # planted kernels look at their number
            kernels.matmul(torch.zeros(rows, 70), torch.zeros(70, 37))
            kernels.log_softmax(torch.zeros(rows, 100), -1)
            kernels.mean(torch.zeros(rows, 100), -1, False)
