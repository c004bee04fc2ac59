"""README, examples and notebook do what they say."""

import re
from pathlib import Path

import pytest

from honed.cli.main import run_command
from honed.config.config import SECTIONS
from honed.label.lists import check_lists, read_lists
from honed.pipeline.honed_toml import read_config
from tests.conftest import ROOT
from tests.shipped import Server


@pytest.mark.timeout(900)
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    import warnings

    import nbformat

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the kernel's own libraries
        from nbclient import NotebookClient

        notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT / "examples")}}).execute()
    printed = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
    assert "fine-tuned" in printed


def test_the_committed_notebook_holds_no_outputs() -> None:
    import nbformat

    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)


def test_the_commands_of_the_readme_work(
    tmp_path: Path, institutions: list[dict[str, str]], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first block of commands, in an empty folder with a table of that name (tiny model, to be quick)."""
    import csv

    with (tmp_path / "institutions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(institutions[0]))
        writer.writeheader()
        writer.writerows(institutions[:800])
    monkeypatch.chdir(tmp_path)
    block = re.search(r"```console\n(\$ honed init.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    for line in block[1].splitlines():
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


def test_the_configuration_of_the_readme_is_valid(tmp_path: Path) -> None:
    found = re.search(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    (tmp_path / "honed.toml").write_text(found[1])
    read_config(tmp_path / "honed.toml")


@pytest.mark.parametrize(
    "file",
    sorted(path for path in (ROOT / "examples").glob("*/*.toml") if path.name not in ("lists.toml", "terms.toml")),
    ids=lambda path: f"{path.parent.name}-{path.name}",
)
def test_the_configurations_of_the_examples_are_valid(file: Path) -> None:
    found = read_config(file)
    if found.label is not None:
        lists = [terms for each in found.label.lists for terms in read_lists(file.parent / each)]
        check_lists(lists, found.data.labels, ["id", *found.data.columns])
        assert all((file.parent / each).is_file() for each in found.label.rules)


def test_every_setting_is_documented() -> None:
    from dataclasses import fields

    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for name, section in SECTIONS.items():
        part = re.search(rf"## \[{name}\]\n(.*?)(?=\n## |\Z)", text, re.DOTALL)
        assert part is not None, name
        for each in fields(section):
            assert f"`{each.name}`" in part[1], f"{name}.{each.name}"


def test_the_demo_table_is_what_its_readme_says(institutions: list[dict[str, str]]) -> None:
    text = (ROOT / "examples" / "institutions" / "README.md").read_text(encoding="utf-8")
    labels = {row["label"] for row in institutions}
    assert f"{len(labels):,} universities" in text
    assert f"{len({row['country'] for row in institutions})} countries" in text
    assert f"{len(institutions):,} aliases" in text
    assert len(labels) >= 800
    assert len({row["country"] for row in institutions}) >= 60
    assert {row["label"] for row in institutions if row["alias"] == "UdeG"} == {"University of Guadalajara"}
