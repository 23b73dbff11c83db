from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from types import SimpleNamespace

import pytest

from courselib.kernels import FIXED_ORDER, current_ops, use_ops
from courselib.kernels.cpu import fixed_torch, stock

FUNCTIONS = ["linear", "rms_norm", "softmax", "log_softmax", "silu", "gelu", "rope", "attention"]


def test_the_default_is_a_fixed_order() -> None:
    assert FIXED_ORDER == "fixed-order/1"
    assert current_ops().NAME in ("fixed-c", "fixed-torch")
    with use_ops("fixed") as ops:
        assert ops is current_ops()


def test_every_implementation_has_every_operation() -> None:
    for name in ("fixed", "fixed-torch", "stock"):
        with use_ops(name) as ops:
            assert all(callable(getattr(ops, function)) for function in FUNCTIONS)


def test_it_nests_and_is_restored() -> None:
    before = current_ops()
    with use_ops("stock"):
        assert current_ops() is stock
        with use_ops("fixed-torch"):
            assert current_ops() is fixed_torch
        assert current_ops() is stock
    assert current_ops() is before


def test_it_is_restored_after_an_exception() -> None:
    before = current_ops()
    with pytest.raises(KeyError), use_ops("stock"), use_ops("fixed-torch"):
        raise KeyError
    assert current_ops() is before


def test_an_unknown_name_raises_and_changes_nothing() -> None:
    before = current_ops()
    with (
        pytest.raises(ValueError, match=r'unknown ops "Fixed": expected "fixed", "fixed-c", "fixed-torch", "stock"$'),
        use_ops("Fixed"),
    ):
        pass
    assert current_ops() is before


def test_each_thread_has_its_own() -> None:
    default = current_ops()
    with ThreadPoolExecutor(1) as pool, use_ops("stock"):
        assert copy_context().run(current_ops) is stock  # a task that copies the context takes it along,
        assert pool.submit(copy_context().run, current_ops).result() is stock
        assert pool.submit(current_ops).result() is default  # a plain thread begins with the default

        def inside() -> str:
            with use_ops("fixed-torch") as ops:
                return ops.NAME

        assert pool.submit(inside).result() == "fixed-torch"
        assert current_ops() is stock


def test_an_implementation_of_your_own_stands_for_itself() -> None:
    before = current_ops()
    own = SimpleNamespace(NAME="own", linear=lambda x, w: "mine")
    with use_ops(own) as ops:
        assert ops is own
        assert current_ops() is own
        assert current_ops().linear(None, None) == "mine"
        with use_ops("stock"):
            assert current_ops() is stock
        assert current_ops() is own
    assert current_ops() is before
    with pytest.raises(ValueError, match='unknown ops "3"'), use_ops(3):  # no name, and no implementation either
        pass
