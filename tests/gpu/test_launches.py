"""A kernel that is launched again runs in the compiled form that its arguments need, on the stream that is current."""

from __future__ import annotations

import pytest
import torch

from courselib import bits
from courselib.kernels.triton import attention, launches, matmul, reduce, softmax
from courselib.kernels.triton.launches import Launcher
from courselib.kernels.triton.runtime import tl, triton

pytestmark = pytest.mark.gpu


@triton.jit(do_not_specialize=["n"])
def _scaled(x, y, n, factor, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n) * factor, mask=at < n)


def test_each_kind_of_launch_is_compiled_once_and_right_each_time():
    launch = Launcher(_scaled)
    memory = torch.arange(4097, dtype=torch.float32, device="cuda")
    kinds = [
        (start, dtype, n) for start in (0, 1, 4) for dtype in (torch.float32, torch.bfloat16) for n in (1, 16, 999)
    ]
    for _ in range(3):
        for start, dtype, n in kinds:
            x = memory.to(dtype)[start : start + n]
            y = torch.full_like(x, -1)
            launch(triton.cdiv(n, 128), (x, y), (n, 2.0, 128), num_warps=1)
            assert bits.equal(y, x * 2)
    assert len(launch._compiled) == len({(d, n, (s * d.itemsize) % 16 == 0) for s, d, n in kinds})


def test_no_more_are_kept_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(launches, "KEPT", 2)
    launch = Launcher(_scaled)
    x = torch.arange(64, dtype=torch.float32, device="cuda")
    for n in range(1, 9):
        y = torch.zeros_like(x)
        launch(1, (x, y), (n, 2.0, 64), num_warps=1)
        assert bits.equal(y[:n], x[:n] * 2)
        assert len(launch._compiled) <= 2


def test_a_profilers_hook_sees_every_launch():
    launch, seen = Launcher(_scaled), []
    hook = lambda metadata: seen.append(metadata.get()["name"])  # noqa: E731
    x = torch.ones(64, device="cuda")
    triton.knobs.runtime.launch_enter_hook.add(hook)
    try:
        for _ in range(3):
            launch(1, (x, torch.empty_like(x)), (64, 2.0, 64), num_warps=1)
    finally:
        triton.knobs.runtime.launch_enter_hook.remove(hook)
    assert seen == ["_scaled"] * 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_strides_and_addresses_that_change_between_launches(dtype):
    # Each answer from fresh contiguous tensors, then the same numbers where they lie awkwardly, all interleaved.
    g = torch.Generator("cuda").manual_seed(0)
    n = lambda *shape: torch.randn(*shape, generator=g, device="cuda").to(dtype)  # noqa: E731
    a, w, q, k = n(5, 192), n(96, 192), n(2, 4, 3, 64), n(2, 2, 70, 64)
    odd = lambda x: torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)  # noqa: E731  one element off 16 bytes
    wide = lambda x: torch.cat([x, x], -1)[..., : x.shape[-1]]  # noqa: E731  rows farther apart
    operations = {
        "matmul": (lambda a, w: matmul(a, w.t()), (a, w)),
        "attention": (lambda q, k: attention(q, k, k, causal=False)[0], (q, k)),
        "softmax": (softmax, (a,)),
        "reduce": (lambda a: reduce(a, "sum"), (a,)),
    }
    for name, (operation, inputs) in operations.items():
        right = operation(*inputs)
        for _ in range(2):
            for lay in (torch.clone, odd, wide, lambda x: odd(wide(x).contiguous())):
                assert bits.equal(right, operation(*map(lay, inputs))), name


def test_the_current_stream_is_the_one():
    x, y = torch.ones(1 << 20, device="cuda"), torch.zeros(1 << 20, device="cuda")
    launch = Launcher(_scaled)
    run = lambda: launch(1 << 13, (x, y), (1 << 20, 2.0, 128), num_warps=1)  # noqa: E731
    run()
    y.zero_()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()  # captured, not run
    assert not y.any()
    graph.replay()
    assert bool((y == 2).all())
