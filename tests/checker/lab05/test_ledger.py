"""What a submission of this lab says of itself, and what becomes of it."""

import shutil

import pytest

from tests.checker.submissions import edit


def ledger(report):
    """The first words after the file's name -> what became of the claim."""
    claims = [claim for task in report.tasks for claim in task.claims]
    assert all(claim.text.startswith(claim.file) for claim in claims)
    return {claim.text.split(": ", 1)[1]: claim for claim in claims}


def standing(claims, words):
    (found,) = [claim for text, claim in claims.items() if words in text]
    return found.standing


def test_all_that_the_solution_says_is_verified_but_for_its_machine(check, reference):
    claims = ledger(check(reference)[1])
    unchecked = [text for text, claim in claims.items() if claim.standing != "verified"]
    assert len(claims) == 8
    assert [text.split(" with ")[0] for text in unchecked] == ["it was made"]
    assert claims[unchecked[0]].standing == "not checkable here"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["summary"].update(rows_differing=3), "rows changed"),
        (lambda d: d["cases"][1].update(differing=3), "rows changed"),
        (lambda d: d["cases"][1]["sha256"].__setitem__(2, "0" * 64), "bytes of every call"),
    ],
)
def test_what_the_run_here_contradicts(check, submission, change, words):
    edit(submission / "results.json", change)
    claims = ledger(check(submission, "--only", "results")[1])
    assert {text for text, claim in claims.items() if claim.standing == "contradicted"} == {
        text for text in claims if words in text
    }


def test_bytes_of_another_machine_are_not_checkable_here(check, submission):
    edit(submission / "manifest.json", lambda d: d["versions"].update(triton="3.2.0"))
    claims = ledger(check(submission, "--only", "results")[1])
    assert standing(claims, "bytes of every call") == "not checkable here"
    assert standing(claims, "rows changed") == "verified"


def test_of_other_cases_nothing_is_verified(check, submission):
    edit(submission / "results.json", lambda d: d["cases"][0].update(length=64))
    assert ledger(check(submission, "--only", "results")[1]) == {}


def test_a_script_that_gives_nothing_verifies_nothing(check, submission):
    (submission / "kernels.py").write_text("raise SystemExit(3)\n")
    claims = ledger(check(submission, "--only", "results")[1])
    assert {claim.standing for claim in claims.values()} == {"not checkable here"}


def test_the_starter_claims_no_kernel(check, started, tmp_path):
    claims = ledger(check(shutil.copytree(started, tmp_path / "copy"), "--only", "results")[1])
    assert not any("kernels of yours" in text for text in claims)
    assert standing(claims, "rows changed") == "verified", "they do change, and it says so"
