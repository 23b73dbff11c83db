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
# # The matmul and the batch
#
# You send a prompt to a model. At the same moment somebody else sends another, and the server puts both into one batch.
# Your row of numbers lies next to theirs, and goes through the same matrix products. Nothing in the mathematics lets
# one row see the other.
#
# **Why do a row's bytes depend on its neighbours?** In this chapter we see it happen, say why, switch it off for a
# whole PyTorch model, look at the kernel that makes it possible, and at the bill. It takes about half an hour. It runs
# on a CPU, and the same cells run on a GPU if you have one. The kernel is written in Triton; [Triton from
# zero](06_triton_from_zero.py) says all that you need to know of it.

# %% tags=["remove-cell", "nbval-ignore-output"]
# On Colab: install the course's library, once (about a minute). Elsewhere it is there already.
import importlib
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

# Before PyTorch loads Triton by itself: without a GPU this chooses its interpreter.
try:
    importlib.import_module("courselib.kernels.triton")
except ImportError:  # Triton is made for Linux
    pass

# %% [markdown]
# ## One row, twice
#
# Two matrices of evenly spaced numbers, no randomness anywhere. We multiply the first row of `a` by `b`; then all of
# `a` by `b`, and take the first row of the result. (Horace He and others built this demonstration, for "Defeating
# Nondeterminism in LLM Inference", 2025.)

# %% tags=["nbval-ignore-output"]
import numpy as np
import torch

from courselib import bits

device = "cuda" if torch.cuda.is_available() else "cpu"
B, D = 2048, 4096
a = torch.linspace(-100, 100, B * D, device=device).reshape(B, D)
b = torch.linspace(-100, 100, D * D, device=device).reshape(D, D)


def one_row_twice():
    alone, in_batch = a[:1] @ b, (a @ b)[:1]
    names, axes = ("alone", "batch"), ("row", "column")
    return bits.report(alone, in_batch, names, axes)


print(one_row_twice())

# %% [markdown]
# On the machine that built this page nearly every word differs, and the first one by thousands of **ULPs**, steps from
# one float to the next that exists. (So many because the sum cancels: large products of both signs leave a small rest,
# and the rounding is that of the large ones.)
#
# It is not chance. Run the cell again, and you get the same words, and the same differences. Each call is
# **deterministic**: same inputs, same bytes. What it is not is **batch-invariant**: a row's bytes depend on the rest of
# the batch.
#
# ## The library looks at the shape
#
# Here is what the library is asked to do, in the two calls:
#
# | | alone | in the batch |
# |---|---|---|
# | a, (M,&nbsp;K) | (1,&nbsp;4096) | (2048,&nbsp;4096) |
# | b, (K,&nbsp;N) | (4096,&nbsp;4096) | (4096,&nbsp;4096) |
# | result, (M,&nbsp;N) | (1,&nbsp;4096) | (2048,&nbsp;4096) |
# | products to be added for one output, K | 4096 | 4096 |
# | the result in tiles of 128 × 128 | 1 × 32 = 32 | 16 × 32 = 512 |
#
# The last line is the one that matters to a library. A GPU of the kind used below has 132 multiprocessors. In the batch
# there is work for all of them, nearly four times over. Alone there is work for 32, and 100 would stand idle: so a good
# library does something else there. It may use another tile; it may hand each multiprocessor a *piece of the sum*, and
# add the pieces at the end. A CPU library has reasons of the same kind: one row cannot reuse what it has read of `b`,
# so there is a separate routine for it.
#
# The fourth line is the same in both. Each output is the same sum of the same 4096 products. Only the order is the
# library's choice, and it made that choice by looking at M, which is to say at the neighbours. Does the order matter?
# Eight numbers whose sum is 6:

# %%
terms = np.float32([2**24, 1, 1, 1, 1, 1, 1, -(2**24)])


def in_turn(x):  # one accumulator, from left to right
    total = np.float32(0)
    for term in x:
        total += term
    return total


halves = in_turn(terms[:4]) + in_turn(terms[4:])
lanes = in_turn([in_turn(terms[i::4]) for i in range(4)])
print("one after another:      ", in_turn(terms))
print("two halves, then added: ", halves)
print("four lanes, then added: ", lanes)

# %% [markdown]
# Three orders, three answers. A float32 has 24 bits of precision: next to 2²⁴ a 1 is half a step, and is rounded away.
# How many of the ones survive depends on whom they meet first. None of the three is a mistake in the adding. There is
# no such thing as *the* float sum of eight numbers; there is one for each order.
#
# So a row's bytes depend on its neighbours because **the number of neighbours chooses the order of the row's own
# sums**. Nothing leaks from row to row. That also says what the cure is: choose the order by something else.
#
# ## The switch

# %% tags=["nbval-ignore-output"]
from courselib.invariant import set_batch_invariant_mode

with set_batch_invariant_mode():
    print("On:", one_row_twice(), sep="\n")

print("\nOff again:", one_row_twice(), sep="\n")

# %% [markdown]
# With the mode on, 0 words differ. The function is the same and so are the tensors; `@` is PyTorch's own. What changed
# is who answers when PyTorch asks for a matrix product: on a CPU, C kernels that add in one written order (as in
# [Yesterday I worked](04_yesterday_i_worked.py)); on a CUDA device, Triton and CUDA kernels, of which more below. When
# the block ends, PyTorch's own kernels are back.
#
# Blocks nest, in both directions, and an exception puts back what was there before:

# %%
from courselib.invariant import is_batch_invariant_mode_enabled as is_on

seen = [is_on()]
with set_batch_invariant_mode():
    seen.append(is_on())
    try:
        with set_batch_invariant_mode(False):
            seen.append(is_on())
            raise ValueError("something went wrong")
    except ValueError:
        seen.append(is_on())
seen.append(is_on())
print(seen)

# %% [markdown]
# The mode belongs to the process, not to a thread, because a backward pass runs in threads of its own.
# `enable_batch_invariant_mode()` switches it on for good, in a server say. Float32 means IEEE float32 there; who wants
# the tensor cores' TF32 asks for it by name, `set_batch_invariant_mode(fp32="tf32x3")`.
#
# ## What it replaces, and how you know
#
# A model is more than one matrix product. Whatever adds up numbers has an order, and the mode replaces what models use:
#
# | family | PyTorch's ops |
# |---|---|
# | products | `mm`, `addmm`, `bmm`, `baddbmm`, `mv`, `dot` and their kin; through them `nn.Linear`, `@`, `einsum` |
# | softmax | `softmax`, `log_softmax`, `logsumexp`; through them `cross_entropy` |
# | sums | `sum`, `mean`, `var`, `std`, vector norms, along any dimensions |
# | norms | `layer_norm`, `rms_norm` |
# | attention | `scaled_dot_product_attention`, in each of its fused forms |
# | on the CPU only | `sigmoid`, `silu`, `gelu`: no sum, and yet PyTorch's vector code and its code for the last few elements round differently |
#
# These are **leaf ops**, the ones that no other op is made of. What is built from them need not be touched: not your
# model, not autograd's formulas.
#
# But a list in a book is a claim. Your model may call something that is not on it, and then a promise about "the model"
# would be false without anybody noticing. So there is an **audit**, which watches every op as it runs. Here is a small
# transformer block, in nothing but PyTorch:

# %%
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, D=64, H=4):
        super().__init__()
        self.H = H
        self.norm_1, self.norm_2 = nn.LayerNorm(D), nn.RMSNorm(D)
        self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

    def forward(self, x):  # x (B, T, D)
        B, T, D = x.shape
        qkv = self.qkv(self.norm_1(x)).view(B, T, 3, self.H, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, H, T, d_h) each
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, D))
        return x + self.down(F.silu(self.up(self.norm_2(x))))


torch.manual_seed(0)
block = Block().to(device).requires_grad_(False)
x = torch.randn(4, 5, 64, device=device)  # 4 sequences of 5 tokens

# %% tags=["nbval-ignore-output"]
from courselib.invariant import audit_batch_invariance

with set_batch_invariant_mode(), audit_batch_invariance() as report:
    block(x)
print(report)
assert report.ok

# %% [markdown]
# Each line is an op, the implementation that was heard at work while it ran, and how often. The last line counts the
# ops that need no help: they move numbers or treat each by itself, so there is no order to choose.
#
# The audit is built to distrust. An op counts as covered only if the mode replaces it *and* one of our kernels reported
# that it ran; as exact only if it stands in a written list or is elementwise. All else is uncovered, ops that nobody
# has heard of too. To see that it can say no, leave the mode off, or use an op that has no fixed-order implementation
# here:

# %%
with audit_batch_invariance() as report:
    block(x)
print("mode off, uncovered:", *sorted(report.uncovered), sep="\n  ")

with set_batch_invariant_mode(), audit_batch_invariance() as report:
    block(x).cumsum(1)
print("mode on, uncovered:", *sorted(report.uncovered), sep="\n  ")

# %% [markdown]
# A cumulative sum is a sum, cut into pieces as the library likes. So are convolutions, and they are not covered either.
# The mode does not stop you from using them; the audit tells you that you did.
#
# ## The test for your own suite
#
# The audit says who ran. Whether the bytes came out right is another question, and `assert_batch_invariant` asks it. It
# takes a function and its inputs, runs each row alone, and then among 1, 2, 7 and 32 neighbours, at a random position:
# other rows of the input, the row itself ten thousand times larger, zeros, infinities, NaN. Then it compares bytes. We
# give it one token of each sequence, as a decode step would. First with the mode off:

# %% tags=["nbval-ignore-output"]
from courselib.invariant import assert_batch_invariant

try:
    assert_batch_invariant(block, x[:, :1])
    print("no difference found on this machine")
except AssertionError as error:
    print(str(error).replace("; ", ";\n"))

# %% [markdown]
# On the machine that built this page it fails, and says which row, in what company, and the first word that differs.
# With the mode on, and all five tokens:

# %%
with set_batch_invariant_mode():
    assert_batch_invariant(block, x)

# %% [markdown]
# Silence. Keep both halves in your own tests. A test that has never failed may be unable to.
#
# ## The kernel
#
# How does one write a matrix product whose order does not depend on M, and is not slow for it? The kernel in
# `courselib.kernels.triton` is the plain one: programs that know nothing of each other, blocks, masks, and a loop over
# the sum, as in [Triton from zero](06_triton_from_zero.py). A program computes one tile of the result, and this is its
# heart:
#
# ```python
# acc = zeros((BLOCK_M, BLOCK_N), float32)
# for k in range(0, K, BLOCK_K):
#     acc += a[rows, k : k + BLOCK_K] @ b[k : k + BLOCK_K, columns]
# ```
#
# For a tile of 64 × 64 outputs, and `BLOCK_K` of 32, the shapes are
#
# | name | shape | what it is |
# |---|---|---|
# | `a[rows, k : k + 32]` | (64,&nbsp;32) | 64 rows of this batch, 32 of their K elements |
# | `b[k : k + 32, columns]` | (32,&nbsp;64) | the same 32 of K, for 64 columns |
# | `acc` | (64,&nbsp;64) | one accumulator for each output, kept until K is through |
#
# Look at one output. `BLOCK_M` and `BLOCK_N` say which *other* outputs are computed beside it. `BLOCK_K` says which of
# its *own* products are added up together before they join the accumulator. Only the last one is a statement about the
# order of its sum. So M may choose `BLOCK_M`: a small tile for a few rows, a large one for many, which is most of what
# a library gains by looking at M. It may not choose `BLOCK_K`, nor cut K into pieces to be added later.
#
# Triton comes with an interpreter that runs kernels on a CPU, block by block. It is slow, and fine for a small product.
# We launch our kernel with tiles of our own choosing, and compare each result with the first:

# %% tags=["nbval-ignore-output"]
try:
    from courselib.kernels.triton.matmul import launch
    from courselib.kernels.triton.tiles import Tile
except ImportError:  # Triton is made for Linux: elsewhere there is no table
    launch = None

torch.manual_seed(0)
M, N, K = 100, 48, 192
left = torch.randn(M, K, device=device)
right = torch.randn(K, N, device=device)


def product(rows, m, n, k):
    out = rows.new_empty(1, len(rows), N)
    tile = Tile(m=m, n=n, k=k, warps=4, stages=2)
    launch(rows[None], right[None], out, tile)
    return out[0]


def words_that_differ(a, b):
    return int((bits.words(a) != bits.words(b)).sum())


if launch:
    first = product(left, 16, 16, 32)
    print("BLOCK_M  BLOCK_N  BLOCK_K  words that differ  row 0 alone")
    for m, n, k in [
        (16, 16, 32),
        (32, 16, 32),
        (64, 64, 32),
        (128, 32, 32),
        (16, 16, 16),
        (16, 16, 64),
    ]:
        whole, alone = product(left, m, n, k), product(left[:1], m, n, k)
        moved = words_that_differ(whole, first)
        same = "same" if bits.equal(whole[:1], alone) else "differs"
        print(f"{m:7}{n:9}{k:9}{moved:10,} of {first.numel():,}{same:>13}")

# %% [markdown]
# In the interpreter, four tiles with one `BLOCK_K` give the same bits, all of them; another `BLOCK_K` gives others. And
# in every line row 0 alone is row 0 among a hundred: any *one* tile is batch-invariant. The danger is only in going
# from one tile to another as M grows.
#
# ### A certificate
#
# On a real GPU there is one thing that we do not write. Inside a step, `tl.dot` hands 32 products at a time to the
# tensor cores, and in what order *they* add is the hardware's affair, and may depend on which instruction the compiler
# picked for that tile. No document promises that a tile of 16 rows and a tile of 128 add alike. It would be careless to
# assume it.
#
# So it is measured. `python -m courselib.kernels certify` takes every tile that the table of this GPU may choose, runs
# it on inputs made to expose a difference (sums that cancel, exponents far apart, zeros and subnormals, sizes that
# leave a remainder at every edge), and compares all bits with those of one reference tile. Then it does the same for
# every M from 1 to 512, and around larger ones, through the choice that `matmul` really makes. What it finds is kept,
# with the name of the device and the version of Triton, as a **certificate**. Those that come with the course:

# %% tags=["nbval-ignore-output"]
import json
from importlib.resources import files

folder = files("courselib").joinpath("kernels", "triton", "certificates")
for file in sorted(folder.iterdir(), key=lambda file: file.name):
    kept = json.loads(file.read_text(encoding="utf-8"))
    print(f"{kept['device']}, Triton {kept['triton']}, {kept['date']}")
    print(f"{'':16}{'tiles':>6}{'outputs compared':>18}{'differing':>11}")
    for kind in kept["kinds"]:
        name = f"{kind['dtype']} {kind['precision']}".removesuffix(" ieee")
        tiles = len(kind["equal"]) + len(kind["differing"])
        compared = kind["outputs_compared"]
        compared += kind["outputs_compared_over_m"]
        differing = sum(kind["differing"].values())
        differing += kind["outputs_differing_over_m"]
        print(f"{name:16}{tiles:6}{compared:18,}{differing:11,}")

# %% [markdown]
# Each line is a kind of product, with the number of tiles and of outputs, in both sweeps, that were compared. With such
# a certificate the tile follows M, and the bits stay. Without one for your GPU and your Triton, `matmul` uses a single
# tile for every M, says so once, and is slower. The promise is the same either way: it is the speed that needs
# evidence.
#
# You may have noticed that a certificate can allow more than the argument above does. The tiles of 16-bit numbers on
# these GPUs have a `BLOCK_K` of 32, 64, 128 or 256, and all give the same bits: their tensor cores go on from the
# accumulator, a few products at a time, however long our step is. We would not have dared to assume that either. It was
# found, for these devices, and it is used there.
#
# Is the sweep able to find anything? It was. "tf32x3" computes a float32 product as three on the tensor cores, one of
# the large parts and two of the small corrections; within a step of `BLOCK_K` it adds all the small ones first, then
# the large. That makes `BLOCK_K` a part of the order again, as in the interpreter. An earlier table had a tile with
# another `BLOCK_K`, and the sweep found that its bits were others. That is why all of today's tf32x3 tiles step alike.
#
# ## What it costs
#
# A fixed order is of little use if nobody can pay for it. These were measured on the GPU named below (`python -m
# benchmarks.matmul` and `benchmarks.reductions`), the two peers taking turns in one run, as CUDA graphs, so that only
# the kernels count. A ratio is PyTorch's time divided by ours: at 1 the two are equally fast, and below 1, on grey,
# ours is the slower.

# %% tags=["hide-input", "nbval-ignore-output"]
from pathlib import Path

from courselib import figures


def measured(name):
    files = sorted(
        Path("../benchmarks/results").glob(f"{name}-nvidia-*.json")
    )
    if not files:
        print("The measurements are in benchmarks/results.")
        return None
    return json.loads(files[0].read_text(encoding="utf-8"))


def panels(result, place, ratio):
    """{panel: {line: (sizes, ratios)}}; place(row) says which, or None."""
    found = {}
    for row in result["rows"]:
        if at := place(row["name"], row["settings"]):
            panel, line, size = at
            lines = found.setdefault(panel, {})
            sizes, ratios = lines.setdefault(line, ([], []))
            sizes.append(size)
            ratios.append(row["ratios"][ratio]["median"])
    return found


def product_place(name, s):
    if name == "matmul bf16":
        return f"N = {s['N']:,}, K = {s['K']:,}", "", s["M"]


matmul = measured("matmul")
if matmul:
    versions = matmul["versions"]
    print(f"{matmul['device']['gpu']}, {matmul['date']}", end=", ")
    print(f"torch {versions['torch']}, Triton {versions['triton']}")

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"image": {"alt": "Five small plots, one for each pair of N and K: cuBLAS's time over ours against M from 1 to 8192, with a line at 1. Most points lie within a few per cent of the line; with few rows most lie on it or above, and single points at M = 32 and M = 256 dip clearly below."}}
matmul and figures.speed_ratios(
    panels(matmul, product_place, "torch.mm / triton"),
    title="cuBLAS's time / ours, bf16 (grey: ours is slower)",
    x="M, rows of the product",
)

# %% [markdown]
# Against cuBLAS, which may choose its order by shape and does, it is about even. Not everywhere:

# %% tags=["hide-input", "nbval-ignore-output"]
if matmul:
    cells = [
        (row["ratios"]["torch.mm / triton"]["median"], row["settings"])
        for row in matmul["rows"]
        if row["name"] == "matmul bf16"
    ]
    mean = np.exp(np.mean([np.log(ratio) for ratio, _ in cells]))
    below = sum(ratio < 1 for ratio, _ in cells)
    print(f"bf16, {len(cells)} cells: geometric mean {mean:.2f}")
    print(f"below 1: {below} cells; the worst are")
    for ratio, s in sorted(cells, key=lambda cell: cell[0])[:5]:
        print(f"  {ratio:.2f}  M = {s['M']:,}", end=", ")
        print(f"N = {s['N']:,}, K = {s['K']:,}")
    print("\nfloat32, ten cells: from the slowest to the fastest")
    for name in ("ieee", "tf32x3"):
        ratios = sorted(
            row["ratios"][f"torch / {name}"]["median"]
            for row in matmul["rows"]
            if row["name"] == "matmul fp32"
        )
        print(f"  {name:<8}{ratios[0]:.2f} to {ratios[-1]:.2f}")
    print("\nrows whose bytes depend on the batch, bf16, all shapes")
    for peer in ("torch.mm", "triton"):
        tallies = [
            tally
            for count in matmul["counts"]
            if count["peer"] == peer
            and count["name"].startswith("matmul bf16")
            for tally in count["tallies"].values()
        ]
        differing = sum(tally["differing"] for tally in tallies)
        compared = sum(tally["compared"] for tally in tallies)
        print(f"  {peer:<10}{differing:,} of {compared:,}")

# %% [markdown]
# The dips are shapes for which we found no tile as good as what cuBLAS does there. Cutting K into a fixed number of
# pieces was tried too, for few rows, and lost everywhere: the pass that adds the pieces costs more than they bring. And
# IEEE float32, which cannot use the tensor cores, has not caught up with PyTorch's in any cell; tf32x3 passes it,
# except for the fewest rows.
#
# The other kernels read rows and write a row or a number. There the GPU's memory sets the pace, and a fixed order need
# not be slower at all:


# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"image": {"alt": "Four small plots, for softmax, log_softmax, rms_norm and layer_norm: PyTorch's time over ours against the number of rows, with a line at 1. Nearly all points lie above the line, high above it for few rows; log_softmax of the shortest rows touches it."}}
def row_place(name, s):
    op = name.removesuffix(" bf16")
    if op in ("softmax", "log_softmax", "rms_norm", "layer_norm"):
        return op, f"D = {s['D']:,}", s["rows"]


reductions = measured("reductions")
reductions and figures.speed_ratios(
    panels(reductions, row_place, "torch / triton"),
    title="PyTorch's time / ours, bf16 (grey: ours is slower)",
    x="rows",
)

# %% [markdown]
# On the left of each plot are few rows, too few for a program each to keep the GPU busy. Ours cuts the long rows of a
# softmax at *fixed* positions, the same for one row and for thousands, and adds the pieces in a fixed tree. That helps
# most where rows are few and long, as when one token is chosen from a large vocabulary. In that run PyTorch's own
# kernels of this second kind gave the same bytes in every batch tried, too. Nobody promises that they will in the next
# version; replacing them turns an observation into a rule.
#
# Now for the case that is plainly worse. CUDA graphs take Python out of the picture. In **eager** mode each product is
# launched from Python, and Triton's way there is longer than that of PyTorch's C++:

# %% tags=["hide-input", "nbval-ignore-output"]
if matmul:
    print("bf16, eager, N = K = 4096, µs by the clock on the wall")
    print(f"{'M':>6}{'cuBLAS':>9}{'ours':>8}")
    for row in matmul["rows"]:
        if row["name"] == "matmul bf16, eager":
            ours, cublas = (
                row["values"][peer]["median"]
                for peer in ("triton", "torch.mm")
            )
            print(f"{row['settings']['M']:6,}{cublas:9.0f}{ours:8.0f}")

# %% [markdown]
# For a small product that is two to three times cuBLAS's time, most of it spent before the GPU begins. A large one hides
# it. What becomes of a whole model? Eight layers of a Qwen3 of the 8B's dimensions, random weights in bfloat16, with the
# mode on beside the mode off (`python -m benchmarks.model`):

# %% tags=["hide-input", "nbval-ignore-output"]
model = measured("model")
if model:
    print("time with the mode on / off      CUDA graph     eager")
    lines = {}
    for row in model["rows"]:
        of, _, how = row["name"].rpartition(", ")
        if of == "Qwen3, 8 layers":
            s = row["settings"]
            mask = ", left-padded" if s["mask"] == "left padding" else ""
            line = f"{s['step']}, B = {s['B']}{mask}"
            (ratio,) = row["ratios"].values()
            lines.setdefault(line, {})[how] = ratio["median"]
    for line, by_how in lines.items():
        graph, eager = by_how["CUDA graph"], by_how["eager"]
        print(f"{line:32}{graph:11.3f}{eager:10.2f}")

# %% [markdown]
# Inference servers usually capture their decode steps in CUDA graphs, and there the mode costs nothing: most steps are
# the faster for it. In a notebook or a plain loop, where Python launches each small kernel, decoding takes nearly twice
# the time. There the mode is not free.
#
# ## Try it
#
# **1.** Write a product that is faster for few rows because it looks at M: `BLOCK_K` 64 where there are at most 16
# rows, and 16 where there are more. Is it deterministic? Is it batch-invariant? What does `assert_batch_invariant` say?
#
# :::{dropdown} Answer
# ```python
# def by_rows(rows):
#     return product(rows, 16, 16, 64 if len(rows) <= 16 else 16)
#
# assert_batch_invariant(by_rows, left[:4], neighbours=("rows", "zeros"))
# ```
# It is deterministic, and in the interpreter the assertion fails in a population of 33: the only one with more than 16
# rows. Leave that population out (`populations=(2, 3, 8)`) and it passes. A test sees the changes of method that lie
# between the sizes it tries, and no others.
# :::
#
# **2.** With the mode on, take a Linear layer and the loss `layer(x).square().sum()`. Compare the gradient of the first
# row of `x`, and the gradient of the weights, in a batch of 1 and a batch of 8. Which of the two can be invariant?
#
# :::{dropdown} Answer
# ```python
# layer = nn.Linear(64, 64, device=device)
#
# def gradients(n):
#     rows = x[0, :1].repeat(n, 1)
#     rows[1:] *= 2
#     rows.requires_grad_()
#     layer.zero_grad()
#     layer(rows).square().sum().backward()
#     return rows.grad[:1], layer.weight.grad
#
# with set_batch_invariant_mode():
#     (row_1, weights_1), (row_8, weights_8) = gradients(1), gradients(8)
# print(bits.equal(row_1, row_8), bits.equal(weights_1, weights_8))
# ```
# `True False`. The row's gradient is a product of its own. The weights' gradient is a *sum over the rows of the batch*:
# with other rows it is another number, and no order can change that. It is still the same from run to run. (With
# `.mean()` in place of `.sum()` the row's gradient changes as well: the loss then divides by the size of the batch.)
# :::
#
# **3.** In `terms`, find an order of the eight numbers in which `in_turn` gives the true sum, 6. Would sorting the
# numbers before each sum be a cure?
#
# :::{dropdown} Answer
# Let the two large ones meet first: 2²⁴, −2²⁴, and then the ones. Sorting gives each *set* of numbers one order, so it
# is batch-invariant; so is any order that looks at the row alone. It would be far slower, and not exact either: sorted
# ascending, −2²⁴ takes in the six ones, and that happens to be right; in other sums it is not. Invariance asks for
# *one* order, not for the best.
# :::
#
# ### Three questions
#
# **Somebody says: "our server is deterministic, we ran it twice and compared." What have they shown?**
#
# :::{dropdown} Answer
# That the same *batch* gives the same bytes. On a server the batch is whoever else is there, and that never comes
# twice. A user's answer is reproducible only if it does not depend on the batch.
# :::
#
# **Your GPU is an H100, and the certificate's Triton is 3.6.0. You install 3.7. What happens, and why?**
#
# :::{dropdown} Answer
# The certificate does not count. Another compiler may choose other instructions for a tile, and nobody has looked.
# `matmul` falls back on one tile, says so, and keeps its promise; `python -m courselib.kernels certify` looks, in some
# minutes, and brings the speed back.
# :::
#
# **May a batch-invariant kernel choose the number of its warps by M?**
#
# :::{dropdown} Answer
# Only on evidence. In our matrix product warps divide outputs among themselves, and the certificate's tiles have 2, 4
# and 8 of them with the same bits. In a kernel that adds up a row with `tl.sum` the warps share *one sum*, and their
# number shapes its tree; there ours follow from the row's length and dtype alone.
# :::
#
# ## What this proves, and what it does not
#
# It shows that a row's bytes depend on its neighbours because their number chooses the order of its sums; that with the
# order chosen by N, K and the dtype alone they do not; that a whole PyTorch model can be put under that rule without
# changing it; and that an audit and a test can say whether it was.
#
# It does not show more than that:
#
# - **Gradients of weights** sum over the batch, and cannot be batch-invariant. They are the same from run to run.
# - **Equality holds for one device and one version** of the kernels. On another GPU, or on the CPU, a row may have
#   other bytes; there too it has the same ones in every batch.
# - **Convolutions, cumulative sums and quantised products are not covered.** The audit names them. A kernel that is
#   launched past PyTorch's dispatcher, hand-written Triton say, is seen by neither the mode nor the audit.
# - **Attention written by hand** ("eager" attention: a product, a softmax, a product) is invariant among sequences
#   padded to one length. Pad them further, and its sums have more terms, zeros among them, and may be grouped anew.
#   `scaled_dot_product_attention`, where PyTorch takes a fused form of it, goes through our kernel, which counts slots
#   from the sequence's own first one, and padding moves no bit.
# - A certificate is a **measurement, not a theorem**: these tiles, on these inputs, on that device. And the page you
#   read was built on a CPU; what it says about a GPU comes from the files that it reads.
#
# **Now you.** Lab 05 asks you to write such kernels in Triton, a matrix product, `log_softmax` and `mean`, and a test
# that can tell an invariant kernel from one that only looks it. A checker tries both:
#
# ```bash
# python -m checker labs/05
# ```
