"""What usually lies behind a failure: said in general, never the fix itself."""

from checker.language import N_

NOT_CLOSE = [
    N_("the last tile of a sum, a row or a column is not masked, or is filled with something that counts"),
    N_("the sum is kept in float16, or (on a GPU) tl.dot rounds float32 to TF32"),
    N_("a stride is taken for another: the second matrix may lie column by column, and dim need not be the last"),
]
NOT_SAME = [
    N_("a tile, a chunk or a number of parts is chosen from the number of rows"),
    N_("the place of a row in the batch decides how it is added up"),
    N_("something of the next row gets in: a mask too wide, a maximum shared, a zero times NaN"),
]
NOT_REGISTERED = [
    N_("the name is registered for another device than the tensors are on"),
    N_("torch.log_softmax and torch.mean come down to ops with other names; the brief says which"),
    N_("what is done on the way out is not done when the block ends with an exception"),
]
MISSED = [
    N_("too few populations, places or lengths: where would this kernel behave differently?"),
    N_("the neighbours are always finite, or the compared row is always the first"),
    N_("values are compared, not bytes"),
]
NOT_SEEN = [
    N_("the verdict is decided by something else than the bytes of two calls: the source, a name, a tolerance"),
    N_("rows are compared that are not the same row"),
]
NOT_THE_KERNELS = [
    N_("the launcher returns another tensor than the one the kernel writes to"),
    N_("what PyTorch computed is returned, and the kernel only launched"),
    N_("the last step, a division by the length say, was left to the launcher: it belongs in the kernel"),
]
FALSE_ALARM = [
    N_("rows are compared that need not be equal"),
    N_("a NaN is held to differ from itself: words are compared, not values"),
]
