"""The terminal view: at 80 columns, without colour, nothing cut, nothing of theirs let through as markup."""

import io

from rich.console import Console

from checker import terminal
from checker.report import Claim, Count, Environment, Evidence, Finding, Replay, Report, Score, Submission, TaskResult

COMMAND = "python -m checker labs/02"
GOOD, BAD = "ab" * 32, "cd" * 32


def finding(**fields):
    return Finding(
        **{
            "kind": "mismatch",
            "file": "22-cache-correctness/results.json",
            "where": "runs.fixed.cases[3].k.cached",
            "expected": GOOD,
            "found": BAD,
            "message": "The bytes are not those the model gives: their sha256 is another.",
            "usual_causes": ["the bytes are not float32, little-endian, in C order"],
        }
        | fields
    )


def report(findings, points=0, claims=(), sandbox=None, **evidence):
    tasks = [
        TaskResult(id="manifest", title="Both manifests", status="passed", points=40, possible=40, notes=["a note"]),
        TaskResult(
            id="property",
            title="A title " * 12,
            status="failed",
            points=points,
            possible=40,
            findings=findings,
            claims=list(claims),
        ),
        TaskResult(
            id="extended", title="More", status="not run", because="property has not passed", points=0, possible=20
        ),
    ]
    integrity = any(f.kind == "integrity" for f in findings)
    return Report(
        schema="checker.report/1",
        lab="02",
        title="A lab",
        submission=Submission(path="labs/02/experiments"),
        started="2025-01-01T00:00:00+00:00",
        verdict="integrity" if integrity else "not passed",
        score=Score(points=40 + points, possible=100),
        tasks=tasks,
        evidence=Evidence(**evidence),
        environment=Environment(checker="0", python="3", platform="any", sandbox=sandbox),
    )


def drawn(report, width=80):
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False, emoji=False)
    terminal.draw(report, console, COMMAND, "labs/02/experiments/.checker/report.json")
    return out.getvalue()


def test_it_reads_at_80_columns_and_without_colour():
    text = drawn(report([finding(), finding(kind="integrity", message="A claim. " * 30)]))
    assert "\x1b" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    for words in ("passed", "FAILED", "not run", "40 of 40", "a note", "property has not passed", "INTEGRITY"):
        assert words in text
    assert f"next hint: {COMMAND} --only property --hint" in text


def test_two_digests_are_whole_and_stand_one_below_the_other():
    lines = drawn(report([finding()])).splitlines()
    (expected,) = [line for line in lines if GOOD in line]
    (found,) = [line for line in lines if BAD in line]
    assert expected.index(GOOD) == found.index(BAD)


def test_a_long_value_is_folded_and_not_cut():
    value = "".join(chr(ord("a") + i % 26) for i in range(400))
    text = drawn(report([finding(found=value)]))
    assert value in "".join(line.strip() for line in text.splitlines())


def test_a_value_that_would_fill_the_screen_is_whole_elsewhere():
    text = drawn(report([finding(found="x" * 5000)]))
    assert "(5000 characters; --format html shows them all)" in " ".join(text.split())
    assert len(text.splitlines()) < 50
    assert f"The same as a page: {COMMAND} --format html" in text


def test_a_narrow_terminal_reads_too():
    text = drawn(report([finding()]), width=40)
    copied = (COMMAND, "report.json")  # these lines are never broken
    assert all(len(line.rstrip()) <= 40 or any(c in line for c in copied) for line in text.splitlines())
    assert "property: FAILED, 0 of 40" in text
    assert "not run: property has not passed" in text


def test_a_part_of_the_points_reads_as_a_part():
    text = drawn(report([finding()], points=12))
    assert "in part" in text
    assert "FAILED" not in text
    assert "12 of 40" in text


def test_claims_are_counted_and_those_that_do_not_hold_are_named():
    claims = [
        Claim(text="holds", file="a.json", standing="verified"),
        Claim(text="made in May", file="a.json", standing="not checkable here", because="a date leaves no trace"),
        Claim(text="50 of 50\x1b[2J", file="a.json", standing="contradicted"),
    ]
    text = drawn(report([finding()], claims=claims))
    assert "1 of 3 claims verified here." in text
    assert "contradicted: 50 of 50\\x1b[2J" in text
    assert "not checkable here: made in May (a date leaves no trace)" in " ".join(text.split())
    assert text.index("contradicted") < text.index("not checkable")
    assert "of itself" not in drawn(report([finding()]))


def test_every_report_says_how_far_the_scripts_were_shut_in():
    assert "Sandbox: none was needed, since no script was run." in drawn(report([finding()]))
    text = " ".join(drawn(report([finding()], sandbox="rlimits")).split())
    assert "Sandbox: rlimits, the weakest of the three tiers." in text
    assert "What it does not stop: writing outside its scratch folder; reading" in text


def test_an_accusation_is_never_among_the_findings_left_out():
    text = drawn(report([finding(where=f"cases[{i}]") for i in range(20)] + [finding(kind="integrity", where="last")]))
    assert "[integrity]" in text
    assert "and 18 more of this task; --format html shows them all" in text


def test_their_words_are_neither_markup_nor_commands():
    tail = "[red]not red[/red]\x1b[2J\nbold claim :smile:"
    replay = Replay(
        script="s.py",
        arguments=[],
        outcome="finished",
        exit_code=1,
        seconds=1.0,
        output_tail=tail,
        counts=[Count(ops="fixed", cases=50, tokens_equal=50, bytes_equal=49)],
    )
    text = drawn(report([finding(found='"[bold]x[/bold]"', where="\x1b[31m")], replayed=[replay]))
    assert "\x1b" not in text
    assert "[red]not red[/red]\\x1b[2J" in text
    assert ":smile:" in text
    assert "[bold]x[/bold]" in text
    assert "bytes in 49 of 50" in " ".join(text.split())
