"""Triton kernels in fixed orders: the primitives that batch-invariant mode stands on, for CUDA devices.

    matmul(a, b, bias=, alpha=, beta=, out_dtype=, precision=)      (M, K) @ (K, N), or batches of them
    softmax, log_softmax, logsumexp (x)                             (R, D), over the last dimension
    reduce(x, kind, shift=, divide_by=)                             (R, D) -> (R,), (O, D, I) -> (O, I): sums
    rms_norm(x, weight, eps), layer_norm(x, weight, bias, eps)      (R, D)
    attention(q, k, v, mask=, causal=, scale=)                      (B, H, T, d_h)
    HIDDEN                                                          what a float mask adds this to, or less, is not seen

The promise of each: a row's bytes are a function of that row's inputs, the sizes of the operation, the dtype and the
GPU; never of the number of rows, the position, the neighbours, padding or strides. Without a GPU the kernels run in
Triton's interpreter, on CPU tensors: slow, for learning and for tests.
"""

from ..hidden import HIDDEN
from .attention import attention
from .matmul import matmul
from .norm import layer_norm, rms_norm
from .reduce import reduce
from .softmax import log_softmax, logsumexp, softmax

__all__ = ["HIDDEN", "attention", "layer_norm", "log_softmax", "logsumexp", "matmul", "reduce", "rms_norm", "softmax"]
