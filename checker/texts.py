"""The texts a lab asks for: there, long enough, with the asked statements. No more is claimed than that."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

from checker.collected import Collected
from checker.gate import Refusal
from checker.language import _, ngettext
from checker.report import Finding
from checker.spec import Artifact, Lab


def texts(lab: Lab, read: Callable[[str], str]) -> Iterator[Finding | tuple[Artifact, str]]:
    """A finding for each fault, and each markdown artifact with its text, once it was looked at."""
    for artifact in lab.artifacts:
        if artifact.kind != "markdown":
            continue
        try:
            text = unicodedata.normalize("NFC", read(artifact.path))  # an accent may come as a character of its own
        except Refusal as refusal:
            yield refusal.finding
            continue
        words = len(re.findall(r"\w+", text))
        if words < artifact.min_words:
            yield Finding(
                kind="mismatch",
                file=artifact.path,
                expected=ngettext("at least {n} word", "at least {n} words", artifact.min_words).format(
                    n=artifact.min_words
                ),
                found=ngettext("{n} word", "{n} words", words).format(n=words),
                message=_("The text is shorter than the lab asks for."),
            )
        for statement in artifact.statements:
            if not re.search(statement.pattern, text, re.IGNORECASE):
                yield Finding(
                    kind="mismatch",
                    file=artifact.path,
                    expected=statement.says,
                    found=_("nothing that reads so"),
                    message=_("A statement the lab asks for is not there."),
                )
        yield artifact, text


def writing(work: Collected) -> Iterator[Finding]:
    """The task of a lab whose texts are a student's own, and no script's."""
    for item in texts(work.lab, work.text):
        if isinstance(item, Finding) and item.kind == "missing" and item.file:
            words = work.lab.artifact(item.file).min_words
            message = _("The file is not there: it is yours to write, at least {words} words.").format(words=words)
            yield item.model_copy(update={"message": message})
        elif isinstance(item, Finding):
            yield item
