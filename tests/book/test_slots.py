"""What the page gives to the viewer of slots: the rows of both runs, and the table that stands in for it."""

import json
import re
from pathlib import Path

import numpy as np
import torch

from courselib import bits
from courselib.kernels import use_ops
from courselib.minigpt import load_minigpt
from courselib.tokenizer import WordTokenizer
from courselib.trace import Trace

BOOK = Path(__file__).parents[2] / "book"


def viewer() -> str:
    notebook = json.loads((BOOK / "04_yesterday_i_worked.ipynb").read_text(encoding="utf-8"))
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    pages = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]
    (page,) = [page for page in pages if 'class="slots"' in page]
    return page


def given(name: str) -> list[str]:
    (value,) = re.findall(rf'data-{name}="([^"]*)"', viewer())
    return value.split(" ")


def runs(operations: str) -> np.ndarray:
    """(runs, K and V, L, H_kv, slots, d_h) uint32: out of the cache, then read again with as many words as it says."""
    words = [[int(run[i : i + 8], 16) for i in range(0, len(run), 8)] for run in given(operations)]
    return np.array(words, np.uint32).reshape(-1, *map(int, given("shape")))


def test_the_shapes_are_the_models():
    config = load_minigpt().config
    assert list(map(int, given("shape"))) == [2, config.n_layers, config.n_kv_heads, 3, config.head_dim]
    lengths = list(map(int, given("again")))
    assert len(runs("stock")) == len(runs("fixed")) == 1 + len(lengths)
    assert max(lengths) <= len(given("sentence"))


def test_on_fixed_order_every_run_has_the_models_own_rows():
    ids = WordTokenizer.from_grammar().encode(" ".join(given("sentence")))
    trace = Trace(("k", "v"))
    with use_ops("fixed"), torch.no_grad():
        load_minigpt()(torch.tensor([ids[:3]]), trace=trace)
    rows = bits.words(np.stack(trace.slots()))  # (K and V, L, H_kv, 3, d_h)
    assert all(np.array_equal(run, rows) for run in runs("fixed"))


def test_the_table_counts_the_rows_that_differ():
    lines = re.findall(r"<tr><td>(\d+)</td>((?:<td>\d+</td>)+)</tr>", viewer())
    assert [n for n, _ in lines] == given("again")
    stock, fixed = runs("stock"), runs("fixed")
    for i, (_, cells) in enumerate(lines, start=1):
        by_slot = (stock[i] != stock[0]).any(axis=-1).sum(axis=(0, 1, 2))
        in_all = (fixed[i] != fixed[0]).any(axis=-1).sum()
        assert [int(n) for n in re.findall(r"\d+", cells)] == [*by_slot, in_all]


def test_the_page_names_its_script_and_its_style_and_is_no_burden():
    page = (BOOK / "04_yesterday_i_worked.py").read_text(encoding="utf-8")
    for name in re.findall(r'="\.\./_static/([^"]+)"', page):
        assert (BOOK / "_static" / name).is_file()
    assert page.count("../_static/slots.") == 2
    assert len(viewer()) < 300_000
