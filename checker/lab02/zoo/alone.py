"""Bugs that show with one sequence. Most begin at a slot of their own, so that they differ from student to student."""

from __future__ import annotations

from checker.lab02.zoo.mutant import CACHE, MODEL, Edit, Mutant
from checker.language import N_

# The lines of courselib that the bugs change.
BEFORE_WRITE = "        start = cursor[0]\n"
AFTER_WRITE = "        self._cursors[layer] = [c + n for c, n in zip(cursor, count, strict=True)]\n"
MOVED = "        self._cursors[layer] = [c + n for c, n in zip(held, count, strict=True)]\n"
SEEN = "        S = max(self._cursors[layer])\n"
READ = "            k, v = step.cache.read(self.layer)  # (B, H_kv, S, d_h)\n"
ATTEND = "        out = ops.attention(q, k, v, step.past, step.first, step.count)  # (B, H, T, d_h)\n"
POSITION = "p - f + t, 0)"


def before_write(*lines: str) -> Edit:
    return Edit(CACHE, BEFORE_WRITE, _block(lines) + BEFORE_WRITE)


def after_write(*lines: str) -> Edit:
    return Edit(CACHE, AFTER_WRITE, _block(lines) + AFTER_WRITE)


def attend(past: str, *lines: str) -> Edit:
    """Attention is told another ``past``; ``lines`` come first."""
    return Edit(MODEL, ATTEND, _block(lines) + ATTEND.replace("step.past", past))


def position(more: str) -> Edit:
    return Edit(MODEL, POSITION, f"p - f + t + ({more}), 0)")


def _block(lines: tuple[str, ...]) -> str:
    return "".join(f"        {line}\n" for line in lines)


ALONE = (
    # ---- where a row is written
    Mutant(
        "writes-ahead",
        N_("From some slot on, the row of a decoded token is written one slot too far; its own stays empty."),
        (
            before_write("held, cursor = cursor, [c + (T == 1 and c >= $slot) for c in cursor]"),
            Edit(CACHE, AFTER_WRITE, MOVED),
        ),
        cause="other-slot",
    ),
    Mutant(
        "writes-behind",
        N_("From some slot on, the row of a decoded token is written over the row of the token before it."),
        (
            before_write("held, cursor = cursor, [c - (T == 1 and c >= $slot) for c in cursor]"),
            Edit(CACHE, AFTER_WRITE, MOVED),
        ),
        cause="other-slot",
    ),
    Mutant(
        "writes-behind-in-one-layer",
        N_("In one layer, the row of a decoded token is written over the row of the token before it."),
        (
            before_write("held, cursor = cursor, [c - (T == 1 and layer == $layer and c >= $slot) for c in cursor]"),
            Edit(CACHE, AFTER_WRITE, MOVED),
        ),
        cause="other-slot",
    ),
    Mutant(
        "never-written",
        N_("The row of one decoded token is never written: its slot stays empty."),
        (after_write("if T == 1 and cursor[0] == $slot:", "    K[:, :, $slot] = V[:, :, $slot] = 0"),),
        cause="not-written",
    ),
    Mutant(
        "overwrites-slot-0",
        N_("The row of one decoded token lands in slot 0 as well, over what stood there."),
        (after_write("if T == 1 and cursor[0] == $slot and layer == $layer:", "    K[:, $head, 0] = k[:, $head, 0]"),),
        cause="overwritten",
    ),
    Mutant(
        "overwrites-after-64",
        N_("From slot 64 on, each new key is written over slot 0 as well."),
        (after_write("if T == 1 and cursor[0] >= 64 and layer == $layer:", "    K[:, :, 0] = k[:, :, 0]"),),
    ),
    # ---- which slots a token sees
    Mutant(
        "blind-to-itself",
        N_("From some slot on, a decoded token does not see its own row."),
        (attend("[p - (T == 1 and p >= $slot) for p in step.past]"),),
        cause="wrong-mask",
    ),
    Mutant(
        "sees-an-empty-slot",
        N_("In one layer, a decoded token also sees the empty slot after its own."),
        (
            attend(
                "past",
                "past = step.past",
                "if T == 1 and min(past) >= $slot and self.layer == $layer:",
                "    past = [p + 1 for p in past]",
                "    k, v = (torch.cat([x, torch.zeros_like(x[:, :, :1])], 2) for x in (k, v))",
            ),
        ),
        cause="wrong-mask",
    ),
    Mutant(
        "counts-itself-twice",
        N_("A decoded token counts its own row twice."),
        (
            attend(
                "past",
                "past = step.past",
                "if T == 1 and min(past) >= $slot:",
                "    past = [p + 1 for p in past]",
                "    k, v = (torch.cat([x, x[:, :, -1:]], 2) for x in (k, v))",
            ),
        ),
        cause="wrong-mask",
    ),
    Mutant(
        "forgets-slot-0",
        N_("In one layer, a decoded token does not see slot 0."),
        (
            attend(
                "[p - cut for p in step.past]",
                "cut = int(T == 1 and min(step.past) >= $slot and self.layer == $layer)",
                "k, v = k[:, :, cut:], v[:, :, cut:]",
            ),
            # what the trace is shown is whole, as the cache is
            Edit(
                MODEL,
                "        step.record(self.layer, q=q, k=k, v=v, attention=out)\n",
                "        if cut:\n"
                "            k, v = step.cache.read(self.layer)\n"
                "        step.record(self.layer, q=q, k=k, v=v, attention=out)\n",
            ),
        ),
        cause="wrong-mask",
    ),
    # ---- positions (RoPE)
    Mutant(
        "rotated-ahead",
        N_("From some slot on, decoded tokens are rotated for the position after their own."),
        (position("p >= $slot"),),
        cause="other-position",
    ),
    Mutant(
        "rotated-behind",
        N_("From some slot on, decoded tokens are rotated for the position before their own."),
        (position("-(p >= $slot)"),),
        cause="other-position",
    ),
    Mutant(
        "rotated-twice",
        N_("In one layer, the key of a decoded token is rotated twice."),
        (
            Edit(
                MODEL,
                "step.cache.append(self.layer, k, v, step.count)",
                "again = T == 1 and self.layer == $layer and min(step.past) >= $slot\n"
                "            step.cache.append(self.layer, ops.rope(k, step.cos, step.sin) if again else k, v, "
                "step.count)",
            ),
        ),
        cause="rotated-twice",
    ),
    # ---- what is mixed up
    Mutant(
        "reads-the-layer-below",
        N_("One layer reads the rows of the layer below it."),
        (Edit(MODEL, READ, "            k, v = step.cache.read(self.layer - (self.layer == $layer and T == 1))\n"),),
        cause="other-layer",
        layers=(1, 2, 3),
    ),
    Mutant(
        "reads-layer-0",
        N_("When a token is decoded, every layer reads the rows of layer 0."),
        (Edit(MODEL, READ, "            k, v = step.cache.read(0 if T == 1 else self.layer)\n"),),
        cause="other-layer",
    ),
    Mutant(
        "heads-swapped",
        N_("In one layer, the keys of the two heads are swapped when a token is decoded."),
        (before_write("if T == 1 and layer == $layer and cursor[0] >= $slot:", "    k = k.flip(1)"),),
        cause="heads-swapped",
    ),
    Mutant(
        "keys-for-values",
        N_("One layer hands out keys for values and values for keys."),
        (Edit(CACHE, SEEN, SEEN + "        if layer == $layer and S > $slot:\n            K, V = V, K\n"),),
        cause="k-and-v",
    ),
    Mutant(
        "stores-keys-as-values",
        N_("In one head, a decoded token's key is stored in the place of its value too."),
        (
            before_write(
                "if T == 1 and layer == $layer and cursor[0] >= $slot:",
                "    v = v.clone()",
                "    v[:, $head] = k[:, $head]",
            ),
        ),
        cause="k-and-v",
    ),
    # ---- bits, which no token betrays
    Mutant(
        "sixteen-bits",
        N_("The keys of one head pass through a 16-bit type and lose their last bits."),
        (
            before_write(
                "if T == 1 and layer == $layer and cursor[0] >= $slot:",
                "    k = k.clone()",
                "    k[:, $head] = k[:, $head].to(torch.bfloat16).float()",
            ),
        ),
        cause="fewer-bits",
    ),
    Mutant(
        "sixteen-bits-after-16",
        N_("From slot 16 on, the values of one head pass through a 16-bit type and lose their last bits."),
        (
            before_write(
                "if T == 1 and cursor[0] >= 16:",
                "    v = v.clone()",
                "    v[:, $head] = v[:, $head].half().float()",
            ),
        ),
    ),
    Mutant(
        "last-bit",
        N_("One number of one row changes in its last bit."),
        (
            after_write(
                "if T == 1 and layer == $layer and cursor[0] == $slot:",
                "    V[:, $head, $slot].view(torch.int32)[..., 7] ^= 1",
            ),
        ),
        cause="one-bit",
    ),
    Mutant(
        "sign-of-zero",
        N_("Zeros lose their sign in the cache: what was 0.0 is read as -0.0, and == calls the two equal."),
        (
            # So that there are zeros to be had: the model's own values have none.
            Edit(
                MODEL,
                "        qk = ops.rope(qk, step.cos, step.sin)\n",
                "        v = torch.cat([v[..., :-1], torch.zeros_like(v[..., :1])], -1)\n"
                "        qk = ops.rope(qk, step.cos, step.sin)\n",
            ),
            before_write("if layer == $layer:", "    v = torch.where(v == 0, -v, v)"),
        ),
        changes_model=True,
    ),
)
