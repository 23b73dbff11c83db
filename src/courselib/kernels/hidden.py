"""When a float mask hides a slot: one rule for the CPU and for CUDA."""

# A float mask hides what it adds this much to, or less: -inf, and all that stands for it in practice, such as -1e9, a
# dtype's lowest number, or the -65504 that PyTorch puts for False where it chooses cuDNN's attention. A weight of
# exp(-30000) is 0 beside any other; but a slot that merely weighs nothing would still be counted as the row's first.
HIDDEN = -30000.0
