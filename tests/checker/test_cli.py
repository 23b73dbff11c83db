"""The command line: exit codes, what is said to whom, and what is written where."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from checker import check as checking
from checker import cli, store
from checker.report import Report

ROOT = Path(__file__).parents[2]
CORRECTNESS, WORKED = "22-cache-correctness", "22-yesterday-worked"


@pytest.fixture
def run(monkeypatch, capsys):
    """run(*arguments) -> (exit code, stdout, stderr), at the root of the course."""
    monkeypatch.chdir(ROOT)

    def run(*arguments):
        code = cli.main([str(a) for a in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def written(submission):
    """A submission of which only the texts are looked at: no model is needed."""
    return submission


def contents(folder):
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


# ---- nothing started ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: (p.mkdir(), (p / ".gitkeep").touch())])
def test_nothing_started_is_two_lines_that_say_what_to_do(run, tmp_path, monkeypatch, make):
    lab = tmp_path / "labs" / "02"
    lab.mkdir(parents=True)
    (lab / "lab.toml").write_bytes((ROOT / "labs/02/lab.toml").read_bytes())
    make(lab / "experiments")
    code, out, err = run(lab)
    assert (code, err) == (1, "")
    assert len(out.splitlines()) == 2
    assert f"{lab}/starter" in out
    assert out.endswith(f"check again: python -m checker {lab}\n")
    assert not (lab / "experiments" / ".checker").exists()


def test_nothing_started_as_json_is_a_report(run, tmp_path):
    (tmp_path / "empty").mkdir()
    code, out, _ = run("labs/02", "--submission", tmp_path / "empty", "--format", "json")
    report = Report.model_validate_json(out)
    assert (code, report.verdict, report.score.points) == (1, "not started", 0)


def test_without_work_to_check_torch_is_not_imported(tmp_path):
    (tmp_path / "empty").mkdir()
    script = f"""
import sys
from checker.cli import main
codes = [main(["labs/02", "--submission", {str(tmp_path / "empty")!r}]), main([]), main(["labs/02", "--nope"])]
assert codes == [1, 0, 2], codes
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, capture_output=True)


# ---- usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["labs/99"], "labs/99 is not a lab: it has no lab.toml"),
        (["labs/02", "--only", "everything"], "lab 02 has no task 'everything'; its tasks are manifest, results"),
        (["labs/02", "--submission", "nowhere"], "there is no folder nowhere"),
        (["labs/02", "--format", "html"], "'html' is not one of"),
        (["labs/02", "--hint", "--format", "json"], "--hint is for a person"),
        (["labs/02", "--nope"], "No such option '--nope'"),
        (["labs/02", "labs/03"], "unexpected extra argument"),
        (["labs/02", "--timeout", "0"], "0"),
    ],
)
def test_a_usage_error_is_one_clear_line(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"checker: .+\n", err)
    assert message in err


def test_help_names_every_exit_code(run):
    code, out, _ = run("--help")
    assert code == 0
    assert re.findall(r"^ +(\d)  \w", out, re.MULTILINE) == list("012345")
    assert "python -m checker labs/02 --hint" in out


def test_the_list_says_how_far_each_lab_is(run, submission, tmp_path, monkeypatch, capsys):
    lab = tmp_path / "labs" / "02"
    lab.mkdir(parents=True)
    (lab / "lab.toml").write_bytes((ROOT / "labs/02/lab.toml").read_bytes())
    monkeypatch.chdir(tmp_path)

    def listed():
        assert cli.main([]) == 0
        return capsys.readouterr().out.splitlines()[0]

    assert listed().endswith(": not started")
    submission.rename(lab / "experiments")
    assert listed().endswith(": started, not checked yet")
    report = checking.not_started(store_lab(lab), lab / "experiments", [])
    fingerprint = checking.Folder(lab / "experiments").fingerprint()
    report = report.model_copy(
        update={
            "verdict": "not passed",
            "submission": report.submission.model_copy(update={"fingerprint": fingerprint}),
        }
    )
    store.save_report(lab / "experiments", report)
    assert listed().endswith(": not passed, 0 of 100 points")
    (lab / "experiments" / "new.txt").touch()
    assert listed().endswith(": not passed, 0 of 100 points when last checked; changed since")


def store_lab(lab):
    return cli.load_lab(lab)


def test_without_labs_the_list_says_where_to_be(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main([]) == 2
    assert "no labs under ./labs" in capsys.readouterr().err


# ---- what is written ---------------------------------------------------------------------------------------------


def test_a_check_writes_its_report_and_nothing_else(check, submission):
    before = contents(submission)
    code, report = check(submission)
    assert code == 0
    after = contents(submission)
    assert set(after) - set(before) == {".checker/report.json"}
    assert {name: after[name] for name in before} == before
    assert Report.model_validate_json((submission / ".checker/report.json").read_text()) == report


def test_a_narrowed_check_leaves_the_whole_report_alone(check, submission):
    check(submission, "--only", "manifest")
    assert not (submission / ".checker").exists()


def test_only_runs_what_was_asked_for_and_what_it_requires(check, submission):
    _, report = check(submission, "--only", "property")
    status = {t.id: t.status for t in report.tasks}
    assert {id for id, s in status.items() if s == "passed"} == {"results", "property"}
    assert {id for id, s in status.items() if s == "not run"} == {"manifest", "extended", "slots", "dump", "writing"}


def test_a_task_is_not_run_because_of_the_one_it_requires(check, submission):
    (submission / CORRECTNESS / "results.json").unlink()
    _, report = check(submission, "--only", "extended")
    because = {t.id: t.because for t in report.tasks}
    assert because["property"] == "results has not passed"
    assert because["extended"] == "property has not passed"
    assert report.evidence.replayed == [], "nothing is run for tasks that cannot pass"


def test_a_report_folder_that_is_a_link_is_not_written_through(check, submission, tmp_path, capsys):
    (tmp_path / "elsewhere").mkdir()
    (submission / ".checker").symlink_to(tmp_path / "elsewhere")
    for name in ("results.json", "manifest.json", "property_test.py"):
        (submission / CORRECTNESS / name).unlink()
    check(submission)
    assert list((tmp_path / "elsewhere").iterdir()) == []


# ---- unreadable, and faults of the checker's own -----------------------------------------------------------------


def test_a_submission_that_is_a_file_is_unreadable(run, tmp_path):
    (tmp_path / "file").write_text("hello")
    code, out, _ = run("labs/02", "--submission", tmp_path / "file")
    assert code == 3
    assert "not a directory" in out


def test_a_submission_without_permission_is_unreadable(run, submission, monkeypatch):
    def denied(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    code, out, _ = run("labs/02", "--submission", submission, "--format", "json")
    report = Report.model_validate_json(out)
    assert (code, report.verdict) == (3, "unreadable")
    assert report.findings[0].found == "permission denied"


def test_a_fault_of_the_checker_s_own_is_short_and_says_so(run, submission, monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(cli, "check", broken)
    code, out, err = run("labs/02", "--submission", submission)
    assert (code, out) == (5, "")
    assert "This says nothing about your work" in err
    assert "Traceback" not in err
    _, _, err = run("labs/02", "--submission", submission, "--debug")
    assert "Traceback" in err


def test_a_broken_lab_toml_is_no_fault_of_the_student_s(run, tmp_path):
    (tmp_path / "lab.toml").write_text("id = 2")
    code, _, err = run(tmp_path)
    assert code == 5
    assert "lab.toml" in err


# ---- hints -------------------------------------------------------------------------------------------------------


def test_hints_come_one_at_a_time_and_are_remembered(run, submission):
    (submission / WORKED / "report.md").write_text("short")
    hint = ["labs/02", "--submission", submission, "--only", "writing", "--hint"]
    hints = cli.load_lab(ROOT / "labs/02").task("writing").hints
    for number in (1, 2, 3, 3):
        code, out, _ = run(*hint)
        assert code == 1
        assert f"Hint {number} of 3: {hints[number - 1]}" in out
        assert sum(h in out for h in hints) == 1
    assert json.loads((submission / ".checker/hints.json").read_text()) == {"writing": 3}


def test_a_hint_uses_the_last_report_while_nothing_has_changed(run, check, submission, monkeypatch):
    (submission / CORRECTNESS / "manifest.json").write_text("{}")
    for name in ("results.json", "property_test.py"):
        (submission / CORRECTNESS / name).unlink()
    check(submission)
    asked = []
    real = cli.check
    monkeypatch.setattr(cli, "check", lambda *a: asked.append(1) or real(*a))
    _, out, _ = run("labs/02", "--submission", submission, "--hint")
    assert out.startswith("manifest: ")
    assert asked == []
    (submission / CORRECTNESS / "README.md").write_text("changed")
    run("labs/02", "--submission", submission, "--hint")
    assert asked == [1]


def test_hints_that_were_tampered_with_are_no_trouble(run, submission):
    (submission / WORKED / "report.md").write_text("short")
    (submission / ".checker").mkdir()
    for text in ('{"writing": "x"}', '{"writing": -5}', "[]", "{", '{"writing": 1e9}', '{"writing": true}'):
        (submission / ".checker/hints.json").write_text(text)
        code, out, _ = run("labs/02", "--submission", submission, "--only", "writing", "--hint")
        assert code == 1
        assert re.search(r"Hint [12] of 3", out)


def test_a_last_report_that_was_tampered_with_is_not_used(run, submission):
    (submission / WORKED / "report.md").write_text("short")
    (submission / ".checker").mkdir()
    (submission / ".checker/report.json").write_text('{"schema": "checker.report/1"}')
    code, out, _ = run("labs/02", "--submission", submission, "--only", "writing", "--hint")
    assert code == 1
    assert out.startswith("writing: ")


def test_a_closed_pipe_is_quiet():
    script = f"{sys.executable} -m checker --help | true"
    done = subprocess.run(["sh", "-c", script], cwd=ROOT, capture_output=True, text=True, env={**os.environ})
    assert done.stderr == ""
