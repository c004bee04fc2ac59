"""Explanations on the command line, as a file, as a picture, by the interface and in a real browser."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from honed import Project
from honed.cli.main import run_command
from honed.explain.page import static_page
from tests.browser import Page, browser, needs_browser
from tests.conftest import ROOT
from tests.shipped import Server, running

__all__ = ["browser"]  # a fixture
TEXTS = ("Cancel the ferry", "Reserve <b>the ferry</b> & go")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The example's project with the tiny model, trained for one epoch; not to be changed."""
    source = ROOT / "examples" / "intents"
    folder = Path(
        shutil.copytree(source, tmp_path_factory.mktemp("intents") / "p", ignore=shutil.ignore_patterns("work"))
    )
    config = (folder / "honed.toml").read_text().replace('base = "minilm"', f'base = "{tiny_model.as_posix()}"')
    config = config.replace("epochs = 10", "epochs = 3\nlearning_rate = 1e-3\nevaluations = 1")
    config = config.replace("learning_rate = 2e-5\n", "").replace("[explain]", "[explain]\nsteps = 4")
    (folder / "honed.toml").write_text(config)
    Project(folder).run(until="train")
    return folder


def test_both_models_side_by_side_on_the_command_line(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, picture = tmp_path / "why.html", tmp_path / "why.png"
    command = ["--quiet", "explain", *TEXTS, "--project", str(project)]
    assert run_command([*command, "--html", str(page), "--png", str(picture)]) == 0
    said = capsys.readouterr().out
    assert "base model: cosine" in said
    assert "fine-tuned: cosine" in said
    assert "strongest pairs" in said
    assert "<b>the ferry</b>" not in page.read_text()  # only within the data, where < is escaped
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run_command([*command, "--model", "base model", "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert model["texts"][1]["text"] == TEXTS[1]


def test_before_any_training_there_is_the_base_model(project: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("honed.toml", "sentences.csv", "utterances.csv"):
        shutil.copy(project / name, bare)
    assert [model.name for model in Project(bare).explain("a", "b").models] == ["base model"]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (["one text"], "give two texts"),
        (["a", "b", "--model", "best"], "no model 'best'"),
        (["a", "  "], "reads no word"),
        (["a", "b", "--serve"], "typed into the page"),
    ],
)
def test_what_cannot_be_explained_is_said(
    project: Path, given: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["--quiet", "explain", *given, "--project", str(project)]) == 2
    assert code in capsys.readouterr().err


@pytest.fixture(scope="module")
def server(project: Path) -> Iterator[Server]:
    command = ("explain", "--serve", "--port", "0", "--project", str(project))
    yield from running(Server(project, log=project.parent / "log", command=command), ready=False)


def test_the_interface_explains_and_refuses(server: Server) -> None:
    status, found = server.ask("POST", "/v1/explain", {"first": TEXTS[0], "second": TEXTS[1]})[:2]
    assert status == 200
    assert [model["name"] for model in found["models"]] == ["base model", "fine-tuned"]
    for body, code in (
        ({"first": "a"}, "E_TYPE"),
        ({"first": 3, "second": "b"}, "E_TYPE"),
        ({"first": "a" * 3000, "second": "b"}, "E_TOO_LONG"),
        ({"first": "a", "second": "\u200b"}, "E_TEXT_EMPTY"),
        ({"first": "a", "second": "b", "model": "x"}, "E_OPTION"),
    ):
        status, found = server.ask("POST", "/v1/explain", body)[:2]
        assert (status, found["error"]["code"]) == (422, code)


@needs_browser
def test_two_texts_are_typed_and_seen_side_by_side(server: Server, browser: Any) -> None:
    shown = Page(browser, server.port)
    page = shown.open()
    page.fill("#first", TEXTS[0])
    page.fill("#second", TEXTS[1])
    page.click("#go")
    page.wait_for_selector("#models.two article:nth-child(2) table.heat")
    assert page.locator("article").count() == 2
    assert page.locator("article").first.locator("p.words").nth(1).inner_text() == TEXTS[1]
    page.locator("article").first.locator(".word").first.click()
    assert page.locator("article").first.locator(".word.near").count() == 1
    page.locator("article summary", has_text="Attention").first.click()
    cells = page.locator("article").first.locator("details table.heat td[title]")
    titles = "found => found.map(cell => cell.title).join()"
    before = cells.evaluate_all(titles)
    page.locator("article select[aria-label='Layer']").first.select_option("0")
    assert cells.evaluate_all(titles) != before
    for button, start in (("#page", b"<!doctype html>"), ("#picture", b"\x89PNG")):
        with page.expect_download() as download:
            page.click(button)
        assert Path(download.value.path()).read_bytes().startswith(start)
    page.click("#swap")
    page.wait_for_selector("#go:enabled")
    page.wait_for_selector("article p.words[data-side='0'] >> text=Reserve")
    page.fill("#second", "   ")
    page.click("#go")
    page.wait_for_selector("#fault:not([hidden])")
    assert "second" in page.inner_text("#fault")
    assert shown.wrong in ([], [line for line in shown.wrong if "422" in line])


@needs_browser
def test_the_file_needs_nothing_but_itself(project: Path, tmp_path: Path, browser: Any) -> None:
    opened = Project(project)
    file = tmp_path / "why.html"
    file.write_text(static_page(opened.explain(*TEXTS)), encoding="utf-8")
    context = browser.new_context(offline=True)
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request", lambda request: wrong.append(request.url) if not request.url.startswith(("file:", "data:")) else None
    )
    page.goto(file.as_uri())
    page.wait_for_selector("#shifts .shift")
    assert page.locator("article").count() == 2
    assert page.locator("#ask").is_hidden()
    assert wrong == []
    context.close()
