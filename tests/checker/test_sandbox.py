"""What each tier stops is tried in it: a hostile script runs, and what it managed to do is looked at."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from checker import replay
from checker.sandbox import PROMISES, TIERS, Limits, SandboxError, channel, choose, tiers
from checker.sandbox.inside import frames

MIB = 1024**2
ROOT = Path(__file__).parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="on Linux only")
everywhere = pytest.mark.parametrize("tier", TIERS)
confined = pytest.mark.parametrize("tier", ["full", "landlock"])
full = pytest.mark.parametrize("tier", ["full"])


@pytest.fixture(autouse=True)
def _works_here(request):
    """A tier that this machine does not have is skipped; that CI has them all, a test of its own sees to."""
    if "tier" in request.fixturenames:
        try:
            choose(request.getfixturevalue("tier"))
        except SandboxError as error:
            pytest.skip(str(error))


@pytest.fixture
def run(tmp_path):
    """run(tier, text, **limits) -> the Run of a script with that text."""

    def run(tier, text, *arguments, wall=20.0, library=None, **limits):
        scratch = tmp_path / str(len(list(tmp_path.iterdir())))
        for name in ("copy/folder", "out", "home"):
            (scratch / name).mkdir(parents=True)
        (scratch / "copy/folder/script.py").write_text("import os, sys, json\nout = sys.argv[2]\n" + text)
        sandbox = replace(choose(tier), limits=Limits(**limits))
        places = scratch / "copy", "folder/script.py", scratch / "out"
        return replay.run_script(*places, list(arguments), scratch / "home", wall, sandbox=sandbox, library=library)

    return run


def said(run):
    return json.loads((run.out / "said.json").read_text())


TRY = """
def attempt(what):
    try:
        return what() or "done"
    except BaseException as error:
        return type(error).__name__
def say(**things):
    json.dump(things, open(out + "/said.json", "w"))
"""


@everywhere
def test_a_script_sees_the_same_wherever_it_runs(tier, run, monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    text = TRY + "say(argv=sys.argv, cwd=os.getcwd(), env=dict(os.environ), input=sys.stdin.read())"
    result = run(tier, text, "--ops", "fixed")
    seen = said(result)
    assert seen["argv"] == ["script.py", "--out", str(result.out), "--ops", "fixed"]
    assert seen["cwd"] == str((result.out.parent / "copy/folder").resolve())
    assert seen["input"] == ""
    assert set(seen["env"]) - {*replay.PASSED_ON, "LC_CTYPE"} == {
        *("HOME", "TMPDIR", "USER", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "PYTHONDONTWRITEBYTECODE")
    }


@everywhere
def test_it_may_write_beside_itself_and_at_home_and_compile(tier, run):
    text = (
        TRY
        + """
import subprocess, tempfile, ctypes
open("beside.txt", "w").write("x")
source = os.path.join(tempfile.mkdtemp(), "a.c")
open(source, "w").write("int answer(void) { return 42; }")
subprocess.run(["cc", "-shared", "-fPIC", "-o", source + ".so", source], check=True)
say(answer=ctypes.CDLL(source + ".so").answer(), at_home=source.startswith(os.environ["HOME"]))
"""
    )
    assert said(run(tier, text)) == {"answer": 42, "at_home": True}


@everywhere
def test_a_library_comes_first_and_is_only_read(tier, run, tmp_path):
    library = tmp_path / "library"
    (library / "courselib").mkdir(parents=True)
    (library / "courselib/__init__.py").write_text("mutated = True")
    text = TRY + "import courselib\nwrites = attempt(lambda: open(courselib.__file__, 'w').write('') and None)\n"
    text += "say(mutated=courselib.mutated, writes=writes)"
    seen = said(run(tier, text, library=library))
    assert seen["mutated"]
    if tier != "rlimits" or os.geteuid() == 0:
        assert seen["writes"] in ("OSError", "PermissionError")


@everywhere
def test_no_network(tier, run):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = (
            TRY
            + f"""
import socket
udp = lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", {port})) and None
say(tcp=attempt(lambda: socket.create_connection(("127.0.0.1", {port}), 2) and None), udp=attempt(udp))
"""
        )
        assert said(run(tier, text)) == {"tcp": "PermissionError", "udp": "PermissionError"}


@confined
def test_nothing_outside_is_written_or_read(tier, run, tmp_path):
    (tmp_path / "other").mkdir(mode=0o777)
    secret = tmp_path / "other/results.json"
    secret.write_text("another's")
    secret.chmod(0o666)
    solution = ROOT / "labs/02/solution/property_test.py"
    text = (
        TRY
        + f"""
reads = lambda path: attempt(lambda: open(path).read() and None)
writes = lambda path: attempt(lambda: open(path, "w").close())
say(reads=[reads(p) for p in ({str(secret)!r}, {str(solution)!r}, "/etc/passwd", {__file__!r})],
    writes=[writes(p) for p in ({str(secret)!r}, "/usr/x", "/x", "/etc/x", "/dev/x", sys.prefix + "/x")])
"""
    )
    seen = said(run(tier, text))
    assert set(seen["reads"] + seen["writes"]) <= {"FileNotFoundError", "PermissionError", "OSError"}
    assert secret.read_text() == "another's"


@full
def test_scratch_space_has_a_size(tier, run):
    text = (
        TRY
        + """
def fill():
    for i in range(40):
        open(f"{out}/{i}", "wb").write(b"x" * 1024**2)
filled = attempt(fill)
for i in range(40):
    attempt(lambda: os.unlink(f"{out}/{i}"))
say(filled=filled)
"""
    )
    assert said(run(tier, text, scratch=16 * MIB)) == {"filled": "OSError"}


@linux
@everywhere
def test_a_memory_bomb_is_bounded(tier, run):
    text = "held = []\nwhile True:\n    held.append(bytearray(b'x') * 8_000_000)"
    result = run(tier, text, memory=200 * MIB)
    assert (result.outcome, result.exit_code) in (("out of memory", None), ("finished", 1))
    assert result.exit_code is None or "MemoryError" in result.output_tail


@linux
@everywhere
def test_a_fork_bomb_is_bounded_and_gone(tier, run):
    text = "while True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    result = run(tier, text, processes=30, wall=5.0)
    assert result.outcome == "too many processes"
    assert not alive(str(result.out))


@everywhere
def test_a_daemon_does_not_survive(tier, run):
    text = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        import signal, time
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        open(out + "/there", "w").close()
        time.sleep(600)
    os._exit(0)
import time
while not os.path.exists(out + "/there"):
    time.sleep(0.01)
"""
    result = run(tier, text)
    assert (result.outcome, os.listdir(result.out)) == ("finished", ["there"])
    if sys.platform == "linux":
        assert not alive(str(result.out))


def alive(word):
    """Processes with ``word`` in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (process / "cmdline").read_bytes():
                found.append(process.name)
        except OSError:
            pass
    return found


@everywhere
def test_an_endless_loop_ends(tier, run):
    result = run(tier, "open(out + '/early', 'w').close()\nwhile True: pass", wall=1.0)
    assert (result.outcome, result.exit_code) == ("timed out", None)


@everywhere
def test_cpu_time_is_bounded(tier, run):
    assert run(tier, "while True: pass", cpu=1).outcome == "timed out"


@everywhere
@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 9)", "sys.exit('no')"])
def test_however_it_ends_its_data_come(tier, run, end):
    result = run(tier, f"open(out + '/data', 'w').write('x')\n{end}")
    assert result.outcome == "finished"
    assert (result.out / "data").read_text() == "x"


@everywhere
def test_no_descriptor_leads_to_the_channel(tier, run):
    text = (
        TRY
        + f"""
import os
forged = {frames.MAGIC + frames.END + frames.ENDING.pack(0, 0) + bytes(32)!r}
for fd in range(256):
    attempt(lambda: os.write(fd, forged))
parent = os.getppid()
tries = [lambda: os.open(f"/proc/{{parent}}/fd/{{fd}}", os.O_WRONLY) for fd in (0, 1)]
tries.append(lambda: open(f"/proc/{{parent}}/mem", "rb").close())
say(tries=[attempt(t) for t in tries])
"""
    )
    result = run(tier, text)
    assert result.outcome == "finished"
    assert set(said(result)["tries"]) <= {"PermissionError", "FileNotFoundError"}


@everywhere
def test_out_full_of_rubbish(tier, run):
    text = """
os.symlink("/etc/passwd", out + "/link")
os.mkfifo(out + "/fifo")
open(out + "/one", "w").close()
os.link(out + "/one", out + "/other")
os.makedirs(out + "/a/b")
open(out + "/a/b/deep", "w").write("x")
import socket
socket.socket(socket.AF_UNIX).bind(os.path.relpath(out + "/socket"))
"""
    result = run(tier, text)
    assert result.outcome == "finished"
    assert (result.out / "link").is_symlink()
    assert not (result.out / "link").exists()
    assert (result.out / "fifo").is_fifo()
    assert (result.out / "a/b/deep").read_text() == "x"
    assert sorted(os.listdir(result.out)) == ["a", "fifo", "link"]
    assert [what.partition(":")[0] for what in result.left_out] == ["one", "other", "socket"]


@everywhere
def test_out_has_bounds(tier, run):
    many = run(tier, "for i in range(50): open(f'{out}/{i}', 'w').close()", out_files=10)
    assert (many.outcome, os.listdir(many.out)) == ("finished", [])
    assert many.left_out == [".: there were more files than are taken along"]
    large = run(tier, "open(out + '/large', 'wb').truncate(10**7)\nopen(out + '/small', 'w').close()", out_bytes=10**6)
    assert os.listdir(large.out) == ["small"]
    assert large.left_out == ["large: larger than all that is taken along"]


@everywhere
def test_a_supervisor_that_is_cut_off_is_said_to_be(tier, run, monkeypatch):
    """No script can do this with a uid of its own; a machine that runs out of memory can."""

    def killed(running):
        running._process.kill() if tier != "full" else kill_below(running._process.pid)

    started = threading.Event()
    start = tiers.Sandbox.start

    def start_and_kill(self, task, limits=None):
        running = start(self, task, limits)

        def wait():
            while not running.output():
                time.sleep(0.01)
            killed(running)
            started.set()

        threading.Thread(target=wait, daemon=True).start()
        return running

    choose(tier)
    monkeypatch.setattr(tiers.Sandbox, "start", start_and_kill)
    text = "open(out + '/unfinished', 'w').close()\nprint('here', flush=True)\nimport time\ntime.sleep(600)"
    result = run(tier, text)
    assert started.wait(5)
    assert (result.outcome, result.exit_code, os.listdir(result.out)) == ("no data", None, [])
    assert "without handing over its data" in replay.no_end(result, 1.0)
    assert not alive(str(result.out))


def kill_below(pid):
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)


@pytest.fixture
def sent():
    """What a supervisor sends for one file, and its nonce."""
    nonce = bytes(range(32))
    body = frames.ENTRY + frames.ENTRY_HEAD.pack(frames.FILE, 4, 2) + b"name" + b"ok"
    body += frames.END + frames.ENDING.pack(0, 0)
    digest = frames.keyed(nonce)
    digest.update(body)
    return frames.MAGIC + body + digest.digest(), nonce


def test_what_came_is_believed_only_whole(sent):
    data, nonce = sent
    handed = channel.decode(data, nonce, Limits())
    assert [(e.kind, e.name, e.data) for e in handed.entries] == [(frames.FILE, "name", b"ok")]
    for end in range(len(data)):
        with pytest.raises(channel.Broken):
            channel.decode(data[:end], nonce, Limits())
    for other in (data + b"x", b"x" + data, data.replace(b"ok", b"no")):
        with pytest.raises(channel.Broken):
            channel.decode(other, nonce, Limits())
    with pytest.raises(channel.Broken):
        channel.decode(data, bytes(32), Limits())


def test_no_entry_lands_elsewhere(tmp_path):
    entries = [channel.Entry(frames.FILE, name, b"x") for name in ("../a", "/tmp/a", "b/../../a", "")]
    (tmp_path / "out").mkdir()
    channel.write(entries, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []
    assert os.listdir(tmp_path) == ["out"]


@linux
def test_root_with_bubblewrap_has_every_tier_with_a_uid_of_its_own():
    bare = ["bwrap", "--ro-bind", "/", "/", "--unshare-pid", "--unshare-net", "--proc", "/proc", "true"]
    if os.geteuid() or not shutil.which("bwrap") or subprocess.run(bare, capture_output=True).returncode:
        pytest.skip("it takes root and a bubblewrap that works")
    assert choose() == choose("full")
    assert choose("full").own_uid
    assert choose("rlimits").own_uid


def test_a_tier_that_does_not_work_is_told_in_a_line(monkeypatch):
    monkeypatch.setattr(tiers, "_chosen", {})
    monkeypatch.setattr(tiers, "_why_not", lambda sandbox: "" if sandbox.tier == "rlimits" else "there is none")
    assert choose().tier == "rlimits"
    with pytest.raises(SandboxError, match=r"'full' was asked for.*there is none.*Install bubblewrap") as caught:
        choose("full")
    assert "\n" not in str(caught.value)


def test_every_promise_says_something_about_every_tier():
    assert len({promise.id for promise in PROMISES}) == len(PROMISES)
    assert all(set(promise.by) == set(TIERS) and promise.against for promise in PROMISES)
