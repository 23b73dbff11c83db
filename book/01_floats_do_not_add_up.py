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
# # Floats do not add up
#
# Here is a sum that you can do in your head:
#
# > 8 + 33 + 1,000,000,000 + 9 − 1,000,000,000 + 30 + 740 + 180
#
# The billion comes and goes, and the six others make 1000. **What does a computer make of it?** This chapter needs
# nothing but patience with small things, half an hour of it, and no GPU.

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
import numpy as np

from courselib import bits, figures

billion = 1_000_000_000
terms = np.float32([8, 33, billion, 9, -billion, 30, 740, 180])


def in_turn(numbers):  # one accumulator, from left to right
    total = np.float32(0)
    for number in numbers:
        total = total + number
    return total


print("from left to right:", in_turn(terms))
print("from right to left:", in_turn(terms[::-1]))

# %% [markdown]
# Two answers, and neither is 1000. Every one of the eight numbers is stored exactly; we shall check. So it is the
# adding. There are 40,320 orders in which eight numbers can be added one after another. That is not many for a
# computer: let us try them all.

# %%
from itertools import permutations

orders = np.array(list(permutations(range(8))))  # (40320, 8)
columns = terms[orders].T  # (8, 40320): added first, second, ...
totals = in_turn(columns)  # all the orders at once, each in its own turn
values, counts = np.unique(totals, return_counts=True)
print(f"{len(orders):,} orders, {len(values)} different answers")

# %% mystnb={"image": {"alt": "A hundred thin lines between 929 and 1097, one for each answer, as high as the number of orders that give it, on a logarithmic scale. The tallest stands at 1024; the exact sum, 1000, is marked in orange, in 1,440 orders."}}
values, counts = values.tolist(), counts.tolist()
figures.answers(values, counts, exact=1000, title="One sum, all orders")

# %% [markdown]
# One sum, and **a hundred answers**, from 929 to 1097. The likeliest is 1024. The true one comes out in 1,440 orders,
# one in twenty-eight.
#
# Nothing here is broken, nothing is random, and any machine will show you the same hundred. A language model is made of
# sums; a large one takes millions of them for each word that it says. So before we build one, we want to know exactly
# what happens when two floats are added. It is less than one fears.
#
# ## What a float is
#
# A float32 is a **word** of 32 bits, in three fields: a sign (1 bit), an exponent (8 bits) and a fraction (23 bits).
# `bits.words` hands us the raw word, as a whole number, to take apart:


# %%
def take_apart(x):
    word = int(bits.words(x))
    return word >> 31, word >> 23 & 0xFF, word & 0x7FFFFF


print("       number      word  sign  exponent  fraction")
for number in [1, 1.5, 2, 1000, billion, 0.1, -0.1]:
    x = np.float32(number)
    (word,) = bits.hex_words(x)
    sign, exponent, fraction = take_apart(x)
    line = f"{number:>13,}  {word}  {sign:4}  {exponent:8}  {fraction:023b}"
    print(line)

# %% [markdown]
# The exponent says between which two powers of two the number lies, and the fraction how far it is on the way from the
# lower to the upper. 1000 lies between 2⁹ = 512 and 2¹⁰ = 1024: so its exponent is 127 + 9, and its fraction is nearly
# full. In one line:
#
# > number = ± (1 + fraction / 2²³) × 2<sup>exponent − 127</sup>
#
# That is 24 bits of precision, the 23 of the fraction and a leading 1 that is not stored. (Two exponents are set aside.
# 0 is for zero and for the very small, 255 for infinity and for "not a number"; they come up again below.)
#
# So every float32 is a whole number times a power of two, which is to say an exact fraction. Python will tell us which:

# %%
from fractions import Fraction


def exactly(x):
    return Fraction(float(x))  # a float32 fits into Python's float as it is


print("0.1 is stored as", exactly(np.float32(0.1)))
print("the eight add up to", sum(exactly(x) for x in terms))

# %% [markdown]
# A tenth is no whole number times a power of two, so the nearest float stands in for it, and Python's fraction is about
# *that* float. Our eight numbers are whole, and stored as they are. Their exact sum is 1000, as it should be.
#
# ## The next one up
#
# Between two powers of two the fraction counts through 2²³ floats, evenly spaced. When it is full, the exponent goes up
# by one and the fraction starts at zero. So the floats, in order, have **consecutive words**, right across that seam:

# %%
(two,) = bits.words(np.float32([2])).tolist()
words = np.arange(two - 2, two + 3, dtype=np.uint32)
for x in words.view(np.float32):
    print(f"{bits.hex_words(x)[0]}  {x:.10f}")

# %% [markdown]
# The step from one float to the next is an **ULP**, a unit in the last place. Look at the right-hand column: above 2 the
# steps are twice as long as below. At each power of two they double. Some steps on the way up:

# %%
for number in [0.001, 1, 1000, 2**24, billion]:
    step = np.spacing(np.float32(number))
    print(f"next to {number:>13,}: {step:.3g}")

# %% [markdown]
# Next to a billion, floats are 64 apart. There is no float32 for a billion and nine, nor for a billion and thirty; after
# 1,000,000,000 comes 1,000,000,064. You may already see where our sum goes wrong.
#
# An ULP is no fixed amount, then, and that makes it a good ruler: it measures in what the format can tell apart. How
# many steps lie between two floats is the difference of their words. `bits.ulp_distance` counts them, on both sides of
# zero:

# %%
exact = np.float32(1000)
for answer in (in_turn(terms), in_turn(terms[::-1])):
    apart = int(bits.ulp_distance(exact, answer))
    print(f"from 1000 to {answer:.0f}: {apart:,} ULPs")

# %% [markdown]
# ## One addition
#
# What happens when two floats are added? The exact sum of the two is some number, and mostly it is no float. The rule,
# IEEE-754's, fits into one sentence: **the result is the float nearest to the exact sum; if two are equally near, the
# one whose word ends in a 0 bit.**
#
# Here is the rule at work next to 2²⁴ = 16,777,216, where the steps change from 1 to 2. We add small whole numbers to
# 2²⁴ and see where they land.

# %% mystnb={"image": {"alt": "A piece of the number line around 16,777,216. Below it a float stands at every whole number, above it only at every second one. Arrows lead from exact sums to floats: minus 3, minus 1, plus 2 and plus 6 are floats and go straight down; plus 1 goes back to 0, plus 3 and plus 5 both go to plus 4, plus 7 goes to plus 8."}}
start = np.float32(2**24)
offsets = [-3, -1, 1, 2, 3, 5, 6, 7]
landed = [float(start + np.float32(n) - start) for n in offsets]
figures.rounding(
    offsets,
    landed,
    floats=[-4, -3, -2, -1, 0, 2, 4, 6, 8],
    title="Where the sum lands",
    x="distance from 16,777,216",
)

# %% [markdown]
# Each orange one lies just halfway between two floats. Plus 1 goes down and plus 3 goes up, because of the last bit.
# (Rounding all halves the same way would push long sums in one direction.)
#
# Is it really that simple? A rule can be checked. Ten thousand pairs of numbers, of many sizes and both signs; exact
# fractions on one side, the processor on the other:


# %%
def nearest(exact_sum):  # Fraction -> the float32 that the rule asks for
    guess = np.float32(float(exact_sum))
    up, down = np.float32([np.inf, -np.inf])
    near = [np.nextafter(guess, down), guess, np.nextafter(guess, up)]

    def distance(x):
        odd = int(bits.words(x)) & 1
        return abs(exactly(x) - exact_sum), odd

    return min(near, key=distance)


rng = np.random.default_rng(0)
fractions = rng.random((2, 10_000), dtype=np.float32) - np.float32(0.5)
a, b = np.ldexp(fractions, rng.integers(-12, 12, (2, 10_000)))

pairs = list(zip(a, b, strict=True))
by_rule = [nearest(exactly(x) + exactly(y)) for x, y in pairs]
by_rule = np.array(by_rule)
print("the processor follows the rule:", bits.equal(by_rule, a + b))
print("a + b is b + a:                ", bits.equal(a + b, b + a))

# %% [markdown]
# So an addition of two floats has exactly one right answer, to the last bit. Your laptop, a server and a GPU all give
# it. Rounding is not noise: it is a *function*, the same one everywhere. And since the exact `a + b` is `b + a`, the
# rounded ones are the same too. Addition of floats is commutative.
#
# Keep this in mind for the rest of the course. When two runs disagree, it is not because a computer was careless with
# an addition. They added different things.
#
# ## Three numbers
#
# With three numbers there are two additions, and two roundings, and the second is applied to what the first has left.
# Now it matters which two meet first:

# %%
big, minus_big, nine = np.float32([billion, -billion, 9])
print("(big + nine) - big =", (big + nine) + minus_big)
print("(big - big) + nine =", (big + minus_big) + nine)

# %% [markdown]
# Two things happen in the first line, and each has a name.
#
# **Absorption**: next to a billion the step is 64, and 9 is less than half of it. The nearest float to 1,000,000,009 is
# 1,000,000,000. The nine is gone.
#
# **Cancellation**: then the billion is taken away, and what is left is small. *That* subtraction is exact. It makes no
# error, it uncovers one: as a share of a billion, nine was nothing; as a share of what is left, it is everything.
#
# One need not look for odd numbers to see it. Take triples of random ones between 0 and 1:

# %%
a, b, c = rng.random((3, 100_000), dtype=np.float32)
left, right = (a + b) + c, a + (b + c)
differ = int((left != right).sum())
print(f"(a + b) + c is not a + (b + c) in {differ:,} of {len(a):,} triples")

# %% [markdown]
# About one in six, and with nothing but two additions. Float addition is commutative, but it is **not associative**.
# That is all. The rest of this course follows from it.
#
# ## The sum, step by step
#
# Back to our eight. Here is the first order again, with each running sum, and what the rounding added to it or took
# from it:


# %%
def steps(numbers):
    total, lines = np.float32(0), []
    for number in numbers:
        wanted = exactly(total) + exactly(number)
        total = total + number
        moved = exactly(total) - wanted  # by how much rounding moved it
        lines.append((number, total, moved))
    return lines


print("     number  running sum  rounded by")
for number, total, moved in steps(terms):
    print(f"{number:11.0f}{total:13.0f}{float(moved):12.0f}")
print("all roundings together:", sum(moved for _, _, moved in steps(terms)))

# %% [markdown]
# The billion finds 41 and makes it 64; the nine finds the billion, and is gone. These two roundings account for the
# whole error, as they must: the answer is the exact sum plus all that the roundings moved. Before the billion arrives
# and after it has left, the sums are small whole numbers, and exact. While it is there, every sum is a multiple of 64;
# and *who is added while it is there* is a matter of order.
#
# ### Your turn
#
# Change the order. Can you get 1000? Can you get 929, the smallest? How many of the hundred do you find?

# %% tags=["remove-input"]
from IPython.display import HTML

lines = "".join(
    f"<tr><td>{number:,.0f}</td><td>{total:,.0f}</td>"
    f"<td>{float(moved):,.0f}</td>"
    f"<td><code>{bits.hex_words(total)[0]}</code></td></tr>"
    for number, total, moved in steps(terms)
)
HTML(
    '<div class="sum-order" data-exact="1000" '
    f'data-terms="{" ".join(f"{x:.0f}" for x in terms)}" '
    f'data-answers="{len(values)}">'
    "<table><tr><th>number</th><th>running sum</th><th>rounded by</th>"
    f"<th>its word</th></tr>{lines}</table></div>"
)

# %% [markdown]
# (On the book's page the rows can be moved, by pointer or by keyboard. In a notebook, or where scripts are off, this is
# a table, and `in_turn` takes any order you like.)
#
# <link rel="stylesheet" href="../_static/sum_order.css"><script defer src="../_static/sum_order.js"></script>
#
# The orders that give 1000 have something in common:

# %%
first_two = terms[orders[:, :2]]  # (40320, 2)
billions_first = (abs(first_two) == billion).all(axis=1)
print("orders that begin with the two billions:", billions_first.sum())
print("are these the ones that give 1000?", end=" ")
print(bits.equal(billions_first, totals == 1000))

# %% [markdown]
# ## Who chooses the order?
#
# You write `x.sum()`. You did not say in which order, and a fast library will not go from left to right: each addition
# would have to wait for the one before it. There is a lot to be gained by keeping several sums going at once:
#
# - **Lanes.** A processor's vector unit adds 4, 8 or 16 numbers in one instruction. So the numbers are dealt out like
#   cards, to one accumulator for each lane, and the lanes are added up at the end.
# - **Threads.** Each thread, or each multiprocessor of a GPU, takes one stretch of the numbers; their sums are added at
#   the end.
# - **A tree.** Neighbours are added in pairs, then the pairs in pairs, and so on.
#
# Real libraries mix all three. Here are the shapes on the way of a sum of `N` numbers in 16 lanes, whose ends are then
# joined in a tree, the upper half onto the lower:
#
# | | shape |
# |---|---|
# | the numbers | (N,) |
# | dealt out: a row for each round, a column for each lane | (N / 16,&nbsp;16) |
# | one accumulator a lane, after all rounds | (16,) |
# | the tree: halves added | (8,), then (4,), (2,), (1,) |
# | the sum | () |
#
# And here is what each plan makes of our eight:


# %%
def in_lanes(numbers, n):
    return in_turn([in_turn(numbers[lane::n]) for lane in range(n)])


def in_threads(numbers, n):
    return in_turn([in_turn(part) for part in np.split(numbers, n)])


def in_a_tree(numbers):
    while len(numbers) > 1:
        numbers = numbers[0::2] + numbers[1::2]
    return numbers[0]


plans = {
    "one after another": in_turn(terms),
    "backwards": in_turn(terms[::-1]),
    "two lanes": in_lanes(terms, 2),
    "four lanes": in_lanes(terms, 4),
    "two threads": in_threads(terms, 2),
    "a tree": in_a_tree(terms),
}
print("                  answer  ULPs apart")
for plan, answer in plans.items():
    apart = int(bits.ulp_distance(exact, answer))
    print(f"{plan:18}{answer:6.0f}{apart:12,}")

# %% [markdown]
# Six plans, six answers. All of them are correct programs for "the sum of eight numbers". The sum alone does not say
# which one is meant.
#
# Now the part that makes it a matter for this course. A library has several plans in stock and takes the quickest for
# the job, and it knows the job by its **shape**. Here PyTorch adds up the same thousand numbers, 1, 1/2, 1/3 up to
# 1/1000, as one column of a matrix; what changes is how many copies of that column stand beside it.

# %% tags=["nbval-ignore-output"]
import torch

torch.set_num_threads(1)
column = torch.tensor(np.float32(1) / np.arange(1, 1001, dtype=np.float32))

for neighbours in (0, 1, 3, 7, 15, 31):
    side_by_side = [column] * (1 + neighbours)
    matrix = torch.stack(side_by_side, dim=1)  # (1000, 1 + neighbours)
    total = matrix.sum(dim=0)[0]
    (word,) = bits.hex_words(total)
    print(f"{neighbours:2} neighbours: {word}  {total:.7f}")

# %% [markdown]
# On the machine that built this page there are two answers. The first column's numbers were the same each time, and so
# was the call. What changed was the company. On another processor, or in another version, the pattern may be another,
# or there may be none: nobody promised you any.
#
# This is the mechanism behind everything that follows. A model's rows go through sums. How many rows go together is
# decided by something that has nothing to do with any of them: how long the prompt is, whether there is a cache, who
# else is asking the server. The number of rows is part of the shape; the shape picks the plan; the plan is an order;
# and the order decides the last bits.
#
# (Some programs are worse. Threads that add to one total as each is done, by "atomic" additions, add in the order in
# which they happen to arrive. Then not even two runs of the same shape agree. We shall not use any.)
#
# ## More exact is not the same as the same
#
# Maybe the trouble is only that we add badly. Some orders are better than others, after all. Let us see how far off
# they are: sums of random numbers between 0 and 1, 32 of each length; the largest error of the 32, against the exact
# sum that `math.fsum` works out.
#
# Beside the three plans stands a famous remedy, **Kahan's sum**. It keeps a second number: what the last addition
# rounded away, to be put back in the next.

# %%
import math


def kahan(numbers):
    total = lost = np.zeros_like(numbers[0])  # numbers[0] may be a row
    for number in numbers:
        put_back = number - lost
        after = total + put_back
        lost = (after - total) - put_back  # what rounding has just added
        total = after
    return total


def lanes_and_tree(numbers):  # (N, sums) -> (sums,), in 16 lanes
    lanes = in_turn(numbers.reshape(-1, 16, numbers.shape[-1]))
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = lanes[:half] + lanes[half:]
    return lanes[0]


plans = {
    "one after another": in_turn,
    "16 lanes": lanes_and_tree,
    "a tree": in_a_tree,
    "Kahan's sum": kahan,
}
lengths = [4**n for n in range(2, 8)]
errors = {plan: [] for plan in plans}
numbers = rng.random((max(lengths), 32), dtype=np.float32)
for n in lengths:
    rows = numbers[:n].T.tolist()
    exact_sums = np.array([math.fsum(row) for row in rows])
    ulp = np.spacing(np.float32(exact_sums))
    for plan, add in plans.items():
        off = abs(np.float64(add(numbers[:n])) - exact_sums) / ulp
        errors[plan].append(float(off.max()))

# %% mystnb={"image": {"alt": "Error in ULPs against the number of terms, 16 to 16,384, both on logarithmic scales. One after another rises to more than sixty ULPs; sixteen lanes to a few; a tree stays near one; Kahan's sum stays at half an ULP, in the band as near as a float can be."}}
figures.sum_errors(lengths, errors)

# %% [markdown]
# That is worth knowing. A sum taken one after another drifts off as it grows; lanes and trees, which libraries use for
# their speed, are *better* as well, since each number passes through fewer additions. And Kahan's sum is about as good
# as a float can be.
#
# Does it solve our problem, then? Add the thousand numbers 1, 1/2, ... 1/1000 in a hundred shuffled orders, and count
# the answers:

# %%
import random

shuffler = random.Random(0)
thousandths = np.float32(1) / np.arange(1, 1001, dtype=np.float32)
shuffles = [shuffler.sample(range(1000), 1000) for _ in range(100)]
shuffled = thousandths[np.array(shuffles)].T  # (1000, 100)

in_double = 1 / np.arange(1, 1001)
in_double = in_double[np.array(shuffles)].T  # the same, with twice the bits


def how_many(answers):
    return f"{len(np.unique(answers)):3} answers"


print("float32, one after another:", how_many(in_turn(shuffled)))
print("float64, one after another:", how_many(in_turn(in_double)))
print("float32, Kahan's sum:      ", how_many(kahan(shuffled)))
print("our eight, Kahan's sum:    ", how_many(kahan(columns)))

# %% [markdown]
# Twice the bits have no fewer answers than before: the differences moved to digits further down, and they are as many.
# Kahan's sum is far more exact, and it still has two. And on our eight numbers, in all their 40,320 orders, it hardly
# helps: its promise is about the size of the parts, which is here a million times the size of the sum.
#
# **Exactness and sameness are two different things.** A sum can be wrong in every digit that you care about and be the
# same each time; it can be right to the last bit but one and be another each time. A proof with bytes asks for the
# second virtue. It is a modest one, and it has to be provided for on purpose.
#
# (There is one sum that has both: the exact sum, rounded once at the end, as `math.fsum` does. It has a single answer
# in every order. It is also much slower; and a model would need the same for its products, its exponentials and its
# square roots. We shall take the cheaper way.)
#
# ## What "equal" means here
#
# If the goal is *the same*, we must say what we mean by it. Python's `==` will not do, and here are the two reasons:

# %%
zeros = np.float32([0.0, -0.0])
print(*bits.hex_words(zeros), *zeros)
print("  ==:    ", zeros[0] == zeros[1])
print("  equal: ", bits.equal(zeros[0], zeros[1]))

nans = np.array([0x7FC00000, 0x7FC00001], np.uint32).view(np.float32)
print(*bits.hex_words(nans), *nans)
print("  the first with itself, ==:    ", nans[0] == nans[0])
print("  the first with itself, equal: ", bits.equal(nans[0], nans[0]))
print("  the first with the other:     ", bits.equal(nans[0], nans[1]))

# %% [markdown]
# `==` calls two zeros equal that have different words, and a number unequal to itself. (A NaN, "not a number", is what
# 0/0 gives. Its fraction, the **payload**, can be nearly anything, so there are millions of them.)
#
# In this course, *equal* without another word means **the same dtype, the same shape, the same bytes**. -0.0 is not 0.0,
# and two NaNs are equal if their payloads are. `bits.equal` decides it, and nothing else does. *Close* is another word:
# it always comes with a tolerance and a reason for it. 1014 is close to 1000, within 2 per cent. It is not equal.
#
# Is -0.0 worth the trouble? It tells you something. Our `in_turn` begins at +0, and a sum that begins with the first
# number instead would seem to be the same:

# %%
begins_at_zero = in_turn(np.float32([-0.0]))
begins_at_first = np.float32(-0.0)
print(bits.report(begins_at_zero, begins_at_first, ("at +0", "at first")))

# %% [markdown]
# It is a different program, and the bytes know. Where a sum begins is part of its order.
#
# ## The way out
#
# So we do not need a better order. We need *one*: written down, the same for every row, whoever stands beside it. For
# instance this: 16 lanes, dealt out in turn; then the tree.


# %%
def fixed_sum(rows):  # (B, N) -> (B,)
    lanes = np.zeros((len(rows), 16), np.float32)
    for start in range(0, rows.shape[1], 16):
        piece = rows[:, start : start + 16]
        lanes[:, : piece.shape[1]] += piece
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes[:, 0]


rows = rng.random((64, 1000), dtype=np.float32)  # (B, N)
together = fixed_sum(rows)
moved = 0
for n in range(1, 65):
    moved += not bits.equal(fixed_sum(rows[:n]), together[:n])
    moved += not bits.equal(fixed_sum(rows[64 - n :]), together[64 - n :])
print("calls in which some row's bytes differ:", moved)

# %% [markdown]
# None, and not by luck. Read the code: `B`, the number of rows, appears in it, but no row's additions depend on it.
# Every `+` here is elementwise. It adds this row's numbers to this row's numbers, in an order that follows from `N`
# alone; and one addition, as we have seen, has one answer. That is a proof, and it is the only kind that we shall trust
# in the end: tests can find a difference, but only an order that you can read can rule it out.
#
# This very order is the one in which the course's own kernels add up a row. They are written in C, with real vector
# lanes, and made for speed. The bytes are those of the loop above:

# %%
from courselib.kernels.cpu import primitives

by_kernel = primitives.reduce(torch.tensor(rows)[:, :, None], "sum")[:, 0]
same = bits.equal(by_kernel, together)
print("the C kernel and the loop are equal:", same)

# %% [markdown]
# ## Try it
#
# **1.** The sum 1 + 1/2 + 1/3 + 1/4 + ... grows without bound; every textbook proves it. Add it up in float32, from left
# to right. Where does it stop, and why? (`np.add.accumulate` gives all running sums, one after another.)
#
# :::{dropdown} Answer
# ```python
# n = np.arange(1, 2**22 + 1, dtype=np.float32)
# running = np.add.accumulate(np.float32(1) / n)
# last = np.flatnonzero(np.diff(running))[-1] + 2  # the last to count
# print(last, running[-1])
# ```
# At 15.403683. The last term that moves it is the 2,097,151st; the next, 1/2²¹, is exactly half a step of a number
# between 8 and 16, the tie goes to the even word, and every later term is smaller still. Absorption, for ever.
# :::
#
# **2.** A hundred answers, adding one number after another. Lanes and trees can bracket the eight numbers in other ways:
# with all orders and all brackets there are 135,135 ways to add them. How many answers?
#
# :::{dropdown} Answer
# Build them up from the subsets: the answers of a set are the sums of an answer of one part and an answer of the rest.
# ```python
# found = {1 << i: {float(x)} for i, x in enumerate(terms)}
# for whole in range(1, 256):
#     for part in range(1, whole):
#         rest = whole ^ part
#         if part & whole == part and part < rest:
#             sums = {
#                 float(np.float32(x) + np.float32(y))
#                 for x in found[part]
#                 for y in found[rest]
#             }
#             found[whole] = found.get(whole, set()) | sums
# print(len(found[255]))
# ```
# The same hundred. That is a property of these eight numbers; others have more answers with brackets than without.
# :::
#
# **3.** Rows of different lengths are often filled up with zeros, so that they fit into one tensor. Which of the plans
# `in_turn`, `in_lanes(x, 4)`, `in_threads(x, 2)` and `in_a_tree` give the same bytes for `terms` and for `terms` with
# eight zeros at its end?
#
# :::{dropdown} Answer
# ```python
# padded = np.concatenate([terms, np.zeros(8, np.float32)])
# for plan in (in_turn, lambda x: in_lanes(x, 4),
#              lambda x: in_threads(x, 2), in_a_tree):
#     print(bits.equal(plan(terms), plan(padded)))
# ```
# `True True False True`. Adding +0 moves no bit of a sum that began at +0, so zeros are harmless wherever the real
# numbers stay with their companions. Two threads cut the row in the *middle*, and with the padding the middle is
# elsewhere. Cut at fixed places, after every 1000th number say, and the padding does no harm.
# :::
#
# **4.** Sorting the numbers first would make the order a function of the numbers alone. Would that be a fixed order?
# Would it be exact? Try `in_turn(np.sort(terms))`.
#
# :::{dropdown} Answer
# It gives 1024. It is fixed, in a strong sense: even shuffled numbers have the same sum. It is not exact, and sorting
# costs far more than adding. For a proof we need less than this: the numbers of a row always come in the same places,
# and it is enough to take the places in one order.
# :::
#
# ### Three questions
#
# **The same program, run twice on the same machine with the same numbers, gives two different sums. Which of these can
# be the reason: rounding, the order, a bit flipped by heat?**
#
# :::{dropdown} Answer
# The order, nearly always: threads that add up as they arrive, or a library that picked another plan because the shape
# or the alignment in memory was another. Rounding alone never, since it is a function: the same additions round the
# same. (Bits do flip, very rarely. It is a bad first guess.)
# :::
#
# **`(x == y).all()` is true. Are `x` and `y` equal, as this course uses the word? And if it is false, can they be?**
#
# :::{dropdown} Answer
# Not necessarily: a 0.0 may stand beside a -0.0, and the dtypes may differ. And yes: if a NaN is among them, `==` says
# False of arrays that have the same bytes.
# :::
#
# **A colleague makes the sums of a model more exact, in float64, and the outputs with and without a cache now differ a
# thousand times less. Is the cache proved?**
#
# :::{dropdown} Answer
# No. They still differ, so the question is still open: is what remains rounding, or a small mistake? A tolerance would
# have to be chosen, and a bug that stays below it would pass. With one order for both there is nothing left to judge.
# :::
#
# ## What this proves, and what it does not
#
# It shows that one float addition has one answer, the same everywhere; that three numbers can have two sums, and eight
# a hundred; that libraries choose among orders, and can do so by the shape of the call; and that a written order takes
# the choice away, so that a row's sum has the same bytes in any company.
#
# It does not show more than that:
#
# - **The eight numbers were chosen.** They cancel nearly completely, which makes rounding large enough to see without a
#   microscope. In a model it is mostly the last bit or two. For the question *equal or not* the size makes no
#   difference.
# - **Only addition was looked at.** Products, divisions and square roots are rounded by the same rule, each on its own,
#   and are just as dependable. Exponentials and logarithms are not covered by it: two libraries' may differ in the last
#   bit. And a processor may round a product and a sum together, once instead of twice; a written order has to say
#   whether it may.
# - **Ten thousand pairs are a test**, not a proof that a processor follows the rule. That it does is its maker's
#   promise.
# - That PyTorch's sums depend on the shape was **seen on one machine**, on some shapes.
#
# **What comes next.** All of this was about one sum. A language model is made of millions, so next we build one: [a
# small model that knows its tenses](02_a_small_model.py), and after it [its memory](03_the_kv_cache.py). Keep the eight
# numbers in mind meanwhile. In [Yesterday I worked](04_yesterday_i_worked.py) what happened to them happens to the
# model: with a cache and without one, the same words go through sums of different shapes. The tokens agree, and the
# bytes do not; and we find the first sum that was added in another order, and fix it. This chapter has no lab of its
# own: its one question comes back in all of them.
