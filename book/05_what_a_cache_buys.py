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
# # What a cache buys
#
# A KV cache changes nothing. In [Yesterday I worked](04_yesterday_i_worked.py) we went to some trouble to prove it: not
# a token is another one, not a byte. So why does everybody keep one?
#
# Because it saves work, of course. **How much work, and how much time?** Let a model say 256 words, once with a cache
# and once without. First we do not time it: we *count* every multiplication and every addition in its matrix products
# and in its attention. Half an hour, and no GPU.

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
import time
from collections import Counter

import numpy as np
import torch

from courselib import bits, figures
from courselib.counting import counting
from courselib.generate import generate
from courselib.kv_cache import KVCache
from courselib.minigpt import Config, MiniGPT, load_minigpt

torch.set_num_threads(1)  # the model is too small to feed two
model = load_minigpt()


def say(cache):
    return generate("Yesterday I", 256, cache=cache, temperature=0)


with counting() as without:
    words = say(cache=False)
with counting() as cached:
    assert say(cache=True) == words

print("operations, 256 words")
print(f"without a cache {without.flops:14,}")
print(f"with a cache    {cached.flops:14,}")
print(f"times fewer     {without.flops / cached.flops:14.1f}")

# %% [markdown]
# Less than a hundredth is left. Now the stopwatch: both in turns, and of each the quickest run, for whatever else a
# computer is doing can only add to a time.


# %% tags=["nbval-ignore-output"]
def in_turns(runs, rounds, after=lambda: None):
    seconds = [[] for _ in runs]
    for _ in range(rounds):
        for own, run in zip(seconds, runs, strict=True):
            start = time.perf_counter()
            run()
            own.append(time.perf_counter() - start)
            after()
    return [min(own) for own in seconds]


slow, fast = in_turns([lambda: say(False), lambda: say(True)], rounds=3)
print("seconds, billions of operations in one")
print(f"without a cache {slow:6.2f}{without.flops / slow / 1e9:6.1f}")
print(f"with a cache    {fast:6.2f}{cached.flops / fast / 1e9:6.1f}")
print(f"times faster    {slow / fast:6.1f}")

# %% [markdown]
# On the machine that built this page the cache makes it nowhere near a hundred times faster. The same processor, with
# the same weights, does the hundredth part that is left at a small fraction of the speed at which it did the whole.
#
# Most of what was saved has gone somewhere. This chapter is about where. We shall count, then time, then count
# something else; and in the end we shall know what a cache buys, what it does not, and when it is a bad bargain.
#
# ## Numbers that count
#
# How does one count operations? Not with a formula that one hopes is right. Here is a number that knows nothing but
# what is done to it:


# %%
done = Counter()  # the name of an operation -> how often


class Counted:
    def note(name):
        def operation(self, *other):
            done[name] += 1
            return self

        return operation

    __add__, __mul__ = note("+"), note("*")
    __sub__, __truediv__, __ge__ = note("-"), note("/"), note("max")
    exp = note("exp")


def numbers(*shape):
    return np.full(shape, Counted(), dtype=object)


# %% [markdown]
# And here is the matrix product of the last chapter, in its written order, fed with such numbers:


# %%
def linear(x, w):  # x (M, K), w (K, N) -> (M, N)
    y = numbers(len(x), w.shape[1])
    for k in range(len(w)):
        y += x[:, k : k + 1] * w[k]
    return y


print("  M   K   N       *       +  2 M N K")
for M, K, N in [(1, 1, 1), (2, 3, 4), (1, 32, 48), (5, 32, 48)]:
    done.clear()
    linear(numbers(M, K), numbers(K, N))
    times, plus = done["*"], done["+"]
    print(f"{M:3}{K:4}{N:4}{times:8,}{plus:8,}{2 * M * N * K:9,}")
    assert times + plus == 2 * M * N * K

# %% [markdown]
# For each of the `M N` outputs there are `K` products, and each is added: **2 M N K** operations. They are called
# **FLOPs**, floating-point operations. (A FLOP is a thing that one counts, like an apple. How many a machine does in a
# second is another number, and comes later.)
#
# Look at M. It is the number of rows: of words, when a model reads. Twice the words, twice the FLOPs, and no more than
# that. Attention is different. One head of it, for one word that looks at `S` slots, is two products with a softmax
# between them:


# %%
def attend(q, k, v):  # q (1, d_h), k and v (S, d_h) -> (1, d_h)
    scores = linear(q, k.T) * Counted()  # times 1 / sqrt(d_h)
    e = np.exp(scores - scores.max())
    return linear(e / e.sum(), v)


d_h = 32
print("  S       *       +  4 d_h S  all else")
for S in (1, 10, 100):
    done.clear()
    attend(numbers(1, d_h), numbers(S, d_h), numbers(S, d_h))
    times, plus = done["*"], done["+"]
    rest = done.total() - 4 * d_h * S
    print(f"{S:3}{times:8,}{plus:8,}{4 * d_h * S:9,}{rest:10,}")

# %% [markdown]
# Each slot costs `2 d_h` FLOPs when it is compared and `2 d_h` when its value is added in. The softmax needs about six
# operations a slot beside those 128, whatever `d_h` is. It is the custom to leave it out, together with norms and
# activations, and we keep to it: **a bill of FLOPs counts the products**. What the custom leaves out is small. It is
# not nothing, and we shall meet it again.
#
# `counting`, which we used above, does this for whole passes. It stands in for the model's operations, hands each call
# on to the real ones, and writes down its shapes.
#
# ## One layer, one word
#
# Now we can write the bill. One layer of MiniGPT, one more word, with `S` slots filled once it is there. With a cache
# only the new word goes through; without one, all of them do. In FLOPs:
#
# | call, T rows | with a cache, T&nbsp;=&nbsp;1 | without, T&nbsp;=&nbsp;S |
# |---|---|---|
# | q, k and v: (T,&nbsp;128)&nbsp;· (128,&nbsp;256) | 65,536 | 65,536&nbsp;S |
# | attention: 4&nbsp;heads of 32 | **512&nbsp;S** | **256&nbsp;S&nbsp;(S&nbsp;+&nbsp;1)** |
# | output: (T,&nbsp;128)&nbsp;· (128,&nbsp;128) | 32,768 | 32,768&nbsp;S |
# | up, with a gate: (T,&nbsp;128)&nbsp;· (128,&nbsp;512) | 131,072 | 131,072&nbsp;S |
# | down: (T,&nbsp;256)&nbsp;· (256,&nbsp;128) | 65,536 | 65,536&nbsp;S |
# | **together** | **294,912 + 512&nbsp;S** | **294,912&nbsp;S + 256&nbsp;S&nbsp;(S&nbsp;+&nbsp;1)** |
#
# (Row `t` sees `t` slots, and 1 + 2 + ... + S is half of S (S + 1).) With the cache the products are constant, and
# attention grows with S. Without it the products grow with S, and attention with S².
#
# A table in a book is a claim. But we have the calls of all 512 passes that said the 256 words, 21 to a pass: five in
# each of four layers, and the product that makes the logits. Do the first five add up to the bill, at every length?


# %%
def with_cache(S):
    return 294_912 + 512 * S


def without_cache(S):
    return 294_912 * S + 256 * S * (S + 1)


def first_layer(counts):  # FLOPs, pass by pass
    calls = [call.flops for call in counts.calls]
    return [sum(calls[i : i + 5]) for i in range(0, len(calls), 21)]


S = range(2, 258)  # two words are the prompt
assert first_layer(without) == [without_cache(n) for n in S]
assert first_layer(cached)[1:] == [with_cache(n) for n in S[1:]]
print("a pass at 257 slots, one layer")
print(f"without {first_layer(without)[-1]:12,}")
print(f"with    {first_layer(cached)[-1]:12,}")

# %% [markdown]
# At every length, to the last FLOP. (The first pass of the cached run is its prefill, and goes by the other column.)
# Counts are integers: no machine and no load moves them, so there is no tolerance to argue about.
#
# ## The exponent in the textbook
#
# A whole generation is the sum over its words. Sum the constant, and you get n; sum S, and you get n²; sum S², and you
# get n³. So it says in the textbook: **without a cache n³, with one n²**. Let us add up one layer's bill for `n` words,
# from the first on, and see at what length the higher power really takes over.

# %%
from itertools import count

# (products, attention) of the S-th word, then of all n words
steps = {
    "the next word, with": lambda S: (294_912, 512 * S),
    "the next word, without": lambda S: (294_912 * S, 256 * S * (S + 1)),
    "n words, with": lambda n: (294_912 * n, 256 * n * (n + 1)),
    "n words, without": lambda n: (
        147_456 * n * (n + 1),
        256 * n * (n + 1) * (n + 2) // 3,
    ),
}
for n in (1, 2, 3, 100):  # the closed forms are the sums
    for how in ("with", "without"):
        bills = [steps[f"the next word, {how}"](S) for S in range(1, n + 1)]
        sums = tuple(sum(column) for column in zip(*bills, strict=True))
        assert steps[f"n words, {how}"](n) == sums

print("attention reaches the products at")
for name, bill in steps.items():
    n = next(n for n in count(1) if bill(n)[1] >= bill(n)[0])
    print(f"  {name:22}{n:7,}")

# %% [markdown]
# The four numbers are exact: at just these lengths the two sides are equal. And MiniGPT has room for **512** slots. It
# never gets there. At all the lengths that it can reach the products weigh more, and the textbook's powers are hardly
# to be seen:


# %% mystnb={"image": {"alt": "Operations of one layer for n words, against n from 1 to 16,384, both on logarithmic scales. Without a cache the line rises with exponent 1.97 between 8 and 64 words, 2.13 between 128 and 512, and 2.82 at the far end; with a cache with 1.02, 1.19 and 1.87. A dotted upright line marks MiniGPT's 512 slots."}}
def power_law(sizes, costs, low, high):
    kept = [i for i, n in enumerate(sizes) if low <= n <= high]
    x, y = np.log(np.array(sizes))[kept], np.log(np.array(costs))[kept]
    exponent, shift = np.polyfit(x, y, 1)
    return figures.Fit(low, high, exponent, np.exp(shift))


ns = [2**i for i in range(15)]
curves = {
    how: (ns, [sum(steps[f"n words, {how}"](n)) for n in ns])
    for how in ("without", "with")
}
ranges = [(8, 64), (128, 512), (4096, 16384)]
figures.cost_curves(
    {
        "without a cache": curves["without"],
        "with a cache": curves["with"],
    },
    title="FLOPs of one layer for n words",
    x="n, words",
    y="FLOPs",
    fits={
        f"{how} a cache": [power_law(*curves[how], *r) for r in ranges]
        for how in curves
    },
    marks={"MiniGPT's slots": 512},
)

# %% [markdown]
# On paper with two logarithmic scales a power law is a straight line, and its exponent is the slope. Each thick stroke
# is a straight line fitted to one range of lengths, with its slope beside it. These are *exact counts*, without any
# noise; and still there is no such thing as "the" exponent. There is one for each range. Without a cache it goes from 2
# to 3, with one from 1 to 2, and in both cases most of the way lies beyond what this model can do.
#
# So whoever quotes an exponent owes you the range. And whoever stretches a line fitted on the left to a length on the
# right will be wrong, on exact data, by a lot.
#
# ## The stopwatch, again
#
# Time has a reason of its own to bend. We take the time for *one* more word, at lengths from 1 to 512, again in turns.


# %%
def full_pass(n):  # all n words, and no cache
    return model, torch.ones(1, n, dtype=torch.long), None


def decode_step(n, B=1, model=model):  # the n-th word of B sequences
    ids = torch.ones(B, n, dtype=torch.long)
    cache = KVCache.for_model(model, B, max_slots=n)
    if n > 1:
        model(ids[:, :-1], cache, last_only=True)
    return model, ids[:, -1:], cache


def put_back(passes):  # a step has filled the last slot
    for _, _, cache in passes:
        if cache:
            cache.truncate(cache.max_slots - 1)


def run(model, ids, cache):
    return model(ids, cache, last_only=True)


def seconds(passes, rounds=21):
    runs = [lambda one=one: run(*one) for one in passes]
    return in_turns(runs, rounds, after=lambda: put_back(passes))


def count_pass(one):
    with counting() as counts:
        run(*one)
    put_back([one])
    return counts


lengths = [2**i for i in range(10)]
passes = {
    "without a cache": [full_pass(n) for n in lengths],
    "with a cache": [decode_step(n) for n in lengths],
}

# %% tags=["nbval-ignore-output"]
times = {how: seconds(line) for how, line in passes.items()}
fits = {}
print("exponent of n     8 to 64  128 to 512")
print("                FLOPs time  FLOPs time")
for how, line in passes.items():
    flops = [count_pass(one).flops for one in line]
    ms, fits[how] = [1e3 * t for t in times[how]], []
    row = f"{how:15}"
    for low, high in [(8, 64), (128, 512)]:
        counted = power_law(lengths, flops, low, high)
        timed = power_law(lengths, ms, low, high)
        fits[how].append(timed)
        row += f"{counted.exponent:6.2f}{timed.exponent:5.2f} "
    print(row.rstrip())

# %% tags=["nbval-ignore-output"] mystnb={"image": {"alt": "Milliseconds for one more word against the length, 1 to 512, both on logarithmic scales. With a cache the line is nearly flat, at about half a millisecond. Without a cache it starts at the same height, stays flat up to some eight words, and rises to above twenty milliseconds, with a small exponent between 8 and 64 and one above 1 between 128 and 512."}}
figures.cost_curves(
    {how: (lengths, [1e3 * t for t in times[how]]) for how in times},
    title="Time for one more word",
    x="length, words",
    y="milliseconds",
    fits=fits,
)

# %% [markdown]
# Look at the left end. With one word to read there is nothing to save, and both take about the same time. With eight
# words the full pass does eight times the work of a decode step, and on the machine that built this page it took hardly
# longer. Between 8 and 64 the FLOPs grow with an exponent of 1, and the time there with about half of that. Only on the
# right does the time follow the FLOPs. (It even rises a little faster: not every FLOP takes equally long.)
#
# The cached line is flat. Its FLOPs grow on the right; the time hardly cares.
#
# Neither line goes below about half a millisecond there, and that half millisecond is not made of FLOPs. Had we fitted
# one straight line to all ten points and written its slope into a report, we should have described a constant on the
# left, the FLOPs on the right, and nothing at all in between.
#
# ## What the cache does not save
#
# What is in the half millisecond? `counting` wrote down more than FLOPs. Back to the 256 words of the beginning:


# %%
def compare(name, a, b):
    print(f"{name:14}{a / b:6.1f}{a:15,}{b:12,}")


print("256 words      ratio        without        with")
compare("FLOPs", without.flops, cached.flops)
compare("calls", len(without.calls), len(cached.calls))
print("bytes")
compare("  weights read", without.weight_bytes, cached.weight_bytes)
compare("  K and V read", without.kv_bytes, cached.kv_bytes)
compare("  other rows", without.activation_bytes, cached.activation_bytes)

# %% [markdown]
# **As many calls are made, and the weights and the rows of K and V are read as often as before.** Of these the cache
# saves nothing at all. (What shrinks with the FLOPs is the other rows: the inputs and results of each call.)
#
# It cannot. A pass over one word needs every weight of the model once. So does a pass over 500 words: the rows share
# what is read. The K and V rows of all earlier words are read by attention in either case; the cache spares us from
# *computing* them. And a layer is a layer: five of these operations, some small ones, and the Python that calls them,
# whether there is much in them or little.
#
# A cache buys FLOPs. Its price is memory, and we come to that. Whether FLOPs are worth buying depends on whether FLOPs
# are what you were waiting for.
#
# ## A model with nothing in it
#
# First the calls. How long does a decode step take if there is nothing to compute? Take the same four layers and the
# same Python, make all matrices tiny, and let attention see one slot. Beside it: the products of the real step, called
# one after another with nothing around them; a copy of as many bytes as the step must read; and its FLOPs, at the speed
# of one large product.


# %% tags=["nbval-ignore-output"]
def products_alone():
    for x, w in zip(inputs, weights, strict=True):
        current_ops().linear(x, w)


def copy_rate(n_bytes):  # read and written, bytes a second
    a, b = torch.ones(n_bytes // 4), torch.zeros(n_bytes // 4)
    return 2 * n_bytes / in_turns([lambda: b.copy_(a)], rounds=31)[0]


def matmul_rate(n=768):  # FLOPs a second
    a = torch.randn(n, n)
    return 2 * n**3 / in_turns([lambda: a @ a], rounds=15)[0]


weights = [
    w
    for block in model.blocks
    for w in (block.w_qkv, block.w_o, block.w_up, block.w_down)
] + [model.head]
inputs = [torch.randn(1, len(w)) for w in weights]
tiny = MiniGPT(Config(vocab_size=8, dim=8, ff_dim=8)).requires_grad_(False)

step = count_pass(decode_step(128))
step_bytes = step.weight_bytes + step.kv_bytes
rate, bandwidth = matmul_rate(), copy_rate(step_bytes)
passes = [decode_step(128), decode_step(1, model=tiny)]
whole, hollow = seconds(passes, rounds=51)
(products,) = in_turns([products_alone], rounds=51)

print("one decode step, 128 slots          µs")
for what, took in {
    "the whole step": whole,
    "the same with nothing in it": hollow,
    f"its {len(weights)} products, called alone": products,
    f"{step_bytes / 1e6:.1f} MB, at {bandwidth / 1e9:.0f} GB/s": (
        step_bytes / bandwidth
    ),
    f"{step.flops / 1e6:.1f} MFLOP, at {rate / 1e9:.0f} GFLOP/s": (
        step.flops / rate
    ),
}.items():
    print(f"  {what:30}{took * 1e6:6.0f}")

# %% [markdown]
# The last two lines are what the machine itself needs: bytes to fetch, and FLOPs to do. It can do both at once, so the
# **floor** of a step, the least time it can take, is the larger of the two. On the machine that built this page the
# step took nearly twenty times as long, and *a model with nothing in it took most of that time*. **For MiniGPT,
# decoding is calling**: Python, nine small functions a layer, and the tensors handed between them.
#
# Why could the full pass be so fast, then? Because it makes the *same* calls, with far more in each. The cache took the
# work out of them and left the calls. That is where our hundredfold went: no pass is done before its calls are made.
#
# Here is the same measured with more care (`python -m benchmarks.generate`), on two processors, with loops in C that do
# only the reading, or only the arithmetic:

# %% tags=["hide-input", "nbval-ignore-output"]
import json
from pathlib import Path

results = sorted(Path("../benchmarks/results").glob("generate-*.json"))
for file in results:
    result = json.loads(file.read_text(encoding="utf-8"))
    rows = [r for r in result["rows"] if r["name"] == "one decode step"]
    print(f"{result['device']['cpu']}, {result['date']}")
    heads = [f"B = {row['settings']['B']}" for row in rows]
    print(
        f"  {'one decode step, µs':22}" + "".join(f"{h:>7}" for h in heads)
    )
    for part in rows[0]["values"]:
        times_of_it = [1e6 / row["values"][part]["median"] for row in rows]
        line = "".join(f"{took:7,.0f}" for took in times_of_it)
        print(f"  {part:22}{line}")
if not results:
    print("The measurements are in the repository: benchmarks/results.")

# %% [markdown]
# ## Bytes
#
# Nobody serves a model of this size. Beside the matrices of a large one the calls may vanish; or they are recorded
# once, and played back by the GPU itself (a **CUDA graph**). Then it is the floor that one waits for. Which of the two
# takes longer, the bytes or the FLOPs?
#
# Take one product again. It does 2 M N K FLOPs. It must read `x` and `w` and write the result: with four bytes a
# number, 4 (M K + K N + M N) bytes. The quotient is its **arithmetic intensity**, in FLOPs per byte:

# %%
from fractions import Fraction


def intensity(M, K, N, size=4):
    moved = size * (M * K + K * N + M * N)
    return Fraction(2 * M * N * K, moved)


print("FLOPs per byte, (M, K) · (K, N), float32")
print("    M  K = 128, N = 512  K = N = 4096")
for M in (1, 2, 8, 32, 128, 512, 4096):
    small, large = intensity(M, 128, 512), intensity(M, 4096, 4096)
    print(f"{M:5}{float(small):18.2f}{float(large):14.2f}")

# %% [markdown]
# With one row it is just below **one half**, however large the matrix: a weight is read, four bytes, multiplied once,
# added once, and not needed any more. Each further row uses the same weight again, and nothing more is read for it but
# the row. That goes on until the rows themselves become as heavy as the matrix.
#
# This is the whole difference between the two phases of generation. A **prefill** takes all rows of the prompt through
# each matrix at once. A **decode** step takes one. It does the least one can do with a weight that was carried all the
# way from memory.
#
# ## The roof
#
# A machine has a speed for moving bytes and a speed for doing FLOPs. At `i` FLOPs per byte it cannot do more than `i`
# times the first, nor more than the second. Drawn against `i` that is a roof: a slope, then a flat. (The picture is
# Williams, Waterman and Patterson's, 2009.) Where the slope ends, bytes and FLOPs take equally long; this intensity is
# the machine's **balance**.
#
# Here is the roof of the machine that built this page, as just measured, and that of an H100, as kept in
# `benchmarks/results`. (A small buffer stays in a processor's own caches, as MiniGPT's weights do; a large one comes
# from main memory, and more slowly.)

# %% tags=["hide-input", "nbval-ignore-output"]
files = sorted(Path("../benchmarks/results").glob("model-nvidia-*.json"))
gpu = json.loads(files[0].read_text(encoding="utf-8")) if files else None


def measured(part):
    """(settings, floor, {graph, eager: seconds}) of the Qwen3's passes."""
    took = {}
    for row in gpu["rows"]:
        name, s = row["name"], row["settings"]
        if not name.startswith("Qwen3") or s["mask"] == "left padding":
            continue
        if s["step"] == part:
            letter = "T" if part == "prefill" else "B"
            size = f"{letter} = {s[letter]}"
            how = "graph" if name.endswith("graph") else "eager"
            ms = row["values"]["mode off"]["median"]
            took.setdefault(size, {})[how] = ms / 1e3
            if how == "graph":
                took[size].update(row["floor"], settings=s)
    return took


def reached(passes):
    for a_pass, took in zip(passes, seconds(passes), strict=True):
        c = count_pass(a_pass)
        yield "", c.flops / c.bytes, c.flops / took


rate = max(rate, matmul_rate())  # once more: the quicker one counts
machines = {"one thread here, float32": (bandwidth, rate)}
points = {
    "prefill": [*reached([full_pass(n) for n in (2, 8, 32, 128, 512)])],
    "decode": [*reached([decode_step(128, B) for B in (1, 4, 16, 64)])],
}
large = copy_rate(2**27)
rates = {
    "one thread here": (bandwidth, rate),
    "  from memory": (large, rate),
}
if gpu:
    floor = next(iter(measured("decode").values()))
    name = gpu["device"]["gpu"].split()[1]
    rates[name] = floor["bandwidth"], floor["rate"]
    machines[f"{name}, bfloat16"] = rates[name]
    for part, some in points.items():
        for size, at in measured(part).items():
            intensity_at = at["flops"] / at["bytes"]
            some.append((size, intensity_at, at["flops"] / at["graph"]))
print("                 GB/s  GFLOP/s  balance")
for name, (of_bytes, of_flops) in rates.items():
    print(f"{name:15}{of_bytes / 1e9:6,.0f}{of_flops / 1e9:9,.0f}", end="")
    print(f"{of_flops / of_bytes:9.1f}")
if not gpu:
    print("The GPU's are in the repository: benchmarks/results.")

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"image": {"alt": "Two roofs on logarithmic scales: FLOPs a second against FLOPs per byte. The lower one, a thread of this machine, bends at about one FLOP per byte, the upper one, an H100, at about 265. On the H100 decode lies under the slope at about one to 44 FLOPs per byte, just below the roof, and prefill under the flat. MiniGPT's decode lies far below its roof, and comes nearer as the batch grows; its long prefills lie near the flat."}}
figures.roofline(machines, points, title="What a machine allows")

# %% [markdown]
# The points are what was reached. Above, by eight layers of a Qwen3, of the shape of the 8B, in bfloat16, on PyTorch's
# own kernels and as CUDA graphs, the decode steps with 1,024 slots a sequence. Below, by MiniGPT.
#
# The upper roof is the one that matters to the world. On that GPU **prefill lies under the flat and decode under the
# slope**: a prefill of 4,096 tokens waits for arithmetic, a decode step waits for memory. This holds even for 64
# sequences at once. Both come within about a factor of two of what the machine allows.
#
# The lower points hang far below their roof on the left, where calls are nearly all there is. They climb towards it as
# each call gets more to do.
#
# In numbers, on the GPU. (The floor is the one that its two rates give; the next column is the time as a CUDA graph; in
# the last one, **eager**, Python launches each kernel by itself, as on our CPU.)

# %% tags=["hide-input", "nbval-ignore-output"]
if gpu:
    print(f"{gpu['device']['gpu']}, {gpu['date']}")
    print("milliseconds      GFLOP  GB floor graph eager")
    for part in points:
        for size, at in measured(part).items():
            print(f"{part:8}{size:8}{at['flops'] / 1e9:7,.0f}", end="")
            print(f"{at['bytes'] / 1e9:4.1f}{at['value']:6.2f}", end="")
            print(f"{at['graph'] * 1e3:6.2f}{at['eager'] * 1e3:6.2f}")

# %% [markdown]
# Compare the first two lines. The prefill does some three thousand times the FLOPs of a decode step, in about twelve
# times the time: **a token that is read costs a small fraction of a token that is written**. It was never the FLOPs
# that made decoding slow, and so taking FLOPs away cannot make it fast. What remains is what it costs to carry the
# weights.
#
# (And look at the last column: launched one by one, even for a model of that size, the calls are most of what a decode
# step waits for.)
#
# You also see why nobody decodes without a cache, although most of what it saves goes to waste. At 4,096 slots each new
# token would be a prefill of 4,096; and there FLOPs *are* what one waits for.
#
# ## Many at once
#
# Every decode step carries all the weights past one row. Then let more rows ride along, each from another sequence:
# that is **batching**. The weights are read once for all of them:

# %% tags=["nbval-ignore-output"] mystnb={"image": {"alt": "Tokens a second against the batch, 1 to 64, both on logarithmic scales. The measured line starts along the straight line of a free batch and falls more and more behind it."}}
batches = [1, 2, 4, 8, 16, 32, 64]
took = seconds([decode_step(128, B) for B in batches])
per_second = [B / s for B, s in zip(batches, took, strict=True)]
figures.cost_curves(
    {
        "if each further sequence cost nothing": (
            batches,
            [B * per_second[0] for B in batches],
        ),
        "measured": (batches, per_second),
    },
    title="Decoding a batch, 128 slots each",
    x="B, sequences",
    y="tokens a second",
)

# %% [markdown]
# At first a second sequence costs little: the call is made anyway, and the weights are there. (In the table above, 64
# sequences took the GPU four tenths more time than one.) Later each costs its own FLOPs; and on a machine that waits
# for memory it costs something else. **The weights are shared. The K and V rows are not**: each sequence reads its own.
# (Those of 64 sequences are 16.8 MB here, more than fits into many a processor's caches: the last point may be a low
# one.) For MiniGPT:


# %%
def bytes_of_step(S, B):
    counts = count_pass(decode_step(S, B))
    return counts.weight_bytes, counts.kv_bytes


print("   S    B      weights        K and V")
sizes = [(1, 1), (128, 1), (512, 1), (128, 8), (332, 4), (333, 4)]
for S, B in [*sizes, (128, 64)]:
    of_weights, of_rows = bytes_of_step(S, B)
    print(f"{S:4}{B:5}{of_weights:13,}{of_rows:15,}")

a_slot = bytes_of_step(1, 1)[1]
meet = -(-of_weights // a_slot)
print(f"a slot is {a_slot:,} bytes")
print(f"K and V overtake at S B = {meet:,}")

# %% [markdown]
# A slot is 2 · L · H_kv · d_h numbers of four bytes: 2 · 4 · 2 · 32 · 4 bytes. From 1,332 slots on, counted over the
# whole batch, a step reads more of its sequences' past than of the model: three sequences of 444 slots, or 64 of 21.
# Beyond that point batching brings less and less: what grows is what cannot be shared. (H_kv is in that product.
# **Grouped-query attention**, here two heads of K and V for four of queries, halves it, and that is what it is for:
# Ainslie and others, 2023.)
#
# ### And the bytes of the answer?
#
# In this course, joining a batch must not change anybody's numbers. On fixed-order operations it does not:

# %%
rng = np.random.default_rng(0)
prompts = torch.from_numpy(rng.integers(0, 700, (64, 9)))


def last_logits(ids):  # 8 words are read, then the ninth
    cache = KVCache.for_model(model, batch=len(ids))
    model(ids[:, :8], cache, last_only=True)
    return model(ids[:, 8:], cache, last_only=True)  # (B, V)


alone = torch.cat([last_logits(prompts[i : i + 1]) for i in range(64)])
for B in (2, 3, 16, 64):
    equal = bits.equal(last_logits(prompts[:B]), alone[:B])
    print(f"batch of {B:2}, equal to alone: {equal}")

# %% [markdown]
# So the speed of a batch is to be had without a change of bytes. The order in which a row is added up does not need to
# know how many others ride along, and [The matmul and the batch](07_matmul_and_the_batch.py) looks at what that costs
# on a GPU.
#
# ## What it takes
#
# The cache is a tensor that one has to keep somewhere.

# %%
cache = KVCache.for_model(model)
parameters = sum(p.numel() for p in model.parameters())
print("bytes")
print(f"the cache of one sequence {cache.data.nbytes:10,}")
print(f"  {cache.max_slots} slots of            {a_slot:9,}")
print(f"the whole model            {4 * parameters:9,}")


def slot_bytes(L, H_kv, d_h, size):
    return 2 * L * H_kv * d_h * size


assert slot_bytes(4, 2, 32, 4) == a_slot
large = slot_bytes(L=36, H_kv=8, d_h=128, size=2)
print(f"a slot of Qwen3-8B         {large:9,}")
print(f"  slots in 60 GB           {60 * 10**9 // large:9,}")

# %% [markdown]
# Three sequences' caches take about as much as MiniGPT. For a model of the shape of Qwen3-8B (36 layers, 8 heads of K
# and V of size 128, two bytes a number), each word of each conversation takes 147 kB, for as long as the conversation
# lasts. A GPU with 60 GB left over holds some 400,000 slots: a hundred conversations of 4,000 words. **Memory decides
# how many may ride along, and that decides how much each weight that was carried is used.** It is why servers go to
# such lengths to waste no slots. Ours does waste them: it sets 512 aside for each sequence, and a sentence of twenty
# words leaves 492 empty.
#
# ## When it stops paying
#
# **When there is nothing to save.** The first new word comes out of the prefill, cache or not. The bill says when a
# cache begins to pay:


# %%
def bill(n_prompt, n_new, cache):
    with counting() as counts:
        generate([5] * n_prompt, n_new, cache=cache, temperature=0)
    return counts.flops


print("times fewer FLOPs with a cache")
print("new words    1    2    4    16    64")
for n_prompt in (1, 8, 64):
    row = f"prompt {n_prompt:2}"
    for n_new in (1, 2, 4, 16, 64):
        ratio = bill(n_prompt, n_new, False) / bill(n_prompt, n_new, True)
        row += f"{ratio:{5 if n_new < 16 else 6}.{2 if n_new < 16 else 1}f}"
    print(row)

# %% [markdown]
# For one new word exactly 1: a classifier that reads a text and says one word needs no cache, and a cache costs it a
# little, for the copies. From the second word on it always saves FLOPs; whether it saves *time* you have seen above.
#
# **When there is no room.** A cache that fills the memory keeps other sequences out. Then it may be better to throw one
# away and read that conversation again when its turn comes: a prefill, and those are efficient.
#
# **When it lies too far away.** That last thought deserves a number. Say the rows of `n` slots are not in fast memory.
# Either fetch them, 512 bytes a slot and layer, or compute them again, for the FLOPs of a full pass (its weights are at
# hand). Which is sooner depends on how many FLOPs the machine does in the time that one byte takes to come. Where are
# the two level?

# %%


def level(n):  # FLOPs per byte
    return Fraction(without_cache(n), 512 * n)


for n in (1, 128, 512):
    print(f"n = {n:3}: {float(level(n)):6.1f} FLOPs per byte")
assert all(level(n) == 576 + Fraction(n + 1, 2) for n in range(1, 1000))
assert level(847) == 1000

# one layer of Qwen3-8B: D = 4096, F = 12288; two bytes a number
D, F, kv = 4096, 12288, 2 * 8 * 128
products = 2 * (D * (D + kv) + D * D + 3 * D * F)
qwen = (products + 4 * D) / (2 * kv)
print(f"Qwen3-8B, n = 1: {qwen:,.0f} FLOPs per byte")
print(f"  at 800,000 GFLOP/s: {800_000 / qwen:.1f} GB/s")

# %% [markdown]
# At 576 + (n + 1) / 2 FLOPs per byte, exactly. From the memory next to the processor, reading always wins: look at the
# balances above, of either machine, and how far below this they are. But let the cache lie on a disk that brings 1
# GB/s, before a machine that does 1,000 GFLOP/s. That is a balance of 1,000 FLOPs per byte, and `level(847)` is 1,000:
# shorter prefixes are computed sooner than they are fetched, longer ones are fetched sooner.
#
# A larger model has more work behind each byte that it keeps: for the shape of Qwen3-8B the level begins above 94,000.
# But its machine is faster too. A GPU that does 800,000 GFLOP/s computes short prefixes sooner than it fetches them,
# unless they come at 8.5 GB/s or more.
#
# **When someone has done it before, it pays twice.** Thousands of requests to a server begin with the same thousand
# words of instructions. Their K and V rows do not depend on what comes after (see [The KV cache](03_the_kv_cache.py)),
# so one copy can serve all: the prefill of that prefix, for MiniGPT 294,912 FLOPs and more a layer and word, is bought
# once. And for *us* there is one more condition: the rows must be those that the request would have computed itself,
# byte for byte, in whatever batch they were made. With a fixed order they are.
#
# ## Try it
#
# **1.** A model like MiniGPT, but with the K and V heads of a model without grouped queries: H_kv = 4. What changes in
# the bill of one layer, in the size of a slot, and at which S do attention's FLOPs reach the products' in a decode
# step?
#
# :::{dropdown} Answer
# The first product becomes (1, 128) · (128, 384), 98,304 FLOPs, and the products together 327,680. Attention's FLOPs
# stay: there are four query heads in either case. They meet at 327,680 / 512 = 640. A slot has 4,096 bytes, twice as
# many. Grouped queries hardly save FLOPs; they save bytes.
# ```python
# c = Config(vocab_size=719, n_kv_heads=4)
# wide, ids = MiniGPT(c), torch.ones(1, 1, dtype=torch.long)
# with counting() as counts, torch.no_grad():
#     wide(ids, KVCache.for_model(wide))
# print(sum(call.flops for call in counts.calls[:5]) - 512)
# print(counts.kv_bytes)
# ```
# `327680` and `4096`.
# :::
#
# **2.** Fit one power law to the exact FLOPs of `n` words without a cache for n from 8 to 64 only, and use it to
# predict n = 16,384. By what factor are you off? What if you fit from 128 to 512?
#
# :::{dropdown} Answer
# ```python
# sizes, costs = curves["without"]
# for low, high in [(8, 64), (128, 512)]:
#     fit = power_law(sizes, costs, low, high)
#     print(costs[-1] / (fit.factor * 16384**fit.exponent))
# ```
# `12.1` and `5.2` times too little. The data were exact, and on their own ranges both lines miss by less than 2 per
# cent. It is the stretching that is wrong: the term that will dominate was hardly there yet. Predict with the bill, not
# with a line.
# :::
#
# **3.** The GPU above has a balance of about 265 FLOPs per byte. Is there a batch so large that its decode steps wait
# for arithmetic, at 1,024 slots a sequence? (Per sequence, a step of the eight layers does 4.33 GFLOP in its products
# and 0.13 in attention, and reads 33.6 MB of K and V; the weights are 4.33 GB.)
#
# :::{dropdown} Answer
# No. With B sequences the intensity is 4.46 B / (4.33 + 0.0336 B). As B grows, the weights vanish from it, and it comes
# near 4.46 / 0.0336 = 133 FLOPs per byte, and never above. K and V rows are shared by nobody but the four query heads
# of their group, so no batch makes up for them. At 256 slots it would: the limit is then above 500.
# :::
#
# **4.** Without a cache, a *batch* of full passes: does it raise the intensity of MiniGPT's passes as much as it does
# for decode steps? Use `counting` on `model(torch.ones(B, 256, dtype=torch.long), last_only=True)`.
#
# :::{dropdown} Answer
# ```python
# for B in (1, 16):
#     with counting() as c, torch.no_grad():
#         model(torch.ones(B, 256, dtype=torch.long), last_only=True)
#     print(c.flops / c.bytes)
# ```
# From 33 to 43 FLOPs per byte: hardly. The 256 rows of one pass share the weights already, and there is little left to
# be shared. (A decode step at 256 slots goes from 0.57 to 2.59. Not by a factor of 16 either, because of K and V.)
# :::
#
# ### Three questions
#
# **A colleague doubles the speed of every matrix product. How much faster does MiniGPT decode, one sequence at a
# time?**
#
# :::{dropdown} Answer
# Hardly at all. On the machine that built this page the products, called alone, are about a quarter of the step, and
# much of that is the calling of them. Before you make something faster, find out whether anybody waits for it.
# :::
#
# **Somebody reports: "decode time grows as n to the power 0.05". Is this wrong?**
#
# :::{dropdown} Answer
# It may be exactly what was measured, and it says nothing about longer sequences. The step's cost is a constant and a
# term in n; the constant drowned the term on that range. An exponent needs its range, and a constant beside a power is
# no power.
# :::
#
# **Why does a second sequence in the batch cost a decode step so little, and a prefill so much?**
#
# :::{dropdown} Answer
# A decode step waits for the weights (or, here, for the calls), and those are shared: a second row uses what is there
# already. A prefill waits for arithmetic, and arithmetic cannot be shared. Each row needs its own.
# :::
#
# ## What this proves, and what it does not
#
# It proves, by counting, what one layer costs with a cache and without, in FLOPs and in the bytes of weights and of K
# and V rows that must be read; that the cache takes away FLOPs, and no call, no weight and no row of K and V that must
# be read; and at which lengths and batches one term overtakes another. It shows, by measuring, that a small model's
# decode step takes many times its floor, and that here its calls are most of it.
#
# It does not show more than that:
#
# - **The counts are those of the products.** Softmax, norms, RoPE, copying into the cache and drawing a token are left
#   out, and on a machine that waits for calls they take their share of the time.
# - **The bytes are the least that must move**, not what a memory bus was seen to carry. Caches of the processor make it
#   less, and kernels that read a row twice make it more.
# - **The times are one machine's**, one thread, in a busy moment or a quiet one; those of the GPU come from
#   `benchmarks/results`. The exponents of time are good for their ranges, and for nothing else.
# - A roofline is an upper bound. It tells you what to wait for, not how to reach it.
#
# **Now you.** Lab 03 asks you for the whole model: count it, with batches and prompts; measure it, fit it honestly, and
# say what it would cost at a length that nobody has measured. A checker counts with you:
#
# ```bash
# python -m checker labs/03
# ```
