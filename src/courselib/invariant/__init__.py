"""Batch invariance under an unchanged PyTorch model: a row's bytes do not depend on the rest of the batch.

    with set_batch_invariant_mode():
        logits = model(ids)

    with set_batch_invariant_mode(), audit_batch_invariance() as report:
        model(ids)
    print(report)       # every op that could reduce: which implementation ran, and the ones left uncovered

    with set_batch_invariant_mode():
        assert_batch_invariant(model, ids)      # rows alone and in company, compared byte by byte

What it does not cover is named by the audit, never passed over: convolutions, cumulative sums, quantised products, and
the fused fast paths of nn.TransformerEncoderLayer, nn.MultiheadAttention and nn.LSTM (the report says how to go round).
A kernel launched outside PyTorch's dispatcher (hand-written Triton, say) is seen by neither.
"""

from .audit import Report, audit_batch_invariance
from .mode import (
    disable_batch_invariant_mode,
    enable_batch_invariant_mode,
    is_batch_invariant_mode_enabled,
    set_batch_invariant_mode,
)
from .testing import assert_batch_invariant

__all__ = [
    "Report",
    "assert_batch_invariant",
    "audit_batch_invariance",
    "disable_batch_invariant_mode",
    "enable_batch_invariant_mode",
    "is_batch_invariant_mode_enabled",
    "set_batch_invariant_mode",
]
