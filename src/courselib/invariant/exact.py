"""Which aten ops give the same bytes in any company, without the mode: they never add two numbers of a row, or only
integers, whose sum is exact in any order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from .support import HALVES

# Ops that make, move, choose or compare numbers, and never add two of them. (Which of equal numbers sort and topk
# answer first is their own affair.)
_EXACT = """
    empty empty_like empty_strided empty_permuted new_empty new_empty_strided zeros zeros_like new_zeros ones ones_like
    new_ones full full_like new_full scalar_tensor arange eye tril_indices triu_indices lift lift_fresh lift_fresh_copy
    fill zero set resize resize_as copy _to_copy clone contiguous _unsafe_view
    _reshape_copy _efficientzerotensor _conj_physical
    cat stack hstack vstack constant_pad_nd repeat repeat_interleave roll flip rot90 tril triu diag_embed unbind_copy
    split_copy split_with_sizes_copy unsafe_split unsafe_split_with_sizes unsafe_chunk select_scatter slice_scatter
    diagonal_scatter as_strided_scatter reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d
    replication_pad2d replication_pad3d upsample_nearest1d upsample_nearest2d upsample_nearest3d pixel_shuffle
    pixel_unshuffle channel_shuffle im2col view_copy expand_copy permute_copy transpose_copy slice_copy select_copy
    squeeze_copy unsqueeze_copy t_copy detach_copy
    select_backward slice_backward diagonal_backward
    index index_select index_copy index_fill gather take embedding masked_fill masked_select masked_scatter where
    scatter nonzero nonzero_static argwhere one_hot bucketize searchsorted unique_dim _unique _unique2
    unique_consecutive nll_loss_backward
    max min amax amin aminmax argmax argmin max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d
    adaptive_max_pool3d sort topk kthvalue mode median nanmedian argsort msort cummax cummin
    any all count_nonzero isin equal is_same_size allclose isclose _local_scalar_dense item is_nonzero
    _assert_async _assert_scalar _assert_tensor_metadata _fused_sdp_choice record_stream is_pinned _pin_memory
    _has_compatible_shallow_copy_type
"""

# Elementwise, and yet on the CPU the vector body and the scalar tail round differently (seen with PyTorch 2.13 on x86,
# AVX-512). The mode replaces sigmoid, silu and gelu; the others are rare in models, and named.
_POSITION_DEPENDENT = """
    atan2 atanh celu cosh elu elu_backward exp2 float_power gelu gelu_backward hypot igamma igammac ldexp logaddexp
    logaddexp2 logit mish mish_backward selu sigmoid silu silu_backward sinh softplus softplus_backward softshrink
    special_i0e
"""
_PLAIN_POWERS = (-2, -1, -0.5, 0, 0.5, 1, 2, 3)  # that PyTorch multiplies out or takes a root for
EXACT, POSITION_DEPENDENT_ON_CPU = frozenset(_EXACT.split()), frozenset(_POSITION_DEPENDENT.split())


def op_name(func: Any) -> str:
    """The op without its overload: "mm" of aten::mm.out, "library::op" of another library's."""
    name = func.name() if callable(getattr(func, "name", None)) else str(func)
    return name.removeprefix("aten::").partition(".")[0]


def is_exact(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> bool:
    """Whether this call of an op gives the same bytes in any company by its nature."""
    inputs = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    outputs = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
    if not inputs and not outputs:
        return True  # a question about shapes, a profiler's mark
    if not isinstance(func, torch._ops.OpOverload) or func.namespace != "aten":
        return False
    if outputs and all(x.numel() == 0 for x in outputs):
        return True
    name, base = op_name(func), op_name(func).rstrip("_")
    if base in EXACT or name in EXACT:
        return kwargs.get("reduce") is None  # scatter(reduce="add") sums
    if torch.Tag.nondeterministic_seeded in func.tags:
        return False  # what a row draws depends on how many rows draw
    if not any(x.is_floating_point() or x.is_complex() for x in inputs + outputs):
        return bool(inputs)  # whole numbers: exact in any order
    if any(a.alias_info is not None and not a.alias_info.is_write for a in func._schema.returns):
        return True  # a view
    if torch.Tag.inplace_view in func.tags:
        return True  # x.transpose_() and its like: other strides over the same numbers
    if base in ("index_put", "_index_put_impl"):
        return not (args[3] if len(args) > 3 else kwargs.get("accumulate", False))
    if base == "nll_loss_forward":
        return args[3] == 0  # reduction="none" picks, the others sum
    return torch.Tag.pointwise in func.tags and not _depends_on_position(base, args, kwargs, inputs)


def _depends_on_position(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: list[Tensor]) -> bool:
    if not any(x.device.type == "cpu" and x.dim() for x in inputs):
        return False
    half = any(x.dtype in HALVES for x in inputs)
    if name == "pow":
        exponent = args[1]
        return isinstance(exponent, Tensor) or exponent not in _PLAIN_POWERS or (half and exponent == -0.5)
    if name in ("add", "sub", "rsub"):
        return half and kwargs.get("alpha", args[2] if len(args) > 2 else 1) != 1
    return name in POSITION_DEPENDENT_ON_CPU or (half and name == "rsqrt")
