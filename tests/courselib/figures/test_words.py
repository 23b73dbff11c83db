"""The words of a figure are the reader's: Spanish where that is asked for, else English."""

import pytest

from courselib import figures


@pytest.fixture
def speak(monkeypatch):
    """speak(language): what gettext finds in the environment."""

    def speak(language: str) -> None:
        for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("LANGUAGE", language)

    return speak


@pytest.mark.parametrize(
    ("language", "slot", "line", "title"),
    [
        ("en", "slot", "layer 0 K", "Fixed order"),
        ("es", "ranura", "capa 0 K", "Orden fijo"),
        ("xx", "slot", "layer 0 K", "Fixed order"),  # no catalogue
    ],
)
def test_labels_and_titles_are_in_the_language_of_the_environment(speak, language, slot, line, title):
    speak(language)
    axes = figures.row_differences([[0, 1], [0, 0]], title="Fixed order").axes[0]
    assert (axes.get_xlabel(), axes.get_yticklabels()[0].get_text()) == (slot, line)
    assert axes.get_title(loc="left") == title


def test_what_no_catalogue_has_stays_as_it_is(speak):
    speak("es")
    assert figures.row_differences([[0, 1], [0, 0]], title="Unheard of").axes[0].get_title(loc="left") == "Unheard of"
