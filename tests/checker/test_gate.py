"""What is read of a submission, and what is refused before it is read."""

import errno
import json
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checker import gate
from checker.gate import Folder, Refusal
from checker.gate_json import parse_json


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "file.txt").write_text("whole")
    return Folder(tmp_path)


def refusal(call, *arguments):
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    return caught.value.finding


def test_a_regular_file_is_read_up_to_its_cap(folder):
    assert folder.read_bytes("inside/file.txt", 5) == b"whole"
    finding = refusal(folder.read_bytes, "inside/file.txt", 4)
    assert (finding.kind, finding.expected, finding.found) == ("unreadable", "at most 4 bytes", "5 bytes")


def test_what_is_not_there_is_missing(folder):
    assert refusal(folder.read_bytes, "inside/nothing.txt", 9).kind == "missing"
    assert refusal(folder.read_bytes, "nowhere/file.txt", 9).kind == "missing"


def make_link(path):
    path.symlink_to("/etc/hosts")


def make_socket(path):
    s = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path may not be long
    try:
        s.bind(path.name)
    finally:
        os.chdir(here)
        s.close()


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (make_link, "a symbolic link"),
        (os.mkfifo, "a FIFO"),
        (os.mkdir, "a folder"),
    ],
)
def test_only_a_regular_file_is_read(folder, make, found):
    make(folder.path / "odd")
    finding = refusal(folder.read_bytes, "odd", 100)
    assert (finding.kind, finding.found) == ("unreadable", found)


def test_a_file_with_a_second_name_is_not_read(folder):
    """Beneath the submission or not, nobody can tell: it may be another student's."""
    os.link(folder.path / "inside/file.txt", folder.path / "again.txt")
    finding = refusal(folder.read_bytes, "again.txt", 100)
    assert (finding.kind, finding.found) == ("unreadable", "2 names")


def test_a_socket_is_refused(folder):
    make_socket(folder.path / "odd")
    assert refusal(folder.read_bytes, "odd", 100).kind == "unreadable"


def test_no_link_is_followed_on_the_way(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "file.txt").write_text("secret")
    (folder.path / "way").symlink_to(outside)
    assert refusal(folder.read_bytes, "way/file.txt", 100).kind == "unreadable"


def test_a_file_without_permission_is_unreadable(folder, monkeypatch):
    real = os.open

    def denied(path, flags, mode=0o777, *, dir_fd=None):
        if path == "file.txt":
            raise PermissionError(13, "Permission denied")
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", denied)
    finding = refusal(folder.read_bytes, "inside/file.txt", 100)
    assert (finding.kind, finding.found) == ("unreadable", "permission denied")


def test_a_copy_holds_regular_files_only(folder, tmp_path_factory):
    make_link(folder.path / "inside" / "link")
    (folder.path / ".checker").mkdir()
    (folder.path / ".checker" / "report.json").write_text("{}")
    (folder.path / "answers.json").write_text("{}")
    copy = tmp_path_factory.mktemp("copy")
    folder.copy_to(copy, leave_out={"answers.json"})
    assert [p.relative_to(copy).as_posix() for p in sorted(copy.rglob("*"))] == ["inside", "inside/file.txt"]


def test_the_fingerprint_changes_with_the_work_and_not_with_the_report(folder):
    before = folder.fingerprint()
    (folder.path / ".checker").mkdir()
    (folder.path / ".checker" / "report.json").write_text("{}")
    assert folder.fingerprint() == before
    (folder.path / "inside" / "file.txt").write_text("other")
    assert folder.fingerprint() != before


def test_a_crowd_of_files_is_refused(folder, monkeypatch):
    monkeypatch.setattr(gate, "MAX_FILES", 3)
    for i in range(3):
        (folder.path / f"{i}").touch()
    assert refusal(folder.fingerprint).kind == "unreadable"


def refuses(name, error):
    """os.{name}, which refuses every path that ends in "secret"."""
    real = getattr(os, name)

    def call(path, *arguments, **options):
        if str(path).endswith("secret"):
            raise OSError(*error, str(path))
        return real(path, *arguments, **options)

    return call


@pytest.mark.parametrize("error", [(errno.EACCES, "Permission denied"), (errno.ENAMETOOLONG, "File name too long")])
def test_a_file_that_cannot_be_looked_at_is_unreadable(folder, monkeypatch, error):
    (folder.path / "inside" / "secret").touch()
    assert [name for name, _ in folder.files()] == ["inside/file.txt", "inside/secret"]
    monkeypatch.setattr(os, "lstat", refuses("lstat", error))
    monkeypatch.setattr(os, "stat", refuses("stat", error))
    finding = refusal(folder.fingerprint)
    assert (finding.kind, finding.file, finding.found) == ("unreadable", "inside/secret", error[1].lower())


def test_a_folder_that_cannot_be_looked_into_is_unreadable_and_not_passed_over(folder, monkeypatch):
    (folder.path / "inside" / "secret").mkdir()
    folder.fingerprint()
    monkeypatch.setattr(os, "scandir", refuses("scandir", (errno.EACCES, "Permission denied")))
    finding = refusal(folder.fingerprint)
    assert (finding.kind, finding.file, finding.found) == ("unreadable", "inside/secret", "permission denied")


def test_a_file_that_cannot_be_copied_is_unreadable(folder, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy")
    (copy / "inside").touch()  # where a folder is to be made
    finding = refusal(folder.copy_to, copy, set())
    assert (finding.kind, finding.file) == ("unreadable", "inside/file.txt")


def test_a_name_that_is_no_text_is_escaped():
    assert Refusal("unreadable", "c\udcff", "No.").finding.file == r"c\udcff"
    assert Refusal("unreadable", "caf\u00e9", "No.").finding.file == "caf\u00e9"


# ---- JSON --------------------------------------------------------------------------------------------------------

BAD_JSON = {
    "duplicate key": (b'{"a": {"b": 1, "b": 2}}', "a", "b"),
    "NaN": (b'{"a": [1, NaN]}', "a[1]", "NaN"),
    "infinity": (b'{"a": -Infinity}', "a", "-Infinity"),
    "1e999": (b'{"a": 1e999}', "a", "1e999"),
    "huge int": (b'{"a": ' + b"9" * 5000 + b"}", "a", "5000 characters"),
    "too deep": (b"[" * 100_000, "line 1", "more than 32"),
    "byte order mark": (b"\xef\xbb\xbf{}", "byte 0", "ef bb bf"),
    "utf-16": ('{"a": 1}'.encode("utf-16"), "byte 0", "ff fe"),
    "half a character": (rb'{"a": "\ud800"}', "a", r"\ud800"),
    "half a character as key": (rb'{"a": {"\ud800": 1}}', "a", r"\ud800"),
    "cut short": (b'{"a": ', "line 1, column 7", "the end of the file"),
    "two documents": (b"{} {}", "line 1, column 4", "{}"),
    "empty": (b"", "line 1, column 1", "the end of the file"),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_json_is_refused_with_its_place(name):
    data, where, found = BAD_JSON[name]
    finding = refusal(parse_json, data, "results.json")
    assert (finding.kind, finding.file, finding.where) == ("malformed", "results.json", where)
    assert found in finding.found


def test_brackets_in_strings_are_not_depth():
    document = {"a": "[" * 100, "b": '"' + "{" * 100}
    assert parse_json(json.dumps(document).encode(), "x") == document


def test_a_long_text_is_read_once():
    """Were a string without an end, or a key, looked for again and again, these would take hours."""
    finding = refusal(parse_json, b'"' + rb"\"" * 1_000_000, "x")
    assert finding.expected == "valid JSON"
    assert refusal(parse_json, b'["' + b"\\", "x").expected == "valid JSON"
    text = rb"\"[" * 100_000
    assert parse_json(b'["' + text + b'"]', "x") == ['"[' * 100_000]
    pairs = ", ".join(f'"{i}": 0' for i in range(200_000))
    assert len(parse_json(f"{{{pairs}}}".encode(), "x")) == 200_000
    assert refusal(parse_json, f'{{{pairs}, "199999": 1}}'.encode(), "x").found == "'199999' 2 times"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(json_values)
def test_good_json_comes_back_as_it_was(value):
    assert parse_json(json.dumps(value).encode(), "x") == value


@given(st.binary() | st.text().map(str.encode) | st.text('{}[]",:0123456789eE+-.truefalsn\\u').map(str.encode))
def test_no_bytes_do_worse_than_be_refused(data):
    try:
        parse_json(data, "x")
    except Refusal:
        pass
