"""What a text must say, it may say in English or in Spanish."""

import re
import unicodedata
from pathlib import Path

import pytest

from checker.gate import Refusal
from checker.language import speaking
from checker.report import Finding
from checker.spec import load_lab
from checker.texts import texts

ROOT = Path(__file__).parents[2]
SPANISH = Path(__file__).parent / "spanish"
README_02, REPORT_02 = "22-cache-correctness/README.md", "22-yesterday-worked/report.md"
WRITTEN = {("02", README_02): "02-README.md", ("02", REPORT_02): "02-report.md", ("05", "README.md"): "05-README.md"}


def written(lab_id, path):
    return (SPANISH / WRITTEN[lab_id, path]).read_text(encoding="utf-8")


def missing(lab_id, path, text, language="es"):
    """What the lab asks for and ``text``, in the place of ``path``, does not say."""

    def read(name):
        if name == path:
            return text
        raise Refusal("missing", name, "another text")

    with speaking(language):
        found = list(texts(load_lab(ROOT / "labs" / lab_id), read))
    return [item.expected for item in found if isinstance(item, Finding) and item.file == path]


@pytest.mark.parametrize(("lab_id", "path"), WRITTEN)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_text_in_spanish_is_whole(lab_id, path, form):
    assert missing(lab_id, path, unicodedata.normalize(form, written(lab_id, path))) == []


@pytest.mark.parametrize("lab_id", ["02", "05"])
def test_the_solutions_texts_are_whole_in_english(lab_id):
    path = README_02 if lab_id == "02" else "README.md"
    text = (ROOT / "labs" / lab_id / "solution/README.md").read_text(encoding="utf-8")
    assert missing(lab_id, path, text, "en") == []


@pytest.mark.parametrize(
    ("lab_id", "path", "without", "expected"),
    [
        ("02", README_02, "No se encontraron errores en la caché.", '"no bugs found", o el error y su arreglo'),
        ("02", README_02, "Con las operaciones de serie", "lo que hicieron las operaciones de serie (stock)"),
        ("02", README_02, r"\bbytes\b", "lo que se encontró sobre los bytes, no solo sobre los tokens"),
        ("02", REPORT_02, r"\| capa", "una tabla con las columnas layer, head, slot, K, V"),
        ("02", REPORT_02, "K capa 0 cabeza", "la línea `K layer 0 head 0 slot 1:` con su fila en hexadecimal"),
        (
            "02",
            REPORT_02,
            "Todos los bytes son iguales.",
            "la aserción en palabras: todos los bytes son iguales, o qué filas difieren (differ)",
        ),
        ("02", REPORT_02, "de serie", "al lado, lo mismo con las operaciones de serie (stock)"),
        ("05", "README.md", r"invarian\w+", "qué hace que un kernel sea invariante al lote"),
        (
            "05",
            "README.md",
            "dejó pasar|se le escapó",
            "qué kernel se le escapó primero a tu prueba (missed), o que los detectó todos (caught)",
        ),
        ("05", "README.md", "doble precisión", "qué dijo float64"),
    ],
)
def test_what_a_text_in_spanish_leaves_out_is_said_in_spanish(lab_id, path, without, expected):
    text = written(lab_id, path)
    assert re.search(without, text)
    (found,) = missing(lab_id, path, re.sub(without, "y así", text))
    assert found.replace("\N{LEFT DOUBLE QUOTATION MARK}", '"') == expected


SAYS_SO = {  # which statement of which text -> how else it may be put, and what does not say it
    ("02", README_02, 0): (
        ["Ningún error.", "no encontré errores", "No hay fallos", "no se hallaron bugs", "Había un error y lo corregí"],
        ["ningún", "un error, nada más", "no encontré nada", "errata corregida"],
    ),
    ("02", README_02, 1): (
        ["las ops de serie", "las operaciones propias de PyTorch"],
        ["en serie", "un modelo de PyTorch"],
    ),
    ("02", REPORT_02, 0): (
        ["| Capa | Cabeza | Slot | K | V |", "|layer|head|posicion|K|V|"],
        ["| capa | cabeza | K | V |", "capa cabeza slot K V"],
    ),
    ("02", REPORT_02, 2): (
        ["cada byte es igual", "todas las filas son idénticas", "dos filas difieren", "una fila es distinta"],
        ["todos los bytes", "igual da"],
    ),
    ("05", "README.md", 1): (
        ["le pasó por alto el segundo", "se me escaparon dos", "no vio el tercero", "los detectó todos", "los cazó"],
        ["pasó la prueba", "un detective", "vio la luz"],
    ),
    ("05", "README.md", 2): (["en precisión doble", "en doble precision"], ["doble", "precisión simple"]),
}


@pytest.mark.parametrize(("lab_id", "path", "i"), SAYS_SO)
def test_a_statement_has_many_forms_and_not_any(lab_id, path, i):
    pattern = load_lab(ROOT / "labs" / lab_id).artifact(path).statements[i].pattern
    said, unsaid = SAYS_SO[lab_id, path, i]
    assert [text for text in said if not re.search(pattern, text, re.IGNORECASE)] == []
    assert [text for text in unsaid if re.search(pattern, text, re.IGNORECASE)] == []


@pytest.mark.parametrize(("lab_id", "path"), WRITTEN)
def test_no_text_makes_a_pattern_look_again_and_again(lab_id, path):
    """Each of the longest texts there may be is looked through at once; else this test would not end."""
    artifact = load_lab(ROOT / "labs" / lab_id).artifact(path)
    for word in (
        "error ",
        "no hay errore ",
        "no se encontr",
        "cada ",
        "deja pasa ",
        "sin \n",
        "| capa | cabeza | slot | K ",
    ):
        text = (word * artifact.max_bytes)[: artifact.max_bytes]
        for statement in artifact.statements:
            re.search(statement.pattern, text, re.IGNORECASE)


def test_the_checker_reads_a_whole_lab_02_in_spanish(check, submission):
    (submission / README_02).write_text(written("02", README_02), encoding="utf-8")
    english = (submission / REPORT_02).read_text(encoding="utf-8")
    (table,) = re.findall(r"\|---\|---\|---\|---\|---\|\n(.*?)\n\n", english, re.S)
    (row,) = re.findall(r"```\n(.*?)\n```", english, re.S)
    report = written("02", REPORT_02).replace("TABLE", table.replace("equal", "igual")).replace("ROW", row)
    (submission / REPORT_02).write_text(report, encoding="utf-8")
    assert check(submission, "--only", "writing", "--lang", "es")[0] == 0
    at = report.index("cached      ") + len("cached      ")
    (submission / REPORT_02).write_text(f"{report[:at]}00000000{report[at + 8 :]}", encoding="utf-8")
    code, found = check(submission, "--only", "writing", "--lang", "es")
    assert code == 1
    assert next(f.where for task in found.tasks for f in task.findings).endswith("dim 0")
