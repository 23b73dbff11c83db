"""The mode on a GPU: every family of ops alone and in company, its gradients, its coverage, and CUDA graphs."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from courselib import bits
from courselib.invariant import assert_batch_invariant, audit_batch_invariance, set_batch_invariant_mode

pytestmark = pytest.mark.gpu

DTYPES = [torch.bfloat16, torch.float16, torch.float32]
D = 1100  # no power of two
FUSED = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION]


def noise(*shape, dtype=torch.float32, seed=0):
    """The same numbers on every device: drawn on the CPU."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype).cuda()


def with_gradient(fn):
    """The values, and the gradient of each row's input: a row's loss is its own, so the gradient is too."""

    def run(*rows):
        leaves = [x.clone().requires_grad_() for x in rows]
        with torch.enable_grad():
            y = fn(*leaves)
            g = torch.linspace(-1, 1, max(y[0].numel(), 1), device="cuda").reshape(y[:1].shape).to(y.dtype)
            grads = torch.autograd.grad(y, leaves, g.expand_as(y))
        return y.detach(), *grads

    return run


def weight(x, *shape, seed=1):
    return noise(*shape, dtype=x.dtype, seed=seed)


CASES = {
    "mm": (lambda x: x @ weight(x, D, 264), [(D,)]),
    "addmm": (lambda x: F.linear(x, weight(x, 264, D), weight(x, 264)), [(D,)]),
    "bmm": (torch.bmm, [(1, D), (D, 24)]),
    "baddbmm": (lambda a, b: torch.baddbmm(weight(a, 1, 1, 24), a, b, alpha=0.3), [(1, D), (D, 24)]),
    "mv": (lambda x: x @ weight(x, D), [(D,)]),
    "softmax": (lambda x: x.softmax(-1), [(D,)]),
    "softmax in float32": (lambda x: x.softmax(-1, dtype=torch.float32), [(D,)]),
    "log_softmax": (lambda x: x.log_softmax(-1), [(D,)]),
    "logsumexp": (lambda x: x.logsumexp(-1), [(D,)]),
    "sum": (lambda x: x.sum(1), [(D,)]),
    "sum, two dims": (lambda x: x.sum((1, 3)), [(3, 2, D)]),
    "mean": (lambda x: x.mean(1), [(D, 2)]),
    "var": (lambda x: x.var(1), [(D,)]),
    "vector_norm": (lambda x: torch.linalg.vector_norm(x, dim=1), [(D,)]),
    "layer_norm": (lambda x: F.layer_norm(x, (D,), weight(x, D), weight(x, D, seed=2)), [(D,)]),
    "rms_norm": (lambda x: F.rms_norm(x, (D,), weight(x, D)), [(D,)]),
    "rms_norm by hand": (lambda x: x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6).to(x.dtype), [(D,)]),
    "silu": (F.silu, [(D,)]),
    "gelu": (F.gelu, [(D,)]),
    "attention": (F.scaled_dot_product_attention, [(2, 5, 64), (2, 137, 64), (2, 137, 64)]),
    "causal": (lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), [(2, 70, 128)]),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_alone_and_in_company(name, dtype):
    fn, shapes = CASES[name]
    rows = tuple(noise(2, *shape, dtype=dtype, seed=i) for i, shape in enumerate(shapes))
    with set_batch_invariant_mode():
        assert_batch_invariant(with_gradient(fn), rows, populations=(2, 17, 130))


@pytest.mark.parametrize("fp32", ["ieee", "tf32x3", "tf32"])
def test_float32_products_in_each_precision(fp32):
    w = noise(D, 264, seed=1)
    with set_batch_invariant_mode(fp32=fp32):
        assert_batch_invariant(lambda x: x @ w, noise(2, D), populations=(2, 17, 130, 600))


def test_the_precisions_are_what_they_say():
    # |error| <= (K + 2) u sum|a||b| with u = 2^-24 (N. Higham, 3.5); TF32 rounds each input to 11 bits, two of 2^-11.
    a, b = noise(64, D), noise(D, 264, seed=1)
    exact, size = a.double() @ b.double(), a.double().abs() @ b.double().abs()
    errors = {}
    for fp32 in ("ieee", "tf32x3", "tf32"):
        with set_batch_invariant_mode(fp32=fp32):
            errors[fp32] = ((a @ b).double() - exact).abs() / size
    assert errors["ieee"].max() <= (D + 2) * 2.0**-24
    assert errors["tf32x3"].max() <= (D + 2) * 2.0**-24 + 2.0**-20
    assert errors["tf32"].max() <= (D + 2) * 2.0**-24 + 2 * 2.0**-11
    assert errors["tf32"].mean() > 10 * errors["ieee"].mean()  # so it is not one path under three names


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_control_pytorchs_own_products_fail(dtype):
    w = noise(4096, 4096, dtype=dtype, seed=1)
    with pytest.raises(AssertionError, match="alone and at position"):
        assert_batch_invariant(
            lambda x: x @ w, noise(2, 4096, dtype=dtype), populations=(2, 16, 64, 512, 2048), neighbours=("rows",)
        )


@pytest.mark.parametrize("backend", FUSED, ids=lambda b: b.name)
@pytest.mark.parametrize("causal", [False, True])
def test_each_attention_backend(backend, causal):
    q, k, v = (noise(2, 4, 70, 64, dtype=torch.bfloat16, seed=i).requires_grad_() for i in range(3))

    grad = noise(2, 4, 70, 64, seed=9)

    def run(*inputs, **kwargs):
        y = F.scaled_dot_product_attention(*inputs, is_causal=causal, **kwargs)
        return y, *torch.autograd.grad(y, inputs, grad.to(y.dtype))

    with sdpa_kernel(SDPBackend.MATH):
        exact = run(*[x.detach().double().requires_grad_() for x in (q, k, v)])
    with sdpa_kernel(backend), set_batch_invariant_mode(), audit_batch_invariance() as report:
        found = run(q, k, v)
    assert report.ok, str(report)
    assert any("scaled_dot_product" in op and "backward" not in op for op in report.covered)
    assert any("scaled_dot_product" in op and "backward" in op for op in report.covered)  # heard in autograd's thread
    for a, b in zip(found, exact, strict=True):
        # P, dS and the result are rounded to bfloat16 (2^-8 each way), gradients sum 70 such terms of order 0.1 to 1.
        torch.testing.assert_close(a.double(), b, rtol=2**-5, atol=2**-5)


@pytest.mark.parametrize("backend", FUSED[1:], ids=lambda b: b.name)  # flash takes no mask
@pytest.mark.parametrize("T", [1, 37])
def test_left_padding_through_each_attention_backend(backend, T):
    # A boolean mask reaches each backend as other numbers: -inf, or cuDNN's -65504.
    q, k, v = (noise(1, 8, n, 128, dtype=torch.bfloat16, seed=i) for i, n in enumerate((T, 37, 37)))
    with set_batch_invariant_mode():
        alone = F.scaled_dot_product_attention(q, k, v, is_causal=T > 1)
        for pad in (1, 16, 53, 100):
            mask = torch.ones(T, 37 + pad, dtype=torch.bool, device="cuda").tril(37 + pad - T)
            mask[:, :pad] = False
            filler = noise(1, 8, pad, 128, dtype=torch.bfloat16, seed=pad)
            with sdpa_kernel(backend):
                padded = F.scaled_dot_product_attention(
                    q, torch.cat([filler, k], 2), torch.cat([filler, v], 2), attn_mask=mask[None, None]
                )
            assert bits.equal(alone, padded), bits.report(alone, padded, ("alone", f"{pad} to the left"))


def test_attention_with_a_mask_and_its_gradient():
    q = noise(2, 4, 70, 64, dtype=torch.bfloat16).requires_grad_()
    bias = noise(1, 1, 70, 70, dtype=torch.bfloat16, seed=3).requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):
        y = F.scaled_dot_product_attention(*[q.double()] * 3, attn_mask=bias.double())
        exact = torch.autograd.grad(y.sum(), (q, bias))
    with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION), set_batch_invariant_mode():
        y = F.scaled_dot_product_attention(q, q, q, attn_mask=bias)
        found = torch.autograd.grad(y.sum(), (q, bias))
    for a, b in zip(found, exact, strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=2**-4, atol=2**-3)  # sums of 70 and of 8 rounded terms


def test_dropout_in_attention_is_refused():
    q = noise(1, 2, 16, 64, dtype=torch.bfloat16)
    refused = pytest.raises(RuntimeError, match=r"dropout_p=0.5 .* model.eval\(\)")
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION), set_batch_invariant_mode(), refused:
        F.scaled_dot_product_attention(q, q, q, dropout_p=0.5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_products_into_float32(dtype):
    a, b, c = noise(5, 64, dtype=dtype), noise(64, 24, dtype=dtype, seed=1), noise(5, 24, seed=2)
    with set_batch_invariant_mode(), audit_batch_invariance() as report:
        found = {
            "mm": torch.mm(a, b, out_dtype=torch.float32),
            "bmm": torch.bmm(a[None], b[None], out_dtype=torch.float32)[0],
            "addmm": torch.addmm(c, a, b, out_dtype=torch.float32) - c,
            "baddbmm": torch.baddbmm(c[None], a[None], b[None], out_dtype=torch.float32)[0] - c,
        }
    assert report.ok, str(report)
    exact = a.double() @ b.double()
    for y in found.values():
        assert y.dtype == torch.float32
        torch.testing.assert_close(y.double(), exact, rtol=1e-5, atol=1e-4)  # 66 u sum|a||b|, about 2e-4 at worst


def test_what_cuda_alone_has_is_covered():
    x, w = noise(4, 64, dtype=torch.bfloat16).requires_grad_(), noise(64, dtype=torch.bfloat16)
    with set_batch_invariant_mode(), audit_batch_invariance() as report:
        F.rms_norm(x, (64,), w, 1e-6).sum().backward()
    assert report.ok, str(report)
    exact = x.detach().double().requires_grad_()
    F.rms_norm(exact, (64,), w.double(), 1e-6).sum().backward()
    torch.testing.assert_close(x.grad.double(), exact.grad, rtol=2**-6, atol=2**-6)  # two roundings to bfloat16


def test_what_the_primitives_do_not_know_is_pytorchs_own_and_named():
    a = noise(4, 8, dtype=torch.float64)
    with set_batch_invariant_mode(), audit_batch_invariance() as report:
        found = a @ a.t()
        counted = (a > 0).sum()
    assert bits.equal(found, a @ a.t())
    assert torch.equal(counted, (a > 0).sum())
    assert list(report.uncovered) == ["mm"]


def block(x, w):
    q = F.linear(F.rms_norm(x, (256,), eps=1e-6), w).view(2, 33, 4, 64).transpose(1, 2)
    y = F.scaled_dot_product_attention(q, q, q, is_causal=True).transpose(1, 2).reshape(2, 33, 256)
    return (x + F.layer_norm(y, (256,))).log_softmax(-1), y.mean(), y.float().var(-1), y.logsumexp((0, 1))


def test_nothing_waits_for_the_device():
    x, w = noise(2, 33, 256, dtype=torch.bfloat16), noise(256, 256, dtype=torch.bfloat16, seed=1)
    with set_batch_invariant_mode():
        block(x, w)  # compiles
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Synchronization debug mode is a prototype")
            torch.cuda.set_sync_debug_mode("error")
        try:
            block(x, w)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_under_cuda_graph_capture():
    x, w = noise(2, 33, 256, dtype=torch.bfloat16), noise(256, 256, dtype=torch.bfloat16, seed=1)
    fresh = noise(2, 33, 256, dtype=torch.bfloat16, seed=5)
    with set_batch_invariant_mode():
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            block(x, w)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = block(x, w)
        expected = block(fresh, w)
    x.copy_(fresh)
    graph.replay()  # the graph holds the mode's kernels, whatever the mode is now
    assert all(bits.equal(a, b) for a, b in zip(captured, expected, strict=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Inductor's own imports
def test_a_function_compiled_by_inductor_runs_eagerly():
    f = torch.compile(lambda x: (x * 2).softmax(-1).sum(-1))
    x = noise(8, D)
    f(x)
    with set_batch_invariant_mode():
        assert bits.equal(f(x), (x * 2).softmax(-1).sum(-1))


def test_off_is_pytorchs_own_again():
    a, w = noise(64, 4096, dtype=torch.bfloat16), noise(4096, 4096, dtype=torch.bfloat16, seed=1)
    before = a @ w
    with set_batch_invariant_mode():
        a @ w
    assert bits.equal(a @ w, before)


def test_the_seeds_demonstration():
    # One row of a product against the same row of the whole: B, D = 2048, 4096.
    a = torch.linspace(-100, 100, 2048 * 4096, device="cuda").reshape(2048, 4096)
    b = torch.linspace(-100, 100, 4096 * 4096, device="cuda").reshape(4096, 4096)
    assert not bits.equal(a[:1] @ b, (a @ b)[:1])
    with set_batch_invariant_mode():
        assert bits.equal(a[:1] @ b, (a @ b)[:1])
