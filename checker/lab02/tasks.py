"""The tasks of lab 02, by the id that lab.toml gives them.

Each yields a finding for each fault and a plain string for what is worth knowing; one that yields no finding has
passed. A Refusal (a file that cannot be read) ends it with that finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from checker.faults import show
from checker.gate import Refusal
from checker.lab02 import flagship, proof, writing
from checker.lab02.consistency import Contradiction, compare_summaries, contradictions, tally
from checker.lab02.prompts import LAB_SEED, lab_prompts, n_tokens
from checker.lab02.schemas import Manifest, Results, Summary
from checker.lab02.work import CORRECTNESS, MANIFESTS, RESULTS, Work
from checker.report import Finding, Kind

Item = Finding | str


def manifest(work: Work) -> Iterator[Item]:
    """Both manifests are as their schemas ask."""
    for name in MANIFESTS:
        try:
            found = work.manifest(name)
        except Refusal as refusal:
            yield refusal.finding
            continue
        if isinstance(found, list):
            yield from found
        elif isinstance(found, Manifest):
            lengths = [n_tokens(ask.prompt) for ask in lab_prompts()]
            given = found.config.prompt_len_range
            for field, right in (("min", min(lengths)), ("max", max(lengths))):
                if getattr(given, field) != right:
                    message = "The lab's prompts have another length, counted in tokens."
                    where = f"config.prompt_len_range.{field}"
                    fault = Contradiction(where, show(right), show(getattr(given, field)), message)
                    yield _finding(fault, name)


def results(work: Work) -> Iterator[Item]:
    """results.json is as its schema asks, contradicts itself nowhere, and the manifest gives its counts."""
    found = work.results
    if isinstance(found, list):
        yield from found
        return
    if found.prompt_seed != LAB_SEED:
        message = "The file was not made from the lab's prompts."
        yield _finding(Contradiction("prompt_seed", show(LAB_SEED), show(found.prompt_seed), message), RESULTS)
        return
    if found.runs.stock is None:
        message = "The run on stock ops is not there: run the script without options."
        yield _finding(Contradiction("runs.stock", "a run", "nothing there", message), RESULTS)
    faults = list(contradictions(found, lab_prompts()))
    for fault in faults:
        yield _finding(fault, RESULTS, _kind(work, fault, _contradicts_itself))
    try:
        beside = work.manifest(f"{CORRECTNESS}/manifest.json")
    except Refusal:
        return  # the task `manifest` says so
    if isinstance(beside, Manifest):
        yield from _manifest_counts(work, beside, found)


def _manifest_counts(work: Work, beside: Manifest, found: Results) -> Iterator[Item]:
    counts = beside.results_summary
    claimed = Summary(
        n=counts.passed + counts.failed,
        tokens_passed=counts.passed,
        tokens_failed=counts.failed,
        **counts.model_dump(exclude={"passed", "failed"}),
    )
    deserved = tally(found.runs.fixed.cases)
    for fault in compare_summaries("", claimed, deserved, "the cases of results.json"):
        field = fault.where.removeprefix(".")
        kind = _kind(work, fault, partial(_counts_the_same, claimed, field))
        name = {"tokens_passed": "passed", "tokens_failed": "failed", "n": "passed + failed"}.get(field, field)
        where = f"results_summary.{name}"
        yield _finding(
            Contradiction(where, fault.expected, fault.found, fault.message), f"{CORRECTNESS}/manifest.json", kind
        )


def _kind(work: Work, fault: Contradiction, script_says_so: Callable[[Results], bool]) -> Kind:
    """A claim that is better than its evidence is one thing if the script makes it too, another if it does not."""
    if not fault.better:
        return "mismatch"
    again, _ = proof.replayed(work, "lab")
    return "mismatch" if again is None or script_says_so(again) else "integrity"


def _counts_the_same(claimed: Summary, field: str, again: Results) -> bool:
    return bool(getattr(claimed, field) == getattr(tally(again.runs.fixed.cases), field))


def _contradicts_itself(again: Results) -> bool:
    return any(fault.better for fault in contradictions(again, lab_prompts()))


def _finding(fault: Contradiction, file: str, kind: Kind = "mismatch") -> Finding:
    message = fault.message
    if kind == "integrity":
        message += " The claim is the better one, and your script, run here, does not make it."
    return Finding(kind=kind, file=file, where=fault.where, expected=fault.expected, found=fault.found, message=message)


TASKS: dict[str, Callable[[Work], Iterator[Item]]] = {
    "manifest": manifest,
    "results": results,
    "property": proof.property_,
    "extended": proof.extended,
    "slots": flagship.slots,
    "dump": flagship.dump,
    "writing": writing.writing,
}
