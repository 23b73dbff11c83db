"""dump.py, asked for the slots of a prompt that it has not seen."""

import re
from pathlib import Path

import pytest

from checker.lab02.prompts import FLAGSHIP, hidden_dump, n_tokens
from tests.checker import submissions

WORKED = "22-yesterday-worked"
DUMP, MANIFEST = f"{WORKED}/dump.py", f"{WORKED}/manifest.json"
HIDDEN = hidden_dump(7)  # the seed of ``check``


def rewrite(submission, old, new):
    submissions.rewrite(submission / DUMP, old, new)


def embed(submission, *files):
    """What dump.py computes is written over with what stands in it."""
    last = '        print(bits.report(fixed[f"{name}_cached"]'
    data = {name: (submission / WORKED / name).read_bytes() for name in files}
    rewrite(submission, last, f"        [(args.out / n).write_bytes(d) for n, d in {data!r}.items()]\n{last}")


def dumped(check, submission):
    """The findings of the task `dump`, and the report."""
    code, report = check(submission, "--only", "dump")
    (task,) = (task for task in report.tasks if task.id == "dump")
    assert code == (4 if any(f.kind == "integrity" for f in task.findings) else 1 if task.findings else 0)
    return task.findings, report


def test_hidden_prompts_have_other_slots_than_the_labs():
    drawn = {hidden_dump(seed) for seed in range(50)}
    assert len(drawn) == 50
    assert all(n_tokens(prompt) >= 4 > n_tokens(FLAGSHIP) == 2 for prompt in drawn)


def test_the_reference_gives_the_slots_of_any_prompt(check, reference):
    findings, report = dumped(check, reference)
    assert findings == []
    assert [run.arguments for run in report.evidence.replayed] == [[], ["--prompt", "HIDDEN"]]
    assert report.evidence.hidden_seed == 7
    assert any(f'"{HIDDEN}"' in line for line in report.evidence.recomputed)


def test_a_dump_that_knows_no_prompt_is_told_what_to_add(check, submission):
    rewrite(submission, 'parser.add_argument("--prompt"', 'parser.add_argument("--sentence", dest="prompt"')
    (finding,), _ = dumped(check, submission)
    assert (finding.kind, finding.file) == ("replay", DUMP)
    assert finding.message.startswith("Your dump.py does not know --prompt yet: add parser.add_argument(")
    assert finding.found.startswith("dump.py: error: unrecognized arguments: --prompt")


@pytest.mark.parametrize(
    "change",
    [
        lambda submission: rewrite(submission, "    torch.set_num", "    args.prompt = PROMPT\n    torch.set_num"),
        lambda submission: rewrite(submission, "parser.parse_args()", "parser.parse_args(sys.argv[1:3])"),
    ],
    ids=["the constant all the same", "only --out is read"],
)
def test_a_dump_that_ignores_its_prompt_is_not_accused(check, submission, change):
    change(submission)
    (finding,), report = dumped(check, submission)
    assert (finding.kind, finding.where) == ("mismatch", f'slots.npz of its run on "{HIDDEN}": tokens')
    assert f'--prompt "{HIDDEN}", and gave the slots of "{FLAGSHIP}"' in finding.message
    assert finding.expected != finding.found
    assert len(report.evidence.replayed) == 3  # also on other weights, where it gives other rows


def test_an_error_on_another_prompt_only(check, submission):
    rewrite(submission, "    torch.set_num", "    assert args.prompt == PROMPT\n    torch.set_num")
    (finding,), _ = dumped(check, submission)
    assert (finding.kind, finding.where) == ("replay", f'slots.npz of its run on "{HIDDEN}"')
    assert "It ended with exit code 1" in finding.message


def test_two_slots_of_any_prompt(check, submission):
    rewrite(submission, "    n = len(ids)\n", "    n = 2\n")
    (finding,), _ = dumped(check, submission)
    assert (finding.kind, finding.where) == ("replay", f'slots.npz of its run on "{HIDDEN}": k_cached')
    assert f"{n_tokens(HIDDEN)}, 32)" in finding.expected


def test_the_first_wrong_bit_of_another_prompt_is_named(check, submission):
    wrong = "    if args.prompt != PROMPT:\n        fixed['v_cached'].view(np.uint32)[1, 0, 2, 5] ^= 1\n"
    rewrite(submission, "    np.savez(", f"{wrong}    np.savez(")
    findings, _ = dumped(check, submission)
    assert {f.kind for f in findings} == {"mismatch"}
    where = f'slots.npz of its run on "{HIDDEN}": v_cached against v_full: layer 1, head 0, slot 2, dim 5'
    assert findings[0].where == where
    assert int(findings[0].expected.split()[0], 16) ^ int(findings[0].found.split()[0], 16) == 1


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('"prompt": prompt,', '"prompt": PROMPT,', "config.prompt"),
        ('list(range(fixed["k_cached"].shape[-2]))', "[0, 1]", "config.slots"),
        ("mask.size for mask in differing_rows(fixed).values()", "[32]", "results_summary.rows"),
    ],
)
def test_a_manifest_that_is_not_about_the_other_prompt(check, submission, old, new, field):
    rewrite(submission, old, new)
    (finding,), _ = dumped(check, submission)
    assert (finding.kind, finding.where) == ("mismatch", f'manifest.json of its run on "{HIDDEN}": {field}')


def test_a_manifest_that_nobody_can_read_is_not_asked_for_twice(check, submission):
    rewrite(
        submission, "(json.dumps(manifest(args.prompt, fixed), indent=2)", "(('{' if args.prompt != PROMPT else '')"
    )
    assert dumped(check, submission)[0] == []


def test_bytes_that_stand_in_the_script_are_not_computed(check, submission):
    embed(submission, "slots.npz")
    (finding,), report = dumped(check, submission)
    assert (finding.kind, finding.file, finding.where) == ("integrity", DUMP, "slots.npz of its run on other weights")
    assert re.search(r"weights [0-9a-f]{16} give", finding.expected)
    assert len(report.evidence.replayed) == 3


def test_without_a_witness_nobody_is_accused(check, submission):
    """A manifest that names the course's weights: the script may import a courselib of its own."""
    embed(submission, "slots.npz", "manifest.json")
    (finding,), _ = dumped(check, submission)
    assert finding.kind == "mismatch"


def test_other_bytes_that_stand_in_the_script(check, submission):
    """Slots of another run, or forged ones: wrong from the first run on, and nothing more is asked."""
    path = submission / WORKED / "slots.npz"
    data = path.read_bytes()
    (submission / DUMP).write_text(f"import sys\nopen(sys.argv[2] + '/slots.npz', 'wb').write({data[:-40]!r})\n")
    (finding,), report = dumped(check, submission)
    assert finding.kind == "replay"
    assert len(report.evidence.replayed) == 1


def test_a_manifest_of_another_prompt_that_is_handed_in(check, submission):
    path = submission / MANIFEST
    path.write_text(path.read_text().replace(f'"{FLAGSHIP}"', '"Every day she walks"'))
    code, report = check(submission, "--only", "manifest")
    (finding,) = (f for task in report.tasks for f in task.findings)
    assert (code, finding.where) == (1, "config.prompt")
    assert finding.message.endswith("run dump.py without --prompt.")


def test_starter_and_solution_have_the_same_command_line():
    parts = [Path(f"labs/02/{which}/dump.py").read_text().split("def main()")[1] for which in ("starter", "solution")]
    assert parts[0] == parts[1]
