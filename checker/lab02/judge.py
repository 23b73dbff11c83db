"""Cases against the truth: those in results.json, and those the student's script gave when it was run here.

When a claim is wrong, who is contradicted decides what it is called. A file that admits a difference, or that says
what the script says too, holds an honest mistake: ``mismatch``. A claim of equality that neither the model nor the
student's own script bears out is ``integrity``: so is an answer that is right on the lab's prompts only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from checker.faults import show
from checker.lab02 import causes
from checker.lab02.prompts import Ask
from checker.lab02.recompute import Truth, is_a_run_of_the_model
from checker.lab02.schemas import Case
from checker.language import _, told
from checker.report import Finding, Kind

OtherSeeding = Callable[[Ask], Truth | None]


@dataclass(frozen=True)
class Wrong:
    """The first place where a case is not the truth. ``admitted``: the case itself says its two paths differ."""

    where: str
    expected: str
    found: str
    message: str
    causes: list[str]
    admitted: bool = False
    tokens: bool = False  # the tokens themselves are not the model's


@dataclass(frozen=True)
class Pair:
    """One prompt: what was asked, the truth, where the case stands in the file, and both accounts of it."""

    where: str
    ask: Ask
    truth: Truth
    submitted: Case | None  # None: not compared (recorded under another promise, or there is none)
    replayed: Case | None  # None: the script gave no data


def judge(
    pairs: Sequence[Pair],
    file: str,
    script: str,
    source: str,
    other: OtherSeeding,
    known: bool = False,
    changed: bool = False,
) -> Iterator[Finding]:
    """Every wrong case of a file (``submitted``) and of a run of its script (``replayed``).

    ``known``: these are hidden prompts, and on the lab's own every answer of the script was right. ``changed``: the
    script is newer than the file, so that it is no wonder if the two do not agree, and nobody is accused of it.
    """
    for pair in pairs:
        in_file = pair.submitted and wrong(pair.submitted, pair.ask, pair.truth, other)
        in_run = pair.replayed and wrong(pair.replayed, pair.ask, pair.truth, other)
        if in_run and not (in_file and pair.submitted == pair.replayed):
            contradicts = pair.submitted is not None and not in_file
            kind, message = _of_the_run(in_run, pair, contradicts, known, changed)
            place = _("results.json of {source}: {where}").format(source=source, where=f"{pair.where}.{in_run.where}")
            yield _finding(kind, script, place, in_run, message)
        if in_file:
            kind, message = _of_the_file(in_file, pair, changed)
            yield _finding(kind, file, f"{pair.where}.{in_file.where}", in_file, message)


def wrong(case: Case, ask: Ask, truth: Truth, other: OtherSeeding) -> Wrong | None:
    """The first place where ``case`` differs from ``truth`` (the same prompt seeded the other way is as good)."""
    if admitted := _admitted(case):
        return admitted
    if case.tokens.cached != truth.tokens:
        again = other(ask)
        if again and case.tokens.cached == again.tokens:
            truth = again
    for path in ("cached", "uncached"):
        tokens: list[int] = getattr(case.tokens, path)
        if tokens != truth.tokens:
            at = next(i for i, (a, b) in enumerate(zip(tokens, truth.tokens, strict=True)) if a != b)
            message = _("The tokens are not those the model gives for this prompt and seed.")
            where = f"tokens.{path}[{at}]"
            return Wrong(where, show(truth.tokens[at]), show(tokens[at]), message, causes.OTHER_RUN, tokens=True)
    for name, n_rows in (("k", truth.kv_rows), ("v", truth.kv_rows), ("logits", truth.logits_rows)):
        rows = getattr(case, name)
        if rows.rows != n_rows:
            message = _("The array has another number of rows.")
            return Wrong(f"{name}.rows", show(n_rows), show(rows.rows), message, causes.OTHER_BYTES)
        for path in ("cached", "uncached"):
            right, found = getattr(truth, name), getattr(rows, path)
            if found != right:
                message = _("The bytes are not those the model gives: their sha256 is another.")
                return Wrong(f"{name}.{path}", right, found, message, causes.OTHER_BYTES)
    return None


def _admitted(case: Case) -> Wrong | None:
    if case.tokens.first_divergence is not None:
        at = case.tokens.first_divergence
        message = _("By its own account the tokens differ with a cache and without; generated here, they do not.")
        return Wrong("tokens.first_divergence", "null", show(at), message, causes.NOT_EQUAL, admitted=True)
    for name in ("k", "v", "logits"):
        rows = getattr(case, name)
        if rows.differing:
            message = _("By its own account rows differ with a cache and without; generated here, none does.")
            found = _("{differing} of {rows} rows").format(differing=rows.differing, rows=rows.rows)
            return Wrong(f"{name}.differing", "0", found, message, causes.NOT_EQUAL, admitted=True)
    return None


def _of_the_file(fault: Wrong, pair: Pair, changed: bool) -> tuple[Kind, str]:
    if fault.admitted and pair.replayed not in (None, pair.submitted):
        return "mismatch", (
            _(
                "{message} Your script, run here, gives something else, so the file is from an "
                "earlier one: run the script in its folder, then check again."
            ).format(message=fault.message)
        )
    if fault.admitted or pair.replayed is None:
        return "mismatch", fault.message
    if pair.submitted == pair.replayed:
        if _made_up(fault, pair):
            return "integrity", _("{message} They, and the digests beside them, come from no run of the model.").format(
                message=fault.message
            )
        return "mismatch", _("{message} Your script, run here, gives the same as the file.").format(
            message=fault.message
        )
    if changed:
        return "mismatch", f"{fault.message} {script_changed()}"
    return "integrity", (
        _(
            "{message} Your script, run here, does not give them either: the file claims what "
            "nothing bears out. If the script was changed since, run it again."
        ).format(message=fault.message)
    )


def _of_the_run(fault: Wrong, pair: Pair, contradicts: bool, known: bool, changed: bool) -> tuple[Kind, str]:
    message = f"{_('Your script was run here.')} {fault.message}"
    if contradicts and changed:
        return "mismatch", f"{message} {script_changed()}"
    if contradicts:
        return "integrity", (
            _(
                "{message} The file says otherwise, and rightly; but it is this script that should "
                "have written it. If the script was changed since, run it again."
            ).format(message=message)
        )
    if not fault.admitted and _made_up(fault, pair):
        return "integrity", _("{message} They, and the digests beside them, come from no run of the model.").format(
            message=message
        )
    if not fault.admitted and not fault.tokens and known:
        return "integrity", _("{message} On the lab's own prompts, which anyone can look up, they were right.").format(
            message=message
        )
    return "mismatch", message


def script_changed() -> str:
    return _("The script was changed after the file was written: run it in its folder, then check again.")


def _made_up(fault: Wrong, pair: Pair) -> bool:
    """Tokens that are not the model's, with digests that belong to no run of the model over those tokens."""
    return fault.tokens and pair.replayed is not None and not is_a_run_of_the_model(pair.ask, pair.replayed)


def _finding(kind: Kind, file: str, where: str, fault: Wrong, message: str) -> Finding:
    return Finding(
        kind=kind,
        file=file,
        where=where,
        expected=fault.expected,
        found=fault.found,
        message=message,
        usual_causes=told(causes.STALE + fault.causes if kind == "integrity" else fault.causes),
    )
