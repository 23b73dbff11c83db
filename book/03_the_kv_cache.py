# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The KV cache
#
# A model says one word at a time. To find the next one it reads everything that stands before it: the prompt, and all
# that it has said so far. Then it says a word, and reads everything again, from the first word on.
#
# For each word that it reads, the model of [the last chapter](02_a_small_model.py) works out a key and a value, in each
# of its 4 layers, for each of 2 heads: 16 rows of 32 numbers. Let it say 64 words. **How many rows does it work out,
# and how many of them did it have already?** We need no stopwatch for this; we count. It takes about half an hour, and
# no GPU.

# %% tags=["remove-cell", "nbval-ignore-output"]
# On Colab: install the course's library, once (about a minute). Elsewhere it is there already.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("courselib") is None:
    source = "git+https://github.com/byte-for-byte/byte-for-byte"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", source], check=True
    )

# Build the fixed-order kernels now, if need be: the line that says so belongs here.
from courselib.kernels import current_ops

print("operations:", current_ops().NAME)

# %%
from itertools import product
from textwrap import fill

import torch

from courselib import bits, figures
from courselib.generate import generate
from courselib.grammar.prompts import sample_prompts
from courselib.kv_cache import KVCache
from courselib.minigpt import load_minigpt
from courselib.tokenizer import WordTokenizer
from courselib.trace import Trace

torch.set_num_threads(1)  # the model is too small to feed two
model, tokenizer = load_minigpt(), WordTokenizer.from_grammar()
c = model.config
L, H, H_kv, d_h = c.n_layers, c.n_heads, c.n_kv_heads, c.head_dim

trace = Trace(("k", "v"))  # keeps every row of K and V that is worked out
said = generate("Yesterday I", 64, cache=False, seed=4, trace=trace)
print(fill("Yesterday I " + tokenizer.decode(said), 70))

# %% [markdown]
# A row belongs to a **place**: a layer, K or V, a head, and a **slot**, which is the place of its word in the sentence.
# We go through all that was worked out, and note for each place the contents it has had, as bytes.

# %%
places = {}  # (layer, "k" or "v", head, slot) -> its contents so far
n_rows = 0
for call in trace.calls:  # one call for each reading of the sentence
    for (layer, name), rows in call.rows.items():  # (1, H_kv, T, d_h)
        for head, slot in product(range(H_kv), range(rows.shape[2])):
            content = rows[0, head, slot].numpy().tobytes()
            place = layer, name, head, slot
            places.setdefault(place, set()).add(content)
            n_rows += 1

most = max(len(contents) for contents in places.values())
print(f"rows worked out:             {n_rows:7,}")
print(f"places they belong to:       {len(places):7,}")
print(f"contents of a place, at most:{most:7}")

# %% [markdown]
# It worked out 34,304 rows. They belong to 1,040 places: 65 words with 16 rows each. (The prompt has 2 words, and the
# last of the 64 is said but not read.) And **no place ever had a second content.** The other 33,264 rows, 97 in a
# hundred, came out as copies, to the last byte, of rows that the model had worked out before, and had thrown away.
#
# Here they are, step by step:

# %% mystnb={"image": {"alt": "Rows of K and V computed at each of 64 steps. A hatched triangle, the rows computed before, rises evenly from 0 to more than a thousand a step, 33,264 in all. Under it lies a thin blue strip of new rows, 16 a step, 1,040 in all."}}
per_word = 2 * L * H_kv  # rows
read = [call.count[0] for call in trace.calls]  # words read at each step
new = [n - before for n, before in zip(read, [0, *read], strict=False)]
figures.rows_computed(
    new=[n * per_word for n in new],
    again=[(n - m) * per_word for n, m in zip(read, new, strict=True)],
)

# %% [markdown]
# The strip at the bottom is what had to be worked out. The triangle is what we pay for having no memory. A **KV cache**
# keeps the strip and does away with the triangle. That is all it does, and this chapter is about doing it without a
# slip.
#
# A triangle grows faster than a strip. Let us say 32 words, then twice as many, and twice as many again, without a cache
# and with one. The second count is of **looks**: one word's query meeting one key, in one layer and one query head.

# %%
print("      rows worked out              looks")
print("words without  with    without     with")
for n in (32, 64, 128, 256):
    line = []
    for cache in (False, True):
        trace = Trace(())  # keeps no rows, only where the words stood
        generate("Yesterday I", n, cache=cache, temperature=0, trace=trace)
        stood = [
            slot
            for call in trace.calls
            for slot in range(call.past[0], call.past[0] + call.count[0])
        ]
        looks = sum(slot + 1 for slot in stood)  # at itself and before
        line.append((len(stood) * per_word, looks * L * H))
    (rows_0, looks_0), (rows_1, looks_1) = line
    print(f"{n:5}{rows_0:8,}{rows_1:6,}{looks_0:11,}{looks_1:9,}")

# %% [markdown]
# Twice the words: about four times the rows without a cache, and twice with it. For the looks it is eight times and
# four times. A cache takes one power off everything. It does not make attention free: the last word of a long text
# still looks at each word before it, and the triangle lives on in the last column. But a row that is looked at is only
# read, and need not be worked out. What that means in seconds is a matter for
# [What a cache buys](05_what_a_cache_buys.py).
#
# (The model's sums are taken in the course's fixed order. That is why "the same bytes" can be said so easily here. We
# come back to it at the end.)
#
# ## Where words meet
#
# May we keep a row? Only if nothing that happens later would change it. To see this we write the model's forward pass
# out, for one sequence, with the weights that we have. In two places a word is alone with itself:


# %%
ops = current_ops()


def q_k_v(block, x, positions):
    """x (T, D) -> q (H, T, d_h), k and v (H_kv, T, d_h)."""
    y = ops.rms_norm(x, block.attn_norm, c.norm_eps)
    y = ops.linear(y, block.w_qkv)  # (T, (H + 2 H_kv) d_h)
    y = y.view(len(x), -1, d_h).transpose(0, 1)
    q, k, v = y.split([H, H_kv, H_kv])
    cos, sin = model.cos[[*positions]], model.sin[[*positions]]
    q, k = (ops.rope(z[None], cos[None], sin[None])[0] for z in (q, k))
    return q, k, v


def rest(block, x, out):
    """x (T, D), and what attention gave, (H, T, d_h) -> x (T, D)."""
    x = x + ops.linear(out.transpose(0, 1).flatten(1), block.w_o)
    y = ops.rms_norm(x, block.mlp_norm, c.norm_eps)
    gate, up = ops.linear(y, block.w_up).chunk(2, dim=-1)
    return x + ops.linear(ops.silu(gate) * up, block.w_down)


# %% [markdown]
# Every line of these works on each of the T words by itself: norm, product, RoPE, feed-forward. Words meet in one line
# only, and there we leave a hole, `attend`, for what this chapter is about:


# %%
def forward(ids, positions, attend):
    """Token ids, T of them -> the logits of the last one, (V,)."""
    x = model.embed[ids]  # (T, D)
    for layer, block in enumerate(model.blocks):
        q, k, v = q_k_v(block, x, positions)
        x = rest(block, x, attend(layer, q, k, v))  # words meet here
    x = ops.rms_norm(x[-1:], model.norm, c.norm_eps)
    return ops.linear(x, model.head)[0]


def causal(q, k, v):
    """q (H, T, d_h), k and v (H_kv, S, d_h) -> (H, T, d_h).

    The T words are the last of S. Each looks at itself and before.
    """
    T, S = q.shape[1], k.shape[1]
    past, first, count = [S - T], [0], [T]
    out = ops.attention(q[None], k[None], v[None], past, first, count)
    return out[0]


sentence = tokenizer.encode("Yesterday I worked in the garden and now")
logits = forward(sentence, range(8), lambda layer, q, k, v: causal(q, k, v))
by_model = model(torch.tensor([sentence]), last_only=True)[0]
same = bits.equal(logits, by_model)
print(f"our forward pass is the model's: {same}")

# %% [markdown]
# ## Why a row stays as it is
#
# A word's K and V in layer 2 are made from what it is after layer 1, where it has looked at others. If it looked only
# at words *before* it, nothing that comes later can matter. If it looked at words *after* it as well, anything can. Is
# that so? We read four words, then five, and count the rows of the first four that have changed: once with our causal
# attention, once with one that lets each word see the whole sentence, as models made for reading do (BERT is one;
# Devlin and others, 2019).


# %%
def whole(q, k, v):
    """Like `causal`, but each of the T words looks at all S."""
    T, S = q.shape[1], k.shape[1]
    q = q.transpose(0, 1)[:, :, None]  # (T, H, 1, d_h): T of them,
    k, v = (x.expand(T, H_kv, S, d_h) for x in (k, v))  # each the last
    out = ops.attention(q, k, v, [S - 1] * T, [0] * T, [1] * T)
    return out[:, :, 0].transpose(0, 1)


def rows_of(ids, look):
    """(q, k, v) of every layer, for a sentence read in one go."""
    layers = []

    def attend(layer, q, k, v):
        layers.append((q, k, v))
        return look(q, k, v)

    forward(ids, range(len(ids)), attend)
    return layers


def changed(a, b):  # rows of a that have other bytes in b
    differ = bits.words(a) != bits.words(b[:, : a.shape[1]])
    return int(differ.any(axis=-1).sum())


print("rows of 4 words, changed by a fifth:")
print("             q of 16   k of 8   v of 8")
for look in (causal, whole):
    four, five = rows_of(sentence[:4], look), rows_of(sentence[:5], look)
    print(look.__name__)
    for layer in range(L):
        q, k, v = map(changed, four[layer], five[layer])
        print(f"  layer {layer}    {q:7}{k:9}{v:9}")

# %% [markdown]
# Causal: none, in no layer. This is what makes a KV cache possible, and it is a property of the mask and of nothing
# else. Where every word sees the whole sentence, each new word changes everything from layer 1 on; in layer 0 nobody
# has looked yet. Such a model has next to nothing to keep.
#
# ### And q?
#
# The table shows that q stays as well. We could keep it. But who would read it? The last word's answer is made from
# *its own* question, and from everybody's keys and values. Let us destroy what we do not need: NaN, "not a number",
# into the rows of all words but the last, in one of the three at a time. A NaN spreads to all that it touches.

# %%
rows = dict(zip("qkv", rows_of(sentence, causal)[-1], strict=True))
answer = causal(**rows)[:, -1]  # (H, d_h): what the last word gets
for name, x in rows.items():
    spoiled = x.clone()
    spoiled[:, :-1] = torch.nan
    again = causal(**{**rows, name: spoiled})[:, -1]
    verdict = "the same" if bits.equal(answer, again) else "destroyed"
    print(f"old {name} spoiled, the answer: {verdict}")

# %% [markdown]
# A word asks its question once, when it is read. It is asked for its key and its value by every word that follows. So
# it is a KV cache, and not a QKV cache. Nor is anything else of an old word needed, not its `x`, not its logits: in
# `forward`, only `attend` brings words together.
#
# ## A list that grows
#
# Now the simplest thing that could work. Keep the rows; when new ones come, put them at the end.


# %%
copied = []  # rows written by each torch.cat


def at_the_end(old, new):  # (H_kv, S, d_h), (H_kv, T, d_h)
    joined = torch.cat([old, new], dim=1)  # (H_kv, S + T, d_h), a new tensor
    copied.append(joined.shape[0] * joined.shape[1])
    return joined


def growing():
    kept = [(torch.empty(H_kv, 0, d_h),) * 2] * L  # (K, V) of each layer

    def attend(layer, q, k, v):
        K, V = kept[layer]
        kept[layer] = at_the_end(K, k), at_the_end(V, v)
        return causal(q, *kept[layer])

    return attend


def say(prompt, n, attend):
    """The n likeliest words, one after another."""
    pending, past, said = tokenizer.encode(prompt), 0, []
    for _ in range(n):
        positions = range(past, past + len(pending))
        logits = forward(pending, positions, attend)  # only what is new
        past += len(pending)
        pending = [int(logits.argmax())]
        said += pending
    return said


said = say("Yesterday I", 64, growing())
recomputed = generate("Yesterday I", 64, cache=False, temperature=0)
print(f"words as without a cache: {said == recomputed}")
print(f"rows worked out: {65 * per_word:,}")
print(f"rows copied:     {sum(copied):,}")

# %% [markdown]
# The words are right, and we work out 1,040 rows. But look at the last number. You have seen it before.
#
# `torch.cat` makes a new tensor, so at every step it copies all the rows that there are: 2 words' rows, then 3, then 4.
# That is strip and triangle again, to the row. To copy a row is much cheaper than to work it out, and for 64 words nobody
# would notice. It is quadratic all the same, and while it copies it holds the rows twice.
#
# ## Room, and a cursor
#
# The cure is as old as computing. Ask for all the room at the start, and remember how far it is filled: the **cursor**.
# In one layer, with room for 8 slots; first two words arrive, then one, then one more:

# %%
_, k, _ = rows_of(sentence[:4], causal)[0]  # (H_kv, 4, d_h)
room = torch.zeros(H_kv, 8, d_h)
cursor = 0
for T in (2, 1, 1):
    arriving = k[:, cursor : cursor + T]
    room[:, cursor : cursor + T] = arriving  # T rows a head are written
    cursor += T
    held = room[:, :cursor]  # a view: no row is copied
    in_place = held.data_ptr() == room.data_ptr()
    print(f"cursor {cursor}: {tuple(held.shape)}, in place: {in_place}")
print(f"held is what came: {bits.equal(held, k)}")

# %% [markdown]
# Each row is written once and never moves. The work of a step no longer depends on what came before it. Is it worth it?
# Here is the only stopwatch of this chapter: the time to add one row to each of 8 heads of 128 numbers, which is the K
# of one layer in a Llama 3 of 8 billion parameters.

# %% tags=["nbval-ignore-output"]
from time import perf_counter


def microseconds(do, times=20):
    took = []
    for _ in range(times):
        start = perf_counter()
        do()
        took.append(perf_counter() - start)
    return sorted(took)[times // 2] * 1e6


row = torch.ones(8, 1, 128)
print("slots held   torch.cat   cursor")
for S in (64, 512, 4096):
    full = torch.zeros(8, S + 1, 128)
    before = full[:, :S].clone()
    by_cat = microseconds(lambda old=before: torch.cat([old, row], dim=1))
    by_cursor = microseconds(lambda new=full: new[:, -1:].copy_(row))
    print(f"{S:10,}{by_cat:9,.0f} µs{by_cursor:6,.0f} µs")

# %% [markdown]
# On the machine that built this page, one column grows with the text, and the other does not.
#
# The price is a limit: somebody has to say how long it may get. And what if it gets longer? Surely PyTorch will
# complain when we write past the end.

# %%
room = torch.zeros(H_kv, 4, d_h)
cursor = 4  # full
row = torch.ones(H_kv, 1, d_h)
room[:, cursor : cursor + 1] = row
cursor += 1
print(f"no error; the cursor is at {cursor} of {room.shape[1]}")
print(f"was the row written anywhere? {bool(room.any())}")

# %% [markdown]
# It does not. The slice `4:5` of four slots is empty, a single row may be *broadcast* into it, and the word is lost
# without a sound; from here on the model speaks as if it had not been said. With two rows there would have been an
# error. A cache has to look at its own cursor **before** it writes, and say no in words. This is a good part of lab 01.
#
# ## All of it
#
# Four layers, K and V, a batch: `courselib`'s `KVCache` is one tensor, and this is what the course's caches look like
# from outside.

# %%
cache = KVCache.for_model(model)
print(f"shape   {tuple(cache.data.shape)}")
print(f"strides {cache.data.stride()}")
print(f"{cache.data.nbytes:,} bytes, {cache.lengths} slots held")

# %% [markdown]
# The six axes, from the outside in, and what each of them costs:
#
# | axis | here | what it costs |
# |---|---|---|
# | L | 4 | every layer looks at rows of its own |
# | K, V | 2 | one row to be found by, one to give; index 0 is K, always |
# | B | 1 | every sequence has a past of its own |
# | H_kv | 2 | half of the 4 query heads: what grouped-query attention saves |
# | max_slots | 512 | room for the longest text that may come, paid by all |
# | d_h | 32 | the numbers of a row |
#
# The strides say how far apart two neighbours lie in memory, in numbers. A row's 32 are side by side; the next slot of
# the same head follows directly. So what a head reads in a step, all of its held slots, is one stretch of memory, and
# what is written is one row in each of H_kv stretches. Reading is what happens most, so the order suits the reader.
#
# The model appends to it, then reads. In our forward pass that is a third `attend`:


# %%
def cached(cache):
    def attend(layer, q, k, v):
        cache.append(layer, k[None], v[None])  # the new rows go in first,
        K, V = cache.read(layer)  # then all are read; B is 1 here
        return causal(q, K[0], V[0])

    return attend


assert say("Yesterday I", 64, cached(cache)) == recomputed
print(f"slots held: {cache.lengths}")

words = tokenizer.encode("Yesterday I") + recomputed[:-1]
afresh = rows_of(words, causal)  # all 65 words in one go
same = 0
for layer, (_, k, v) in enumerate(afresh):
    K, V = cache.read(layer)
    same += bits.equal(K[0], k) + bits.equal(V[0], v)
print(f"blocks of K and V as read afresh: {same} of {2 * L}")

# %% [markdown]
# (While a pass is under way, layer 0 has its new rows and layer 3 has not. So each layer has a cursor of its own, and
# `lengths` is a question to be asked between two passes.)
#
# And here is how it says no. The first mistake is a transpose that was forgotten; the second is our word past the end:

# %%
small = KVCache(n_layers=1, batch=1, n_kv_heads=2, max_slots=4, head_dim=32)
four = torch.ones(1, 2, 4, 32)  # (B, H_kv, T, d_h)
small.append(0, four, four)
for rows in (four[:, :, :1].transpose(1, 2), four[:, :, :1]):
    try:
        small.append(0, rows, rows)
    except ValueError as error:
        print(fill(str(error), 70))
print(f"slots held: {small.lengths}")

# %% [markdown]
# One line that names both sides, and then nothing has been written and no cursor has moved. A cache that raises in the
# middle, with K written and V not, would be worse than one that crashes.
#
# Here is a text on its way through one layer: 5 words as a **prefill**, 3 more in one piece, a **chunk**, and a
# **decode** step of one word.
#
# | | prefill, T&nbsp;=&nbsp;5 | chunk, T&nbsp;=&nbsp;3 | decode, T&nbsp;=&nbsp;1 |
# |---|---|---|---|
# | cursor before | 0 | 5 | 8 |
# | position, for RoPE | 0 to 4 | 5 to 7 | 8 |
# | x, (T, D) | (5,&nbsp;128) | (3,&nbsp;128) | (1,&nbsp;128) |
# | q, (H, T, d_h) | (4,&nbsp;5,&nbsp;32) | (4,&nbsp;3,&nbsp;32) | (4,&nbsp;1,&nbsp;32) |
# | new k and v, (H_kv, T, d_h) | (2,&nbsp;5,&nbsp;32) | (2,&nbsp;3,&nbsp;32) | (2,&nbsp;1,&nbsp;32) |
# | cursor after | 5 | 8 | 9 |
# | K and V read, (H_kv, S, d_h) | (2,&nbsp;**5**,&nbsp;32) | (2,&nbsp;**8**,&nbsp;32) | (2,&nbsp;**9**,&nbsp;32) |
# | slots that its words see | 1, 2, 3, 4, 5 | 6, 7, 8 | 9 |
#
# The last line is the one to remember: **the word in slot t sees t + 1 slots**, those before it and itself, each
# exactly once, however it came in.
#
# ## Three ways to get it wrong
#
# What the table says in one line is easy to get wrong in one line. Three mistakes that are made again and again:
#
# - **The position restarts.** RoPE turns q and k by the word's position, and the position is the slot, so it must
#   come from the cursor. Code that knows only the tokens of this call counts them from 0; and each decoded word
#   believes that it is the first.
# - **The word counts twice.** The new rows are appended, the cache is read, and then the new rows are put beside it
#   once more.
# - **The word is left out.** The cache is read first and appended to afterwards. The word looks at everybody but
#   itself.


# %%
def twice(cache):
    def attend(layer, q, k, v):
        cache.append(layer, k[None], v[None])
        K, V = cache.read(layer)
        K, V = torch.cat([K[0], k], dim=1), torch.cat([V[0], v], dim=1)
        return causal(q, K, V)

    return attend


def left_out(cache):
    def attend(layer, q, k, v):
        K, V = cache.read(layer)
        out = causal(q, K[0], V[0])
        cache.append(layer, k[None], v[None])
        return out

    return attend


def at_the_cursor(cache):
    return [cache.lengths[0]]


def at_0(cache):
    return [0]


# %% [markdown]
# For each of them, fifty prompts of the grammar. The prefill is done right, and the mistake is made in the decode
# steps. We compare the first decode step with the right one, in bytes: q, k and v of layer 0, what attention made of
# them there, and the logits. And then, in the last column, the test that everybody would write: do the first 24 words
# come out the same?


# %%
def decode(prompt, n, attend, positions):
    """n words, and what the first decode step worked out."""
    ids, cache = tokenizer.encode(prompt), KVCache.for_model(model)
    first = {}

    def watched(layer, q, k, v):
        out = attend(cache)(layer, q, k, v)
        if not first:  # layer 0 of the first decode step
            first.update(q=q, k=k, v=v, attention=out)
        return out

    logits = forward(ids, range(len(ids)), cached(cache))  # the prefill
    said = [int(logits.argmax())]
    while len(said) < n:
        logits = forward(said[-1:], positions(cache), watched)
        first.setdefault("logits", logits)
        said.append(int(logits.argmax()))
    return said, first


prompts = [prompt.text for prompt in sample_prompts(seed=1)]
right = [decode(prompt, 24, cached, at_the_cursor) for prompt in prompts]
mistakes = {
    "restarts": (cached, at_0),
    "twice": (twice, at_the_cursor),
    "left out": (left_out, at_the_cursor),
}
parts = ("q", "k", "v", "attention", "logits")
told = {"right": right}
print("prompts, of 50, as with a right cache:")
print("           q  k  v  attn. logits words")
for name, (attend, positions) in mistakes.items():
    wrong = [decode(prompt, 24, attend, positions) for prompt in prompts]
    told[name] = wrong
    pairs = list(zip(right, wrong, strict=True))
    q, k, v, attention, logits = (
        sum(bits.equal(a[1][part], b[1][part]) for a, b in pairs)
        for part in parts
    )
    line = f"{name:9}{q:3}{k:3}{v:3}{attention:7}{logits:7}"
    print(f"{line}{sum(a[0] == b[0] for a, b in pairs):6}")

print("\nYesterday I ...")
for name, runs in told.items():
    said = runs[prompts.index("Yesterday I")][0]
    print(f"{name:9}{tokenizer.decode(said[:10])}")

# %% [markdown]
# Read the table from the right. A cache that counts the word twice says **the same 24 words in 44 of 50 prompts**. Each
# word looks at itself a little too much, and mostly nothing comes of it. By their first ten words after "Yesterday I",
# two of the three wrong caches cannot be told from the right one. The bytes of the first step are wrong in all fifty,
# for all three mistakes.
#
# And each leaves its own trace. A wrong position shows in q and k, and not in v, which is not turned. When a word is
# counted wrongly, q, k and v are right, and attention is the first thing to differ. Lab 02 makes a craft of reading
# this.
#
# ## Reading in pieces
#
# The table above had a chunk in it. A server cuts long prompts into pieces, so that others need not wait; a
# conversation comes in pieces by itself. Does it matter where the cuts are? A prompt of 8 words has 7 gaps, and each
# may be a cut or not. That makes 128 ways to read it, from "all at once" to "word by word". We take them all.

# %%
contents, answers = set(), set()
for cuts in product((False, True), repeat=7):
    pieces = [[sentence[0]]]
    for word, cut in zip(sentence[1:], cuts, strict=True):
        pieces += [[word]] if cut else []
        pieces[-1] += [] if cut else [word]
    cache = KVCache.for_model(model, max_slots=8)
    for piece in pieces:
        start = cache.lengths[0]
        positions = range(start, start + len(piece))
        logits = forward(piece, positions, cached(cache))
    contents.add(cache.data.numpy().tobytes())
    answers.add(logits.numpy().tobytes())
print(f"ways to cut:            {2**7}")
print(f"contents of the cache:  {len(contents)}")
print(f"logits at the end:      {len(answers)}")

# %% [markdown]
# One. The rows do not remember in what company they came.
#
# ## Several at once
#
# A batch of prompts is a batch of different lengths. The tensor that holds their words is a rectangle, so short ones
# are filled up with padding. The cache gets a **cursor for each sequence**, is told how many words of each are real,
# and keeps only those. (Some code pads on the left instead. Then a word's slot is no longer its position, which has to
# be counted from the sequence's own first word; that is what `first` is for in `KVCache`.) Three prompts in one call:

# %%
batch = [
    "Yesterday I",
    "La próxima semana tú",
    "Now she is reading in the garden and last night",
]
short = 16  # slots, for a picture


def three_at_once():
    cache = KVCache.for_model(model, batch=3, max_slots=short)
    return generate(batch, 4, cache=cache, temperature=0), cache


answers, cache = three_at_once()
print("as if alone?")
for b, prompt in enumerate(batch):
    alone = KVCache.for_model(model, max_slots=short)
    answer = generate(prompt, 4, cache=alone, temperature=0)
    same_words = answer == answers[b]
    same_rows = bits.equal(alone.data[:, :, 0], cache.data[:, :, b])
    as_alone = f"words {same_words}, rows {same_rows}"
    print(f"{cache.lengths[b]:2} slots; {as_alone}")

# %% mystnb={"image": {"alt": "Slots of a cache for three sequences: blue from slot 0 to a cursor, which stands at 5, 7 and 13 of 16; white after it."}}
figures.slot_map(
    {
        "Yesterday I": cache.lengths[0],
        "La próxima": cache.lengths[1],
        "Now she is": cache.lengths[2],
    },
    short,
    title="Three sequences, three cursors",
)

# %% [markdown]
# `read` gives a rectangle again, up to the longest cursor. A shorter sequence's rows past its own cursor are in it, and
# **mean nothing**. What does it take for them to do nothing? The strongest test is to put NaN there and to go on, with
# one more word for each sequence:


# %%
def one_more(answers, cache):
    last = torch.tensor([answer[-1:] for answer in answers])  # (B, 1)
    return model(last, cache, last_only=True)  # (B, V)


untouched = one_more(*three_at_once())
answers, cache = three_at_once()
for b, cursor in enumerate(cache.lengths):
    cache.data[:, :, b, :, cursor:] = torch.nan
poisoned = one_more(answers, cache)
print(bits.report(untouched, poisoned, ("untouched", "poisoned")))

# %% [markdown]
# Nothing: the course's attention stops at the cursor, and never touches a slot beyond it. The usual way to write
# attention is another. It computes all scores, sets those beyond the cursor to minus infinity, and lets the softmax
# turn these into weights of exactly 0. Here is the last layer, one head, the first sequence of the three:


# %%
def mask_then_softmax(q, k, v, cursor):
    """q (d_h,), k and v (S, d_h), of which `cursor` are held."""
    scores = (k * q).sum(dim=-1) / d_h**0.5  # (S,)
    scores[cursor:] = -torch.inf
    weights = ops.softmax(scores)
    return weights, (weights[:, None] * v).sum(dim=0)


answers, cache = three_at_once()
cursor = cache.lengths[0]
read = tokenizer.encode(batch[0]) + answers[0][:-1]  # the words held
q = rows_of(read, causal)[-1][0][0, -1]  # the last word's q, head 0
for name, beyond in (("zeros", 0.0), ("NaN", torch.nan)):
    cache.data[:, :, 0, :, cursor:] = beyond
    K, V = cache.read(L - 1)  # (3, H_kv, 13, d_h): the longest has 13
    weights, out = mask_then_softmax(q, K[0, 0], V[0, 0], cursor)
    zero = not weights[cursor:].any()
    finite = int(out.isfinite().sum())
    print(f"{name} beyond the cursor:")
    print(f"  weights 0: {zero}; finite: {finite} of {len(out)}")

# %% [markdown]
# The weights are 0 both times. But 0 times NaN is NaN, and the spoiled rows beyond the cursor have destroyed the
# answer. A weight of zero is not a fence. So either nobody reads beyond the cursor, or what lies there must be finite,
# always: memory that was asked for with `torch.empty` need not be, nor are the rows of a sequence that went wrong.
#
# Then fill it with zeros and forget the mask? A row of zeros is not nothing, either. Its score is 0, and a softmax
# gives a score of 0 a good share:

# %%
cache.data[:, :, 0, :, cursor:] = 0
K, V = cache.read(L - 1)
weights = ops.softmax((K[0, 0] * q).sum(dim=-1) / d_h**0.5)
share = float(weights[cursor:].sum())
print(f"weight of {len(weights) - cursor} rows of zeros: {share:.2f} of 1")

# %% [markdown]
# ## Going back
#
# Two ways to forget. `truncate(n)` keeps the first `n` slots: to try another continuation, or to take back words that
# were only guessed. `reset()` forgets all, for the next conversation. In both the cursor goes back; the rows beyond it
# are **stale**, and a test shows whether anything of them is left. Read six words, go back to two, go on otherwise:


# %%
def take_in(text, cache):
    ids = tokenizer.encode(text)
    start = cache.lengths[0]
    return forward(ids, range(start, start + len(ids)), cached(cache))


fresh = KVCache.for_model(model)
expected = take_in("Yesterday I walked at school", fresh)

used = KVCache.for_model(model)
take_in("Yesterday I worked in the garden", used)
used.truncate(2)
logits = take_in("walked at school", used)
print(f"truncated, as if fresh:   {bits.equal(logits, expected)}")

used.reset()
logits = take_in("Yesterday I walked at school", used)
print(f"reset, as if fresh:       {bits.equal(logits, expected)}")

used.data.zero_()  # all rows gone, and the cursor where it was
logits = take_in("Yesterday I walked at school", used)
print(f"only zeroed, as if fresh: {bits.equal(logits, expected)}")
print(f"slots held then: {used.lengths}")

# %% [markdown]
# The third is the mistake: it wiped the rows and kept the cursor, and the new sentence came after five rows of zeros,
# which have their share of every softmax. It is the cursor that says what is there. `reset` moves the cursor and wipes
# the rows, so that nothing old can be read even by those who look beyond it.
#
# ## What it weighs
#
# Each word costs, in bytes,
#
# > L × 2 × H_kv × d_h × bytes of a number
#
# For our model that is 4 × 2 × 2 × 32 × 4. We can ask the tensor:

# %%
cache = KVCache.for_model(model)
weights = sum(p.numel() * p.element_size() for p in model.parameters())
print(f"a word:       {cache.data.nbytes // cache.max_slots:9,} bytes")
print(f"512 slots:    {cache.data.nbytes:9,} bytes")
print(f"the weights:  {weights:9,} bytes")

# %% [markdown]
# Two kilobytes a word, and a third of the weights when it is full. Large models are no better off. Here is the formula
# for shapes as their authors state them, with two bytes a number: OPT (Zhang and others, 2022), GPT-3 (Brown and
# others, 2020), Llama 3 (Grattafiori and others, 2024). A text is the longest that the model takes. The last column is
# what would be kept if every query head had a key and a value of its own.

# %%
shapes = {  # layers, query heads, K/V heads, head size, longest text
    "OPT 13B": (40, 40, 40, 128, 2048),
    "GPT-3 175B": (96, 96, 96, 128, 2048),
    "Llama 3 8B": (32, 32, 8, 128, 131_072),
    "Llama 3 70B": (80, 64, 8, 128, 131_072),
    "Llama 3 405B": (126, 128, 8, 128, 131_072),
}
print("             KiB a    GiB a   GiB, if")
print("             token     text  H_kv = H")
for name, (n_layers, n_q, n_kv, size, longest) in shapes.items():
    token = n_layers * 2 * n_kv * size * 2  # bytes
    text = token * longest / 2**30
    line = f"{name:12}{token / 1024:6,.0f}{text:9,.2f}"
    print(f"{line}{text * n_q / n_kv:10,.2f}")

# %% [markdown]
# Not bytes, but hundreds of kilobytes for a single token, and gigabytes for a single text: beside the weights, and once
# for each text that is being written at the time. A Llama 3 of 8 billion parameters needs about as much for one text of
# full length as for itself.
#
# This is what **grouped-query attention**, GQA for short (Ainslie and others, 2023), is for. Several query heads share
# one key and value head, and the cache shrinks by the number of those that share: to a quarter, an eighth, a sixteenth
# in the last three lines. The questions stay as many; only what is *kept* gets less. The model of 405 billion
# parameters keeps less for a token than the one of 13 billion.
#
# ## Pages
#
# One thing is still wasteful. `max_slots` is room for the longest text that may come, and most texts are short. The
# fifty prompts again, with an answer of 64 words each, in caches of 512 slots:

# %%
lengths = [len(tokenizer.encode(prompt)) + 63 for prompt in prompts]
# (63: the last of the 64 words is said and not read)
held = sum(lengths)
room = len(lengths) * 512
print("                 slots unused  pages")
print(f"contiguous    {room:8,}{(room - held) / room:7.0%}")
for page in (128, 32, 16, 4):
    pages = sum(-(-n // page) for n in lengths)  # rounded up
    slots = pages * page
    unused = (slots - held) / slots
    print(f"{page:3} to a page {slots:8,}{unused:7.0%}{pages:7,}")

# %% [markdown]
# With caches cut to the largest size that may be needed, 86 per cent of the memory is paid for and empty. (When the
# inventors of the remedy looked at the serving systems of their day, between 20 and 38 per cent of such memory held
# anything; Kwon and others, 2023.)
#
# The remedy is that of operating systems. Cut the memory into **pages** of a few slots, hand a sequence one page at a
# time, when its last one is full, and take them back when it ends. A **page table** says for each sequence which pages
# are its own, in order. All that a sequence wastes is the end of its last page. Three sequences that take turns:

# %%
page, free = 4, list(range(12))  # slots of a page; free pages in memory
table, length = {"A": [], "B": [], "C": []}, {"A": 0, "B": 0, "C": 0}
for name in "AABABBACAABCBCCACAABCCCAACC":
    if length[name] % page == 0:  # its last page is full
        table[name].append(free.pop(0))
    length[name] += 1  # one more slot
print(table)
print(length)

slot = 9
where = table["A"][slot // page], slot % page
print(f"slot {slot} of A is in page {where[0]}, at {where[1]}")

# %% mystnb={"image": {"alt": "Above, the pages of three sequences A, B and C in their order, four slots each, with their numbers in memory; the last page of each is partly empty. Below, the twelve pages as they lie in memory: those of A, B and C are mixed, and the last ones are free."}}
figures.page_map(table, length, page=4, n_pages=12)

# %% [markdown]
# In memory the pages lie as they came; each sequence sees its own in a row. To find a slot takes a division and a look
# into the table. The rows do not change, and neither does `append` or `read` as seen from outside: a paged cache is
# another way to keep the same promise. (It also makes it possible that two sequences with one beginning share the pages
# of that beginning. Causality again: they are the same bytes.)
#
# ## Try it
#
# **1.** In the first count no place ever had two contents. The other way round: do two *places* ever have the same
# content? How many different contents are there in all 1,040 places, and where are the doubles?
#
# :::{dropdown} Answer
# ```python
# everything = [next(iter(contents)) for contents in places.values()]
# print(len(everything), len(set(everything)))
# values_0 = [
#     next(iter(contents))
#     for (layer, name, _, _), contents in places.items()
#     if (layer, name) == (0, "v")
# ]
# print(len(values_0), len(set(values_0)))
# ```
# 1040 and 992, then 130 and 82: all 48 doubles are V rows of layer 0. There nobody has looked at anything yet, and V
# is not turned by the position, so a row depends on the word alone, and 65 words are 41 different ones. The K rows of
# a word that comes twice differ by RoPE; the V rows of the layers above, by what the word has seen.
# :::
#
# **2.** PyTorch's `scaled_dot_product_attention(..., is_causal=True)` lays its triangle of ones at the top left, also
# where there are fewer queries than keys; `torch.ones(T, S).tril()` is that mask. How many slots would the words of our
# chunk see, with T = 3 and S = 8? And the word of a decode step?
#
# :::{dropdown} Answer
# ```python
# for T, S in ((3, 8), (1, 9)):
#     wrong = torch.ones(T, S).tril()
#     right = torch.ones(T, S).tril(diagonal=S - T)
#     print(wrong.sum(dim=1).tolist(), right.sum(dim=1).tolist())
# ```
# 1, 2 and 3 slots in place of 6, 7 and 8; and in a decode step a single one, slot 0. In a prefill the mask is square,
# and the two are the same, so nothing shows until the first chunk or the first decoded word.
# :::
#
# **3.** Llama 3 8B has about 8 billion parameters. A GPU has 80 GB, which is 80 × 10⁹ bytes. At two bytes a number,
# how many tokens of cache find room beside the weights? How many texts of 8,192 tokens is that? And if H_kv were H?
#
# :::{dropdown} Answer
# ```python
# room = 80e9 - 8e9 * 2
# for n_kv in (8, 32):
#     tokens = room / (32 * 2 * n_kv * 128 * 2)
#     print(f"{tokens:,.0f} tokens, {tokens // 8192:.0f} texts")
# ```
# 488,281 tokens or 59 texts; without GQA 122,070 or 14. On a server, texts at once is what is sold.
# :::
#
# **4.** Somebody corrects the third word of a text of eight, whose cache is full. Which rows change? Guess for each
# layer first, then look.
#
# :::{dropdown} Answer
# ```python
# corrected = sentence.copy()
# corrected[2] = tokenizer.encode("walked")[0]
# before, after = rows_of(sentence, causal), rows_of(corrected, causal)
# for (_, k, _), (_, k_after, _) in zip(before, after, strict=True):
#     differ = bits.words(k) != bits.words(k_after)
#     print(differ.any(axis=(0, 2)).astype(int))  # a digit for each slot
# ```
# In layer 0 slot 2 alone; from layer 1 on slots 2 to 7, since all of these have looked at it. So `truncate(2)`, and
# read the rest again. What stands before the correction can stay.
# :::
#
# ### Three questions
#
# **With your cache, a model says the same 64 words as without, for fifty prompts. Is the cache right?**
#
# :::{dropdown} Answer
# You do not know. The cache that counts each word twice was wrong at every decode step, and said the same 24 words in
# 44 of 50 prompts. Words are chosen by the largest logit, and small errors rarely change which one that is. Compare the
# bytes.
# :::
#
# **K is kept as it is after RoPE. What would it cost to keep it as it was before, and turn it when it is read? Would
# the bytes be others?**
#
# :::{dropdown} Answer
# Each step would have to turn all the rows of K again: the triangle, in a small way. The bytes would be the same, since
# RoPE turns each row by itself, by its own position. One would do it to be able to *move* rows, say after taking words
# out of the middle of a text. But then, from layer 1 on, the rows still know of the words that are gone.
# :::
#
# **A sequence in a batch has ended, the others go on. Its rows are left where they are. What must be true of them?**
#
# :::{dropdown} Answer
# If attention stops at the cursor: nothing, as long as the next sequence that is given the place begins with its cursor
# at 0. If it masks and then takes a softmax, they must be finite too, or 0 times NaN comes back, for that next
# sequence. The others in the batch never read them.
# :::
#
# ## What this proves, and what it does not
#
# It shows that nearly all the rows that a model without a cache works out are copies; that causal attention makes them
# so, and attention to the whole sentence would not; that only K and V are asked for again; that a cursor does with one
# write what a growing list does with a copy of everything; and that the same rows stand in the cache at the end, in
# whichever of 128 ways a prompt was read, alone or with two others, fresh or used.
#
# It does not show more than that:
#
# - **One small model, and few prompts.** That a row depends on nothing after it follows from the mask and can be read
#   in the code; the rest was tried on what you saw.
# - **The sizes of large models** are arithmetic on shapes that others state. Nothing of theirs was run here. And GQA
#   has a price, in what a model can learn, that this chapter says nothing of.
# - **Pages were drawn, not built.** Neither the time they cost nor the sharing of a beginning was tried.
# - **One measurement of time**, of two ways to store a row. It does not say how much faster a model becomes.
# - Every equality here was seen on **fixed-order operations**. Put `with use_ops("stock"):` (from `courselib.kernels`)
#   around the `generate` of this chapter's first cell, so that PyTorch adds as it likes, and count once more. How many
#   contents does a place have then? If it is more than one, is the cache wrong, or the idea, or something that we have
#   not thought of?
#
# That is the question of the next chapter, [Yesterday I worked](04_yesterday_i_worked.py). But first, build it:
#
# **Now you.** Lab 01 asks you to write the cache: append, read, cursors, errors that leave nothing half written, reset
# and truncate, and pages if you like. A checker tries it:
#
# ```bash
# python -m checker labs/01
# ```
