"""Scripts that do not end, take all there is, or leave something running."""

from __future__ import annotations

import os
from dataclasses import replace

from checker.report import Tier
from checker.sandbox import Limits
from checker.selftest.trial import Probe, Tried

MIB = 1024**2


def timed_out(tried: Tried) -> bool:
    return tried.run.outcome == "timed out" and not tried.left


def held_back(tried: Tried) -> bool:
    """It was stopped, or its own request failed; and nothing of it is left."""
    stopped = tried.run.outcome in ("out of memory", "too many processes")
    return (stopped or (tried.run.outcome == "finished" and "MemoryError" in tried.run.output_tail)) and not tried.left


def gone(tried: Tried) -> bool:
    return tried.run.outcome == "finished" and not tried.left


def tail_is_short(tried: Tried) -> bool:
    return tried.run.outcome == "finished" and 0 < len(tried.run.output_tail) <= 8000


def little_was_taken(tried: Tried) -> bool:
    taken = sum(path.stat().st_size for path in tried.run.out.rglob("*") if path.is_file())
    return tried.run.outcome == "finished" and taken < 2 * MIB and bool(tried.run.left_out) and not tried.left


def seconds(wall: float, **others: int) -> Limits:
    return replace(Limits(wall=wall), **others)


ONLY_FULL: tuple[Tier, ...] = ("full",)

PROBES = (
    Probe("endless-loop", "runs for ever", "while True: pass", "endless loop", timed_out, seconds(1.0)),
    Probe(
        "ignores-signals",
        "ignores every signal it can, and sleeps",
        "import signal, time\nfor n in range(1, 65):\n"
        "    try:\n        signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\n"
        "while True:\n    time.sleep(600)",
        "endless loop",
        timed_out,
        seconds(1.5),
    ),
    Probe(
        "burns-processor-time",
        "computes on, in a thread that nobody can interrupt",
        "import threading\n[threading.Thread(target=lambda: [None for _ in iter(int, 1)]).start() for _ in range(2)]",
        "endless loop",
        timed_out,
        seconds(20.0, cpu=1),
    ),
    Probe(
        "memory-bomb",
        "holds more and more memory",
        "held = []\nwhile True:\n    held.append(bytearray(b'x') * 8_000_000)",
        "memory",
        held_back,
        seconds(20.0, memory=200 * MIB),
        linux=True,
    ),
    Probe(
        "memory-bomb-of-many",
        "holds it in ten processes, none of them large",
        "import time\nfor _ in range(10):\n    if os.fork() == 0:\n        held = bytearray(b'x') * 40_000_000\n"
        "        time.sleep(600)\ntime.sleep(600)",
        "memory",
        held_back,
        seconds(20.0, memory=200 * MIB),
        linux=True,
    ),
    Probe(
        "fork-bomb",
        "every process starts another",
        "while True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        "processes",
        held_back,
        seconds(5.0, processes=30),
        linux=True,
    ),
    Probe(
        "thread-bomb",
        "one process starts threads without an end",
        "import threading, time\nwhile True:\n"
        "    try:\n        threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "    except RuntimeError:\n        pass",
        "processes",
        held_back,
        seconds(5.0, processes=40),
        linux=True,
    ),
    Probe(
        "daemon",
        "leaves a process behind that has forked twice, in a session of its own, and ignores signals",
        "import signal, time\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):\n"
        "            signal.signal(n, signal.SIG_IGN)\n"
        "        open(out + '/there', 'w').close()\n        time.sleep(600)\n    os._exit(0)\n"
        "while not os.path.exists(out + '/there'):\n    time.sleep(0.01)",
        "daemon",
        gone,
        linux=True,
    ),
    Probe(
        "writes-on-after-its-end",
        "a child goes on writing to OUT when the script has ended",
        "import time\nif os.fork() == 0:\n    os.setsid()\n    n = 0\n    while True:\n        n += 1\n"
        "        open(out + '/grows', 'w').write('x' * n)\n"
        "while not os.path.exists(out + '/grows'):\n    time.sleep(0.01)",
        "daemon",
        gone,
        linux=True,
    ),
    Probe(
        "one-huge-file",
        "writes one file without an end",
        "def fill():\n    with open(out + '/huge', 'wb') as file:\n"
        "        while True:\n            file.write(bytes(1 << 20))\n"
        "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nattempt('unbounded', fill)\n"
        "attempt('sparse', lambda: os.truncate(out + '/huge', 10**10))\nos.unlink(out + '/huge')",
        "disk",
        limits=seconds(20.0, file_size=4 * MIB),
    ),
    Probe(
        "many-files",
        "fills the disk with files of a size that is allowed",
        "def fill():\n    for i in range(64):\n        open(f'{out}/{i}', 'wb').write(bytes(1 << 20))\n"
        "attempt('64 MiB', fill)\n"
        "for i in range(64):\n    try:\n        os.unlink(f'{out}/{i}')\n    except OSError:\n        pass",
        "disk",
        limits=seconds(20.0, scratch=16 * MIB),
        only_in=ONLY_FULL,
    ),
    Probe(
        "output-flood",
        "prints 50 MB",
        "for _ in range(50):\n    sys.stdout.write('x' * 1_000_000)",
        None,
        tail_is_short,
    ),
    Probe(
        "too-much-to-hand-over",
        "leaves 8 MB, and 200 files, where 1 MB and 20 files are taken along",
        "open(out + '/large', 'wb').truncate(8_000_000)\n"
        "os.makedirs(out + '/many')\nfor i in range(200):\n    open(f'{out}/many/{i}', 'w').close()",
        None,
        little_was_taken,
        seconds(20.0, out_bytes=MIB, out_files=20),
    ),
    Probe(
        "folders-without-end",
        "hands over a tower of folders",
        "os.chdir(out)\nfor _ in range(300):\n    os.mkdir('d')\n    os.chdir('d')\nos.chdir('/')",
        None,
        lambda tried: gone(tried) and any("too deep" in left for left in tried.run.left_out),
    ),
    Probe(
        "open-files",
        "opens files without an end",
        "held = []\ndef hold():\n    for _ in range(5000):\n        held.append(os.open('/dev/null', os.O_RDONLY))\n"
        "attempt('5,000 at once', hold)\nfor fd in held:\n    os.close(fd)",
        None,
        lambda tried: tried.got == [] and gone(tried),
        seconds(20.0, open_files=64),
    ),
    Probe(
        "half-a-message",
        "kills itself in the middle of writing its data",
        "open(out + '/data', 'w').write('x')\nos.kill(os.getpid(), 9)",
        None,
        lambda tried: gone(tried) and os.listdir(tried.run.out) == ["data"] and tried.run.exit_code == -9,
    ),
)
