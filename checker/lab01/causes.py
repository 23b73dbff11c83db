"""What usually lies behind a failure: said in general, never the fix itself."""

from checker.language import N_

WORDS = [
    N_("a cursor is kept for each layer and each sequence, and moved on by what that sequence really got"),
    N_("an index stands for another: layer, pair, sequence, head, slot, in this order"),
    N_("what is behind a cursor is not left as it was: padding is not written, and what is forgotten is zeroed"),
]
SHAPE = [
    N_("S is the longest sequence's cursor in that layer, no more and no less"),
    N_("a dimension was dropped, or two were exchanged"),
]
NUMBERS = [
    N_("the cursor moves by count, and where there is none by T"),
    N_("a refused call, truncate or reset left something as it should not be"),
]
EXCEPTION = [
    N_("a slice ends past the last slot, although the rows that count would fit"),
    N_("count may be None, and may be 0 for some sequences"),
]
REFUSED = [
    N_("PyTorch broadcasts a 1 and converts a dtype without a word: ask before you write"),
    N_("every sequence is to be looked at, not the first alone, and all of it before the first row is written"),
]
PAGES = [
    N_("pages are taken before it is known that there are enough"),
    N_("each layer takes pages of its own: a page has room for all layers"),
    N_("a released page stays in its table, or is put into free twice"),
]
STOPPED = [
    N_("read(layer) is called between the appends of one pass: it must show that layer's new rows at once"),
    N_("each sequence of a batch ends where its own rows end: count says how many are new"),
]
GENERATED = [
    N_("slots behind a cursor are read as if they held rows"),
    N_("read() gives something that is kept beside data, and not what data holds now"),
    N_("truncate, reset or first left something of an earlier sequence"),
]
