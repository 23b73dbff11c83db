"""Write what labs/ takes from here: python -m checker.publish, after a model or a driver has changed.

The JSON Schemas are those the models stand for; a driver is copied as it is.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from checker.lab01 import schemas as lab01
from checker.lab02 import schemas as lab02
from checker.lab03 import schemas as lab03
from checker.lab05 import schemas as lab05
from checker.report import Report

ROOT = Path(__file__).parent.parent
PUBLISHED: dict[str, type[BaseModel]] = {
    "checker/report.schema.json": Report,
    "labs/01/schemas/results.schema.json": lab01.Results,
    "labs/01/schemas/manifest.schema.json": lab01.Manifest,
    "labs/02/schemas/results.schema.json": lab02.Results,
    "labs/02/schemas/manifest.schema.json": lab02.Manifest,
    "labs/02/schemas/diagnosis.schema.json": lab02.Diagnosis,
    "labs/02/schemas/dump-manifest.schema.json": lab02.DumpManifest,
    "labs/03/schemas/results.schema.json": lab03.Results,
    "labs/03/schemas/manifest.schema.json": lab03.Manifest,
    "labs/03/schemas/analysis.schema.json": lab03.Analysis,
    "labs/03/schemas/prediction.schema.json": lab03.Prediction,
    "labs/05/schemas/results.schema.json": lab05.Results,
    "labs/05/schemas/manifest.schema.json": lab05.Manifest,
    "labs/05/schemas/invariance.schema.json": lab05.Invariance,
}
COPIED = {  # what students run is what the checker runs
    "labs/01/starter/cases.py": "checker/lab01/cases.py",
    "labs/01/starter/exercise.py": "checker/lab01/exercise.py",
    "labs/03/starter/analyse.py": "checker/lab03/analyse.py",
    "labs/03/starter/cases.py": "checker/lab03/cases.py",
    "labs/03/starter/drawn.py": "checker/lab03/drawn.py",
    "labs/03/starter/measure.py": "checker/lab03/measure.py",
    "labs/05/starter/inputs.py": "checker/lab05/inputs.py",
    "labs/05/starter/interpreter.py": "checker/lab05/interpreter.py",
    "labs/05/starter/measure.py": "checker/lab05/measure.py",
    "labs/05/starter/sealed.py": "checker/lab05/sealed.py",
}


def schema_text(path: str) -> str:
    schema = PUBLISHED[path].model_json_schema(by_alias=True)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


if __name__ == "__main__":
    for path in PUBLISHED:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(schema_text(path), encoding="utf-8")
        print(path)
    for path, original in COPIED.items():
        (ROOT / path).write_bytes((ROOT / original).read_bytes())
        print(path)
