"""A copy of courselib whose model has other weights: what is computed with it is other too, what was learned by heart
is not. Imports torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from safetensors.torch import load_file, save

from checker.lab02.zoo import SOUND, Planted, plant
from courselib.minigpt import CARD, WEIGHTS


def other_weights(folder: Path) -> str:
    """Puts the copy into ``folder``, to stand first on a path. Answers the sha256 that its manifests then name."""
    plant(Planted.drawn(SOUND, ""), folder)
    weights, card = (folder / "courselib" / "weights" / path.name for path in (WEIGHTS, CARD))
    weights.write_bytes(save({name: 0.75 * x for name, x in load_file(WEIGHTS).items()}))
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    about = json.loads(card.read_text(encoding="utf-8"))
    card.write_text(json.dumps({**about, "sha256": digest}), encoding="utf-8")
    return digest
