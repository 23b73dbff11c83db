from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from courselib import bits
from courselib.invariant import (
    disable_batch_invariant_mode,
    enable_batch_invariant_mode,
    is_batch_invariant_mode_enabled,
    mode,
    set_batch_invariant_mode,
    support,
    table,
)

A = torch.randn(64, 512, generator=torch.Generator().manual_seed(0))
W = torch.randn(512, 32, generator=torch.Generator().manual_seed(1))


def invariant() -> bool:
    """What the mode is for, as one product shows it: a row alone and among 64."""
    return bits.equal((A @ W)[:1], A[:1] @ W)


@pytest.fixture(autouse=True)
def off_before_and_after():
    assert not is_batch_invariant_mode_enabled()
    yield
    assert not is_batch_invariant_mode_enabled()
    assert mode._blocks == []
    assert not invariant()  # the negative control: PyTorch's own kernel is back, and fails


def test_on_in_the_block_and_off_after():
    before = A @ W
    with set_batch_invariant_mode():
        assert is_batch_invariant_mode_enabled()
        assert invariant()
    assert bits.equal(A @ W, before)


def test_nests_in_both_directions():
    with set_batch_invariant_mode():
        with set_batch_invariant_mode(False):
            assert not invariant()
            with set_batch_invariant_mode():
                assert invariant()
            assert not invariant()
        with set_batch_invariant_mode():
            assert invariant()
        assert invariant()


def test_precision_is_the_inner_blocks():
    with set_batch_invariant_mode(fp32="tf32x3"):
        assert support.precision == "tf32x3"
        with set_batch_invariant_mode(fp32="tf32"), set_batch_invariant_mode(False), set_batch_invariant_mode():
            assert support.precision == "ieee"
        assert support.precision == "tf32x3"
    with pytest.raises(ValueError, match='unknown fp32 precision "bf16": expected "ieee", "tf32x3", "tf32"'):
        set_batch_invariant_mode(fp32="bf16")


def test_restored_after_an_exception():
    with pytest.raises(KeyError), set_batch_invariant_mode():
        raise KeyError
    with set_batch_invariant_mode():
        with pytest.raises(KeyError), set_batch_invariant_mode(False):
            raise KeyError
        assert invariant()


def test_base_state():
    enable_batch_invariant_mode(fp32="tf32x3")
    try:
        assert invariant()
        enable_batch_invariant_mode()
        assert support.precision == "ieee"
        with set_batch_invariant_mode(False):
            assert not invariant()
            for switch in (enable_batch_invariant_mode, disable_batch_invariant_mode):
                with pytest.raises(
                    RuntimeError, match=rf"{switch.__name__}\(\) was called while thread 'MainThread' is in"
                ):
                    switch()
        assert invariant()
    finally:
        disable_batch_invariant_mode()
    disable_batch_invariant_mode()  # twice does no harm


def test_decorator():
    @set_batch_invariant_mode()
    def check(depth: int) -> bool:
        """Doc."""
        return invariant() and (depth == 0 or check(depth - 1))

    assert (check.__name__, check.__doc__) == ("check", "Doc.")
    assert check(2)
    assert check(2)

    async def later():
        pass

    def several():
        yield

    for function in (later, several):
        with pytest.raises(TypeError, match=r"use `with set_batch_invariant_mode\(\):` in its body"):
            set_batch_invariant_mode()(function)


def test_an_object_serves_once():
    block = set_batch_invariant_mode()
    with block:
        pass
    with pytest.raises(RuntimeError, match="make a new one"), block:
        pass


def test_generators_that_close_in_another_order():
    def hold(enabled):
        with set_batch_invariant_mode(enabled):
            yield

    first, second = hold(True), hold(False)
    next(first), next(second)
    assert not invariant()
    first.close()
    assert not invariant()
    second.close()
    third = hold(True)
    next(third)
    del third  # the garbage collector closes it
    gc.collect()


def test_registering_is_silent_and_leaves_nothing_behind():
    with set_batch_invariant_mode():
        pass
    gc.collect()
    objects, implementations = len(gc.get_objects()), set(torch.library._impls)
    for _ in range(200):
        with set_batch_invariant_mode():
            pass
    gc.collect()
    assert set(torch.library._impls) == implementations
    assert len(gc.get_objects()) - objects < 100


def test_a_fresh_process_sees_no_warning_and_no_dynamo():
    code = (
        "import sys, torch\n"
        "from courselib.invariant import set_batch_invariant_mode\n"
        "with set_batch_invariant_mode():\n    torch.ones(2, 3) @ torch.ones(3, 2)\n"
        "assert 'torch._dynamo' not in sys.modules and 'triton' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_callers_warning_filters_are_left_alone():
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            filters = list(warnings.filters)
            with set_batch_invariant_mode():
                assert list(warnings.filters) == filters
        assert seen == []
    finally:
        torch.set_warn_always(False)


def test_a_failure_to_register_leaves_pytorch_as_it_was(monkeypatch):
    def fail():
        raise OSError("no room")

    monkeypatch.setattr(table, "register", fail)
    with pytest.raises(OSError, match="no room"), set_batch_invariant_mode():
        pass
    with pytest.raises(OSError, match="no room"):
        enable_batch_invariant_mode()


def test_every_op_is_registered_and_given_back():
    # torch.library.get_kernel came with PyTorch 2.9, so the table of the dispatcher is read as text.
    def kernels():
        return {name: torch._C._dispatch_dump(f"aten::{name}") for name, key, _ in table.present() if key == "CPU"}

    before = kernels()
    assert len(before) > 50
    with set_batch_invariant_mode():
        during = kernels()
    assert [name for name in before if during[name] == before[name]] == []
    assert kernels() == before


def test_what_others_have_replaced_is_theirs_again():
    def theirs(a, b):
        return a.new_zeros(1)

    theirs_first = torch.library.Library("aten", "IMPL")
    theirs_first.impl("mm", theirs, "CPU")
    with set_batch_invariant_mode():
        assert invariant()
    assert (A @ W).shape == (1,)
    theirs_first._destroy()
    whole = torch.ones(2, 2, dtype=torch.int64)
    with set_batch_invariant_mode():  # nor is a kernel of theirs kept to fall back on
        assert torch.equal(whole @ whole, 2 * whole)


class Elsewhere:
    """A thread that holds a block until told to let go."""

    def __init__(self, enabled=True):
        self.inside, self.leave, self.saw = threading.Event(), threading.Event(), []
        self.thread = threading.Thread(target=self.run, args=(enabled,), name="other")
        self.thread.start()
        assert self.inside.wait(30)

    def run(self, enabled):
        with set_batch_invariant_mode(enabled):
            self.inside.set()
            assert self.leave.wait(30)
            self.saw.append(invariant())

    def finish(self):
        self.leave.set()
        self.thread.join()
        return self.saw[0]


def test_the_mode_is_the_processs():
    other = Elsewhere()
    try:
        assert is_batch_invariant_mode_enabled()
        assert invariant()
    finally:
        assert other.finish()


def test_threads_that_agree_share_it_and_any_may_leave_first():
    other = Elsewhere()
    with set_batch_invariant_mode():
        assert other.finish()
        assert invariant()
    other = Elsewhere()
    with set_batch_invariant_mode():
        pass
    assert invariant()
    assert other.finish()


def test_threads_that_disagree_are_refused():
    other = Elsewhere()
    try:
        clear = (
            r"thread 'MainThread' wants batch-invariant mode off while thread 'other' holds it on \(fp32=\"ieee\"\).*"
            "finish that block first"
        )
        with pytest.raises(RuntimeError, match=clear), set_batch_invariant_mode(False):
            pass
        with pytest.raises(RuntimeError, match="tf32x3"), set_batch_invariant_mode(fp32="tf32x3"):
            pass
        with set_batch_invariant_mode(), pytest.raises(RuntimeError, match="finish"), set_batch_invariant_mode(False):
            pass
        with pytest.raises(RuntimeError, match="thread 'other' is in"):
            disable_batch_invariant_mode()
        assert invariant()
    finally:
        assert other.finish()


def test_a_thread_may_not_join_the_inner_of_two_blocks():
    # It would be left with the outer one's state when the inner ends.
    def join():
        with set_batch_invariant_mode(False):
            pass

    with set_batch_invariant_mode(), set_batch_invariant_mode(False), ThreadPoolExecutor(1) as pool:
        refused = pool.submit(join).exception()
    assert "holds it on" in str(refused)


def test_many_threads_at_once():
    def work(_):
        with set_batch_invariant_mode():
            return invariant()

    with ThreadPoolExecutor(8) as pool, set_batch_invariant_mode():
        assert all(pool.map(work, range(64)))


def test_asyncio_tasks_hold_blocks_of_their_own():
    async def hold(enabled):
        with set_batch_invariant_mode(enabled):
            await asyncio.sleep(0)
            return invariant()

    async def both(*states):
        return await asyncio.gather(*(hold(s) for s in states), return_exceptions=True)

    assert asyncio.run(both(True, True)) == [True, True]
    held, refused = asyncio.run(both(True, False))
    assert held is True
    assert "task" in str(refused)
    assert isinstance(refused, RuntimeError)


def test_a_backward_runs_in_the_mode():
    x, w = A.clone().requires_grad_(), W.t().clone()

    def gradient(rows):
        x.grad = None
        torch.nn.functional.linear(x[:rows], w).square().sum().backward()
        return x.grad[:1].clone()

    assert not bits.equal(gradient(1), gradient(64))
    with set_batch_invariant_mode():
        assert bits.equal(gradient(1), gradient(64))
