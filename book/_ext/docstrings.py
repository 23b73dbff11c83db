"""The API page's docstrings, as they stand in the sources (plain text), laid out for Sphinx.

A docstring of this project is paragraphs; lines "name: what it is", whose continuation is indented; and blocks that are
indented as a whole, such as code or a drawing, which keep their lines.
"""

from __future__ import annotations

import re
from typing import Any

_NAMED = re.compile(
    r"(?P<names>`?\*{0,2}\w+`?(?:, `?\*{0,2}\w+`?)*)(?P<shape> \([^)]*\))?: (?P<text>.*)"
)
_CODE = re.compile(r"(`+)(.+?)\1")


def to_rst(lines: list[str], *, bullets: bool = True) -> list[str]:
    """The docstring as reStructuredText; with ``bullets``, a line "name: what it is" becomes one."""
    text = "\n".join(lines).strip("\n")
    rst: list[str] = []
    for block in re.split(r"\n\s*\n", text) if text else []:
        rst += (
            ["", *_literal(block.split("\n"))]
            if block.startswith("    ")
            else ["", *_prose(block.split("\n"), bullets)]
        )
    return [*rst, ""]


def _literal(lines: list[str]) -> list[str]:
    return [".. code-block:: text", "", *("    " + line for line in lines)]


def _prose(lines: list[str], bullets: bool) -> list[str]:
    """Paragraphs, and a bullet for each name."""
    rst: list[str] = []
    named = False
    for line in lines:
        if bullets and (found := _NAMED.fullmatch(line)):
            names = found["names"].replace("`", "")
            shape = _inline(found["shape"] or "")
            rst += ["", f"- ``{names}``{shape}: {_inline(found['text'])}"]
            named = True
        elif named and line.startswith(" "):
            rst.append(f"  {_inline(line.strip())}")
        else:
            rst += ["", _inline(line)] if named else [_inline(line.strip())]
            named = False
    return rst


def _inline(text: str) -> str:
    """What is in backticks is code; everywhere else no character means more than itself."""
    parts, end = [], 0
    for code in _CODE.finditer(text):
        parts += [_plain(text[end : code.start()]), f"``{code[2]}``"]
        end = code.end()
        if text[
            end : end + 1
        ].isalnum():  # `slot`s: code ends only where no letter follows
            parts.append("\\ ")
    return "".join([*parts, _plain(text[end:])])


def _plain(text: str) -> str:
    return re.sub(r"([\\*_|`])", r"\\\1", text)


def _process(
    app: Any,
    what: str,
    name: str,
    thing: Any,
    options: Any,
    lines: list[str],
) -> None:
    lines[:] = to_rst(
        lines, bullets=what != "module"
    )  # its first line may be "generate: tokens out of a model"


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True}
