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
# # Yesterday I worked
#
# A model has read two words, *Yesterday I*, and said a third: *worked*. What it knows of each word stands in its cache:
# in every layer and head a row of K and a row of V, worked out once, when the word was read, and kept.
#
# Here is a question with an obvious answer. **Does what the model knows about "Yesterday" depend on how many words come
# after it?** It cannot. Attention looks back, never forward. When "Yesterday" was read, the rest of the sentence did
# not exist.
#
# Everything that a cache does rests on this: a row that could still change must not be kept. [The last
# chapter](03_the_kv_cache.py) went through tens of thousands of rows, and not one of them ever changed. But all its sums
# were taken in the course's own fixed order. What if PyTorch adds as it likes?
#
# Put the cache away, and let the model read the first word; then, from the start, the first two; then the first three.
# Each time it works out the row of "Yesterday" anew. Here are the first three numbers of that row, in the last layer,
# as raw words in hex. Every line must be the same line. (The chapter takes about half an hour, and no GPU.)

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

# %% tags=["nbval-ignore-output"]
import numpy as np
import torch

from courselib import bits
from courselib.kernels import use_ops
from courselib.minigpt import load_minigpt
from courselib.tokenizer import WordTokenizer
from courselib.trace import Trace

torch.set_num_threads(1)  # the model is too small to feed two
model, tokenizer = load_minigpt(), WordTokenizer.from_grammar()
text = "Yesterday I worked in the garden and tomorrow"
sentence = tokenizer.encode(text)


@torch.no_grad()
def yesterday(ids, layer=3, head=0):  # no cache: one pass over all
    trace = Trace(("k",))
    model(torch.tensor([ids]), trace=trace)
    k = trace.get(trace.calls[-1], layer, "k", row=0)  # (H_kv, S, d_h)
    return k[head, 0]  # slot 0: (d_h,)


with use_ops("stock"):  # PyTorch's own operations
    for n in range(1, 9):
        first_three = bits.hex_words(yesterday(sentence[:n]))[:3]
        print(n, *first_three, "", tokenizer.decode(sentence[n - 1 : n]))

# %% [markdown]
# ## The ground moves
#
# Read down the columns. On the machine that built this page the first three lines are one line. *Yesterday*; *Yesterday
# I*; *Yesterday I worked*. Then somebody says *in*, and **what the model knows about "Yesterday" is something else**.
#
# Nothing about "Yesterday" has changed: not the word, not its place, not a weight of the model. It is the first word of
# the sentence, so the only word that it may look at is itself. Its row is worked out from one word and nothing more;
# and the row moves when a stranger comes in at the other end.
#
# When something impossible happens, one makes a list of suspects:
#
# - **The cache.** There is none in that cell.
# - **Chance.** Then a second run would not give the same bytes as the first.
# - **A leak**, a mask that lets the first word see what comes later. Then it would matter *what* comes later.

# %% tags=["nbval-ignore-output"]
(now,) = tokenizer.encode("now")
with use_ops("stock"):
    row = yesterday(sentence)
    again = yesterday(sentence)
    other_end = yesterday([*sentence[:7], now])
    shorter = yesterday(sentence[:1])

print("run once more, equal:       ", bits.equal(row, again))
print("ends in 'now', equal:       ", bits.equal(row, other_end))
print("one word, not eight, equal: ", bits.equal(row, shorter))

# %% [markdown]
# No chance and no leak. *Which* words come later does not matter. *How many* does. The row knows how large its company
# was, and nothing else about it.
#
# Who would notice? Let us first ask as everybody asks, and then look again.
#
# ## Two ways to say it
#
# There are two ways to go on from a prompt. Without a cache, the model reads the whole sentence again for every new
# word. With one, it is fed what it has not read yet, and finds the rest in its slots. One loop will do for both, and
# one line of it tells them apart:

# %%
from courselib.kv_cache import KVCache


@torch.no_grad()
def say(prompt, n, cache=None):
    ids = new = tokenizer.encode(prompt)
    for _ in range(n):
        fed = ids if cache is None else new  # everything, or what is new
        logits = model(torch.tensor([fed]), cache, last_only=True)
        new = [int(logits[0].argmax())]
        ids = ids + new
    return ids


cache = KVCache.for_model(model)
print(tokenizer.decode(say("Yesterday I", 12)))
print(tokenizer.decode(say("Yesterday I", 12, cache)))

# %% [markdown]
# With a cache, the first pass, over the prompt, is the **prefill**, and each pass over one word after it a **decode**
# step. A word's shapes on its way through a layer, for a prompt of 2 words and then for one more:
#
# | | prefill, T&nbsp;=&nbsp;2 | decode, T&nbsp;=&nbsp;1 |
# |---|---|---|
# | tokens | (1,&nbsp;2) | (1,&nbsp;1) |
# | x, (B,&nbsp;T,&nbsp;D) | (1,&nbsp;2,&nbsp;128) | (1,&nbsp;1,&nbsp;128) |
# | q, (B, H, T,&nbsp;d_h) | (1,&nbsp;4,&nbsp;2,&nbsp;32) | (1,&nbsp;4,&nbsp;1,&nbsp;32) |
# | new k and v, (B, H_kv, T,&nbsp;d_h) | (1,&nbsp;2,&nbsp;2,&nbsp;32) | (1,&nbsp;2,&nbsp;1,&nbsp;32) |
# | what attention reads, (B, H_kv, S,&nbsp;d_h) | (1,&nbsp;2,&nbsp;**2**,&nbsp;32) | (1,&nbsp;2,&nbsp;**3**,&nbsp;32) |
#
# The new rows go into the cache first, then attention reads all of it. The word in slot `t` sees `t + 1` rows: those
# before it and its own, each exactly once. Without a cache each column would have T = S, and every row of it would be
# computed again.
#
# ## The test that everybody writes
#
# One prompt is no test. Let us be serious: fifty prompts from the grammar, 64 new words each, sampled at temperature 1,
# with a seed set before each run, on PyTorch's own operations, as anybody would run it.

# %% tags=["nbval-ignore-output"]
from courselib.generate import generate
from courselib.grammar.prompts import sample_prompts
from courselib.seeding import seed_everything


def both_ways(prompt, seed, n=64):
    runs = []
    for cache in (True, False):
        seed_everything(seed)  # again: sampling moves the generator on
        trace = Trace(("k", "v", "logits"))
        tokens = generate(prompt, n, cache=cache, trace=trace)
        runs.append((tokens, trace))
    return runs


def fifty(prompts):
    seeds = range(1000, 1000 + len(prompts))
    return list(map(both_ways, [p.text for p in prompts], seeds))


def count_tokens(runs):
    same = sum(cached[0] == full[0] for cached, full in runs)
    print(f"same 64 tokens: {same} of {len(runs)} prompts")


prompts = sample_prompts(seed=1)
with use_ops("stock"):
    stock = fifty(prompts)
count_tokens(stock)

# %% [markdown]
# On the machine that built this page, all of them: three thousand two hundred words, drawn one by one, and not one
# fell out differently. Here one may stop, and say that the cache is correct. It may well be. But the last chapter
# had a cache that counted each word twice, and in 44 of 50 prompts it said the right words. We have not looked yet.
#
# ## Looking
#
# At the last step of each run, attention read a K row and a V row for every layer, head and slot: out of the cache in
# one run, freshly computed in the other. Both runs had said the same words. Here is the row of "Yesterday" again, from
# the two runs of that prompt:

# %% tags=["nbval-ignore-output"]
which = next(i for i, p in enumerate(prompts) if p.text == "Yesterday I")
(_, cached), (_, full) = stock[which]
for name, trace in (("cached", cached), ("again", full)):
    k, v = trace.slots()  # (L, H_kv, S, d_h) each
    print(f"{name:8}", *bits.hex_words(k[3, 0, 0])[:3])

# %% [markdown]
# On the machine that built this page it is the last digits again. And of all rows, in all fifty prompts, how many differ?


# %% tags=["nbval-ignore-output"]
def rows_that_differ(a, b):
    # a row differs when any of its words does
    return (bits.words(a) != bits.words(b)).any(axis=-1)


def count_rows(runs):
    found = {"K rows": [], "V rows": [], "rows of logits": []}
    for (_, a), (_, b) in runs:
        (k_a, v_a), (k_b, v_b) = a.slots(), b.slots()
        found["K rows"].append(rows_that_differ(k_a, k_b))
        found["V rows"].append(rows_that_differ(v_a, v_b))
        logits = rows_that_differ(a.logits(), b.logits())
        found["rows of logits"].append(logits)
    for name, masks in found.items():
        differing = sum(mask.sum() for mask in masks)
        n = sum(mask.size for mask in masks)
        print(f"{name}: {differing:,} of {n:,} differ")


count_rows(stock)

# %% [markdown]
# There, nearly all of them. Not by much. Here are the rows of "Yesterday I ...", and by how much each differs:


# %% tags=["nbval-ignore-output"] mystnb={"image": {"alt": "Heat map of one stock run, a line for K and V of each layer, a column for each slot: almost every row differs, by ten to some thousand ULPs."}}
from courselib import figures


def ulps_by_row(cached, full):
    (k_a, v_a), (k_b, v_b) = cached.slots(), full.slots()
    k = bits.ulp_distance(k_a, k_b).max(axis=(1, 3))  # (L, S)
    v = bits.ulp_distance(v_a, v_b).max(axis=(1, 3))
    both = np.stack([k, v], axis=1)  # (L, 2, S)
    return both.reshape(-1, k.shape[-1])  # (2 L, S)


ulps = ulps_by_row(cached, full)
figures.row_differences(ulps, title="Stock operations")

# %% [markdown]
# An **ULP**, a unit in the last place, is the step from one float to the next that exists. These are rounding
# differences: a few steps here, some thousands where a number is close to zero and its steps are tiny. Nobody would
# hear them.
#
# That is the trouble. **The tokens hardly notice.** The test on tokens was passed by a run in which nearly every number
# was off, so it cannot tell rounding from a bug that is small: a wrong mask, a stale slot, a position off by one in one
# head. It passes them too, until the day two logits stand close enough together. A proof has to look at bytes.
#
# And bytes, at this point, say that a cache and no cache are two different computations. So was the promise wrong, that
# a cache never changes what a model says? Or is there a culprit?
#
# ## Find the first one
#
# A trace keeps what every layer computed; `first_divergence` walks two of them in the order things happened and stops
# at the first word that differs. Before that place the two runs are equal, to the last bit.

# %% tags=["nbval-ignore-output"]
from courselib.trace import first_divergence

with use_ops("stock"):
    cached, full = Trace(), Trace()
    generate("Yesterday I", 6, cache=True, temperature=0, trace=cached)
    generate("Yesterday I", 6, cache=False, temperature=0, trace=full)
print(str(first_divergence(cached, full)).replace(": ", ":\n"))

# %% [markdown]
# On the machine that built this page that is one word of the first decode step, in the first layer: the same q, k and v
# went in, and one number came out one step higher. It goes on into the next product; through a norm into all 128
# numbers of its row; into the next layer's K and V; and so into every word that is said later.
#
# It is not alone. In the map above, the rows of layer 0 differ too, and those are made before any attention, by a norm
# and a matrix product. Whatever is named on your machine, it is an operation that adds up many numbers. The plainest of
# them is the product. Everything that a row of `x @ w` needs is that row of `x`, and `w`. So hand the library one row,
# then the same row among others, and compare what it makes of it:

# %% tags=["nbval-ignore-output"] mystnb={"image": {"alt": "Step plot: how many words of row 0 of a matrix product differ from the row computed alone, against the number of rows in the call. On stock operations the line jumps at some sizes; on fixed-order operations it stays at zero."}}
torch.manual_seed(0)
x, w = torch.randn(32, 128), model.blocks[0].w_qkv
sizes = list(range(1, 33))


def words_that_differ(ops):
    alone = bits.words(ops.linear(x[:1], w)[0])
    rows = [bits.words(ops.linear(x[:m], w)[0]) for m in sizes]
    return [int((row != alone).sum()) for row in rows]


with use_ops("stock") as ops:
    on_stock = words_that_differ(ops)
with use_ops("fixed") as ops:
    on_fixed = words_that_differ(ops)
lines = {"stock": on_stock, "fixed order": on_fixed}
figures.row_against_batch(sizes, lines, n_words=w.shape[1])

# %% [markdown]
# The library picks its method by the shape of the call: one for a single row, another for a few, another for many. Each
# is correct. They differ in the **order** in which they add up the 128 products behind each output, and [Floats do not
# add up](01_floats_do_not_add_up.py): `(a + b) + c` is not `a + (b + c)`. Look where the line jumps on the machine that
# built this page: at four rows. That is the word *in*. The sentence had become four rows long, the library took out
# another method, and "Yesterday" was added up in another order.
#
# A decode step hands the library one row; a recomputation hands it all of them. The cache was never wrong. The *sum*
# was never defined.
#
# ## Fix the order
#
# So let us define it: one accumulator for each output, `k` ascending, each product rounded, each sum rounded. In
# PyTorch, with nothing but elementwise operations, whose every element is one IEEE operation that no library can
# reorder:


# %%
def linear(x, w):
    y = torch.zeros(x.shape[0], w.shape[1])
    for k in range(w.shape[0]):
        y += x[:, k : k + 1] * w[k]  # a product, rounded; a sum, rounded
    return y


together = linear(x, w)
alone = [linear(x[i : i + 1], w)[0] for i in range(32)]
moved = sum(
    not bits.equal(a, b) for a, b in zip(alone, together, strict=True)
)
print("rows whose bytes depend on the batch:", moved)

# %% [markdown]
# That is a proof, and it is slow: 256 small operations for one product. `courselib` does the same in some 400 lines of C:
# this order for matrix products, others, just as fixed, for RMSNorm, softmax and attention, and an exponential of its
# own, since the system's may differ in the last bit. The compiler may use vectors as wide as it likes, for it computes
# *different outputs* side by side and never splits one sum; fusing a multiply with an add is forbidden. The bytes are
# those of the loop above:

# %%
with use_ops("fixed") as ops:
    same = bits.equal(ops.linear(x, w), linear(x, w))
print("C and the loop give the same bytes:", same)

# %% [markdown]
# Nothing in the model changes; `use_ops` decides who adds. Fixed order is the default of this course, and now the fifty
# prompts again:

# %%
with use_ops("fixed"):
    fixed = fifty(prompts)
count_tokens(fixed)
count_rows(fixed)

# %% mystnb={"image": {"alt": "The same heat map on fixed-order operations: every row of K and V, in every layer and slot, has the same bytes with a cache and without."}}
(_, cached), (_, full) = fixed[which]
figures.row_differences(ulps_by_row(cached, full), title="Fixed order")

# %% [markdown]
# Not closer: **equal**. The same cache, the same model, the same words. And because every operation used is one that
# IEEE-754 defines, these bytes are not only the same twice on this machine; they are the ones you get on yours.
#
# ## What still ground is good for
#
# Was it worth the trouble, over a few last bits? Suppose that somebody, to save memory, keeps the V rows of one head in
# bfloat16, and forgets to say so. Half the bits of each number are gone, for good. That is no rounding of ours, it is a
# bug:


# %%
class Forgetful(KVCache):
    def append(self, layer, k, v, count=None):
        if layer == 3:
            v = v.clone()
            v[:, 1] = v[:, 1].bfloat16().float()  # 16 bits of 32 stay
        super().append(layer, k, v, count)


def forget(prompt, seed, n=64):
    seed_everything(seed)
    trace = Trace(("k", "v", "logits"))
    cache = Forgetful.for_model(model)
    return generate(prompt, n, cache=cache, trace=trace), trace


planted = []
with use_ops("fixed"):
    for i, (_, full) in enumerate(fixed):
        planted.append((forget(prompts[i].text, 1000 + i), full))
count_tokens(planted)
count_rows(planted)

# %% [markdown]
# The test that everybody writes passes it, all fifty prompts. Bytes do not only say that something is wrong. They point:
# no K row differs, and of the V rows just one in eight, which is one head of one layer. On stock operations those rows
# would have stood among all the others that differ anyway, and the count would not have shown them. On ground that
# moves, a crack means nothing.
#
# ## The slots, byte for byte
#
# Here is the proof in a form a person can check. One path prefills "Yesterday I" and decodes one word with a cache; the
# other reads all three words from scratch. Then the K row of "I", slot 1, in the last layer, from both. Choose any line
# and compare it with your eyes.


# %%
@torch.no_grad()
def out_of_the_cache(ids, prefill=2):
    cache = KVCache.for_model(model)
    model(torch.tensor([ids[:prefill]]), cache)  # slots 0 and 1
    for token in ids[prefill:]:
        model(torch.tensor([[token]]), cache)  # decode: one slot more
    layers = [cache.read(layer) for layer in range(4)]  # K, V of each
    k = torch.stack([k[0] for k, _ in layers])  # (L, H_kv, S, d_h)
    return k.numpy(), torch.stack([v[0] for _, v in layers]).numpy()


@torch.no_grad()
def read_again(ids):
    trace = Trace(("k", "v"))
    model(torch.tensor([ids]), trace=trace)  # all words, no cache
    return trace.slots()


ids = tokenizer.encode("Yesterday I worked")
k_cached, v_cached = out_of_the_cache(ids)
k_again, v_again = read_again(ids)
for name, rows in (("cached", k_cached), ("read again", k_again)):
    w_hex = bits.hex_words(rows[3, 0, 1])
    print(f"{name}:")
    for i in range(0, 32, 4):
        print("", *w_hex[i : i + 4])

# %%
axes = ("layer", "head", "slot", "dim")
print(bits.report(k_cached, k_again, ("cached K", "the other"), axes))
print(bits.report(v_cached, v_again, ("cached V", "the other"), axes))

# %% [markdown]
# Every layer, every head, all three slots. What the model knows about "Yesterday" does not depend on what came after.
#
# ### See for yourself
#
# And here are all the rows of these three words, K and V, on both kinds of operations. The one that is chosen is the row
# this chapter began with. Begin with stock operations and three words, then let the other run read one word more, and
# watch "Yesterday". When you have seen enough, fix the order.

# %% tags=["remove-input", "nbval-ignore-output"]
from IPython.display import HTML


def runs(operations, lengths, slots=3):
    with use_ops(operations):
        found = [out_of_the_cache(sentence[:slots])]
        found += [read_again(sentence[:n]) for n in lengths]
    return [np.stack(run)[:, :, :, :slots] for run in found]


lengths = range(3, 9)
both = {name: runs(name, lengths) for name in ("stock", "fixed")}
data = {
    name: " ".join("".join(bits.hex_words(run)) for run in found)
    for name, found in both.items()
}


def differing_rows(operations, i):
    cached, *others = both[operations]
    # K and V, layers and heads together: a number for each slot
    return rows_that_differ(cached, others[i]).sum(axis=(0, 1, 2))


lines = "".join(
    f"<tr><td>{n}</td>"
    + "".join(f"<td>{count}</td>" for count in differing_rows("stock", i))
    + f"<td>{differing_rows('fixed', i).sum()}</td></tr>"
    for i, n in enumerate(lengths)
)
spoken = [tokenizer.decode([i]) for i in sentence]
HTML(
    f'<div class="slots" data-sentence="{" ".join(spoken)}" '
    f'data-again="{" ".join(map(str, lengths))}" '
    f'data-shape="{" ".join(map(str, both["fixed"][0].shape))}" '
    f'data-stock="{data["stock"]}" data-fixed="{data["fixed"]}">'
    "<table><tr><th>words read again</th>"
    + "".join(f"<th>{word}</th>" for word in spoken[:3])
    + f"<th>all, fixed order</th></tr>{lines}</table></div>"
)

# %% [markdown]
# (On the book's page you can choose the row. In a notebook, or where scripts are off, this is a table: of the 16 rows
# of each word, K and V in all layers and heads, how many differ from those in the cache on stock operations; and, last,
# of all 48 on fixed-order ones.)
#
# <link rel="stylesheet" href="../_static/slots.css"><script defer src="../_static/slots.js"></script>
#
# ### What does it cost?
#
# Not what one would think. These were measured with `python -m benchmarks.generate`, by turns, in one run on each
# machine: this model on fixed-order operations, on stock ones, and the same weights in Hugging Face's `transformers`,
# in the fastest of the four ways that were tried (its own `generate` or a plain loop, a cache that grows or one of fixed
# size). Medians; compare down a column, for not all texts were equally long:

# %% tags=["remove-input", "nbval-ignore-output"]
import json
from pathlib import Path


def fastest(row, peer):  # of the ways it was tried in, if any
    values = row["values"].items()
    found = [v["median"] for way, v in values if way.startswith(peer)]
    return max(found, default=None)


results = sorted(Path("../benchmarks/results").glob("generate-*.json"))
lines = []
for file in results:
    result = json.loads(file.read_text(encoding="utf-8"))
    torch_version = result["versions"]["torch"].split("+")[0]
    lines.append(result["device"]["cpu"])
    lines.append(f"torch {torch_version}, one thread, {result['date']}")
    lines.append(f"{'tokens per second':20}batch of 1{'of 4':>8}")
    for name, title in (
        ("cached generation", "with a cache, words"),
        ("uncached generation", "without one, words"),
    ):
        rows = [  # a batch of 1, a batch of 4
            row
            for row in result["rows"]
            if row["name"] == name and row["settings"]["threads"] == 1
        ]
        one, four = (row["settings"]["new tokens"] for row in rows)
        lines.append(f"{title:20}{one:10}{four:8}")
        for peer in ("fixed-c", "stock", "transformers"):
            found = [fastest(row, peer) for row in rows]
            if all(found):
                lines.append(f"  {peer:18}{found[0]:10,.0f}{found[1]:8,.0f}")
    lines.append("")
print("\n".join(lines).rstrip())
if not results:
    print("The measurements are in the repository: benchmarks/results.")

# %% [markdown]
# With a cache, the fixed order is the faster one on the first machine. On the second it is not the slower one; more
# cannot be said, for the single runs there lie far apart. A small model makes many small calls, and ours are cheap to
# call. Without a cache the calls are large, and a library that may choose its order by shape can win there: hardly on
# the first machine, clearly on the second. What a cache itself saves, and what it costs, is [the next
# chapter](05_what_a_cache_buys.py). On a GPU the price of a fixed order is a harder question, and [The matmul and the
# batch](07_matmul_and_the_batch.py) asks it.
#
# ## Try it
#
# **1.** The forgetful cache spoils the V rows of head 1 in layer 3. What is the first place at which `first_divergence`
# finds it out, on fixed-order operations, against a run without a cache: which step, which layer, which slot? Guess
# first. And what do the two words tell you about the kind of mistake?
#
# :::{dropdown} Answer
# ```python
# with use_ops("fixed"):
#     spoiled, full = Trace(), Trace()
#     cache = Forgetful.for_model(model)
#     generate("Yesterday I", 6, cache=cache, temperature=0, trace=spoiled)
#     generate("Yesterday I", 6, cache=False, temperature=0, trace=full)
# print(first_divergence(spoiled, full))
# ```
# Step 0, layer 3, v, head 1, slot 0, dim 0: at once, in the prefill, at the first number that the cache was given to
# keep. The two words are 3f950000 and 3f9550fe. Four zeros at the end of a word, and of every word of that row, are
# the mark of bfloat16, which is a float32 with its lower half rounded away. (On the machine that built this page, stock
# operations give the same line, for in the prefill both runs hand over the same shapes. A mistake that first shows in a
# decode step would be lost among the rest.)
# :::
#
# **2.** Replace the loop in `linear` by one that runs over `k` backwards. Is it batch-invariant? Does it give the bytes
# of the C kernel?
#
# :::{dropdown} Answer
# It is invariant: its order does not depend on the number of rows either. Its bytes are others than the C kernel's. Any
# fixed order will do, as long as everybody uses the same one; that is why ours has a name, `fixed-order/1`, and results
# carry it.
# :::
#
# **3.** Why is padding every call to 64 rows not a proof, although each call then has the same shape?
#
# :::{dropdown} Answer
# It fixes the shape, so the library will probably pick one method. But within that method, row 0 and row 63 may still
# be added up by different code (a full tile, a remainder), and another version or processor may pick another. It holds
# where it was tried. The loop holds because there is nothing to pick.
# :::
#
# **4.** Is it the *sentence* that has to have four words, or the *call* that has to have four rows? Let the model read
# the one word "Yesterday", in a batch of `B` copies, on stock operations. From which `B` on does its row move where you
# are?
#
# :::{dropdown} Answer
# ```python
# @torch.no_grad()
# def in_company(B, n=1):  # B times the first n words
#     trace = Trace(("k",))
#     model(torch.tensor([sentence[:n]] * B), trace=trace)
#     return trace.get(trace.calls[-1], 3, "k", row=0)[0, 0]
#
# with use_ops("stock"):
#     for B in range(1, 9):
#         print(B, bits.equal(in_company(B), in_company(1)))
# ```
# On the machine that built this page, from four on; and with three words each, from two on. The product is handed
# `B` × `T` rows, and does not ask whose they are. So a row moves with the company of other people's sentences as well,
# and no cache has to be near. [The matmul and the batch](07_matmul_and_the_batch.py) takes it up there.
# :::
#
# ### Three questions
#
# **Two caches have said the same words for every prompt that anybody tried. Which of these do you know: their rows are
# equal; their rows are close; neither?**
#
# :::{dropdown} Answer
# Neither. The forgetful cache above said the same words too. A word is what is left of a row of numbers when nearly all
# of it has been thrown away, and it is thrown away by design: the likeliest word stays the likeliest under small
# changes, and under some that are not small.
# :::
#
# **On the machine that built this page, a sentence of up to three words leaves the row of "Yesterday" alone, on stock
# operations too. May one rely on that, if one's prompts are short?**
#
# :::{dropdown} Answer
# No. It is an observation, of one library in one version on one processor with one thread, and nobody promised it. And
# it is rows that count, not words: four short prompts in one batch are four rows.
# :::
#
# **On that machine, with stock operations and three words, the two runs have equal K and V rows in layer 0 and different
# ones in every later layer, for "worked". How can layer 0 be spared?**
#
# :::{dropdown} Answer
# K and V of layer 0 are made from the word's own numbers by a norm and a product, before anything was added up over the
# slots. There the library treated one row and three rows alike. Then came the first attention, where the two shapes
# parted, and each later layer starts from what it left behind. `first_divergence` said so: layer 0, attention.
# :::
#
# ## What this proves, and what it does not
#
# It proves that, with the order of every sum fixed, decoding with this cache *is* recomputing without it: for these
# fifty prompts, every word of K, V and logits was the same. It shows that on stock operations the same claim is false,
# although the tokens say otherwise; and that a test on tokens lets a bug pass that a test on bytes points to.
#
# It does not prove that the model is right: both paths could be wrong together. It says nothing about a model in
# bfloat16 or on a GPU, which were not tried here. And fifty prompts are a test; the argument is in the order, which you
# can read.
#
# **Now you.** Lab 02 asks you to build this proof yourself, and a checker replays it on prompts you have not seen:
#
# ```bash
# python -m checker labs/02
# ```
#
# **What comes next.** The cache is allowed. Is it worth it? [What a cache buys](05_what_a_cache_buys.py) counts the
# work that it saves and the memory that it takes.
