"""Collect what is to be translated: python -m checker.messages (`make messages`).

Every sentence that the checker says goes into checker/locale, and every word of a figure into courselib/locale. What is
new comes without a translation, and a test fails until it has one; what nobody says any more goes. The .mo beside each
.po is what programs read: it is made here and kept in git, so that a clean checkout speaks Spanish.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

import courselib.figures.words
from checker.language import DOMAIN, LANGUAGES, LOCALE

HERE = Path(__file__).parent
ROOT = HERE.parent
KEYWORDS = {"_": None, "N_": None, "ngettext": (1, 2), "NN_": (1, 2)}
ENGLISH = "selftest"  # the folder of what is in English only: a table for whoever works on the checker
Message = str | tuple[str, ...]  # a sentence, or its two forms
SINCE = datetime(2026, 1, 1, tzinfo=UTC)  # the same sentences give the same bytes, whenever they are collected


def collected() -> Catalog:
    """Every sentence of the checker's sources and page templates, and of the labs' lab.toml."""
    found = Catalog(domain=DOMAIN)
    for path in sorted(HERE.rglob("*")):
        if ENGLISH in path.relative_to(HERE).parts or path.suffix not in (".py", ".j2"):
            continue
        for message in of_a_source(path) if path.suffix == ".py" else _of_a_template(path):
            found.add(message, locations=[(path.relative_to(ROOT).as_posix(), 0)])
    for path in sorted((ROOT / "labs").glob("*/lab.toml")):
        for message in _of_a_lab(path):
            found.add(message, locations=[(path.relative_to(ROOT).as_posix(), 0)])
    return found


def drawn() -> Catalog:
    """Every word of the course's figures: those in their sources, and those that a chapter hands to one."""
    found = Catalog(domain=FIGURES.domain)
    for path in sorted((ROOT / "src/courselib/figures").glob("*.py")):
        for message in of_a_source(path):
            found.add(message, locations=[(path.relative_to(ROOT).as_posix(), 0)])
    for path in sorted((ROOT / "book").glob("*.py")):
        for message in handed_to_figures(ast.parse(path.read_text(encoding="utf-8"))):
            found.add(message, locations=[(path.relative_to(ROOT).as_posix(), 0)])
    return found


@dataclass(frozen=True)
class Kept:
    """A catalogue that is kept in git: where it lies, what is in it."""

    domain: str
    locale: Path
    says: str
    collected: Callable[[], Catalog]

    def po(self, language: str) -> Path:
        return self.locale / language / "LC_MESSAGES" / f"{self.domain}.po"

    def catalogue(self, language: str) -> Catalog:
        """What is translated, and what is to be."""
        with self.po(language).open("rb") as file:
            return read_po(file, locale=language, domain=self.domain)


CHECKER = Kept(DOMAIN, LOCALE, "What the checker says.", collected)
FIGURES = Kept(courselib.figures.words.DOMAIN, courselib.figures.words.LOCALE, "The words of the figures.", drawn)


def of_a_source(path: Path) -> Iterator[Message]:
    """Every text marked in a module, those within f-strings too: some versions of Python hide these from Babel."""
    for node in _in_order(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KEYWORDS:
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            if KEYWORDS[node.func.id] and len(texts) > 1:
                yield texts[0], texts[1]
            elif texts:
                yield texts[0]


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


def _of_a_template(path: Path) -> Iterator[Message]:
    for _line, message, _comments, _context in extract_from_file("jinja2.ext:babel_extract", path, keywords=KEYWORDS):
        yield message


def handed_to_figures(tree: ast.AST) -> Iterator[str]:
    """The texts that stand in a call of figures.something itself, and not in a call within it; where a dict is handed
    over by its name, its keys."""
    keys = _keys(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("figures."):
            yield from _texts([*node.args, *(keyword.value for keyword in node.keywords)], keys)


def _keys(tree: ast.AST) -> dict[str, list[ast.expr]]:
    """What a dict with a name has for keys; a dict made over another one has the same."""
    keys: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name):
            if isinstance(node.value, ast.Dict):
                keys[target.id] = [key for key in node.value.keys if key]
            elif isinstance(node.value, ast.DictComp) and isinstance(over := node.value.generators[0].iter, ast.Name):
                keys[target.id] = keys.get(over.id, [])
    return keys


def _texts(nodes: list[ast.expr], keys: dict[str, list[ast.expr]]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
            yield node.value
        elif isinstance(node, ast.Name):
            yield from _texts(keys.get(node.id, []), {})
        elif not isinstance(node, ast.Call | ast.JoinedStr | ast.Subscript):  # no text that is looked up as it stands
            yield from _texts([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)], keys)


def _of_a_lab(path: Path) -> list[str]:
    lab = tomllib.loads(path.read_text(encoding="utf-8"))
    tasks = [text for task in lab["tasks"] for text in (task["title"], *task["hints"])]
    says = [statement["says"] for artifact in lab["artifacts"] for statement in artifact.get("statements", [])]
    return [lab["title"], lab.get("about", ""), *tasks, *says]


def _update(kept: Kept, language: str) -> None:
    po = kept.po(language)
    old = kept.catalogue(language) if po.is_file() else None
    new = Catalog(
        locale=language,
        domain=DOMAIN,
        header_comment=f"# {kept.says} `make messages` keeps the sentences; their translations are by hand.",
        project="Byte for Byte",
        version="1",
        msgid_bugs_address="whoever keeps the course",
        creation_date=SINCE,
        revision_date=SINCE,
        last_translator="the course",
        language_team="the course",
        fuzzy=False,
    )
    for message in kept.collected():
        if message.id:
            known = old.get(message.id[0] if isinstance(message.id, tuple) else message.id) if old else None
            new.add(message.id, known.string if known else None, locations=message.locations)
    po.parent.mkdir(parents=True, exist_ok=True)
    with po.open("wb") as file:
        write_po(file, new, width=120, include_lineno=False, omit_header=False)
    with po.with_suffix(".mo").open("wb") as file:
        write_mo(file, new)
    missing = sum(not message.string or not all(message.string) for message in new if message.id)
    print(f"{po}: {len(new)} messages, {missing} to be translated")


if __name__ == "__main__":
    for each in LANGUAGES:
        if each != "en":
            _update(CHECKER, each)
            _update(FIGURES, each)
