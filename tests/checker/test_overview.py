"""python -m checker: the labs as one course, how far each is, and what comes next."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from checker import check, cli, overview, store
from checker.report import Score
from checker.spec import load_lab

ROOT = Path(__file__).parents[2]
LABS = ("01", "02", "05")


@pytest.fixture
def course(tmp_path, monkeypatch):
    """The labs' lab.toml, and the chapter that leads to lab 02; nobody's work."""
    for lab in LABS:
        (tmp_path / "labs" / lab).mkdir(parents=True)
        (tmp_path / "labs" / lab / "lab.toml").write_bytes((ROOT / "labs" / lab / "lab.toml").read_bytes())
    (tmp_path / "book").mkdir()
    (tmp_path / "book/04_yesterday_i_worked.py").write_text("# ---\n# %% [markdown]\n# # Yesterday I worked\n# # Two\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hand_in(course, lab_id, verdict, points, passed=0):
    """Work on a lab, and the report on it."""
    folder = course / "labs" / lab_id
    (folder / "experiments").mkdir()
    (folder / "experiments/work.py").write_text("")
    lab = load_lab(folder)
    report = check.not_started(lab, folder / "experiments", [])
    tasks = [
        task.model_copy(update={"status": "passed" if i < passed else "failed", "points": 0})
        for i, task in enumerate(report.tasks)
    ]
    given = {"path": "x", "fingerprint": check.Folder(folder / "experiments").fingerprint()}
    report = report.model_copy(
        update={
            "verdict": verdict,
            "score": Score(points=points, possible=100),
            "submission": report.submission.model_copy(update=given),
            "tasks": tasks,
        }
    )
    (folder / "experiments/.checker").mkdir()
    return report


@pytest.fixture
def reported(monkeypatch):
    """reported(lab id, report): that is the last report on the lab."""
    kept = {}
    monkeypatch.setattr(store, "last_report", lambda folder: kept.get(folder.parent.name))
    monkeypatch.setattr(store, "fresh_report", lambda folder, lab: kept.get(lab.id) if lab.id not in changed else None)
    changed = set()

    def reported(lab_id, report, since=False):
        kept[lab_id] = report
        if since:
            changed.add(lab_id)

    return reported


def piped(capsys):
    assert cli.main([]) == 0
    return capsys.readouterr().out.splitlines()


def drawn(monkeypatch, capsys, width=80):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None, highlight=False, markup=False)
    monkeypatch.setattr(overview.terminal, "console", lambda: console)
    assert cli.main([]) == 0
    assert capsys.readouterr().out == ""
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert max(map(len, lines)) <= max(width, 60)
    return lines


def test_in_a_pipe_a_line_for_each_lab_and_then_what_comes_next(course, capsys):
    assert piped(capsys) == [
        "labs/01  Write the cache: not started",
        "labs/02  With a cache, without a cache, byte for byte: not started",
        "labs/05  Write the kernels: not started",
        "0 of 300 points so far.",
        "Next: lab 01, Write the cache.",
        "  read first: book/03_the_kv_cache",
        "  its brief: labs/01/README.md",
        "  to check it: python -m checker labs/01",
        "More: python -m checker --help",
    ]


def test_the_first_lab_that_has_not_passed_comes_next(course, capsys, reported):
    reported("01", hand_in(course, "01", "passed", 100, passed=9))
    lines = piped(capsys)
    assert lines[0] == "labs/01  Write the cache: passed, 100 of 100 points"
    assert lines[3:6] == [
        "100 of 300 points so far.",
        "Next: lab 02, With a cache, without a cache, byte for byte.",
        "  read first: chapter 4, Yesterday I worked",
    ]
    reported("02", hand_in(course, "02", "not passed", 45, passed=3))
    lines = piped(capsys)
    assert lines[1].endswith(": not passed, 45 of 100 points")
    assert lines[3:] == [
        "145 of 300 points so far.",
        "Next: lab 02, With a cache, without a cache, byte for byte.",
        "  its brief: labs/02/README.md",
        "  to check it: python -m checker labs/02",
        "  the next hint: python -m checker labs/02 --hint",
        "More: python -m checker --help",
    ]


def test_what_has_changed_since_is_to_be_checked_again(course, capsys, reported):
    reported("01", hand_in(course, "01", "passed", 100), since=True)
    lines = piped(capsys)
    assert lines[0].endswith(": passed, 100 of 100 points when last checked; changed since")
    assert lines[4:7] == [
        "Next: lab 01, Write the cache.",
        "  its brief: labs/01/README.md",
        "  to check it: python -m checker labs/01",
    ]


def test_who_has_passed_everything_is_told_so(course, capsys, reported):
    for lab in LABS:
        reported(lab, hand_in(course, lab, "passed", 100))
    assert piped(capsys)[3:] == [
        "300 of 300 points so far.",
        "All 3 labs have passed.",
        "More: python -m checker --help",
    ]


def test_on_a_terminal_a_table(course, capsys, monkeypatch, reported):
    reported("02", hand_in(course, "02", "not passed", 45, passed=3))
    lines = drawn(monkeypatch, capsys)
    text = "\n".join(lines)
    assert re.search(r"^lab +what it is about +hours +how far +points$", text, re.MULTILINE)
    (row,) = (line for line in lines if line.startswith("labs/02"))
    assert re.search(r"  3 to 5  not passed +45 of 100$", row)
    assert any("3 of 9 tasks" in line for line in lines)
    assert any("after chapter 4, Yesterday I worked" in line for line in lines)
    assert "You prove that a cache" in text
    assert [line[:7] for line in lines if line.startswith("labs/")] == [f"labs/{lab}" for lab in LABS]
    assert lines[-1] == "More: python -m checker --help"


def test_on_a_narrow_terminal_one_thing_under_the_other(course, capsys, monkeypatch):
    lines = drawn(monkeypatch, capsys, 40)
    assert lines[lines.index("labs/02") + 1 :][:2] == ["  With a cache, without a cache, byte", "  for byte"]
    assert "  3 to 5 hours" in lines
    assert "  not started" in lines


def test_a_lab_may_say_nothing_of_hours_and_chapters(course, capsys, monkeypatch):
    path = course / "labs/02/lab.toml"
    path.write_text(re.sub(r"^(about|hours|chapter) = .*\n", "", path.read_text(), flags=re.MULTILINE))
    for width in (40, 80):
        text = "\n".join(drawn(monkeypatch, capsys, width))
        assert "You prove" not in text
        assert "3 to 5" not in text


@pytest.mark.parametrize("lab", [path.parent.name for path in sorted(ROOT.glob("labs/*/lab.toml"))])
def test_every_lab_says_what_the_table_shows(lab):
    found = load_lab(ROOT / "labs" / lab)
    assert found.about.endswith(".")
    assert len(found.about) <= 110
    low, high = found.hours
    assert f"{low} to {high} hours" in (ROOT / "labs" / lab / "README.md").read_text(encoding="utf-8")
    assert (ROOT / f"{found.chapter}.py").is_file()
