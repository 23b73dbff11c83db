"""CUDA C++ kernels, compiled when first used; where that is not possible, a Triton kernel with the same bits runs."""
