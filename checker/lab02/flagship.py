""" "Yesterday I worked": slots.npz, as handed in, against rows computed here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from checker.faults import show
from checker.gate import Refusal
from checker.gate_npz import Array
from checker.lab02 import causes
from checker.lab02.prompts import FLAGSHIP
from checker.lab02.schemas import DumpManifest
from checker.lab02.work import DUMP, SLOTS, WORKED, Work
from checker.language import _, told
from checker.report import Finding, Kind, Rows
from courselib import bits

if TYPE_CHECKING:
    from checker.lab02.recompute import Slots

AXES = ("layer", "head", "slot", "dim")
MANIFEST = f"{WORKED}/manifest.json"
# Absolute and relative. Another order of summation moves a float32 row of this model by some 1e-6 (stock against
# fixed ops: 1.4e-6 at most, on values of up to 5.5): rows of any honest run are nearer than this, made-up ones are not.
TOLERANCE = 1e-4


def slots(work: Work) -> Iterator[Finding | str]:
    """Every byte of slots.npz: the two paths against each other, and both against the rows computed here.

    Rows recorded under another promise (order, courselib) are compared with those within TOLERANCE.
    """
    arrays, truth = work.slots, work.true_slots(FLAGSHIP)
    yield from two_paths(arrays, SLOTS)
    if not work.stored_bytes_comparable(WORKED):
        yield _("slots.npz, made under another promise: tokens compared exactly, K and V within {tolerance:g}").format(
            tolerance=TOLERANCE
        )
        yield from _tokens(truth, arrays, SLOTS)
        yield from _near_truth(truth, arrays, SLOTS)
    else:
        wrong = list(against_truth(truth, arrays, SLOTS))
        if wrong and _claims_equal(arrays) and _script_says_otherwise(work, arrays, SLOTS):
            otherwise = _("Both paths agree in the file, yet dump.py, run here, gives others.")
            wrong = [
                f.model_copy(
                    update={
                        "kind": "integrity",
                        "message": f"{f.message} {otherwise}",
                    }
                )
                for f in wrong
            ]
        yield from wrong
    yield from _manifest(work, arrays)


def difference(
    file: str, where: str, right: Array, found: Array, message: str, labels: tuple[str, str]
) -> Finding | None:
    """The first word that differs, named by layer, head, slot and dim, with both words, how far apart, and its row."""
    first = bits.first_difference(right, found)
    if first is None:
        return None
    return Finding(
        kind="mismatch",
        file=file,
        where=f"{where}: {_place(first.index)}",
        expected=f"0x{first.hex_a} ({first.value_a!r})",
        found=_("0x{hex} ({value!r}), {ulps} ULP apart; {n} of {total} words differ").format(
            hex=first.hex_b, value=first.value_b, ulps=first.ulps, n=first.n_different, total=first.n_total
        ),
        message=message,
        usual_causes=told(causes.SLOTS),
        rows=Rows(
            name=f"{where}: {_place(first.index[:-1])}",
            labels=labels,
            words=(bits.hex_words(right[first.index[:-1]]), bits.hex_words(found[first.index[:-1]])),
        ),
    )


def _place(index: tuple[int, ...]) -> str:
    return ", ".join(f"{axis} {i}" for axis, i in zip(AXES, index, strict=False))


def two_paths(arrays: dict[str, Array], file: str, prefix: str = "") -> Iterator[Finding]:
    message = _("The cached row is not the recomputed one.")
    for name in "kv":
        cached, full = arrays[f"{name}_cached"], arrays[f"{name}_full"]
        labels = (_("recomputed"), _("cached"))
        found = difference(
            file,
            _("{cached} against {full}").format(cached=f"{prefix}{name}_cached", full=f"{name}_full"),
            full,
            cached,
            message,
            labels,
        )
        if found:
            yield found


def against_truth(truth: Slots, arrays: dict[str, Array], file: str, prefix: str = "") -> Iterator[Finding]:
    yield from _tokens(truth, arrays, file, prefix)
    for name in ("k_cached", "k_full", "v_cached", "v_full"):
        message = _("The row is not the one the model computes.")
        right, labels = getattr(truth, name[0]), (_("the model's"), _("yours"))
        fault = difference(file, prefix + name, right, arrays[name], message, labels)
        if fault:
            yield fault


def _near_truth(truth: Slots, arrays: dict[str, Array], file: str) -> Iterator[Finding]:
    for name in ("k_cached", "k_full", "v_cached", "v_full"):
        right, found = getattr(truth, name[0]), arrays[name]
        far = np.argwhere(~np.isclose(found, right, rtol=TOLERANCE, atol=TOLERANCE))
        if len(far):
            first = tuple(far[0])
            yield Finding(
                kind="mismatch",
                file=file,
                where=f"{name}: {_place(first)}",
                expected=_("{value!r}, within {tolerance:g}").format(value=float(right[first]), tolerance=TOLERANCE),
                found=_("{value!r}; {n} of {total} values are too far off").format(
                    value=float(found[first]), n=len(far), total=right.size
                ),
                message=_("The row is not the one the model computes, nor near it."),
                usual_causes=told(causes.SLOTS),
            )


def _tokens(truth: Slots, arrays: dict[str, Array], file: str, prefix: str = "") -> Iterator[Finding]:
    right, found = truth.tokens.tolist(), arrays["tokens"].tolist()
    if right != found:
        yield Finding(
            kind="mismatch",
            file=file,
            where=f"{prefix}tokens",
            expected=show(right),
            found=show(found),
            message=_("The tokens are not those of the prompt and of the word decoded after it."),
            usual_causes=[_("the word was sampled; the dump decodes greedily: the largest logit")],
        )


def _claims_equal(arrays: dict[str, Array]) -> bool:
    return all(bits.equal(arrays[f"{name}_cached"], arrays[f"{name}_full"]) for name in "kv")


def _script_says_otherwise(work: Work, arrays: dict[str, Array], file: str) -> bool:
    """Does dump.py, run here, give slots, and other ones? Where it gives none, nothing is said; nor where it was
    changed after ``file`` was written."""
    if work.folder.newer(DUMP, than=file):
        return False
    try:
        again = work.replayed_slots("dump", FLAGSHIP)
    except Refusal:
        return False
    return not all(bits.equal(arrays[name], again[name]) for name in again)


def _manifest(work: Work, arrays: dict[str, Array]) -> Iterator[Finding]:
    try:
        manifest = work.manifest(MANIFEST)
    except Refusal:
        return  # the task `manifest` says so
    if not isinstance(manifest, DumpManifest):
        return
    differing = counts(arrays, manifest)["results_summary.differing"][0]
    right: dict[str, tuple[object, object]] = {
        **counts(arrays, manifest),
        "config.decoded": (work.true_slots(FLAGSHIP).decoded, manifest.config.decoded),
    }
    for where, (expected, found) in right.items():
        if expected == found:
            continue
        better = where.endswith("differing") and manifest.results_summary.differing < differing
        kind: Kind = "integrity" if better and _script_says_otherwise(work, arrays, MANIFEST) else "mismatch"
        message = _("The manifest does not say what slots.npz holds.")
        yield Finding(
            kind=kind, file=MANIFEST, where=where, expected=show(expected), found=show(found), message=message
        )


def counts(arrays: dict[str, Array], manifest: DumpManifest) -> dict[str, tuple[int, int]]:
    """By field of the manifest: how many rows there are and how many differ, as the arrays have it and as it says."""
    masks = [(bits.words(arrays[f"{name}_cached"]) != bits.words(arrays[f"{name}_full"])).any(axis=-1) for name in "kv"]
    return {
        "results_summary.rows": (sum(mask.size for mask in masks), manifest.results_summary.rows),
        "results_summary.differing": (sum(int(mask.sum()) for mask in masks), manifest.results_summary.differing),
    }
