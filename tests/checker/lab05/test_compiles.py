"""The interpreter takes what a GPU's compiler refuses: every planted kernel, sound one and the solution's, compiled."""

import os
import re
import subprocess
import sys
from pathlib import Path

from checker.lab05.variants import HERE, candidates, source
from checker.publish import ROOT


def test_every_kernel_compiles_for_gpus_old_and_new(tmp_path):
    files = [ROOT / "labs/05/solution/kernels.py"]
    for i, candidate in enumerate(candidates(0)):
        files.append(tmp_path / f"candidate{i}.py")
        files[-1].write_text(source(candidate))
    run = subprocess.run(
        [sys.executable, Path(__file__).with_name("compile_offline.py"), *files],
        capture_output=True,
        text=True,
        env={**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path / "cache")},
    )
    errors = [line for line in run.stderr.splitlines() if "rror" in line or "Assert" in line]
    assert run.returncode == 0, "\n".join(errors)
    written = "".join(path.read_text() for path in [*HERE.glob("[a-z]*.py"), files[0]])
    assert set(run.stdout.split()) == set(re.findall(r"@triton\.jit.*\ndef (\w+)", written))
