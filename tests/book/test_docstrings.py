"""Docstrings become pages: what stands in them is what is read, whatever characters it is made of."""

import importlib.util
from pathlib import Path

from docutils.core import publish_doctree

PATH = Path(__file__).parents[2] / "book" / "_ext" / "docstrings.py"
spec = importlib.util.spec_from_file_location("docstrings", PATH)
assert spec
assert spec.loader
docstrings = importlib.util.module_from_spec(spec)
spec.loader.exec_module(docstrings)


def read(text: str, **options: bool) -> list[tuple[str, str]]:
    """(kind, text) of each paragraph, item and block; docutils must find nothing to complain about."""
    rst = "\n".join(docstrings.to_rst(text.split("\n"), **options))
    tree = publish_doctree(rst, settings_overrides={"halt_level": 2, "report_level": 2})
    kinds = ("paragraph", "list_item", "literal_block")
    return [(node.tagname, node.astext()) for node in tree.findall() if node.tagname in kinds]


def test_names_are_bullets_and_their_indented_lines_belong_to_them():
    assert read("Do it.\n\nq, k (B, H): what\n    goes on\nmode: on or off\nRaises ValueError: never.") == [
        ("paragraph", "Do it."),
        ("list_item", "q, k (B, H): what\ngoes on"),
        ("paragraph", "q, k (B, H): what\ngoes on"),
        ("list_item", "mode: on or off"),
        ("paragraph", "mode: on or off"),
        ("paragraph", "Raises ValueError: never."),
    ]


def test_a_module_s_first_line_is_no_bullet():
    assert read("generate: tokens out of a model", bullets=False) == [("paragraph", "generate: tokens out of a model")]


def test_an_indented_block_keeps_its_lines():
    (before, block) = read("A drawing:\n\n    data  (L, 2)\n           `- *rows*")
    assert before == ("paragraph", "A drawing:")
    assert block == ("literal_block", "data  (L, 2)\n       `- *rows*")


def test_no_character_means_more_than_itself():
    text = "x * y, a_ and |b| and 2**n; `slot`s and ``first`` and one ` more"
    assert read(text) == [("paragraph", "x * y, a_ and |b| and 2**n; slots and first and one ` more")]
