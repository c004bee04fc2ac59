"""The import rules of the rooms, as a table."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "honed"
# room -> the other rooms it may import
METHODS = {"encode", "index", "evaluate", "label", "explain", "train"}
ALLOWED = {
    "core": set(),
    "pages": {"core"},
    "data": {"core"},
    "encode": {"core"},
    "index": {"core"},
    "evaluate": {"core"},
    "label": {"core"},
    "explain": {"core", "encode", "pages"},
    "train": {"core", "encode", "index"},
    "config": {"core", "data", *METHODS},
    "shapes": {"core", "data", "config", *METHODS},
    "bundle": {"core", "encode", "index"},
    "search": {"core", "encode", "index", "bundle"},
    "stages": {"core", "data", "config", "shapes", "bundle", "search", *METHODS},
    "pipeline": {"core", "data", "config", "shapes", "stages", "encode"},
    "project": {"core", "data", "config", "shapes", "bundle", "search", "stages", "pipeline", *METHODS},
    "serve": {"core", "pages", "config", "search", "bundle", "project", "label"},
    "connect": {"core", "index", "search", "bundle"},
}
ALLOWED["cli"] = set(ALLOWED)
# on the way: what is still to be cut
STILL = {
    "config/sections.py imports shapes",
    "data/importer.py imports shapes",
    "data/task.py imports shapes",
    "serve/labeling_session.py imports data",
    "serve/labeling_session.py imports shapes",
    "shapes/labels/labeling.py imports project",
    "shapes/labels/labeling.py imports stages",
    "shapes/labels/similar.py imports stages",
    "shapes/relations/compile.py imports stages",
    "shapes/relations/explain.py imports project",
    "shapes/relations/explain.py imports stages",
    "shapes/relations/retrieval.py imports stages",
    "stages/stage.py imports project",
    "stages/all.py imports project",
    "stages/training.py imports pipeline",
}


def imported_rooms(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {name.split(".")[1] for name in names if name.startswith("honed.")}


def test_every_room_is_listed() -> None:
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(ALLOWED)


def test_rooms_import_only_what_they_may() -> None:
    wrong = [
        f"{file.relative_to(SOURCE)} imports {other}"
        for room, allowed in ALLOWED.items()
        for file in (SOURCE / room).rglob("*.py")
        for other in imported_rooms(file) - allowed - {room}
    ]
    assert set(wrong) <= STILL


def test_what_serves_names_neither_torch_nor_training() -> None:
    for file in [path for room in ("bundle", "search", "serve", "connect") for path in (SOURCE / room).rglob("*.py")]:
        text = file.read_text(encoding="utf-8")
        assert "import torch" not in text
        assert "sentence_transformers" not in text


def test_importing_honed_and_its_command_line_does_not_import_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, honed, honed.cli.main\n"
        "print([m for m in ('torch', 'transformers', 'sklearn', 'faiss') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_public_names_exist() -> None:
    import honed

    assert sorted(honed.__all__) == ["Encoder", "Hit", "Project", "Searcher", "Store", "__version__", "rule"]
    assert all(hasattr(honed, name) for name in honed.__all__)
