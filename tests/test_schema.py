"""The schema of report.json in the docs: up to date, and true of real reports."""

import copy
import json
import subprocess
import sys
from typing import Any

import jsonschema
import pytest

from honed import Project
from tests.conftest import ROOT

SCHEMA = ROOT / "docs" / "report.schema.json"


def validate(report: Any) -> None:
    """Raise `jsonschema.ValidationError` for what the schema of the docs does not allow."""
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(report)


def test_the_schema_is_up_to_date() -> None:
    check = subprocess.run([sys.executable, str(ROOT / "docs" / "make_schema.py"), "--check"], capture_output=True)
    assert check.returncode == 0, check.stdout


def test_the_schema_is_sound() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_a_real_report_is_as_the_schema_says(project: Project) -> None:
    report = json.loads(project.runner.latest_of("evaluate").path("report.json").read_text(encoding="utf-8"))
    validate(report)
    assert report["next_steps"]
    assert report["wrong"]["queries"] and report["wrong"]["queries"][0]["right"]
    damaged = copy.deepcopy(report)
    damaged["systems"][0]["measures"]["R@1"]["mean"] = "high"
    with pytest.raises(jsonschema.ValidationError):
        validate(damaged)
