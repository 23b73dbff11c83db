"""Lab 02, block B: where two runs of a prompt part, and why.

Reads the case that `python -m checker bug --student NAME --out bug` wrote: the traces of one prompt with a planted
cache and without a cache. Says where they first differ, and writes diagnosis.json.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

from courselib import bits
from courselib.trace import Trace, first_divergence

# Layer 0, head 0, slot 5: K and V are all zeros there, from the step on that should have written them. No other slot
# holds the row that is missing, and every earlier row is right.
CAUSE = "not-written"


def traces(case: Path) -> dict[str, Trace]:
    """Both runs as `generate` would have traced them: the arrays are called PATH/STEP/LAYER/NAME."""
    found = {"cached": Trace(("q", "k", "v", "attention")), "uncached": Trace(("q", "k", "v", "attention"))}
    with np.load(case / "case.npz") as arrays:
        for key in arrays.files:  # in the order in which they were computed
            path, step, layer, name = key.split("/")
            trace, x = found[path], arrays[key]  # (heads, rows, d_h)
            if not trace.calls or trace.calls[-1].step != int(step):
                trace.step, fed = int(step), x.shape[1]  # q comes first: a row for each token that was fed
                held = arrays[f"{path}/{step}/{layer}/k"].shape[1]
                trace.begin(past=[held - fed], first=[0], count=[fed])
            trace.record(int(layer), name, torch.from_numpy(x)[None])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", type=Path, default=Path(__file__).parent / "bug", help="the folder with case.npz")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for diagnosis.json")
    args = parser.parse_args()

    about = json.loads((args.case / "case.json").read_text(encoding="utf-8"))
    runs = traces(args.case)
    first = first_divergence(runs["cached"], runs["uncached"])
    print(f"{about['student']}: {about['prompt']!r} then {len(about['tokens']['cached'])} tokens. They part at {first}")
    rows = [runs[path].slots() for path in ("cached", "uncached")]  # after the last step, (L, H_kv, S, d_h) each
    for name, a, b in zip("KV", *rows, strict=True):
        print(f"{name}: slots that differ in layer {first.layer}, by head:")
        print((bits.words(a) != bits.words(b)).any(axis=-1)[first.layer].astype(int))

    diagnosis = {
        "schema": "lab02.diagnosis/1",
        "student": about["student"],
        "step": first.step,
        "layer": first.layer,
        "head": first.head,
        "slot": first.slot,
        "cause": CAUSE,
    }
    (args.out / "diagnosis.json").write_text(json.dumps(diagnosis, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
