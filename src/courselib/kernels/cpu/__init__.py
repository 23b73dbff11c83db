"""CPU kernels: `fixed_order.c` through `fixed_c`, the same orders in PyTorch (`fixed_torch`), and `stock` ops."""
