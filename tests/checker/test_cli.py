"""The command line: exit codes, what is said to whom, and what is written where."""

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from checker import check as checking
from checker import cli, command, store, views
from checker.report import NOT_ASKED, Report
from checker.sandbox import TIERS, SandboxError
from checker.spec import load_lab

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
        (["labs/02", "--format", "pdf"], "'pdf' is not one of"),
        (["labs/02", "--sandbox", "paper"], "'paper' is not one of"),
        (["labs/02", "--hint", "--format", "json"], "--hint is for a person"),
        (["labs/02", "--hint", "--watch"], "--hint is for a person"),
        (["labs/02", "--output", "report.txt"], "--output needs a --format"),
        (["labs/02", "--format", "html", "--output", "nowhere/page.html"], "there is no folder for it"),
        (["labs/02", "--format", "html", "--output", "labs"], "it is a folder"),
        (["labs/02", "--format", "html", "--submission", "labs/02", "--output", "labs/02/page.html"], "is only read"),
        (["labs/02", "--nope"], "No such option '--nope'"),
        (["labs/02", "labs/03"], "unexpected extra argument"),
        (["labs/02", "--timeout", "0"], "0"),
        (["labs/02", "--timeout", "nan"], "nan is not a finite number"),
        (["labs/02", "--timeout", "inf"], "inf is not a finite number"),
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
    report = checking.not_started(load_lab(lab), lab / "experiments", [])
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
    assert {t.id for t in report.tasks if t.status == "passed"} == {"results", "property"}
    assert {t.because for t in report.tasks if t.id not in ("results", "property")} == {NOT_ASKED}


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

    monkeypatch.setattr(command, "check", broken)
    code, out, err = run("labs/02", "--submission", submission)
    assert (code, out) == (5, "")
    assert "This says nothing about your work" in err
    assert "Traceback" not in err
    _, _, err = run("labs/02", "--submission", submission, "--debug")
    assert "Traceback" in err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "02"', "id = 2", "at id: expected a string, found 2"),
        ('id = "02"', 'id = "98"', "no tests for lab '98'"),
        ('id = "writing"', 'id = "prose"', "expected the tasks manifest, results"),
        ("22-yesterday-worked/dump.py", "22-yesterday-worked/dumps.py", None),  # no check reads its cap
        ("22-yesterday-worked/slots.npz", "slots.npz", "expected an artifact 22-yesterday-worked/slots.npz"),
    ],
)
def test_a_lab_toml_that_is_at_fault_is_one_clear_line(run, tmp_path, reference, old, new, message):
    (tmp_path / "lab.toml").write_text((ROOT / "labs/02/lab.toml").read_text().replace(old, new, 1))
    (tmp_path / "experiments" / WORKED).mkdir(parents=True)
    (tmp_path / "experiments" / WORKED / "slots.npz").write_bytes((reference / WORKED / "slots.npz").read_bytes())
    code, out, err = run(tmp_path)
    if message is None:
        assert (code, err) == (1, "")
        return
    assert (code, out) == (2, "")
    assert re.fullmatch(r"checker: .+\n", err)
    assert "lab.toml" in err
    assert message in err


# ---- text of any kind ----------------------------------------------------------------------------------------------


def test_a_path_that_is_no_text_is_escaped(run, written, tmp_path):
    odd = tmp_path / "c\udcff"
    try:
        written.rename(odd)
    except OSError:  # macOS: a name is UTF-8
        return
    code, out, _ = run("labs/02", "--submission", odd, "--only", "writing", "--format", "json")
    assert code == 0
    assert Report.model_validate_json(out).submission.path == str(tmp_path / r"c\udcff")
    (odd / WORKED / "report.md").write_text("short")
    code, out, _ = run("labs/02", "--submission", odd, "--only", "writing")
    assert code == 1
    assert r"c\udcff" in out


@pytest.mark.parametrize("format_", ["terminal", "json"])
def test_a_terminal_without_the_letter_gets_an_escape(submission, format_):
    path = submission / CORRECTNESS / "manifest.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"experiment": "ma\u00f1ana"}))
    command = [sys.executable, "-m", "checker", "labs/02", "--submission", str(submission), "--only", "manifest"]
    done = subprocess.run(
        [*command, "--format", format_], cwd=ROOT, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert (done.returncode, done.stderr) == (1, b"")
    if format_ == "json":
        (finding,) = Report.model_validate_json(done.stdout).tasks[0].findings
        assert finding.found == '"ma\u00f1ana"'
    else:
        assert rb'"ma\xf1ana"' in done.stdout


def test_a_command_that_is_printed_can_be_typed(run, submission, tmp_path):
    odd = tmp_path / "my work; $HOME"
    submission.rename(odd)
    (odd / WORKED / "report.md").write_text("short")
    for more in ([], ["--hint"]):
        code, out, _ = run("labs/02", "--submission", odd, "--only", "writing", *more)
        assert code == 1
        lines = [line for line in out.splitlines() if "python -m checker" in line]
        assert lines
        for line in lines:
            typed = shlex.split(line[line.index("python") :])
            assert typed[:6] == ["python", "-m", "checker", "labs/02", "--submission", str(odd)]
            assert typed[6:] in (["--only", "writing", "--hint"], ["--format", "html"])


# ---- other ways to show it, and other commands --------------------------------------------------------------------


def test_a_page_is_kept_where_a_person_finds_it(run, submission, monkeypatch):
    (submission / WORKED / "report.md").write_text("short")
    before = set(contents(submission))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, out, _ = run("labs/02", "--submission", submission, "--only", "writing", "--format", "html")
    assert code == 1
    page = submission / ".checker" / "report.html"
    assert out == f"Verdict: not passed, 0 of 100 points. The whole report, as html: {page}\n"
    assert page.read_text().startswith("<!doctype html>")
    assert set(contents(submission)) - before == {".checker/report.html"}


def test_a_page_for_a_pipe_goes_into_the_pipe(run, submission):
    _, out, _ = run("labs/02", "--submission", submission, "--only", "writing", "--format", "html")
    assert out.startswith("<!doctype html>")
    assert not (submission / ".checker").exists()


def test_a_page_of_nothing_is_still_two_lines(run, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    (tmp_path / "empty").mkdir()
    code, out, _ = run("labs/02", "--submission", tmp_path / "empty", "--format", "html")
    assert (code, len(out.splitlines())) == (1, 2)
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("format_", views.FORMATS)
def test_output_is_the_report_and_nothing_else(run, submission, tmp_path, format_):
    out = tmp_path / "report"
    asked = ["labs/02", "--submission", submission, "--only", "writing", "--format", format_]
    code, printed, err = run(*asked, "--output", out)
    assert (code, err) == (0, "")
    assert printed == f"Verdict: passed, 10 of 100 points. The whole report, as {format_}: {out}\n"
    start = {"json": "{", "html": "<!doctype html>", "junit": "<?xml", "gradescope": "{"}[format_]
    assert out.read_text().startswith(start)


def test_output_that_cannot_be_written_is_one_line(run, submission, monkeypatch, tmp_path):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    asked = ["labs/02", "--submission", submission, "--only", "writing", "--format", "json"]
    code, out, err = run(*asked, "--output", tmp_path / "report")
    assert (code, out) == (2, "")
    assert err == "checker: the report could not be written: No space left on device. Say where with --output FILE.\n"


@pytest.mark.parametrize("tier", [None, *TIERS])
def test_the_tier_that_was_asked_for_is_the_tier(run, submission, monkeypatch, tier):
    def refuse(lab, submission, only, options):
        assert options.tier == tier
        raise SandboxError("it cannot be had here.")

    monkeypatch.setattr(command, "check", refuse)
    asked = ["--sandbox", tier] if tier else []
    assert run("labs/02", "--submission", submission, *asked) == (2, "", "checker: it cannot be had here.\n")


def test_the_help_names_every_command(run):
    _, out, _ = run("--help")
    commands = re.search(r"Commands:\n((?: +\w+ .+\n)+)", out).group(1)
    assert re.findall(r"^ +(\w+)", commands, re.MULTILINE) == list(cli.COMMANDS)


def test_a_command_is_imported_only_when_asked_for(run, monkeypatch):
    asked = []

    @click.command()
    @click.argument("rest", nargs=-1)
    @click.option("--fail", is_flag=True)
    def pretend(rest, fail):
        asked.append(rest)
        if fail:
            raise click.UsageError("it was told to.")
        return 4

    def module(name):
        assert name == "checker.pretend"
        return SimpleNamespace(command=pretend)

    monkeypatch.setattr(cli, "COMMANDS", {"pretend": "checker.pretend", "broken": "checker.nowhere"})
    monkeypatch.setattr(cli, "import_module", module)
    assert run("pretend", "labs/02", "x") == (4, "", "")
    assert asked == [("labs/02", "x")]
    assert run("pretend", "--fail") == (2, "", "checker: it was told to.\n")
    assert "python -m checker pretend [OPTIONS]" in run("pretend", "--help")[1]


# ---- hints -------------------------------------------------------------------------------------------------------


def test_hints_come_one_at_a_time_and_are_remembered(run, submission):
    (submission / WORKED / "report.md").write_text("short")
    hint = ["labs/02", "--submission", submission, "--only", "writing", "--hint"]
    hints = load_lab(ROOT / "labs/02").task("writing").hints
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
    real = command.check
    monkeypatch.setattr(command, "check", lambda *a: asked.append(1) or real(*a))
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


def forge_report(submission, change):
    path = submission / ".checker/report.json"
    document = json.loads(path.read_text())
    change(document)
    Report.model_validate(document)  # a forgery that can be read
    path.write_text(json.dumps(document))


def pass_all(document):
    for task in document["tasks"]:
        task.update(status="passed", because=None, points=task["possible"], findings=[])
    document.update(verdict="passed", score={"points": 100, "possible": 100}, findings=[])


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda d: None, False),
        (lambda d: d["tasks"][0].update(id="other"), True),
        (lambda d: d["tasks"].reverse(), True),
        (lambda d: d.update(lab="98"), True),
        (lambda d: d["environment"].update(checker="0.0.0"), True),
        (lambda d: d["findings"].append({"kind": "mismatch", "message": "Call this number."}), True),
        (pass_all, True),
    ],
    ids=["as it was", "another task", "another order", "another lab", "another checker", "a finding", "all passed"],
)
def test_a_forged_report_vouches_for_nothing(run, check, submission, monkeypatch, change, again):
    (submission / CORRECTNESS / "manifest.json").write_text("{}")
    for name in ("results.json", "property_test.py"):
        (submission / CORRECTNESS / name).unlink()
    check(submission)
    forge_report(submission, change)
    asked = []
    real = command.check
    monkeypatch.setattr(command, "check", lambda *a: asked.append(1) or real(*a))
    code, out, _ = run("labs/02", "--submission", submission, "--hint")
    assert code == 1
    assert out.startswith("manifest: ")
    assert bool(asked) == again


def test_a_closed_pipe_is_quiet():
    script = f"{sys.executable} -m checker --help | true"
    done = subprocess.run(["sh", "-c", script], cwd=ROOT, capture_output=True, text=True, env={**os.environ})
    assert done.stderr == ""
