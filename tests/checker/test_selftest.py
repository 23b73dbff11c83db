"""The selftest tests the checker; here it is tested itself: is its catalogue whole, and does it see what is wrong?"""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from checker import cli, replay
from checker.sandbox import PROMISES, SandboxError, choose
from checker.selftest import command
from checker.selftest.bench import Bench
from checker.selftest.catalogue import COVERS, FAMILIES, NO_ATTACKS, chosen
from checker.selftest.trial import Attack, Family, Probe

TRIALS = {trial.name: trial for family in FAMILIES for trial in family.trials}
# One or two of each family that take no time; all of them run with `python -m checker selftest`.
QUICK = [
    *("packed-again", "wrong-dtype", "crash", "hints-02"),
    *("writes-a-verdict", "library-of-ones-own", "clock-that-stands"),
    *("forged-slots", "inflated-summary", "manifest-hides-a-difference", "weights-of-ones-own"),
    *("duplicate-keys", "pickle", "npy-header-that-runs", "size-table-lies", "drives-the-terminal"),
    *("symlink-to-results", "hard-link", "fifo", "huge-file", "zip-leads-out", "tar-device"),
    *("reads-another-s-work", "writes-outside", "spoofs-descriptors", "kills-the-supervisor", "network-tcp"),
    *("ignores-signals", "memory-bomb", "fork-bomb", "daemon", "output-flood", "half-a-message"),
]


@pytest.fixture
def selftest(reference, monkeypatch, capsys):
    """selftest(*options) -> (exit code, the document), on the reference that there is already."""

    def make_reference(self, wanted):
        shutil.copytree(reference, self.reference)

    monkeypatch.setattr(Bench, "make_reference", make_reference)

    def selftest(*options):
        code = cli.main(["selftest", *options, "--format", "json"])
        out, err = capsys.readouterr()
        assert code in (0, 1), err
        return code, json.loads(out)

    return selftest


# ---- the catalogue ---------------------------------------------------------------------------------------------------


def test_no_name_is_there_twice_and_no_family_is_empty():
    assert len(TRIALS) == sum(len(family.trials) for family in FAMILIES)
    assert all(family.trials for family in FAMILIES)
    assert len({family.name for family in FAMILIES} | set(TRIALS)) == len(FAMILIES) + len(TRIALS)


def test_there_are_attacks_controls_and_honest_mistakes():
    attacks = [trial for family in FAMILIES if family.name not in NO_ATTACKS for trial in family.trials]
    assert len(attacks) >= 48
    controls, mistakes = (next(f.trials for f in FAMILIES if f.name == name) for name in ("honest", "mistakes"))
    assert len(controls) >= 5
    assert all(control.expect is None for control in controls)
    assert len(mistakes) >= 6
    assert all(mistake.expect.kind != "integrity" for mistake in mistakes)
    assert all(attack.expect is not None for attack in attacks if isinstance(attack, Attack))


def test_every_kind_of_attack_is_tried_and_every_name_of_one_exists():
    assert all(COVERS.values())
    assert {name for names in COVERS.values() for name in names} <= set(TRIALS)


def test_a_probe_tries_what_the_sandbox_promises():
    tried = {trial.promise for trial in TRIALS.values() if isinstance(trial, Probe)} - {None}
    ids = {promise.id for promise in PROMISES}
    assert tried <= ids
    assert ids - tried == {"kernel"}  # which nobody promises


def test_the_slow_ones_are_left_out_unless_named():
    assert "solution-05" not in {trial.name for _, trial in chosen(())}
    assert "solution-05" in {trial.name for _, trial in chosen((), slow=True)}
    assert [trial.name for _, trial in chosen(("solution-05",))] == ["solution-05"]


def test_who_asks_for_the_hidden_answers_gets_a_place_for_it():
    """It holds the lock, and copies lab 02's reference all the same."""
    bench = Bench(choose().tier)
    try:
        with ThreadPoolExecutor(1) as pool, bench._asking:
            assert pool.submit(bench._reference_of, "02").result(timeout=20) == bench.reference
    finally:
        bench.close()


# ---- the command -----------------------------------------------------------------------------------------------------


def test_some_of_each_family(selftest):
    before = replay.run_script
    code, document = selftest(*(word for name in QUICK for word in ("--only", name)))
    assert [line for line in document["lines"] if not line["fits"]] == []
    assert (code, document["as_expected"]) == (0, True)
    assert {line["name"] for line in document["lines"]} == set(QUICK)
    for tier in document["tiers"]:
        assert choose(tier).tier == tier
        assert all(not shown[tier].startswith("PROMISED") for shown in document["promises"].values())
    assert replay.run_script is before
    if os.geteuid() == 0 and shutil.which("bwrap"):
        assert document["tiers"][0] == "full"


EMPTY = Family("forged", "For this test.", ())


@pytest.mark.parametrize(
    ("trial", "found"),
    [
        (
            replace(TRIALS["forged-slots"], expect=replace(TRIALS["forged-slots"].expect, says="what nobody says")),
            "exit 4",
        ),
        (replace(TRIALS["forged-slots"], expect=replace(TRIALS["forged-slots"].expect, kind="mismatch")), "exit 4"),
        (replace(TRIALS["forged-slots"], expect=None), "exit 4"),
        (replace(TRIALS["packed-again"], expect=TRIALS["forged-slots"].expect), "exit 0"),
        (Attack("breaks", "A change that fails.", lambda place, bench: {}[0], None, ("slots",)), "exit 5"),
    ],
    ids=["another message", "no accusation", "a forgery as a control", "honest work as an attack", "a fault"],
)
def test_what_is_not_as_expected_is_named_and_ends_with_1(selftest, monkeypatch, trial, found):
    monkeypatch.setattr(command, "chosen", lambda names, slow: [(EMPTY, trial)])
    code, document = selftest()
    (line,) = document["lines"]
    assert (code, document["as_expected"], line["fits"]) == (1, False, False)
    assert line["found"].startswith(found)


def test_a_promise_that_is_not_kept_is_named(selftest, monkeypatch, capsys):
    tier = choose().tier
    broken = Probe("writes-where-it-may", "Writes to OUT.", "attempt('out', lambda: open(out + '/x', 'w'))", "daemon")
    monkeypatch.setattr(command, "chosen", lambda names, slow: [(EMPTY, broken)])
    code, document = selftest("--tier", tier)
    assert code == 1
    assert document["promises"]["daemon"] == {tier: "PROMISED, NOT KEPT: writes-where-it-may"}
    assert cli.main(["selftest", "--tier", tier]) == 1
    out = capsys.readouterr().out
    assert "NOT AS EXPECTED: writes-where-it-may" in out
    assert "PROMISED, NOT KEPT" in " ".join(out.split())


def test_the_table_of_a_trial_without_a_probe(capsys):
    assert cli.main(["selftest", "--only", "hints-02"]) == 0
    out = capsys.readouterr().out
    assert "What each tier stops" not in out
    assert "1 of 1 results as expected" in out


def test_a_name_that_nobody_has_is_told_in_a_line(capsys):
    assert cli.main(["selftest", "--only", "nothing-like-it"]) == 2
    err = capsys.readouterr().err
    assert "no attack and no family is called 'nothing-like-it'" in err
    assert len(err.splitlines()) == 1


def test_a_tier_that_does_not_work_here_is_told_in_a_line(monkeypatch, capsys):
    def none(asked=None):
        raise SandboxError(f"the sandbox {asked!r} does not work here")

    monkeypatch.setattr("checker.selftest.run.choose", none)
    assert cli.main(["selftest", "--tier", "full", "--only", "endless-loop"]) == 2
    assert capsys.readouterr().err == "checker: the sandbox 'full' does not work here\n"
