"""The stored results are what the schema says they are, and the schema refuses what cannot have been measured."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from benchmarks.proof import Evidence, compare
from benchmarks.schema import Count, Measured, Result, Row, Tally, load

STORED = sorted((Path(__file__).parents[2] / "benchmarks" / "results").glob("*.json"))
ONE = Measured.of([1.0, 2.0, 3.0, 4.0, 10.0])


def test_results_are_stored() -> None:
    assert any(path.name.startswith("generate-") for path in STORED)


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name)
def test_a_stored_result_is_valid_and_no_quick_run(path: Path) -> None:
    result = load(path)
    assert path.name.startswith(f"{result.name}-")
    assert not result.quick
    assert not any(note.startswith("incomplete") for note in result.notes)


@pytest.mark.parametrize("path", [p for p in STORED if p.name.startswith("generate-")], ids=lambda path: path.name)
def test_the_stored_proof_is_whole(path: Path) -> None:
    counts = load(path).counts
    fixed = [t for c in counts if c.peer == "fixed-c" for t in c.tallies.values()]
    assert sum(t.compared for t in fixed) >= 25_000
    assert all(t.differing == 0 for c in counts if c.peer.startswith("fixed") for t in c.tallies.values())
    assert any(t.differing for c in counts if c.peer == "stock" for t in c.tallies.values())
    assert {(c.peer, c.settings["threads"]) for c in counts} >= {("fixed-c", 1), ("fixed-c", 2), ("stock", 1)}


def test_a_saved_result_loads_again(tmp_path: Path) -> None:
    result = load(STORED[0])
    result.save(tmp_path / "new" / "result.json")
    assert load(tmp_path / "new" / "result.json") == result


def test_median_and_quartiles() -> None:
    assert Measured.of([10.0, 2.0, 1.0, 4.0, 3.0]) == ONE
    assert (ONE.low, ONE.median, ONE.high, ONE.repeats) == (2.0, 3.0, 4.0, 5)
    assert Measured.of([7.0]) == Measured(low=7.0, median=7.0, high=7.0, repeats=1)


def test_what_cannot_have_been_measured_is_refused() -> None:
    values = {"a": ONE, "b": ONE}
    Row(name="n", unit="tokens/s", better="higher", settings={}, values=values, ratios={"a / b": ONE})
    with pytest.raises(ValidationError, match=r"ratio \"a / c\" names \['c'\]"):
        Row(name="n", unit="tokens/s", better="higher", settings={}, values=values, ratios={"a / c": ONE})
    with pytest.raises(ValidationError, match="3 differ of 2 compared"):
        Tally(differing=3, compared=2)
    with pytest.raises(ValidationError, match="low <= median <= high"):
        Measured(low=2.0, median=1.0, high=3.0, repeats=3)
    with pytest.raises(ValidationError):
        Measured.of([float("nan"), 1.0])
    with pytest.raises(ValidationError):
        Count(name="n", peer="fixed-c", settings={}, tallies={"K rows": Tally(differing=0, compared=0)})


def test_an_unknown_field_is_refused() -> None:
    stored = json.loads(STORED[0].read_text(encoding="utf-8"))
    Result.model_validate_json(json.dumps(stored))
    with pytest.raises(ValidationError, match="conclusion"):
        Result.model_validate_json(json.dumps(stored | {"conclusion": "fast"}))


def evidence() -> Evidence:
    x = np.linspace(-1, 1, 2 * 2 * 3 * 4, dtype=np.float32).reshape(2, 2, 3, 4)
    return Evidence([1, 2], x[0, 0].copy(), x.copy(), x.copy())


def test_the_proof_counts_rows_by_their_bytes() -> None:
    assert {what: (t.differing, t.compared) for what, t in compare(evidence(), evidence()).items()} == {
        "K rows": (0, 12), "V rows": (0, 12), "logits rows": (0, 3), "token lists": (0, 1),
    }  # fmt: skip
    other = evidence()
    other.k[1, 0, 2, 3] = np.nextafter(other.k[1, 0, 2, 3], np.float32(9))  # one ULP in one row
    other.v[0, 1, 1, :] = -other.v[0, 1, 1, :]  # four numbers, still one row
    other.tokens[1] = 7
    assert {what: t.differing for what, t in compare(evidence(), other).items()} == {
        "K rows": 1, "V rows": 1, "logits rows": 0, "token lists": 1,
    }  # fmt: skip
