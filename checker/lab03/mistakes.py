"""Well-known wrong formulas, so that a wrong number can be told what it is.

A cause is named only where the student's numbers are, in every case that was asked about, exactly what the mistake
gives: one mistake, or two together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from checker.lab03 import truth
from checker.lab03.schemas import Generation, Number, Shape, Step
from checker.language import N_, _

Made = frozenset[str]  # the mistakes that were made, by name


# ---- one pass --------------------------------------------------------------------------------------------------------

OF_WEIGHTS = {
    "no-head": N_("the head is left out"),
    "tied-no-head": N_("a tied head is left out: it has no matrix of its own, and is multiplied with all the same"),
    "embedding-too": N_("the embedding is counted as a matrix product: it is a lookup"),
    "all-heads": N_("K and V are given as many heads as the queries have: there are H_kv of them"),
    "one-of-kv": N_("of K and V only one is counted in the product that makes q, k and v"),
    "no-qkv": N_("the product that makes q, k and v is left out"),
    "no-out": N_("the product after attention, with w_o, is left out"),
    "no-gate": N_("SwiGLU is counted with one matrix on the way up: it has two, gate and up"),
    "gate-in-gelu": N_("GELU is counted with a gate: only SwiGLU has one"),
    "no-down": N_("the product on the way down is left out"),
    "one-layer": N_("one layer is counted, not L"),
}
OF_FLOPS = {
    **OF_WEIGHTS,
    "multiply-add-is-one": N_("a multiplication and its addition are counted as one: they are two"),
    "no-attention": N_("attention's two products are left out"),
    "one-product": N_("one of attention's two products is counted: q.k, and the sum over v, are two"),
    "kv-heads-attend": N_("attention is counted for H_kv heads: every one of the H query heads has its own products"),
    "not-itself": N_("a token is not counted among the slots that it sees"),
    "held-only": N_("only the slots held before are counted: the tokens of this call are seen too"),
    "all-see-all": N_("every token of the call is taken to see all S + T slots: one sees no token after it"),
    "all-see-one-more": N_(
        "every token of the call is taken to see S + 1 slots: that is the first, the next sees S + 2"
    ),
    "half-a-square": N_("the causal part is taken for half of the square: with the diagonal it is T (T + 1) / 2"),
    "head-everywhere": N_("the head is counted for every token: logits are made for the last one of each sequence"),
    "no-batch": N_("B is left out"),
    "head-once": N_("the head is counted once, not once a sequence"),
}
OF_SIZE = {
    "bits": N_("it is in bits: a byte has eight"),
    "numbers": N_("it counts numbers, not bytes: size is left out"),
    "always-four": N_("every number is taken to have 4 bytes: size says how many it has"),
}
OF_WEIGHT_BYTES = {**OF_WEIGHTS, **OF_SIZE}
OF_KV = {
    **OF_SIZE,
    "all-heads": N_("as many heads are counted as the queries have: K and V have H_kv"),
    "no-heads": N_("one head is counted, not H_kv"),
    "one-of-kv": N_("of K and V only one is counted"),
    "one-layer": N_("one layer is counted, not L"),
    "no-batch": N_("B is left out"),
}
OF_KV_READ = {
    **OF_KV,
    "held-only": N_("only the slots held before are counted: attention reads the rows of this call too"),
    "new-only": N_("only the rows of this call are counted: attention reads all S + T slots"),
    "every-row": N_("every token reads all slots again: a slot is read once in a pass"),
}
OF_KV_WRITTEN = OF_KV
OF_CACHE = {**OF_KV, "room": N_("it is memory for max_slots, not for the slots that were asked for")}


def weights(c: Shape, m: Made) -> tuple[int, int]:
    """Numbers in the matrices of all layers, and in the head."""
    kv = c.n_heads if "all-heads" in m else c.n_kv_heads
    qkv = c.dim * (c.n_heads + (1 if "one-of-kv" in m else 2) * kv) * c.head_dim
    gated = (c.activation == "swiglu" and "no-gate" not in m) or (c.activation == "gelu" and "gate-in-gelu" in m)
    up, down = (2 if gated else 1) * c.dim * c.ff_dim, c.ff_dim * c.dim
    layer = qkv * ("no-qkv" not in m) + c.dim**2 * ("no-out" not in m) + up + down * ("no-down" not in m)
    head = c.dim * c.vocab_size
    if "no-head" in m or ("tied-no-head" in m and c.tied_head):
        head = 0
    return (1 if "one-layer" in m else c.n_layers) * layer, head


def flops(case: Step, m: Made) -> int:
    c, B, T, S = case.shape, case.B, case.T, case.S
    layers, head = weights(c, m)
    row = (T if "head-everywhere" in m else 1) * head
    embedding = T * c.dim * c.vocab_size if "embedding-too" in m else 0
    seen = T * S + T * (T + 1) // 2
    if "not-itself" in m:
        seen -= T
    if "held-only" in m:
        seen = T * S
    if "all-see-all" in m:
        seen = T * (S + T)
    if "all-see-one-more" in m:
        seen = T * (S + 1)
    if "half-a-square" in m:
        seen = T * S + T * T // 2
    heads = c.n_kv_heads if "kv-heads-attend" in m else c.n_heads
    products = 0 if "no-attention" in m else 1 if "one-product" in m else 2
    attention = products * (1 if "one-layer" in m else c.n_layers) * heads * c.head_dim * seen
    batch = 1 if "no-batch" in m else B
    total = batch * (T * layers + embedding + attention) + (1 if "head-once" in m else batch) * row
    return total * (1 if "multiply-add-is-one" in m else 2)


def weight_bytes(case: Step, m: Made) -> int:
    embedding = case.shape.dim * case.shape.vocab_size if "embedding-too" in m else 0
    return (sum(weights(case.shape, m)) + embedding) * _size(case, m)


def _size(case: Step, m: Made) -> int:
    size = 4 if "always-four" in m else 1 if "numbers" in m else case.size
    return size * (8 if "bits" in m else 1)


def _slot(case: Step, m: Made) -> int:
    c = case.shape
    heads = c.n_heads if "all-heads" in m else 1 if "no-heads" in m else c.n_kv_heads
    layers = 1 if "one-layer" in m else c.n_layers
    batch = 1 if "no-batch" in m else case.B
    return (1 if "one-of-kv" in m else 2) * layers * heads * c.head_dim * batch * _size(case, m)


def kv_bytes_read(case: Step, m: Made) -> int:
    slots = case.S if "held-only" in m else case.T if "new-only" in m else case.S + case.T
    return slots * (case.T if "every-row" in m else 1) * _slot(case, m)


def kv_bytes_written(case: Step, m: Made) -> int:
    return case.T * _slot(case, m)


def cache_bytes(case: Step, m: Made) -> int:
    return (512 if "room" in m else case.S + case.T) * _slot(case, m)


@dataclass(frozen=True)
class Known:
    """One function of costs.py: how it comes out with mistakes, and what each is called."""

    of: Callable[[Step, Made], int]
    says: dict[str, str]


KNOWN = {
    "flops": Known(flops, OF_FLOPS),
    "weight_bytes": Known(weight_bytes, OF_WEIGHT_BYTES),
    "kv_bytes_read": Known(kv_bytes_read, OF_KV_READ),
    "kv_bytes_written": Known(kv_bytes_written, OF_KV_WRITTEN),
    "cache_bytes": Known(cache_bytes, OF_CACHE),
}


def named(quantity: str, asked: Sequence[Step], found: Sequence[Number]) -> str:
    """The one mistake that gives just these numbers, or the only two that do so together; "" if none is known."""
    known = KNOWN[quantity]

    def gives(*made: str) -> bool:
        return all(known.of(case, frozenset(made)) == said for case, said in zip(asked, found, strict=True))

    for mistake in known.says:
        if gives(mistake):
            return one(known.says[mistake])
    pairs = [pair for pair in combinations(known.says, 2) if gives(*pair)]
    if len(pairs) != 1:
        return ""
    first, second = (_(known.says[mistake]) for mistake in pairs[0])
    return _("It is exactly what these two mistakes give together: {first}; and {second}.").format(
        first=first, second=second
    )


def one(cause: str) -> str:
    return _("It is exactly what this mistake gives: {cause}.").format(cause=_(cause))


# ---- a whole generation ----------------------------------------------------------------------------------------------

Passes = list[tuple[int, int]]  # T and S of each

Change = Callable[[Generation, Passes], Passes]


def _more(case: Generation, passes: Passes) -> Passes:
    return [*passes, _after(case, passes[-1])]


def _less(case: Generation, passes: Passes) -> Passes:
    return passes[:-1]


def _only(cache: bool, change: Change) -> Change:
    return lambda case, passes: change(case, passes) if case.cache == cache else passes


TOO_MANY = N_("there is one pass too many: the last new token goes through the model no more")
TOO_FEW = N_("the last pass is missing")
OF_GENERATION: dict[str, tuple[str, Change]] = {
    "one-pass-more": (TOO_MANY, _more),
    "one-pass-more-cached": (TOO_MANY, _only(True, _more)),
    "one-pass-more-uncached": (TOO_MANY, _only(False, _more)),
    "one-pass-less": (TOO_FEW, _less),
    "one-pass-less-cached": (TOO_FEW, _only(True, _less)),
    "one-pass-less-uncached": (TOO_FEW, _only(False, _less)),
    "no-prompt": (
        N_("the pass over the prompt is missing; the first new token comes from it"),
        lambda case, passes: passes[1:],
    ),
    "one-slot-more": (
        N_("each decode step is given one slot too many: at the first of them the prompt is held, and nothing else"),
        lambda case, passes: [passes[0], *((T, S + 1) for T, S in passes[1:])] if case.cache else passes,
    ),
    "one-slot-less": (
        N_("each decode step is given one slot too few: at the first of them the whole prompt is held"),
        lambda case, passes: [passes[0], *((T, S - 1) for T, S in passes[1:])] if case.cache else passes,
    ),
    "one-token-more": (
        N_("without a cache each pass has one token too many: the first of them is over the prompt alone"),
        lambda case, passes: passes if case.cache else [(T + 1, S) for T, S in passes],
    ),
    "cached-all-again": (
        N_("with a cache, all tokens are counted in every pass: only the new one goes through the model"),
        lambda case, passes: list(truth.passes_of(case.prompt, case.new, False)) if case.cache else passes,
    ),
    "prompt-one-by-one": (
        N_("the prompt is fed one token at a time: it is one pass"),
        lambda case, passes: [*((1, t) for t in range(case.prompt)), *passes[1:]] if case.cache else passes,
    ),
}
WEIGHTS_ONCE = N_("the weights are read once in all: each pass reads them again")
FULL_TO_THE_END = N_("the last new token is counted among the slots held: it has not been through the model")
UNCACHED_WRITES = N_("without a cache nothing is written to one, and none is held")
NO_READ_UNCACHED = N_("without a cache, too, attention reads the K and V rows that the pass has just made")


def _after(case: Generation, last: tuple[int, int]) -> tuple[int, int]:
    T, S = last
    return (1, S + T) if case.cache else (T + 1, 0)


def of_passes(quantity: str, case: Generation, passes: Passes) -> int:
    each = [getattr(truth.of_pass(case.shape, case.B, T, S, case.size), quantity) for T, S in passes]
    if quantity == "cache_bytes":
        return each[-1] if case.cache and each else 0
    return 0 if quantity == "kv_bytes_written" and not case.cache else sum(each)


def named_of_generation(quantity: str, asked: Sequence[Generation], found: Sequence[Number]) -> str:
    """The mistake that gives just these numbers, if it is known and alone in that."""

    def all_passes(case: Generation) -> Passes:
        return list(truth.passes_of(case.prompt, case.new, case.cache))

    def gives(wrong: Callable[[Generation], int]) -> bool:
        return all(wrong(case) == said for case, said in zip(asked, found, strict=True))

    def written_anyway(case: Generation) -> int:
        return of_passes(quantity, case.model_copy(update={"cache": True}), all_passes(case))

    def one_more(case: Generation) -> Passes:
        return [*all_passes(case), _after(case, all_passes(case)[-1])]

    own: dict[str, tuple[str, Callable[[Generation], int]]] = {
        "weight_bytes": (WEIGHTS_ONCE, lambda case: of_passes(quantity, case, all_passes(case)[:1])),
        "cache_bytes": (FULL_TO_THE_END, lambda case: of_passes(quantity, case, one_more(case))),
        "kv_bytes_written": (UNCACHED_WRITES, written_anyway),
        "kv_bytes_read": (
            NO_READ_UNCACHED,
            lambda case: of_passes(quantity, case, all_passes(case)) if case.cache else 0,
        ),
    }
    if quantity in own and gives(own[quantity][1]):
        return one(own[quantity][0])
    known = []
    for says, change in OF_GENERATION.values():

        def wrong(case: Generation, change: Change = change) -> int:
            return of_passes(quantity, case, change(case, all_passes(case)))

        if gives(wrong):
            known.append(says)
    return one(known[0]) if len(known) == 1 else ""
