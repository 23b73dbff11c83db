"""The terminal view: at 80 columns, without colour, nothing cut, nothing of theirs let through as markup."""

import io

from rich.console import Console

from checker import terminal
from checker.report import Count, Environment, Evidence, Finding, Replay, Report, Score, Submission, TaskResult

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


def report(findings, **evidence):
    tasks = [
        TaskResult(id="manifest", title="Both manifests", status="passed", points=40, possible=40, notes=["a note"]),
        TaskResult(id="property", title="A title " * 12, status="failed", points=0, possible=40, findings=findings),
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
        score=Score(points=40, possible=100),
        tasks=tasks,
        evidence=Evidence(**evidence),
        environment=Environment(checker="0", python="3", platform="any"),
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


def test_an_accusation_is_never_among_the_findings_left_out():
    text = drawn(report([finding(where=f"cases[{i}]") for i in range(20)] + [finding(kind="integrity", where="last")]))
    assert "[integrity]" in text
    assert "and 18 more of this task, in report.json" in text


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
