"""Scripts that reach for what is not theirs: the network, other files, other processes, the channel to the checker."""

from __future__ import annotations

import os

from checker.sandbox.inside import frames
from checker.selftest.trial import Probe, Tried

FORGED = frames.ENTRY + frames.ENTRY_HEAD.pack(frames.FILE, 6, 2) + b"forgedok" + frames.END + frames.ENDING.pack(0, 0)
FORGED = frames.MAGIC + FORGED + bytes(frames.DIGEST_SIZE)


def nothing_forged(tried: Tried) -> bool:
    """Whatever it wrote, what was handed over is what lies in OUT."""
    return tried.run.outcome == "finished" and os.listdir(tried.run.out) == ["got.json"] and not tried.left


def nothing_handed_over(tried: Tried) -> bool:
    return tried.run.outcome == "finished" and not os.listdir(tried.run.out) and not tried.left


def kept_apart(tried: Tried) -> bool:
    """The supervisor lives on and hands over what was written last; or it is gone, and then nothing is believed."""
    if tried.left:
        return False
    handed = os.listdir(tried.run.out)
    return (tried.run.outcome, handed) in (("finished", ["got.json"]), ("no data", []))


def nothing_shared(tried: Tried) -> bool:
    """Nothing is left where another run would find it."""
    try:
        os.unlink(tried.host.shared)
    except FileNotFoundError:
        return True
    return False


def no_foreign_file(tried: Tried) -> bool:
    """Of what lay in OUT, another's file is not taken along under any name."""
    return all(b"another's" not in path.read_bytes() for path in tried.run.out.rglob("*") if path.is_file())


PROBES = (
    Probe(
        "network-tcp",
        "connects to a server",
        "import socket\nattempt('connected', lambda: socket.create_connection(('127.0.0.1', HOST['port']), 2))",
        "network",
        linux=True,
    ),
    Probe(
        "network-udp",
        "sends a datagram",
        "import socket\n"
        "udp = lambda family: socket.socket(family, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', HOST['port']))\n"
        "attempt('sent', lambda: udp(socket.AF_INET))\n"
        "attempt('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))\n"
        "attempt('netlink', lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))",
        "network",
        linux=True,
    ),
    Probe(
        "reads-another-s-work",
        "reads another submission, which anyone on the machine may read",
        "attempt('read', lambda: open(HOST['secret']).read())",
        "reading",
    ),
    Probe(
        "reads-the-solution",
        "reads the solution, the checker and its tests",
        "for path in ('labs/02/solution/property_test.py', 'checker/replay.py', 'tests/checker/conftest.py'):\n"
        "    attempt(path, lambda: open(os.path.join(HOST['root'], path)).read())\n"
        "attempt('imported the checker', lambda: __import__('checker.replay'))",
        "reading",
    ),
    Probe(
        "writes-outside",
        "writes to a folder that anyone may write to, and over another's work",
        "attempt('new file', lambda: open(HOST['folder'] + '/evil', 'w').close())\n"
        "attempt('overwritten', lambda: open(HOST['secret'], 'a').close())\n"
        "attempt('removed', lambda: os.unlink(HOST['folder'] + '/evil'))",
        "writing",
    ),
    Probe(
        "patches-the-library",
        "changes courselib, or Python's own library, for those who come after",
        "import courselib, json as j\n"
        "for path in (courselib.__file__, j.__file__, sys.prefix + '/evil.pth'):\n"
        "    attempt(path, lambda: open(path, 'a').close())",
        "writing",
    ),
    Probe(
        "leaves-something-in-shared-memory",
        "leaves a file in /dev/shm, for its next run to find",
        "attempt('left', lambda: open(HOST['shared'], 'w').write('x'))",
        "writing",
        stopped=nothing_shared,
    ),
    Probe(
        "links-to-another-s-work",
        "puts links to another's file, symbolic and hard, where its data belong",
        "attempt('symbolic', lambda: os.symlink(HOST['secret'], out + '/symbolic'))\n"
        "attempt('hard', lambda: os.link(HOST['secret'], out + '/hard'))",
        None,
        stopped=no_foreign_file,
    ),
    Probe(
        "spoofs-descriptors",
        "writes a whole message of the channel, a verdict with it, to each descriptor and to stdout",
        f"forged = {FORGED!r}\nfor fd in range(256):\n"
        "    try:\n        os.write(fd, forged + b'Verdict: passed')\n    except OSError:\n        pass",
        "forged data",
        stopped=nothing_forged,
    ),
    Probe(
        "prints-a-verdict",
        "prints a verdict, and ends with exit code 0 before it has written anything",
        "print('Verdict: passed, 100 of 100 points', flush=True)\nos._exit(0)",
        "verdict",
        stopped=nothing_handed_over,
    ),
    Probe(
        "opens-the-channel",
        "opens the descriptors and the memory of the process above it through /proc",
        "above = os.getppid()\n"
        "for fd in range(8):\n"
        "    attempt(f'descriptor {fd}', lambda: os.open(f'/proc/{above}/fd/{fd}', os.O_RDWR))\n"
        "attempt('memory', lambda: open(f'/proc/{above}/mem', 'rb').read(1))\n"
        "attempt('environment', lambda: open(f'/proc/{above}/environ', 'rb').read())",
        "forged data",
    ),
    Probe(
        "traces-the-supervisor",
        "attaches to the process above it as a debugger",
        "import ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def attach(request):\n"
        "    if libc.ptrace(request, os.getppid(), None, None) != 0:\n"
        "        raise OSError\n"
        "attempt('attached', lambda: attach(16))\nattempt('seized', lambda: attach(0x4206))",
        "forged data",
        linux=True,
    ),
    Probe(
        "kills-the-supervisor",
        "kills the process that hands its data over, after writing some",
        "import signal\nopen(out + '/data', 'w').close()\n"
        "attempt('stopped', lambda: os.kill(os.getppid(), signal.SIGSTOP))\n"
        "attempt('killed', lambda: os.kill(os.getppid(), signal.SIGKILL))\n"
        "import time\ntime.sleep(0.2)\nos.unlink(out + '/data')",
        "supervisor",
        stopped=kept_apart,
    ),
    Probe(
        "signals-others",
        "signals a process of the checker's",
        "import signal\nattempt('signalled', lambda: os.kill(HOST['victim'], 0))\n"
        "attempt('stopped', lambda: os.kill(HOST['victim'], signal.SIGCONT))",
        "other processes",
        own_uid=True,
    ),
    Probe(
        "looks-into-others",
        "reads the memory and the environment of a process of the checker's",
        "for name in ('environ', 'mem', 'maps', 'fd/0'):\n"
        "    attempt(name, lambda: open(f'/proc/{HOST[\"victim\"]}/{name}', 'rb').read(1))",
        "other processes",
        own_uid=True,
    ),
    Probe(
        "becomes-root",
        "takes root's uid, in this user namespace or in a new one",
        "import ctypes\n"
        "attempt('root', lambda: os.setuid(0))\n"
        "def new():\n"
        "    if ctypes.CDLL(None).unshare(0x10000000) != 0:\n        raise OSError\n"
        "attempt('user namespace', new)",
        None,
        linux=True,
    ),
    Probe(
        "mounts",
        "mounts something over its own folders",
        "import ctypes\n"
        "def mount():\n"
        "    if ctypes.CDLL(None).mount(b'none', out.encode(), b'tmpfs', 0, None) != 0:\n        raise OSError\n"
        "attempt('mounted', mount)",
        None,
        linux=True,
    ),
    Probe(
        "sets-the-clock",
        "sets the machine's clock back",
        "import time\nattempt('set', lambda: time.clock_settime(time.CLOCK_REALTIME, time.time() - 1))",
        None,
        linux=True,
    ),
    Probe(
        "sees-that-it-is-graded",
        "asks where and as whom it runs",
        "attempt('looks like a scratch folder', lambda: 'checker-' in os.getcwd() or 1 / 0)",
        "side channels",
    ),
)
