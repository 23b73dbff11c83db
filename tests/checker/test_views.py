"""Each view, drawn from a report of each verdict and read back: what it says, and that text stays text."""

import json
import re
import xml.etree.ElementTree as ET
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from checker import check as checking
from checker import views
from checker.report import (
    NOT_ASKED,
    Claim,
    Environment,
    Evidence,
    Finding,
    Replay,
    Report,
    Rows,
    Score,
    Submission,
    TaskResult,
    verdict_of,
)
from checker.sandbox import PROMISES, TIERS
from checker.spec import load_lab
from checker.views import words
from checker.views.picture import picture

LAB = load_lab(Path(__file__).parents[2] / "labs/02")
HOSTILE = "</script></style></pre>--><img src=x onerror=alert(1)>]]>&amp;\"'\x00\x1b[2J\u202e{{ 7*7 }}"
A = ["3f800000", "bf800000", "00000000", "7fc00000"] * 5
B = [*A[:3], "7fc00001", "3f800001", *A[5:]]
ROWS = Rows(name="K, layer 0, head 1, slot 2", labels=("cached", "recomputed"), words=(A, B))
FAULT = Finding(kind="mismatch", message="It is another.", file="a.json", where="x[3]", expected="1", found="2")
LIE = Finding(kind="integrity", message="It says more than there is.")
LINK = Finding(kind="unreadable", message="It is a link.", file="results.json")


def report(findings=(), about=(), text="plain", **fields):
    """Of lab 02: its first task failed with ``findings``, the second did not run because of it, the others passed."""
    tasks = []
    for n, task in enumerate(LAB.tasks):
        given = {"id": task.id, "title": task.title, "possible": task.points, "points": task.points, "status": "passed"}
        if findings and n == 0:
            claims = [Claim(text=text, file="a.json", standing="contradicted")]
            given |= {"status": "failed", "findings": list(findings), "points": 3, "claims": claims, "notes": [text]}
        if findings and n == 1:
            given |= {"status": "not run", "because": f"{LAB.tasks[0].id} has not passed", "points": 0}
        tasks.append(TaskResult(**given))
    replay = Replay(
        script=text, arguments=[text], outcome="finished", exit_code=1, seconds=1.5, output_tail=f"{text}\nthe end"
    )
    return Report(
        **{
            "schema": "checker.report/1",
            "lab": LAB.id,
            "title": LAB.title,
            "submission": Submission(path=text, fingerprint="ab" * 32),
            "started": "2025-01-01T00:00:00+00:00",
            "verdict": verdict_of(tasks, list(about)),
            "score": Score(points=sum(t.points for t in tasks), possible=100),
            "tasks": tasks,
            "findings": list(about),
            "evidence": Evidence(replayed=[replay], hidden_seed=7),
            "environment": Environment(checker="0", python="3", platform=text, sandbox="landlock"),
            "durations": {"total": 12.34},
        }
        | fields
    )


def everywhere(text):
    """A report with ``text`` wherever a submission, or what it printed, may have a say."""
    fault = Finding(
        kind="mismatch", message=text, file=text, where=text, expected=text, found=text, usual_causes=[text], rows=ROWS
    )
    return report([fault], [fault.model_copy(update={"rows": None})], text)


NOT_STARTED = checking.not_started(LAB, Path("empty"), [])
REFUSED = checking.refused(LAB, Path("link"), [], LINK)
REPORTS = {
    "passed": report(),
    "not passed": report([FAULT.model_copy(update={"rows": ROWS})]),
    "not started": NOT_STARTED,
    "unreadable": REFUSED,
    "integrity": report([FAULT, LIE]),
}


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    VOID = ("meta", "rect")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words, self.attributes = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], "every element is closed"
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)


def html(report):
    return Page(views.draw("html", report, LAB))


# ---- every view ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", views.FORMATS)
@pytest.mark.parametrize("verdict", REPORTS)
def test_the_same_report_gives_the_same_text(format_, verdict):
    first = REPORTS[verdict]
    again = Report.model_validate_json(first.to_json())
    assert first.verdict == verdict
    assert views.draw(format_, first, LAB) == views.draw(format_, again, LAB)


@pytest.mark.parametrize("format_", ["html", "junit", "gradescope"])
def test_hostile_text_is_text(format_):
    drawn = views.draw(format_, everywhere(HOSTILE), LAB)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]", drawn)
    drawn.encode()
    if format_ == "html":
        page = Page(drawn)
        assert {"script", "img", "iframe", "link", "object"}.isdisjoint(page.tags)
        assert not any(name.startswith("on") or name in ("src", "style") for name, _ in page.attributes)
        assert page.text.count("<img src=x onerror=alert(1)>") >= 10
        assert "{{ 7*7 }}" in page.text
        assert "\\x00\\x1b[2J\\u202e" in page.text
    elif format_ == "junit":
        assert "<img src=x onerror=alert(1)>" in ET.fromstring(drawn).find(".//failure").text
    else:
        assert "<img src=x onerror=alert(1)>" in json.loads(drawn)["tests"][0]["output"]


@pytest.mark.parametrize("format_", ["html", "junit", "gradescope"])
def test_a_value_of_a_megabyte_is_whole(format_):
    value = "0123456789abcdef" * 65536
    drawn = views.draw(format_, report([FAULT.model_copy(update={"found": value})]), LAB)
    assert value in drawn


@settings(max_examples=40, deadline=None)
@given(text=st.text(min_size=1, max_size=40))
def test_no_text_breaks_a_view(text):
    hostile = everywhere(text)
    html(hostile)
    ET.fromstring(views.draw("junit", hostile, LAB).encode())
    json.loads(views.draw("gradescope", hostile, LAB))


def test_a_lone_surrogate_never_gets_as_far_as_a_view():
    with pytest.raises(ValidationError):
        everywhere("\udcff")


@pytest.mark.parametrize("tier", TIERS)
def test_every_view_says_what_the_sandbox_leaves_open(tier):
    said = report(environment=Environment(checker="0", python="3", platform="any", sandbox=tier))
    for format_ in ("html", "junit", "gradescope"):
        drawn = unescape(views.draw(format_, said, LAB))
        assert f"Sandbox: {tier}" in drawn
        assert all(promise.against in drawn for promise in PROMISES if promise.by[tier] is None)
    page = html(said).text
    assert all(f"{promise.against}{promise.by[tier] or 'not stopped'}" in page for promise in PROMISES)


def test_without_a_run_no_sandbox_was_needed():
    assert "no script was run" in words.sandbox(NOT_STARTED)
    assert set(words.VERDICTS) == set(REPORTS)


# ---- the page ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", REPORTS)
def test_the_page_says_the_verdict_and_fetches_nothing(verdict):
    page = html(REPORTS[verdict])
    score = REPORTS[verdict].score
    assert f"{verdict.capitalize()} {score.points} of 100 points." in page.text
    links = [value for name, value in page.attributes if name in ("href", "src", "action", "data")]
    assert all(link.startswith("#task-") for link in links)
    assert "url(" not in views.draw("html", REPORTS[verdict], LAB)
    assert "@import" not in views.draw("html", REPORTS[verdict], LAB)
    for task in LAB.tasks:
        assert " ".join(task.title.split()) in page.text


def test_the_page_tells_what_failed_what_did_not_run_and_whose_words_are_whose():
    page = html(report([FAULT, LIE], text="their words"))
    assert "[mismatch]It is another." in page.text.replace("] ", "]")
    assert page.text.index("It says more than there is.") < page.text.index("It is another."), "an accusation first"
    assert f"Not run: {LAB.tasks[0].id} has not passed." in page.text
    assert "contradicted their words" in page.text
    assert "printed: the student's words, not the checker's their words the end" in page.text
    assert "--hidden-seed 7" in page.text


def test_the_hints_are_folded_one_inside_the_other():
    drawn = views.draw("html", report([FAULT]), LAB)
    task = LAB.tasks[0]
    places = [drawn.index(f"Hint {n} of {len(task.hints)}") for n in range(1, len(task.hints) + 1)]
    section = drawn[drawn.index(f'id="task-{task.id}"') : drawn.index("</section>")]
    assert places == sorted(places)
    assert section.endswith("</details>\n" * len(task.hints))
    assert "<details open" not in section
    assert drawn.count("Hint 1 of") == 1, "a task that passed, or did not run, shows none"


def test_a_task_that_was_not_asked_for_is_left_out():
    tasks = [
        TaskResult(id="x", title="Asked", status="passed", points=1, possible=1),
        TaskResult(id="y", title="Unasked", status="not run", because=NOT_ASKED, points=0, possible=1),
    ]
    some = report(tasks=tasks, only=["x"], score=Score(points=1, possible=2))
    assert "asked for: x" in html(some).text
    for format_ in ("html", "gradescope"):
        assert "Unasked" not in views.draw(format_, some, LAB)


# ---- the picture ---------------------------------------------------------------------------------------------------


def test_the_words_that_differ_are_framed_and_named():
    drawn = picture(ROWS)
    assert [(word.index, word.ulps) for word in drawn.words] == [(3, 1), (4, 1)]
    assert drawn.words[1].values == ("1.0", "1.0000001")
    assert [digit for digit, differs in drawn.words[1].digits[1] if differs] == ["1"]
    assert len(drawn.cells) == 2 * len(A)
    assert len(drawn.frames) == 2
    shades = [cell.shade for cell in drawn.cells[::2]]
    assert shades[:4] == ["p4", "n4", "z", "odd"]
    page = html(report([FAULT.model_copy(update={"rows": ROWS})]))
    assert f"The first row that differs, as a picture: {ROWS.name}" in page.text
    assert page.tags.count("rect") == 2 * len(A) + 2
    assert "2 of 20 words differ, and are framed" in page.text
    assert ("aria-label", "K, layer 0, head 1, slot 2: the words that differ are number 3, 4.") in page.attributes


@pytest.mark.parametrize("digits", [4, 8, 16])
def test_a_sign_of_zero_is_seen(digits):
    zero = "0" * digits
    (word,) = picture(Rows(name="K", labels=("a", "b"), words=([zero], ["8" + zero[1:]]))).words
    assert word.ulps == 1
    assert word.values == (None if digits == 4 else ("0.0", "-0.0"))


def test_words_that_are_no_hex_of_one_width_are_shown_as_they_are():
    for words_ in ((["xyzw0000"], ["00000000"]), (["00"], ["01"]), (["0000", "00000000"], ["0001", "00000000"])):
        rows = Rows(name="K", labels=("a", "b"), words=words_)
        assert picture(rows) is None
        assert " ".join(words_[0]) in html(report([FAULT.model_copy(update={"rows": rows})])).text


def test_many_words_that_differ_are_folded_and_none_is_left_out():
    rows = Rows(name="K", labels=("a", "b"), words=(["3f800000"] * 40, ["3f800001"] * 40))
    page = html(report([FAULT.model_copy(update={"rows": rows})]))
    assert "The other 32 words that differ" in page.text
    assert page.text.count("3f800001") == 40


# ---- JUnit ---------------------------------------------------------------------------------------------------------


def junit(report):
    (suite,) = ET.fromstring(views.draw("junit", report, LAB).encode())
    return suite


def test_a_ci_server_reads_one_case_a_task():
    suite = junit(report([FAULT, LIE]))
    cases = suite.findall("testcase")
    assert [case.get("name").split(":")[0] for case in cases] == [task.id for task in LAB.tasks]
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == [str(len(cases)), "1", "0", "1"]
    failure = cases[0].find("failure")
    assert (failure.get("type"), failure.get("message")) == ("integrity", "It says more than there is.")
    for said in (
        f"3 of {LAB.tasks[0].points} points",
        "[mismatch] It is another.",
        "x[3]",
        "expected: 1",
        "found:    2",
    ):
        assert said in failure.text
    assert cases[1].find("skipped").get("message") == f"{LAB.tasks[0].id} has not passed"
    assert {p.get("name"): p.get("value") for p in suite.iter("property")}["verdict"] == "integrity"


@pytest.mark.parametrize("verdict", ["not started", "unreadable"])
def test_where_nothing_ran_a_ci_server_is_not_green(verdict):
    suite = junit(REPORTS[verdict])
    assert suite.get("errors") == "1"
    assert int(suite.get("tests")) == len(suite.findall("testcase")) == len(LAB.tasks) + 1
    assert suite.find("testcase/error").get("type") == verdict


def test_a_pass_is_green():
    suite = junit(report())
    assert [suite.get(name) for name in ("failures", "errors", "skipped")] == ["0", "0", "0"]
    assert suite.findall("testcase/failure") == suite.findall("testcase/error") == []


# ---- Gradescope ----------------------------------------------------------------------------------------------------

TOP = {"score", "execution_time", "output", "output_format", "test_output_format", "visibility", "stdout_visibility"}
TEST = {"number", "name", "score", "max_score", "status", "output", "visibility"}
SEEN_BY = {"hidden", "after_due_date", "after_published", "visible"}


@pytest.mark.parametrize("verdict", REPORTS)
def test_gradescope_gets_the_fields_it_documents(verdict):
    results = json.loads(views.draw("gradescope", REPORTS[verdict], LAB))
    assert set(results) == TOP | {"tests", "extra_data"}
    assert results["score"] == REPORTS[verdict].score.points == sum(t["score"] for t in results["tests"])
    assert {results["visibility"], results["stdout_visibility"]} <= SEEN_BY
    assert isinstance(results["execution_time"], int)
    assert f"Verdict: {verdict}." in results["output"]
    assert "hidden-seed" not in results["output"]  # the class's: others are still at work
    for test, task in zip(results["tests"], REPORTS[verdict].tasks, strict=True):
        assert set(test) == TEST
        assert test["visibility"] in SEEN_BY
        assert test["status"] == ("passed" if task.status == "passed" else "failed")
        assert (test["score"], test["max_score"]) == (task.points, task.possible)
        for finding in task.findings:
            assert finding.message in test["output"]
        if task.because:
            assert f"Not run: {task.because}." in test["output"]
