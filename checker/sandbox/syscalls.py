"""A seccomp filter: no network, no namespaces of its own, no looking into other processes. Linux, two processors.

It is what the lower tiers have in place of namespaces, and it keeps the full one's from being left for new ones.
"""

from __future__ import annotations

import errno
import platform
import struct

# The processor's number in a filter (linux/audit.h), then the numbers of its calls.
_PROCESSORS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {"socket": 41, "clone": 56, "ptrace": 101, "mount": 165, "keyctl": 250, "add_key": 248, "request_key": 249}
        | {"unshare": 272, "perf_event_open": 298, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311}
        | {"bpf": 321, "userfaultfd": 323},
    ),
    "aarch64": (
        0xC00000B7,
        {"socket": 198, "clone": 220, "ptrace": 117, "mount": 40, "keyctl": 219, "add_key": 217, "request_key": 218}
        | {"unshare": 97, "perf_event_open": 241, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271}
        | {"bpf": 280, "userfaultfd": 282},
    ),
}
_EVERYWHERE = {"io_uring_setup": 425, "clone3": 435}  # "not there": glibc then uses clone, whose flags can be seen
_X32 = 0x40000000  # the bit of x86_64's second set of calls
_NAMESPACES = 0x7E020000  # every CLONE_NEW... that clone takes
_UNIX = 1
_NUMBER, _ARCH, _ARGUMENT_0 = 0, 4, 16  # offsets in struct seccomp_data, little-endian
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


def network_and_namespaces() -> bytes | None:
    """The filter as struct sock_filter[]; None where it is not known how."""
    known = _PROCESSORS.get(platform.machine())
    if known is None:
        return None
    arch, numbers = known
    numbers = dict(numbers)
    refuse = _step(_RETURN, _FAIL | errno.EPERM)
    program = [_step(_LOAD, _ARCH), _step(_EQUAL, arch, 1, 0), _step(_RETURN, _KILL), _step(_LOAD, _NUMBER)]
    program += [_step(_AT_LEAST, _X32, 0, 1), _step(_RETURN, _KILL)]
    for number in _EVERYWHERE.values():
        program += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _FAIL | errno.ENOSYS)]
    clone, socket = numbers.pop("clone"), numbers.pop("socket")
    for number in numbers.values():
        program += [_step(_EQUAL, number, 0, 1), refuse]
    program += [_step(_EQUAL, clone, 0, 4), _step(_LOAD, _ARGUMENT_0), _step(_ANY_BIT, _NAMESPACES, 0, 1), refuse]
    program += [_step(_RETURN, _ALLOW)]
    program += [_step(_EQUAL, socket, 0, 3), _step(_LOAD, _ARGUMENT_0), _step(_EQUAL, _UNIX, 1, 0)]
    program += [_step(_RETURN, _FAIL | errno.EACCES), _step(_RETURN, _ALLOW)]
    return b"".join(program)


def _step(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_so, if_not, value)
