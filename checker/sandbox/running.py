"""One supervisor that runs: its pipes are read as they fill, and it can be stopped at any time, from any thread."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import IO

from checker.sandbox import channel
from checker.sandbox.limits import Limits

TAIL = 4000  # bytes of the script's output that are kept
PATIENCE = 3.0  # seconds in which a supervisor that is told to stop has ended everything


class Running:
    """Started by being made. ``handed`` waits for it."""

    def __init__(self, command: list[str], job: bytes, nonce: bytes, limits: Limits) -> None:
        self._nonce, self._limits = nonce, limits
        self._received, self._tail = b"", b""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            cwd="/",
            env={},
        )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._lifeline: IO[bytes] = process.stdin
        self._closing = threading.RLock()  # a signal handler may stop what is being stopped
        self._receiver = threading.Thread(target=self._receive, args=(process.stdout,), daemon=True)
        self._listener = threading.Thread(target=self._read_output, args=(process.stderr,), daemon=True)
        self._receiver.start()
        self._listener.start()
        with contextlib.suppress(BrokenPipeError):  # it could not even start: its output says why
            self._lifeline.write(job)

    def handed(self) -> channel.Handed:
        """What the run handed over. channel.Broken: nothing that can be believed."""
        try:
            self._receiver.join(self._limits.wall + self._limits.grace)  # Popen.wait would look every 50 ms only
        finally:
            self.stop()
        return channel.decode(self._received, self._nonce, self._limits)

    def started(self) -> bool:
        """Did the supervisor get to run, so that whatever went wrong came after?"""
        return channel.started(self._received)

    def stop(self) -> None:
        """End the supervisor and all below it, also after it has ended by itself."""
        with self._closing:
            self._lifeline.close()  # the supervisor ends everything, then itself
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # nobody is left (macOS says it the second way)
                pass
            self._process.wait()
        for reader in (self._receiver, self._listener):
            reader.join(timeout=1)  # a process that got away may hold a pipe open: it is not waited for

    def output(self) -> str:
        """The end of what the script printed."""
        return self._tail.decode("utf-8", "replace")

    def last_line(self) -> str:
        return next((line for line in reversed(self.output().splitlines()) if line.strip()), "")

    def _receive(self, pipe: IO[bytes]) -> None:
        self._received = channel.read(pipe, self._limits)
        pipe.close()

    def _read_output(self, pipe: IO[bytes]) -> None:
        while chunk := os.read(pipe.fileno(), 65536):
            self._tail = (self._tail + chunk)[-TAIL:]
        pipe.close()
