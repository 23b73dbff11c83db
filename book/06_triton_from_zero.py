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
# # Triton from zero
#
# You write a small function. A GPU runs it ten thousand times, hundreds of them at once, and makes no promise about
# who goes first. And yet, as we saw in [Floats do not add up](01_floats_do_not_add_up.py), a sum *is* its order. **How
# can anything that is added up on a GPU have one answer?**
#
# In this chapter you write such functions, **kernels**, in a language called Triton, from the first line on. It takes
# about forty minutes, and the puzzles at the end as long as you like. You need no GPU and no knowledge of one: Triton
# comes with an interpreter, which runs kernels on a CPU. Where there is a GPU, the same cells run on it. (Triton is
# made for Linux, which includes WSL and Colab. Where it is missing, the line below says so, and the cells after it do
# nothing.)

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

# %% tags=["remove-input", "nbval-ignore-output"]
# Before PyTorch loads Triton by itself: without a GPU this chooses its interpreter.
try:
    from courselib.kernels.triton import runtime

    here = (
        "in its interpreter, on the CPU"
        if runtime.INTERPRETED
        else "on a GPU"
    )
    print(f"Triton {runtime.triton.__version__}, {here}")
except ImportError as error:
    message = f"No Triton here, so the cells below do nothing: {error}"
    if "get_ipython" not in globals():
        sys.exit(message)
    get_ipython().input_transformers_cleanup.append(lambda lines: [])  # noqa: F821
    print(message)

# %% tags=["nbval-ignore-output"]
import torch
import triton
import triton.language as tl

from courselib import bits, figures

device = "cuda" if torch.cuda.is_available() else "cpu"
billion = 1_000_000_000
terms = torch.tensor(
    [8.0, 33, billion, 9, -billion, 30, 740, 180], device=device
)


@triton.jit
def add_up(x, out, N, BLOCK: tl.constexpr):
    total = 0.0
    for start in range(0, N, BLOCK):
        i = start + tl.arange(0, BLOCK)
        total += tl.sum(tl.load(x + i, mask=i < N, other=0.0))
    tl.store(out, total)


def sum_in_blocks(x, BLOCK, **options):
    out = torch.empty(1, device=device)
    add_up[(1,)](x, out, len(x), BLOCK, **options)
    return out.item()


for BLOCK in (1, 2, 4, 8, 16, 32, 64):
    print(f"{BLOCK:2} at a time: {sum_in_blocks(terms, BLOCK):.0f}")

# %% [markdown]
# These are the eight numbers of chapter 1, whose exact sum is 1000. You need not understand the kernel yet. Look at the
# answers: one function, one list of numbers, and nothing changes but `BLOCK`, how many are read at a time. Nobody races
# with anybody here; the kernel runs once. And yet there are four answers up to a block of 8. From there on to 64 there
# is only one, although a block of 64 has 56 places with no number for them. (This page was made in the interpreter. A
# GPU may well give others, and we shall see why.)
#
# At the end of this chapter each line of that kernel will have a reason, and so will each of the answers.
#
# ## A function that runs many times
#
# The smallest kernel that does something:


# %%
@triton.jit
def who_am_i(out):
    me = tl.program_id(0)
    tl.store(out + me, 100 + me)


out = torch.zeros(8, dtype=torch.int32, device=device)
who_am_i[(8,)](out)
print(out.tolist())

# %% [markdown]
# `@triton.jit` makes a function a kernel. `who_am_i[(8,)](out)` is a **launch**: run it eight times. The brackets hold
# the **grid**, how many runs there are along each of up to three axes. One run is called a **program**. All programs
# have the same code and the same arguments, and differ in one thing only, which they can ask for: their number,
# `tl.program_id`. From this number a program works out what *its* share of the work is.
#
# A kernel returns nothing. What it has to say it writes into memory, and here each program has written into a place of
# its own.
#
# ### What a GPU is, as far as we need it
#
# A GPU is a chip with many processors, called **multiprocessors**; an H100 has 132. Each takes whole programs, several
# at a time, and works on another one whenever one waits for memory. Where there are more programs than room, the rest
# wait, and go to whichever multiprocessor is done first. The memory is large, shared by all, and far away. Each program
# has registers of its own, which are few, and near.
#
# Inside a program the work is done by **warps**, of 32 threads each; the threads of a warp do the same instruction at
# the same time, on 32 numbers. In CUDA you write what one thread does. In Triton you write what a program does with a
# whole **block** of numbers, and the compiler deals out the block to the threads of the program's warps. That is nearly
# all one has to know. It also says where two questions of order come from: in which order the *programs* run, and in
# which way the *threads* share out a block.
#
# ## Nobody goes first
#
# In what order do programs run? Let each take a ticket when it comes by, as in a shop. `tl.atomic_add` adds to a number
# in memory and hands back what stood there before, and nobody can come in between:


# %% tags=["nbval-ignore-output"]
@triton.jit
def take_a_ticket(tickets, machine):
    me = tl.program_id(0)
    tl.store(tickets + me, tl.atomic_add(machine, 1))


tickets = torch.zeros(1000, dtype=torch.int32, device=device)
machine = torch.zeros(1, dtype=torch.int32, device=device)
take_a_ticket[(1000,)](tickets, machine)
in_turn = torch.arange(1000, dtype=torch.int32, device=device)
print("the first programs drew:", tickets[:12].tolist())
print("not in their turn:", int((tickets != in_turn).sum()), "of 1000")

# %% [markdown]
# If you read this on the page, or run it on a CPU, the tickets are in order, and **that means nothing**. The interpreter
# is a plain loop: it runs program 0 to its end, then program 1, and so on. It cannot show you a race. On the GPU on
# which we tried it, hardly one of the thousand came in its turn, and the next time they came in another order again.
#
# So here is the first rule. A program may count on nothing that another one does: not on its being done, and not on its
# being still to come. What a kernel computes has to be right, and has to be *the same*, for every order of its programs.
# The simplest way to be sure is that no two programs ever write to one place, and none reads what another writes. Nearly
# every kernel in this course keeps to that.
#
# ## Pointers, not tensors
#
# Inside `who_am_i`, what was `out`? Not a tensor. It has no shape, no length and no strides. It is a **pointer**: the
# address of the first element. `out + me` is the address `me` elements further on (elements, not bytes: the pointer
# knows its dtype), and that is all the arithmetic there is.
#
# To handle one number in each program would be a waste: a warp has 32 threads. So a program works on a block:


# %%
@triton.jit
def copy(x, y, N, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + i, tl.load(x + i))


x = torch.arange(8.0, device=device).view(2, 4)
y = torch.zeros(4, 2, device=device)
copy[(2,)](x, y, 8, BLOCK=4)
print(y.tolist())

# %% [markdown]
# `tl.arange(0, 4)` is the block 0, 1, 2, 3. Program 0 has `i` = 0 to 3, program 1 has 4 to 7. `x + i` is a block of
# four addresses, `tl.load` fetches a block of four numbers, `tl.store` writes them. There is no loop: an operation on a
# block is one operation.
#
# Now hand the kernel a transposed view, the four rows 0 4, 1 5, 2 6, 3 7:

# %%
copy[(2,)](x.T, y, 8, BLOCK=4)
print("asked for:", x.T.tolist())
print("copied:   ", y.tolist())

# %% [markdown]
# It copied `x`. A transposed view is the same memory with other strides, and the kernel has not heard of strides; it got
# the address of the first element, the same as before. No error, no warning. Whoever launches a kernel owes it what the
# pointer does not say, as numbers: sizes, and strides where they can vary. Or makes sure first, with `.contiguous()`,
# that the rows lie one behind the other.
#
# ### Powers of two
#
# A block has a size that is known before the kernel runs, and that is a power of two:


# %% tags=["nbval-ignore-output"]
@triton.jit
def three(out):
    tl.store(out + tl.arange(0, 3), 1)


try:
    three[(1,)](out)
except Exception as error:
    print(type(error).__name__)
    print(str(error).strip().splitlines()[-1])

# %% [markdown]
# So a block can be dealt out evenly to the threads of its warps. But data do not come in powers of two. The last block
# of a row mostly has places for which there is no number, and what happens in those is half of the art.
#
# ## Past the end
#
# Ten numbers in blocks of four are three programs with twelve places, or **lanes**:

# %% mystnb={"image": {"alt": "A row of twelve boxes, numbered 0 to 11, in three frames of four: program 0, program 1, program 2. Boxes 0 to 9 are elements; 10 and 11, in program 2, are hatched: past the end, masked."}}
figures.tiles((10,), (4,), title="Ten numbers in blocks of four")

# %% [markdown]
# What happens in lanes 10 and 11? Our `copy` has an `N`, and does not look at it. To watch it safely, we take a
# memory of sixteen numbers that is ours from end to end, and call the first ten our own. The rest shall belong to
# somebody else:

# %%
memory = torch.arange(100.0, 116, device=device)
memory[10:] = -1  # somebody else's
target = torch.zeros(16, device=device)

copy[(3,)](memory[:10], target[:10], 10, BLOCK=4)
print(target.int().tolist())

# %% [markdown]
# Two numbers of somebody else's were read, and written past the end of ours. Nobody complained. This is how a GPU does
# it, and how the interpreter does it: an address is an address. Had that memory not belonged to the process at all, a
# GPU *might* have stopped with "an illegal memory access", after which the process has to be started again; the
# interpreter might have ended Python on the spot. Or neither, and there is a wrong number somewhere.
#
# The cure is a **mask**, a block of yes and no beside the block of addresses. Where it says no, nothing is read and
# nothing is written:


# %%
@triton.jit
def copy_masked(x, y, N, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < N
    tl.store(y + i, tl.load(x + i, mask=mask), mask=mask)


target.zero_()
copy_masked[(3,)](memory[:10], target[:10], 10, BLOCK=4)
print(target.int().tolist())

# %% [markdown]
# ### What stands where nothing was read
#
# A masked lane is still a lane. It takes part in whatever comes next. Whoever adds up the block adds it too, whoever
# looks for the largest compares it. `other` says what the masked lanes hold. Here is the largest of three negative
# numbers, in a block of four:


# %%
@triton.jit
def largest(x, out, N, OTHER: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    values = tl.load(x + i, mask=i < N, other=OTHER)
    tl.store(out, tl.max(values))


cold = torch.tensor([-5.0, -3, -8], device=device)
found = torch.zeros(1, device=device)
for other in (0.0, float("-inf")):
    largest[(1,)](cold, found, 3, other, BLOCK=4)
    print(f"other = {other}: the largest is {found.item()}")

# %% [markdown]
# The zero won, and nobody had put it there. Masked lanes must hold what makes no difference, the **neutral element** of
# what is done with them:
#
# | for | other |
# |---|---|
# | a sum | 0 |
# | a product | 1 |
# | a maximum | −∞ |
# | a minimum | +∞ |
# | "is any of them" | no |
# | "are all of them" | yes |
#
# Without `other` they hold anything at all. The interpreter happens to fill in zeros there; Triton does not promise
# it, and a kernel that lives by it may work on your laptop and fail on a GPU. (And, since this course counts bytes: the
# neutral element of float *addition* is −0.0, not 0.0. Adding 0.0 to −0.0 gives 0.0. It makes a difference only to a
# sum that is −0.0 itself, and then it does.)
#
# ## A specification that runs
#
# A kernel that was tried on eight numbers in blocks of four has not been tried. From here on, for each kernel, we write
# a **specification**: a function of the sizes that makes the inputs, and says in plain PyTorch what should come out.
# (The idea is that of Sasha Rush's Triton-Puzzles.) And once and for all a function `check`. It tries a **launcher**, a
# Python function that launches a kernel, on six shapes, among them sizes of 1, sizes that fit the blocks and sizes that
# do not. It fences in what it hands out: on both sides of each input lie NaNs, so that a number read past the end shows,
# and around the output lie sevens, so that a number written there shows too. It compares bytes. How it does all this
# you may read or leave folded:

# %% tags=["hide-input"]
import inspect
from typing import NamedTuple

import numpy as np
from torch import Tensor


class Case(NamedTuple):
    inputs: tuple[Tensor, ...]
    expected: Tensor


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Numbers of both signs and many sizes, the same ones each time."""
    rng = np.random.default_rng(seed)
    x = rng.random(shape, dtype=np.float32) - np.float32(0.5)
    return torch.from_numpy(np.ldexp(x, rng.integers(-8, 8, shape))).to(
        device
    )


def fenced(x: Tensor, fence: float) -> tuple[Tensor, Tensor]:
    """A copy of x, and the memory around it, which holds the fence."""
    memory = x.new_full((x.numel() + 64,), fence)
    memory[32:-32] = x.flatten()
    return memory[32:-32].view(x.shape), memory


def check(launch, spec) -> None:
    edges = (1, 4, 7, 16, 33, 100)
    names = list(inspect.signature(spec).parameters)
    for n in range(6):
        sizes = {
            name: edges[(n + 2 * k) % 6] for k, name in enumerate(names)
        }
        case = spec(**sizes)
        nan = float("nan")
        inputs = [
            fenced(x, nan if x.is_floating_point() else 0)[0]
            for x in case.inputs
        ]
        out, memory = fenced(torch.full_like(case.expected, 7), 7)
        launch(*inputs, out)
        right = bits.equal(out, case.expected)
        around = torch.cat([memory[:32], memory[-32:]])
        if right and bool((around == 7).all()):
            continue
        where = ", ".join(f"{k} = {size}" for k, size in sizes.items())
        print(f"{spec.__name__}: right in {n} of 6 shapes,", end=" ")
        print(f"not for {where}:")
        if right:
            print("something was written outside of the output")
        else:
            print(bits.report(out, case.expected, ("yours", "spec")))
        return
    print(f"{spec.__name__}: right in 6 of 6 shapes")


# %% [markdown]
# The two copies, then, with and without a mask:


# %%
def copied(N: int) -> Case:
    x = numbers(N)
    return Case((x,), x)


def with_mask(x, y):
    copy_masked[(triton.cdiv(len(x), 16),)](x, y, len(x), BLOCK=16)


def without_mask(x, y):
    copy[(triton.cdiv(len(x), 16),)](x, y, len(x), BLOCK=16)


check(with_mask, copied)
check(without_mask, copied)

# %% [markdown]
# `triton.cdiv` divides and rounds up: as many programs as it takes. The copy without a mask gave the right numbers, as
# before, and it was caught all the same. So the check is able to fail.
#
# ## Two dimensions
#
# A matrix lies in memory row after row. The element in row `r` and column `c` of a matrix is at
# `r * stride_r + c * stride_c`; for a contiguous (5, 7) the strides are 7 and 1. So a block of rows and a block of
# columns have to become a *square* of addresses. Broadcasting does it, as in NumPy: a column of row numbers plus a row
# of column numbers.


# %%
@triton.jit
def transpose_kernel(x, y, M, N, stride_m, stride_n, BLOCK: tl.constexpr):
    """x (M, N), any strides -> y (N, M), contiguous."""
    r = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = (r[:, None] < M) & (c[None, :] < N)
    at = r[:, None] * stride_m + c[None, :] * stride_n
    square = tl.load(x + at, mask=mask)
    tl.store(y + c[None, :] * M + r[:, None], square, mask=mask)


def transpose(x, y, BLOCK=16):
    M, N = x.shape
    grid = (triton.cdiv(M, BLOCK), triton.cdiv(N, BLOCK))
    transpose_kernel[grid](x, y, M, N, *x.stride(), BLOCK)


def transposed(M: int, N: int) -> Case:
    x = numbers(M, N)
    return Case((x,), x.T.contiguous())


check(transpose, transposed)

# %% [markdown]
# The grid has two axes now, and each program two numbers. For a matrix of 5 × 7 and `BLOCK` = 4, these are the shapes in
# program (1, 0), and what they hold:
#
# | name | shape | in program (1, 0) |
# |---|---|---|
# | `r` | (4,) | 4, 5, 6, 7 |
# | `c` | (4,) | 0, 1, 2, 3 |
# | `r[:, None]` | (4, 1) | the same, as a column |
# | `c[None, :]` | (1, 4) | the same, as a row |
# | `at` | (4, 4) | 28, 29, 30, 31; then 35, 36, ... |
# | `mask` | (4, 4) | yes in the first row, no in the others |
# | `square` | (4, 4) | row 4 of x, columns 0 to 3; the rest is anything |

# %% mystnb={"image": {"alt": "A matrix of 5 by 7 in a grid of 8 by 8 lanes, framed into four squares of 4 by 4: programs (0, 0), (0, 1), (1, 0) and (1, 1). Column 7 and rows 5 to 7 are hatched: past the end, masked. Program (1, 0) has elements in its first row only."}}
figures.tiles((5, 7), (4, 4), title="5 × 7 in blocks of 4 × 4")

# %% [markdown]
# Nothing was moved inside the block. The square is read at one set of addresses and written at another, and that is the
# transposition. And since the strides of `x` are arguments, any view will do. Transpose a transposed view, and we are
# back at `x`:

# %%
x = numbers(5, 7)
back = torch.empty(5, 7, device=device)
transpose(x.T, back)
print(bits.report(back, x, ("there and back", "x")))

# %% [markdown]
# (Indices are whole numbers of a limited size. Those of `tl.arange` have 32 bits, and `r * stride` overflows at two
# billion elements. A large cache gets there; the course's kernels turn such indices into `tl.int64` first.)
#
# ## A loop in a program
#
# Programs cannot wait for one another, so what belongs together is best done by *one* program. Take the last step of
# greedy decoding: a row of logits as long as the vocabulary, and the question which is the largest. One program takes
# one row, and walks along it, a block at a time:


# %%
@triton.jit
def likeliest_kernel(logits, out, V, BLOCK: tl.constexpr):
    """logits (R, V) -> out (R,): where each row is largest."""
    row = logits + tl.program_id(0) * V
    top = float("-inf")
    where = 0
    for start in range(0, V, BLOCK):
        i = start + tl.arange(0, BLOCK)
        values = tl.load(row + i, mask=i < V, other=float("-inf"))
        best, at = tl.max(values, axis=0, return_indices=True)
        where = tl.where(best > top, start + at, where)
        top = tl.maximum(top, best)
    tl.store(out + tl.program_id(0), where)


def likeliest(logits, out, BLOCK=32):
    R, V = logits.shape
    likeliest_kernel[(R,)](logits, out, V, BLOCK)


def first_of_the_largest(R: int, V: int) -> Case:
    logits = numbers(R, V).round()  # whole numbers: many are equal
    first = np.argmax(logits.cpu().numpy(), axis=1)  # NumPy's is the first
    return Case((logits,), torch.from_numpy(first).int().to(device))


check(likeliest, first_of_the_largest)

# %% [markdown]
# `tl.max` is a **reduction**: a block goes in, one number comes out, here with its place. `top` and `where` are what the
# program remembers from block to block. The sign in `best > top` settles ties: an equal one that comes later does not
# win. (Write `>=`, and `check` will tell you.)
#
# It is a small thing, and it is what a model needs to speak:

# %%
from courselib.generate import generate
from courselib.minigpt import load_minigpt
from courselib.tokenizer import WordTokenizer

torch.set_num_threads(1)  # the model is too small to feed two
model, tokenizer = load_minigpt(), WordTokenizer.from_grammar()


@torch.no_grad()
def say(prompt, n, BLOCK):
    ids = tokenizer.encode(prompt)
    for _ in range(n):
        logits = model(torch.tensor([ids]), last_only=True)  # (1, V)
        word = torch.zeros(1, dtype=torch.int32, device=device)
        likeliest(logits.to(device), word, BLOCK)
        ids.append(int(word))
    return tokenizer.decode(ids)


for BLOCK in (16, 64, 1024):
    print(f"BLOCK = {BLOCK:4}: {say('Yesterday I', 5, BLOCK)}")
expected = generate("Yesterday I", 5, temperature=0)
print("generate:     Yesterday I", tokenizer.decode(expected))

# %% [markdown]
# Any `BLOCK` gives the same word. The block changes who is compared with whom, and in which order; but the larger of two
# numbers is one of the two. Nothing is rounded, so a maximum has no order, apart from ties, for which we wrote down a
# rule.
#
# A sum is not so lucky. Back to the question at the top.
#
# ## In which order does `tl.sum` add?
#
# Its documentation does not say. But a sum can be made to tell. Take two **giants**, 2⁶⁰
# and −2⁶⁰, and a crowd of ones. A one that is added to a giant, or to a sum that has a giant in it, is gone: absorbed, as
# we called it in chapter 1. When the two giants meet, they cancel. The ones that are added after that survive:
#
# > the sum is the number of ones that come in **after the giants have met**
#
# Say there are eight numbers, the giants in places `i` and `j`. A sum of 6 says: when `i` and `j` met, they were alone.
# A sum of 0 says: they met at the very end, when all others had been added to the one or to the other. So `8 - sum` is
# the size of the smallest part of the sum that holds both, and all pairs together give away the whole order. (Xie and
# others, "FPRev", 2024, found that this is enough, and used it on many libraries.)

# %% tags=["nbval-ignore-output"]
from itertools import combinations

giant = 2.0**60


def meetings(add, n):
    """For all i and j: how many are in the smallest part with both."""
    met = np.zeros((n, n), int)
    for i, j in combinations(range(n), 2):
        x = torch.ones(n, device=device)
        x[i], x[j] = giant, -giant
        met[i, j] = met[j, i] = n - add(x)
    return met


def by_eights(x):
    return sum_in_blocks(x, 8)


print(meetings(by_eights, 8))

# %% [markdown]
# Read the first line, as it stands on this page: place 0 meets place 1 when there are 2 of them, places 2 and 3 when
# there are 4, and all the others when there are 8. That is a tree, and it can be taken apart from the top: those that
# meet place 0 before the end are on its side, the rest are on the other, and so on in each part.


# %% tags=["nbval-ignore-output"] mystnb={"image": {"alt": "Four trees over the places 0 to 7. With blocks of 1, a staircase: one after another, 7 additions deep. With blocks of 2, pairs are added, and the pairs one after another: 4 deep. With blocks of 4, two staircases of four, then added: 4 deep. With a block of 8, neighbours in pairs, then the pairs in pairs: 3 deep."}}
def tree_of(met, places):
    first, *others = places
    if not others:
        return first
    near = [j for j in others if met[first, j] < len(places)]
    far = [j for j in others if met[first, j] == len(places)]
    return tree_of(met, [first, *near]), tree_of(met, far)


def find_tree(add, n):
    return tree_of(meetings(add, n), range(n))


trees = {
    BLOCK: find_tree(lambda x, b=BLOCK: sum_in_blocks(x, b), 8)
    for BLOCK in (1, 2, 4, 8)
}
figures.sum_trees(
    {f"BLOCK = {BLOCK}": tree for BLOCK, tree in trees.items()},
    title="The same kernel, four orders",
)

# %% [markdown]
# There are the four orders. Each block is a subtree, and the loop is the staircase that joins them. Is it the truth? An
# order that has been found can be *followed*: with plain `+`, one addition for each dot in the picture. It must give the
# bytes of the kernel, on any numbers:


# %% tags=["nbval-ignore-output"]
def along(tree, x):
    """Add x (..., n) over its last dimension, as the tree says."""
    if isinstance(tree, int):
        return x[..., tree]
    one, other = tree
    return along(one, x) + along(other, x)


rows = numbers(100, 8)
for BLOCK, tree in trees.items():
    by_kernel = [sum_in_blocks(row, BLOCK) for row in rows]
    same = bits.equal(torch.tensor(by_kernel), along(tree, rows).cpu())
    assert same
    answer = along(tree, terms).item()
    print(f"BLOCK = {BLOCK}: {answer:5.0f}, and 100 rows equal: {same}")

# %% [markdown]
# These are the answers from the top of the page, and now each has a reason.
#
# And why does nothing change from 8 on, as the block grows? Here is the tree of a block of 16:

# %% tags=["nbval-ignore-output"] mystnb={"image": {"alt": "A tree over 16 places. Place 0 is added to place 8, 1 to 9, 2 to 10 and so on up to 7 and 15; then neighbours among these eight sums in pairs, and the pairs in pairs. It is 4 additions deep."}}
sixteen = find_tree(lambda x: sum_in_blocks(x, 16), 16)
figures.sum_trees({"BLOCK = 16": sixteen}, title="tl.sum of sixteen")

# %% [markdown]
# Place 0 meets place 8 first, place 1 meets 9. When there are only eight numbers, places 8 to 15 hold zeros, the neutral
# element; adding them moves no bit here; and what remains is the tree of 8. That is a property of *this* tree, the one
# in which NumPy adds up a row, for that is what the interpreter calls. It is nothing to rely on. On the GPU on which we
# tried it, the eight numbers had one answer in blocks of 8 to 128, and others in longer ones: there a thread gets
# several neighbours, and adds these first. A block may be longer than the row, then, but the same row must always have
# the same block.
#
# **On a GPU the tree is another.** There the compiler has dealt the block out to threads. Each thread adds what it holds;
# then the threads of a warp add across, half onto half; then the warps' sums are added. The cells above find *that* tree
# when they run there, draw it, and follow it. And since the tree follows from how the block was dealt out, so do the
# bytes. How many warps a program has is part of the order, and so
# is whatever else the compiler goes by, such as whether the address is a multiple of 16 bytes:

# %% tags=["nbval-ignore-output"]
room = torch.empty(4097, device=device)
for shift in (0, 1):
    row = room[shift : shift + 4096].copy_(numbers(4096))
    for warps in (1, 4, 8):
        total = sum_in_blocks(row, 4096, num_warps=warps)
        (word,) = bits.hex_words(np.float32(total))
        byte = row.data_ptr() % 16
        print(f"{word}  warps: {warps}, from byte {byte} of 16")

# %% [markdown]
# One kernel, one block, the same 4096 numbers, six launches. The interpreter has no warps, and one answer. On a GPU there
# are several. Each is what was asked for; nobody had asked for an order.
#
# ## One order, whatever the number of rows
#
# So a sum in Triton has an order, and it follows from four things: the block, the loop, the launch options, and what the
# compiler knows of the address. All four are in your hands. What matters for a model is that none of them looks at the
# *other rows*. The last is dealt with before the launch: one layout, and one kind of address, for all. (The third row of
# five floats, cut out of a matrix, begins at byte 40, which is no multiple of 16.)


# %%
def aligned(x):
    """x, contiguous, from an address that is a multiple of 16."""
    x = x.contiguous()
    return x if x.data_ptr() % 16 == 0 else x.clone()


# %% [markdown]
# Now for a temptation. We want the sums of the rows of a matrix, with a program for each part of a row. Each part gives
# a number, and the numbers of a row are a shorter row, added up in the same way:


# %%
@triton.jit
def sum_parts(x, out, N, BLOCK: tl.constexpr):
    """x (R, N) -> out (R, parts), one program for each part."""
    row, part = tl.program_id(0), tl.program_id(1)
    i = part * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x + row * N + i, mask=i < N, other=0.0)
    parts = tl.num_programs(1)
    tl.store(out + row * parts + part, tl.sum(values))


def sum_rows(x, BLOCK):
    """x (R, N) -> (R,), in parts of BLOCK."""
    x = aligned(x)
    while x.shape[1] > 1:
        R, N = x.shape
        parts = triton.cdiv(N, BLOCK)
        out = torch.empty(R, parts, device=device)
        sum_parts[(R, parts)](x, out, N, BLOCK)
        x = out
    return x[:, 0]


# %% [markdown]
# A program for each part is good for a GPU: there are many multiprocessors to feed. With many rows there is enough to do
# anyway, and larger parts would be cheaper. Few rows need small parts, or most of the chip stands idle. So let the
# number of rows decide? Or the length of the row?


# %% tags=["nbval-ignore-output"]
def by_rows(x):
    return sum_rows(x, BLOCK=16 if len(x) <= 2 else 128)


def by_length(x):
    return sum_rows(x, BLOCK=16 if x.shape[1] <= 64 else 128)


def count_changes(f, rows):
    """How many rows have other bytes in company than they have alone."""
    R = len(rows)
    alone = [f(rows[i : i + 1])[0] for i in range(R)]
    different = compared = 0
    for n in (2, 3, R):  # company
        for shift in range(R):
            who = [(shift + k) % R for k in range(n)]
            neighbours = rows[who]
            neighbours[-1] = float("nan")  # the worst of neighbours
            together = f(neighbours)
            for k, i in enumerate(who[:-1]):
                different += not bits.equal(together[k], alone[i])
                compared += 1
    return f"{different} of {compared} rows change"


rows = numbers(6, 100)
print("block by the number of rows:")
print(" ", count_changes(by_rows, rows))
print("block by the length of a row:")
print(" ", count_changes(by_length, rows))

# %% [markdown]
# Every launch of `by_rows` is right. It is even deterministic: the same call, the same bytes. But a row's sum depends on
# its company, and that is all it takes for a cache to fail its proof.
#
# `by_length` cannot, and one need not run it to know. Read it as you read `fixed_sum` in chapter 1: `R` is the number of
# programs along one axis, and appears nowhere else. What program `(row, part)` reads, and in which order it adds, follows
# from `N` alone. There is the answer to the question at the top: *between* programs there is no order, so nothing may
# depend on it; *inside* a program there is one, and it is yours to choose. This is **batch invariance by construction**:
# in most kernels of this course one program has one row, and the block follows from the row's length alone.
#
# ## Why not simply add it up in memory?
#
# There is a shorter way to add what many programs have found: let each of them add to one number, with `tl.atomic_add`.
# Nothing is lost, since nobody can come in between. For the tickets it was just right.
#
# But each program adds when it gets there. The result is a sum in the **order of arrival**; and for floats that order is
# the answer. The interpreter cannot show it, for in it the programs arrive in their order. It can show what would
# happen if they did not: we play the scheduler, and hand the programs a list that says who comes when.


# %% tags=["nbval-ignore-output"]
@triton.jit
def pile_up(x, arrivals, total):
    who = tl.load(arrivals + tl.program_id(0))
    tl.atomic_add(total, tl.load(x + who))


def sum_on_arrival(x, arrivals):
    total = torch.zeros(1, device=device)
    arrivals = torch.as_tensor(arrivals, dtype=torch.int32, device=device)
    pile_up[(len(x),)](x, arrivals, total)
    return total.item()


rng = np.random.default_rng(0)
shuffled = {sum_on_arrival(terms, rng.permutation(8)) for _ in range(100)}
print(f"different answers in 100 orders: {len(shuffled)}")

crowd = 1 / torch.arange(1, 501, device=device)  # 1, 1/2, ... 1/500
again = {sum_on_arrival(crowd, range(500)) for _ in range(20)}
print(f"in 20 launches, all alike: {len(again)}")

# %% [markdown]
# The second line is the experiment itself: the same launch, twenty times. On a CPU it has one answer, for the reason
# given; on the GPU on which we tried it, it had several, and then not even two runs of one program agree. If
# yours has one, that proves nothing: an accident may fail to happen. Float atomics are the one tool in this
# chapter that this course does not use.
#
# ## What is compiled in
#
# `BLOCK` is marked `tl.constexpr`: it is not an argument of the finished kernel but a constant *in* it. On a GPU, Triton
# compiles a kernel when it is first launched, and again for each new value of a constexpr, each new dtype, each number
# of warps. An `if` on a constexpr is decided then, and costs nothing later.
#
# It also **specialises** without being asked. An integer argument that is 1, or a multiple of 16, and an address that is
# a multiple of 16, each get a kernel of their own, since the compiler can do better if it knows. Mostly that is
# welcome. But it means that a stride, or a *number of rows*, that you pass as an argument chooses among compiled kernels,
# and two compilations may add in two orders. Name the arguments that must have no say:
#
# ```python
# @triton.jit(do_not_specialize=["R"])
# ```
#
# A launch costs time too: Python looks at each argument and finds the compiled kernel before the GPU hears of it.
# [The matmul and the batch](07_matmul_and_the_batch.py) measures how much. In the interpreter it is the programs that
# cost time, each of them run in Python, and that is why all shapes on this page are small.
#
# ## A kernel worth having
#
# Everything together, in one kernel that a model uses twice in each layer: **RMSNorm** (Zhang and Sennrich, 2019). A row
# is divided by its root mean square, and multiplied by a weight for each element:
#
# > y = x / √(mean(x²) + ε) × weight
#
# First the obvious way, for a row whose length is a power of two:


# %%
@triton.jit
def norm_naive(x, weight, y, eps, D: tl.constexpr):
    d = tl.arange(0, D)
    at = tl.program_id(0) * D + d
    v = tl.load(x + at)
    rms = tl.sqrt(tl.sum(v * v) / D + eps)
    tl.store(y + at, v / rms * tl.load(weight + d))


def exact(x, weight, eps=1e-5):  # in float64
    x, weight = x.double(), weight.double()
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


x, weight = numbers(3, 128), numbers(128, seed=1)
y = torch.empty_like(x)
norm_naive[(3,)](x, weight, y, 1e-5, 128)
worst = ((y - exact(x, weight)) / exact(x, weight)).abs().max()
print("right to six digits:", bool(worst < 1e-6))

# %% [markdown]
# That works, for this length. Three things are missing.
#
# 1. **Any length.** The block is the next power of two, the lanes past the end are masked, and hold 0, the neutral
#    element of a sum of squares. The mean divides by `D`, not by the block.
# 2. **The rounding is to be known.** On a GPU, `/` and `tl.sqrt` on float32 are quick and may be off in the last bits;
#    `tl.div_rn` and `tl.sqrt_rn` are rounded to nearest, as IEEE-754 asks. And `a * b + c` may be fused there into one
#    operation with one rounding; `enable_fp_fusion=False` forbids it. The interpreter rounds each operation to nearest
#    in any case, and so will not remind you.
# 3. **A launcher** that knows what it owes: it brings the rows to one layout, and takes the block from the row's length.


# %%
@triton.jit
def norm_kernel(x, weight, y, D, eps, BLOCK: tl.constexpr):
    """One row of y (R, D): x / sqrt(mean(x * x) + eps) * weight."""
    d = tl.arange(0, BLOCK)
    mask = d < D
    at = tl.program_id(0).to(tl.int64) * D + d
    v = tl.load(x + at, mask=mask, other=0.0)
    w = tl.load(weight + d, mask=mask, other=0.0)
    mean = tl.div_rn(tl.sum(v * v), tl.cast(D, tl.float32))
    scale = tl.div_rn(1.0, tl.sqrt_rn(mean + eps))
    tl.store(y + at, v * scale * w, mask=mask)


def norm(x, weight, eps=1e-5):
    """x (R, D) float32, weight (D,) -> (R, D)."""
    x, weight = aligned(x), aligned(weight)
    R, D = x.shape
    y = torch.empty_like(x)
    BLOCK = triton.next_power_of_2(D)
    norm_kernel[(R,)](x, weight, y, D, eps, BLOCK, enable_fp_fusion=False)
    return y


# %% [markdown]
# | name | shape | for D&nbsp;=&nbsp;100 |
# |---|---|---|
# | `d`, `mask`, `at` | (128,) | the last 28 lanes are masked |
# | `v`, `w` | (128,) | a row of x, and the weight; zeros past the end |
# | `v * v` | (128,) | zeros past the end, still |
# | `tl.sum(v * v)` | () | one number, in the order of a block of 128 |
# | `mean`, `scale` | () | one number each |
# | `v * scale * w` | (128,) | of which 100 are stored |
#
# ### Is it right?
#
# *Close* needs a tolerance, and the tolerance a source. Each float32 operation rounds to nearest, so it is off by at most
# one part in 2²⁴; call that *u*. Squares are never negative, so nothing cancels, and whatever the order of the `D`
# numbers, no square goes through more than `D − 1` additions (Higham, 2002, chapter 4). With the squaring itself, the
# division, ε as a float32 and its addition that makes `D + 3` roundings under the root. A root halves a relative error.
# Then come the rounding of the root, the reciprocal and two products: in all, and with a little to spare for *u*²,
#
# > D / 2 + 6 times *u*

# %% tags=["nbval-ignore-output"]
u = 2.0**-24
print("   D   worst error   allowed, in u")
for D in (1, 5, 96, 128, 1000, 2049):
    x, weight = numbers(4, D), numbers(D, seed=1)
    y, right = norm(x, weight), exact(x, weight)
    worst = float(((y - right) / right).abs().max()) / u
    assert worst <= D / 2 + 6
    print(f"{D:4}{worst:14.1f}{D / 2 + 6:13.1f}")

# %% [markdown]
# Far inside. The bound allows for the worst of orders, and for all roundings to fall to one side; a tree is much better
# than that.
#
# ### Is it the same?
#
# That is the other question, and it is asked in bytes. In every company, a row of NaN among it; and with rows that lie in
# memory in another way, column by column, or from an address on that is no multiple of 16:

# %%
for D in (1, 5, 96, 128, 1000):
    weight = numbers(D, seed=1)
    changes = count_changes(lambda x, w=weight: norm(x, w), numbers(6, D))
    x = numbers(6, D)
    by_columns = x.T.contiguous().T  # the same numbers, other strides
    further_on = x.new_empty(6 * D + 1)[1:].view(6, D).copy_(x)
    same = all(
        bits.equal(norm(other, weight), norm(x, weight))
        for other in (by_columns, further_on)
    )
    print(f"D = {D:4}: {changes}; lying otherwise, equal: {same}")

# %% [markdown]
# The course's library has an `rms_norm` in Triton as well, for three dtypes and rows of any length, with several short
# rows in a program. It is the same arithmetic. In the interpreter, then, it has the same order too:

# %% tags=["nbval-ignore-output"]
from courselib.kernels.triton import rms_norm

for D in (5, 128, 1000):
    x, weight = numbers(6, D), numbers(D, seed=1)
    ours, theirs = norm(x, weight), rms_norm(x, weight, 1e-5)[0]
    print(f"D = {D:4}: {bits.equal(ours, theirs)}")

# %% [markdown]
# On a GPU it need not. Two kernels that both fix their order have *two* fixed orders: the library's chooses its warps by
# `D`, ours leaves Triton's default. Each agrees with itself, everywhere. Whoever wants to compare two computations byte
# for byte must run both on *one*.
#
# ## Try it
#
# Four puzzles. Each has a specification and a kernel that does nothing yet. Fill in the kernel, run the cell, and `check`
# says how far you have come. Each asks for one thing that is new. The first three are what lab 05 will want of you, the
# fourth is how a paged cache is read. (The launchers are done; change the blocks if you like. And in the interpreter a
# kernel is Python: a `print(i)` in it shows what each program holds.)
#
# **1. Backwards.** Addresses may run the other way. Which lanes are masked, and where do they write?


# %%
def backwards(N: int) -> Case:
    x = numbers(N)
    return Case((x,), x.flip(0))


@triton.jit
def backwards_kernel(x, out, N, BLOCK: tl.constexpr):
    pass  # yours


def my_backwards(x, out, BLOCK=16):
    N = len(x)
    backwards_kernel[(triton.cdiv(N, BLOCK),)](x, out, N, BLOCK)


check(my_backwards, backwards)

# %% [markdown]
# :::{dropdown} Answer
# ```python
# @triton.jit
# def backwards_kernel(x, out, N, BLOCK: tl.constexpr):
#     i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
#     mask = i < N
#     tl.store(out + N - 1 - i, tl.load(x + i, mask=mask), mask=mask)
# ```
# One mask serves both: the lanes past the end of `x` are those that would write *before* the beginning of `out`. Turn
# round the addresses of the load instead, and it is the other way about.
# :::
#
# **2. Everyone with everyone.** `out[m, n] = a[m] - b[n]`. The block is a square, but no square is loaded.


# %%
def differences(M: int, N: int) -> Case:
    a, b = numbers(M), numbers(N, seed=1)
    return Case((a, b), a[:, None] - b[None, :])


@triton.jit
def differences_kernel(a, b, out, M, N, BLOCK: tl.constexpr):
    pass  # yours


def my_differences(a, b, out, BLOCK=16):
    M, N = len(a), len(b)
    grid = (triton.cdiv(M, BLOCK), triton.cdiv(N, BLOCK))
    differences_kernel[grid](a, b, out, M, N, BLOCK)


check(my_differences, differences)

# %% [markdown]
# :::{dropdown} Answer
# ```python
# @triton.jit
# def differences_kernel(a, b, out, M, N, BLOCK: tl.constexpr):
#     m = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
#     n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
#     column = tl.load(a + m, mask=m < M)
#     row = tl.load(b + n, mask=n < N)
#     mask = (m[:, None] < M) & (n[None, :] < N)
#     at = out + m[:, None] * N + n[None, :]
#     tl.store(at, column[:, None] - row[None, :], mask=mask)
# ```
# Two blocks of 16 are loaded, and 256 numbers stored. Where the mask says no, the lanes hold anything, and that is no
# harm: nothing is reduced here, and nothing of them is stored.
# :::
#
# **3. From the lowest to the highest.** For each row, its largest number minus its smallest. A row may be longer than
# the block, and its last block is not full: which `other`, when two different things are done with what was loaded?


# %%
def spread(R: int, N: int) -> Case:
    x = numbers(R, N) + 80  # all above zero
    return Case((x,), x.amax(1) - x.amin(1))


@triton.jit
def spread_kernel(x, out, N, BLOCK: tl.constexpr):
    pass  # yours


def my_spread(x, out, BLOCK=16):
    R, N = x.shape
    spread_kernel[(R,)](x, out, N, BLOCK)


check(my_spread, spread)

# %% [markdown]
# :::{dropdown} Answer
# ```python
# @triton.jit
# def spread_kernel(x, out, N, BLOCK: tl.constexpr):
#     row = x + tl.program_id(0) * N
#     high = float("-inf")
#     low = float("inf")
#     for start in range(0, N, BLOCK):
#         i = start + tl.arange(0, BLOCK)
#         values = tl.load(row + i, mask=i < N, other=float("-inf"))
#         high = tl.maximum(high, tl.max(values))
#         values = tl.where(i < N, values, float("inf"))
#         low = tl.minimum(low, tl.min(values))
#     tl.store(out + tl.program_id(0), high - low)
# ```
# `tl.where` puts another neutral element into the same lanes, with no second load. Two loads would do as well. No
# `other` serves both, unless it is one of the row's own numbers, such as its first: load that, and you need no infinity
# at all.
# :::
#
# **4. Pages.** Serving systems keep a cache in pages, which lie anywhere, and a table that says which page holds which
# slots: slot `s` is in page `table[s // P]`, at place `s % P`. Gather the first `S` rows into one contiguous piece. What
# is new: an address that is made of a number that was itself loaded.


# %%
def paged(S: int, P: int, D: int) -> Case:
    n = -(-S // P)  # pages in use
    pages = numbers(n + 3, P, D)
    table = torch.arange(n, device=device).flip(0).int() + 2
    rows = pages[table.long()].view(-1, D)[:S]
    return Case((pages, table), rows)


@triton.jit
def paged_kernel(pages, table, out, P, D, BLOCK: tl.constexpr):
    pass  # yours: program s copies slot s


def my_paged(pages, table, out):
    S, D = out.shape
    BLOCK = triton.next_power_of_2(D)
    paged_kernel[(S,)](pages, table, out, pages.shape[1], D, BLOCK)


check(my_paged, paged)

# %% [markdown]
# :::{dropdown} Answer
# ```python
# @triton.jit
# def paged_kernel(pages, table, out, P, D, BLOCK: tl.constexpr):
#     s = tl.program_id(0)
#     page = tl.load(table + s // P).to(tl.int64)
#     d = tl.arange(0, BLOCK)
#     row = tl.load(pages + (page * P + s % P) * D + d, mask=d < D)
#     tl.store(out + s * D + d, row, mask=d < D)
# ```
# A wrong number in the table is an address anywhere: nothing checks it. That is why paged caches are tested so hard.
# :::
#
# ### Three questions
#
# **A kernel passes its tests for rows of 64, 128, 256 and 1024, on a laptop and on a GPU. What has not been tested?**
#
# :::{dropdown} Answer
# The mask, and with it `other`. In each of these sizes the block is full. Try 1, and a size on either side of a power of
# two; and have something in the memory behind the row that would show.
# :::
#
# **Somebody adds up partial sums with `tl.atomic_add`, runs the program a hundred times on a GPU, and gets the same
# bytes each time. May they rely on it?**
#
# :::{dropdown} Answer
# No. It shows that the programs arrived in one order a hundred times, or that these numbers have the same sum in the
# orders that occurred. With another batch, a busier GPU, or a larger grid, the order may be another. What is needed is
# not a run in which it did not matter, but a kernel in which it cannot.
# :::
#
# **You go from 4 warps to 8, and a model's logits change in their last bits. Is it a bug? Is the kernel still
# batch-invariant?**
#
# :::{dropdown} Answer
# It is no bug: more warps deal out the block in another way, and the tree is another. And it is still invariant, if the
# number of warps is the same for every batch. But it is another order now; what was computed before and after the change
# cannot be compared byte for byte. The number of warps belongs to what has to be fixed.
# :::
#
# ## What this proves, and what it does not
#
# It shows what a kernel is made of: programs without an order, pointers without a shape, blocks of powers of two, masks,
# and neutral elements. It shows that a reduction in Triton has an order, that the order can be found from outside, and
# that it follows from the block, the loop, the launch options and the row's place in memory. And it shows, by reading the
# code and then by bytes, that a kernel in which these follow from the row's length alone gives a row the same bytes in
# every company.
#
# It does not show more than that:
#
# - **The interpreter is not a GPU.** It runs programs in their order, so it shows no race. It has no warps, it adds in
#   NumPy's order, and it does not fuse. What holds in it is the structure of a kernel: who reads what, and which numbers
#   meet.
# - **The tree was found with one kind of input**, and followed on others. The method takes for granted that the order
#   does not depend on the numbers themselves. For `tl.sum` that is so; a kernel that looks at its data could deceive it.
# - **One device, one version.** On a GPU, another Triton may compile another tree. Within one, a row agrees with itself.
# - **Nothing here is fast.** A kernel that is right, and the same in every company, is where one begins.
# - `tl.dot`, a product of two blocks, was left out. What adds inside *it* is not Triton's to say.
#
# **What comes next.** That is where [The matmul and the batch](07_matmul_and_the_batch.py) goes on: matrix products, on
# tensor cores, and a switch that puts a whole model on kernels like these. This chapter has no lab of its own. It is the
# preparation for lab 05, which follows the next chapter, and in which you write three kernels, and a test that sees
# through wrong ones:
#
# ```bash
# python -m checker labs/05
# ```
