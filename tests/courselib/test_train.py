"""Training is tried for two steps: that it runs, and that what it writes is what the loader takes."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from courselib import minigpt
from courselib.grammar import load_grammar
from courselib.kernels import current_ops, use_ops
from courselib.kernels.cpu import stock
from courselib.minigpt import load_minigpt
from courselib.tokenizer import WordTokenizer
from courselib.train import PROBES, WINDOW, card_text, main, tense_preference, windows

GRAMMAR = load_grammar()
WORDS = WordTokenizer.from_grammar()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "new" / "folder"
    run = CliRunner().invoke(main, ["--out", str(out), "--steps", "2", "--sentences", "240", "--seed", "5"])
    assert run.exit_code == 0, run.output
    assert f"Written to {out}" in run.output
    return out


def test_it_writes_the_weights_their_card_and_the_curve(trained: Path) -> None:
    assert {p.name for p in trained.iterdir()} == {"minigpt.safetensors", "minigpt.json", "README.md", "loss.png"}
    card = json.loads((trained / "minigpt.json").read_text(encoding="utf-8"))
    assert card["sha256"] == hashlib.sha256((trained / "minigpt.safetensors").read_bytes()).hexdigest()
    assert card["vocabulary_sha256"] == WORDS.fingerprint()
    assert card["training"]["steps"] == 2
    assert card["corpus"]["held_out"] == 20
    assert card["loss"]["train"] > 1  # two steps teach nothing
    assert set(card["tense_preference"]) == set(PROBES)
    readme = (trained / "README.md").read_text(encoding="utf-8")
    assert readme == card_text(card)
    assert card["sha256"] in readme
    assert f"{card['parameters']:,} parameters" in readme
    assert (trained / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_what_it_wrote_loads(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minigpt, "WEIGHTS", trained / "minigpt.safetensors")
    monkeypatch.setattr(minigpt, "CARD", trained / "minigpt.json")
    model = load_minigpt.__wrapped__()
    assert sum(p.numel() for p in model.parameters()) == minigpt.card()["parameters"]
    assert model(torch.tensor([WORDS.encode("Yesterday I")])).shape == (1, 2, WORDS.vocab_size)


def test_it_leaves_the_ops_as_they_were(trained: Path) -> None:
    assert current_ops() is not stock


def test_a_window_strings_together_whole_sentences_of_one_language() -> None:
    corpus = GRAMMAR.corpus(300, seed=4)
    rows = windows(GRAMMAR, corpus, WORDS, 6, seed=1)
    assert (rows.shape, rows.dtype) == ((6, WINDOW + 1), torch.int64)
    assert torch.equal(rows, windows(GRAMMAR, corpus, WORDS, 6, seed=1))
    assert not torch.equal(rows, windows(GRAMMAR, corpus, WORDS, 6, seed=2))
    for row in rows:
        *whole, _ = WORDS.decode(row.tolist()).split(".")  # the last one may be cut
        assert {sentence.strip() + "." for sentence in whole} <= set(corpus)
        languages = {
            code
            for sentence in whole
            for code in GRAMMAR.languages
            if sentence.split()[0] in GRAMMAR.language(code).words
        }
        assert len(languages) == 1


def test_preference_sums_the_words_of_a_tense() -> None:
    # A model that knows nothing gives every word the same share, and a tense that of its words.
    model = minigpt.MiniGPT(minigpt.Config(vocab_size=WORDS.vocab_size, n_layers=1, dim=8, n_heads=1, n_kv_heads=1))
    torch.nn.init.zeros_(model.head)
    with use_ops("stock"):
        share = tense_preference(model, GRAMMAR, "Yesterday I")
    for tense, mass in share.items():
        n = sum(tense in GRAMMAR.tense_of(word) for word in WORDS.vocabulary)
        assert mass == pytest.approx(n / WORDS.vocab_size, abs=1e-4)  # rounded to four places
