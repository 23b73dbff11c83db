"""What usually lies behind a failure: said in general, never the fix itself."""

from checker.language import N_

NOT_EQUAL = [
    N_("the generator was not seeded again before the second path"),
    N_("the run was on stock ops (use_ops), whose bytes depend on the batch's shape"),
    N_("the cache's cursor is off by one, or its rows are rotated (RoPE) at another position"),
    N_("every layer reads layer 0, or K and V are swapped"),
]
OTHER_RUN = [
    N_("another seed, prompt, temperature or top_k than the case says"),
    N_("one seed for all cases, or seeding once before the loop"),
]
OTHER_BYTES = [
    N_("the digest is taken over another array: one step early or late, padding included, another axis order"),
    N_("the bytes are not float32, little-endian, in C order"),
    N_("the fixed run was on stock ops"),
]
STALE = [N_("the script was changed after the file was written: run it again, then check again")]
SLOTS = [
    N_("the rows were read after another slot was written over them, or from another layer"),
    N_("in one of the two paths the row stands at another position (RoPE)"),
    N_("one of the two paths ran on stock ops"),
    N_("slots.npz comes from an earlier run, or was changed since"),
]
NO_DATA = [
    N_("the script stopped with an error: see the end of what it printed"),
    N_("it writes beside itself instead of into the folder that --out names"),
]
PROMPT_IGNORED = [
    N_("one of the two paths, or the row of tokens, still takes the constant PROMPT"),
    N_("the number of slots is written down as 2, and not counted"),
]
LET_PASS = [
    N_("rows are compared as numbers (!=, a tolerance) and not as words"),
    N_("only tokens are compared, or only K and not V or the logits"),
    N_("block C is not done, or its warm cache was never reset and truncated"),
]
FALSE_ALARM = [N_("the verdict is decided by something else than the two arrays")]
NO_CACHE = [
    N_("both paths call generate with the same cache="),
    N_("the cached path starts with an empty cache at every step, and so prefills again"),
]
NO_DATA_PLANTED = [
    N_("the script stops at the first difference (an assert, a raise) instead of writing it down"),
    N_("it reads --prompts in another way than it did at first"),
]
