"""What to call a wrong claim, and what the script that made it gives when it is run here.

The rule of this lab: a claim better than its evidence is `integrity` if the student's own script, run here, does not
make it; if the script makes it too, or gives nothing to go by, it is a mistake like any other, `mismatch`. So it is
when the script was changed after the file was written: a mended script beside an old file is the likeliest story at
2 a.m., and a changed date buys no points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from checker.gate import Refusal
from checker.lab02 import causes
from checker.lab02.consistency import Contradiction, compare_summaries, contradictions, tally
from checker.lab02.judge import script_changed
from checker.lab02.prompts import hidden_prompts, lab_prompts
from checker.lab02.schemas import Case, Results
from checker.lab02.work import PROPERTY_TEST, RESULTS, Work
from checker.language import N_, _, told
from checker.replay import ended_with, no_end, not_taken_along
from checker.report import Finding, Kind

SOURCES = {"lab": N_("its run on the lab's prompts"), "hidden": N_("its run on hidden prompts")}


def source(name: str) -> str:
    """What the run "lab" or "hidden" is called."""
    return _(SOURCES[name])


def contradicted(
    work: Work, fault: Contradiction, file: str, script_says_so: Callable[[Results], bool] | None = None
) -> Finding:
    """The finding for a claim in ``file`` that its neighbours contradict.

    ``script_says_so`` looks for the same claim in what the script wrote; without it, a script whose data contradict
    themselves nowhere does not make it.
    """
    message = fault.message
    kind: Kind = "mismatch"
    if fault.better:
        again, _faults = replayed(work, "hidden" if fault.where.startswith("runs.stock") else "lab")
        if again and not (script_says_so and script_says_so(again)):
            message += " " + _("The claim is the better one, and your script, run here, does not make it.")
            if work.folder.newer(PROPERTY_TEST, than=file):
                message += " " + script_changed()
            else:
                kind = "integrity"
    return finding(fault, file, message, kind)


def finding(fault: Contradiction, file: str, message: str | None = None, kind: Kind = "mismatch") -> Finding:
    return Finding(
        kind=kind,
        file=file,
        where=fault.where,
        expected=fault.expected,
        found=fault.found,
        message=message or fault.message,
    )


def replayed(work: Work, name: str) -> tuple[Results | None, list[Finding]]:
    """What the script wrote for the "lab" or "hidden" prompts, or why that is nothing to go by."""
    run = work.run(name)
    if run.outcome == "missing":
        message = _("Without the script, nothing that results.json claims can be run again.")
        return None, [Finding(kind="missing", file=PROPERTY_TEST, message=message)]
    if why := no_end(run, work.timeout):
        return None, [no_data(work, name, why)]
    try:
        found = work.replayed_results(name)
    except Refusal as refusal:
        return None, [no_data(work, name, _("Its results.json: {refusal}").format(refusal=refusal), refusal.finding)]
    if isinstance(found, list):
        return None, [
            no_data(work, name, _("In its results.json: {message}").format(message=fault.message), fault)
            for fault in found
        ]
    asked = lab_prompts() if name == "lab" else hidden_prompts(work.hidden_seed)
    faults = [of_the_run(fault, name) for fault in contradictions(found, asked)]
    return (None if faults else found), faults


def other_counts(where: str, submitted: Sequence[Case], again: Sequence[Case]) -> Iterator[Finding]:
    """Cases recorded under another promise: their bytes may be others, how many agree may not. Nobody is accused."""
    message = _("The summary is not what the cases of your script, run here, show.")
    for fault in compare_summaries(where, tally(submitted), tally(again), message):
        yield finding(fault, RESULTS)


def of_the_run(fault: Contradiction, name: str) -> Finding:
    """The finding for a contradiction in what the script wrote when it was run here."""
    place = _("results.json of {source}: {where}").format(source=source(name), where=fault.where)
    return finding(replace(fault, where=place), PROPERTY_TEST, f"{_('Your script was run here.')} {fault.message}")


def no_data(work: Work, name: str, message: str, fault: Finding | None = None) -> Finding:
    run = work.run(name)
    where = f"{source(name)}: {fault.where}" if fault and fault.where else source(name)
    return Finding(
        kind="replay",
        file=PROPERTY_TEST,
        where=where,
        expected=fault.expected if fault else _("data that can be compared"),
        found=fault.found if fault else _("none"),
        message=f"{_('Your script was run here.')} {message}{ended_with(run)}{not_taken_along(run)}",
        usual_causes=told(causes.NO_DATA),
    )
