"""torch.compile and the mode, in processes of their own: whether torch._dynamo is imported is part of the matter."""

from __future__ import annotations

import subprocess
import sys
import textwrap

START = """
import sys, torch
from courselib.invariant import *
a = torch.randn(64, 512, generator=torch.Generator().manual_seed(0))
w = torch.randn(512, 32, generator=torch.Generator().manual_seed(1))
graphs = []
def backend(graph, inputs):
    graphs.append(1)
    return graph
def invariant(f):
    return torch.equal(f(a, w)[:1], f(a[:1], w))
"""


def run(code: str) -> str:
    """What a process that runs `code` says on stderr."""
    command = [sys.executable, "-W", "error", "-c", START + textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stderr


ASIDE = "courselib: functions compiled by torch.compile run eagerly in batch-invariant mode\n"


def test_compiled_before_the_block():
    said = run("""
        f = torch.compile(lambda a, w: a @ w, backend=backend)
        assert not invariant(f) and graphs
        n = len(graphs)
        for _ in range(2):
            with set_batch_invariant_mode():
                assert invariant(f) and len(graphs) == n
                with set_batch_invariant_mode(False):
                    assert not invariant(f)
                assert invariant(f)
        assert not invariant(f)
        assert torch._dynamo.eval_frame._stance.stance == "default"
    """)
    assert said == ASIDE  # once


def test_first_compiled_inside_the_block():
    said = run("""
        assert "torch._dynamo" not in sys.modules
        with set_batch_invariant_mode():
            f = torch.compile(lambda a, w: a @ w, backend=backend)
            assert invariant(f) and not graphs
        assert not invariant(f) and graphs
        assert not any(type(finder).__name__ == "_WhenImported" for finder in sys.meta_path)
    """)
    assert said == ASIDE


def test_dynamo_merely_imported_is_not_talked_about():
    assert (
        run("""
        with set_batch_invariant_mode():
            import torch._dynamo
            assert torch._dynamo.eval_frame._stance.stance == "force_eager"
        assert torch._dynamo.eval_frame._stance.stance == "default"
        with set_batch_invariant_mode():
            pass
    """)
        == ""
    )


def test_a_stance_of_the_callers_comes_back():
    run("""
        with torch.compiler.set_stance("eager_on_recompile"):
            with set_batch_invariant_mode():
                assert torch._dynamo.eval_frame._stance.stance == "force_eager"
            assert torch._dynamo.eval_frame._stance.stance == "eager_on_recompile"
    """)


def test_entering_inside_a_compiled_function_is_refused():
    run("""
        def block(a, w):
            with set_batch_invariant_mode():
                return a @ w
        @set_batch_invariant_mode()
        def decorated(a, w):
            return a @ w
        def switched(a, w):
            enable_batch_invariant_mode()
            return a @ w
        for f in (block, decorated, switched):
            for fullgraph in (False, True):
                try:
                    torch.compile(f, backend=backend, fullgraph=fullgraph)(a, w)
                except Exception as error:
                    assert "batch_invariant_mode" in str(error), error
                else:
                    raise AssertionError(f.__name__)
                assert not is_batch_invariant_mode_enabled()
        with set_batch_invariant_mode():  # held from outside it runs eagerly, so it may nest
            assert invariant(torch.compile(block, backend=backend))
        away = torch.compiler.disable(block)  # and so it may where the caller takes it out of the compiled part
        assert invariant(torch.compile(lambda a, w: away(a, w) + 1, backend=backend))
    """)
