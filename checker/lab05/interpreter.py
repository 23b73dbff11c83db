"""Lab 05, done for you: on the CPU, a dot that adds in an order one can name. On a GPU it is not used."""

from typing import Any

import numpy as np


def ordered_dot() -> None:
    """Have Triton's interpreter add up a dot in the order of k, in the dtype of the accumulator.

    Its own dot is NumPy's, and the BLAS behind that may add up the 7th row of a tile otherwise than the 1st: a tile of
    equal rows then has unequal results. No kernel could be batch-invariant on it. Here the products of a tile are added
    one k after the other, by NumPy's elementwise * and +, which round as IEEE 754 says; then the accumulator is added.
    """
    from triton.runtime import interpreter

    def create_dot(self: Any, a: Any, b: Any, d: Any, input_precision: Any, max_num_imprecise_acc: Any) -> Any:
        left, right = a.data.astype(d.data.dtype), b.data.astype(d.data.dtype)
        total = np.zeros_like(d.data)
        for k in range(left.shape[-1]):
            total = total + left[..., :, k, None] * right[..., k, None, :]
        return interpreter.TensorHandle(total + d.data, d.dtype.scalar)

    interpreter.InterpreterBuilder.create_dot = create_dot
