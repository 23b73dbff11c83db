"""On the CPU: sigmoid, silu and gelu, whose vector body and scalar tail round differently in PyTorch.

Nothing is summed, and still an element's bytes depend on where it stands. On CUDA every element runs the same code, and
PyTorch's own kernels stay.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from courselib.kernels import ran

from .support import Op, in_place, primitives, takes, wide, with_out


def sigmoid(self: Tensor) -> Any:
    return _stored_like(self, primitives(self).sigmoid(self)) if takes(self) else NotImplemented


def sigmoid_backward(grad_output: Tensor, output: Tensor) -> Any:
    if not takes(grad_output, output):
        return NotImplemented
    ran("sigmoid_backward", "one rounding a step")
    y = wide(output)
    return (wide(grad_output) * y * (1 - y)).to(output.dtype)


def silu(self: Tensor) -> Any:
    return _stored_like(self, primitives(self).silu(self)) if takes(self) else NotImplemented


def silu_backward(grad_output: Tensor, self: Tensor) -> Any:
    if not takes(grad_output, self):
        return NotImplemented
    x = wide(self)
    s = primitives(x).sigmoid(x)
    return (wide(grad_output) * s * (1 + x * (1 - s))).to(self.dtype)


def gelu(self: Tensor, *, approximate: str = "none") -> Any:
    if not takes(self) or approximate not in ("none", "tanh"):
        return NotImplemented
    x = wide(self)
    return (x * _gate(x, approximate)[0]).to(self.dtype)


def gelu_backward(grad_output: Tensor, self: Tensor, *, approximate: str = "none") -> Any:
    if not takes(grad_output, self) or approximate not in ("none", "tanh"):
        return NotImplemented
    x = wide(self)
    gate, slope = _gate(x, approximate)
    return (wide(grad_output) * (gate + x * slope)).to(self.dtype)


def _gate(x: Tensor, approximate: str) -> tuple[Tensor, Tensor]:
    """What gelu multiplies x by, and its derivative."""
    if approximate == "tanh":  # (1 + tanh(u)) / 2 is sigmoid(2u)
        square = x * x
        gate = primitives(x).sigmoid(x * (square * 0.044715 + 1) * (2 * math.sqrt(2 / math.pi)))
        return gate, gate * (1 - gate) * (square * (3 * 0.044715) + 1) * (2 * math.sqrt(2 / math.pi))
    ran("gelu", "torch.erf")
    gate = (torch.erf(x * math.sqrt(0.5)) + 1) * 0.5
    return gate, torch.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))


def _stored_like(x: Tensor, y: Tensor) -> Tensor:
    """y in memory as PyTorch's elementwise ops leave it, in x's order (channels last, say): models take views of it."""
    return y if x.is_contiguous() else torch.empty_like(x).copy_(y)


def _variants(name: str, function: Op) -> dict[str, Op]:
    return {name: function, f"{name}.out": with_out(function, "cast"), f"{name}_": in_place(function)}


CPU_OPS: dict[str, Op] = {
    **_variants("sigmoid", sigmoid),
    **_variants("silu", silu),
    **_variants("gelu", gelu),
    "sigmoid_backward": sigmoid_backward,
    "sigmoid_backward.grad_input": with_out(sigmoid_backward, out="grad_input"),
    "silu_backward": silu_backward,
    "silu_backward.grad_input": with_out(silu_backward, out="grad_input"),
    "gelu_backward": gelu_backward,
    "gelu_backward.grad_input": with_out(gelu_backward, out="grad_input"),
}
