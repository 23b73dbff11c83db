"""Collect every sentence that the checker says into checker/locale: python -m checker.messages (`make messages`).

What is new comes without a translation, and a test fails until it has one; what nobody says any more goes. The .mo
beside each .po is what the checker reads: it is made here and kept in git, so that a clean checkout speaks Spanish.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from checker.language import DOMAIN, LANGUAGES, LOCALE

HERE = Path(__file__).parent
KEYWORDS = {"_": None, "N_": None, "ngettext": (1, 2), "NN_": (1, 2)}
ENGLISH = "selftest"  # the folder of what is in English only: a table for whoever works on the checker
SINCE = datetime(2026, 1, 1, tzinfo=UTC)  # the same sentences give the same bytes, whenever they are collected


def collected() -> Catalog:
    """Every sentence of the checker's sources and page templates, and of the labs' lab.toml."""
    found = Catalog(domain=DOMAIN)
    for path in sorted(HERE.rglob("*")):
        if ENGLISH in path.relative_to(HERE).parts or path.suffix not in (".py", ".j2"):
            continue
        method = "python" if path.suffix == ".py" else "jinja2.ext:babel_extract"
        for _line, message, _comments, _context in extract_from_file(method, path, keywords=KEYWORDS):
            found.add(message, locations=[(path.relative_to(HERE.parent).as_posix(), 0)])
    for path in sorted((HERE.parent / "labs").glob("*/lab.toml")):
        for message in _of_a_lab(path):
            found.add(message, locations=[(path.relative_to(HERE.parent).as_posix(), 0)])
    return found


def po(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def catalogue(language: str) -> Catalog:
    """What is translated, and what is to be."""
    with po(language).open("rb") as file:
        return read_po(file, locale=language, domain=DOMAIN)


def _of_a_lab(path: Path) -> list[str]:
    lab = tomllib.loads(path.read_text(encoding="utf-8"))
    tasks = [text for task in lab["tasks"] for text in (task["title"], *task["hints"])]
    says = [statement["says"] for artifact in lab["artifacts"] for statement in artifact.get("statements", [])]
    return [lab["title"], *tasks, *says]


def _update(language: str) -> None:
    old = catalogue(language) if po(language).is_file() else None
    new = Catalog(
        locale=language,
        domain=DOMAIN,
        header_comment="# What the checker says. `make messages` keeps the sentences; their translations are by hand.",
        project="Byte for Byte",
        version="1",
        msgid_bugs_address="whoever keeps the course",
        creation_date=SINCE,
        revision_date=SINCE,
        last_translator="the course",
        language_team="the course",
        fuzzy=False,
    )
    for message in collected():
        if message.id:
            known = old.get(message.id[0] if isinstance(message.id, tuple) else message.id) if old else None
            new.add(message.id, known.string if known else None, locations=message.locations)
    po(language).parent.mkdir(parents=True, exist_ok=True)
    with po(language).open("wb") as file:
        write_po(file, new, width=120, include_lineno=False, omit_header=False)
    with po(language).with_suffix(".mo").open("wb") as file:
        write_mo(file, new)
    missing = sum(not message.string or not all(message.string) for message in new if message.id)
    print(f"{po(language)}: {len(new)} messages, {missing} to be translated")


if __name__ == "__main__":
    for each in LANGUAGES:
        if each != "en":
            _update(each)
