"""Two tokenizers: one id a word of the grammar, or one id a byte of anything."""

import difflib
import hashlib
import operator
import re
import unicodedata
from collections.abc import Iterable, Sequence

_PIECE = re.compile(r"\w+|[^\w\s]")  # a word (any letters: "mañana") or one punctuation mark


class UnknownWordError(ValueError):
    """A word that the vocabulary does not have: `.word`, `.index` among the words, `.nearest` known words."""

    def __init__(self, word: str, index: int, nearest: Sequence[str]) -> None:
        self.word, self.index, self.nearest = word, index, tuple(nearest)
        hint = f"nearest known words: {', '.join(nearest)}" if nearest else "no known word is near"
        super().__init__(f'unknown word "{word}" (word {index + 1} of the text); {hint}')


class WordTokenizer:
    """One id a word. Ids: `<pad>`, `<eos>`, then the words in the order given.

    Raises ValueError if a word is repeated, or is not one word or one punctuation mark in Unicode's NFC form.
    """

    SPECIALS = ("<pad>", "<eos>")
    pad_id = 0
    eos_id = 1

    def __init__(self, words: Iterable[str]) -> None:
        self.vocabulary = [*self.SPECIALS]
        self._ids: dict[str, int] = {}  # words only: a special cannot be smuggled in through a text
        for word in words:
            if _PIECE.fullmatch(word) is None or unicodedata.normalize("NFC", word) != word:
                raise ValueError(f"{word!r} cannot be in a vocabulary: not one word or mark in NFC form")
            if word in self._ids:
                raise ValueError(f"{word!r} is in the vocabulary twice")
            self._ids[word] = len(self.vocabulary)
            self.vocabulary.append(word)

    @classmethod
    def from_grammar(cls) -> "WordTokenizer":
        """The tokenizer of the course's grammar, whose ids the shipped MiniGPT was trained on."""
        from courselib.grammar import load_grammar

        return cls(load_grammar().words())

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    def encode(self, text: str) -> list[int]:
        """One id a word or punctuation mark; nothing is added. Raises UnknownWordError."""
        pieces = _PIECE.findall(unicodedata.normalize("NFC", text))
        for index, piece in enumerate(pieces):
            if piece not in self._ids:
                raise UnknownWordError(piece, index, self._nearest(piece))
        return [self._ids[piece] for piece in pieces]

    def decode(self, ids: Iterable[int]) -> str:
        """Words one space apart, the full stop right after its word, specials by name. Raises ValueError."""
        words = [self.vocabulary[_checked(i, self.vocab_size)] for i in ids]
        return " ".join(words).replace(" .", ".")

    def fingerprint(self) -> str:
        """SHA-256, in hex, of the vocabulary in order: one UTF-8 line a token."""
        return hashlib.sha256("".join(f"{token}\n" for token in self.vocabulary).encode()).hexdigest()

    def _nearest(self, word: str) -> list[str]:
        """Up to three known words that look like this one, whatever the case of their letters."""
        spellings: dict[str, list[str]] = {}
        for known in self._ids:
            spellings.setdefault(known.casefold(), []).append(known)
        close = difflib.get_close_matches(word.casefold(), spellings, n=3)
        return [known for spelling in close for known in spellings[spelling]][:3]


class ByteTokenizer:
    """One id a byte of the text's UTF-8: ids 0 to 255 are the bytes, the specials follow from 256.

    Raises ValueError if a special is repeated or empty.
    """

    def __init__(self, specials: Sequence[str] = ("<pad>", "<bos>", "<eos>")) -> None:
        if len(set(specials)) != len(specials) or "" in specials:
            raise ValueError(f"specials must be distinct and not empty: {list(specials)}")
        self.specials = tuple(specials)

    @property
    def vocab_size(self) -> int:
        return 256 + len(self.specials)

    @property
    def pad_id(self) -> int:
        return self.special_id("<pad>")

    @property
    def bos_id(self) -> int:
        return self.special_id("<bos>")

    @property
    def eos_id(self) -> int:
        return self.special_id("<eos>")

    def special_id(self, name: str) -> int:
        """Raises ValueError if the tokenizer was made without this special."""
        if name not in self.specials:
            raise ValueError(f"this tokenizer has no {name}: its specials are {list(self.specials)}")
        return 256 + self.specials.index(name)

    def encode(self, text: str, bos: bool = False) -> list[int]:
        """The text's bytes as they are (no normalisation), after `<bos>` if asked. Reads no specials."""
        return [*([self.bos_id] if bos else []), *text.encode("utf-8")]

    def decode(self, ids: Iterable[int]) -> str:
        """The text; specials by name, bytes that are not UTF-8 replaced by U+FFFD. Raises ValueError."""
        text, run = "", bytearray()
        for i in ids:
            i = _checked(i, self.vocab_size)
            if i < 256:
                run.append(i)
            else:  # a special ends a run of bytes, even in the middle of a character
                text += run.decode("utf-8", errors="replace") + self.specials[i - 256]
                run.clear()
        return text + run.decode("utf-8", errors="replace")


def _checked(token_id: int, vocab_size: int) -> int:
    """The id as an int (numpy and torch integers too); ValueError if it is outside the vocabulary."""
    i = operator.index(token_id)
    if not 0 <= i < vocab_size:
        raise ValueError(f"token id {i} is outside the vocabulary: ids go from 0 to {vocab_size - 1}")
    return i
