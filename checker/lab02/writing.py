"""README.md and report.md: there, long enough, with the asked statements. No more is claimed than that."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checker.lab02.prompts import FLAGSHIP
from checker.lab02.work import WORKED, Work
from checker.language import N_, _
from checker.report import Finding
from checker.texts import texts
from courselib import bits

REPORT = f"{WORKED}/report.md"
LINE = re.compile(r"K (?:layer|capa) 0 (?:head|cabeza) 0 (?:slot|posici[oó]n|ranura|casilla) 1:", re.IGNORECASE)
WORD = re.compile(r"\b(?:0x)?([0-9a-f]{8})\b")


def writing(work: Work) -> Iterator[Finding | str]:
    for item in texts(work.lab, work.text):
        if isinstance(item, Finding):
            yield item
        elif item[0].path == REPORT:
            yield from _hex_row(work, item[1])


def _hex_row(work: Work, text: str) -> Iterator[Finding]:
    """The row shown for the eye, twice: from the cache, then recomputed."""
    *before, row = LINE.split(text)
    if not before:
        return  # a statement of lab.toml asks for the line
    if not work.stored_bytes_comparable(WORKED):
        return  # written under another promise
    right = bits.hex_words(work.true_slots(FLAGSHIP).k[0, 0, 1])
    found = WORD.findall(row)[: 2 * len(right)]
    for i, name in enumerate((N_("cached"), N_("recomputed"))):
        part = found[i * len(right) : (i + 1) * len(right)]
        if part != right:
            at = next((j for j, (a, b) in enumerate(zip(part, right, strict=False)) if a != b), len(part))
            yield Finding(
                kind="mismatch",
                file=REPORT,
                where=f"K layer 0 head 0 slot 1, {_(name)}, dim {at}",
                expected=right[at],
                found=part[at] if at < len(part) else _("the row ends"),
                message=_("The row shown is not the one the model computes: {n} words, then the same again.").format(
                    n=len(right)
                ),
                usual_causes=[
                    _("the row is of another layer, head or slot"),
                    _("its words are not in hex as 8 digits"),
                ],
            )
