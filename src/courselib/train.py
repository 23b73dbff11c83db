"""Train the MiniGPT that ships with the package: `python -m courselib.train`, a few minutes on two cores.

Writes the weights, their card (JSON for the loader, Markdown for people) and the loss curve. Training runs on stock ops
with autograd, so another machine gets another model; that is why the weights ship, and why loading checks their hash.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import click
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from . import figures
from .generate import generate
from .grammar import Grammar, load_grammar, pick
from .grammar.prompts import sample_prompts
from .kernels import use_ops
from .minigpt import Config, MiniGPT
from .seeding import seed_everything
from .tokenizer import WordTokenizer

WINDOW = 128  # tokens: about ten sentences in one language, from the start of the first
BATCH = 16  # windows a step
EVERY = 25  # steps between two looks at the held-out loss
PROBES = {"Yesterday I": "past", "Tomorrow he": "future", "Ayer yo": "past", "Mañana yo": "future"}


def windows(grammar: Grammar, sentences: list[str], tokenizer: WordTokenizer, n: int, seed: int) -> Tensor:
    """n windows of WINDOW + 1 tokens, (n, WINDOW + 1) int64; each strings together sentences of one language."""
    rng = random.Random(seed)
    by_language: dict[str, list[list[int]]] = {code: [] for code in grammar.languages}
    for sentence in sentences:
        first = sentence.split()[0]
        code = next(c for c in grammar.languages if first in grammar.language(c).words)
        by_language[code].append(tokenizer.encode(sentence))
    rows = []
    for _ in range(n):
        pool = by_language[pick(rng, list(by_language))]
        row: list[int] = []
        while len(row) <= WINDOW:
            row += pick(rng, pool)
        rows.append(row[: WINDOW + 1])
    return torch.tensor(rows)


def loss_of(model: MiniGPT, batch: Tensor) -> Tensor:
    """Mean cross entropy of the next token, in nats. batch (n, WINDOW + 1)."""
    return F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


def grammaticality(model: MiniGPT, grammar: Grammar, n_prompts: int = 200, seed: int = 77) -> tuple[int, int]:
    """(agreeing, all) finished sentences among what the model says after n_prompts sampled prompts, 48 tokens each,
    at temperature 1. A sentence agrees when the grammar's judge finds no fault: tense, person and order."""
    tokenizer = WordTokenizer.from_grammar()
    prompts = [p.text for p in sample_prompts(seed, n_prompts // 2, n_prompts // 2, 0)]
    answers = generate(prompts, 48, seed=seed, model=model)
    texts = [tokenizer.decode(tokenizer.encode(p) + a) for p, a in zip(prompts, answers, strict=True)]
    judged = [j for text in texts for j in grammar.judge(text, complete_only=True)]
    return sum(j.agrees for j in judged), len(judged)


def tense_preference(model: MiniGPT, grammar: Grammar, prompt: str) -> dict[str, float]:
    """The probability the model gives after a prompt to each tense: the sum over the words that may stand there."""
    tokenizer = WordTokenizer.from_grammar()
    with torch.no_grad():
        p = model(torch.tensor([tokenizer.encode(prompt)]), last_only=True)[0].softmax(-1).tolist()
    share: dict[str, float] = {}
    for word, mass in zip(tokenizer.vocabulary, p, strict=True):
        for tense in grammar.tense_of(word):
            share[tense] = share.get(tense, 0.0) + mass
    return {tense: round(mass, 4) for tense, mass in sorted(share.items(), key=lambda item: -item[1])}


@click.command(help=__doc__.split("\n")[0])
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/minigpt"), show_default=True)
@click.option("--steps", default=1500, show_default=True, help=f"Batches of {BATCH} windows.")
@click.option("--seed", default=17, show_default=True)
@click.option("--sentences", default=24_000, show_default=True, help="Distinct sentences; a twelfth is held out.")
def main(out: Path, steps: int, seed: int, sentences: int) -> None:
    seed_everything(seed)
    grammar, tokenizer = load_grammar(), WordTokenizer.from_grammar()
    corpus = grammar.corpus(sentences, seed)
    cut = sentences - sentences // 12
    data = windows(grammar, corpus[:cut], tokenizer, BATCH * steps, seed)
    held_out = windows(grammar, corpus[cut:], tokenizer, 64, seed + 1)
    config = Config(vocab_size=tokenizer.vocab_size)
    model = MiniGPT(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, betas=(0.9, 0.95), weight_decay=0.05)
    warm = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: 4e-3 * min((i + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * min(1.0, i / steps)))
    )
    losses: list[float] = []
    curve: list[tuple[int, float, float]] = []  # (step, mean training loss since the last entry, held-out loss)
    started = time.perf_counter()
    with use_ops("stock"), tqdm(range(steps), desc="training", unit="step") as bar:
        for step in bar:
            loss = loss_of(model, data[BATCH * step : BATCH * step + BATCH])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if step % EVERY == EVERY - 1 or step == steps - 1:
                with torch.no_grad():
                    curve.append((step + 1, sum(losses) / len(losses), loss_of(model, held_out).item()))
                bar.set_postfix(loss=f"{curve[-1][1]:.3f}", held_out=f"{curve[-1][2]:.3f}")
                losses = []
    seconds = time.perf_counter() - started
    model.eval().requires_grad_(False)

    agreeing, judged = grammaticality(model, grammar)
    weights = save({name: x.contiguous() for name, x in model.state_dict().items()})
    about = {
        "name": "minigpt",
        "config": asdict(config),
        "parameters": sum(p.numel() for p in model.parameters()),
        "corpus": {
            "sentences": sentences,
            "held_out": sentences // 12,
            "seed": seed,
            "verb_forms": grammar.n_verb_forms,
        },
        "training": {"steps": steps, "batch": BATCH, "window": WINDOW, "seed": seed, "seconds": round(seconds)},
        "loss": {"train": round(curve[-1][1], 4), "held_out": round(curve[-1][2], 4), "unit": "nats a token"},
        "grammaticality": {"agreeing": agreeing, "sentences": judged, "share": round(agreeing / max(judged, 1), 4)},
        "tense_preference": {prompt: tense_preference(model, grammar, prompt) for prompt in PROBES},
        "versions": {"torch": torch.__version__.split("+")[0]},
        "date": date.today().isoformat(),
        "vocabulary_sha256": tokenizer.fingerprint(),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "minigpt.safetensors").write_bytes(weights)
    (out / "minigpt.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "README.md").write_text(card_text(about), encoding="utf-8")
    figures.loss_curve(*zip(*curve, strict=True)).savefig(out / "loss.png", dpi=120)
    click.echo(card_text(about))
    click.echo(f"Written to {out}. To ship it, copy the folder over src/courselib/weights.")


def card_text(about: dict) -> str:
    """The model card as Markdown, drawn from its JSON."""
    config, corpus, training, loss, judged = (
        SimpleNamespace(**about[key]) for key in ("config", "corpus", "training", "loss", "grammaticality")
    )
    heads = f"{config.n_heads} query heads, {config.n_kv_heads} key/value heads"
    facts = {
        "shape": f"{config.n_layers} layers, D {config.dim}, {heads}, {config.activation} F {config.ff_dim}, "
        f"vocabulary {config.vocab_size}, {config.max_slots} slots, float32",
        "corpus": f"{corpus.sentences:,} distinct sentences over {corpus.verb_forms} verb forms, seed {corpus.seed}, "
        f"{corpus.held_out:,} of them held out",
        "training": f"{training.steps} steps of {training.batch} windows of {training.window} tokens, "
        f"seed {training.seed}, {training.seconds} s on 2 CPU cores, torch {about['versions']['torch']}",
        "loss": f"{loss.train} training (last {EVERY} steps), {loss.held_out} held out, {loss.unit}",
        "grammaticality": f"{judged.agreeing} of {judged.sentences} sampled sentences agree in tense, person and order "
        f"({judged.share:.1%})",
        "sha256": f"`{about['sha256']}`",
        "date": about["date"],
    }
    table = "\n".join(f"| {name} | {fact} |" for name, fact in facts.items())
    shares = "\n".join(
        f"| {prompt} | " + ", ".join(f"{tense} {mass:.1%}" for tense, mass in list(share.items())[:2]) + " |"
        for prompt, share in about["tense_preference"].items()
    )
    return f"""# Model card: MiniGPT

A decoder-only transformer of {about["parameters"]:,} parameters, trained from nothing on this course's own verb grammar
in English and Spanish. It exists to be cached, dumped and compared byte for byte; it knows tenses, and nothing else.

| | |
|---|---|
{table}

What it expects next, by tense (a form that may be past or present counts for both):

| after | probability |
|---|---|
{shares}

![Loss over training](loss.png)

Made by `python -m courselib.train`. The words it was trained on are fixed by the grammar; when they change, it must be
trained again, and loading says so.
"""


if __name__ == "__main__":
    main()
