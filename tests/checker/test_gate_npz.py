"""npz files: exactly the arrays that were asked for, or a refusal; never a pickle, never more than was announced."""

import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checker.gate import Folder, Refusal
from checker.gate_npz import read_npz

GOOD = {"a": np.arange(3), "b": np.ones((2, 4), np.float32)}
EXPECTED = {"a": ("int64", (3,)), "b": ("float32", (2, 4))}


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), **options)
    return file.getvalue()


def archive(members, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as z:
        for name, data in members:
            z.writestr(name, data)
    return file.getvalue()


def members(**changed):
    return [(f"{key}.npy", npy(array)) for key, array in {**GOOD, **changed}.items()]


def read(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("npz")
    (folder / "x.npz").write_bytes(data)
    return read_npz(Folder(folder), "x.npz", 1_000_000, EXPECTED)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read(save, tmp_path_factory):
    file = io.BytesIO()
    save(file, **GOOD)
    found = read(file.getvalue(), tmp_path_factory)
    assert found.keys() == GOOD.keys()
    for name, array in GOOD.items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes()


def bomb():
    return archive([*members()[:1], ("b.npy", b"\0" * 50_000_000)], zipfile.ZIP_DEFLATED)


def lying_header():
    """The table of sizes announces what was asked for; far more follows."""
    big = npy(np.zeros(5_000_000, np.float32))
    data = bytearray(archive([*members()[:1], ("b.npy", big)], zipfile.ZIP_DEFLATED))
    announced = len(npy(GOOD["b"]))
    real = struct.pack("<I", len(big))
    at = data.find(real)
    while at >= 0:
        data[at : at + 4] = struct.pack("<I", announced)
        at = data.find(real)
    return bytes(data)


def duplicate():
    with pytest.warns(UserWarning, match="Duplicate name"):
        return archive([*members(), members()[0]])


def header(text, data=b"\0" * 32):
    text = text.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


BAD = {
    "not a zip": (lambda: b"PK, but no", "not a whole npz"),
    "empty": (lambda: b"", "not a whole npz"),
    "cut short": (lambda: archive(members())[:-40], "not a whole npz"),
    "pickle": (
        lambda: archive([*members()[:1], ("b.npy", npy(np.array([{}] * 4, object), allow_pickle=True))]),
        "not what the lab asks for",
    ),
    "an array too many": (lambda: archive([*members(), ("c.npy", npy(1))]), "does not ask for"),
    "a path": (lambda: archive([("../a.npy", npy(GOOD["a"]))]), "does not ask for"),
    "an array too few": (lambda: archive(members()[:1]), "not in the archive"),
    "twice": (duplicate, "more than once"),
    "dtype": (lambda: archive(members(a=GOOD["a"].astype("float64"))), "not what the lab asks for"),
    "byte order": (lambda: archive(members(a=GOOD["a"].astype(">i8"))), "not what the lab asks for"),
    "shape": (lambda: archive(members(b=np.ones((4, 2), np.float32))), "not what the lab asks for"),
    "size": (lambda: archive(members(b=np.ones((400, 4), np.float32))), "size the lab asks for"),
    "fortran": (lambda: archive(members(b=np.asfortranarray(GOOD["b"]))), "not what the lab asks for"),
    "bomb": (bomb, "size the lab asks for"),
    "lying header": (lying_header, "npz archive|not a whole"),
    "lzma": (lambda: archive(members(), zipfile.ZIP_LZMA), "way numpy does not use"),
    "no npy": (lambda: archive([*members()[:1], ("b.npy", b"\0" * 100)]), "not an npy file"),
    "header is code": (
        lambda: archive([*members()[:1], ("b.npy", header("__import__('os').abort()"))]),
        "cannot be read",
    ),
    "header is too long": (
        lambda: archive([*members()[:1], ("b.npy", b"\x93NUMPY\x02\x00" + b"\xff" * 100)]),
        "too long",
    ),
    "fewer bytes than promised": (
        lambda: archive(
            [
                *members()[:1],
                ("b.npy", header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4)}", b"\0" * 8)),
            ]
        ),
        "another number of bytes",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_anything_else_is_refused(name, tmp_path_factory):
    make, message = BAD[name]
    with pytest.raises(Refusal, match=message) as caught:
        read(make(), tmp_path_factory)
    assert caught.value.finding.kind == "malformed"


@settings(deadline=None)
@given(st.data())
def test_no_damage_does_worse_than_be_refused(tmp_path_factory, data):
    whole = bytearray(archive(members(), zipfile.ZIP_DEFLATED))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    folder = Folder(tmp_path_factory.getbasetemp())
    (folder.path / "damaged.npz").write_bytes(whole)
    try:
        found = read_npz(folder, "damaged.npz", 1_000_000, EXPECTED)
    except Refusal:
        pass
    else:
        assert {name: (str(a.dtype), a.shape) for name, a in found.items()} == EXPECTED
