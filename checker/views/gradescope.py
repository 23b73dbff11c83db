"""The report as the results.json that Gradescope asks of an autograder.

Format: gradescope-autograders.readthedocs.io, "Output format". A run_autograder script has
--submission /autograder/submission --format gradescope --output /autograder/results/results.json write it.
"""

from __future__ import annotations

import json

from checker.faults import printable
from checker.language import _
from checker.report import Report, TaskResult
from checker.spec import Lab
from checker.views import words


def draw(report: Report, lab: Lab) -> str:
    results = {
        "score": float(report.score.points),
        "execution_time": round(report.durations.get("total", 0.0)),
        "output": _text(_about(report)),
        "output_format": "text",
        "test_output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",  # the instructor's: what a student may read is in the outputs
        "tests": [_test(task, n) for n, task in enumerate(report.tasks, 1) if task.asked],
        "extra_data": {"verdict": report.verdict, "fingerprint": report.submission.fingerprint},
    }
    return json.dumps(results, indent=2) + "\n"


def _about(report: Report) -> str:
    """What is said of the submission as a whole."""
    parts = [
        _("Verdict: {verdict}. {meaning}").format(
            verdict=_(words.NAMES[report.verdict]), meaning=_(words.VERDICTS[report.verdict])
        )
    ]
    if report.findings:
        parts.append(words.plain_all(report.findings))
    parts += [f"{words.printed(replay)}\n{replay.output_tail}" for replay in words.outputs(report)]
    # The hidden inputs are the class's: who still works on it gets no seed to draw them with.
    evidence = report.evidence.model_copy(update={"hidden_seed": None})
    lines = words.evidence(report.model_copy(update={"evidence": evidence}))
    parts.append("\n".join([*lines, words.sandbox(report)]))
    return "\n\n".join(parts)


def _test(task: TaskResult, number: int) -> dict[str, object]:
    lines = [*task.notes]
    if task.because:
        lines.append(_("Not run: {because}.").format(because=task.because))
    if task.findings:
        lines.append(words.plain_all(task.findings))
    return {
        "number": str(number),
        "name": _text(f"{task.id}: {task.title}"),
        "score": float(task.points),
        "max_score": float(task.possible),
        "status": "passed" if task.status == "passed" else "failed",  # it knows no third
        "output": _text("\n".join(lines)),
        "visibility": "visible",
    }


def _text(text: str) -> str:
    return printable(text, keep="\n")
