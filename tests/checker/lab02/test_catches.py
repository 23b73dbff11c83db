"""Tests that let planted caches pass, each in its own way, and what it is told; and the reference, which does not."""

import sys
from pathlib import Path

import pytest

from checker.check import Part
from checker.lab02.catches import catches
from checker.lab02.zoo import ZOO
from checker.report import Finding

CORRECTNESS = "22-cache-correctness"
EASY = ["blind-to-itself", "last-bit"]


def told(work):
    """(the findings, caught, of how many)"""
    items = list(catches(work))
    (part,) = [item for item in items if isinstance(item, Part)]
    return [item for item in items if isinstance(item, Finding)], part.done, part.of


def mutants(*names):
    return [ZOO[name] for name in names]


def test_the_reference_catches_all_and_finds_no_fault_with_a_sound_cache(played):
    work = played(mutants("sign-of-zero", *EASY, "reset-keeps-slot-0", "neighbour-s-key"))
    assert told(work) == ([], 5, 5)


def as_floats(names):
    def compare_rows(a, b):
        differing = (a != b).any(axis=-1)
        digests = {"cached": names["sha256"](a), "uncached": names["sha256"](b)}
        return {**digests, "rows": differing.size, "differing": int(differing.sum())}

    names["compare_rows"] = compare_rows


def tokens_only(names):
    compare_rows = names["compare_rows"]
    names["compare_rows"] = lambda a, b: {**compare_rows(a, b), "differing": 0}


@pytest.mark.parametrize(("change", "missed"), [(as_floats, "sign-of-zero"), (tokens_only, "last-bit")])
def test_rows_compared_as_numbers_or_not_at_all(played, change, missed):
    found, caught, _ = told(played(mutants(missed, "blind-to-itself"), change))
    assert caught == 1
    (finding,) = found
    assert finding.message.startswith("Your test passes a planted cache: its own digests differ")
    assert ZOO[missed].behaviour in finding.message
    assert finding.usual_causes


def no_cache(names):
    generate = names["generate"]
    names["generate"] = lambda *given, cache, **options: generate(*given, cache=False, **options)


def only_caches(names):
    generate = names["generate"]
    names["generate"] = lambda *given, cache, **options: generate(*given, cache=True, **options)


def stepping(step_by_step):
    """The cached path feeds the model in a way of its own; the tokens are those of a run without a cache."""

    def change(names):
        generate, model, torch = names["generate"], names["load_minigpt"](), names["torch"]

        def cached(ids, n_new, *, cache, trace):
            if not cache:
                return generate(ids, n_new, cache=False, trace=trace)
            new = generate(ids, n_new, cache=False)
            with torch.no_grad():
                for trace.step, (kv, fed) in enumerate(step_by_step(names["KVCache"].for_model, model, ids, new)):
                    model(torch.tensor([fed]), kv, last_only=True, trace=trace)
            return new

        names["generate"] = cached

    return change


def new_cache_every_step(make, model, ids, new):
    for step in range(len(new)):
        yield make(model), ids + new[:step]


def two_tokens_a_step(make, model, ids, new):
    """Each step cuts the newest token off and feeds it again."""
    kv = make(model)
    yield kv, ids
    for step in range(1, len(new)):
        kv.truncate(kv.lengths[0] - 1)
        yield kv, (ids + new[:step])[-2:]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (no_cache, "never reads a cache"),
        (stepping(new_cache_every_step), "never reads a cache"),
        (only_caches, "compares a cache with itself"),
    ],
    ids=["no cache on either path", "a new cache at every step", "a cache on both paths"],
)
def test_paths_that_are_not_what_they_are_called(played, change, says):
    found, caught, of = told(played(mutants(*EASY), change))
    assert (caught, of) == (0, 2)
    assert says in found[0].message
    assert [finding.found for finding in found[1:]] == ["no difference in 2 cases"] * 2


def test_work_is_counted_a_step_that_feeds_two_tokens_is_seen(played):
    found, _, _ = told(played([], stepping(two_tokens_a_step)))
    assert "one token a step" in found[0].message


def test_who_finds_fault_with_everything_has_caught_nothing(played):
    def cries(names):
        names["first_divergence"] = lambda a, b: 0

    found, caught, of = told(played(mutants(*EASY), cries))
    assert (caught, of) == (0, 2)
    (finding,) = found
    assert "finds fault with a cache that keeps every row" in finding.message


@pytest.mark.parametrize("path", ["cached", "uncached"])
def test_rows_made_up_where_a_bug_is_smelt_do_not_count(played, path):
    """It looks into the library's source, and says what the source lets it expect."""

    def smells(names):
        source = Path(sys.modules[names["KVCache"].__module__].__file__).read_text()
        if "^=" not in source:
            return
        compare_rows = names["compare_rows"]
        names["compare_rows"] = lambda a, b: compare_rows(a, b) | {path: "0" * 64, "differing": 1}

    found, caught, _ = told(played(mutants("last-bit"), smells))
    assert caught == 0
    assert "with rows that are not this cache's and the model's" in found[0].message


def test_a_script_that_stops_at_the_first_difference_gives_nothing_to_go_by(played):
    def asserts(names):
        compare = names["compare"]

        def strict(*given, **options):
            case = compare(*given, **options)
            assert not case["v"]["differing"]
            return case

        names["compare"] = strict

    found, caught, _ = told(played(mutants("last-bit"), asserts))
    assert caught == 0
    assert {finding.kind for finding in found} == {"replay"}
    assert "a case that fails is a result too" in found[-1].expected


@pytest.mark.parametrize("name", ["reset-keeps-slot-0", "truncate-keeps-the-tail"])
def test_a_warm_cache_that_was_never_used_before_shows_no_bug_of_reset_or_truncate(played, name):
    def fresh(names):
        def run_warm(case, before):
            torch, model, generate = names["torch"], names["load_minigpt"](), names["generate"]
            ids, kv = names["TOKENIZER"].encode(case["prompt"]), names["KVCache"].for_model(model)
            cached, uncached = (names["Trace"](names["KEPT"]) for _ in range(2))
            with torch.no_grad():
                model(torch.tensor([ids[:-5]]), kv)
            a = generate(ids[-5:], 64, cache=kv, seed=case["seed"], trace=cached)
            b = generate(ids, 64, cache=False, seed=case["seed"], trace=uncached)
            return names["compare"](case, len(ids), a, b, cached, uncached)

        names["run_warm"] = run_warm

    found, caught, _ = told(played(mutants(name), fresh))
    assert caught == 0
    assert ZOO[name].behaviour in found[0].message


def test_without_block_c_what_only_it_can_show_lives(played):
    def open_todo(names):
        names["run_extended"] = lambda prompts: None

    found, caught, _ = told(played(mutants("one-cursor-for-all", *EASY), open_todo))
    assert caught == 2
    assert (found[0].found, found[0].where) == ("no extended cases", "its run on a planted cache (batch)")


# ---- with a script in a process of its own ---------------------------------------------------------------------------


def test_known_answers_read_no_cache(check, submission, lab_answers, hidden_answers):
    """Right answers, from wherever they come, pass for a test until the cache is another."""
    script = f"""import json, sys
out = sys.argv[sys.argv.index("--out") + 1]
answer = {lab_answers!r}
if "--prompts" in sys.argv:
    answer = {hidden_answers!r}
    asked = json.load(open(sys.argv[sys.argv.index("--prompts") + 1]))
    for run in answer["runs"].values():
        run["cases"] = [c for c in run["cases"] if c["id"] in [a["id"] for a in asked]]
json.dump(answer, open(out + "/results.json", "w"))
"""
    (submission / CORRECTNESS / "property_test.py").write_text(script)
    code, report = check(submission, "--only", "catches")
    assert code == 1
    (task,) = [task for task in report.tasks if task.id == "catches"]
    assert (task.status, task.points) == ("failed", 0)
    assert "never reads a cache" in task.findings[0].message
    assert {finding.kind for finding in task.findings} == {"mismatch"}
    assert task.claims[0].standing == "contradicted"
    assert report.evidence.hidden_seed == 7
