"""Write the JSON Schemas the models stand for: python -m checker.publish, after a model has changed."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from checker.lab02.schemas import DumpManifest, Manifest, Results
from checker.report import Report

ROOT = Path(__file__).parent.parent
PUBLISHED: dict[str, type[BaseModel]] = {
    "checker/report.schema.json": Report,
    "labs/02/schemas/results.schema.json": Results,
    "labs/02/schemas/manifest.schema.json": Manifest,
    "labs/02/schemas/dump-manifest.schema.json": DumpManifest,
}


def schema_text(path: str) -> str:
    schema = PUBLISHED[path].model_json_schema(by_alias=True)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


if __name__ == "__main__":
    for path in PUBLISHED:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(schema_text(path), encoding="utf-8")
        print(path)
