"""Every reader of what somebody else has written: whatever comes, it is read or refused, and nothing else happens.

Inputs are real documents and archives with bytes, values and members changed, and some that were never real. They are
the same in every run.
"""

import io
import json
import os
import tarfile
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from checker import cli, store
from checker.documents import read_model
from checker.gate import Folder, Refusal
from checker.gate_json import parse_json
from checker.gate_npz import read_npz
from checker.lab02.schemas import Diagnosis, DumpManifest, Manifest, Results
from checker.report import Finding, Report
from checker.sandbox import Limits, channel
from checker.sandbox.inside import frames
from checker.spec import Lab, SpecError, load_lab
from checker.unpack import MAX_TOTAL, unpack

ROOT = Path(__file__).parents[2]
RESULTS, SLOTS = "22-cache-correctness/results.json", "22-yesterday-worked/slots.npz"
MANIFESTS = ("22-cache-correctness/manifest.json", "22-yesterday-worked/manifest.json")
EXPECTED = {"tokens": ("int64", (3,)), "k": ("float32", (2, 2)), "v": ("float32", (2, 2))}


def fuzzed(n):
    """The same ``n`` inputs each time; how long one takes is nobody's business."""
    too_slow = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=n, derandomize=True, deadline=None, database=None, suppress_health_check=too_slow)


# What is put in the place of something else: what parsers trip over, and what compares oddly.
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["\ud800", "\x1b[2J", "\u202e", "0" * 64, "../..", [], {}, [[]], 2**63, -1, 1e308]),
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
snippets = st.sampled_from(
    [
        b"NaN",
        b"1e999",
        b"-Infinity",
        b'{"a":1,"a":2}',
        b"[" * 40,
        b"9" * 30,
        b"\xef\xbb\xbf",
        b"\xff",
        b"\\ud800",
        b"\x00",
    ]
) | st.binary(max_size=6)


@st.composite
def cut(draw, data):
    """``data`` with some of its bytes replaced, put in, doubled or taken away."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["put", "over", "drop", "end", "again", "bit"])):
            case "put":
                data[at:at] = draw(snippets)
            case "over":
                new = draw(snippets)
                data[at : at + len(new)] = new
            case "drop":
                del data[at : at + draw(st.integers(1, 40))]
            case "end":
                del data[at:]
            case "again":
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
            case "bit":
                if at < len(data):
                    data[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


@st.composite
def bent(draw, document):
    """``document`` with some of its values replaced, gone, or beside one that nobody asked for."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        at = document
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(at[key], (dict, list)) and draw(st.integers(0, 4)):
                at = at[key]
                continue
            what = draw(st.sampled_from(["other", "gone", "more", "tiny"]))
            if what == "gone":
                del at[key]
            elif what == "more" and isinstance(at, dict):
                at[draw(st.text(max_size=5))] = draw(documents)
            elif what == "tiny" and isinstance(at[key], int):
                at[key] += draw(st.sampled_from([-1, 1]))
            else:
                at[key] = draw(documents)
            break
    return document


def read_or_refused(read):
    """What ``read`` gives, or the finding it is refused with; anything else that it raises is a fault of the reader."""
    try:
        return read()
    except Refusal as refusal:
        finding = refusal.finding
    assert finding.message
    assert json.loads(finding.model_dump_json())  # it can be written into a report
    return finding


@fuzzed(800)
@given(
    st.one_of(
        st.binary(max_size=200), documents.map(lambda d: json.dumps(d).encode()), st.lists(snippets).map(b"".join)
    )
)
def test_json_of_any_kind(data):
    document = read_or_refused(lambda: parse_json(data, "x.json"))
    if not isinstance(document, Finding):
        json.dumps(document, allow_nan=False).encode()


@fuzzed(400)
@given(st.data())
def test_a_real_document_with_its_bytes_changed(reference, data):
    whole = (reference / MANIFESTS[0]).read_bytes()
    read_or_refused(lambda: parse_json(data.draw(cut(whole)), "x.json"))


@pytest.mark.parametrize(
    ("file", "model", "n"),
    [
        (MANIFESTS[0], Manifest, 300),
        (MANIFESTS[1], DumpManifest, 300),
        ("22-cache-correctness/diagnosis.json", Diagnosis, 200),
        (RESULTS, Results, 150),
    ],
)
def test_documents_with_their_values_changed(reference, tmp_path, file, model, n):
    document = json.loads((reference / file).read_bytes())
    if model is Results:  # 50 cases are no other than 2
        for run in document["runs"].values():
            del run["cases"][2:]

    @fuzzed(n)
    @given(bent(document))
    def read(bent):
        (tmp_path / "x.json").write_text(json.dumps(bent))
        found = read_or_refused(lambda: read_model(Folder(tmp_path), "x.json", 4_000_000, model))
        if isinstance(found, list):
            assert found
            assert all(f.kind == "schema" and f.model_dump_json() for f in found)

    read()


def arrays():
    return {"tokens": np.arange(3), "k": np.ones((2, 2), np.float32), "v": np.zeros((2, 2), np.float32)}


def saved(save):
    buffer = io.BytesIO()
    save(buffer, **arrays())
    return buffer.getvalue()


@fuzzed(800)
@given(st.one_of(st.binary(max_size=100), *(cut(saved(save)) for save in (np.savez, np.savez_compressed))))
def test_an_archive_of_arrays_with_its_bytes_changed(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "fuzz-npz"
    folder.mkdir(exist_ok=True)
    (folder / "x.npz").write_bytes(data)
    found = read_or_refused(lambda: read_npz(Folder(folder), "x.npz", 100_000, EXPECTED))
    if isinstance(found, dict):
        assert {name: (a.dtype.name, a.shape) for name, a in found.items()} == EXPECTED


HEADERS = st.one_of(
    st.text(max_size=60),
    documents.map(repr),
    st.builds(
        "{{'descr': {!r}, 'fortran_order': {!r}, 'shape': {!r}}}".format,
        st.sampled_from(["<f4", ">f4", "|O", "<f8", "", "<M8[ns]", [("a", "<f4")]]),
        st.sampled_from([False, True, 0, None]),
        st.lists(st.integers(-1, 2**70), max_size=3).map(tuple) | st.just((2, 2)),
    ),
)


@fuzzed(500)
@given(HEADERS, st.integers(0, 40), st.sampled_from([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"]))
def test_array_headers_of_any_kind(tmp_path_factory, header, size, version):
    folder = tmp_path_factory.getbasetemp() / "fuzz-header"
    folder.mkdir(exist_ok=True)
    text = header.encode("utf-8", "replace")
    length = len(text).to_bytes(2 if version[0] == 1 else 4, "little")
    with zipfile.ZipFile(folder / "x.npz", "w") as archive:
        for name in EXPECTED:
            archive.writestr(f"{name}.npy", b"\x93NUMPY" + version + length + text + bytes(size))
    found = read_or_refused(lambda: read_npz(Folder(folder), "x.npz", 100_000, EXPECTED))
    assert isinstance(found, Finding)


def zip_of(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def tar_of(members, mode="w"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


MEMBERS = [("22-a/one.json", b"{}" * 50), ("22-a/two.txt", b"two"), ("three", b"")]
names = st.one_of(
    st.sampled_from(
        ["..", "/etc/x", "a/../../b", "a" * 300, "a/" * 40 + "b", "C:\\x", "a\x00b", "A", "a", "a/b", "\u212a"]
    ),
    st.text(min_size=1, max_size=6),
)
members = st.lists(st.tuples(names, st.binary(max_size=20)), max_size=4)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@fuzzed(600)
@given(
    st.one_of(
        cut(zip_of(MEMBERS)),
        cut(tar_of(MEMBERS)),
        cut(tar_of(MEMBERS, "w:gz")),
        members.map(zip_of),
        members.map(tar_of),
    )
)
def test_archives_of_any_kind(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz-unpack")
    (folder / "archive").write_bytes(data)
    (folder / "in").mkdir()
    read_or_refused(lambda: unpack(folder / "archive", folder / "in"))
    assert sorted(os.listdir(folder)) == ["archive", "in"]
    inside = list((folder / "in").rglob("*"))
    assert all(path.is_dir() or path.is_file() for path in inside)
    assert not any(path.is_symlink() for path in inside)
    assert sum(path.stat().st_size for path in inside) <= MAX_TOTAL


@fuzzed(400)
@given(st.data())
def test_a_lab_s_spec(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "fuzz-spec"
    folder.mkdir(exist_ok=True)
    whole = (ROOT / "labs/02/lab.toml").read_bytes()
    (folder / "lab.toml").write_bytes(data.draw(cut(whole) | st.binary(max_size=100)))
    try:
        found = load_lab(folder)
    except SpecError as error:
        found = str(error)
    assert isinstance(found, Lab) or found.startswith(str(folder))


@fuzzed(200)
@given(bent(tomllib.loads((ROOT / "labs/02/lab.toml").read_text())))
def test_a_spec_with_its_values_changed(document):
    try:
        lab = Lab.model_validate(document)
        assert sum(task.points for task in lab.tasks) == 100
    except ValidationError:
        pass


REPORT = {
    "schema": "checker.report/1",
    "lab": "02",
    "title": "t",
    "submission": {"path": "p", "fingerprint": "f"},
    "started": "2026-01-01",
    "only": [],
    "verdict": "not passed",
    "score": {"points": 3, "possible": 10},
    "tasks": [
        {"id": "a", "title": "A", "status": "passed", "points": 3, "possible": 3},
        {
            "id": "b",
            "title": "B",
            "status": "failed",
            "points": 0,
            "possible": 7,
            "findings": [{"kind": "mismatch", "message": "m", "file": "f", "expected": "1", "found": "2"}],
        },
    ],
    "environment": {"checker": "0", "python": "3", "platform": "here"},
}


@fuzzed(500)
@given(bent(REPORT).map(lambda d: json.dumps(d).encode()) | cut(json.dumps(REPORT).encode()) | st.binary(max_size=50))
def test_a_report_that_lies_in_a_submission(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "fuzz-report"
    (folder / ".checker").mkdir(parents=True, exist_ok=True)
    (folder / ".checker/report.json").write_bytes(data)
    (folder / ".checker/hints.json").write_bytes(data)
    found = store.last_report(folder)
    assert found is None or isinstance(found, Report)
    assert all(isinstance(n, int) for n in store.hints_shown(folder).values())


def message(nonce, entries, ending=(0, 0)):
    """What a supervisor sends."""
    body = b"".join(
        frames.ENTRY + frames.ENTRY_HEAD.pack(kind, len(name), len(data)) + name + data for kind, name, data in entries
    )
    body += frames.END + frames.ENDING.pack(*ending)
    return signed(nonce, body)


def signed(nonce, body):
    digest = frames.keyed(nonce)
    digest.update(body)
    return frames.MAGIC + body + digest.digest()


NONCE = bytes(range(32))
WHOLE = message(NONCE, [(frames.FILE, b"a/b", b"data"), (frames.LINK, b"c", b""), (frames.LEFT_OUT, b".", b"why")])


@fuzzed(800)
@given(cut(WHOLE) | st.binary(max_size=100))
def test_nothing_that_was_changed_on_the_channel_is_believed(data):
    try:
        handed = channel.decode(data, NONCE, Limits())
    except channel.Broken:
        return
    assert data == WHOLE
    assert len(handed.entries) == 3


kinds = st.sampled_from([frames.FILE, frames.LINK, frames.FIFO, frames.LEFT_OUT, b"?"])
paths = st.sampled_from([b"a", b"a/b", b"..", b"/tmp/a", b"a/../../b", b"", b".", b"\xff", b"a\x00b", b"a" * 300])


@fuzzed(800)
@given(
    st.one_of(
        cut(WHOLE[len(frames.MAGIC) : -frames.DIGEST_SIZE]).map(lambda body: signed(NONCE, body)),
        st.lists(st.tuples(kinds, paths, st.binary(max_size=5)), max_size=4).map(lambda e: message(NONCE, e)),
    )
)
def test_not_even_a_supervisor_is_trusted(tmp_path_factory, data):
    """The digest is right, the message is any: nothing lands outside, and nothing but files, links and FIFOs."""
    folder = tmp_path_factory.mktemp("fuzz-channel")
    (folder / "out").mkdir()
    try:
        channel.write(channel.decode(data, NONCE, Limits()).entries, folder / "out")
    except (channel.Broken, OSError):
        pass
    assert os.listdir(folder) == ["out"]


def test_the_checker_never_fails_itself(check, submission):
    """Whatever is done to the files that are only read: exit code 0, 1, 3 or 4, and a whole report."""
    files = [*MANIFESTS, SLOTS, "22-cache-correctness/README.md", "22-yesterday-worked/report.md"]
    whole = {file: (submission / file).read_bytes() for file in files}

    @fuzzed(80)
    @given(st.data())
    def checked(data):
        file = data.draw(st.sampled_from(files))
        for name in files:
            (submission / name).write_bytes(whole[name])
        (submission / file).write_bytes(data.draw(cut(whole[file])))
        check(submission, "--only", "manifest", "--only", "slots", "--only", "writing")  # asserts the exit code

    checked()


def test_exit_5_is_what_a_fault_of_the_checker_gives(submission, monkeypatch, capsys):
    """The control: were a reader to fail, the test above would see it."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("checker.gate_json.json.loads", lambda *given, **options: 1 / 0)
    assert cli.main(["labs/02", "--submission", str(submission), "--only", "manifest"]) == 5
    assert "the checker itself failed" in capsys.readouterr().err
