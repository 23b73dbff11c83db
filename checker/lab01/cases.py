"""Lab 01, done for you: the scripts of operations that your cache is put through, and the numbers in them.

A case is one cache and what is done to it, operation by operation:

    {"id", "block": "A" to "D", "cache": "contiguous" | "paged", "layers", "batch", "kv_heads", "head_dim", "dtype",
     "slots": max_slots, or the slots of a page, "pages": null, or how many, "seed", "ops": [{"do": ...}, ...]}

Operation 0 makes the cache. A generation is a call of `generate` with your cache: prompts, seeds, and what happens to
the cache before and in between. All of them follow from seeds, so that `python exercise.py --seed N` draws again what
the checker drew. The checker brings its own copy of this file.
"""

import random
from typing import Any

import numpy as np

from courselib.grammar.prompts import sample_prompts

CASE_SEED = 1
N_HIDDEN = {"A": 8, "B": 10, "C": 6, "D": 4}
FORMATS = {"float16": (16, 10, 15), "bfloat16": (16, 7, 127), "float32": (32, 23, 127), "float64": (64, 52, 1023)}
# What slots are filled with before anything is written: a NaN with a mark of its own, or a number (777).
FILLS = {
    "nan": {"float32": 0x7FC0DEAD, "float16": 0x7EAD, "bfloat16": 0x7FDE},
    "number": {"float32": 0x44424000, "float16": 0x6212, "bfloat16": 0x4442},
}
# And what the tensors that were handed to append are overwritten with as soon as it has returned.
GONE = {"float32": 0x7FC0FADE, "float16": 0x7EFA, "bfloat16": 0x7FFA}

Op = dict[str, Any]


# ---- the numbers --------------------------------------------------------------------------------------------------


def words(seed: int, op: int, which: int, shape: list[int], dtype: str) -> np.ndarray:
    """The raw words of k (which 0) or v (1) of operation `op`: numbers of many sizes, and some that are none.

    Among them are -0.0, infinity, NaN, the smallest and the largest number: a cache moves words and looks at none. The
    stream of Philox (Salmon et al., 2011) is the same in every NumPy.
    """
    width, fraction, bias = FORMATS[dtype]
    raw = np.random.Philox(key=(seed << 64) + 2 * op + which).random_raw(int(np.prod(shape)))
    places = ((63, 1), (56, 7), (50, 63), (44, 63), (0, 2**fraction - 1))
    sign, exponent, which_odd, is_odd, rest = (raw >> np.uint64(shift) & np.uint64(mask) for shift, mask in places)
    usual = sign << np.uint64(width - 1) | exponent + np.uint64(bias - 5) << np.uint64(fraction) | rest
    infinity = ((1 << (width - 1 - fraction)) - 1) << fraction
    odd = np.array([1 << (width - 1), 1, infinity, infinity | 1 << (fraction - 1) | 5, infinity - 1], np.uint64)
    return np.where(is_odd < 2, odd[which_odd % np.uint64(5)], usual).astype(f"uint{width}").reshape(shape)


# ---- writing a script ---------------------------------------------------------------------------------------------


class Script:
    """A case, operation by operation."""

    def __init__(
        self, name: str, block: str, seed: int, layers: int, batch: int, kv_heads: int, slots: int, head_dim: int,
        dtype: str = "float32", pages: int | None = None,
    ) -> None:  # fmt: skip
        self.case: dict[str, Any] = {
            "id": name, "block": block, "cache": "paged" if pages else "contiguous", "layers": layers, "batch": batch,
            "kv_heads": kv_heads, "head_dim": head_dim, "dtype": dtype, "slots": slots, "pages": pages, "seed": seed,
            "ops": [{"do": "make"}],
        }  # fmt: skip
        self.held = [0] * batch

    def do(self, what: str, **arguments: Any) -> "Script":
        self.case["ops"].append({"do": what, **arguments})
        return self

    def append(self, layer: int, T: int, count: list[int] | None = None, **wrong: Any) -> "Script":
        """T rows for every sequence. `wrong`: another shape (k, v), dtype (k_dtype, v_dtype) or device."""
        c = self.case
        shape = [c["batch"], c["kv_heads"], T, c["head_dim"]]
        usual = {"k": shape, "v": shape, "k_dtype": c["dtype"], "v_dtype": c["dtype"], "device": "cpu", "count": count}
        return self.do("append", layer=layer, **usual | wrong)

    def feed(self, T: int, count: list[int] | None = None) -> "Script":
        """One forward pass, as the model makes it: each layer appends and reads before the next one runs."""
        for layer in range(self.case["layers"]):
            self.append(layer, T, count).do("read", layer=layer)
        self.held = [h + n for h, n in zip(self.held, count or [T] * len(self.held), strict=True)]
        return self.do("lengths")

    def look(self) -> "Script":
        """Everything that can be seen."""
        for layer in range(self.case["layers"]):
            self.do("read", layer=layer)
        return self.do("lengths").do("pages" if self.case["pages"] else "data")

    def truncate(self, n: int) -> "Script":
        self.held = [n] * len(self.held)
        return self.do("truncate", n=n)

    def reset(self) -> "Script":
        self.held = [0] * len(self.held)
        return self.do("reset")


# ---- the lab's own ------------------------------------------------------------------------------------------------


def lab_cases() -> list[dict]:
    made = [
        Script("a0", "A", 10, 1, 1, 1, 6, 4).feed(1).feed(1).feed(1).look(),
        Script("a1", "A", 11, 2, 1, 2, 8, 4).feed(3).feed(1).feed(1).look(),
        Script("a2", "A", 12, 2, 1, 2, 8, 4).do("fill", value="nan").feed(2).feed(3).feed(1).look(),
        Script("a3", "A", 13, 2, 3, 2, 6, 4).feed(4).feed(1).feed(1).look(),
        Script("a4", "A", 14, 2, 3, 2, 8, 4).feed(4, [4, 1, 2]).feed(1).feed(2, [0, 2, 1]).look(),
        Script("a5", "A", 15, 2, 3, 1, 6, 4).do("fill", value="nan").feed(3, [1, 3, 0]).feed(3, [3, 3, 3]).look(),
        Script("a6", "A", 16, 1, 2, 2, 5, 3, "bfloat16").do("fill", value="number").feed(4, [2, 4]).feed(1).look(),
    ]
    refused = [
        ("b0", lambda s: s.append(0, 2)),  # one more than there is room for
        ("b1", lambda s: s.append(1, 3, [0, 2, 3])),  # the last sequence alone does not fit
        ("b2", lambda s: s.append(0, 1, k=[3, 1, 1, 4])),
        ("b3", lambda s: s.append(1, 2, v=[3, 2, 1, 4], count=[1, 1, 0])),
        ("b4", lambda s: s.append(0, 1, v_dtype="float64")),
        ("b5", lambda s: s.append(0, 1, [1, 1])),
        ("b6", lambda s: s.append(1, 1, [0, 2, 0])),
    ]
    for i, (name, wrong) in enumerate(refused):
        script = Script(name, "B", 20 + i, 2, 3, 2, 6, 4).do("fill", value="number").feed(5, [4, 3, 5]).look()
        wrong(script)
        made.append(script.look().feed(1).look())
    made += [
        Script("c0", "C", 30, 2, 2, 2, 8, 4).feed(5).truncate(3).look().feed(1).feed(1).look(),
        Script("c1", "C", 31, 2, 2, 2, 8, 4).feed(5, [5, 3]).reset().look().feed(4, [1, 4]).look(),
        Script("c2", "C", 32, 2, 2, 1, 6, 4).feed(5, [5, 2]).do("truncate", n=3).look().do("truncate", n=-1).look(),
        Script("c3", "C", 33, 1, 2, 1, 6, 4).do("first", first=[0, 2]).feed(4).do("truncate", n=1).look()
        .truncate(3).look().reset().do("first", first=None).look(),
    ]  # fmt: skip
    made += [
        Script("d0", "D", 40, 2, 2, 2, 4, 3, pages=4).feed(5, [5, 2]).look().feed(1).feed(2).look(),
        Script("d1", "D", 41, 1, 2, 1, 2, 3, pages=4).do("fill", value="nan").feed(6, [6, 1]).look()
        .do("release", sequence=0).look().feed(5, [0, 5]).look(),
        Script("d2", "D", 42, 2, 2, 1, 2, 3, pages=5).feed(4, [4, 3]).look().append(0, 2, [1, 2])
        .do("pages", unchanged=True).look().do("release", sequence=1).feed(3, [3, 0]).look(),
        Script("d3", "D", 43, 1, 3, 1, 3, 2, "float16", pages=5).feed(4, [4, 1, 3]).reset().look().feed(5, [2, 5, 0])
        .look(),
    ]  # fmt: skip
    return [script.case for script in made]


# ---- drawn afresh -------------------------------------------------------------------------------------------------


def hidden_cases(seed: int) -> list[dict]:
    rng = random.Random(seed)
    draw = {"A": _rows, "B": _refused, "C": _forgotten, "D": _paged}
    return [draw[block](rng, f"h{block.lower()}{i}", i).case for block, n in N_HIDDEN.items() for i in range(n)]


def _script(rng: random.Random, name: str, block: str, batch: int) -> Script:
    layers, kv_heads, slots, head_dim = rng.randint(2, 3), rng.randint(2, 3), rng.randint(8, 13), rng.randint(3, 6)
    dtype = rng.choice(["float32", "float32", "float16", "bfloat16"])
    script = Script(name, block, rng.randrange(2**31), layers, batch, kv_heads, slots, head_dim, dtype)
    return script.do("fill", value=rng.choice(["nan", "number"])) if rng.random() < 0.7 else script


def _counts(rng: random.Random, script: Script, T: int, room: int) -> list[int]:
    """Unequal, within T, and within what there is room for."""
    return [rng.randint(0, min(T, room - held)) for held in script.held]


def _fed(rng: random.Random, script: Script, passes: int, room: int) -> Script:
    """Some passes, in step or not, that leave no sequence with more than `room` slots."""
    for i in range(passes):
        left = room - max(script.held)
        T = rng.randint(1, 4) if i == 0 else rng.choice([1, 1, 2, 3])
        if left >= T and rng.random() < 0.4:
            script.feed(T)
        else:
            script.feed(T, _counts(rng, script, T, room))
    return script


def _rows(rng: random.Random, name: str, i: int) -> Script:
    script = _script(rng, name, "A", 1 if i < 2 else rng.randint(2, 4))
    slots = script.case["slots"]
    _fed(rng, script, rng.randint(4, 6), slots)
    return script.feed(max(slots - min(script.held), 1), [slots - held for held in script.held]).look()  # to the brim


def _refused(rng: random.Random, name: str, i: int) -> Script:
    batch = rng.randint(2, 4)
    script = _script(rng, name, "B", batch)
    c = script.case
    _fed(rng, script, 3, c["slots"] - 2).feed(1).look()
    B, H, d, layer = batch, c["kv_heads"], c["head_dim"], rng.randrange(c["layers"])
    # A row more than there is room for, in one sequence alone: never the first, so that others could go before it.
    full = rng.randrange(1, batch)
    over = c["slots"] - script.held[full] + 1
    few = [min(over, c["slots"] - held) for held in script.held]
    beyond = [over if b == full else rng.randint(0, few[b]) for b in range(B)]
    other = "float16" if c["dtype"] != "float16" else "bfloat16"
    wrong: list[dict[str, Any]] = [
        {"T": over, "count": beyond},
        {"T": c["slots"] + 1},
        {"T": 1, "k": [B, H + 1, 1, d], "v": [B, H + 1, 1, d]},
        {"T": 2, "v": [B, H, 1, d], "count": [0] * B},
        {"T": 1, "v": [B, H, 1, d + 1]},
        {"T": 1, rng.choice(["k", "v"]): [1, H, 1, d]},
        {"T": 1, rng.choice(["k_dtype", "v_dtype"]): rng.choice([other, "float64"])},
        {"T": 1, "device": "meta"},
        {"T": 1, "count": [1] * (B + rng.choice([-1, 1]))},
        {"T": 2, "count": [0] * (B - 1) + [rng.choice([-1, 3])]},
    ]
    script.append(layer, **wrong[i % len(wrong)]).look()
    return script.feed(1, [1 if b != full else 0 for b in range(B)]).look()


def _forgotten(rng: random.Random, name: str, i: int) -> Script:
    script = _script(rng, name, "C", rng.randint(1, 3) if i else 1)
    slots, batch = script.case["slots"], script.case["batch"]
    if i % 3 == 2:
        script.do("first", first=[rng.randint(0, 2) for _ in range(batch)])
    _fed(rng, script, 2, slots - 3).feed(3)
    if i % 2:
        script.do("truncate", n=min(script.held) + 1).look()  # more than one of them holds
    if i % 3 == 2:
        script.do("first", first=[rng.randint(1, 2) for _ in range(batch)]).do("truncate", n=0).look()
        script.do("first", first=None)
    script.truncate(rng.randint(2, min(script.held) - 1)).look()
    _fed(rng, script, 2, slots).look()
    script.reset().do("first", first=None).look()
    return _fed(rng, script, 2, slots).look()


def _paged(rng: random.Random, name: str, i: int) -> Script:
    layers, kv_heads, head_dim, batch = rng.randint(1, 3), rng.randint(1, 2), rng.randint(3, 5), rng.randint(2, 4)
    size = rng.randint(2, 4)
    dtype = rng.choice(["float32", "float16"])
    lengths = [rng.randint(0, 7) for _ in range(batch)]
    lengths[rng.randrange(batch)] = 2 * size + 1
    needed = [-(-n // size) for n in lengths]
    pages = sum(needed) + 1
    script = Script(name, "D", rng.randrange(2**31), layers, batch, kv_heads, size, head_dim, dtype, pages)
    script.do("fill", value="nan")
    for start in range(0, max(lengths), 3):  # in pieces, until one page is free
        script.feed(3, [min(max(n - start, 0), 3) for n in lengths])
    script.look()
    # The first and the last sequence each need a page more. Either could have it, both cannot.
    more = [needed[b] * size - lengths[b] + 1 if b in (0, batch - 1) else 0 for b in range(batch)]
    script.append(0, max(more), more).do("pages", unchanged=True).look()
    gone = max(range(batch), key=lambda b: needed[b])
    script.do("release", sequence=gone).look()
    other = (gone + 1) % batch
    spare = (needed[gone] + needed[other] + 1) * size - lengths[other]  # what now fits into `other`
    script.feed(spare, [spare if b == other else 0 for b in range(batch)]).look()
    whole = pages * size  # and now the last sequence takes all there is
    return script.reset().look().feed(whole, [0] * (batch - 1) + [whole]).look()


# ---- generations --------------------------------------------------------------------------------------------------


def generation(name: str, prompts: list[str], seed: int, **more: Any) -> dict:
    """One call of generate. What may be set besides: `cache`, `new` tokens, `padding`, `chunk` (of the prefill);
    `fill`: what stands in every slot at first; `before`: prompts that go through the cache and are reset; `cut`: how
    many of the last tokens are prefilled, truncated and fed again; `poke`: a row that is overwritten, after the
    prompt but for its last token: layer, pair (0 is K), sequence, head, slot."""
    usual = {"cache": "contiguous", "new": 10, "padding": "right", "chunk": None, "fill": "nan", "before": None}
    return {"id": name, "prompts": prompts, "seeds": [seed + i for i in range(len(prompts))]} | usual | {
        "cut": 0, "poke": None, "page_size": None,
    } | more  # fmt: skip


def lab_generations() -> list[dict]:
    return _generations("g", CASE_SEED, 500, 0)


def hidden_generations(seed: int) -> list[dict]:
    rng = random.Random(f"generations/{seed}")
    return _generations("hg", rng.randrange(2**31), rng.randrange(2**31), rng.randrange(2**16))


def _generations(name: str, prompt_seed: int, seed: int, turn: int) -> list[dict]:
    short = [p.text for p in sample_prompts(prompt_seed, n_adverbial=4, n_partial=6, n_mixed=3)]
    few, some, long = short[:4], short[4:10], short[10:]
    batch = [few[1], some[0], long[0]]
    poked = {"layer": turn % 4, "sequence": 0, "head": turn % 2, "slot": turn % 3}
    return [
        generation(f"{name}0", few[:1], seed),
        generation(f"{name}1", some[1:2], seed + 10, fill="number"),
        generation(f"{name}2", long[1:2], seed + 20, chunk=4),
        generation(f"{name}3", batch, seed + 30),
        generation(f"{name}4", batch, seed + 40, padding="left", fill="number"),
        generation(f"{name}5", some[2:4], seed + 50, before=some[4:6]),
        generation(f"{name}6", long[2:3], seed + 60, cut=4),
        generation(f"{name}7", some[5:6], seed + 70, new=3, poke={**poked, "pair": 0}),
        generation(f"{name}8", some[1:2], seed + 80, new=3, poke={**poked, "pair": 1}),
        generation(f"{name}9", batch, seed + 90, cache="paged", page_size=4),
    ]
