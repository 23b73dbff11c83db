"""pydantic's errors, translated; and values made safe to print, whole unless huge."""

import pytest
from pydantic import ValidationError

from checker.faults import Fault, faults, json_path, printable, show
from checker.lab02.schemas import Rows, Tokens

DIGEST = "0" * 64


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"rows": "3"}, Fault("rows", "a whole number", '"3"')),
        ({"rows": True}, Fault("rows", "a whole number", "true")),
        ({"rows": 3.0}, Fault("rows", "a whole number", "3.0")),
        ({"rows": None}, Fault("rows", "a whole number", "null")),
        ({"rows": -1}, Fault("rows", "at least 0", "-1")),
        ({"cached": "0" * 63}, Fault("cached", "a string that matches ^[0-9a-f]{64}$", f'"{"0" * 63}"')),
        ({"cached": DIGEST + "\n"}, Fault("cached", "a string that matches ^[0-9a-f]{64}$", f'"{DIGEST}\\n"')),
        ({"extra": 1}, Fault("extra", "no such field", "1")),
    ],
)
def test_one_fault_a_place(change, fault):
    with pytest.raises(ValidationError) as caught:
        Rows.model_validate({"cached": DIGEST, "uncached": DIGEST, "rows": 3, "differing": 0} | change)
    assert faults(caught.value) == [fault]


def test_a_missing_field_and_a_bad_item_are_named():
    with pytest.raises(ValidationError) as caught:
        Tokens.model_validate({"cached": [1, 2], "uncached": [1, "2", 3, None]})
    assert [(f.where, f.expected, f.found) for f in faults(caught.value)] == [
        ("uncached[1]", "a whole number", '"2"'),
        ("uncached[3]", "a whole number", "null"),
        ("first_divergence", "this field", "nothing there"),
    ]


def test_a_path_reads_as_in_the_document():
    assert json_path(("runs", "fixed", "cases", 3, "k")) == "runs.fixed.cases[3].k"
    assert json_path((0, "a")) == "[0].a"
    assert json_path(()) == ""


def test_values_are_whole_unless_huge_and_then_comparable():
    assert show("a" * 300) == f'"{"a" * 300}"'
    long, other = show("a" * 3000), show("a" * 1500 + "b" + "a" * 1499)
    assert len(long) < 500
    assert long != other


def test_nothing_printed_drives_a_terminal():
    assert printable("a\x1b[31mb\u202e\x9bñ\n") == "a\\x1b[31mb\\u202e\\x9bñ\\n"
    assert printable(show("\x1b]0;title\x07\ud800")).isprintable()
