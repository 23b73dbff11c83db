"""What the page gives to the sum whose order the reader chooses: its numbers, and the table that stands in for it."""

import json
import re
from itertools import permutations
from pathlib import Path

import numpy as np

from courselib import bits

BOOK = Path(__file__).parents[2] / "book"


def viewer() -> str:
    notebook = json.loads((BOOK / "01_floats_do_not_add_up.ipynb").read_text(encoding="utf-8"))
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    pages = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]
    (page,) = [page for page in pages if 'class="sum-order"' in page]
    return page


def given(name: str) -> str:
    (value,) = re.findall(rf'data-{name}="([^"]*)"', viewer())
    return value


def test_the_numbers_are_float32_and_so_is_their_exact_sum():
    terms = [int(term) for term in given("terms").split()]
    assert [float(np.float32(term)) for term in terms] == terms
    assert sum(terms) == float(np.float32(given("exact"))) == float(given("exact"))


def test_there_are_as_many_answers_as_it_says():
    orders = np.array(list(permutations(np.float32(given("terms").split())))).T  # (8, 40320)
    total = np.zeros(orders.shape[1], np.float32)
    for term in orders:
        total += term
    assert len(np.unique(total)) == int(given("answers"))


def test_the_table_shows_the_order_it_begins_with():
    lines = re.findall(r"<td>([^<]*)</td><td>([^<]*)</td><td>([^<]*)</td><td><code>(\w*)</code></td>", viewer())
    assert [line[0].replace(",", "") for line in lines] == given("terms").split()
    total = np.float32(0)
    for number, running, rounded, word in lines:
        before, total = total, total + np.float32(number.replace(",", ""))
        assert float(running.replace(",", "")) == total
        assert float(rounded) == float(total) - (float(before) + float(number.replace(",", "")))
        assert [word] == bits.hex_words(total)


def test_the_page_names_its_script_and_its_style():
    page = (BOOK / "01_floats_do_not_add_up.py").read_text(encoding="utf-8")
    for name in re.findall(r'="\.\./_static/([^"]+)"', page):
        assert (BOOK / "_static" / name).is_file()
    assert page.count("../_static/sum_order") == 2
