"""A class at once. Where the batch itself is tested, a stub checks: it does what a submission's text says."""

import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from checker import cli
from checker.batch import command as batch_command
from checker.batch import lanes
from checker.batch.handed_in import handed_in
from checker.batch.kept import Conditions, Kept, conditions
from checker.batch.lanes import BatchError, Bounds
from checker.batch.run import Batch, engine, run
from checker.batch.view import publish, summary
from checker.check import Options
from checker.report import Report
from checker.spec import load_lab

ROOT = Path(__file__).parents[2]
LAB = ROOT / "labs/02"
README, SLOTS = "22-cache-correctness/README.md", "22-yesterday-worked/slots.npz"
HERE = Conditions("checker", "environment", "lab", "options")

STUB = """
import os, signal, subprocess, sys, time
from pathlib import Path

from checker.batch.work import _open, read_one
from checker.check import not_started
from checker.report import Environment, Finding, Report, Score, Submission, TaskResult, verdict_of
from checker.spec import load_lab


def warm(request):
    if os.environ.get("STUB_CANNOT"):
        raise RuntimeError("no torch here")


def check_one(request, scratch):
    folder = _open(request, scratch)
    text = (folder / "22-cache-correctness/README.md").read_text().strip()
    with open(os.environ["STUB_LOG"], "a") as log:
        log.write(f"{text}\\n")
    word, _, rest = text.partition(" ")
    if word == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "stub-marker"], start_new_session=True)
        time.sleep(600)
    if word == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "leave":
        os._exit(0)
    if word == "raise":
        raise LookupError("a fault of the checker")
    if word == "bomb":
        hoard = [bytearray(1 << 28) for _ in range(1000)]
    if word == "noisy":
        os.write(1, b"{}\\n" * 100_000)
    if word == "slow":
        time.sleep(0.1)
    if word == "daemon":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "stub-marker"], start_new_session=True)
    return {"report": report(load_lab(Path(request["lab"])), word, rest).to_json()}


def report(lab, word, rest):
    tasks = []
    for task in lab.tasks:
        faults = []
        if word == "fail" and task.id == rest.split()[0]:
            where = rest.partition(" ")[2] or None
            file = "22-yesterday-worked/slots.npz"
            faults = [Finding(kind="mismatch", message="The row is not the one.", file=file, where=where)]
        if word == "survivors" and task.id == "catches":
            faults = [Finding(kind="mismatch", message=f"Your test passes a cache that {b}.") for b in rest.split(", ")]
        status = "failed" if faults else "passed"
        points = 0 if faults else task.points
        tasks.append(TaskResult(id=task.id, title=task.title, status=status, points=points, possible=task.points,
                                findings=faults))
    return Report(
        schema="checker.report/1", lab=lab.id, title=lab.title, submission=Submission(path="/tmp/elsewhere"),
        started=str(time.time()), verdict=verdict_of(tasks, []), tasks=tasks, durations={"total": time.time()},
        score=Score(points=sum(t.points for t in tasks), possible=100),
        environment=Environment(checker="0", python="3", platform="p"),
    )
"""


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """The stub as a module that a zygote can import, and the log in which it says what it has checked."""
    folder = tmp_path / "stub"
    folder.mkdir()
    (folder / "stub_work.py").write_text(STUB)
    log = folder / "log"
    log.write_text("")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT)]))
    monkeypatch.setenv("STUB_LOG", str(log))
    monkeypatch.setattr(lanes, "WORK", "stub_work")
    return log


def hand_in(folder, name, text, **files):
    """A student's folder, whose README says what the stub does. files: _ stands for the path's own name."""
    path = folder / name / README
    path.parent.mkdir(parents=True)
    path.write_text(text)
    for inside, content in files.items():
        target = folder / name / {"slots": SLOTS, "script": "22-yesterday-worked/dump.py"}[inside]
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)


@pytest.fixture
def submissions(tmp_path):
    folder = tmp_path / "handed-in"
    folder.mkdir()
    return folder


def checked(submissions, out, *, jobs=2, limit=60.0, engine_="threads", here=HERE, memory=512 * 1024**2):
    """A whole batch on the stub: its rows, by name."""
    kept = Kept(out)
    try:
        options = Options(hidden_seed=kept.hidden_seed(None))
        batch = Batch(LAB, submissions, [], options, Bounds(limit, memory))
        with engine(engine_, jobs, None):
            rows = run(batch, kept, here, lambda what, done, of: None)
        publish(rows, load_lab(LAB), batch, out)
    finally:
        kept.close()
    return {row.who.name: row for row in rows}


def verdicts(rows):
    return {n: json.loads(row.checked.report)["verdict"] if row.checked.report else None for n, row in rows.items()}


def contents(out, *names):
    """Everything in the report files, the class view apart: that one says how long things took."""
    names = names or ("reports", "summary.csv")
    files = [p for name in names for p in ([out / name] if (out / name).is_file() else sorted((out / name).iterdir()))]
    return {path.relative_to(out): path.read_bytes() for path in files}


# ---- one submission costs nobody else anything -----------------------------------------------------------------------


def test_a_hang_a_crash_and_a_bomb_cost_that_submission_only(stub, submissions, tmp_path, running):
    bad = {"hang": "did not end within 3 s", "crash": "signal 11", "leave": "without an answer",
           "raise": "LookupError: a fault of the checker", "bomb": "MemoryError"}  # fmt: skip
    for word in (*bad, "pass", "noisy", "daemon"):
        hand_in(submissions, word, word)
    rows = checked(submissions, tmp_path / "out", limit=3.0)
    assert verdicts(rows) == dict.fromkeys(bad) | dict.fromkeys(("pass", "noisy", "daemon"), "passed")
    for word, why in bad.items():
        assert why in rows[word].checked.trouble
        assert why in (tmp_path / f"out/logs/{word}.txt").read_text()
        assert why in (tmp_path / "out/index.html").read_text()
    assert "Traceback" in rows["raise"].checked.trouble
    assert not running("stub-marker")
    assert not lanes._all
    lines = summary(list(rows.values()))
    assert lines[0] == "8 submissions: 3 passed, 5 checker failed"
    assert "The checker itself failed on raise: LookupError: a fault of the checker" in lines


def test_a_failure_is_tried_again_and_a_verdict_is_not(stub, submissions, tmp_path):
    hand_in(submissions, "a", "raise")
    hand_in(submissions, "b", "pass")
    for _ in range(2):
        checked(submissions, tmp_path / "out")
    assert Counter(stub.read_text().split()) == {"raise": 2, "pass": 1}


def test_a_machine_that_cannot_check_ends_the_batch_and_blames_nobody(stub, submissions, tmp_path, monkeypatch):
    monkeypatch.setenv("STUB_CANNOT", "1")
    hand_in(submissions, "a", "pass")
    with pytest.raises(BatchError, match=r"cannot check the lab.*no torch here"):
        checked(submissions, tmp_path / "out")
    assert not lanes._all


# ---- what is known is not checked again ------------------------------------------------------------------------------


def test_the_same_work_is_checked_once_and_reported_for_both(stub, submissions, tmp_path):
    for name in ("ada", "ben"):
        hand_in(submissions, name, "fail slots layer 0")
    with zipfile.ZipFile(submissions / "cleo.zip", "w") as archive:
        archive.writestr(f"cleo-lab02/{README}", "fail slots layer 0")
    (submissions / "dora").mkdir()
    shutil.copy(submissions / "cleo.zip", submissions / "dora/homework.zip")  # as course systems hand it over
    rows = checked(submissions, tmp_path / "out")
    assert verdicts(rows) == dict.fromkeys(("ada", "ben", "cleo.zip", "dora"), "not passed")
    assert len(stub.read_text().splitlines()) == 1
    reports = [
        json.loads(data) for path, data in contents(tmp_path / "out", "reports").items() if path.suffix == ".json"
    ]
    assert [report["submission"]["path"] for report in reports] == ["ada", "ben", "cleo.zip", "dora"]


def test_a_change_to_the_work_or_to_the_conditions_is_a_reason_to_check_again(stub, submissions, tmp_path):
    hand_in(submissions, "ada", "pass")
    hand_in(submissions, "ben", "fail slots")
    checked(submissions, tmp_path / "out")
    (submissions / "ben" / README).write_text("pass now")
    assert verdicts(checked(submissions, tmp_path / "out"))["ben"] == "passed"
    assert stub.read_text().splitlines()[2:] == ["pass now"]
    checked(submissions, tmp_path / "out", here=Conditions("checker", "environment", "lab", "others"))
    assert len(stub.read_text().splitlines()) == 5


def test_the_conditions_name_all_that_a_verdict_depends_on(tmp_path):
    (tmp_path / "lab.toml").write_bytes((LAB / "lab.toml").read_bytes())
    one = conditions(LAB, [], Options(hidden_seed=1))
    assert one == conditions(tmp_path, [], Options(hidden_seed=1))
    others = [Options(hidden_seed=2), Options(1, timeout=9.0), Options(1, tier="landlock")]
    assert len({one, *(conditions(LAB, [], o) for o in others), conditions(LAB, ["slots"], Options(1))}) == 5
    (tmp_path / "lab.toml").write_text("another")
    assert conditions(tmp_path, [], Options(hidden_seed=1)).lab != one.lab


def test_one_hidden_seed_for_the_class(tmp_path):
    seeds = []
    for asked in (None, None, 7, None):
        kept = Kept(tmp_path / "out")
        seeds.append(kept.hidden_seed(asked))
        kept.close()
    assert seeds[0] == seeds[1]
    assert seeds[2:] == [7, 7]


def test_two_batches_do_not_share_a_folder(tmp_path):
    kept = Kept(tmp_path)
    with pytest.raises(BatchError, match="another batch"):
        Kept(tmp_path)
    kept.close()
    (tmp_path / "batch.sqlite").write_bytes(b"no data base" * 100)
    with pytest.raises(BatchError, match="cannot be used"):
        Kept(tmp_path)


ALONE = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from checker.batch import lanes
from test_batch import checked
lanes.WORK = "stub_work"
checked(Path(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_any_point_it_goes_on_where_it_was(stub, submissions, tmp_path, seed, running):
    draw = random.Random(seed)
    for i in range(16):
        hand_in(submissions, f"student{i:02}", f"slow {i}" if i % 3 else f"fail slots layer {i}")
    out = tmp_path / "out"
    command = [sys.executable, "-c", ALONE, str(Path(__file__).parent), str(submissions), str(out)]
    for kill_at in sorted(draw.sample(range(1, 15), 3)):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while len(stub.read_text().splitlines()) < kill_at and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        while running("checker.batch.zygote stub_work"):  # they see that their asker is gone
            time.sleep(0.01)
    rows = checked(submissions, out)
    assert len(rows) == 16
    assert all(row.checked.report for row in rows.values())
    times = Counter(stub.read_text().splitlines())
    assert len(times) == 16
    assert sum(times.values()) <= 16 + 3 * 2 * 2  # at most what was under way, or not yet written, when it was killed
    checked(submissions, tmp_path / "another")
    assert contents(out) == contents(tmp_path / "another")


def test_dask_and_threads_write_the_same_bytes(stub, submissions, tmp_path):
    pytest.importorskip("distributed", reason="dask is not installed")
    for i in range(6):
        hand_in(submissions, f"student{i}", "fail slots" if i % 2 else f"slow {i}")
    assert verdicts(checked(submissions, tmp_path / "a", engine_="dask"))["student0"] == "passed"
    checked(submissions, tmp_path / "b", engine_="threads")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


# ---- what is not a submission ----------------------------------------------------------------------------------------


def test_nothing_that_is_handed_in_is_lost(stub, submissions, tmp_path):
    hand_in(submissions, "fine", "pass")
    (submissions / "empty").mkdir()
    (submissions / "work.rar").write_bytes(b"Rar!")
    (submissions / "cut.zip").write_bytes(b"PK\x03\x04")
    (submissions / "link").symlink_to("fine")
    os.mkfifo(submissions / "fifo")
    (submissions / ".hidden").mkdir()
    rows = checked(submissions, tmp_path / "out")
    assert verdicts(rows) == {
        "cut.zip": "unreadable",
        "empty": "not started",
        "fifo": "unreadable",
        "fine": "passed",
        "link": "unreadable",
        "work.rar": "unreadable",
    }
    lines = list(csv.DictReader((tmp_path / "out/summary.csv").read_text().splitlines()))
    assert [line["verdict"] for line in lines] == list(verdicts(rows).values())
    assert stub.read_text().split() == ["pass"]


HOSTILE = [
    "=cmd|'calc'!A0",
    "<script>alert(1)",
    "a\x1b[31mb",
    "A",
    "a",
    "x" * 200,
    "\udcff",
    "con\nx",
    "-1",
]


def test_names_are_text_and_become_files_of_their_own(stub, submissions, tmp_path):
    for name in HOSTILE:
        os.mkdir(os.fsencode(submissions) + b"/" + os.fsencode(name))
    stems = [who.stem for who in handed_in(submissions)]
    assert len({stem.casefold() for stem in stems}) == len(HOSTILE)
    assert all(re.fullmatch(r"[\w.-]{1,100}", stem, re.ASCII) for stem in stems)
    checked(submissions, tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text()
    assert "<script" not in page
    assert "\x1b" not in page
    assert len(list((tmp_path / "out/reports").glob("*.json"))) == len(HOSTILE)
    with (tmp_path / "out/summary.csv").open(newline="") as file:
        names = [line["name"] for line in csv.DictReader(file)]
    assert "'=cmd|'calc'!A0" in names
    assert all(name[:1] not in "=+-@" and name.isprintable() for name in names)


# ---- the class view --------------------------------------------------------------------------------------------------


def card(page, title):
    """The text of the card with this title."""
    found = [part for part in page.split("<article") if f"<h3>{title}</h3>" in part]
    assert len(found) == 1, title
    return re.sub(r"<[^>]+>", " ", found[0].partition("</article>")[0])


def test_the_class_view_groups_those_who_fail_alike(stub, submissions, tmp_path):
    for name, text in {
        "ada": "fail slots k_cached: layer 0",
        "ben": "fail slots k_cached: layer 0 ",
        "cleo": "fail slots k_full: layer 1",
        "dora": "fail dump",
        "emil": "pass",
    }.items():
        hand_in(submissions, name, text)
    checked(submissions, tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text()
    assert not re.search(r"https?:|src=|<script|@import", page)
    assert "slots: 2 passed, 0 in part, 3 failed, 0 not run." in page
    cards = [part for part in page.split("<article") if "[mismatch] The row is not the one." in part]
    slots, dump = (re.sub(r"<[^>]+>", " ", part.partition("</article>")[0]) for part in cards)
    assert "3 of 5, in the task slots" in slots
    assert slots.index("ada") < slots.index("ben") < slots.index("cleo")
    assert "1 of 5, in the task dump" in dump
    assert "emil" not in slots + dump


def test_the_same_bytes_are_flagged_where_they_mean_something(stub, submissions, tmp_path):
    given = (LAB / "starter/dump.py").read_bytes()
    hand_in(submissions, "ada", "fail slots 1", slots=b"wrong", script=b"print('mine')")
    hand_in(submissions, "ben", "fail slots 2", slots=b"wrong", script=given)
    hand_in(submissions, "cleo", "pass 1", slots=b"right", script=b"print('mine')")
    hand_in(submissions, "dora", "pass 2", slots=b"right", script=given)
    hand_in(submissions, "emil", "pass 3")
    hand_in(submissions, "emil2", "pass 3")
    for name in ("ada", "dora"):  # written by dump.py, alike for all who ran it
        (submissions / name / "22-yesterday-worked" / "report.md").write_text("the table")
    checked(submissions, tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text()
    assert "report.md" not in page
    assert card(page, SLOTS).split()[-2:] == ["ada", "ben"]
    assert card(page, "22-yesterday-worked/dump.py").split()[-2:] == ["ada", "cleo"]
    assert card(page, "the whole submission").split()[-2:] == ["emil", "emil2"]


# ---- the command line ------------------------------------------------------------------------------------------------


class Sandbox:
    def __init__(self, tier):
        self.tier = tier


@pytest.fixture
def batch(capsys, monkeypatch, stub):
    """batch(*arguments, tier="full") -> (exit code, stdout, stderr), on the stub."""
    monkeypatch.chdir(ROOT)

    def batch(*arguments, tier="full"):
        monkeypatch.setattr(batch_command, "choose", lambda asked: Sandbox(asked or tier))
        code = cli.main(["batch", *map(str, arguments)])
        return code, *capsys.readouterr()

    return batch


def test_the_command_says_how_the_class_stands(batch, submissions, tmp_path):
    hand_in(submissions, "ada", "pass")
    hand_in(submissions, "ben", "fail slots")
    code, out, err = batch(submissions, "--report", tmp_path / "out", "--jobs", 2)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "2 submissions: 1 passed, 1 not passed"
    Report.model_validate_json((tmp_path / "out/reports/ada.json").read_text())
    hand_in(submissions, "cleo", "raise")
    code, out, err = batch(submissions, "--report", tmp_path / "out")
    assert code == 1
    assert "The checker itself failed on cleo" in out


TYPED = """
import sys
from checker import cli
from checker.batch import lanes
lanes.WORK = "stub_work"
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("jobs", ["1", "2"])  # one job runs on the main thread, where the signal arrives
def test_ctrl_c_ends_it_at_once(stub, submissions, tmp_path, jobs, running):
    for name, text in {"ada": "pass", "ben": "hang", "cleo": "pass more"}.items():
        hand_in(submissions, name, text)
    arguments = ["batch", str(submissions), "--report", str(tmp_path / "out"), "--jobs", jobs, "--allow-weak-sandbox"]
    process = subprocess.Popen([sys.executable, "-c", TYPED, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while "hang" not in stub.read_text():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)  # the hang would last ten minutes
    assert process.returncode == 130, err
    assert "the same command goes on from there" in err
    assert "Traceback" not in err
    assert not running("checker.batch.zygote stub_work")
    assert not running("stub-marker")
    assert stub.read_text().count("hang") == 1


WRONG = {
    "weak": (["--report", "out", "--sandbox", "rlimits"], "--allow-weak-sandbox"),
    "address": (["--report", "out", "--address", "tcp://localhost:1"], "--engine dask"),
    "no lab": (["--report", "out", "--lab", "labs"], "no lab.toml"),
    "no task": (["--report", "out", "--only", "nothing"], "its tasks are"),
    "no engine there": (["--report", "out", "--engine", "dask", "--address", "nowhere"], "no dask scheduler"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_was_asked_wrongly_is_said_in_a_line(batch, submissions, tmp_path, name):
    arguments, says = WRONG[name]
    arguments = [str(tmp_path / a) if a == "out" else a for a in arguments]
    code, out, err = batch(submissions, *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_a_weak_sandbox_is_taken_when_that_is_said(batch, submissions, tmp_path):
    code, _, _ = batch(submissions, "--report", tmp_path / "out", "--allow-weak-sandbox", tier="rlimits")
    assert code == 0


def test_the_report_does_not_go_among_the_submissions(batch, submissions):
    code, _, err = batch(submissions, "--report", submissions / "out")
    assert code == 2
    assert "only read" in err


# ---- the real work ---------------------------------------------------------------------------------------------------


def test_a_class_is_checked_for_good(submissions, reference, tmp_path):
    """The reference and a submission with one wrong word, on the checker itself, in zygotes that have torch."""
    for name in ("right", "wrong"):
        shutil.copytree(reference, submissions / name)
    data = bytearray((submissions / "wrong" / SLOTS).read_bytes())
    (submissions / "wrong" / SLOTS).write_bytes(data[:-40])
    kept = Kept(tmp_path / "out")
    batch = Batch(LAB, submissions, ["slots", "manifest"], Options(hidden_seed=7), Bounds())
    with engine("threads", 1, None):
        rows = run(batch, kept, HERE, lambda what, done, of: None)
    kept.close()
    assert [json.loads(row.checked.report)["verdict"] for row in rows] == ["passed", "not passed"]
    assert not (submissions / "right/.checker").exists()
