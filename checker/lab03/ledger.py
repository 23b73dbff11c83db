"""The claims a submission of this lab makes, and what became of each once its task had looked into it.

A claim stands on the task's findings: the places they name are contradicted, and what follows from data is verified.
What only another machine, or the future, could tell is said to be so.
"""

from __future__ import annotations

from collections.abc import Iterator

from checker.lab03.schemas import Analysis, Manifest, Prediction, Results
from checker.lab03.work import ANALYSIS, CURVES, MANIFEST, PREDICTION, RESULTS, Work
from checker.language import _, ngettext
from checker.ledger import claim, or_unchecked, unchecked
from checker.report import Claim, Finding

Faults = list[Finding]


def of_the_manifest(work: Work, faults: Faults) -> Iterator[Claim]:
    found = work.manifest
    if not isinstance(found, Manifest):
        return
    text = _("manifest.json: {equal} of {values} numbers of costs.py are what was counted").format(
        equal=found.results_summary.values_equal, values=found.results_summary.values
    )
    yield claim(text, MANIFEST, faults, "results_summary")
    made = f"torch {found.versions.torch}, {found.config.ops}, {found.platform}"
    text = _("manifest.json: it was measured with {made}").format(made=made)
    yield unchecked(text, MANIFEST, _("what it was measured with leaves no trace that another machine could look at"))


def of_the_results(work: Work, faults: Faults) -> Iterator[Claim]:
    found = work.results
    if not isinstance(found, Results):
        return
    text = _("results.json: {equal} of {values} numbers of costs.py are what was counted").format(
        equal=found.summary.values_equal, values=found.summary.values
    )
    nothing = any(fault.kind in ("replay", "missing") for fault in faults)
    because = _("costs.py, run here, gave nothing to compare") if nothing else ""
    yield or_unchecked(claim(text, RESULTS, faults, "summary.values_equal", "costs"), because)
    text = ngettext(
        "results.json: {n} point was timed, with {samples} samples in all",
        "results.json: {n} points were timed, with {samples} samples in all",
        len(found.points),
    ).format(n=len(found.points), samples=sum(len(point.samples_ns) for point in found.points))
    said = claim(text, RESULTS, faults, "points", "warmup", "summary.points", "summary.samples")
    because = _("how long a step took is between that machine and its clock; only what no clock gives would show")
    yield or_unchecked(said, because)


def of_the_analysis(work: Work, faults: Faults) -> Iterator[Claim]:
    found = work.analysis
    if not isinstance(found, Analysis) or any(fault.where == "fits" for fault in faults):
        return  # fits of something else: nothing was looked into
    for i, fit in enumerate(found.fits):
        how = _("with a cache") if fit.cache else _("without a cache")
        exponent = "null" if fit.exponent is None else f"{fit.exponent:.3f}"
        text = _("analysis.json: over {sweep}, {how}, the time grows with the exponent {exponent}").format(
            sweep=fit.sweep, how=how, exponent=exponent
        )
        yield claim(text, ANALYSIS, faults, f"fits[{i}]", "results_sha256")


def of_the_figure(work: Work, faults: Faults) -> Iterator[Claim]:
    if any(fault.file == CURVES for fault in faults):
        return
    because = _("fonts make pixels differ; the figure was drawn here again, by plot.py, and that one was judged")
    yield unchecked(_("curves.png: it shows the curves"), CURVES, because)


def of_the_prediction(work: Work, faults: Faults) -> Iterator[Claim]:
    found = work.prediction
    if not isinstance(found, Prediction):
        return
    text = _("prediction.json: FLOPs, bytes and memory of the large model's step at 32,768 slots")
    yield claim(text, PREDICTION, faults, "large")
    text = _("prediction.json: the seconds follow from your own fits and medians")
    yield claim(text, PREDICTION, faults, "seconds")
    text = _("prediction.json: a step of MiniGPT at 32,768 tokens takes that long")
    yield unchecked(text, PREDICTION, _("nobody measured it: that is what makes it a prediction"))
