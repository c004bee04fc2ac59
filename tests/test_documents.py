"""README, examples and notebook do what they say."""

import ast
import csv
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from honed import Project, Searcher, Store
from honed.cli.main import run_command
from honed.config.config import SECTIONS
from honed.core.optional import PARTS
from honed.label.config import LabelConfig
from honed.label.lists import check_lists, read_lists
from honed.pipeline.honed_toml import read_config
from honed.shapes.registry import all_shapes
from tests.conftest import ROOT
from tests.shipped import Server

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs_from_top_to_bottom(file: Path) -> None:
    import warnings

    import nbformat

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the kernel's own libraries
        from nbclient import NotebookClient

        notebook = nbformat.read(file, as_version=4)
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT / "examples")}}).execute()
    shown = [
        output.get("data", {}).get("text/html", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "execute_result"
    ]
    assert any("fine-tuned" in html and "base model" in html for html in shown)


def test_the_committed_notebooks_hold_no_outputs() -> None:
    import nbformat

    for file in NOTEBOOKS:
        notebook = nbformat.read(file, as_version=4)
        assert all(not cell.get("outputs") for cell in notebook.cells)


def blocks(document: str, language: str) -> list[str]:
    """The code blocks of a document, by their language."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_commands_of_the_readme_work(
    tmp_path: Path, institutions: list[dict[str, str]], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its commands, in an empty folder with a table of that name (tiny model, to be quick)."""
    write_institutions(tmp_path, institutions)
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks("README.md", "console") for line in block.splitlines() if "$ honed" in line]
    assert [line.split()[2] for line in lines] == ["init", "run", "search", "export", "search", "serve"]
    for line in lines:
        words = line.split("#")[0].removeprefix("$ honed").replace('"', "").split()
        if words[0] == "serve":
            server = Server(tmp_path / words[1], log=tmp_path / "log")
            assert server.ask("GET", "/v1/search?query=UdeG")[0] == 200
            assert server.stop() == 0
            continue
        if words[0] == "export":
            words += ["--most-flips", "1"]  # the nearest neighbours of a random model are a matter of chance
        code = run_command(["--quiet", *words])
        assert code in ((0, 1) if words[0] == "run" else (0,)), line  # a random tiny model may fail the gate
        if words[0] == "init":
            text = Path("honed.toml").read_text().replace('"minilm"', f'"{tiny_model}"')
            Path("honed.toml").write_text(text)


def write_institutions(folder: Path, institutions: list[dict[str, str]]) -> None:
    with (folder / "institutions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(institutions[0]))
        writer.writeheader()
        writer.writerows(institutions[:800])


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 100


def judged(count: int = 40) -> dict[str, list[tuple[str, ...]]]:
    """Documents, queries and judgments, enough for a split."""
    numbers = [str(number) for number in range(count)]
    return {
        "documents": [(f"d{number}", f"The thing of number {number}") for number in numbers],
        "queries": [(f"q{number}", f"thing {number}") for number in numbers],
        "judgments": [(f"q{number}", f"d{number}", "1") for number in numbers],
    }


def test_the_python_of_the_readme_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (code,) = blocks("README.md", "python")
    found: dict[str, Any] = dict(judged())
    exec(code, found)
    shapes = [found[name].config.data.shape for name in ("names", "texts", "sentences", "search")]
    assert shapes == ["aliases", "labels", "relations", "judgments"]
    assert found["search"].check().books.accepted == 40


def test_the_python_of_the_first_page_works(
    tmp_path: Path, institutions: list[dict[str, str]], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_institutions(tmp_path, institutions)
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("docs/getting-started.md", "python")
    quick = f', settings={{"model.base": {str(tiny_model)!r}, "train.epochs": 1, "gate": None}})'
    exec(code.replace('folder="schools")', f'folder="schools"{quick}'), {})
    assert (tmp_path / "bundle" / "manifest.json").is_file()


def is_here(module: str) -> bool:
    """Whether a module can be imported: those of other frameworks, and what honed has for them, may not be."""
    needed = {f"honed.connect.{name.replace('-', '_')}": top for top, name in PARTS.values()}.get(module, module)
    return find_spec(needed.partition(".")[0]) is not None


@pytest.mark.parametrize("file", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_the_python_of_a_document_calls_what_exists(file: Path) -> None:
    """Names that are imported, methods of projects and searchers, and their arguments."""
    kinds = {"Project": Project, "project": Project, "searcher": Searcher, "Searcher": Searcher, "Store": Store}
    for code in blocks(f"docs/{file.name}", "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and is_here(str(node.module)):
                module = import_module(str(node.module))
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id in kinds:
                    parameters = signature(getattr(kinds[owner.id], node.func.attr)).parameters
                    assert {word.arg for word in node.keywords} <= set(parameters), ast.unparse(node)


@pytest.mark.parametrize("file", ["docs/aliases.md", "docs/judgments.md"])
def test_the_configuration_of_a_guide_is_valid(file: str, tmp_path: Path) -> None:
    (tmp_path / "honed.toml").write_text(blocks(file, "toml")[0])
    read_config(tmp_path / "honed.toml")


@pytest.mark.parametrize(
    "file",
    sorted(path for path in (ROOT / "examples").glob("*/*.toml") if path.name not in ("lists.toml", "terms.toml")),
    ids=lambda path: f"{path.parent.name}-{path.name}",
)
def test_the_configurations_of_the_examples_are_valid(file: Path) -> None:
    config = read_config(file)
    if label := config.section(LabelConfig):
        lists = [terms for name in label.lists for terms in read_lists(file.parent / name)]
        check_lists(lists, config.data.labels, ["id", *config.data.columns])
        assert all((file.parent / name).is_file() for name in label.rules)


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_files_that_a_document_names_are_there(document: str) -> None:
    named = re.findall(r"`((?:\w+/)+\w*(?:\.\w+)?)`", (ROOT / document).read_text(encoding="utf-8"))
    places = (ROOT, ROOT / "src" / "honed")
    assert len(named) > 20
    ignored = ("model/", "index/", "output/", "work/")  # of bundles and results
    missing = [name for name in named if not any((place / name).exists() for place in places)]
    assert [name for name in missing if not name.startswith(ignored)] == []


def test_the_picture_of_the_rooms_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "docs" / "make_map.py"), "--check"]
    assert subprocess.run(command, capture_output=True, text=True).returncode == 0


def test_every_setting_is_documented() -> None:
    from dataclasses import fields

    from honed.core.sections import key_of

    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    of_shapes = {name: kind for shape in all_shapes() for name, kind in shape.sections.items()}
    for name, section in {**SECTIONS, **of_shapes}.items():
        part = re.search(rf"## \[{name}\]\n(.*?)(?=\n## |\Z)", text, re.DOTALL)
        assert part is not None, name
        for each in fields(section):
            assert f"`{key_of(each)}`" in part[1], f"{name}.{key_of(each)}"


def test_the_demo_table_is_what_its_readme_says(institutions: list[dict[str, str]]) -> None:
    text = (ROOT / "examples" / "institutions" / "README.md").read_text(encoding="utf-8")
    labels = {row["label"] for row in institutions}
    assert f"{len(labels):,} universities" in text
    assert f"{len({row['country'] for row in institutions})} countries" in text
    assert f"{len(institutions):,} aliases" in text
    assert len(labels) >= 800
    assert len({row["country"] for row in institutions}) >= 60
    assert {row["label"] for row in institutions if row["alias"] == "UdeG"} == {"University of Guadalajara"}
