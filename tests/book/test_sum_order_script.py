"""The arithmetic of sum_order.js is float32, to the last bit: beside NumPy, exact fractions and courselib.bits."""

import json
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np

from courselib import bits

SCRIPT = Path(__file__).parents[2] / "book" / "_static" / "sum_order.js"
ASK = """
const { fields, move, runningSums, ulps, WORDS } = require(process.argv[1]);
const { sums, pairs } = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify({
  sums: sums.map((terms) => runningSums(terms).map(({ sum, rounded }) => [fields(sum), rounded])),
  ulps: pairs.map(([a, b]) => ulps(a, b)),
  moved: [move([..."abcd"], 0, 2), move([..."abcd"], 3, 1)].map((list) => list.join("")),
  words: Object.values(WORDS).map((words) => Object.keys(words)),
}));
"""


def answer(**question: list) -> dict:
    ran = subprocess.run(
        ["node", "-e", ASK, str(SCRIPT)], input=json.dumps(question), capture_output=True, text=True, check=True
    )
    return json.loads(ran.stdout)


def some_floats(shape: tuple[int, ...], exponents: tuple[int, int]) -> np.ndarray:
    """Random words with a sign, a fraction, and a biased exponent from `exponents`: 0 is for zeros and subnormals."""
    rng = np.random.default_rng(0)
    sign, fraction = rng.integers(0, 2, shape), rng.integers(0, 2**23, shape)
    words = sign << 31 | rng.integers(*exponents, shape) << 23 | fraction
    return words.astype(np.uint32).view(np.float32)


def test_running_sums_words_and_roundings():
    near, wide, tiny = (some_floats((100, 8), exponents) for exponents in ((120, 150), (1, 240), (0, 3)))
    near[:, 5] = -near[:, 2]  # sums that cancel
    rows = np.concatenate([near, wide, tiny])
    for row, steps in zip(rows, answer(sums=rows.tolist(), pairs=[])["sums"], strict=True):
        total = np.float32(0)
        for term, (fields, rounded) in zip(row, steps, strict=True):
            exact = Fraction(float(total)) + Fraction(float(term))
            total = total + term
            assert [fields["hex"]] == bits.hex_words(total)
            assert int(fields["sign"] + fields["exponent"] + fields["fraction"], 2) == int(bits.words(total))
            assert Fraction(float(rounded)) == Fraction(float(total)) - exact


def test_ulps_are_those_of_the_course():
    a, b = some_floats((2, 500), (0, 255))
    a[:3], b[:3] = [0.0, -1.0, 1000.0], [-0.0, 1.0, 1000.0]
    pairs = np.stack([a, b], axis=1).tolist()
    assert answer(sums=[], pairs=pairs)["ulps"] == bits.ulp_distance(a, b).tolist()


def test_a_row_moves_and_the_others_make_room():
    assert answer(sums=[], pairs=[])["moved"] == ["bcad", "adbc"]


def test_every_language_has_every_text():
    first, *others = answer(sums=[], pairs=[])["words"]
    assert all(words == first for words in others)
