"""The published causes, one of which a diagnosis names: what the cache does, said so that data can tell them apart."""

from checker.language import N_

CAUSES = {
    "other-slot": N_("a new row is missing from its own slot and stands in another"),
    "not-written": N_("a new row is written nowhere"),
    "overwritten": N_("a new row stands in its own slot, and is written over an older one too"),
    "wrong-mask": N_("q, k and v are right, and attention sees other slots than it may, or one of them twice"),
    "other-position": N_("q and k are both rotated for another position than their own"),
    "rotated-twice": N_("q is right, and k is rotated once more than q"),
    "other-layer": N_("k and v are those of another layer"),
    "heads-swapped": N_("one head's rows are another head's"),
    "k-and-v": N_("k stands where v belongs, or each in the other's place"),
    "fewer-bits": N_("new rows are near the right ones, and their last bits are all zero"),
    "one-bit": N_("one number of one row is one ULP away, and all others around it are right"),
}
