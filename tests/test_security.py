"""What docs/security.md says of versions is so."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "docs" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_floors_of_the_page_are_those_of_the_project(audit: ModuleType) -> None:
    assert len(audit.floors()) >= 5
    assert audit.too_old() == []


def test_a_floor_that_is_not_held_is_told(audit: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from packaging.version import Version

    monkeypatch.setattr(audit, "floors", lambda: {"numpy": Version("999")})
    problems = audit.too_old()
    assert "pyproject.toml allows numpy 2.0, below 999" in problems
    assert any(problem.startswith("numpy") and "is installed, below 999" in problem for problem in problems)
