"""MiniGPT: a decoder-only transformer, small enough to be read aloud.

Pre-norm RMSNorm, rotary positions (Su et al. 2021), grouped-query attention (Ainslie et al. 2023), SwiGLU (Shazeer
2020) or GELU. Every sum in it is taken by the operations of `courselib.kernels`, so `use_ops` decides their order.

Shapes: B batch, T tokens in this call, S slots held, H query heads, H_kv key/value heads, d_h head size, D model size,
F feed-forward size, V vocabulary. A weight is stored (in, out), as GPT-2's were: y = x @ w.
"""

from __future__ import annotations

import decimal
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .kernels import current_ops
from .kv_cache import KVCache

if TYPE_CHECKING:
    from .trace import Trace

WEIGHTS = Path(__file__).with_name("weights") / "minigpt.safetensors"
CARD = WEIGHTS.with_suffix(".json")


@dataclass(frozen=True)
class Config:
    """The shape of a model. Raises ValueError when the numbers do not fit together."""

    vocab_size: int
    n_layers: int = 4
    dim: int = 128  # D
    n_heads: int = 4  # H
    n_kv_heads: int = 2  # H_kv: each is shared by H / H_kv query heads
    ff_dim: int = 256  # F
    max_slots: int = 512
    activation: str = "swiglu"  # or "gelu"
    tied_head: bool = False  # the head reuses the embedding
    rope_base: int = 10_000
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.dim % self.n_heads or self.head_dim % 2:
            raise ValueError(f"dim {self.dim} / n_heads {self.n_heads} must be a whole, even head size")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"n_heads {self.n_heads} must be a multiple of n_kv_heads {self.n_kv_heads}")
        if self.activation not in ("swiglu", "gelu"):
            raise ValueError(f'activation must be "swiglu" or "gelu", got "{self.activation}"')

    @property
    def head_dim(self) -> int:
        """d_h"""
        return self.dim // self.n_heads


class Block(nn.Module):
    """One layer: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: Config, layer: int) -> None:
        super().__init__()
        c = self.config = config
        self.layer = layer
        gate_and_up = 2 if c.activation == "swiglu" else 1
        self.attn_norm = nn.Parameter(torch.ones(c.dim))
        self.w_qkv = _weight(c.dim, (c.n_heads + 2 * c.n_kv_heads) * c.head_dim)
        self.w_o = _weight(c.dim, c.dim)
        self.mlp_norm = nn.Parameter(torch.ones(c.dim))
        self.w_up = _weight(c.dim, gate_and_up * c.ff_dim)
        self.w_down = _weight(c.ff_dim, c.dim)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        """x (B, T, D) -> (B, T, D)."""
        x = x + self.attention(x, step)
        return x + self.mlp(x, step)

    def attention(self, x: Tensor, step: Step) -> Tensor:
        """x (B, T, D) -> (B, T, D)."""
        c, ops = self.config, current_ops()
        B, T, _ = x.shape
        qkv = ops.linear(ops.rms_norm(x, self.attn_norm, c.norm_eps), self.w_qkv)  # (B, T, (H + 2 H_kv) d_h)
        qkv = qkv.view(B, T, -1, c.head_dim).transpose(1, 2)  # (B, H + 2 H_kv, T, d_h)
        qk, v = qkv.split([c.n_heads + c.n_kv_heads, c.n_kv_heads], dim=1)  # v (B, H_kv, T, d_h)
        qk = ops.rope(qk, step.cos, step.sin)
        q, k = qk.split([c.n_heads, c.n_kv_heads], dim=1)  # (B, H, T, d_h), (B, H_kv, T, d_h)
        if step.cache is not None:
            # The new rows go in first, then attention reads all: a token sees itself exactly once.
            step.cache.append(self.layer, k, v, step.count)
            k, v = step.cache.read(self.layer)  # (B, H_kv, S, d_h)
        out = ops.attention(q, k, v, step.past, step.first, step.count)  # (B, H, T, d_h)
        step.record(self.layer, q=q, k=k, v=v, attention=out)
        return ops.linear(out.transpose(1, 2).reshape(B, T, c.dim), self.w_o)  # (B, T, D)

    def mlp(self, x: Tensor, step: Step) -> Tensor:
        """x (B, T, D) -> (B, T, D)."""
        c, ops = self.config, current_ops()
        hidden = ops.linear(ops.rms_norm(x, self.mlp_norm, c.norm_eps), self.w_up)  # (B, T, F), or 2 F with a gate
        if c.activation == "swiglu":
            gate, up = hidden.chunk(2, dim=-1)  # (B, T, F) each
            hidden = ops.silu(gate) * up
        else:
            hidden = ops.gelu(hidden)
        out = ops.linear(hidden, self.w_down)  # (B, T, D)
        step.record(self.layer, mlp=out)
        return out


class MiniGPT(nn.Module):
    """Token ids in, logits out, with a KV cache or without."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Parameter(torch.randn(config.vocab_size, config.dim) * 0.02)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layers))
        self.norm = nn.Parameter(torch.ones(config.dim))
        self.head = None if config.tied_head else _weight(config.dim, config.vocab_size)
        cos, sin = rope_table(config.max_slots, config.head_dim, config.rope_base)
        self.register_buffer("cos", cos, persistent=False)  # (max_slots, d_h / 2)
        self.register_buffer("sin", sin, persistent=False)

    def forward(
        self,
        tokens: Tensor,
        cache: KVCache | None = None,
        *,
        first: Sequence[int] | None = None,
        count: Sequence[int] | None = None,
        last_only: bool = False,
        trace: Trace | None = None,
    ) -> Tensor:
        """Logits (B, T, V) for tokens (B, T) int64; with last_only (B, V), of each sequence's last real token.

        cache: the slots before these tokens; theirs are appended. Without one, these tokens are the whole sequence.
        first (B,): the slot of each sequence's first real token; slots before it are left padding (default: the
            cache's `first`, or 0).
        count (B,): how many of the T tokens are real; those after are right padding (default T).
        trace: records what each layer computes. Raises ValueError when the sequence outgrows max_slots.
        """
        B, T = tokens.shape
        past = [0] * B if cache is None else cache.lengths
        if len(past) != B:
            raise ValueError(f"tokens hold {B} sequences, the cache {len(past)}")
        first = first or ([0] * B if cache is None else cache.first)
        step = Step(self, past, list(first), list(count or [T] * B), T, cache, trace)
        x = self.embed[tokens]  # (B, T, D)
        for block in self.blocks:
            x = block(x, step)
        if last_only:
            x = step.last(x)  # (B, D)
        ops = current_ops()
        x = ops.rms_norm(x, self.norm, self.config.norm_eps)
        logits = ops.linear(x, self.embed.t() if self.head is None else self.head)  # (B, T, V) or (B, V)
        step.record(None, logits=logits if last_only else step.last(logits))
        return logits


class Step:
    """What every layer of one forward pass shares: where its tokens stand, and who listens."""

    def __init__(
        self, model: MiniGPT, past: list[int], first: list[int], count: list[int], T: int,
        cache: KVCache | None, trace: Trace | None,
    ) -> None:  # fmt: skip
        self.past, self.first, self.count, self.cache, self.trace = past, first, count, cache, trace
        held = max(p + n for p, n in zip(past, count, strict=True))
        if held > model.config.max_slots:
            raise ValueError(f"the sequence needs {held} slots, the model has positions for {model.config.max_slots}")
        # A token's position counts from its sequence's own first token; padding sits at 0 and is never looked at.
        end = model.config.max_slots - 1
        rows = [[min(max(p - f + t, 0), end) for t in range(T)] for p, f in zip(past, first, strict=True)]
        positions = torch.tensor(rows, device=model.cos.device)  # (B, T)
        self.cos, self.sin = model.cos[positions], model.sin[positions]  # (B, T, d_h / 2)
        if trace is not None:
            trace.begin(past, first, count)

    def last(self, x: Tensor) -> Tensor:
        """Each sequence's last real row: x (B, T, ...) -> (B, ...)."""
        B, T = x.shape[:2]
        return x[:, -1] if min(self.count) == T else x[range(B), [n - 1 for n in self.count]]

    def record(self, layer: int | None, **tensors: Tensor) -> None:
        """Hand what was computed to the trace, if there is one."""
        if self.trace is not None:
            for name, x in tensors.items():
                self.trace.record(layer, name, x)


@lru_cache(8)
def rope_table(slots: int, head_dim: int, base: int) -> tuple[Tensor, Tensor]:
    """cos and sin of position * base^(-2i / d_h), each (slots, d_h / 2) float32, the same bits on every machine.

    The C library's cos may differ in its last bit between systems, and so would every K row. Decimal arithmetic does
    not: each frequency's angle is turned once in 40 digits, then repeated by the addition theorems, then rounded.
    """
    columns = []
    with decimal.localcontext(decimal.Context(prec=40)):
        for i in range(head_dim // 2):
            angle = (-Decimal(2 * i) / head_dim * Decimal(base).ln()).exp()
            c1, s1 = _cos_sin(angle)
            c, s, column = Decimal(1), Decimal(0), []
            for _ in range(slots):
                column.append((float(c), float(s)))
                c, s = c * c1 - s * s1, s * c1 + c * s1
            columns.append(column)
    table = torch.tensor(columns, dtype=torch.float64).permute(2, 1, 0).float().contiguous()  # (2, slots, d_h / 2)
    return table[0], table[1]


def _cos_sin(x: Decimal) -> tuple[Decimal, Decimal]:
    # Taylor series of both at once, for 0 <= x <= 1: 40 terms are far past 40 digits.
    cos, sin, term = Decimal(0), Decimal(0), Decimal(1)
    for n in range(0, 40, 2):
        sign = -1 if n % 4 else 1
        cos += sign * term
        term = term * x / (n + 1)
        sin += sign * term
        term = term * x / (n + 2)
    return cos, sin


def _weight(n_in: int, n_out: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(n_in, n_out) * n_in**-0.5)


# ---- the weights that ship with the package ----------------------------------------------------------------------


def card() -> dict:
    """The shipped model's card: its shape, corpus, seed, losses, grammaticality, and the weights' sha256."""
    return json.loads(CARD.read_text(encoding="utf-8"))


def weights_sha256() -> str:
    """The sha256 that names the shipped weights: two runs with the same one ran the same model."""
    return str(card()["sha256"])


@lru_cache(1)
def load_minigpt() -> MiniGPT:
    """The trained model that ships with the package, in eval mode, loaded once.

    Raises ValueError when the file is not the one the card describes, or the grammar's vocabulary is no longer the
    one the model was trained on.
    """
    from safetensors.torch import load

    from .tokenizer import WordTokenizer

    about, data = card(), WEIGHTS.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != about["sha256"]:
        raise ValueError(f"{WEIGHTS.name} has sha256 {found}, its card says {about['sha256']}: install courselib again")
    if WordTokenizer.from_grammar().fingerprint() != about["vocabulary_sha256"]:
        raise ValueError("the grammar's words changed since the model was trained: run python -m courselib.train")
    model = MiniGPT(Config(**about["config"]))
    # clone: safetensors maps tensors at odd addresses, and on stock ops the bits of a product depend on alignment
    model.load_state_dict({name: x.clone() for name, x in load(data).items()})
    return model.eval().requires_grad_(False)
