"""The student's scripts of one submission, each run again at most once, two at a time."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from checker import replay
from checker.gate import Folder
from checker.report import Tier
from checker.sandbox import choose
from checker.spec import Lab
from courselib.environment import cache_folder

Arguments = Callable[[Path, Path], list[str]]  # (the scratch copy, the run's home) -> what comes after --out


class Runs:
    """Runs by name, each in a scratch copy, an output folder and a home of its own: none is in another's way."""

    def __init__(self, folder: Folder, lab: Lab, tier: Tier | None = None) -> None:
        self._folder, self._tier = folder, tier
        self._answers = {artifact.path for artifact in lab.artifacts if artifact.kind != "python"}
        self._scratch = tempfile.TemporaryDirectory(prefix="checker-", ignore_cleanup_errors=True)
        self._pool = ThreadPoolExecutor(2)
        self._futures: dict[str, Future[replay.Run]] = {}

    def __iter__(self) -> Iterator[str]:
        """The names of the runs that were started, in that order."""
        return iter(self._futures)

    @property
    def sandbox(self) -> dict[str, Tier]:
        """For the report's environment: the tier the runs were shut in; nothing if none was started."""
        return {"sandbox": choose(self._tier).tier} if self._futures else {}

    def start(self, name: str, script: str, arguments: Arguments, timeout: float, library: Path | None = None) -> None:
        """Start the run ``name``, unless it was. ``arguments`` may put files into the copy and the home first.

        ``library`` is put before everything else that the script imports from. SandboxError: no sandbox, no run.
        """
        if name in self._futures:
            return
        sandbox = choose(self._tier)
        copy, out, home = (Path(tempfile.mkdtemp(dir=self._scratch.name)) for _ in range(3))
        self._folder.copy_to(copy, leave_out=self._answers)
        given = arguments(copy, home)
        _give_kernels(home)
        self._futures[name] = self._pool.submit(
            replay.run_script, copy, script, out, given, home, timeout, sandbox=sandbox, library=library
        )

    def done(self, name: str) -> bool:
        return self._futures[name].done()

    def finished(self, name: str) -> replay.Run:
        """Waits for it."""
        return self._futures[name].result()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        while not all(future.done() for future in self._futures.values()):  # only if the check was cut short
            replay.stop_all()
            time.sleep(0.05)
        self._scratch.cleanup()


def _give_kernels(home: Path) -> None:
    """Copies of the C kernels that were built on this machine before: half a second for each run that need not."""
    with contextlib.suppress(OSError, RuntimeError):  # then the run builds its own
        built = sorted(cache_folder().glob("*.so"), key=lambda path: path.stat().st_mtime, reverse=True)
        folder = home / ".cache" / "courselib"
        folder.mkdir(parents=True)
        for path in built[:8]:
            shutil.copy(path, folder)
