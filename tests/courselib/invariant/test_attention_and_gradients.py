"""Attention against its definition in float64, and every gradient against PyTorch's own with the mode off, in float64.

Tolerances: values are of order one; a float32 path is a few hundred roundings of 2^-24 long, so 2e-5; a half type is
rounded at P, dS and the result, so 4 roundings of its own eps.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from courselib import bits
from courselib.invariant import attention, norms, set_batch_invariant_mode, support

FLOATS = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def noise(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def close(found, exact, dtype):
    tolerance = {torch.float32: 2e-5, torch.float64: 1e-12}.get(dtype, 4 * torch.finfo(dtype).eps)
    torch.testing.assert_close(found.double(), exact, rtol=tolerance, atol=tolerance)


def with_gradients(fn, *inputs):
    leaves = [x.clone().requires_grad_(x.is_floating_point()) for x in inputs]
    y = fn(*leaves)
    wanted = [x for x in leaves if x.requires_grad]
    g = noise(*y.shape, seed=99).to(y.dtype)
    return y, *torch.autograd.grad(y, wanted, g, allow_unused=True)


FUNCTIONS = {
    "linear": (lambda x, w, b: F.linear(x, w, b), [(3, 4, 17), (5, 17), (5,)]),
    "matmul": (lambda a, b: a @ b, [(2, 3, 17), (2, 17, 4)]),
    "matmul, broadcast": (lambda a, b: a @ b, [(2, 3, 17), (17, 4)]),
    "softmax": (lambda x: x.softmax(-1), [(4, 17)]),
    "softmax, dim 0": (lambda x: x.softmax(0), [(17, 2, 3)]),
    "log_softmax": (lambda x: x.log_softmax(1), [(2, 17, 3)]),
    "logsumexp": (lambda x: x.logsumexp((0, 2)), [(4, 3, 5)]),
    "cross_entropy": (lambda x: F.cross_entropy(x, torch.arange(4)), [(4, 17)]),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (17,), w, b), [(3, 2, 17), (17,), (17,)]),
    "layer_norm, two dims, plain": (lambda x: F.layer_norm(x, (4, 5)), [(3, 4, 5)]),
    "rms_norm": (lambda x, w: F.rms_norm(x, (17,), w), [(3, 2, 17), (17,)]),
    "rms_norm, eps, plain": (lambda x: F.rms_norm(x, (17,), eps=1e-5), [(3, 17)]),
    "sum and mean": (lambda x: x.sum(0) * x.mean() + x.mean(1, keepdim=True).sum(), [(3, 17)]),
    "var and std": (lambda x: x.var(1) + x.std(0).sum() + torch.linalg.vector_norm(x, dim=1), [(5, 17)]),
    "silu": (F.silu, [(7, 9)]),
    "sigmoid": (torch.sigmoid, [(7, 9)]),
    "gelu": (F.gelu, [(7, 9)]),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), [(7, 9)]),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients(name, dtype):
    fn, shapes = FUNCTIONS[name]
    inputs = [noise(*s, dtype=dtype, seed=i) for i, s in enumerate(shapes)]
    exact = with_gradients(fn, *[x.double() for x in inputs])
    stock = with_gradients(fn, *inputs)
    with set_batch_invariant_mode():
        found = with_gradients(fn, *inputs)
    for a, b, c in zip(found, exact, stock, strict=True):
        assert (a.dtype, a.shape) == (c.dtype, c.shape)
        # Sums of up to 12 gradients of order one: a few times the tolerance of a single value.
        close(a / 6, b / 6, dtype)


def attend(q, k, v, **kwargs):
    return F.scaled_dot_product_attention(q, k, v, **kwargs)


def by_definition(q, k, v, mask=None, causal=False, scale=None):
    """softmax(scale q k^T + mask) v in float64, zeros for a row that sees nothing."""
    q, k, v = q.double(), k.double(), v.double()
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -torch.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1).nan_to_num(0) @ v


@given(
    B=st.integers(1, 3), groups=st.integers(1, 2), H_kv=st.integers(1, 2), T=st.integers(1, 6), S=st.integers(1, 7),
    d=st.sampled_from([1, 4, 8]), kind=st.sampled_from(["none", "causal", "bool", "float"]),
    scale=st.sampled_from([None, 0.3]), dtype=st.sampled_from(FLOATS),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_attention_and_its_gradients(B, groups, H_kv, T, S, d, kind, scale, dtype):
    q = noise(B, T, H_kv * groups, d, dtype=dtype).transpose(1, 2)
    k, v = noise(B, H_kv, S, d, dtype=dtype, seed=1), noise(B, H_kv, S, d, dtype=dtype, seed=2)
    mask = None
    if kind == "bool":
        mask = noise(B, 1, T, S, seed=3) > -0.5
    elif kind == "float":
        mask = noise(1, 1, T, S, seed=3, dtype=dtype)
    causal = kind == "causal"

    exact = with_gradients(
        lambda q, k, v: by_definition(q, k, v, mask, causal, scale), *(x.double() for x in (q, k, v))
    )
    with set_batch_invariant_mode():
        found = with_gradients(
            lambda q, k, v: attend(q, k, v, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=True), q, k, v
        )
    for a, b in zip(found, exact, strict=True):
        close(a / 2, b / 2, dtype)


def test_the_unfused_path_is_covered_too():
    q = noise(2, 5, 8)
    with set_batch_invariant_mode():
        found = attend(q, q, q, is_causal=True)
    close(found[None], by_definition(q[None], q[None], q[None], causal=True), torch.float32)


def test_heads_can_be_joined_with_a_view():
    q = noise(2, 5, 3, 8).transpose(1, 2)
    with set_batch_invariant_mode():
        attend(q, q, q).transpose(1, 2).view(2, 5, 24)


@pytest.mark.parametrize("number", [-1e9, torch.finfo(torch.float32).min])
def test_what_a_number_hides_harms_no_gradient(number):
    # A number that stands for -inf hides a slot from the backward as it does from the forward, also where the score
    # overflows. (0 times NaN is NaN: the gradient of q is safe from large numbers only.)
    q, k = noise(2, 3, 4, 8, seed=1), noise(2, 3, 6, 8, seed=2)
    hidden = torch.arange(6) < 2
    mask = torch.zeros(6).masked_fill(hidden, number).expand(2, 1, 4, 6)
    with set_batch_invariant_mode():
        expected = with_gradients(lambda q, k: attend(q, k, k, attn_mask=~hidden.expand(2, 1, 4, 6)), q, k)
        found = with_gradients(lambda q, k: attend(q, k, k, attn_mask=mask), q, k.masked_fill(hidden[:, None], 3e38))
    for a, b in zip(found, expected, strict=True):
        assert bits.equal(a, b)


@pytest.mark.parametrize("fn", [torch.sigmoid, F.silu, F.gelu])
def test_elementwise_ops_keep_the_order_in_memory(fn):
    strided = {
        "transposed": noise(3, 4, 5).transpose(0, 2),
        "channels last": noise(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "with gaps": noise(6, 8)[::2, ::2],
        "expanded": noise(3, 1).expand(3, 4),
    }
    for how, x in strided.items():
        with set_batch_invariant_mode():
            found = fn(x)
        assert found.stride() == fn(x).stride(), how
        torch.testing.assert_close(found, fn(x), rtol=1e-5, atol=1e-6)  # a few roundings of values of order one


def test_dropout_in_attention_is_refused():
    q = noise(1, 1, 4, 8)
    with pytest.raises(RuntimeError, match=r"dropout_p=0.5 .* model.eval\(\)"):
        attention.flash(q, q, q, 0.5)


# The ops that exist only on CUDA, called on CPU tensors: the same code on another module of primitives.


def cuda_ops_on_cpu():
    library = torch.library.Library("aten", "IMPL")
    for name, function in {**attention.CUDA_OPS, **norms.CUDA_OPS}.items():
        library.impl(name, support.overriding(name, "CPU", function), "CPU")
    return library


@pytest.fixture
def cuda_names():
    with set_batch_invariant_mode():
        library = cuda_ops_on_cpu()
        yield torch.ops.aten
        library._destroy()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("T", [5, 33])
def test_cuda_attention_ops(cuda_names, T, causal):
    q, k, v = noise(2, 4, T, 8), noise(2, 2, 40, 8, seed=1), noise(2, 2, 40, 8, seed=2)
    bias = noise(2, 4, T, 40, seed=3)
    definition = with_gradients(lambda q, k, v: by_definition(q, k, v, None, causal), *(x.double() for x in (q, k, v)))
    options = (None, True, 0.0, causal)
    ops = {
        "flash": lambda q, k, v: cuda_names._scaled_dot_product_flash_attention(q, k, v, 0.0, causal)[0],
        "efficient": lambda q, k, v: cuda_names._scaled_dot_product_efficient_attention(q, k, v, *options)[0],
        "cudnn": lambda q, k, v: cuda_names._scaled_dot_product_cudnn_attention(q, k, v, *options)[0],
    }
    for op in ops.values():
        for a, b in zip(with_gradients(op, q, k, v), definition, strict=True):
            close(a / 4, b / 4, torch.float32)
    exact = with_gradients(lambda q, k, v, b: by_definition(q, k, v, b, causal), *(x.double() for x in (q, k, v, bias)))
    found = with_gradients(
        lambda q, k, v, b: cuda_names._scaled_dot_product_efficient_attention(q, k, v, b, True, 0.0, causal)[0],
        q, k, v, bias,
    )  # fmt: skip
    for a, b in zip(found, exact, strict=True):
        close(a / 4, b / 4, torch.float32)


def test_cuda_attention_ops_answer_all_their_members(cuda_names):
    q = noise(2, 4, 33, 8)
    flash = cuda_names._scaled_dot_product_flash_attention(q, q, q)
    assert (flash[0].shape, flash[1].shape, flash[4], flash[5]) == ((2, 4, 33, 8), (2, 4, 33), 33, 33)
    efficient = cuda_names._scaled_dot_product_efficient_attention(q, q, q, None, True)
    assert efficient[1].shape == (2, 4, 64)
    assert torch.equal(efficient[1][..., :33], flash[1])
    assert cuda_names._scaled_dot_product_efficient_attention(q, q, q, None, False)[1].shape == (2, 4, 0)
    assert cuda_names._scaled_dot_product_cudnn_attention(q, q, q, None, True)[1].shape == (2, 4, 33, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_cuda_rms_norm(dtype):
    x, w, g = (noise(*s, dtype=dtype, seed=i) for i, s in enumerate([(3, 4, 17), (17,), (3, 4, 17)]))
    exact = with_gradients(lambda x, w: F.rms_norm(x, (17,), w, 1e-5), x.double(), w.double())
    y, rstd = norms.rms_norm(x, (17,), w, 1e-5)
    assert (rstd.shape, rstd.dtype) == ((3, 4, 1), torch.float32)
    close(y, exact[0], dtype)
    g = noise(3, 4, 17, seed=99, dtype=dtype)
    for a, b in zip(norms.rms_norm_backward(g, x, (17,), rstd, w, (True, True)), exact[1:], strict=True):
        close(a / 6, b / 6, dtype)
    assert norms.rms_norm_backward(g, x, (17,), rstd, w, (False, False)) == (None, None)
    plain, _ = norms.rms_norm(x, (17,), None, None)
    close(plain, F.rms_norm(x.double(), (17,), eps=torch.finfo(torch.float32).eps), dtype)
