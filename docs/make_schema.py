"""Write docs/report.schema.json from the types of the reports; --check only says whether it is up to date."""

import json
from pathlib import Path

import msgspec
from generated import write

from honed.artifacts.report import JudgedReport
from honed.shapes.grouped.retrieval import RetrievalReport
from honed.shapes.labels.similar import SimilarReport

TARGET = Path(__file__).with_name("report.schema.json")


def report_schema() -> str:
    """Return the JSON schema of report.json, which is of one of the kinds that the built-in shapes of data have."""
    kinds = (JudgedReport, SimilarReport, RetrievalReport)
    reports, parts = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "report.json",
        "description": "What honed measured. Fields with a default are left out of the reports of earlier versions.",
        "anyOf": list(reports),
        "$defs": parts,
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write(TARGET, report_schema())
