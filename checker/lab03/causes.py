"""What usually lies behind a failure: said in general, never the fix itself."""

from checker.language import N_

COSTS = {
    "flops": [
        N_("an operation is left out, or one is counted that the brief leaves out"),
        N_("a letter stands for another: H for H_kv, T for S, D for F"),
        N_("what a token sees: it is a sum over the tokens of the call"),
    ],
    "weight_bytes": [
        N_("a matrix is left out, or the embedding is taken for one"),
        N_("a letter stands for another: H for H_kv, D for F"),
    ],
    "kv_bytes_read": [N_("how many slots are there once the tokens of this call are in?")],
    "kv_bytes_written": [N_("which rows are new in this call?")],
    "cache_bytes": [N_("how many numbers does one slot hold, in all layers?")],
}
GENERATION = [
    N_("how many passes does it take to make n new tokens, and how many tokens has the model seen after the last?"),
    N_("what is held before the first decode step, and before the last?"),
]
MEDIAN = [N_("the samples that are there for warming up are among them"), N_("they are not sorted first")]
FIT = [
    N_("points outside the range are fitted too, or those at its ends are not"),
    N_("the logarithm of one of the two is missing, or the two are swapped"),
    N_("the prefactor is still a logarithm, or one of another base"),
]
