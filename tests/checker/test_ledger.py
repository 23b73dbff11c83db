"""What a claim stands on: findings about its places, and no others."""

import pytest

from checker.ledger import claim, or_unchecked
from checker.report import Finding


def standing(where, *places, file="results.json"):
    fault = Finding(kind="mismatch", file=file, where=where, message="It is another.")
    return claim("results.json: a claim", "results.json", [fault], *places).standing


@pytest.mark.parametrize("place", ["cases[3].sha256[0]", "cases[3]", "cases", "sha256"])
def test_a_place_is_a_path_or_its_beginning_or_its_end(place):
    assert standing("cases[3].sha256[0]", place) == "contradicted"
    assert standing("cases[3].sha256[0]", "summary", place) == "contradicted"
    assert standing("cases[3].sha256[0]", place, file="manifest.json") == "verified"


@pytest.mark.parametrize("place", ["case", "cases[33]", "sha", "a256", "[3]", "3", "cases.3"])
def test_a_piece_of_a_name_is_no_place(place):
    assert standing("cases[3].sha256[0]", place) == "verified"
    assert standing(None, place) == "verified"


def test_without_a_place_any_finding_on_the_file_contradicts():
    assert standing(None) == standing("summary.cases") == "contradicted"
    assert standing(None, file="manifest.json") == "verified"


def test_what_is_contradicted_stays_so_where_nothing_speaks_for_it():
    faults = [Finding(kind="mismatch", file="results.json", message="It is another.")]
    sound, wrong = claim("A.", "results.json", []), claim("A.", "results.json", faults)
    assert or_unchecked(sound, "nobody looked").because == "nobody looked"
    assert or_unchecked(sound, "") == sound
    assert or_unchecked(wrong, "nobody looked") == wrong
