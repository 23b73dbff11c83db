from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from courselib.invariant import audit_batch_invariance, set_batch_invariant_mode


class Block(nn.Module):
    """A transformer block with most of what models reduce with."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.RMSNorm(32)
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32, bias=False)
        self.up, self.down = nn.Linear(32, 128), nn.Linear(64, 32)

    def forward(self, x, mask=None):
        B, T, D = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(B, T, 3, 4, 8).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        x = x + self.out(attended.transpose(1, 2).reshape(B, T, D))
        gate, up = self.up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


torch.manual_seed(0)
BLOCK, X = Block(), torch.randn(2, 5, 32)


def test_a_block_forward_and_backward_is_covered():
    with set_batch_invariant_mode(), audit_batch_invariance() as report:
        y = BLOCK(X)
        y.log_softmax(-1).sum(-1).mean(-1).sum().backward()
    assert report.ok, str(report)
    assert set(report.covered) >= {
        "addmm", "mm", "native_layer_norm", "native_layer_norm_backward", "mean", "sum", "silu", "silu_backward",
        "_log_softmax", "_log_softmax_backward_data", "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_flash_attention_for_cpu_backward",
    }  # fmt: skip
    assert report.covered["addmm"].total() == 3
    assert report.exact["view"]
    assert str(report).startswith("nothing uncovered:")


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_without_gradients(guard):
    # In inference mode composite ops arrive whole (linear, to): the audit looks inside.
    with guard(), set_batch_invariant_mode(), audit_batch_invariance() as report:
        BLOCK(X, torch.ones(5, 5, dtype=torch.bool).tril())
        BLOCK.to(torch.bfloat16)(X.to(torch.bfloat16))
    BLOCK.float()
    assert report.ok, str(report)
    assert report.covered["addmm"].total() == 6
    assert "linear" not in report.covered


def test_the_control_with_the_mode_off_everything_that_reduces_is_uncovered():
    with torch.no_grad(), audit_batch_invariance() as report:
        BLOCK(X)
    assert not report.ok
    assert report.covered == {}
    assert set(report.uncovered) == {
        "addmm", "mm", "native_layer_norm", "mean", "silu", "_scaled_dot_product_flash_attention_for_cpu",
    }  # fmt: skip
    assert str(report).startswith("6 ops uncovered:")
    assert "UNCOVERED" in str(report)


UNCOVERED = {
    "cumsum": lambda x: x.cumsum(-1),
    "convolution": lambda x: F.conv1d(x, torch.ones(5, 5, 3)),
    "native_group_norm": lambda x: F.group_norm(x, 5),
    "index_add": lambda x: x.index_add(0, torch.tensor([0]), x[:1]),
    "scatter_add": lambda x: x.scatter_add(0, torch.zeros(1, 5, 32, dtype=torch.int64), x[:1]),
    "index_put": lambda x: x.index_put((torch.tensor([0, 0]),), x, accumulate=True),
    "nll_loss_forward": lambda x: F.nll_loss(x[0].log_softmax(-1), torch.arange(5)),
    "prod": lambda x: x.prod(-1),
    "bernoulli_": lambda x: F.dropout(x, 0.5),
    "mish": F.mish,
    "pow": lambda x: x.abs() ** 0.7,
    "mm": lambda x: torch.mm(x[0].to(torch.complex64), x[0].t().to(torch.complex64)),
}


@pytest.mark.parametrize("name", UNCOVERED)
def test_what_is_not_covered_is_named(name):
    with set_batch_invariant_mode(), audit_batch_invariance() as report:
        UNCOVERED[name](X)
    assert name in report.uncovered, str(report)


def test_a_fused_op_is_not_covered_by_what_is_heard_inside_it():
    # The fast path of nn.TransformerEncoderLayer calls matmuls that are covered, and reductions that are not.
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval()
    with torch.inference_mode(), set_batch_invariant_mode(), audit_batch_invariance() as report:
        layer(X)
    assert list(report.uncovered) == ["_transformer_encoder_layer_fwd"]
    assert str(report).startswith("1 op uncovered:")


def test_the_report_says_how_a_fused_op_can_be_avoided():
    layer, attend = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval(), nn.MultiheadAttention(32, 4).eval()
    lstm = nn.LSTM(32, 8).eval()

    def audited():
        with torch.no_grad(), set_batch_invariant_mode(), audit_batch_invariance() as report:
            layer(X), attend(X, X, X), lstm(X)
        return report

    report = audited()
    assert set(report.uncovered) <= {
        "_transformer_encoder_layer_fwd", "_native_multi_head_attention", "mkldnn_rnn_layer",
    }  # fmt: skip
    assert str(report).count("runs as covered ops") == len(report.uncovered) > 0
    mkldnn = torch.backends.mkldnn.enabled
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        torch._C._set_mkldnn_enabled(False)
        report = audited()
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
        torch._C._set_mkldnn_enabled(mkldnn)
    assert report.ok, str(report)
    assert {"addmm", "sigmoid_", "_scaled_dot_product_flash_attention_for_cpu"} <= set(report.covered)


EXACT = {
    "choosing": lambda x: (x.max(-1), x.argmax(), x.topk(3), x.sort(0), (x > 0).any(), x.amin((0, 1))),
    "moving": lambda x: (torch.cat([x, x]), x[:, [0, 2]], x.flip(0), x.masked_fill(x > 0, 0), x.repeat(2, 1, 1)),
    "indexing": lambda x: (F.embedding(torch.tensor([1]), x[0]), x.gather(0, torch.zeros(1, 5, 32, dtype=torch.int64))),
    "writing": lambda x: (x.clone().zero_(), x.clone().copy_(x), x.index_put((torch.tensor([0]),), x[0])),
    "elementwise": lambda x: (x + 1, x.exp(), x.tanh(), x.rsqrt(), x**2, torch.where(x > 0, x, -x), x.cos(), x.erf()),
    "whole numbers": lambda x: ((x > 0).sum(), (x > 0).cumsum(1), torch.arange(4).sum()),
    "picking a loss": lambda x: F.nll_loss(x[0], torch.arange(5), reduction="none"),
    "splitting, as RNNs do": lambda x: (x.unsafe_split(8, -1), x.clone().transpose_(0, 1)),
    "pooling": lambda x: (F.max_pool1d(x, 2), F.max_pool2d(x, 2), F.adaptive_max_pool1d(x, 2)),
    "padding": lambda x: (F.pad(x, (1, 1)), F.pad(x, (1, 1), mode="reflect"), F.interpolate(x, scale_factor=2.0)),
    "nothing": lambda x: (x[:0].sum(-1), x.new_zeros(0, 3) @ x.new_zeros(3, 2)),
}


@pytest.mark.parametrize("name", EXACT)
def test_what_is_exact_whatever_the_order(name):
    with audit_batch_invariance() as report:  # the mode is off: nothing else is needed
        EXACT[name](X.clone())
    assert report.ok, str(report)


def test_a_custom_op_is_uncovered():
    with torch.library._scoped_library("courselib_test", "FRAGMENT") as library:
        library.define("own_sum(Tensor x) -> Tensor")
        library.impl("own_sum", lambda x: x.sum(-1), "CompositeExplicitAutograd")
        with set_batch_invariant_mode(), audit_batch_invariance() as report:
            torch.ops.courselib_test.own_sum(X)
    assert list(report.uncovered) == ["courselib_test::own_sum"]


def test_audits_nest_and_an_exception_ends_them():
    with set_batch_invariant_mode(), audit_batch_invariance() as outer:
        with audit_batch_invariance() as inner:
            X.sum()
        X.mean()
    assert set(inner.covered) == {"sum"}
    assert set(outer.covered) == {"sum", "mean"}
    with pytest.raises(KeyError), audit_batch_invariance() as broken:
        raise KeyError
    X.sum()
    assert not broken.uncovered
    assert str(broken) == "nothing ran"


def test_a_compiled_function_is_seen():
    f = torch.compile(lambda x: x.softmax(-1).sum(-1), backend="eager")
    with set_batch_invariant_mode(), audit_batch_invariance() as report:
        f(X)
    assert set(report.covered) == {"_softmax", "sum"}
    with audit_batch_invariance() as report:
        f(X)
    assert set(report.uncovered) == {"_softmax", "sum"}
