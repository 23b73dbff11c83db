"""Claims that are better than their evidence: forged files, inflated counts, answers that were looked up."""

from __future__ import annotations

import json
from pathlib import Path

from checker.selftest.bench import DUMP, PROPERTY_TEST, RESULTS, SLOTS, Bench
from checker.selftest.changes import (
    DIAGNOSIS,
    DUMP_MANIFEST,
    FAKE,
    MANIFEST,
    REPORT,
    Document,
    admit,
    both,
    case,
    edit,
    edit_slots,
    embedded,
    flip,
    forge_digest,
    forge_tokens,
    forged_everywhere,
    knows,
    replace_text,
)
from checker.selftest.trial import Attack, Expect

BETTER = "does not make it"
NOBODY = "nothing bears out"


def integrity(task: str, file: str, says: str) -> Expect:
    return Expect(task, "integrity", file, says)


def stock_is_fixed(document: Document) -> None:
    document["runs"]["stock"].update({k: v for k, v in document["runs"]["fixed"].items() if k != "order"})


def tokens_of_others(lab: Document, hidden: Document) -> None:
    for run in hidden["runs"].values():
        for i, c in enumerate(run["cases"]):
            c["tokens"] = lab["runs"]["fixed"]["cases"][i]["tokens"]


def all_made_up(document: Document) -> None:
    forge_tokens(document)
    for name in ("k", "v", "logits"):
        case(document)[name].update(cached=FAKE, uncached=FAKE)


def copied_slots(place: Path, bench: Bench) -> None:
    """Another's forged slots, and a script that hands out the file."""
    edit_slots(flip("k_cached", "k_full"))(place, bench)
    data = (place / SLOTS).read_bytes()
    code = f"import sys\nopen(sys.argv[sys.argv.index('--out') + 1] + '/slots.npz', 'wb').write({data!r})\n"
    (place / DUMP).write_text(code)


def own_report(place: Path, bench: Bench) -> None:
    """A report of one's own that says all is well, beside slots that are not."""
    (place / ".checker").mkdir(exist_ok=True)
    report = {"schema": "checker.report/1", "verdict": "passed", "score": {"points": 100, "possible": 100}}
    (place / ".checker/report.json").write_text(json.dumps(report))
    edit_slots(flip("k_cached", "k_full"))(place, bench)


ATTACKS = (
    Attack(
        "forged-tokens",
        "tokens of one case changed on both paths of results.json",
        edit(RESULTS, forge_tokens),
        integrity("property", RESULTS, "runs.fixed.cases[3].tokens.cached[5]"),
        ("property",),
    ),
    Attack(
        "forged-digest-of-k",
        "an invented sha256 of K, the same on both paths",
        edit(RESULTS, forge_digest),
        integrity("property", RESULTS, "runs.fixed.cases[3].k.cached"),
        ("property",),
    ),
    Attack(
        "forged-digest-of-logits",
        "an invented sha256 of the logits, the same on both paths",
        edit(RESULTS, lambda d: case(d)["logits"].update(cached=FAKE, uncached=FAKE)),
        integrity("property", RESULTS, NOBODY),
        ("property",),
    ),
    Attack(
        "inflated-summary",
        "the summary counts 50 of 50 over a case that differs",
        edit(RESULTS, lambda d: case(d)["k"].update(uncached=FAKE, differing=5)),
        integrity("results", RESULTS, "runs.fixed.summary.bytes_passed"),
        ("results",),
    ),
    Attack(
        "inflated-stock-summary",
        "the summary of the stock run counts 50 of 50",
        edit(RESULTS, lambda d: d["runs"]["stock"]["summary"].update(bytes_passed=50, bytes_failed=0)),
        integrity("results", RESULTS, "runs.stock.summary.bytes_passed"),
        ("results",),
    ),
    Attack(
        "inflated-manifest",
        "results.json admits a failure, the manifest does not",
        both(edit(RESULTS, admit), knows(lambda lab, hidden: admit(lab))),
        integrity("results", MANIFEST, "results_summary.bytes_passed"),
        ("results",),
    ),
    Attack(
        "hidden-divergence",
        "two token lists that differ, with no divergence",
        edit(RESULTS, lambda d: case(d)["tokens"].update(uncached=case(d)["tokens"]["cached"][::-1])),
        integrity("results", RESULTS, "runs.fixed.cases[3].tokens.first_divergence"),
        ("results",),
    ),
    Attack(
        "hidden-difference",
        "two digests that differ, with no row that does",
        edit(RESULTS, lambda d: case(d)["v"].update(uncached=FAKE)),
        integrity("results", RESULTS, "runs.fixed.cases[3].v.differing"),
        ("results",),
    ),
    Attack(
        "fixed-run-for-stock",
        "the run on stock ops is a copy of the fixed one",
        edit(RESULTS, stock_is_fixed),
        integrity("property", RESULTS, "the ops were not switched"),
        ("property",),
    ),
    Attack(
        "forged-long-case",
        "an invented sha256 in the case of 256 tokens",
        edit(RESULTS, lambda d: d["extended"]["long"]["v"].update(cached=FAKE, uncached=FAKE)),
        integrity("extended", RESULTS, "extended.long.v.cached"),
        ("extended",),
    ),
    Attack(
        "forged-row-of-the-batch",
        "an invented sha256 in one row of the batch",
        edit(RESULTS, lambda d: d["extended"]["batch"][2]["k"].update(cached=FAKE, uncached=FAKE)),
        integrity("extended", RESULTS, "extended.batch[2].k.cached"),
        ("extended",),
    ),
    Attack(
        "hard-coded-answers",
        "a script with the right answers to the lab's prompts written into it",
        knows(tokens_of_others),
        integrity("property", PROPERTY_TEST, "hidden prompts"),
        ("property",),
    ),
    Attack(
        "hard-coded-digests",
        "right on the lab's prompts, an invented sha256 on one that is hidden",
        knows(lambda lab, hidden: forge_digest(hidden)),
        integrity("property", PROPERTY_TEST, "which anyone can look up"),
        ("property",),
    ),
    Attack(
        "made-up-together",
        "script and file agree on tokens and digests of no run at all",
        forged_everywhere(all_made_up),
        integrity("property", RESULTS, "come from no run of the model"),
        ("property",),
    ),
    Attack(
        "script-contradicts-file",
        "the right results.json beside a script that gives worse",
        knows(lambda lab, hidden: admit(lab)),
        integrity("property", PROPERTY_TEST, "it is this script that should have written it"),
        ("property",),
    ),
    Attack(
        "forged-slots",
        "one bit of slots.npz changed on both paths",
        edit_slots(flip("k_cached", "k_full")),
        integrity("slots", SLOTS, "k_cached: layer 1, head 0, slot 1, dim 5"),
        ("slots",),
    ),
    Attack(
        "manifest-hides-a-difference",
        "slots.npz differs in a row, its manifest says in none",
        edit_slots(flip("v_cached")),
        integrity("slots", DUMP_MANIFEST, "results_summary.differing"),
        ("slots",),
    ),
    Attack(
        "copied-slots",
        "the slots of another student, who forged them, in a script that hands them out",
        copied_slots,
        Expect("dump", "mismatch", DUMP, "The row is not the one the model computes"),
        ("slots", "dump"),
    ),
    Attack(
        "slots-that-lay-there",
        "dump.py copies the slots.npz that lies beside it",
        lambda place, bench: _write(
            place / DUMP, "import shutil, sys\nshutil.copy('slots.npz', sys.argv[sys.argv.index('--out') + 1])\n"
        ),
        Expect("dump", "replay", DUMP, "It ended with exit code 1"),
        ("dump",),
    ),
    Attack(
        "embedded-slots",
        "dump.py computes, and then writes the right bytes that stand in it",
        embedded("slots.npz"),
        integrity("dump", DUMP, "The slots are not computed"),
        ("dump",),
    ),
    Attack(
        "embedded-slots-and-manifest",
        "the same, with a manifest that stands in it too, so that nothing says on which weights it ran",
        both(embedded("slots.npz"), embedded("manifest.json")),
        Expect("dump", "mismatch", DUMP, 'and gave the slots of "Yesterday I"'),
        ("dump",),
    ),
    Attack(
        "a-verdict-in-results",
        "results.json says of itself that it has passed",
        edit(RESULTS, lambda d: d.update(verdict="passed", points=100)),
        Expect("results", "schema", RESULTS, "no such field"),
        ("results",),
    ),
    Attack(
        "a-report-of-ones-own",
        "a report in .checker that says: passed, 100 points",
        own_report,
        integrity("slots", SLOTS, "k_cached"),
        ("slots",),
    ),
    Attack(
        "guessed-diagnosis",
        "a diagnosis that was guessed",
        edit(DIAGNOSIS, lambda d: d.update(step=d["step"] + 1)),
        Expect("diagnosis", "mismatch", DIAGNOSIS, "do not first differ there"),
        ("diagnosis",),
    ),
    Attack(
        "diagnosis-of-another",
        "another student's diagnosis under one's own name",
        edit(DIAGNOSIS, lambda d: d.update(student="somebody else")),
        Expect("diagnosis", "mismatch", DIAGNOSIS, "somebody else"),
        ("diagnosis",),
    ),
    Attack(
        "weights-of-ones-own",
        "the manifest names other weights than the course's",
        edit(MANIFEST, lambda d: d["config"].update(weights_sha256=FAKE)),
        Expect("manifest", "mismatch", MANIFEST, "The weights are not the course's"),
        ("manifest",),
    ),
    Attack(
        "another-promise",
        "forged slots, with a manifest of another version, so that their bytes are not compared",
        both(
            edit(DUMP_MANIFEST, lambda d: d["versions"].update(courselib="0.0.1")),
            edit_slots(lambda arrays: arrays.update({name: array * 0 for name, array in arrays.items()})),
        ),
        Expect("slots", "mismatch", SLOTS, "nor near it"),
        ("slots",),
    ),
    Attack(
        "typed-hex-row",
        "the row of report.md was typed by hand",
        replace_text(REPORT, "recomputed  ", "recomputed  00000000 "),
        Expect("writing", "mismatch", REPORT, "K layer 0 head 0 slot 1, recomputed"),
        ("writing",),
    ),
    Attack(
        "forged-then-touched",
        "a forged digest, and the script's date set so that it looks mended since",
        edit(RESULTS, lambda d: case(d)["k"].update(uncached=FAKE, differing=5)),
        Expect("results", "mismatch", RESULTS, "changed after the file was written: run it"),
        ("results",),
        mended=True,
    ),
)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
