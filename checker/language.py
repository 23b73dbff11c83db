"""The language the checker speaks: English as it stands in the sources, or the Spanish of checker/locale.

It is chosen once, by ``speaking``, before anything is said. ``_`` looks a sentence up at that moment, so a text that
stands in a module, outside every function, is only marked, by ``N_``, and looked up where it is used. What students'
files hold is never translated, nor is what programs read: kinds, statuses, field names, exit codes.

`make messages` collects the sentences into checker/locale; a test says when that was forgotten.
"""

from __future__ import annotations

import copy
import gettext
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import click

Language = Literal["en", "es"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
LOCALE = Path(__file__).parent / "locale"
DOMAIN = "checker"
AS_IT_IS = "\b\n"  # before a paragraph of a help text whose lines click is to leave alone

_spoken: Language = "en"


def _(message: str) -> str:
    """``message`` in the language that is spoken."""
    return _catalogue(_spoken).gettext(message) if message else ""  # gettext answers "" with its catalogue's header


def ngettext(one: str, many: str, n: int) -> str:
    """The form of a sentence that goes with ``n``."""
    return _catalogue(_spoken).ngettext(one, many, n)


def N_(message: str) -> str:
    """Marks a text for the catalogue, and leaves it as it is."""
    return message


def NN_(one: str, many: str) -> tuple[str, str]:
    """The same for the two forms of a sentence with a number in it."""
    return one, many


def told(messages: Iterable[str]) -> list[str]:
    """Each of them in the language that is spoken."""
    return [_(message) for message in messages]


def in_every_language(message: str) -> set[str]:
    """All that ``message`` may read like in a report that was kept."""
    return {_catalogue(language).gettext(message) for language in LANGUAGES}


def said_by_the_system(error: OSError) -> str:
    """Why something could not be opened, read or written."""
    return _(error.strerror or str(error))


def spoken() -> Language:
    return _spoken


LANG = N_("The language to answer in.  [default: the locale's]")


@contextmanager
def speaking(language: Language) -> Iterator[None]:
    """Speak ``language`` while the block runs, in every thread; click too, which asks the environment."""
    global _spoken
    before, variable = _spoken, os.environ.get("LANGUAGE")
    gettext.bindtextdomain(DOMAIN, str(LOCALE))
    domain = gettext.textdomain()
    gettext.textdomain(DOMAIN)
    _spoken, os.environ["LANGUAGE"] = language, language
    try:
        yield
    finally:
        _spoken = before
        gettext.textdomain(domain)
        if variable is None:
            del os.environ["LANGUAGE"]
        else:
            os.environ["LANGUAGE"] = variable


def language_of(arguments: Sequence[str], environment: Mapping[str, str]) -> Language:
    """What --lang says (click refuses what it cannot be), else what the locale asks for, else English."""
    locale = next((environment[key] for key in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(key)), "")
    asked = [re.split(r"[_.@]", locale)[0]]
    for word, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if word == "--lang":
            asked.append(following)
        elif word.startswith("--lang="):
            asked.append(word.removeprefix("--lang="))
    return next((language for word in reversed(asked) for language in LANGUAGES if word == language), "en")


def translated(command: click.Command) -> click.Command:
    """A copy of ``command`` whose help texts are in the language that is spoken, and that knows --lang."""
    command = copy.copy(command)
    command.help = "\n\n".join(map(_paragraph, (command.help or "").split("\n\n")))
    lang = click.Option(["--lang"], type=click.Choice(LANGUAGES), expose_value=False, help=LANG)
    command.params = [copy.copy(param) for param in (*command.params, lang)]
    for param in command.params:
        if isinstance(param, click.Option) and param.help:
            param.help = _(param.help)
    return command


def _paragraph(text: str) -> str:
    mark = AS_IT_IS if text.startswith(AS_IT_IS) else ""
    return mark + _(text.removeprefix(mark))


# What others say in English, and what they say it by: click asks gettext for these very sentences, Python's parser of
# JSON and the operating system ask nobody.
OTHERS = (
    N_("Usage:"),
    N_("Options"),
    N_("Positional arguments"),
    N_("Show this message and exit."),
    N_("default: {default}"),
    N_("required"),
    N_("Missing argument"),
    N_("Missing option"),
    N_("Invalid value: {message}"),
    N_("Invalid value for {param_hint}: {message}"),
    N_("No such option {name!r}."),
    N_("{value!r} is not a valid {number_type}."),
    N_("{value} is not in the range {range}."),
    N_("{name} {filename!r} does not exist."),
    N_("{name} {filename!r} is a file."),
    N_("{name} {filename!r} is not readable."),
    N_("directory"),
    N_("file"),
    N_("expecting value"),
    N_("expecting ',' delimiter"),
    N_("expecting ':' delimiter"),
    N_("expecting property name enclosed in double quotes"),
    N_("illegal trailing comma before end of object"),
    N_("illegal trailing comma before end of array"),
    N_("unterminated string starting at"),
    N_("invalid control character at"),
    N_("extra data"),
    N_("No such file or directory"),
    N_("Permission denied"),
    N_("Not a directory"),
    N_("Is a directory"),
    N_("File name too long"),
    N_("Read-only file system"),
    N_("No space left on device"),
    N_("Input/output error"),
)
COUNTED_BY_OTHERS = (
    NN_("Got unexpected extra argument ({args})", "Got unexpected extra arguments ({args})"),
    NN_("{value!r} is not {choice}.", "{value!r} is not one of {choices}."),
    NN_("Option {name!r} requires an argument.", "Option {name!r} requires {nargs} arguments."),
    NN_("Did you mean {possibility}?", "(Did you mean one of: {possibilities}?)"),
)


@cache
def _catalogue(language: Language) -> gettext.NullTranslations:
    return gettext.translation(DOMAIN, LOCALE, [language], fallback=True)
