import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courselib.grammar import load_grammar
from courselib.tokenizer import ByteTokenizer, UnknownWordError, WordTokenizer

GRAMMAR = load_grammar()
WORDS = WordTokenizer.from_grammar()
BYTES = ByteTokenizer()

# ------------------------------------------------------------------------------------------------ words


def test_specials_come_first_and_nothing_is_added() -> None:
    assert (WORDS.pad_id, WORDS.eos_id) == (0, 1)
    assert WORDS.decode([0, 1]) == "<pad> <eos>"
    assert WORDS.vocab_size == len(GRAMMAR.words()) + 2
    assert len(WORDS.encode("Yesterday I")) == 2
    assert WORDS.encode("") == []
    assert WORDS.decode([]) == ""


def test_corpus_round_trips() -> None:
    for sentence in GRAMMAR.corpus(1000, seed=2):
        assert WORDS.decode(WORDS.encode(sentence)) == sentence


@given(st.lists(st.integers(2, WORDS.vocab_size - 1)))
def test_any_ids_of_words_round_trip(ids: list[int]) -> None:
    assert WORDS.encode(WORDS.decode(ids)) == ids


@given(st.data())
def test_any_vocabulary_round_trips(data: st.DataObject) -> None:
    letters = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
    words = data.draw(st.lists(letters.map(lambda w: unicodedata.normalize("NFC", w)), unique=True))
    words = [word for word in words if word.isalnum()]
    tokenizer = WordTokenizer([".", *words])
    text = data.draw(st.lists(st.sampled_from([".", *words])))
    ids = tokenizer.encode(" ".join(text))
    assert [tokenizer.vocabulary[i] for i in ids] == text
    assert tokenizer.encode(tokenizer.decode(ids)) == ids


def test_text_is_normalised() -> None:
    text = "Mañana él jugará en el jardín."
    decomposed = unicodedata.normalize("NFD", text)
    assert decomposed != text
    assert WORDS.encode(decomposed) == WORDS.encode(text)
    assert WORDS.decode(WORDS.encode(decomposed)) == text


def test_an_unknown_word_is_named_with_its_place_and_its_neighbours() -> None:
    with pytest.raises(UnknownWordError) as error:
        WORDS.encode("Yesterday I wrked at home.")
    assert (error.value.word, error.value.index) == ("wrked", 2)
    assert error.value.nearest[0] == "worked"
    assert len(error.value.nearest) <= 3
    message = 'unknown word "wrked" (word 3 of the text); nearest known words: worked'
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "word", "hint"),
    [
        ("Yesterday i", "i", "nearest known words: I"),
        ("manana", "manana", "Mañana"),
        ("Yesterday, I", ",", "no known word is near"),
        ("<eos>", "<", "no known word is near"),  # a text cannot spell a special
        ("Now 2026", "2026", "no known word is near"),
    ],
)
def test_unknown_words(text: str, word: str, hint: str) -> None:
    with pytest.raises(UnknownWordError, match=hint) as error:
        WORDS.encode(text)
    assert error.value.word == word


@pytest.mark.parametrize("token_id", [-1, WORDS.vocab_size])
def test_ids_outside_the_vocabulary(token_id: int) -> None:
    last = WORDS.vocab_size - 1
    with pytest.raises(ValueError, match=f"token id {token_id} is outside .* from 0 to {last}"):
        WORDS.decode([2, token_id])


@pytest.mark.parametrize("words", [["a", "a"], ["two words"], [""], ["don't"], ["<pad>"], ["man\u0303ana"]])
def test_a_vocabulary_that_could_not_round_trip_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        WordTokenizer(words)


def test_fingerprint_names_the_vocabulary_in_order() -> None:
    """Written down once: the shipped weights have one row for each of these words, in this order."""
    assert WORDS.fingerprint() == "5be6755449f993813dba57a5b23dc443894b73ebd936da5ce929274530a9864d"
    assert WordTokenizer(["a", "b"]).fingerprint() == WordTokenizer(["a", "b"]).fingerprint()
    assert WordTokenizer(["a", "b"]).fingerprint() != WordTokenizer(["b", "a"]).fingerprint()
    assert WordTokenizer(["ab"]).fingerprint() != WordTokenizer(["a", "b"]).fingerprint()


# ------------------------------------------------------------------------------------------------ bytes


@given(st.text())
def test_any_text_round_trips_through_bytes(text: str) -> None:
    ids = BYTES.encode(text)
    assert bytes(ids) == text.encode("utf-8")
    assert BYTES.decode(ids) == text


@given(st.lists(st.integers(0, BYTES.vocab_size - 1)))
def test_any_ids_decode(ids: list[int]) -> None:
    assert isinstance(BYTES.decode(ids), str)


def test_byte_specials() -> None:
    assert (BYTES.pad_id, BYTES.bos_id, BYTES.eos_id, BYTES.vocab_size) == (256, 257, 258, 259)
    assert BYTES.encode("ñ", bos=True) == [257, 0xC3, 0xB1]
    assert BYTES.decode([257, 0xC3, 0xB1, 258]) == "<bos>ñ<eos>"
    assert BYTES.decode([0xC3, 256, 0xB1]) == "\ufffd<pad>\ufffd"
    assert 258 not in BYTES.encode("<eos>")


def test_byte_specials_of_ones_own() -> None:
    tokenizer = ByteTokenizer(("<end>",))
    assert tokenizer.special_id("<end>") == 256
    assert tokenizer.vocab_size == 257
    with pytest.raises(ValueError, match="no <bos>: its specials are"):
        tokenizer.encode("a", bos=True)
    with pytest.raises(ValueError, match="distinct"):
        ByteTokenizer(("<a>", "<a>"))


@pytest.mark.parametrize("token_id", [-1, 259])
def test_byte_ids_outside_the_vocabulary(token_id: int) -> None:
    with pytest.raises(ValueError, match=f"token id {token_id} is outside .* from 0 to 258"):
        BYTES.decode([104, token_id])
