"""Forged, broken and honestly wrong submissions: each one change to the reference, each refused for its own reason.

A forger's claim that nothing bears out is `integrity` (exit 4). An honest mistake, however large, never is.
"""

import copy
import json
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from checker.report import Count
from checker.spec import load_lab
from tests.checker.submissions import FAKE, edit, findings, the_finding

ROOT = Path(__file__).parents[2]
CORRECTNESS, WORKED = "22-cache-correctness", "22-yesterday-worked"
RESULTS, SLOTS = f"{CORRECTNESS}/results.json", f"{WORKED}/slots.npz"
PROPERTY_TEST, DUMP = f"{CORRECTNESS}/property_test.py", f"{WORKED}/dump.py"
MANIFEST, DUMP_MANIFEST = f"{CORRECTNESS}/manifest.json", f"{WORKED}/manifest.json"
README, REPORT = f"{CORRECTNESS}/README.md", f"{WORKED}/report.md"


def edit_npz(path, change):
    with np.load(path) as file:
        arrays = {name: file[name].copy() for name in file.files}
    change(arrays)
    np.savez(path, **arrays)


def case(document, i=3, run="fixed"):
    return document["runs"][run]["cases"][i]


def forge_tokens(document, i=3):
    for path in ("cached", "uncached"):
        case(document, i)["tokens"][path][5] ^= 1


def forge_digest(document, i=3):
    case(document, i)["k"].update(cached=FAKE, uncached=FAKE)


def admit(document, i=3):
    """The case says, truthfully or not, that its paths differ; and the summary counts it."""
    case(document, i)["k"].update(uncached=FAKE, differing=5)
    document["runs"]["fixed"]["summary"].update(bytes_passed=49, bytes_failed=1)


def script_that_writes(lab, hidden=None):
    """A property_test.py that computes nothing: it writes what it was given."""
    return f"""import json, sys
out = sys.argv[sys.argv.index("--out") + 1]
answer = {hidden!r} if "--prompts" in sys.argv else {lab!r}
json.dump(answer, open(out + "/results.json", "w"))
"""


# ---- the controls ------------------------------------------------------------------------------------------------


def test_the_reference_passes(check, reference):
    code, report = check(reference, "--only", "extended", "--only", "slots", "--only", "dump", "--only", "writing")
    assert (code, report.verdict) == (0, "passed")
    assert report.evidence.stored_bytes == "compared"
    lab, hidden, dump, another = report.evidence.replayed
    assert lab.counts[0] == Count(ops="fixed", cases=50, tokens_equal=50, bytes_equal=50)
    assert hidden.counts[0] == Count(ops="fixed", cases=10, tokens_equal=10, bytes_equal=10)
    assert (dump.outcome, another.outcome) == ("finished", "finished")
    (note,) = [n for t in report.tasks for n in t.notes]
    assert "on stock ops" in note
    claims = [(claim.standing, claim.file) for t in report.tasks for claim in t.claims]
    verified = [RESULTS, MANIFEST, RESULTS, RESULTS, SLOTS, DUMP_MANIFEST]  # counts, divergences, bytes, slots
    assert [file for standing, file in claims if standing == "verified"] == verified
    assert [file for standing, file in claims if standing != "verified"] == [RESULTS]  # the stock run


OLDER = {
    "order": lambda d: d["config"].update(order="fixed-order/0"),
    "courselib": lambda d: d["versions"].update(courselib="0.0.1"),
}


@pytest.mark.parametrize("field", OLDER)
def test_bytes_of_another_promise_are_recomputed_and_not_compared(check, submission, field):
    """They are neither believed nor held against anyone; how many cases agree is compared all the same."""
    edit(submission / MANIFEST, OLDER[field])
    edit(submission / RESULTS, forge_digest)
    code, report = check(submission, "--only", "property")
    assert code == 0
    assert report.evidence.stored_bytes == "not compared"
    assert field in report.evidence.stored_bytes_because
    assert any("counts compared" in note for t in report.tasks for note in t.notes)


def test_counts_of_another_promise_are_those_of_the_script_run_here(check, submission):
    edit(submission / MANIFEST, OLDER["courselib"])
    edit(submission / RESULTS, admit)
    edit(submission / MANIFEST, lambda d: d["results_summary"].update(bytes_passed=49, bytes_failed=1))
    found = refused_without_accusation(check, submission, "property")
    assert [(f.file, f.where, f.expected, f.found) for f in found] == [
        (RESULTS, "runs.fixed.bytes_passed", "50", "49"),
        (RESULTS, "runs.fixed.bytes_failed", "0", "1"),
    ]


def test_counts_of_the_extended_cases_too(check, submission):
    edit(submission / MANIFEST, OLDER["courselib"])
    edit(submission / RESULTS, lambda d: d["extended"]["long"]["k"].update(uncached=FAKE, differing=5))
    found = refused_without_accusation(check, submission, "extended")
    assert [f.where for f in found] == ["extended.bytes_passed", "extended.bytes_failed"]


@pytest.mark.parametrize("field", OLDER)
def test_slots_of_another_promise_are_compared_within_a_tolerance(check, submission, field):
    edit(submission / DUMP_MANIFEST, OLDER[field])
    edit_npz(submission / SLOTS, flip("k_cached", "k_full"))
    code, report = check(submission, "--only", "slots")
    assert code == 0
    assert any("within 0.0001" in note for t in report.tasks for note in t.notes)
    edit_npz(submission / SLOTS, zeros)
    found = refused_without_accusation(check, submission, "slots")
    wheres = [f.where.split(":")[0] for f in found]
    assert wheres == ["tokens", "k_cached", "k_full", "v_cached", "v_full"]
    assert all(f.expected != f.found for f in found)
    edit_npz(submission / SLOTS, lambda arrays: [arrays[name].fill(np.nan) for name in arrays if name != "tokens"])
    assert len(refused_without_accusation(check, submission, "slots")) == 5


def test_no_slots_are_saved_by_weights_that_do_not_exist(check, submission):
    edit(submission / DUMP_MANIFEST, lambda d: d["config"].update(weights_sha256="0" * 64))
    edit_npz(submission / SLOTS, zeros)
    code, report = check(submission, "--only", "slots", "--only", "manifest")
    assert code == 4
    assert len(findings(report, "slots")) == 5
    found = the_finding(report, "manifest")
    assert (found.kind, found.file, found.where) == ("mismatch", DUMP_MANIFEST, "config.weights_sha256")


def zeros(arrays):
    for array in arrays.values():
        array.fill(0)


# ---- forged: exit 4 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "task", "where", "expected"),
    [
        (forge_tokens, "property", "runs.fixed.cases[3].tokens.cached[5]", None),
        (forge_digest, "property", "runs.fixed.cases[3].k.cached", None),
        (
            lambda d: case(d)["logits"].update(cached=FAKE, uncached=FAKE),
            "property",
            "runs.fixed.cases[3].logits.cached",
            None,
        ),
        (
            lambda d: case(d)["k"].update(uncached=FAKE, differing=5),
            "results",
            "runs.fixed.summary.bytes_passed",
            "49",
        ),
        (
            lambda d: case(d)["tokens"].update(uncached=case(d)["tokens"]["cached"][::-1]),
            "results",
            "runs.fixed.cases[3].tokens.first_divergence",
            None,
        ),
        (lambda d: case(d)["v"].update(uncached=FAKE), "results", "runs.fixed.cases[3].v.differing", "at least 1"),
        (
            lambda d: d["runs"]["stock"]["summary"].update(bytes_passed=50, bytes_failed=0),
            "results",
            "runs.stock.summary.bytes_passed",
            "0",
        ),
        (
            lambda d: d["extended"]["long"]["v"].update(cached=FAKE, uncached=FAKE),
            "extended",
            "extended.long.v.cached",
            None,
        ),
        (
            lambda d: d["extended"]["batch"][2]["k"].update(cached=FAKE, uncached=FAKE),
            "extended",
            "extended.batch[2].k.cached",
            None,
        ),
        (
            lambda d: d["extended"]["warm"]["v"].update(uncached=FAKE),
            "extended",
            "extended.warm.v.differing",
            "at least 1",
        ),
    ],
    ids=[
        "tokens", "digest of K", "digest of logits", "summary", "hidden divergence", "hidden difference",
        "summary of stock", "extended", "one row of the batch",
        "hidden difference, extended",
    ],
)  # fmt: skip
def test_a_claim_that_nothing_bears_out(check, submission, change, task, where, expected):
    edit(submission / RESULTS, change)
    code, report = check(submission, "--only", task)
    assert (code, report.verdict) == (4, "integrity")
    found = {f.where: f for f in findings(report, task) if f.kind == "integrity"}
    assert where in found, findings(report, task)
    assert found[where].file == RESULTS
    assert expected in (None, found[where].expected)
    assert found[where].expected != found[where].found
    claims = [claim for t in report.tasks if t.id == task for claim in t.claims]
    assert RESULTS in [claim.file for claim in claims if claim.standing == "contradicted"]


def test_a_fixed_run_copied_over_the_stock_one(check, submission):
    def change(document):
        document["runs"]["stock"] = copy.deepcopy(document["runs"]["fixed"]) | {"order": "stock"}

    edit(submission / RESULTS, change)
    code, report = check(submission, "--only", "property")
    assert code == 4
    assert the_finding(report, "property").where == "runs.stock"


def test_a_manifest_that_counts_better_than_results_and_script(check, submission, lab_answers):
    worse = copy.deepcopy(lab_answers)
    admit(worse)
    (submission / RESULTS).write_text(json.dumps(worse))
    (submission / PROPERTY_TEST).write_text(script_that_writes(worse))
    code, report = check(submission, "--only", "results")
    assert code == 4
    wheres = [f.where for f in findings(report, "results")]
    assert wheres == ["results_summary.bytes_passed", "results_summary.bytes_failed"]


def test_a_script_mended_since_is_told_to_run_again_and_nobody_is_accused(check, submission):
    def change(document):
        case(document)["k"].update(uncached=FAKE, differing=5)  # and the summary says 50: a bug, since mended

    edit(submission / RESULTS, change)
    code, report = check(submission, "--only", "results", mended=True)
    assert code == 1
    assert {f.kind for f in findings(report, "results")} == {"mismatch"}
    told = [f for f in findings(report, "results") if "changed after the file was written: run it" in f.message]
    assert told, findings(report, "results")
    assert check(submission, "--only", "results")[0] == 4  # the same file, written after the script: a claim


def test_a_file_that_admits_what_the_script_no_longer_does_is_an_old_one(check, submission):
    edit(submission / RESULTS, admit)
    edit(submission / MANIFEST, lambda d: d["results_summary"].update(bytes_passed=49, bytes_failed=1))
    code, report = check(submission, "--only", "property", mended=True)
    assert code == 1
    assert "the file is from an earlier one: run the script" in findings(report, "property")[0].message


def test_answers_known_for_the_lab_s_prompts_only(check, submission, lab_answers, hidden_answers):
    """A script with the right answers written into it has none for prompts it has not seen."""
    for run in hidden_answers["runs"].values():
        for i, c in enumerate(run["cases"]):
            known = lab_answers["runs"]["fixed"]["cases"][i]
            c["tokens"] = known["tokens"]
    (submission / PROPERTY_TEST).write_text(script_that_writes(lab_answers, hidden_answers))
    code, report = check(submission, "--only", "property")
    assert code == 4
    found = findings(report, "property")
    assert {f.kind for f in found} == {"integrity"}
    assert {f.file for f in found} == {PROPERTY_TEST}
    assert all("hidden prompts" in f.where for f in found)


def test_digests_known_for_the_lab_s_prompts_only(check, submission, lab_answers, hidden_answers):
    case(hidden_answers)["k"].update(cached=FAKE, uncached=FAKE)
    (submission / PROPERTY_TEST).write_text(script_that_writes(lab_answers, hidden_answers))
    code, report = check(submission, "--only", "property")
    assert code == 4
    assert the_finding(report, "property").where.endswith("runs.fixed.cases[3].k.cached")


def test_a_script_and_a_file_that_make_up_the_same(check, submission, lab_answers, hidden_answers):
    made_up = copy.deepcopy(lab_answers)
    forge_tokens(made_up)
    for name in ("k", "v", "logits"):
        case(made_up)[name].update(cached=FAKE, uncached=FAKE)
    (submission / RESULTS).write_text(json.dumps(made_up))
    (submission / PROPERTY_TEST).write_text(script_that_writes(made_up, hidden_answers))
    code, report = check(submission, "--only", "property")
    assert code == 4
    assert "no run of the model" in the_finding(report, "property").message


def test_results_that_the_script_beside_them_contradicts(check, submission, lab_answers, hidden_answers):
    worse = copy.deepcopy(lab_answers)
    admit(worse)
    (submission / PROPERTY_TEST).write_text(script_that_writes(worse, hidden_answers))
    code, report = check(submission, "--only", "property")
    assert code == 4
    found = the_finding(report, "property")
    assert (found.file, found.found) == (PROPERTY_TEST, f"5 of {case(worse)['k']['rows']} rows")


def flip(*names):
    def change(arrays):
        for name in names:
            arrays[name].view(np.uint32)[1, 0, 1, 5] ^= 1

    return change


def test_slots_with_the_same_forged_row_on_both_paths(check, submission):
    edit_npz(submission / SLOTS, flip("k_cached", "k_full"))
    code, report = check(submission, "--only", "slots")
    assert code == 4
    found = the_finding(report, "slots", 2)
    assert (found.kind, found.where) == ("integrity", "k_cached: layer 1, head 0, slot 1, dim 5")
    assert "1 ULP apart; 1 of 512 words differ" in found.found


def test_a_dump_manifest_that_hides_a_difference(check, submission):
    edit_npz(submission / SLOTS, flip("v_cached"))
    code, report = check(submission, "--only", "slots")
    assert code == 4
    (found,) = [f for f in findings(report, "slots") if f.kind == "integrity"]
    assert (found.file, found.where, found.expected) == (DUMP_MANIFEST, "results_summary.differing", "1")


# ---- honestly wrong: exit 1, and nobody is accused ---------------------------------------------------------------


def refused_without_accusation(check, submission, task, *options):
    code, report = check(submission, "--only", task, *options)
    assert (code, report.verdict) == (1, "not passed"), report.tasks
    found = findings(report, task)
    assert found
    assert "integrity" not in {f.kind for f in found}
    return found


def test_a_run_that_admits_its_failure(check, submission, lab_answers, hidden_answers):
    worse = copy.deepcopy(lab_answers)
    admit(worse)
    (submission / RESULTS).write_text(json.dumps(worse))
    (submission / PROPERTY_TEST).write_text(script_that_writes(worse, hidden_answers))
    edit(submission / MANIFEST, lambda d: d["results_summary"].update(bytes_passed=49, bytes_failed=1))
    (found,) = refused_without_accusation(check, submission, "property")
    assert (found.file, found.where) == (RESULTS, "runs.fixed.cases[3].k.differing")
    assert found.usual_causes


def test_a_file_that_is_older_than_the_mended_script(check, submission):
    edit(submission / RESULTS, admit)
    edit(submission / MANIFEST, lambda d: d["results_summary"].update(bytes_passed=49, bytes_failed=1))
    (found,) = refused_without_accusation(check, submission, "property")
    assert found.where == "runs.fixed.cases[3].k.differing"


def test_a_script_that_tallies_wrong(check, submission, lab_answers, hidden_answers):
    wrong_too = hidden_answers
    wrong_too["runs"]["stock"]["summary"].update(bytes_passed=10, bytes_failed=0)
    wrong = copy.deepcopy(lab_answers)
    wrong["runs"]["stock"]["summary"].update(bytes_passed=50, bytes_failed=0)
    (submission / RESULTS).write_text(json.dumps(wrong))
    (submission / PROPERTY_TEST).write_text(script_that_writes(wrong, wrong_too))
    found = refused_without_accusation(check, submission, "results")
    assert [f.where for f in found] == ["runs.stock.summary.bytes_passed", "runs.stock.summary.bytes_failed"]


def test_a_script_that_digests_other_bytes(check, submission, lab_answers, hidden_answers):
    """The right tokens, and K digested wrongly wherever it is asked: a bug, and no forgery."""
    for document in (lab_answers := copy.deepcopy(lab_answers), hidden_answers):
        for c in document["runs"]["fixed"]["cases"]:
            c["k"].update(cached=FAKE, uncached=FAKE)
    (submission / RESULTS).write_text(json.dumps(lab_answers))
    (submission / PROPERTY_TEST).write_text(script_that_writes(lab_answers, hidden_answers))
    found = refused_without_accusation(check, submission, "property")
    assert found[0].where == "runs.fixed.cases[0].k.cached"


def test_a_script_that_ignores_its_prompts(check, submission, lab_answers):
    (submission / PROPERTY_TEST).write_text(script_that_writes(lab_answers, lab_answers))
    (found, *_) = refused_without_accusation(check, submission, "property")
    assert (found.expected, found.found) == ("10 cases", "50 cases")


def test_a_manifest_that_is_older_than_the_results(check, submission):
    edit(submission / MANIFEST, lambda d: d["results_summary"].update(bytes_passed=48, bytes_failed=2))
    found = refused_without_accusation(check, submission, "results")
    assert [f.where for f in found] == ["results_summary.bytes_passed", "results_summary.bytes_failed"]


@pytest.mark.parametrize(
    ("file", "change", "task", "where"),
    [
        (RESULTS, lambda d: d.update(extra=1), "results", "extra"),
        (RESULTS, lambda d: d.pop("max_new_tokens"), "results", "max_new_tokens"),
        (RESULTS, lambda d: case(d)["k"].update(differing="0"), "results", "runs.fixed.cases[3].k.differing"),
        (RESULTS, lambda d: case(d)["tokens"]["cached"].__setitem__(0, 1.5), "results",
         "runs.fixed.cases[3].tokens.cached[0]"),
        (RESULTS, lambda d: d["runs"]["fixed"].update(order="stock"), "results", "runs.fixed.order"),
        (RESULTS, lambda d: d["runs"].pop("stock"), "results", "runs.stock"),
        (RESULTS, lambda d: d.update(prompt_seed=2), "results", "prompt_seed"),
        (RESULTS, lambda d: d["runs"]["fixed"]["cases"].pop(), "results", "runs.fixed.cases"),
        (RESULTS, lambda d: case(d).update(seed=42), "results", "runs.fixed.cases[3].seed"),
        (RESULTS, lambda d: [case(d)["tokens"][path].pop() for path in ("cached", "uncached")], "results",
         "runs.fixed.cases[3].tokens.cached"),
        (RESULTS, lambda d: case(d)["k"].update(rows=7), "results", "runs.fixed.cases[3].k.rows"),
        (RESULTS, lambda d: d["runs"]["fixed"]["summary"].update(bytes_passed=3), "results",
         "runs.fixed.summary.bytes_passed"),
        (RESULTS, lambda d: d.update(extended=None), "extended", "extended"),
        (RESULTS, lambda d: d["extended"]["warm"].update(seed=1), "extended", "extended.warm.seed"),
        (RESULTS, lambda d: [t.pop() for t in (d["extended"]["long"]["tokens"][p] for p in ("cached", "uncached"))],
         "extended", "extended.long.tokens.cached"),
        (MANIFEST, lambda d: d.update(date="2025-02-30"), "manifest", "date"),
        (MANIFEST, lambda d: d["config"].update(temperature=0.5), "manifest", "config.temperature"),
        (MANIFEST, lambda d: d["config"].update(prompt_len_range={"min": 8, "max": 32, "unit": "tokens"}), "manifest",
         "config.prompt_len_range.min"),
        (MANIFEST, lambda d: d["config"].update(weights_sha256=FAKE), "manifest", "config.weights_sha256"),
        (DUMP_MANIFEST, lambda d: d["config"].update(weights_sha256=FAKE), "manifest", "config.weights_sha256"),
        (MANIFEST, lambda d: d["versions"].pop("torch"), "manifest", "versions.torch"),
        (DUMP_MANIFEST, lambda d: d["config"].update(slots=[1, 0]), "manifest", "config.slots"),
        (DUMP_MANIFEST, lambda d: d["config"].update(decoded="played"), "slots", "config.decoded"),
        (DUMP_MANIFEST, lambda d: d["results_summary"].update(rows=3), "slots", "results_summary.rows"),
    ],
)  # fmt: skip
def test_a_field_that_is_wrong_is_named(check, submission, file, change, task, where):
    edit(submission / file, change)
    found = refused_without_accusation(check, submission, task)
    assert (found[0].file, found[0].where) == (file, where)
    assert found[0].expected != found[0].found


@pytest.mark.parametrize(
    ("file", "text", "where"),
    [
        (RESULTS, b'{"schema": "x", "schema": "y"}', None),
        (RESULTS, b"[NaN]", "[0]"),
        (MANIFEST, b'\xef\xbb\xbf{"schema": "lab02.manifest/1"}', "byte 0"),
        (DUMP_MANIFEST, b"", "line 1, column 1"),
    ],
)
def test_a_file_that_is_no_json(check, submission, file, text, where):
    (submission / file).write_bytes(text)
    task = "results" if file == RESULTS else "manifest"
    (found,) = refused_without_accusation(check, submission, task)
    assert (found.kind, found.file, found.where) == ("malformed", file, where)


@pytest.mark.parametrize(
    ("file", "task"),
    [
        (RESULTS, "results"),
        (MANIFEST, "manifest"),
        (PROPERTY_TEST, "property"),
        (SLOTS, "slots"),
        (DUMP, "dump"),
        (README, "writing"),
        (REPORT, "writing"),
    ],
)
def test_a_file_that_is_missing(check, submission, file, task):
    (submission / file).unlink()
    (found,) = refused_without_accusation(check, submission, task)
    assert (found.kind, found.file) == ("missing", file)


def test_a_difference_in_the_slots_is_named_to_the_word(check, submission):
    edit_npz(submission / SLOTS, flip("v_cached"))
    edit(submission / DUMP_MANIFEST, lambda d: d["results_summary"].update(differing=1))
    found = refused_without_accusation(check, submission, "slots")
    assert found[0].where == "v_cached against v_full: layer 1, head 0, slot 1, dim 5"
    a, b = found[0].expected.split()[0], found[0].found.split()[0]
    assert int(a, 16) ^ int(b, 16) == 1
    rows = found[0].rows
    assert (rows.name, rows.labels) == ("v_cached against v_full: layer 1, head 0, slot 1", ("recomputed", "cached"))
    assert [i for i, pair in enumerate(zip(*rows.words, strict=True)) if pair[0] != pair[1]] == [5]
    assert "1 ULP apart" in found[0].found


def test_other_tokens_in_the_slots(check, submission):
    edit_npz(submission / SLOTS, lambda arrays: arrays["tokens"].__setitem__(2, 5))
    found = findings(check(submission, "--only", "slots")[1], "slots")[0]
    assert found.where == "tokens"


def test_slots_in_a_pickle_are_not_opened(check, submission):
    np.savez(submission / SLOTS, tokens=np.array([{"a": 1}], dtype=object))
    (found,) = refused_without_accusation(check, submission, "slots")
    assert found.kind == "malformed"


def test_slots_with_one_more_file_in_the_archive(check, submission):
    with zipfile.ZipFile(submission / SLOTS, "a") as archive:
        archive.writestr("readme.txt", "hello")
    (found,) = refused_without_accusation(check, submission, "slots")
    assert found.found == "readme.txt"


def refused_in_time(check, submission, task):
    return refused_without_accusation(check, submission, task, "--timeout", "2")[0]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("raise SystemExit('no model here')", "It ended with exit code 1"),
        ("import os; print('50 of 50 passed'); os._exit(0)", "The file is not there"),
        ("import time; time.sleep(600)", "did not end within 2 s"),
        ("import sys; open(sys.argv[2] + '/results.json', 'w').write('{')", "not valid JSON"),
        ("import sys; open(sys.argv[2] + '/results.json', 'w').write('{}')", "not as the schema asks"),
        ("import os, sys; os.symlink('/etc/passwd', sys.argv[2] + '/results.json')", "Only a regular file"),
    ],
    ids=["crash", "exit 0 and a claim", "endless", "half a file", "an empty object", "a link"],
)
def test_a_property_test_that_gives_no_data(check, submission, script, message):
    (submission / PROPERTY_TEST).write_text(script)
    found = refused_in_time(check, submission, "property")
    assert found.kind == "replay"
    assert message in found.message


def test_folders_beside_out_are_in_nobody_s_way(check, submission, lab_answers, hidden_answers):
    text = script_that_writes(lab_answers, hidden_answers)
    names = ("lab", "hidden", "dump", "home", "submission", "hidden.json", "out")
    text += f"import os\nfor name in {names!r}: os.makedirs(os.path.join(out, '..', name), exist_ok=True)\n"
    (submission / PROPERTY_TEST).write_text(text)
    code, _ = check(submission, "--only", "property", "--only", "dump")
    assert code == 0


def test_no_run_sees_what_another_has_left(check, submission):
    """Each has a copy of the submission, a HOME and an --out of its own."""
    look = """import os, sys
out = sys.argv[sys.argv.index("--out") + 1]
left = [os.path.join(place, "left") for place in (out, os.environ["HOME"], "..")]
if any(map(os.path.exists, left)):
    raise SystemExit(9)
for path in left:
    open(path, "w").close()
"""
    (submission / PROPERTY_TEST).write_text(look)
    (submission / DUMP).write_text(look)
    _, report = check(submission, "--only", "property", "--only", "dump")
    assert [r.exit_code for r in report.evidence.replayed] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("raise SystemExit(1)", "It ended with exit code 1"),
        ("import time; time.sleep(600)", "did not end within 2 s"),
        ("import sys; open(sys.argv[2] + '/slots.npz', 'w').write('no')", "not a whole npz"),
        ("import pathlib, shutil, sys; shutil.copy('slots.npz', sys.argv[2])", "It ended with exit code 1"),
    ],
    ids=["crash", "endless", "no npz", "the answer that lay there"],
)
def test_a_dump_that_gives_no_slots(check, submission, script, message):
    (submission / DUMP).write_text(script)
    found = refused_in_time(check, submission, "dump")
    assert (found.kind, found.file) == ("replay", DUMP)
    assert message in found.message


def test_a_readme_that_is_too_short_or_leaves_out_what_was_asked(check, submission):
    (submission / README).write_text("It works. " * 80)
    found = refused_without_accusation(check, submission, "writing")
    assert [f.expected for f in found] == [
        '"no bugs found", or the bug and its fix',
        "what stock ops did",
        "what was found about the bytes, not the tokens alone",
    ]
    (submission / README).write_text("No bugs found. On stock ops the bytes differ.")
    (found,) = refused_without_accusation(check, submission, "writing")
    assert (found.expected, found.found) == ("at least 120 words", "9 words")


@pytest.mark.parametrize(
    ("text", "says_so"),
    [
        ("No bugs found.", True),
        ("no bug was\nfound", True),
        ("No bugs  are found", True),
        ("A bug in the cursor; the fix was one line.", True),
        ("The fix is in; it was an old bug.", True),
        ("No bugs foundation", True),
        ("no bug", False),
        ("a bug, and no more", False),
        ("prefix: a debug print", False),
        ("no bug" + " " * 19_000, False),
        ("bug " * 4_900, False),
        ("no bugs was " * 1_600, False),
    ],
)
def test_a_bug_or_none_is_found_in_a_text_of_any_length(text, says_so):
    """Were a pattern to look again and again, the long texts would take minutes."""
    readme = load_lab(ROOT / "labs/02").artifact(README)
    assert len(text) <= readme.max_bytes == 20_000
    assert bool(re.search(readme.statements[0].pattern, text, re.IGNORECASE)) == says_so


def test_the_hex_row_is_found_in_a_text_of_many_lines(check, submission):
    text = (submission / REPORT).read_text()
    (submission / REPORT).write_text("\n" * (20_000 - len(text.encode())) + text)
    code, _ = check(submission, "--only", "writing")
    assert code == 0
    (submission / REPORT).write_text("\n" * 20_000)
    found = refused_without_accusation(check, submission, "writing")
    assert any("K layer 0 head 0 slot 1:" in f.expected for f in found)


def test_a_hex_row_that_is_another(check, submission):
    text = (submission / REPORT).read_text()
    at = text.index("cached      ") + len("cached      ")
    wrong = "0" if text[at] != "0" else "1"
    (submission / REPORT).write_text(text[:at] + wrong + text[at + 1 :])
    (found,) = refused_without_accusation(check, submission, "writing")
    assert found.where == "K layer 0 head 0 slot 1, cached, dim 0"
    assert found.found == wrong + found.expected[1:]


# ---- unreadable: exit 3 ------------------------------------------------------------------------------------------


def link_out(path, tmp_path):
    other = tmp_path / "elsewhere"
    path.rename(other)
    path.symlink_to(other)


def fifo(path, tmp_path):
    path.unlink()
    os.mkfifo(path)


def huge(path, tmp_path):
    with path.open("r+b") as file:
        file.truncate(10_000_000_000)  # sparse: it takes no room


@pytest.mark.parametrize("make", [link_out, fifo, huge])
@pytest.mark.parametrize(("file", "task"), [(RESULTS, "results"), (SLOTS, "slots"), (README, "writing")])
def test_what_is_no_plain_file_is_not_read(check, submission, tmp_path, make, file, task):
    make(submission / file, tmp_path)
    code, report = check(submission, "--only", task)
    assert (code, report.verdict) == (3, "unreadable")
    assert the_finding(report, task).file == file


def test_a_folder_that_is_a_link_is_not_entered(check, submission, tmp_path):
    link_out(submission / WORKED, tmp_path)
    code, report = check(submission, "--only", "slots")
    assert (code, the_finding(report, "slots").kind) == (3, "unreadable")


def test_a_submission_too_large_to_be_copied_is_not_run(check, submission):
    huge_file = submission / "data.bin"
    huge_file.touch()
    huge(huge_file, None)
    code, report = check(submission, "--only", "dump")
    assert (code, the_finding(report, "dump").file) == (3, "data.bin")
