"""Kernels, and the switch that says whose order a model's sums are taken in.

    with use_ops("stock"):      # PyTorch's own: bytes depend on shape, machine and version
        ...
    with use_ops("fixed"):      # the default: a written order, the same bytes everywhere

An implementation is a module with these functions (all float32 so far):

    linear(x, w)                        x (..., K), w (K, N) -> (..., N)
    rms_norm(x, weight, eps)            x (..., D), weight (D,)
    softmax(x), log_softmax(x)          over the last dimension
    silu(x), gelu(x)                    elementwise
    rope(x, cos, sin)                   x (B, H, T, d_h); cos, sin (B, T, d_h/2), a row per position
    attention(q, k, v, past, first, count)
        q (B, H, T, d_h); k, v (B, H_kv, S, d_h), H a multiple of H_kv; answers (B, H, T, d_h).
        Row t of sequence b stands in slot past[b] + t and sees the slots first[b] .. past[b] + t, itself once.
        Rows t >= count[b] are padding and give nothing of meaning.
"""

from .evidence import listening, ran
from .registry import FIXED_ORDER, current_ops, use_ops

__all__ = ["FIXED_ORDER", "current_ops", "listening", "ran", "use_ops"]
