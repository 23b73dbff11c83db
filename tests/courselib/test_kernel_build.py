"""One source, many machine codes, the same bytes; and what happens where there is no compiler, or a bad one."""

import ctypes
import json
import math
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
import torch

from courselib import bits
from courselib.kernels import registry
from courselib.kernels.cpu import build, fixed_c, fixed_torch, primitives_c, primitives_torch

COMPILER = build.find_compiler()
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler: there is nothing to build")

X86 = platform.machine() in ("x86_64", "AMD64", "i686")
VARIANTS = {
    "O0": ["-O0"],
    "O2, the least the architecture has (SSE2 on x86)": ["-O2", *(["-march=x86-64"] if X86 else [])],
    "O3 native": ["-O3", "-march=native"],
    "O3 native without AVX-512": ["-O3", "-march=native", "-mno-avx512f"],
    "O3 native without AVX": ["-O3", "-march=native", "-mno-avx"],
}


def compiled(out: Path, *flags: str) -> Path:
    """fixed_order.c built with the shipped flags and then these, which win."""
    assert COMPILER is not None
    subprocess.run([COMPILER, *build.FLAGS, *flags, str(build.SOURCE), "-o", str(out)], check=True)
    return out


def compiler_that(folder: Path, script: str) -> str:
    """A C compiler of our own: a shell script around the real one, which it calls CC."""
    path = folder / "our-cc"
    path.write_text(f'#!/bin/sh\nCC="{COMPILER}"\n{script}\n')
    path.chmod(0o755)
    return str(path)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def large_probe(ops: ModuleType) -> dict[str, torch.Tensor]:
    """Every kernel on sizes that reach its bodies and its tails."""
    x, w, q, k, v = noise(7, 133), noise(133, 215), noise(2, 6, 3, 40), noise(2, 3, 90, 40), noise(2, 3, 90, 40)
    wide = noise(40, 1000) * 20
    more = {fixed_c: primitives_c, fixed_torch: primitives_torch}[ops]
    rms, rstd = more.rms_norm(wide, None, 1e-5)
    layer, mean, _ = more.layer_norm(wide, wide[0], wide[1], 1e-5)
    mask = noise(2, 6, 3, 90).masked_fill_(noise(2, 6, 3, 90) > 0.5, -math.inf)
    out, lse = more.attention(q, k, v[..., :33], mask, False, 0.2)
    return {
        "linear": ops.linear(x, w),
        "linear of one row": ops.linear(x[:1], w),
        "linear of many rows": ops.linear(wide[:, :133].contiguous(), w),
        "linear of a transpose": ops.linear(x, w.t().contiguous().t()),
        "rms_norm": ops.rms_norm(x, w[:, 0].contiguous(), 1e-5),
        "softmax": ops.softmax(wide),
        "log_softmax": ops.log_softmax(wide),
        "exp": ops.exp(wide),
        "log": ops.log(wide.abs()),
        "silu": ops.silu(wide),
        "gelu": ops.gelu(wide),
        "rope": ops.rope(q, noise(2, 3, 20), noise(2, 3, 20) + 1),
        "attention": ops.attention(q, k, v, [80, 87], [5, 0], [3, 2]),
        "bmm": more.matmul(q[0], k[0].repeat(2, 1, 1).transpose(1, 2)),
        "rms_norm without a weight": rms,
        "rstd": rstd,
        "layer_norm": layer,
        "mean": mean,
        "logsumexp": more.logsumexp(wide),
        "sum": more.reduce(wide[..., None], False, None, 3.0),
        "sum of squares over rows": more.reduce(wide[None], True, wide[:1], 3.0),
        "sigmoid": more.sigmoid(wide),
        "masked attention": out,
        "lse": lse,
    }


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    """Make fixed_c run on a library built elsewhere; it still has to pass the probe."""

    def install(path: Path) -> None:
        library = ctypes.CDLL(str(path))
        monkeypatch.setattr(build, "load", lambda: library)
        checked = fixed_c.lib.__wrapped__()
        monkeypatch.setattr(fixed_c, "lib", lambda: checked)

    return install


@pytest.mark.parametrize("flags", VARIANTS.values(), ids=VARIANTS)
def test_optimisation_and_simd_width_change_no_byte(flags: list[str], tmp_path: Path, installed) -> None:
    if any(flag.startswith("-mno-avx") for flag in flags) and not X86:
        pytest.skip("AVX is x86's")
    installed(compiled(tmp_path / "kernels.so", *flags))
    expected = large_probe(fixed_torch)
    for name, found in large_probe(fixed_c).items():
        assert bits.equal(found, expected[name]), f"{name}\n{bits.report(found, expected[name])}"


def test_a_build_that_sums_in_another_order_is_refused(
    tmp_path: Path, installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = build.SOURCE.read_text()
    tree = "(c[0] + c[2]) + (c[1] + c[3])"
    assert tree in text
    monkeypatch.setattr(build, "SOURCE", tmp_path / "reordered.c")
    build.SOURCE.write_text(text.replace(tree, "(c[0] + c[1]) + (c[2] + c[3])"))
    with pytest.raises(build.NoCompilerError, match="do not give the promised bytes"):
        installed(compiled(tmp_path / "kernels.so"))


def has_fma() -> bool:
    assert COMPILER is not None
    command = [COMPILER, "-march=native", "-dM", "-E", "-x", "c", os.devnull]
    macros = subprocess.run(command, capture_output=True, text=True).stdout
    return "__FMA__" in macros or "__ARM_FEATURE_FMA" in macros


# A process of its own: a library built with fast-math may switch the whole process to flushing subnormals.
REFUSED = """
import torch
from courselib.kernels import registry
from courselib.kernels.cpu import build, fixed_c
try:
    fixed_c.lib()
except build.NoCompilerError as error:
    print(error)
print(registry.resolve("fixed").NAME)
print((torch.full((1,), 1e-30) * 1e-10).item() > 0)
"""


@pytest.mark.parametrize("flag", ["-ffast-math", "-ffp-contract=fast"])
def test_a_compiler_that_is_made_to_reorder_or_fuse_is_refused(flag: str, tmp_path: Path) -> None:
    if flag == "-ffp-contract=fast" and not has_fma():
        pytest.skip("this processor has no fused multiply-add to be tempted with")
    compiler = compiler_that(tmp_path, f'exec "$CC" "$@" {flag}')
    env = {**os.environ, "CC": compiler, "COURSELIB_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", REFUSED], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    refusal, ops, subnormals = run.stdout.splitlines()
    assert "do not give the promised bytes" in refusal
    assert compiler in refusal
    assert (ops, subnormals) == ("fixed-torch", "True")
    built, fallback = run.stderr.splitlines()  # the cached build is loaded again by resolve, and refused again
    assert built.startswith("courselib: built its CPU kernels with")
    assert fallback.startswith("courselib: running fixed-torch, slower, with the same bytes: the kernels that")


# ------------------------------------------------------------------------------------------------ no compiler

GENERATE = """
import json, sys
import torch
from courselib import bits
from courselib.generate import generate
from courselib.kernels import current_ops, use_ops
from courselib.minigpt import Config, MiniGPT
from courselib.trace import Trace

def run():
    torch.manual_seed(5)
    model = MiniGPT(Config(vocab_size=40, n_layers=2, dim=24, n_heads=4, n_kv_heads=2, ff_dim=40, max_slots=32))
    trace = Trace()
    tokens = generate([[1, 2, 3], [4]], 4, seed=3, model=model, trace=trace)
    return [tokens, [bits.hex_words(x) for row in (0, 1) for x in (trace.logits(row), *trace.slots(row))]]

if __name__ == "__main__":
    with use_ops("fixed"), use_ops("fixed"):
        print(json.dumps([current_ops().NAME, run()]))
"""


def test_without_a_compiler_the_fallback_is_named_once_and_gives_the_same_bytes(tmp_path: Path) -> None:
    here: dict = {"__name__": "here"}
    exec(GENERATE, here)
    with registry.use_ops("fixed-c"):
        expected = here["run"]()
    env = {name: value for name, value in os.environ.items() if name not in ("CC", "PATH")}
    env |= {"PATH": "", "COURSELIB_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", GENERATE], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stderr == (
        "courselib: running fixed-torch, slower, with the same bytes: "
        "no C compiler found (looked for cc, gcc and clang)\n"
    )
    ops, found = json.loads(run.stdout)
    assert ops == "fixed-torch"
    assert found == json.loads(json.dumps(expected))


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty cache folder, and nothing loaded yet; what was loaded before is put back."""
    monkeypatch.setenv("COURSELIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    fixed_c.lib()
    registry.resolve("fixed")
    before, resolve = fixed_c.lib, registry.resolve
    monkeypatch.setattr(fixed_c, "lib", before.__wrapped__)
    monkeypatch.setattr(registry, "resolve", resolve.__wrapped__)
    return tmp_path / "cache" / "courselib"


def test_cc_is_believed_and_its_absence_named(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert build.find_compiler() is None
    with pytest.raises(
        build.NoCompilerError, match=r'^no C compiler found \(\$CC is "no-such-compiler", no program\)$'
    ):
        build.load()
    with pytest.raises(build.NoCompilerError), registry.use_ops("fixed-c"):
        pass  # pragma: no cover
    with registry.use_ops("fixed") as ops:
        assert ops is fixed_torch
    assert "running fixed-torch" in capsys.readouterr().err


def test_a_compiler_that_fails_is_quoted_in_one_line(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler_that(tmp_path, "echo 'fatal error: stdint.h:' >&2; echo not found >&2; exit 1"))
    with pytest.raises(build.NoCompilerError) as error:
        build.load()
    assert str(error.value).endswith("could not build fixed_order.c: fatal error: stdint.h: not found")
    assert list(fresh.iterdir()) == []  # no half-built library, no scratch folder


def test_a_library_that_cannot_be_loaded_is_named(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'for last; do :; done; case "$1" in --version) ;; *) echo not a library > "$last";; esac'
    monkeypatch.setenv("CC", compiler_that(tmp_path, script))
    with pytest.raises(build.NoCompilerError, match="was built but cannot be loaded"):
        build.load()


def test_a_compiler_without_march_native_will_do(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = 'case "$*" in *-march=native*) echo unknown architecture >&2; exit 1;; esac'
    monkeypatch.setenv("CC", compiler_that(tmp_path, f'{refuse}\nexec "$CC" "$@"'))
    assert fixed_c._probe(fixed_c.lib()) == fixed_c.PROBE_SHA256


# ------------------------------------------------------------------------------------------------ the cache


def test_a_build_is_kept_and_named_once(fresh: Path, capsys: pytest.CaptureFixture) -> None:
    build.load()
    (kept,) = fresh.iterdir()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"courselib: built its CPU kernels with {build.find_compiler()}")
    assert line.endswith(str(kept))
    build.load()
    assert list(fresh.iterdir()) == [kept]
    assert capsys.readouterr().err == ""


def test_whatever_decides_the_machine_code_gets_a_build_of_its_own(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert COMPILER is not None
    keys = {build._key(COMPILER)}
    assert build._key(COMPILER) in keys
    monkeypatch.setattr(build, "FLAGS", [*build.FLAGS, "-g"])
    keys.add(build._key(COMPILER))
    monkeypatch.setattr(build, "_cpu", lambda: "another processor")
    keys.add(build._key(COMPILER))
    monkeypatch.setattr(build, "SOURCE", tmp_path / "changed.c")
    build.SOURCE.write_text("int x;")
    keys.add(build._key(COMPILER))
    keys.add(build._key(compiler_that(tmp_path, 'exec "$CC" "$@"')))
    assert len(keys) == 5


def test_two_builds_at_once_do_not_disturb_each_other(fresh: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        libraries = list(pool.map(lambda _: fixed_c.lib(), range(2)))  # each passes the probe
    assert len(libraries) == 2
    assert len(list(fresh.iterdir())) == 1


@pytest.mark.parametrize("home", ["a file", "no home"])
def test_where_no_cache_can_be_kept_a_private_folder_serves(
    home: str, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if home == "a file":
        (tmp_path / "file").touch()
        monkeypatch.setenv("COURSELIB_CACHE", str(tmp_path / "file"))
    else:

        def nobody() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.delenv("COURSELIB_CACHE")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.setattr(build.tempfile, "tempdir", str(tmp_path))
    folder = build._cache_dir()
    assert folder.parent == tmp_path
    assert folder.name.startswith("courselib-")
    assert folder.stat().st_mode & 0o077 == 0
