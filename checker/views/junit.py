"""The report as JUnit XML, which CI servers read: one testsuite for the lab, one testcase for each task."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from checker.faults import printable
from checker.language import _
from checker.report import Report, TaskResult
from checker.spec import Lab
from checker.views import words


def draw(report: Report, lab: Lab) -> str:
    total = report.durations.get("total", 0.0)
    failed = sum(task.status == "failed" for task in report.tasks)
    skipped = sum(task.status == "not run" for task in report.tasks)
    # Where no task was run there is no failure, and a server would show green: the submission is a case of its own.
    error = words.plain_all(report.findings) if report.findings else None
    if report.verdict == "not started":
        error = _(words.VERDICTS[report.verdict])
    counts = {
        "tests": str(len(report.tasks) + bool(error)),
        "failures": str(failed),
        "errors": str(int(bool(error))),
        "skipped": str(skipped),
        "time": f"{total:.3f}",
    }
    suites = ET.Element("testsuites", {"name": "checker", **counts})
    started = report.started.removesuffix("+00:00")  # the format knows no time zone
    name = _legal(_("Lab {lab}: {title}").format(lab=report.lab, title=report.title))
    suite = ET.SubElement(suites, "testsuite", {"name": name, "timestamp": _legal(started), **counts})
    properties = ET.SubElement(suite, "properties")
    for key, value in _properties(report).items():
        ET.SubElement(properties, "property", {"name": key, "value": _legal(value)})
    if error:
        case = _case(suite, report, "submission", _("The submission"))
        ET.SubElement(case, "error", {"message": _legal(error.splitlines()[0]), "type": report.verdict}).text = _legal(
            error
        )
    for task in report.tasks:
        _draw(_case(suite, report, task.id, task.title), task)
    out = [f"{words.printed(replay)}\n{replay.output_tail}" for replay in words.outputs(report)]
    ET.SubElement(suite, "system-out").text = _legal(
        "\n\n".join([*words.evidence(report), words.sandbox(report), *out])
    )
    ET.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _case(suite: ET.Element, report: Report, id_: str, title: str) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", {"classname": f"lab{_legal(report.lab)}", "name": _legal(f"{id_}: {title}")}
    )


def _draw(case: ET.Element, task: TaskResult) -> None:
    if task.status == "not run":
        ET.SubElement(case, "skipped", {"message": _legal(task.because or "")})
    elif task.status == "failed":
        first = words.in_order(task.findings)[0]
        failure = ET.SubElement(case, "failure", {"message": _legal(first.message), "type": first.kind})
        points = _("{points} of {possible} points").format(points=task.points, possible=task.possible)
        failure.text = _legal(f"{points}\n\n{words.plain_all(task.findings)}")
    if task.notes:
        ET.SubElement(case, "system-out").text = _legal("\n".join(task.notes))


def _properties(report: Report) -> dict[str, str]:
    return {
        "verdict": report.verdict,
        "points": str(report.score.points),
        "possible": str(report.score.possible),
        "submission": report.submission.path,
        **{name: value for name, value in report.environment if value is not None},
    }


def _legal(text: str) -> str:
    """XML knows most control characters not even as entities."""
    return printable(text, keep="\n")
