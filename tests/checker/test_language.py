"""Two languages: the Spanish catalogue is whole, nothing English is left where Spanish was asked for, and what programs
read is the same in both."""

import ast
import gettext
import html
import json
import os
import re
import shutil
import string
from pathlib import Path

import pytest

from checker import cli, views
from checker.batch.kept import conditions
from checker.check import Options
from checker.language import DOMAIN, LOCALE, _, in_every_language, language_of, ngettext, speaking, spoken
from checker.messages import CHECKER, FIGURES, handed_to_figures, of_a_source
from checker.report import NOT_ASKED, Report
from checker.spec import load_lab

ROOT = Path(__file__).parents[2]
CORRECTNESS = "22-cache-correctness"
PLACEHOLDER = re.compile(r"\{[^{}]*\}")


@pytest.fixture
def run(monkeypatch, capsys):
    """run(*arguments) -> (exit code, all that was printed on one line), at the root of the course."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "2000")

    def run(*arguments):
        code = cli.main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, " ".join((out + err).split())

    return run


def forms(message):
    return message if isinstance(message, tuple | list) else (message,)


def english_in(text):
    """Every piece of an English sentence, three words or longer, that stands in ``text``."""
    text = " ".join(html.unescape(text).split())
    found = set()
    for message in CHECKER.catalogue("es"):
        spanish = " ".join(forms(message.string))
        for sentence in forms(message.id):
            for piece in PLACEHOLDER.split(sentence):
                piece = " ".join(piece.split()).strip(" .,:;()")
                if len(re.findall(r"[A-Za-z]{2,}", piece)) >= 3 and piece not in spanish and piece in text:
                    found.add(piece)
    return found


# ---- the catalogue -----------------------------------------------------------------------------------------------


both = pytest.mark.parametrize("kept", [CHECKER, FIGURES], ids=["checker", "figures"])


@both
def test_every_sentence_is_in_the_catalogue_and_nothing_else(kept):
    said = {message.id for message in kept.collected() if message.id}
    assert {message.id for message in kept.catalogue("es") if message.id} == said, "run: make messages"


def test_what_is_marked_is_collected_wherever_it_stands(tmp_path):
    source = """
        said = f"{_('Within an f-string.')} {_(KNOWN.get(name, N_('As what is said otherwise.')))}"
        n = ngettext("{n} row", "{n} rows", n).format(n=n) + _(not_marked_here) + other("Not marked.")
    """
    path = tmp_path / "source.py"
    path.write_text("if True:" + source)
    assert {*of_a_source(path)} == {"Within an f-string.", "As what is said otherwise.", ("{n} row", "{n} rows")}


def test_what_a_chapter_hands_to_a_figure_is_collected():
    chapter = """
plans = {"one after another": 1, "a tree": 2}
errors = {plan: [] for plan in plans}
figures.sum_errors(lengths, errors, title="How far")
figures.bars({"cut": lost("en")}, taken["never drawn"], f"made of {parts}")
other.call("not a figure's")
"""
    assert [*handed_to_figures(ast.parse(chapter))] == ["one after another", "a tree", "How far", "cut"]


@both
def test_every_sentence_is_translated_with_the_same_placeholders(kept):
    def placeholders(text):
        return sorted((name, spec, how) for _text, name, spec, how in string.Formatter().parse(text) if name)

    for message in kept.catalogue("es"):
        if not message.id:
            continue
        assert all(forms(message.string)), f"not translated: {message.id}"
        assert not message.fuzzy, message.id
        if PLACEHOLDER.search(str(message.id)):
            for english, spanish in zip(forms(message.id), forms(message.string), strict=True):
                assert placeholders(spanish) == placeholders(english), message.id


@both
def test_what_is_compiled_is_what_is_written(kept):
    with kept.po("es").with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for message in kept.catalogue("es"):
        if isinstance(message.id, tuple):
            one, many = message.id
            assert (compiled.ngettext(one, many, 1), compiled.ngettext(one, many, 2)) == message.string
        elif message.id:
            assert compiled.gettext(message.id) == message.string, "run: make messages"


def test_a_lab_speaks_the_language():
    english = load_lab(ROOT / "labs/02")
    with speaking("es"):
        spanish = load_lab(ROOT / "labs/02")
    assert english.title == "With a cache, without a cache, byte for byte"
    assert spanish.title == "Con caché, sin caché, byte a byte"
    for a, b in zip(english.tasks, spanish.tasks, strict=True):
        assert a.title != b.title
        assert not set(a.hints) & set(b.hints)


def unwrapped(path):
    """Sentences that are said, or kept to be said, without a look into the catalogue."""
    said = {
        "Finding",
        "Refusal",
        "Claim",
        "UsageError",
        "BadParameter",
        "SpecError",
        "SandboxError",
        "BatchError",
        "echo",
    }
    other = {"standing", "where"}
    kept = {"message", "expected", "found", "because"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        texts = []
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in said:
            texts = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg not in other)]
        elif isinstance(node, ast.Assign) and any(getattr(target, "id", "") in kept for target in node.targets):
            texts = [node.value]
        for text in texts:
            parts = text.values if isinstance(text, ast.JoinedStr) else [text]
            for part in parts:
                if isinstance(part, ast.Constant) and re.search("[A-Za-z]{3,} [A-Za-z]{2,}", str(part.value)):
                    yield f"{path.relative_to(ROOT)}:{part.lineno}: {part.value}"


def test_what_is_said_goes_through_the_catalogue():
    sources = [path for path in (ROOT / "checker").rglob("*.py") if "selftest" not in path.parts]
    assert not [line for path in sources for line in unwrapped(path)]


# ---- which one ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "environment", "language"),
    [
        ([], {}, "en"),
        ([], {"LANG": "C"}, "en"),
        ([], {"LANG": "C.UTF-8"}, "en"),
        ([], {"LANG": "es_MX.UTF-8"}, "es"),
        ([], {"LANG": "es"}, "es"),
        ([], {"LANG": "est_EE"}, "en"),
        ([], {"LC_ALL": "C", "LANG": "es_ES.UTF-8"}, "en"),
        ([], {"LC_ALL": "", "LC_MESSAGES": "es_ES@euro", "LANG": "en_US.UTF-8"}, "es"),
        (["labs/02", "--lang", "en"], {"LANG": "es_ES.UTF-8"}, "en"),
        (["--lang=es", "labs/02"], {}, "es"),
        (["--lang", "en", "--lang", "es"], {}, "es"),
        (["--lang"], {}, "en"),
        (["--lang", "fr"], {"LANG": "es_ES.UTF-8"}, "es"),
    ],
)
def test_the_option_then_the_locale_then_english(arguments, environment, language):
    assert language_of(arguments, environment) == language


def test_another_language_is_one_clear_line(run):
    code, said = run("--lang", "fr")
    assert (code, said) == (2, "checker: Invalid value for '--lang': 'fr' is not one of 'en', 'es'.")
    code, said = run("--lang", "fr", "--lang=es", "--hnt")
    assert (code, said) == (2, "checker: No existe la opción '--hnt'. ¿Querías decir '--hint'?")


def test_english_comes_back(run, monkeypatch):
    before = os.environ.get("LANGUAGE")
    assert "Uso:" in run("--lang", "es", "--help")[1]
    assert "Usage:" in run("--help")[1]
    assert (spoken(), os.environ.get("LANGUAGE")) == ("en", before)
    assert gettext.gettext("Usage:") == "Usage:"
    monkeypatch.setenv("LC_ALL", "es_ES.UTF-8")
    assert "Uso:" in run("--help")[1]


def test_the_form_goes_with_the_number():
    with speaking("es"):
        assert [ngettext("{n} case", "{n} cases", n).format(n=n) for n in (0, 1, 2)] == ["0 casos", "1 caso", "2 casos"]
        assert _("") == ""
    assert [ngettext("{n} case", "{n} cases", n).format(n=n) for n in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]


def test_a_class_is_checked_in_one_language():
    lab = ROOT / "labs/02"
    english = conditions(lab, [], Options(hidden_seed=1))
    with speaking("es"):
        assert conditions(lab, [], Options(hidden_seed=1)) != english


# ---- nothing English is left -------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["batch", "--help"], ["bug", "--help"], [], ["labs/09"]])
def test_the_command_line_in_spanish(run, arguments):
    assert english_in(run(*arguments)[1])
    assert not english_in(run(*arguments, "--lang", "es")[1])


def spoil_json(folder):
    (folder / CORRECTNESS / "results.json").write_text('{"schema": ,}')


def miss_a_field(folder):
    path = folder / CORRECTNESS / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "date": "soon", "surprise": 1}))


def link(folder):
    path = folder / CORRECTNESS / "results.json"
    path.rename(folder / "elsewhere.json")
    path.symlink_to(folder / "elsewhere.json")


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


QUICK = ["--only", "manifest", "--only", "results", "--only", "slots", "--only", "writing"]


@pytest.mark.parametrize(
    ("change", "options", "exit_code"),
    [
        (lambda folder: None, QUICK, 0),
        (spoil_json, QUICK, 1),
        (miss_a_field, ["--only", "manifest"], 1),
        (link, ["--only", "results"], 3),
        (empty, [], 1),
        (lambda folder: (folder / CORRECTNESS / "README.md").write_text("Short."), ["--only", "writing"], 1),
        (lambda folder: (folder / CORRECTNESS / "manifest.json").unlink(), ["--only", "manifest", "--hint"], 1),
    ],
)
def test_a_check_in_spanish(run, submission, change, options, exit_code):
    change(submission)
    arguments = ["labs/02", "--submission", submission, *options]
    code, english = run(*arguments)
    assert (code, spoken()) == (exit_code, "en")
    assert english_in(english)
    code, spanish = run(*arguments, "--lang", "es")
    assert code == exit_code
    if "--hint" in options:
        assert spanish.endswith(f"--submission {submission} --lang es --only manifest --hint")
    assert not english_in(spanish)


def same_for_programs(report):
    """What no language changes."""
    codes = report.model_dump(include={"schema_", "lab", "verdict", "score", "only"})
    tasks = [
        (t.id, t.status, t.points, [(f.kind, f.file) for f in t.findings], [(c.file, c.standing) for c in t.claims])
        for t in report.tasks
    ]
    return codes, tasks, report.evidence.stored_bytes


def test_the_starter_fails_alike_in_both_languages(check, tmp_path, run):
    folder = tmp_path / "submission"
    for name in ("22-cache-correctness/property_test.py", "22-yesterday-worked/dump.py"):
        (folder / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / "labs/02/starter" / Path(name).name, folder / name)
    code, english = check(folder)
    assert (code, english.language) == (1, "en")
    code, spanish = check(folder, "--lang", "es")
    assert (code, spanish.language) == (1, "es")
    assert same_for_programs(english) == same_for_programs(spanish)
    lab = load_lab(ROOT / "labs/02")
    with speaking("es"):
        spanish_lab = load_lab(ROOT / "labs/02")
        pages = {name: views.draw(name, spanish, spanish_lab) for name in views.FORMATS}
    printed = " ".join(run.output_tail for run in english.evidence.replayed)
    for name, page in pages.items():
        assert english_in(views.draw(name, english, lab)), name
        assert english_in(page) <= english_in(printed), name
    assert '<html lang="es">' in pages["html"]


def test_a_class_in_spanish(run, tmp_path):
    folder = tmp_path / "class"
    (folder / "ana").mkdir(parents=True)
    (folder / "ana" / "notes.md").write_text("Nada.")
    (folder / "leo").mkdir()
    (folder / "mal.zip").write_text("x")
    arguments = ["batch", folder, "--report", tmp_path / "out", "--only", "manifest", "--allow-weak-sandbox"]
    code, said = run(*arguments, "--lang", "es")
    assert (code, english_in(said)) == (0, set())
    assert "3 entregas:" in said
    for page in [*(tmp_path / "out").rglob("*.html"), *(tmp_path / "out").rglob("*.json")]:
        assert not english_in(page.read_text()), page
    code, said = run(*arguments)  # nothing of the Spanish batch is taken for an English one
    assert (code, "3 submissions:" in said) == (0, True)
    assert english_in((tmp_path / "out" / "reports" / "ana.json").read_text())


def test_a_report_kept_in_spanish_is_understood_in_english(check, submission):
    _code, report = check(submission, "--only", "manifest", "--lang", "es")
    again = Report.model_validate_json(report.to_json())
    assert {task.because for task in again.tasks if not task.asked} == in_every_language(NOT_ASKED) - {NOT_ASKED}
    assert again.verdict == "passed"


def test_the_catalogue_is_where_the_package_is():
    assert (LOCALE / "es" / "LC_MESSAGES" / f"{DOMAIN}.mo").is_file()
