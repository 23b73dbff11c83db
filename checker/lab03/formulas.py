"""costs.py against what is right, number by number: whole, exact, and a wrong one told what it is if that is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from checker.check import Part
from checker.claims import mismatch
from checker.collected import refused_or
from checker.faults import show
from checker.lab03 import causes, mistakes, truth
from checker.lab03.claims import replayed
from checker.lab03.schemas import Costs, Formulas, Generation, Number, SaidGeneration, SaidStep, Step
from checker.lab03.stored import is_right
from checker.lab03.work import COSTS, Work
from checker.language import N_, _, ngettext
from checker.report import Finding

Item = Finding | Part | str
TODO = {"flops": 1, "weight_bytes": 2, "kv_bytes_read": 3, "kv_bytes_written": 3, "cache_bytes": 3}
WHAT = {
    "flops": N_("FLOPs"),
    "weight_bytes": N_("Bytes of weights read"),
    "kv_bytes_read": N_("Bytes of K and V read"),
    "kv_bytes_written": N_("Bytes of K and V written"),
    "cache_bytes": N_("Memory of the cache"),
}
Case = Step | Generation
C = TypeVar("C", Step, Generation)
Said = SaidStep | SaidGeneration


def costs(work: Work) -> Iterator[Item]:
    """One forward pass: five functions, each right in every case or not."""
    found, faults = _formulas(work)
    yield from faults
    if found is not None:
        yield from judged(work.steps, found.steps, truth.of_step, mistakes.named)
        n = len(work.steps) * len(truth.QUANTITIES)
        work.recomputed(_("costs.py: {n} numbers for forward passes, of the lab's and of hidden shapes").format(n=n))


def generation(work: Work) -> Iterator[Item]:
    """A whole generation: the sums over its passes."""
    found, faults = _formulas(work)
    yield from faults
    if found is not None:
        yield from judged(work.generations, found.generations, truth.of_generation, mistakes.named_of_generation)
        n = len(work.generations) * len(truth.QUANTITIES)
        work.recomputed(_("costs.py: {n} numbers for whole generations, the lab's and hidden ones").format(n=n))


def _formulas(work: Work) -> tuple[Formulas | None, list[Finding]]:
    found = refused_or(lambda: work.formulas)
    return (found if isinstance(found, Formulas) else None), replayed(work, "formulas", found)


def judged(
    asked: Sequence[C], said: Sequence[Said], truth_of: Callable[[C], Costs], named: Callable[..., str]
) -> Iterator[Item]:
    """A finding for each quantity that is wrong somewhere, and one for all that are not begun."""
    right = {name: [getattr(truth_of(case), name) for case in asked] for name in truth.QUANTITIES}
    found = {name: [getattr(each.formula, name) for each in said] for name in truth.QUANTITIES}
    open_ = [name for name in truth.QUANTITIES if not any(found[name])]
    if open_:
        todo = sorted({TODO[name] for name in open_} if isinstance(asked[0], Step) else {4})
        message = _("TODO {todo} of costs.py: not begun yet, it gives 0 in every case.")
        message = message.format(todo=", ".join(map(str, todo)))
        first = f"{open_[0]}, {describe(asked[0])}"
        yield mismatch(COSTS, first, show(right[open_[0]][0]), show(found[open_[0]][0]), message)
    done = 0
    for name in truth.QUANTITIES:
        wrong = [i for i, (a, b) in enumerate(zip(right[name], found[name], strict=True)) if not is_right(b, a)]
        done += not wrong
        if wrong and name not in open_:
            yield _wrong(name, wrong, asked, right[name], found[name], named)
    yield Part(done, of=len(truth.QUANTITIES))


def _wrong(
    quantity: str,
    wrong: list[int],
    asked: Sequence[Case],
    right: list[int],
    found: list[Number],
    named: Callable[..., str],
) -> Finding:
    """The first case in which the quantity is wrong, how many there are, and which mistake it is if that is known."""
    message = ngettext("{what}: {n} of {total} is wrong.", "{what}: {n} of {total} are wrong.", len(wrong))
    message = message.format(what=_(WHAT[quantity]), n=len(wrong), total=len(asked))
    if all(isinstance(b, float) and b == a for a, b in zip(right, found, strict=True) if a):
        cause = _("The value is right, and it is a float: / makes one, // does not.")
    else:
        cause = named(quantity, asked, found)
    one = asked[wrong[0]]
    usual = causes.COSTS[quantity] if isinstance(one, Step) else causes.GENERATION
    where, expected, given = f"{quantity}, {describe(one)}", show(right[wrong[0]]), show(found[wrong[0]])
    return mismatch(COSTS, where, expected, given, f"{message} {cause}".strip(), [] if cause else usual)


def describe(case: Case) -> str:
    """The case in the letters of the brief."""
    c = case.shape
    gate = "SwiGLU" if c.activation == "swiglu" else "GELU"
    head = _("tied head") if c.tied_head else _("a head of its own")
    shape = (
        f"L {c.n_layers}, D {c.dim}, H {c.n_heads}, H_kv {c.n_kv_heads}, F {c.ff_dim}, V {c.vocab_size}, {gate}, {head}"
    )
    if isinstance(case, Step):
        return f"{case.id}: B {case.B}, T {case.T}, S {case.S}, size {case.size} ({shape})"
    how = _("with a cache") if case.cache else _("without a cache")
    return f"{case.id}: B {case.B}, prompt {case.prompt}, new {case.new}, {how}, size {case.size} ({shape})"
