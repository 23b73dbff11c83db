"""generate with the student's cache, against the run without one: the first row of K, V or logits that is another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from checker.gate_npz import Array
from checker.lab01 import causes
from checker.lab01.cases import FILLS
from checker.lab01.faults import Fault, of_words
from checker.lab01.reading import CACHE
from checker.lab01.schemas import AskGeneration, Generation
from checker.language import _, told
from checker.report import Finding, Rows
from courselib import bits

if TYPE_CHECKING:
    from checker.lab01.recompute import Row

Arrays = dict[str, list[Array]]  # "k", "v", "logits": of each prompt


def judge(
    ask: AskGeneration, entry: Generation, given: Arrays, right: Sequence[Row], unpoked: Sequence[Row]
) -> Finding | None:
    """None if every byte is right. ``unpoked``: what it would be if no row were overwritten."""
    fault = _stopped(entry) or _first_row(ask, given, right, unpoked) or _logits(given, right)
    if fault is None:
        return None
    return Finding(
        kind="mismatch",
        file=CACHE,
        where=f"{describe(ask)}{fault.place}",
        expected=fault.expected,
        found=fault.found,
        message=fault.message,
        usual_causes=told(fault.causes),
        rows=fault.rows,
    )


def describe(ask: AskGeneration) -> str:
    """The generation and what is special about it."""
    of = _('"{prompt}"').format(prompt=ask.prompts[0])
    parts = [of if len(ask.prompts) == 1 else _("a batch of {n}").format(n=len(ask.prompts))]
    if ask.cache == "paged":
        parts.append(_("pages of {n} slots").format(n=ask.page_size))
    if ask.padding == "left":
        parts.append(_("left padding"))
    if ask.chunk:
        parts.append(_("prefill in chunks of {n}").format(n=ask.chunk))
    if ask.before:
        parts.append(_("after another prompt and reset()"))
    if ask.cut:
        parts.append(_("the last {n} tokens truncated and fed again").format(n=ask.cut))
    if ask.poke:
        parts.append(_("slot {slot} of layer {layer} overwritten").format(slot=ask.poke.slot, layer=ask.poke.layer))
    return f"{ask.id} ({', '.join(parts)})"


def _stopped(entry: Generation) -> Fault | None:
    if entry.stopped is None:
        return None
    message = _("generate, given your cache, ended with an exception.")
    return Fault(message, _("no exception"), entry.stopped, causes=causes.STOPPED)


def _first_row(ask: AskGeneration, given: Arrays, right: Sequence[Row], unpoked: Sequence[Row]) -> Fault | None:
    """In the order of slots, then of layers: what was wrong first."""
    wrong = []
    for sequence, row in enumerate(right):
        for pair, name in enumerate("kv"):
            differs = (given[name][sequence] != row.arrays[name]).any(axis=-1)  # (L, H_kv, S)
            wrong += [(int(s), int(layer), pair, sequence, int(h)) for layer, h, s in np.argwhere(differs)]
    if not wrong:
        return None
    slot, layer, pair, sequence, head = min(wrong)
    name = "kv"[pair]
    must, does = (x[layer, head, slot] for x in (right[sequence].arrays[name], given[name][sequence]))
    dim = int(np.argmax(must != does))
    message = _("The row that attention read is not the one that a run without a cache computes.")
    if (poke := ask.poke) and (layer, pair, head, slot) == (poke.layer, poke.pair, poke.head, poke.slot):
        message = _("A row of data was overwritten, and attention did not read what stands there now.")
        if (does == unpoked[sequence].arrays[name][layer, head, slot]).all():
            message += " " + _("It read the old row: read() hands out something that is kept beside data.")
    else:
        message += " " + _standing(does, right)
    place = (layer, pair, sequence, head, slot)
    total = sum(r.arrays[n].size for r in right for n in "kv")
    n = sum(int((given[n][b] != r.arrays[n]).sum()) for b, r in enumerate(right) for n in "kv")
    fault = of_words(message, must, does, place, dim, n, total)
    return Fault(message, fault.expected, fault.found, fault.place, fault.rows, causes.GENERATED)


def _standing(row: np.ndarray, right: Sequence[Row]) -> str:
    """Whose row is it?"""
    for sequence, truth in enumerate(right):
        for name in "kv":
            same = (truth.arrays[name] == row).all(axis=-1)
            if same.any():
                layer, head, slot = (int(i) for i in np.argwhere(same)[0])
                return _(
                    "In its place stands a row of another place: {name}, layer {layer}, sequence {sequence}, head "
                    "{head}, slot {slot}."
                ).format(name=name.upper(), layer=layer, sequence=sequence, head=head, slot=slot)
    if not row.any():
        return _("In its place stand zeros: nothing was written there, or it was wiped.")
    if set(row.tolist()) <= {fill["float32"] for fill in FILLS.values()}:
        return _("In its place stands what every slot was filled with before: nothing was written there.")
    return ""


def _logits(given: Arrays, right: Sequence[Row]) -> Fault | None:
    for sequence, truth in enumerate(right):
        must, does = truth.arrays["logits"], given["logits"][sequence]
        if (must != does).any():
            step, token = (int(i) for i in np.argwhere(must != does)[0])
            a, b = bits.hex_words(must[step]), bits.hex_words(does[step])
            place = _("sequence {sequence}, logits of step {step}").format(sequence=sequence, step=step)
            ulps = int(bits.ulp_distance(must[step, token], does[step, token]))
            found = _("0x{word}, {ulps} ULP apart; {n} of {total} words differ").format(
                word=b[token], ulps=ulps, n=int((must != does).sum()), total=must.size
            )
            rows = Rows(name=place, labels=(_("expected"), _("yours")), words=(a, b))
            message = _(
                "At the last step every row of K and V is right, and yet these logits are not: on the way, "
                "attention read something else."
            )
            where = f": {place}, " + _("token {token}").format(token=token)
            return Fault(message, f"0x{a[token]}", found, where, rows, causes.GENERATED)
    return None
