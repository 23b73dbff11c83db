"""What slots.js works out: words, distances, counts and places, beside NumPy and courselib.bits."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np

from courselib import bits

SCRIPT = Path(__file__).parents[2] / "book" / "_static" / "slots.js"
ASK = """
const { WORDS, bytesThatDiffer, compare, rowAt, step, stripes, ulps, wordsOf } = require(process.argv[1]);
const { hex, pairs, rows, run, shape, places, moves } = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify({
  words: hex.map(wordsOf),
  ulps: pairs.map(([a, b]) => ulps(a, b)),
  bytes: pairs.map(([a, b]) => bytesThatDiffer(a, b)),
  rows: rows.map(([a, b]) => compare(a, b)),
  stripes: rows.map(([a, b]) => stripes(compare(a, b).apart)),
  places: places.map((place) => rowAt(run, shape, place)),
  moves: moves.map(([at, key]) => step(at, key, 8, 3)),
  texts: Object.values(WORDS).map((texts) => Object.entries(texts)),
}));
"""


def answer(**question: list) -> dict:
    nothing: dict[str, list] = {key: [] for key in ("hex", "pairs", "rows", "run", "shape", "places", "moves")}
    given = json.dumps(nothing | question)
    ran = subprocess.run(["node", "-e", ASK, str(SCRIPT)], input=given, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def some_pairs() -> np.ndarray:
    """(2, 600) float32 of any words at all, NaNs and zeros of both signs among them, and many pairs close together."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 2**32, 600, dtype=np.uint32)
    b = rng.integers(0, 2**32, 600, dtype=np.uint32)
    b[:300] = a[:300] ^ rng.integers(0, 300, 300, dtype=np.uint32)
    a[300:304], b[300:304] = [0, 0x80000000, 0x7FC00000, 1], [0x80000000, 0, 0x7FC00001, 0x80000001]
    b[304:320] = a[304:320]
    return np.stack([a, b]).view(np.float32)


def test_hex_is_read_as_the_course_writes_it():
    a = some_pairs()[0]
    assert answer(hex=["".join(bits.hex_words(a))])["words"] == [bits.words(a).tolist()]


def test_ulps_and_bytes_are_those_of_the_course():
    a, b = some_pairs()
    x, y = bits.words(a), bits.words(b)
    found = answer(pairs=np.stack([x, y], axis=1).tolist())
    assert found["ulps"] == bits.ulp_distance(a, b).tolist()
    big_endian = (word.astype(">u4").view(np.uint8).reshape(-1, 4) for word in (x, y))
    assert found["bytes"] == np.not_equal(*big_endian).tolist()


def test_a_row_is_counted_as_the_course_counts_it():
    a, b = some_pairs().reshape(2, -1, 30)
    a, b = np.concatenate([a, a]), np.concatenate([b, a])  # and pairs of equal rows
    rows = np.stack([bits.words(a), bits.words(b)], axis=1)
    found = answer(rows=rows.tolist())
    for x, y, row, drawn in zip(a, b, found["rows"], found["stripes"], strict=True):
        first = bits.first_difference(x, y)
        apart = bits.ulp_distance(x, y)
        assert row["apart"] == apart.tolist()
        assert row["largest"] == apart.max()
        assert row["differing"] == (first.n_different if first else 0)
        assert row["first"] == (first.index[0] if first else -1)
        assert [kind == "differs" for kind in re.findall(r"--slots-(\w+)", drawn)] == (apart > 0).tolist()


def test_a_rows_place_is_numpys():
    shape = (2, 4, 2, 3, 5)
    run = np.arange(np.prod(shape)).reshape(shape)
    places = list(np.ndindex(*shape[:-1]))
    found = answer(run=run.ravel().tolist(), shape=list(shape), places=places)["places"]
    assert found == [run[place].tolist() for place in places]


def test_keys_move_within_the_map_and_stop_at_its_edges():
    moves = {
        ((3, 1), "ArrowUp"): [2, 1], ((3, 1), "ArrowDown"): [4, 1], ((3, 1), "ArrowLeft"): [3, 0],
        ((3, 1), "ArrowRight"): [3, 2], ((3, 1), "Home"): [0, 0], ((3, 1), "End"): [7, 2], ((3, 1), "a"): None,
        ((0, 0), "ArrowUp"): [0, 0], ((0, 0), "ArrowLeft"): [0, 0],
        ((7, 2), "ArrowDown"): [7, 2], ((7, 2), "ArrowRight"): [7, 2],
    }  # fmt: skip
    assert answer(moves=list(moves))["moves"] == list(moves.values())


def test_every_language_has_every_text_with_the_same_fields():
    def fields(texts: list) -> dict:
        return {name: set(re.findall(r"\{(\w+)\}", text)) for name, text in texts}

    first, *others = [fields(texts) for texts in answer()["texts"]]
    assert all(texts == first for texts in others)
