"""Lab 03: what decoding costs, in whole numbers.

Your work: TODO 1 to 4 here, 5 to 7 in fit.py, 8 in plot.py, 9 in predict.py. The file runs as it is, and the checker
will tell you what is still open. The brief says what is counted; measure.py prints your numbers beside counted ones.

c is a courselib.minigpt.Config: c.n_layers (L), c.dim (D), c.n_heads (H), c.n_kv_heads (H_kv), c.head_dim (d_h),
c.ff_dim (F), c.vocab_size (V), c.activation ("swiglu" or "gelu"), c.tied_head. B batch, T tokens of each sequence in
this call, S slots held before it, size bytes a number. Whole numbers: / gives a float, // does not.
"""

from courselib.minigpt import Config


def flops(c: Config, B: int, T: int, S: int) -> int:
    """Of one forward pass: T tokens a sequence, S slots held, logits for each sequence's last token."""
    # TODO 1: the products with the matrices of each layer (read minigpt.py: there are four calls of linear), the head,
    # and attention's two products. How many slots does token t of the call see?
    return 0


def weight_bytes(c: Config, size: int) -> int:
    """Of weights read by one forward pass: each matrix of TODO 1 once, whatever B and T are."""
    # TODO 2: the same matrices as above. What if the head is tied?
    return 0


def kv_bytes_read(c: Config, B: int, T: int, S: int, size: int) -> int:
    """Of K and V read by one forward pass: attention reads each slot once, those of this call too."""
    # TODO 3: how many numbers are in one slot of one sequence, K and V, in all layers? The other two follow from it.
    return 0


def kv_bytes_written(c: Config, B: int, T: int, size: int) -> int:
    """Of K and V written by one forward pass with a cache."""
    # TODO 3
    return 0


def cache_bytes(c: Config, B: int, slots: int, size: int) -> int:
    """Of memory, for a cache that holds this many slots a sequence."""
    # TODO 3
    return 0


def generation(c: Config, B: int, prompt: int, new: int, cache: bool, size: int) -> dict[str, int]:
    """All of generate(B prompts of `prompt` tokens, new, cache=cache): of the first four, the sums over its passes, and
    the memory of what the cache holds at the end."""
    # TODO 4: which T and S has each pass? With a cache the prompt is one pass. Without one, nothing is written to it
    # and nothing held: both are 0, and what attention reads are the rows that the pass itself has made.
    return {"flops": 0, "weight_bytes": 0, "kv_bytes_read": 0, "kv_bytes_written": 0, "cache_bytes": 0}
