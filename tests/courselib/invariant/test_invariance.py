"""Every family of ops: a row alone and in company, its values and its gradient, byte by byte.

The controls: with the mode off PyTorch's own linear fails this test on the CPU, and where it has vector code silu and
sigmoid do; and each case fails it on primitives that move one bit where there is more than one row.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from courselib.generate import generate
from courselib.invariant import (
    activations,
    assert_batch_invariant,
    attention,
    matmul,
    norms,
    reductions,
    set_batch_invariant_mode,
    softmax,
    support,
)
from courselib.kernels import use_ops
from courselib.minigpt import Config, MiniGPT
from courselib.trace import Trace, first_divergence

D = 517  # no power of two, and more than one block of anything
POPULATIONS = (2, 5, 33)


def noise(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


W = noise(D, 40, seed=1)


def with_gradient(fn):
    """The values, and the gradient of each row's input: a row's loss is its own, so the gradient is too."""

    def run(*rows):
        leaves = [x.clone().requires_grad_() for x in rows]
        with torch.enable_grad():
            y = fn(*leaves)
            # Weights that differ from element to element, and not from row to row.
            g = torch.linspace(-1, 1, max(y[0].numel(), 1)).reshape(y[:1].shape).to(y.dtype)
            grads = torch.autograd.grad(y, leaves, g.expand_as(y))
        return y.detach(), *grads

    return run


CASES = {
    "mm": (lambda x: x @ W.to(x.dtype), [(D,)]),
    "addmm": (lambda x: F.linear(x, W.t().to(x.dtype), W[0].to(x.dtype)), [(D,)]),
    "bmm": (torch.bmm, [(1, D), (D, 3)]),
    "baddbmm": (lambda a, b: torch.baddbmm(W[:1, :3].to(a.dtype), a, b, alpha=0.3), [(1, D), (D, 3)]),
    "mv": (lambda x: x @ W[:, 0].to(x.dtype), [(D,)]),
    "softmax": (lambda x: x.softmax(-1), [(D,)]),
    "log_softmax": (lambda x: x.log_softmax(-1), [(D,)]),
    "logsumexp": (lambda x: x.logsumexp(-1), [(D,)]),
    "sum": (lambda x: x.sum(1), [(D,)]),
    "sum, two dims": (lambda x: x.sum((1, 3)), [(3, 1, D)]),
    "mean": (lambda x: x.mean(1), [(D, 2)]),
    "var": (lambda x: x.var(1), [(D,)]),
    "vector_norm": (lambda x: torch.linalg.vector_norm(x, dim=1), [(D,)]),
    "layer_norm": (lambda x: F.layer_norm(x, (D,), W[:, 0].to(x.dtype), W[:, 1].to(x.dtype)), [(D,)]),
    "rms_norm": (lambda x: F.rms_norm(x, (D,), W[:, 0].to(x.dtype)), [(D,)]),
    "silu": (F.silu, [(D,)]),
    "sigmoid": (torch.sigmoid, [(D,)]),
    "gelu": (F.gelu, [(D,)]),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), [(D,)]),
    "attention": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v), [(1, 5, 16), (1, 37, 16), (1, 37, 16)]),
    "causal attention": (lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), [(1, 19, 16)]),
}
# The gradient of gelu's erf form takes torch.erf and torch.exp, the norms' and attention's come from primitives.
NO_PRIMITIVE = {"gelu"}


def inputs(shapes, dtype):
    return tuple(noise(3, *shape, dtype=dtype, seed=i) for i, shape in enumerate(shapes))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_alone_and_in_company(name, dtype):
    fn, shapes = CASES[name]
    with set_batch_invariant_mode():
        assert_batch_invariant(with_gradient(fn), inputs(shapes, dtype), populations=POPULATIONS)


@pytest.mark.parametrize("name", ["softmax", "sum", "mean", "mm", "layer_norm", "attention"])
def test_float64(name):
    fn, shapes = CASES[name]
    with set_batch_invariant_mode():
        assert_batch_invariant(fn, inputs(shapes, torch.float64), populations=(5,), neighbours=("rows", "nan"))


VECTOR_CODE = torch.backends.cpu.get_cpu_capability().startswith("AVX")


@pytest.mark.parametrize("name", ["mm", "addmm", *(["silu", "sigmoid"] if VECTOR_CODE else [])])
def test_the_control_pytorchs_own_kernels_fail(name):
    fn, shapes = CASES[name]
    with pytest.raises(AssertionError, match=r"row \d alone and at position \d+ of \d+, neighbours: .* differ"):
        assert_batch_invariant(fn, inputs(shapes, torch.float32), populations=POPULATIONS, neighbours=("rows",))


@pytest.mark.parametrize("name", sorted(CASES.keys() - NO_PRIMITIVE))
def test_the_control_one_bit_moved_is_seen(name, monkeypatch):
    own = support.primitives(W)

    def moved(function):
        def run(x, *args, **kwargs):
            found = function(x, *args, **kwargs)
            if x.shape[0] == 1:
                return found
            several = found if isinstance(found, tuple) else (found,)
            shifted = tuple(torch.nextafter(y, torch.full_like(y, torch.inf)) for y in several)
            return shifted if isinstance(found, tuple) else shifted[0]

        return run

    names = "matmul softmax log_softmax logsumexp reduce rms_norm layer_norm attention silu sigmoid".split()  # noqa: SIM905
    variant = SimpleNamespace(**{n: moved(getattr(own, n)) for n in names})
    for family in (activations, attention, matmul, norms, reductions, softmax):
        monkeypatch.setattr(family, "primitives", lambda x: variant)
    fn, shapes = CASES[name]
    with set_batch_invariant_mode(), pytest.raises(AssertionError, match="differ"):
        assert_batch_invariant(fn, inputs(shapes, torch.float32), populations=(2,), neighbours=("rows",))


def test_padding_moves_no_bit_of_attention():
    def attend(q, k, v, seen):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen)

    def padded(side, n, value):
        def pad(q, k, v, seen):
            width = (n, 0) if side == "left" else (0, n)
            slots = [F.pad(x, (0, 0, *width), value=value) for x in (k, v)]
            return (q, *slots, F.pad(seen, width, value=False)), lambda y: y

        return pad

    T, S = 3, 21
    seen = torch.ones(3, 1, T, S, dtype=torch.bool).tril(S - T)
    rows = (*inputs([(2, T, 16), (2, S, 16), (2, S, 16)], torch.float32), seen)
    pads = [padded(side, n, value) for side in ("left", "right") for n in (1, 7, 16) for value in (0.0, torch.nan)]
    with set_batch_invariant_mode():
        assert_batch_invariant(attend, rows, populations=(4,), neighbours=("rows",), padding=pads)
    finite = [padded("left", 7, 0.0)]
    with pytest.raises(AssertionError, match="padding 0"):
        assert_batch_invariant(attend, rows, populations=(1,), neighbours=("rows",), padding=finite)


def test_threads_of_pytorch_change_nothing():
    x = noise(300, D)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with set_batch_invariant_mode():
                found.append((x @ W, x.softmax(-1), x.sum(1)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("ops", ["fixed", "fixed-torch"])
def test_the_librarys_own_model_keeps_its_bytes(ops):
    torch.manual_seed(0)
    model = MiniGPT(Config(vocab_size=50, n_layers=2, dim=32, ff_dim=48)).eval()

    def run():
        trace = Trace()
        generate([[1, 2, 3, 4], [5], [6, 7]], 6, temperature=0, model=model, trace=trace)
        return trace

    with use_ops(ops):
        off = run()
        with set_batch_invariant_mode():
            on = run()
    assert first_divergence(off, on) is None
