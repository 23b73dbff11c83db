"""Lab 03, done for you: which costs are asked for, which steps are timed, and the model that the prediction is about.

Plain data. The letters are the course's: B batch, T tokens in this call, S slots held before it, n the length a step
ends with. The checker brings its own copy of this file.
"""

from collections.abc import Iterator

# ---- shapes of models: what courselib.minigpt.Config takes -----------------------------------------------------------

MINIGPT = {
    "vocab_size": 719, "n_layers": 4, "dim": 128, "n_heads": 4, "n_kv_heads": 2, "ff_dim": 256,
    "activation": "swiglu", "tied_head": False,
}  # fmt: skip
GELU = {**MINIGPT, "vocab_size": 300, "n_layers": 3, "ff_dim": 160, "activation": "gelu"}
TIED = {**MINIGPT, "vocab_size": 500, "dim": 96, "n_heads": 6, "n_kv_heads": 6, "tied_head": True}
ONE_KV_HEAD = {**MINIGPT, "n_layers": 2, "dim": 64, "n_heads": 8, "n_kv_heads": 1}

# The shape of Llama 3 8B (Grattafiori and others, 2024), and what it is stored in: bfloat16.
LARGE = {
    "vocab_size": 128_256, "n_layers": 32, "dim": 4096, "n_heads": 32, "n_kv_heads": 8, "ff_dim": 14_336,
    "activation": "swiglu", "tied_head": False,
}  # fmt: skip
LARGE_SIZE = 2  # bytes a number
SLOTS = 32_768  # the length that the prediction is about

# ---- what costs.py is asked for, and what is counted beside it -------------------------------------------------------

STEPS = [  # shape, B, T, S
    (MINIGPT, 1, 8, 0),  # a prefill; or a whole pass without a cache
    (MINIGPT, 1, 1, 31),  # a decode step
    (MINIGPT, 2, 5, 12),  # a chunk that goes onto a warm cache, twice
    (GELU, 3, 1, 20),
    (TIED, 1, 16, 0),
    (ONE_KV_HEAD, 4, 1, 40),
]
GENERATIONS = [  # shape, B, tokens of the prompt, new tokens, with a cache?
    (MINIGPT, 1, 8, 6, True),
    (MINIGPT, 1, 8, 6, False),
    (GELU, 2, 5, 1, True),
    (GELU, 2, 5, 4, False),
    (TIED, 3, 4, 9, True),
]


def steps() -> list[dict]:
    return [make_step(f"s{i}", *what, size=4) for i, what in enumerate(STEPS)]


def generations() -> list[dict]:
    return [make_generation(f"g{i}", *what, size=4) for i, what in enumerate(GENERATIONS)]


def make_step(name: str, shape: dict, B: int, T: int, S: int, size: int) -> dict:
    return {"id": name, "shape": shape, "B": B, "T": T, "S": S, "size": size}


def make_generation(name: str, shape: dict, B: int, prompt: int, new: int, cache: bool, size: int) -> dict:
    return {"id": name, "shape": shape, "B": B, "prompt": prompt, "new": new, "cache": cache, "size": size}


# ---- what is timed ---------------------------------------------------------------------------------------------------

LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096)  # at B = 1
BATCHES = (1, 2, 4, 8, 16)  # at n = BATCH_LENGTH
BATCH_LENGTH = 256
WARMUP, REPEATS = 1, 5  # rounds; the samples of the first WARMUP rounds are kept too, and are not to be used
ORDER_SEED = 3
SERIES = [(sweep, cache) for sweep in ("length", "batch") for cache in (True, False)]


def grid() -> Iterator[dict]:
    """Every point, in the order of results.json. n tokens: the step sees n, and with a cache n - 1 of them are held."""
    for sweep, cache in SERIES:
        for value in LENGTHS if sweep == "length" else BATCHES:
            B, n = (1, value) if sweep == "length" else (value, BATCH_LENGTH)
            yield {"sweep": sweep, "cache": cache, "B": B, "n": n}
