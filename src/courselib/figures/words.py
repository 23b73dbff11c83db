"""The words of every figure, in the reader's language: English as it stands here, or a catalogue of courselib/locale.

The language is the one that gettext finds in the environment (LANGUAGE, LC_ALL, LC_MESSAGES, LANG), as for any other
program; where there is no catalogue for it, or the catalogue lacks a text, the English stands.
"""

from __future__ import annotations

import gettext
from pathlib import Path

DOMAIN = "figures"
LOCALE = Path(__file__).parents[1] / "locale"


def _(text: str) -> str:
    """``text`` in the reader's language. Titles and names that a chapter hands to a figure pass through here too."""
    return gettext.translation(DOMAIN, LOCALE, fallback=True).gettext(text) if text else ""
