"""The fused attention ops that `scaled_dot_product_attention` chooses from, and their gradients.

Forward: one primitive; a row's bytes depend on its own sequence alone, and on neither left nor right padding.
Backward: the scores are computed again from q and k by the matmul and softmax primitives, (B, H, T, S) of them in
float32 at once, so memory grows with T * S. The gradients of k and v sum over the queries of their own sequence, so
none of the three depends on the batch. They do depend on how far a sequence is padded: those sums are then longer.

When SDPA takes its unfused path instead (three-dimensional inputs, shapes that no fused op takes), it runs on bmm and
softmax, which are covered: batch-invariant at one S, and not under padding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import support
from .support import Op, primitives, takes, wide


def flash_cpu(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> Any:
    if not _fit(query, key, value, dropout_p):
        return NotImplemented
    return _attention(query, key, value, attn_mask, is_causal, scale)


def flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    return_debug_mask: bool = False,
    *,
    scale: float | None = None,
) -> Any:
    if not _fit(query, key, value, dropout_p):
        return NotImplemented
    out, lse = _attention(query, key, value, None, is_causal, scale)
    seed, offset = (torch.empty(n, dtype=torch.uint64, device=query.device) for n in ((2,), ()))  # nobody reads them
    return out, lse, None, None, query.shape[2], key.shape[2], seed, offset, query.new_empty(0)


def efficient(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_bias: Tensor | None,
    compute_log_sumexp: bool,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
) -> Any:
    if not _fit(query, key, value, dropout_p):
        return NotImplemented
    out, lse = _attention(query, key, value, attn_bias, is_causal, scale)
    T = query.shape[2]
    rows = math.ceil(T / 32) * 32 if compute_log_sumexp else 0  # PyTorch's kernel pads them, and its backward looks
    padded = lse.new_full((*lse.shape[:2], rows), math.inf)
    padded[..., :T] = lse[..., :rows]
    return out.transpose(1, 2).contiguous().transpose(1, 2), padded, *_philox(query)


def cudnn(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_bias: Tensor | None,
    compute_log_sumexp: bool,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    return_debug_mask: bool = False,
    *,
    scale: float | None = None,
) -> Any:
    if not _fit(query, key, value, dropout_p):
        return NotImplemented
    out, lse = _attention(query, key, value, attn_bias, is_causal, scale)
    return out, lse[..., None], None, None, query.shape[2], key.shape[2], *_philox(query), None


def flash_cpu_backward(
    grad_out: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    logsumexp: Tensor,
    dropout_p: float,
    is_causal: bool,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> Any:
    if not _fit(query, key, value, dropout_p):
        return NotImplemented
    return _gradients(grad_out, query, key, value, attn_mask, is_causal, scale)[:3]


def flash_backward(grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **kwargs: Any) -> Any:
    # out, logsumexp, cum_seq_q, cum_seq_k, max_q, max_k, dropout_p, is_causal, philox_seed, philox_offset
    dropout_p, is_causal = rest[6:8]
    if not _fit(query, key, value, dropout_p):
        return NotImplemented
    return _gradients(grad_out, query, key, value, None, is_causal, kwargs.get("scale"))[:3]


def efficient_backward(
    grad_out_: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_bias: Tensor | None,
    out: Tensor,
    logsumexp: Tensor,
    philox_seed: Tensor,
    philox_offset: Tensor,
    dropout_p: float,
    grad_input_mask: Sequence[bool],
    is_causal: bool = False,
    *,
    scale: float | None = None,
) -> Any:
    if not _fit(query, key, value, dropout_p):
        return NotImplemented
    dq, dk, dv, scores = _gradients(grad_out_, query, key, value, attn_bias, is_causal, scale)
    wanted = attn_bias is not None and grad_input_mask[3]
    return dq, dk, dv, _summed_to(scores, attn_bias) if attn_bias is not None and wanted else None


def cudnn_backward(grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **kwargs: Any) -> Any:
    # out, logsumexp, philox_seed, philox_offset, attn_bias, cum_seq_q, cum_seq_k, max_q, max_k, dropout_p, is_causal
    attn_bias, dropout_p, is_causal = rest[4], *rest[9:11]
    if not _fit(query, key, value, dropout_p):
        return NotImplemented
    return _gradients(grad_out, query, key, value, attn_bias, is_causal, kwargs.get("scale"))[:3]


def _attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float | None
) -> tuple[Tensor, Tensor]:
    out, lse = primitives(q).attention(q, k, v, mask=mask, causal=causal, scale=scale)
    # Where q has a token's heads side by side the result has, as PyTorch's: models join them by transpose and view.
    if q.transpose(1, 2).is_contiguous():
        out = out.transpose(1, 2).contiguous().transpose(1, 2)
    return out, lse


def _gradients(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """dq, dk, dv, and the gradient of the scores (B, H, T, S) before their scale, in the dtype of the sums.

    With P = softmax(scale q k^T + mask): dv = P^T g, dP = g v^T, dS = P (dP - sum(P dP)), dq = scale dS k,
    dk = scale dS^T q (T. Dao et al., FlashAttention, appendix B; P and dS are rounded to q's dtype for the products).
    """
    (B, H, T, d_h), (H_kv, S, d_v) = q.shape, (*k.shape[1:3], v.shape[3])
    scale = 1 / math.sqrt(max(d_h, 1)) if scale is None else scale
    accumulated = wide(q[:0]).dtype
    ours = primitives(q)

    def heads(x: Tensor) -> Tensor:
        """(B, H or H_kv, n, d) -> (B * H, n, d): a key's head beside each query head that reads it."""
        return x.repeat_interleave(H // x.shape[1], 1).reshape(B * H, *x.shape[2:]) if H else x.reshape(0, *x.shape[2:])

    def product(a: Tensor, b: Tensor, alpha: float, dtype: torch.dtype) -> Tensor:
        return ours.matmul(a, b, alpha=alpha, out_dtype=dtype, precision=support.precision)

    queries, keys, values, grads = heads(q), heads(k), heads(v), heads(g.to(q.dtype))
    scores = product(queries, keys.transpose(1, 2), scale, accumulated).reshape(B, H, T, S)
    seen = torch.ones(T, S, dtype=torch.bool, device=q.device)
    if causal:
        seen = seen.tril()
    if mask is not None and mask.dtype == torch.bool:
        seen = seen & mask
    elif mask is not None:
        # What the forward does not look at. On the CPU a row that would see nothing keeps its finite numbers.
        seen = seen & (~(mask <= ours.HIDDEN) if mask.is_cuda else ours.added(mask) != -math.inf)
        scores = scores + mask.to(accumulated)
    scores = scores.masked_fill(~seen, -math.inf)  # filled, not added to: a masked slot may hold NaN
    P = ours.softmax(scores.reshape(B * H * T, S)).reshape(B * H, T, S)
    P = P.masked_fill(~seen.expand(B, H, T, S).reshape(B * H, T, S), 0)  # also the row that sees nothing
    dP = product(grads, values.transpose(1, 2), 1.0, accumulated).masked_fill(P == 0, 0)
    dS = P * (dP - ours.reduce((P * dP).reshape(B * H * T, S), "sum").reshape(B * H, T, 1))
    rounded_P, rounded_dS = P.to(q.dtype), dS.to(q.dtype)
    dq = product(rounded_dS, keys, scale, q.dtype).reshape(q.shape)
    dk = product(rounded_dS.transpose(1, 2), queries, scale, accumulated)
    dv = product(rounded_P.transpose(1, 2), grads, 1.0, accumulated)

    def shared(x: Tensor, d: int) -> Tensor:
        """(B * H, S, d) -> (B, H_kv, S, d): summed over the query heads that share a key's head."""
        groups = x.reshape(B * H_kv, H // max(H_kv, 1), S * d)
        return ours.reduce(groups, "sum", out_dtype=q.dtype).reshape(B, H_kv, S, d)

    return dq, shared(dk, d_h), shared(dv, d_v), dS.reshape(B, H, T, S)


def _summed_to(x: Tensor, like: Tensor) -> Tensor:
    """x (B, H, T, S) summed over the dimensions that `like` was broadcast along."""
    shape = (1,) * (4 - like.dim()) + tuple(like.shape)
    for d, n in enumerate(shape):
        if n == 1 and x.shape[d] != 1:
            grouped = x.reshape(math.prod(x.shape[:d]), x.shape[d], math.prod(x.shape[d + 1 :]))
            x = primitives(x).reduce(grouped, "sum").reshape(*x.shape[:d], 1, *x.shape[d + 1 :])
    return x.reshape(like.shape).to(like.dtype)


def _fit(q: Tensor, k: Tensor, v: Tensor, dropout_p: float) -> bool:
    if dropout_p > 0:
        raise RuntimeError(
            f"scaled_dot_product_attention with dropout_p={dropout_p} draws from a generator that the whole batch "
            "shares, so it cannot be batch-invariant: call model.eval(), or set dropout_p=0"
        )
    return takes(q, k, v) and q.dtype == k.dtype == v.dtype and q.dim() == k.dim() == v.dim() == 4


def _philox(x: Tensor) -> tuple[Tensor, Tensor]:
    """The seed and offset of a dropout that is not done: nobody reads them."""
    return torch.empty((), dtype=torch.int64, device=x.device), torch.empty((), dtype=torch.int64, device=x.device)


CPU_OPS: dict[str, Op] = {
    "_scaled_dot_product_flash_attention_for_cpu": flash_cpu,
    "_scaled_dot_product_flash_attention_for_cpu_backward": flash_cpu_backward,
}
CUDA_OPS: dict[str, Op] = {
    "_scaled_dot_product_flash_attention": flash,
    "_scaled_dot_product_flash_attention_backward": flash_backward,
    "_scaled_dot_product_efficient_attention": efficient,
    "_scaled_dot_product_efficient_attention_backward": efficient_backward,
    "_scaled_dot_product_cudnn_attention": cudnn,
    "_scaled_dot_product_cudnn_attention_backward": cudnn_backward,
}
