import pytest

from checker.publish import ROOT
from checker.todos import open_todo

TODOS = {
    "labs/01/starter/kv_cache.py": range(1, 7),
    "labs/05/starter/kernels.py": range(1, 5),
    "labs/05/starter/invariance_test.py": range(5, 8),
}


@pytest.mark.parametrize("path", TODOS)
def test_every_todo_of_a_starter_is_found_where_it_stands(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    lines = [open_todo(text, number) for number in TODOS[path]]
    assert None not in lines
    assert all(f"TODO {n}" in text.splitlines()[line - 1] for n, line in zip(TODOS[path], lines, strict=True))
    assert open_todo(text, 99) is None


def test_a_number_is_itself_alone():
    text = (
        "x = 1  # TODO 2: no comment of the starter's\n    # TODO 12: another\n# TODO 1, the launch\n# TODO 1 again\n"
    )
    assert (open_todo(text, 1), open_todo(text, 2), open_todo(text, 12)) == (3, None, 2)
