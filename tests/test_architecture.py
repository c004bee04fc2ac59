"""The rules of the house: which room may import which, no circle, sizes, and one place for each kind of thing."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "honed"
METHODS = {"encode", "index", "train", "label", "explain", "evaluate"}
# room -> the other rooms it may import; arrows go up this list only
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "data": {"core"},
    "encode": {"core"},
    "index": {"core"},
    "evaluate": {"core"},
    "label": {"core"},
    "explain": {"core", "encode", "pages"},
    "train": {"core", "encode", "index"},
    "config": {"core", "data", *METHODS},
    "artifacts": {"core", "data", *METHODS},
    "shapes": {"core", "data", "config", "artifacts", *METHODS},
    "bundle": {"core", "encode", "index"},
    "search": {"core", "encode", "index", "bundle"},
    "stages": {"core", "data", "config", "artifacts", "shapes", "bundle", "search", *METHODS},
    "pipeline": {"core", "data", "config", "artifacts", "shapes", "stages", "encode"},
    "project": {
        "core", "data", "config", "artifacts", "shapes", "bundle", "search", "stages", "pipeline", "feedback",
        *METHODS,
    },
    "match": {"core", "data", "index", "search"},
    "feedback": {"core", "data"},
    "serve": {"core", "config", "search", "match", "bundle", "project", "explain", "label", "shapes", "data", "pages"},
    "connect": {"core", "index", "search", "bundle", "serve"},
    "pages": {"core"},
    "api": {
        "core", "data", "config", "artifacts", "shapes", "bundle", "search", "stages", "pipeline", "project", "connect",
        "match", "feedback",
        *METHODS,
    },
}  # fmt: skip
ALLOWED["cli"] = set(ALLOWED)
# the pages that change a project may know it; the server of a bundle may not
PAGES = ("label", "explain")
WITHOUT_TORCH = ("bundle", "search", "match", "serve", "connect")
MOST_LINES, MOST_FUNCTION, MOST_PARAMETERS, MOST_ANY = 350, 50, 6, 12


def module_name(file: Path) -> str:
    name = ".".join(("honed", *file.relative_to(SOURCE).with_suffix("").parts))
    return name.removesuffix(".__init__")


@cache
def modules() -> dict[str, ast.Module]:
    return {module_name(file): ast.parse(file.read_text(encoding="utf-8")) for file in sorted(SOURCE.rglob("*.py"))}


def imported(tree: ast.Module) -> Iterator[str]:
    """The modules of honed that a module names: imports wherever they stand, and strings such as "honed.a.b:C"."""
    known = modules()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value.partition(":")[0]
            if re.fullmatch(r"honed(\.\w+)+", name) and name in known and not is_package(name):
                yield name


def is_package(name: str) -> bool:
    return (SOURCE.parent / Path(*name.split(".")) / "__init__.py").is_file()


@cache
def graph() -> dict[str, set[str]]:
    return {
        name: {other for other in imported(tree) if other in modules() and other != name}
        for name, tree in modules().items()
    }


def room(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef, bool]]:
    """Each function with its module's name, and whether it is a method."""
    for name, tree in modules().items():
        methods = {id(item) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for item in node.body}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield name, node, id(node) in methods


def test_every_room_is_listed() -> None:
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(ALLOWED)


def test_rooms_import_only_what_they_may() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, others in graph().items()
        for other in others
        if room(name) in ALLOWED and room(other) and room(other) not in ALLOWED[room(name)] | {room(name)}
    ]
    assert wrong == []


def test_there_is_no_circle() -> None:
    try:
        list(TopologicalSorter(graph()).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_shape_of_the_data_is_asked_for_in_shapes_alone() -> None:
    asked = re.compile(r"\bshape\s*(==|!=|in\b|not in\b)|\.shape\s*==\s*[\"']|is_retrieval|judgments is")
    wrong = [
        f"{file.relative_to(SOURCE)}: {line.strip()}"
        for file in SOURCE.rglob("*.py")
        if file.relative_to(SOURCE).parts[0] != "shapes"
        for line in file.read_text(encoding="utf-8").splitlines()
        if asked.search(line) and "for shape in" not in line and "vectors" not in line and "array" not in line
    ]
    assert [line for line in wrong if re.search(r"[\"'](aliases|labels|judgments|relations)[\"']", line)] == []
    assert not any("is_retrieval" in line or "judgments is" in line for line in wrong)


def test_what_serves_imports_no_torch_even_lazily() -> None:
    heavy = {"torch", "transformers", "sentence_transformers"}
    for name, tree in modules().items():
        if room(name) in WITHOUT_TORCH:
            for node in ast.walk(tree):
                names = [node.module] if isinstance(node, ast.ImportFrom) else []
                names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                assert not heavy & {(found or "").split(".")[0] for found in names}, name


def test_importing_honed_and_its_command_line_does_not_import_torch() -> None:
    code = (
        "import sys, honed, honed.cli.main\n"
        "print([m for m in ('torch', 'transformers', 'sklearn', 'faiss') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_files_are_short() -> None:
    sizes = {
        str(file.relative_to(SOURCE)): len(file.read_text(encoding="utf-8").splitlines())
        for file in SOURCE.rglob("*.py")
    }
    assert {name: size for name, size in sizes.items() if size > MOST_LINES} == {}


def test_functions_are_short() -> None:
    sizes = [((node.end_lineno or 0) - node.lineno + 1, f"{name}.{node.name}") for name, node, _ in functions()]
    assert [found for found in sizes if found[0] > MOST_FUNCTION] == []
    lengths = sorted(size for size, _ in sizes)
    assert lengths[len(lengths) // 2] < 10
    assert lengths[len(lengths) * 9 // 10] < 25


def test_functions_have_few_parameters() -> None:
    """But for keyword-only ones of public functions, and commands, whose parameters are options."""
    wrong = []
    for name, node, method in functions():
        if room(name) == "cli":
            continue
        counted = [*node.args.posonlyargs, *node.args.args]
        if node.name.startswith("_") and node.name != "__init__":
            counted += node.args.kwonlyargs
        if len(counted) - method > MOST_PARAMETERS:
            wrong.append(f"{name}.{node.name}: {len(counted) - method}")
    assert wrong == []


def test_any_is_rare() -> None:
    texts = [file.read_text(encoding="utf-8") for file in SOURCE.rglob("*.py")]
    lines = sum(len(text.splitlines()) for text in texts)
    found = sum(len(re.findall(r"\bAny\b", text)) for text in texts)
    assert 1000 * found / lines <= MOST_ANY


def test_public_names_exist() -> None:
    import honed

    assert sorted(honed.__all__) == [
        "Encoder", "Hit", "Project", "Searcher", "Store", "__version__", "match_table", "rule",
    ]  # fmt: skip
    assert all(hasattr(honed, name) for name in honed.__all__)
