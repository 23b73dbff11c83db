"""What an attention mask lets each row see, found on the device, before the attention kernel runs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..hidden import HIDDEN
from .launches import Launcher
from .runtime import tl, triton

_SCAN = 4096  # slots of a mask's row that are looked at together


def spans_of(mask: Tensor, shape: tuple[int, int, int, int]) -> tuple[Tensor, Tensor, float]:
    """What the mask lets each row see, found on the device: (mask as a view of `shape`, spans, hidden).

    spans (B, H, T, 3) int32, of size 1 where the mask repeats itself: a row's first visible slot, one past its last,
    and 1 where it sees all slots between and adds nothing to any. Such rows, and so the usual masks (causal, padding,
    a chunk of a prefill), need no further look at the mask. A float mask's value hides its slot when <= hidden.
    """
    try:
        mask = mask.expand(shape)
    except RuntimeError as error:
        raise ValueError(f"attention needs a mask that broadcasts to {shape}; got {tuple(mask.shape)}") from error
    B, H, T, S = shape
    additive = mask.is_floating_point()
    hidden = HIDDEN if additive else 0.0
    mask = mask if additive else mask.view(torch.uint8)
    own = [n if step else 1 for n, step in zip((B, H, T), mask.stride(), strict=False)]
    spans = torch.empty(*own, 3, dtype=torch.int32, device=mask.device)
    rows = math.prod(own)
    _launch_span(rows, (mask, spans), (*own[1:], S, *mask.stride(), hidden, additive, _SCAN))
    return mask, spans, hidden


@triton.jit(do_not_specialize=["H", "T", "S", "m_b", "m_h", "m_t", "m_s"])
def _span_kernel(mask, spans, H, T, S, m_b, m_h, m_t, m_s, hidden, ADDITIVE: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    mask += row // T // H * m_b + row // T % H * m_h + row % T * m_t
    first = S
    end = 0
    plain = 0
    for start in range(0, S, BLOCK):
        slot = start + tl.arange(0, BLOCK)
        x = tl.load(mask + slot.to(tl.int64) * m_s, mask=slot < S, other=0)
        if ADDITIVE:
            visible = (slot < S) & ((x.to(tl.float32) <= hidden) == 0)  # NaN is visible
            untouched = visible & (x == 0)
        else:
            visible = (slot < S) & (x != 0)
            untouched = visible
        first = tl.minimum(first, tl.min(tl.where(visible, slot, S), 0))
        end = tl.maximum(end, tl.max(tl.where(visible, slot + 1, 0), 0))
        plain += tl.sum(untouched.to(tl.int32), 0)
    tl.store(spans + row * 3, first)
    tl.store(spans + row * 3 + 1, end)
    tl.store(spans + row * 3 + 2, ((plain == end - first) | (end == 0)).to(tl.int32))


_launch_span = Launcher(_span_kernel)
