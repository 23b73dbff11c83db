"""What the book says of the checker: its examples run, and its promises are those of the sandbox."""

import re
import sys
import types
from pathlib import Path

import pytest

from checker.lab02.zoo import ZOO, alone
from checker.report import EXIT_CODES, Kind
from checker.sandbox import PROMISES, TIERS
from checker.sandbox.promises import Promise
from checker.selftest import escapes, files
from checker.spec import load_lab

REFERENCE = (Path(__file__).parents[2] / "book" / "checker_reference.md").read_text(encoding="utf-8")


def block(starts: str) -> str:
    """The code block of the page whose first line begins so."""
    (found,) = [text for text in re.findall(r"^```\w+\n(.*?)^```$", REFERENCE, re.M | re.S) if text.startswith(starts)]
    return found


def module(name: str, source: str) -> types.ModuleType:
    made = types.ModuleType(name)
    exec(compile(source, name, "exec"), made.__dict__)
    return made


@pytest.fixture
def lab90(tmp_path, monkeypatch):
    """The small lab of the page, put where its parts belong."""
    (tmp_path / "labs/90").mkdir(parents=True)
    (tmp_path / "labs/90/lab.toml").write_text(block("# labs/90/lab.toml"))
    monkeypatch.setitem(sys.modules, "checker.lab90", module("lab90", block("# checker/lab90/")))
    monkeypatch.chdir(tmp_path)
    return load_lab(Path("labs/90"))


def test_the_small_lab_is_one_and_its_own_tests_pass(lab90, tmp_path):
    assert [task.id for task in lab90.tasks] == ["sums", "writing"]
    tests = module("test_lab90", block("# tests/checker/test_lab90.py"))
    names = [name for name in vars(tests) if name.startswith("test_")]
    assert len(names) == 3
    for name in names:
        (tmp_path / name).mkdir()
        getattr(tests, name)(tmp_path / name)


def test_the_planted_bug_and_the_attacks_shown_are_those_in_their_catalogues():
    bug = eval(block("Mutant("), dict(vars(alone)))
    assert bug == ZOO[bug.id]
    assert eval(block("Attack("), dict(vars(files))) in files.ATTACKS
    assert eval(block("Probe("), dict(vars(escapes))) in escapes.PROBES


def told(promise: Promise) -> str:
    """One promise, as the page has it: tiers that stop it in the same way stand together."""
    ways: dict[str, list[str]] = {}
    for tier in TIERS:
        ways.setdefault(promise.by[tier] or "*not stopped*", []).append(tier)
    lines = [f"{promise.against[0].upper()}{promise.against[1:]}"]
    for way, tiers in ways.items():
        lines.append(f"- {'every tier' if len(tiers) == len(TIERS) else ', '.join(tiers)}: {way}")
    return f"{lines[0]}\n: {lines[1]}\n" + "".join(f"  {line}\n" for line in lines[2:])


def test_the_promises_are_those_of_the_sandbox():
    """Where they changed: put what this expects between the two comments of the page."""
    found = re.search(r"<!-- promises:[^\n]* -->\n\n(.*?)\n<!-- end of promises -->", REFERENCE, re.S)
    assert found
    assert found[1] == "\n".join(map(told, PROMISES))


@pytest.mark.parametrize("code", sorted({*EXIT_CODES.values(), 2, 5, 130}))
def test_every_exit_code_is_explained(code):
    assert f"\n| {code} | " in REFERENCE


@pytest.mark.parametrize("kind", Kind.__args__)
def test_every_kind_of_finding_is_explained(kind):
    assert f"\n| `{kind}` | " in REFERENCE
