"""The calls that Python has no name for: prctl, Landlock, seccomp, mounts. Linux only.

Numbers are the kernel's own (include/uapi/linux). Landlock: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

_libc = ctypes.CDLL(None, use_errno=True)

DEATH_SIGNAL, DUMPABLE, DROP_FROM_BOUNDING, SUBREAPER, NO_NEW_PRIVILEGES = 1, 4, 24, 36, 38
_SECCOMP, _FILTER = 22, 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read a file, read a folder
_OF_A_FILE = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15  # execute, write, read, truncate, ioctl
_NEW_MOUNTS, _BIND, _RECURSIVE, _PRIVATE = 0x00020000, 4096, 16384, 1 << 18


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def control(option: int, value: int) -> None:
    _checked(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")


def drop_capabilities() -> None:
    """What is executed from now on has none, whatever its uid."""
    for capability in range(64):
        if _libc.prctl(DROP_FROM_BOUNDING, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            break  # beyond the last one, or not ours to drop: then there are none


def landlock_abi() -> int:
    """0: this kernel has no Landlock, or it is turned off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def landlock(readable: list[str], writable: list[str]) -> None:
    """This process and its children may read and write nothing else, open no TCP connection, signal nobody outside."""
    abi = landlock_abi()
    handled = (1 << 13) - 1  # every right of the first ABI
    handled |= (1 << 13) * (abi >= 2) | (1 << 14) * (abi >= 3) | (1 << 15) * (abi >= 5)
    attributes = struct.pack("=Q", handled)
    attributes += struct.pack("=Q", 0b11) if abi >= 4 else b""  # TCP bind and connect
    attributes += struct.pack("=Q", 0b11) if abi >= 6 else b""  # abstract sockets and signals
    ruleset = _checked(
        _libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0), "landlock_create_ruleset"
    )
    for rights, paths in ((_READ, readable), (handled, writable)):
        for path in paths:
            try:
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            allowed = rights if stat.S_ISDIR(os.fstat(fd).st_mode) else rights & _OF_A_FILE
            rule = struct.pack("=Qi", allowed & handled, fd)
            _checked(_libc.syscall(_ADD_RULE, ruleset, 1, rule, 0), f"landlock_add_rule {path}")
            os.close(fd)
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


def seccomp(program: bytes) -> None:
    """Install a filter that checker.sandbox.syscalls wrote."""
    buffer = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    _checked(_libc.prctl(_SECCOMP, ctypes.c_ulong(_FILTER), described, 0, 0), "seccomp")


def open_private_folders(needed: list[str]) -> None:
    """Make ``needed`` reachable for another uid where it lies in a folder of mode 700, such as root's home.

    In mounts of this process's own, such a folder becomes an empty one, in which only what is needed is bound.
    """
    private = {path: top for path in needed if (top := _private_above(path))}
    if not private:
        return
    _checked(_libc.unshare(_NEW_MOUNTS), "unshare")
    _checked(_libc.mount(b"none", b"/", None, ctypes.c_ulong(_RECURSIVE | _PRIVATE), None), "mount /")
    fds = {path: os.open(path, os.O_PATH) for path in private}
    for top in sorted(set(private.values())):
        _checked(_libc.mount(b"none", top.encode(), b"tmpfs", ctypes.c_ulong(0), b"mode=755,size=1m"), f"mount {top}")
    for path, fd in sorted(fds.items()):
        os.makedirs(path, exist_ok=True)
        source = f"/proc/self/fd/{fd}".encode()
        bound = _libc.mount(source, path.encode(), None, ctypes.c_ulong(_BIND | _RECURSIVE), None)
        _checked(bound, f"mount {path}")
        os.close(fd)


def _private_above(path: str) -> str | None:
    """The uppermost folder above ``path`` that others may not pass through."""
    parts = path.strip("/").split("/")[:-1]
    for n in range(1, len(parts) + 1):
        above = "/" + "/".join(parts[:n])
        if not os.stat(above).st_mode & stat.S_IXOTH:
            return above
    return None
