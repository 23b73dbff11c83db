"""Everybody's own bug: the same for the same name, read as the brief says, and judged with no answer given away."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from checker import cli
from checker.lab02.bug import planted, runs, write_case
from checker.lab02.zoo.causes import CAUSES

ROOT = Path(__file__).parents[3]
FILE = "22-cache-correctness/diagnosis.json"


def diagnosed(check, submission, **changes):
    """The exit code, and the task, when diagnosis.json is changed so."""
    path = submission / FILE
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(document))
    code, report = check(submission, "--only", "diagnosis")
    (task,) = [task for task in report.tasks if task.id == "diagnosis"]
    return code, task


def test_the_reference_is_right(check, submission):
    code, task = diagnosed(check, submission)
    assert (code, task.status, task.points) == (0, "passed", 10)
    (claim,) = task.claims
    assert claim.standing == "not checkable here"  # whose name it is


@pytest.mark.parametrize("field", ["step", "layer", "head", "slot", "cause"])
def test_a_wrong_field_is_named_and_the_right_value_is_not(check, submission, field):
    answer = runs("reference").answer
    right = getattr(answer, field)
    wrong = next(cause for cause in CAUSES if cause != right) if field == "cause" else right + 1
    code, task = diagnosed(check, submission, **{field: wrong})
    assert code == 1
    (finding,) = task.findings
    assert (finding.kind, finding.file, finding.where) == ("mismatch", FILE, field)
    assert finding.found == json.dumps(wrong)
    assert str(right) not in f"{finding.expected} {finding.message} {finding.usual_causes}"


def test_another_student_s_diagnosis_is_not_mine(check, submission):
    code, task = diagnosed(check, submission, student="somebody else")
    assert code == 1
    assert task.findings


def test_one_that_is_not_there_is_told_how_to_begin(check, submission):
    (submission / FILE).unlink()
    _, report = check(submission, "--only", "diagnosis")
    (finding,) = next(task for task in report.tasks if task.id == "diagnosis").findings
    assert finding.kind == "missing"
    assert "python -m checker bug --student" in finding.message


@pytest.mark.parametrize(
    ("field", "value"), [("cause", "magic"), ("slot", None), ("step", -1), ("student", ""), ("extra", 1)]
)
def test_a_field_that_is_not_as_the_schema_asks(check, submission, field, value):
    code, task = diagnosed(check, submission, **{field: value})
    assert code == 1
    assert [(finding.kind, finding.where) for finding in task.findings] == [("schema", field)]


def test_a_name_has_one_case_and_another_name_another(tmp_path):
    for folder, student in (("a", "Ada"), ("b", "Ada"), ("c", "Grace")):
        write_case(student, tmp_path / folder)
    one, again, other = ((tmp_path / folder / "case.npz").read_bytes() for folder in "abc")
    assert one == again != other
    assert len({planted(f"student {i}")[0].mutant.id for i in range(200)}) > 15


@pytest.mark.parametrize("student", ["Ada", "Ñandú"])
def test_the_starter_reads_every_case_as_the_brief_says(tmp_path, student):
    """What it writes once the cause is named is the answer."""
    answer = runs(student).answer
    write_case(student, tmp_path / "bug")
    script = (ROOT / "labs/02/starter/diagnose.py").read_text()
    command = [sys.executable, "diagnose.py"]
    for cause in (None, answer.cause):
        (tmp_path / "diagnose.py").write_text(script.replace("CAUSE = None", f"CAUSE = {cause!r}"))
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        assert ("TODO 7" in done.stdout) == (cause is None)
        assert (tmp_path / "diagnosis.json").exists() == (cause is not None)
    written = json.loads((tmp_path / "diagnosis.json").read_text())
    assert written == {"schema": "lab02.diagnosis/1", "student": student, **answer.__dict__}


@pytest.mark.parametrize("student", ["", "  ", "a" * 101, "a\nb"])
def test_a_name_that_cannot_be_one_is_refused_in_one_line(capsys, tmp_path, student):
    assert cli.main(["bug", "--student", student, "--out", str(tmp_path / "bug")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "bug").exists()


def test_a_folder_that_cannot_be_written_to_is_named(capsys, tmp_path):
    (tmp_path / "file").touch()
    assert cli.main(["bug", "--student", "Ada", "--out", str(tmp_path / "file" / "bug")]) == 2
    assert "cannot be written" in capsys.readouterr().err
