"""What results.json says about itself: each count, each divergence, each digest against its neighbours.

No model is needed here. A ``Contradiction`` is ``better`` when the claim looks better than the data beside it (a
summary of 50 over 48 equal cases), and worse or merely wrong otherwise; what to call it is the task's decision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from checker.faults import show
from checker.lab02.prompts import Ask, extended_prompts, n_tokens
from checker.lab02.schemas import MAX_NEW_TOKENS, Case, Extended, FixedRun, Results, Rows, StockRun, Summary
from checker.language import _, ngettext

LONG = 256


@dataclass(frozen=True)
class Contradiction:
    where: str
    expected: str
    found: str
    message: str
    better: bool = False


def contradictions(results: Results, asked: Sequence[Ask]) -> Iterator[Contradiction]:
    """Every place where the runs, made for the prompts ``asked``, contradict themselves or what was asked."""
    for name, run in (("fixed", results.runs.fixed), ("stock", results.runs.stock)):
        if run is not None:
            yield from _run(f"runs.{name}", run, asked)


def extended_contradictions(extended: Extended) -> Iterator[Contradiction]:
    """The same for the extended cases."""
    for (where, case), ask in zip(extended_cases(extended).items(), extended_prompts(), strict=True):
        yield from _case(where, case, ask, LONG if ask.id == "long" else MAX_NEW_TOKENS)


def extended_cases(extended: Extended) -> dict[str, Case]:
    """Where each stands in the file -> the case, in the order of ``extended_prompts``."""
    batch = {f"extended.batch[{i}]": case for i, case in enumerate(extended.batch)}
    return {"extended.long": extended.long, **batch, "extended.warm": extended.warm}


def first_divergence(case: Case) -> int | None:
    """The first new token that differs, from the token lists themselves."""
    a, b = case.tokens.cached, case.tokens.uncached
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return None if len(a) == len(b) else min(len(a), len(b))


def bytes_equal(case: Case) -> bool:
    """By the digests, not by the counts beside them."""
    return all(rows.cached == rows.uncached for rows in (case.k, case.v, case.logits))


def tally(cases: Sequence[Case]) -> Summary:
    """The summary that ``cases`` deserve."""
    divergences = [d for d in map(first_divergence, cases) if d is not None]
    n_bytes = sum(map(bytes_equal, cases))
    return Summary(
        n=len(cases),
        tokens_passed=len(cases) - len(divergences),
        tokens_failed=len(divergences),
        bytes_passed=n_bytes,
        bytes_failed=len(cases) - n_bytes,
        first_divergence_step_min=min(divergences, default=None),
        first_divergence_step_max=max(divergences, default=None),
    )


def compare_summaries(where: str, found: Summary, deserved: Summary, message: str) -> Iterator[Contradiction]:
    """``found`` against what the cases show, field by field; ``message`` says which cases."""
    more_is_better = {"tokens_passed", "bytes_passed"}
    less_is_better = {"tokens_failed", "bytes_failed"}
    for name, value in found.model_dump().items():
        right = getattr(deserved, name)
        if value == right:
            continue
        better = (name in more_is_better and value > right) or (name in less_is_better and value < right)
        better = better or (name.startswith("first_divergence") and value is None)
        yield Contradiction(f"{where}.{name}", show(right), show(value), message, better)


def _run(where: str, run: FixedRun | StockRun, asked: Sequence[Ask]) -> Iterator[Contradiction]:
    if len(run.cases) != len(asked):
        message = _("There must be one case for each prompt.")
        yield Contradiction(f"{where}.cases", _cases(len(asked)), _cases(len(run.cases)), message)
        return
    for i, (case, ask) in enumerate(zip(run.cases, asked, strict=True)):
        yield from _case(f"{where}.cases[{i}]", case, ask, MAX_NEW_TOKENS)
    message = _("The summary is not what its cases show.")
    yield from compare_summaries(f"{where}.summary", run.summary, tally(run.cases), message)


def _case(where: str, case: Case, ask: Ask, n_new: int) -> Iterator[Contradiction]:
    wanted = {**ask.to_json(), "prompt_tokens": n_tokens(ask.prompt)}
    for name, value in wanted.items():
        if getattr(case, name) != value:
            message = _("The case is not the one that was asked for.")
            yield Contradiction(f"{where}.{name}", show(value), show(getattr(case, name)), message)
            return
    for path in ("cached", "uncached"):
        n = len(getattr(case.tokens, path))
        if n != n_new:
            message = _("A generation has another number of new tokens than was asked for.")
            yield Contradiction(f"{where}.tokens.{path}", _tokens(n_new), _tokens(n), message)
            return
    right = first_divergence(case)
    claimed = case.tokens.first_divergence
    if claimed != right:
        message = _("The first divergence is not where the two token lists first differ.")
        yield Contradiction(
            f"{where}.tokens.first_divergence", show(right), show(claimed), message, better=claimed is None
        )
    n_slots = case.prompt_tokens + n_new - 1
    for name, rows, unit in (("k", case.k, n_slots), ("v", case.v, n_slots), ("logits", case.logits, n_new)):
        yield from _rows(f"{where}.{name}", rows, unit, exact=name == "logits")


def _rows(where: str, rows: Rows, unit: int, exact: bool) -> Iterator[Contradiction]:
    """K and V have a row for each of ``unit`` slots in every layer and head; logits one for each new token."""
    if rows.rows == 0 or rows.rows % unit or (exact and rows.rows != unit):
        expected = str(unit) if exact else _("a multiple of the {unit} slots held").format(unit=unit)
        yield Contradiction(f"{where}.rows", expected, str(rows.rows), _("The number of rows cannot be right."))
    if rows.differing > rows.rows:
        message = _("More rows differ than there are.")
        yield Contradiction(
            f"{where}.differing", _("at most {rows}").format(rows=rows.rows), str(rows.differing), message
        )
    same = rows.cached == rows.uncached
    if same and rows.differing:
        message = _("Rows are said to differ, yet the two digests are the same.")
        yield Contradiction(f"{where}.differing", "0", str(rows.differing), message)
    if not same and not rows.differing:
        message = _("No row is said to differ, yet the two digests do.")
        yield Contradiction(f"{where}.differing", _("at least 1"), "0", message, better=True)


def _cases(n: int) -> str:
    return ngettext("{n} case", "{n} cases", n).format(n=n)


def _tokens(n: int) -> str:
    return ngettext("{n} token", "{n} tokens", n).format(n=n)
