"""The tasks of lab 02, by the id that lab.toml gives them.

Each yields a finding for each fault and a plain string for what is worth knowing; one that yields no finding has
passed. A Refusal (a file that cannot be read) ends it with that finding. Most also say what became of the claims they
looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from checker.check import Part, with_claims
from checker.faults import show
from checker.gate import Refusal
from checker.lab02 import flagship, ledger, writing
from checker.lab02.catches import catches
from checker.lab02.claims import contradicted, finding
from checker.lab02.consistency import Contradiction, compare_summaries, contradictions, tally
from checker.lab02.diagnosis import diagnosis
from checker.lab02.dumped import dump
from checker.lab02.extended import extended
from checker.lab02.prompts import FLAGSHIP, LAB_SEED, lab_prompts, n_tokens
from checker.lab02.proof import property_
from checker.lab02.schemas import DumpManifest, Manifest, Results, Summary
from checker.lab02.work import CORRECTNESS, MANIFESTS, RESULTS, Work
from checker.language import _
from checker.report import Claim, Finding

Item = Finding | str


def manifest(work: Work) -> Iterator[Item]:
    """Both manifests are as their schemas ask, and name the weights that the course ships."""
    for name in MANIFESTS:
        try:
            found = work.manifest(name)
        except Refusal as refusal:
            yield refusal.finding
            continue
        if isinstance(found, list):
            yield from found
            continue
        right, given = work.recompute.promise()["config.weights_sha256"], found.config.weights_sha256
        if given != right:
            message = _("The weights are not the course's: courselib.minigpt.weights_sha256() gives their hash.")
            yield finding(Contradiction("config.weights_sha256", right, given, message), name)
        if isinstance(found, DumpManifest) and found.config.prompt != FLAGSHIP:
            message = _("The file is about another prompt than the lab's: run dump.py without --prompt.")
            fault = Contradiction("config.prompt", show(FLAGSHIP), show(found.config.prompt), message)
            yield finding(fault, name)
        elif isinstance(found, DumpManifest) and len(found.config.slots) != n_tokens(FLAGSHIP):
            message = _("The prompt has another number of slots.")
            fault = Contradiction("config.slots", show([0, 1]), show(found.config.slots), message)
            yield finding(fault, name)
        if isinstance(found, Manifest):
            lengths = [n_tokens(ask.prompt) for ask in lab_prompts()]
            range_ = found.config.prompt_len_range
            for field, length in (("min", min(lengths)), ("max", max(lengths))):
                if getattr(range_, field) != length:
                    message = _("The lab's prompts have another length, counted in tokens.")
                    where = f"config.prompt_len_range.{field}"
                    fault = Contradiction(where, show(length), show(getattr(range_, field)), message)
                    yield finding(fault, name)


def results(work: Work) -> Iterator[Item]:
    """results.json is as its schema asks, contradicts itself nowhere, and the manifest gives its counts."""
    found = work.results
    if isinstance(found, list):
        yield from found
        return
    if found.prompt_seed != LAB_SEED:
        message = _("The file was not made from the lab's prompts.")
        yield finding(Contradiction("prompt_seed", show(LAB_SEED), show(found.prompt_seed), message), RESULTS)
        return
    if found.runs.stock is None:
        message = _("The run on stock ops is not there: run the script without options.")
        yield finding(Contradiction("runs.stock", _("a run"), _("nothing there"), message), RESULTS)
    for fault in contradictions(found, lab_prompts()):
        yield contradicted(work, fault, RESULTS)
    beside = work.readable(lambda: work.manifest(f"{CORRECTNESS}/manifest.json"))  # or the task `manifest` says so
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
    message = _("The summary is not what the cases of results.json show.")
    for fault in compare_summaries("", claimed, deserved, message):
        field = fault.where.removeprefix(".")
        name = {"tokens_passed": "passed", "tokens_failed": "failed", "n": "passed + failed"}.get(field, field)
        fault = replace(fault, where=f"results_summary.{name}")
        yield contradicted(work, fault, f"{CORRECTNESS}/manifest.json", partial(_counts_the_same, claimed, field))


def _counts_the_same(claimed: Summary, field: str, again: Results) -> bool:
    return bool(getattr(claimed, field) == getattr(tally(again.runs.fixed.cases), field))


TASKS: dict[str, Callable[[Work], Iterator[Item | Claim | Part]]] = {
    "manifest": with_claims(manifest, ledger.of_the_manifests),
    "results": with_claims(results, ledger.of_the_counts),
    "property": with_claims(property_, ledger.of_the_property),
    "extended": with_claims(extended, ledger.of_the_extended),
    "catches": with_claims(catches, ledger.of_the_catches),
    "diagnosis": with_claims(diagnosis, ledger.of_the_diagnosis),
    "slots": with_claims(flagship.slots, ledger.of_the_slots),
    "dump": dump,
    "writing": writing.writing,
}
