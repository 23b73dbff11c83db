"""CPU kernels: `fixed_order.c` through `fixed_c`, the same orders in PyTorch (`fixed_torch`), and `stock` ops.

`primitives` is what batch-invariant mode stands on: the same orders for every dtype and stride, behind the functions
that `courselib.kernels.triton` has for CUDA devices.
"""
