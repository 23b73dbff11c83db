"""lab.toml: the lab's own is sound, and a broken one is refused with its place."""

import importlib
from pathlib import Path

import pytest

from checker.spec import SpecError, load_lab

LAB = Path(__file__).parents[2] / "labs" / "02"
GOOD = """
id = "02"
title = "A lab"
[[tasks]]
id = "first"
title = "First"
points = 40
hints = ["Look."]
[[tasks]]
id = "second"
title = "Second"
points = 60
requires = ["first"]
hints = ["Look again."]
[[artifacts]]
path = "folder/file.md"
kind = "markdown"
max_bytes = 10
statements = [{ pattern = "found", says = "what was found" }]
"""


def load(tmp_path, text):
    (tmp_path / "lab.toml").write_text(text)
    return load_lab(tmp_path)


def test_a_good_one_is_read(tmp_path):
    lab = load(tmp_path, GOOD)
    assert [t.id for t in lab.tasks] == ["first", "second"]
    assert lab.with_required(["second"]) == {"first", "second"}
    assert lab.with_required(["first"]) == {"first"}
    assert (lab.about, lab.hours, lab.chapter) == ("", None, None)
    more = 'title = "A lab"\nabout = "It is short."\nhours = [3, 5]\nchapter = "book/04_yesterday_i_worked"'
    lab = load(tmp_path, GOOD.replace('title = "A lab"', more))
    assert (lab.about, lab.hours, lab.chapter) == ("It is short.", [3, 5], "book/04_yesterday_i_worked")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "02"', "id = 2", "at id: expected a string, found 2"),
        ("points = 60", "points = 50", "90, not 100"),
        ("points = 60", 'points = "60"', r"tasks\[1\].points: expected a whole number"),
        ('requires = ["first"]', 'requires = ["third"]', "requires 'third'"),
        ('requires = ["first"]', 'requires = ["second"]', "requires 'second'"),
        ('id = "second"', 'id = "first"', "there twice"),
        ('hints = ["Look."]', "hints = []", r"tasks\[0\].hints: expected at least 1 item,"),
        ('hints = ["Look."]', 'hints = [" "]', "a hint is empty"),
        ('pattern = "found"', 'pattern = "fou(nd"', "not a regular expression"),
        ('path = "folder/file.md"', 'path = "../file.md"', r"artifacts\[0\].path"),
        ('kind = "markdown"', 'kind = "python"', "only a markdown artifact"),
        ('title = "A lab"', 'title = "A lab"\nsurprise = 1', "at surprise: expected no such field"),
        ('title = "A lab"', "title = ", "Invalid value"),
        ('title = "A lab"', 'title = "A lab"\nhours = [5, 3]', "the hours are the fewest, then the most"),
        ('title = "A lab"', 'title = "A lab"\nhours = [3]', "at hours: expected at least 2 items"),
        ('title = "A lab"', 'title = "A lab"\nhours = "3 to 5"', "at hours: expected a list"),
        ('title = "A lab"', 'title = "A lab"\nchapter = "../04"', "at chapter: expected a string that matches"),
    ],
)
def test_a_broken_one_is_refused_with_its_place(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(SpecError, match=message) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert "lab.toml" in str(caught.value)


def test_lab_02_is_sound():
    lab = load_lab(LAB)
    assert all(len(task.hints) == 3 for task in lab.tasks)
    assert list(importlib.import_module("checker.lab02").TASKS) == [task.id for task in lab.tasks]


def test_every_artifact_of_lab_02_is_in_its_brief():
    brief = (LAB / "README.md").read_text(encoding="utf-8")
    for artifact in load_lab(LAB).artifacts:
        folder, name = artifact.path.split("/")
        assert folder in brief, folder
        assert name in brief, name
