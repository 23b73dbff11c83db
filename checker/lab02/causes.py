"""What usually lies behind a failure: said in general, never the fix itself."""

NOT_EQUAL = [
    "the generator was not seeded again before the second path",
    "the run was on stock ops (use_ops), whose bytes depend on the batch's shape",
    "the cache's cursor is off by one, or its rows are rotated (RoPE) at another position",
    "every layer reads layer 0, or K and V are swapped",
]
OTHER_RUN = [
    "another seed, prompt, temperature or top_k than the case says",
    "one seed for all cases, or seeding once before the loop",
]
OTHER_BYTES = [
    "the digest is taken over another array: one step early or late, padding included, another axis order",
    "the bytes are not float32, little-endian, in C order",
    "the fixed run was on stock ops",
]
STALE = ["the script was changed after the file was written: run it again, then check again"]
SLOTS = [
    "the rows were read after another slot was written over them, or from another layer",
    "in one of the two paths the row stands at another position (RoPE)",
    "one of the two paths ran on stock ops",
    "slots.npz comes from an earlier run, or was changed since",
]
NO_DATA = [
    "the script stopped with an error: see the end of what it printed",
    "it writes beside itself instead of into the folder that --out names",
]
LET_PASS = [
    "rows are compared as numbers (!=, a tolerance) and not as words",
    "only tokens are compared, or only K and not V or the logits",
    "block C is not done, or its warm cache was never reset and truncated",
]
FALSE_ALARM = ["the verdict is decided by something else than the two arrays"]
NO_CACHE = [
    "both paths call generate with the same cache=",
    "the cached path starts with an empty cache at every step, and so prefills again",
]
NO_DATA_PLANTED = [
    "the script stops at the first difference (an assert, a raise) instead of writing it down",
    "it reads --prompts in another way than it did at first",
]
