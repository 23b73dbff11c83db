"""npz behind the gate: no pickle, and nothing is unpacked before its name, size, dtype and shape are known."""

from __future__ import annotations

import ast
import io
import struct
import zipfile
import zlib

import numpy as np

from checker.faults import printable
from checker.gate import Folder, Refusal, in_bytes
from checker.language import _

MAX_HEADER = 4096
_BROKEN = (  # what zipfile is known to raise on an archive that is not one
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    ValueError,
    OverflowError,
    OSError,
)
Array = np.ndarray
Expected = dict[str, tuple[str, tuple[int, ...]]]  # name -> (dtype, shape)


def read_npz(folder: Folder, name: str, max_bytes: int, expected: Expected) -> dict[str, Array]:
    """Exactly the ``expected`` arrays of ``name``; Refusal for anything else."""
    data = folder.read_bytes(name, max_bytes)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive, name, expected)
            return {key: _array(archive, members[key], name, key, *expected[key]) for key in expected}
    except _BROKEN as error:
        text = printable(str(error)) or type(error).__name__
        raise _malformed(name, None, _("The file is not a whole npz archive."), _("an npz archive"), text) from None


def _members(archive: zipfile.ZipFile, name: str, expected: Expected) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        key = info.filename.removesuffix(".npy")
        if key not in expected or not info.filename.endswith(".npy"):
            raise _malformed(
                name,
                None,
                _("The archive holds something the lab does not ask for."),
                "only " + ", ".join(expected),
                printable(info.filename),
            )
        if key in members:
            raise _malformed(name, key, _("An array is in the archive more than once."), _("each array once"), _("two"))
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a bound
            message = _("The array is packed in a way numpy does not use.")
            raise _malformed(
                name,
                key,
                message,
                _("stored or deflated"),
                _("zip method {compress_type}").format(compress_type=info.compress_type),
            )
        members[key] = info
    for key in expected:
        if key not in members:
            message = _("An array is not in the archive.")
            raise _malformed(
                name, key, message, _("an array {key}").format(key=key), ", ".join(members) or _("an empty archive")
            )
    return members


def _array(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, key: str, dtype: str, shape: tuple[int, ...]
) -> Array:
    wanted = np.dtype(dtype)
    n_bytes = wanted.itemsize * int(np.prod(shape))
    what = _("{dtype} of shape {shape}").format(dtype=dtype, shape=shape)
    if not n_bytes <= info.file_size <= n_bytes + MAX_HEADER:
        raise _malformed(
            name,
            key,
            _("The array is not of the size the lab asks for, so it was not unpacked."),
            _("{what}: {n_bytes} bytes and a header").format(what=what, n_bytes=n_bytes),
            in_bytes(info.file_size),
        )
    with archive.open(info) as member:
        data = member.read(info.file_size + 1)
    if len(data) != info.file_size:
        message = _("The archive's own table of sizes is wrong.")
        raise _malformed(name, key, message, in_bytes(info.file_size), in_bytes(len(data)))
    found, start = _npy_header(data, name, key)
    if (found.get("descr"), found.get("shape")) != (wanted.str, shape) or found.get("fortran_order") is not False:
        text = _("{dtype!r} of shape {shape}").format(dtype=found.get("descr"), shape=found.get("shape"))
        if found.get("fortran_order") is not False:
            text += ", " + _("in Fortran order")
        raise _malformed(
            name,
            key,
            _("The array is not what the lab asks for."),
            _("{dtype!r} of shape {shape}").format(dtype=wanted.str, shape=shape),
            printable(text),
        )
    if len(data) - start != n_bytes:
        message = _("The array's header promises another number of bytes than follow it.")
        raise _malformed(name, key, message, in_bytes(n_bytes), in_bytes(len(data) - start))
    return np.frombuffer(data, wanted, offset=start).reshape(shape)


def _npy_header(data: bytes, name: str, key: str) -> tuple[dict[str, object], int]:
    """The header's dictionary, and where the data start (the npy format, versions 1 to 3)."""
    if data[:6] != b"\x93NUMPY" or data[6:8] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise _malformed(name, key, _("The member is not an npy file."), _("an npy header"), data[:8].hex(" "))
    width, form = (2, "<H") if data[6] == 1 else (4, "<I")
    (length,) = struct.unpack(form, data[8 : 8 + width])
    start = 8 + width + length
    if length > MAX_HEADER or start > len(data):
        raise _malformed(
            name, key, _("The npy header is too long."), _("at most {n} bytes").format(n=MAX_HEADER), in_bytes(length)
        )
    try:
        header = ast.literal_eval(data[8 + width : start].decode("utf-8").strip())
        if not isinstance(header, dict):
            raise ValueError
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise _malformed(
            name, key, _("The npy header cannot be read."), _("an npy header"), _("something else")
        ) from None
    return header, start


def _malformed(name: str, where: str | None, message: str, expected: str, found: str) -> Refusal:
    return Refusal("malformed", name, message, where=where, expected=expected, found=found)
