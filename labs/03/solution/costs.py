"""Lab 03: what decoding costs, in whole numbers. The brief says what is counted.

c is a courselib.minigpt.Config; B batch, T tokens in this call, S slots held before it, size bytes a number.
"""

from courselib.minigpt import Config


def layer_weights(c: Config) -> int:
    """Numbers in the four matrices of one layer."""
    qkv = c.dim * (c.n_heads + 2 * c.n_kv_heads) * c.head_dim
    gate_and_up = 2 if c.activation == "swiglu" else 1
    return qkv + c.dim * c.dim + (gate_and_up + 1) * c.dim * c.ff_dim


def head_weights(c: Config) -> int:
    """The head is read and multiplied with, whether it is a matrix of its own or the embedding's."""
    return c.dim * c.vocab_size


def flops(c: Config, B: int, T: int, S: int) -> int:
    """Of one forward pass: T tokens a sequence, S slots held, logits for each sequence's last token."""
    products = 2 * B * (T * c.n_layers * layer_weights(c) + head_weights(c))
    seen = T * S + T * (T + 1) // 2  # row t sees S + t + 1 slots, itself among them
    return products + 4 * B * c.n_layers * c.n_heads * c.head_dim * seen


def weight_bytes(c: Config, size: int) -> int:
    """Of one forward pass: each matrix once, whatever B and T are."""
    return (c.n_layers * layer_weights(c) + head_weights(c)) * size


def slot_bytes(c: Config, size: int) -> int:
    """K and V of one slot of one sequence, all layers."""
    return 2 * c.n_layers * c.n_kv_heads * c.head_dim * size


def kv_bytes_read(c: Config, B: int, T: int, S: int, size: int) -> int:
    """Of one forward pass: attention reads each slot once, those of this call too."""
    return B * (S + T) * slot_bytes(c, size)


def kv_bytes_written(c: Config, B: int, T: int, size: int) -> int:
    """Of one forward pass with a cache."""
    return B * T * slot_bytes(c, size)


def cache_bytes(c: Config, B: int, slots: int, size: int) -> int:
    """Of memory, for a cache with room for this many slots a sequence."""
    return B * slots * slot_bytes(c, size)


def generation(c: Config, B: int, prompt: int, new: int, cache: bool, size: int) -> dict[str, int]:
    """The sums over all passes of generate(prompts, new, cache=cache), and what the cache holds at the end."""
    if cache:  # the prompt, then each new token but the last, which nobody reads
        passes = [(prompt, 0)] + [(1, prompt + i) for i in range(new - 1)]  # (T, S)
    else:
        passes = [(prompt + i, 0) for i in range(new)]
    return {
        "flops": sum(flops(c, B, T, S) for T, S in passes),
        "weight_bytes": len(passes) * weight_bytes(c, size),
        "kv_bytes_read": sum(kv_bytes_read(c, B, T, S, size) for T, S in passes),
        "kv_bytes_written": sum(kv_bytes_written(c, B, T, size) for T, S in passes) if cache else 0,
        "cache_bytes": cache_bytes(c, B, prompt + new - 1, size) if cache else 0,
    }
