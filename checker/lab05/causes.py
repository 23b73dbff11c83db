"""What usually lies behind a failure: said in general, never the fix itself."""

NOT_CLOSE = [
    "the last tile of a sum, a row or a column is not masked, or is filled with something that counts",
    "the sum is kept in float16, or (on a GPU) tl.dot rounds float32 to TF32",
    "a stride is taken for another: the second matrix may lie column by column, and dim need not be the last",
]
NOT_SAME = [
    "a tile, a chunk or a number of parts is chosen from the number of rows",
    "the place of a row in the batch decides how it is added up",
    "something of the next row gets in: a mask too wide, a maximum shared, a zero times NaN",
]
NOT_REGISTERED = [
    "the name is registered for another device than the tensors are on",
    "torch.log_softmax and torch.mean come down to ops with other names; the brief says which",
    "what is done on the way out is not done when the block ends with an exception",
]
MISSED = [
    "too few populations, places or lengths: where would this kernel behave differently?",
    "the neighbours are always finite, or the compared row is always the first",
    "values are compared, not bytes",
]
FALSE_ALARM = [
    "rows are compared that need not be equal",
    "a NaN is held to differ from itself: words are compared, not values",
]
NO_DATA = [
    "it writes beside itself instead of into the folder that --out names",
]
