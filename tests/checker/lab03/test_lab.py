"""The lab itself, its drivers, and the ledger of what a submission claims."""

import importlib
import shutil
import sys

import pytest

from checker.lab03 import TASKS, cases
from checker.lab03.schemas import Results
from checker.lab03.work import OWN
from checker.publish import COPIED, ROOT
from checker.spec import load_lab
from tests.checker.submissions import edit

LAB = ROOT / "labs" / "03"


def test_the_lab_is_sound():
    lab = load_lab(LAB)
    assert all(len(task.hints) == 3 for task in lab.tasks)
    assert list(TASKS) == [task.id for task in lab.tasks]
    brief = (LAB / "README.md").read_text(encoding="utf-8")
    for artifact in lab.artifacts:
        assert f"`{artifact.path}`" in brief, artifact.path


def test_what_students_run_is_what_the_checker_runs():
    mine = {path: original for path, original in COPIED.items() if path.startswith("labs/03/")}
    assert {path.rpartition("/")[2] for path in mine} == set(OWN)
    for path, original in mine.items():
        assert (ROOT / path).read_bytes() == (ROOT / original).read_bytes(), f"{path}: python -m checker.publish"


def test_the_brief_says_the_grid_and_the_shape_that_cases_say():
    brief = " ".join((LAB / "README.md").read_text(encoding="utf-8").split())
    low, high = cases.LENGTHS[0], cases.LENGTHS[-1]
    assert f"| `length` | n = {low} | n = {high} | B = 1 |" in brief
    assert f"| `batch` | B = {cases.BATCHES[0]} | B = {cases.BATCHES[-1]} | n = {cases.BATCH_LENGTH} |" in brief
    c = cases.LARGE
    shape = f"L {c['n_layers']}, D {c['dim']}, H {c['n_heads']}, H_kv {c['n_kv_heads']}, F {c['ff_dim']:,}, "
    assert shape + f"V {c['vocab_size']:,}, SwiGLU" in brief
    assert cases.WARMUP + cases.REPEATS == 6
    assert "six samples" in brief


def test_the_starter_has_every_todo_once_it_is_named():
    text = "".join((LAB / "starter" / name).read_text() for name in ("costs.py", "fit.py", "plot.py", "predict.py"))
    for number in range(1, 10):
        assert f"# TODO {number}" in text


@pytest.mark.parametrize(
    ("value", "kept"),
    [(3, 3), (3.5, 3.5), (True, None), (None, None), ("3", None), (10**30, None), (float("inf"), None), (-2, -2)],
)
def test_what_a_formula_may_give(monkeypatch, value, kept):
    monkeypatch.setitem(sys.modules, "cases", cases)  # beside which it lies in a student's folder
    measure = importlib.import_module("checker.lab03.measure")
    found = measure.number(value)
    assert found == kept
    assert type(found) is type(kept)


def test_results_of_the_solution_hold_every_sample(reference):
    found = Results.model_validate_json((reference / "results.json").read_text())
    assert [p.model_dump(exclude={"samples_ns"}) for p in found.points] == list(cases.grid())
    assert {len(p.samples_ns) for p in found.points} == {6}
    assert found.summary.values == found.summary.values_equal


# ---- the ledger ------------------------------------------------------------------------------------------------------


def ledger(report):
    claims = [claim for task in report.tasks for claim in task.claims]
    assert all(claim.text.startswith(claim.file) for claim in claims)
    return claims


def standing(report, words):
    (found,) = [claim for claim in ledger(report) if words in claim.text]
    return found.standing


def test_times_pictures_and_the_future_are_not_checkable_here(check, reference):
    _, report = check(reference)
    unchecked = [claim.text for claim in ledger(report) if claim.standing == "not checkable here"]
    assert len(unchecked) == 4
    for words in ("it was measured with", "points were timed", "it shows the curves", "takes that long"):
        assert sum(words in text for text in unchecked) == 1
    assert sum(claim.standing == "verified" for claim in ledger(report)) == 8


@pytest.mark.parametrize(
    ("file", "task", "change", "words"),
    [
        ("results.json", "results", lambda d: d["points"][0].update(samples_ns=[9] * 6), "points were timed"),
        ("results.json", "results", lambda d: d["summary"].update(values_equal=3), "are what was counted"),
        ("analysis.json", "analysis", lambda d: d["fits"][1].update(exponent=1.25), "over length, without a cache"),
        ("prediction.json", "prediction", lambda d: d["large"].update(flops=5), "FLOPs, bytes and memory"),
        ("prediction.json", "prediction", lambda d: d["seconds"]["cached"].update(by_fit=5.0), "the seconds follow"),
    ],
)
def test_what_the_evidence_contradicts(check, submission, file, task, change, words):
    edit(submission / file, change)
    _, report = check(submission, "--only", task)
    assert standing(report, words) == "contradicted"
    assert sum(claim.standing == "contradicted" for claim in ledger(report)) == 1


def test_the_starters_claim_is_that_nothing_is_right_yet(check, started, tmp_path):
    _, report = check(shutil.copytree(started, tmp_path / "copy"), "--only", "results")
    assert standing(report, "0 of ") == "contradicted", "zeros are told: it is no claim to be proud of"
