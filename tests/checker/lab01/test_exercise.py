"""The driver, as a student runs it: what it shows, what it refuses, and what it looks at before the model does."""

import shutil
import subprocess
import sys

import pytest
import torch

from checker.publish import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The solution's cache beside what is done for everybody."""
    folder = tmp_path_factory.mktemp("exercise01")
    for name in ("starter/exercise.py", "starter/cases.py", "solution/kv_cache.py"):
        shutil.copy(ROOT / "labs/01" / name, folder)
    return folder


def exercise(folder, *options):
    return subprocess.run([sys.executable, "exercise.py", *options], cwd=folder, capture_output=True, text=True)


def test_a_case_is_shown_and_nothing_is_written(folder):
    run = exercise(folder, "--show", "b4")
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    refused = [line for line in lines if "TypeError" in line]
    assert len(refused) == 1
    assert "(kv_cache.py, line " in refused[0]
    assert any(line.strip().startswith("K  sequence 2, head 1:  ") for line in lines)
    assert not (folder / "results.json").exists()


def test_a_hidden_case_is_shown_with_its_seed(folder):
    run = exercise(folder, "--show", "hd1", "--seed", "7")
    assert run.returncode == 0, run.stderr
    assert "release(" in run.stdout


@pytest.mark.parametrize(
    ("options", "says"), [(["--seed", "7"], "--seed goes with --show"), (["--show", "z9"], "there is no case z9: a0")]
)
def test_what_makes_no_sense_is_refused(folder, options, says):
    run = exercise(folder, *options)
    assert run.returncode == 2
    assert says in run.stderr
    assert not (folder / "results.json").exists()


class Empty:
    """A cache that holds nothing."""

    lengths, first = [0], [0]

    def append(self, layer, k, v, count):
        pass

    def read(self, layer):
        return torch.zeros(1, 2, 0, 4), torch.zeros(1, 2, 0, 4)


def test_a_shape_is_looked_at_before_attention_is(driver):
    watched = driver.Watched(Empty(), 1, 1)
    assert watched.lengths == [0]
    watched.append(0, torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4), [3])
    with pytest.raises(ValueError, match=r"read\(0\) gave K as float32 \(1, 2, 0, 4\), .* it is \(1, 2, 3, 4\)"):
        watched.read(0)
    with pytest.raises(ValueError, match=r"lengths gave \[0\], after these appends it is \[3\]"):
        _lengths = watched.lengths


def test_what_the_model_reads_is_a_copy(driver):
    """A cache that changes what it handed out changes nothing that was computed."""

    class Handed(Empty):
        rows = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4)

        def read(self, layer):
            return self.rows

    watched = driver.Watched(Handed(), 1, 1)
    watched.append(0, torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4), [3])
    k, _ = watched.read(0)
    Handed.rows[0].fill_(7)
    assert not k.any()
