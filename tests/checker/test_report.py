"""A report cannot contradict itself, and the published schemas are those of the models."""

import json

import pytest
from pydantic import ValidationError

from checker.publish import PUBLISHED, ROOT, schema_text
from checker.report import NOT_ASKED, Environment, Finding, Report, Score, Submission, TaskResult, verdict_of

FAULT = Finding(kind="mismatch", message="It is another.")
LIE = Finding(kind="integrity", message="It says more than there is.")
LINK = Finding(kind="unreadable", message="It is a link.")


def task(status="passed", findings=(), **fields):
    earned = 10 if status == "passed" else 0
    return TaskResult(
        **{"id": "t", "title": "T", "status": status, "points": earned, "possible": 10, "findings": list(findings)}
        | fields
    )


def report(tasks, **fields):
    return Report(
        **{
            "schema": "checker.report/1",
            "lab": "02",
            "title": "A lab",
            "submission": Submission(path="here"),
            "started": "2025-01-01T00:00:00+00:00",
            "verdict": verdict_of(tasks, []),
            "score": Score(points=sum(t.points for t in tasks), possible=sum(t.possible for t in tasks)),
            "tasks": tasks,
            "environment": Environment(checker="0", python="3", platform="any"),
        }
        | fields
    )


@pytest.mark.parametrize(
    ("tasks", "verdict"),
    [
        ([task()], "passed"),
        ([task(), task("failed", [FAULT])], "not passed"),
        ([task(), task("not run", because="t has not passed")], "not passed"),
        ([task(), task("not run", because=NOT_ASKED)], "passed"),
        ([task("not run", because=NOT_ASKED)], "not passed"),
        ([task("failed", [LINK, FAULT])], "unreadable"),
        ([task("failed", [LINK]), task("failed", [LIE])], "integrity"),
    ],
)
def test_the_worst_finding_decides_the_verdict(tasks, verdict):
    assert report(tasks).verdict == verdict


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "passed", "findings": [FAULT]},
        {"status": "failed"},
        {"status": "not run"},
        {"status": "passed", "because": "no reason"},
        {"status": "passed", "points": 3},
        {"status": "failed", "findings": [FAULT], "points": 10},
        {"status": "passed", "points": -1},
        {"status": "done"},
    ],
)
def test_an_impossible_task_is_rejected(fields):
    with pytest.raises(ValidationError):
        task(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"verdict": "not passed"},
        {"verdict": "not started"},
        {"score": Score(points=11, possible=10)},
        {"score": Score(points=10, possible=11)},
        {"findings": [FAULT]},
        {"schema": "checker.report/2"},
        {"surprise": 1},
    ],
)
def test_an_impossible_report_is_rejected(fields):
    with pytest.raises(ValidationError):
        report([task()], **fields)


def test_a_report_survives_json():
    whole = report([task("failed", [FAULT, LIE])])
    assert Report.model_validate_json(whole.to_json()) == whole
    assert json.loads(whole.to_json())["schema"] == "checker.report/1"


@pytest.mark.parametrize("path", PUBLISHED)
def test_the_published_schema_is_the_model_s(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert text == schema_text(path), f"{path} is out of step: python -m checker.publish"
