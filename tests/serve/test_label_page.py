"""The label page: by its interface, and in a real browser."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from honed.label.lists import read_lists
from honed.label.store import LabelStore
from tests.browser import Page, browser, needs_browser
from tests.conftest import ROOT
from tests.shipped import Server, running

__all__ = ["browser"]  # a fixture


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The example's project with the tiny model, labelled once; not to be changed."""
    from honed import Project

    folder = Path(shutil.copytree(ROOT / "examples" / "news", tmp_path_factory.mktemp("news") / "p"))
    shutil.rmtree(folder / "work", ignore_errors=True)
    config = (folder / "honed.toml").read_text().replace('base = "minilm"', f'base = "{tiny_model.as_posix()}"')
    (folder / "honed.toml").write_text(config)
    Project(folder).run(until="label")
    return folder


@pytest.fixture
def project(labelled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(labelled, tmp_path / "p"))


def served(project: Path) -> Iterator[Server]:
    command = ("label", "--serve", "--port", "0", "--who", "anna", "--project", str(project))
    yield from running(Server(project, log=project.parent / "log", command=command), ready=False)


@pytest.fixture
def server(project: Path) -> Iterator[Server]:
    yield from served(project)


@pytest.fixture(scope="module")
def calm_project(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(labelled, tmp_path_factory.mktemp("calm") / "p"))


@pytest.fixture(scope="module")
def calm(calm_project: Path) -> Iterator[Server]:
    """A server for tests that change nothing."""
    yield from served(calm_project)


@pytest.fixture
def opened(browser: Any, server: Server) -> Iterator[Page]:
    found = Page(browser, server.port)
    yield found
    found.context.close()
    assert found.wrong == []


def test_a_label_is_on_disk_with_who_when_and_why_and_survives_a_kill(server: Server, project: Path) -> None:
    record = server.ask("POST", "/v1/records", {"order": "next"})[1][0]
    status, found, _ = server.ask("POST", "/v1/label", {"id": record["id"], "label": "Kitchen", "why": "it simmers"})
    assert (status, found["label"]) == (200, "Kitchen")
    server.process.kill()  # at once
    server.process.wait()
    (kept,) = LabelStore(project / "labels.jsonl").read()
    assert (kept.id, kept.label, kept.who, kept.why) == (record["id"], "Kitchen", "anna", "it simmers")
    assert kept.at


def test_a_term_changes_coverage_at_once_and_is_on_disk(server: Server, project: Path) -> None:
    before = server.ask("GET", "/v1/state")[1]
    assert all(rule["rule"] != "Harbour (label page)" for rule in before["rules"])
    seen = server.ask("GET", "/v1/terms/preview?label=Harbour&term=silt")[1]
    after = server.ask("POST", "/v1/terms", {"label": "Harbour", "term": "silt"})[1]
    rule = next(line for line in after["rules"] if line["rule"] == "Harbour (label page)")
    assert rule["records"] == seen["records"] > 0
    assert read_lists(project / "terms.toml")[0].words == ("silt",)
    gone = server.ask("POST", "/v1/terms", {"label": "Harbour", "term": "Silt", "remove": True})[1]
    assert all(rule["rule"] != "Harbour (label page)" for rule in gone["rules"])
    assert read_lists(project / "terms.toml") == []


def test_files_that_were_edited_are_read_again_and_broken_ones_change_nothing(server: Server, project: Path) -> None:
    def covered(state: dict[str, Any], rule: str) -> int:
        return next((line["records"] for line in state["rules"] if line["rule"] == rule), -1)

    before = server.ask("GET", "/v1/state")[1]
    text = (project / "lists.toml").read_text()
    (project / "lists.toml").write_text(text.replace('words = ["quay",', 'words = ["the",'))
    after = server.ask("POST", "/v1/reload", {})[1]
    assert covered(after, "sea words") > covered(before, "sea words") > 0
    rules = (project / "rules.py").read_text()
    (project / "rules.py").write_text(rules + "\n\ndef lf_new(row):\n    return 1 / 0\n")
    status, found, _ = server.ask("POST", "/v1/reload", {})
    assert (status, found["error"]["code"]) == (422, "E_LF_RAISED")
    assert covered(server.ask("GET", "/v1/state")[1], "sea words") == covered(after, "sea words")
    (project / "rules.py").write_text(rules + "\n\ndef lf_new(row):\n    return 'Kitchen'\n")
    assert covered(server.ask("POST", "/v1/reload", {})[1], "lf_new") == 228


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/label", {"id": "no such", "label": "Kitchen"}, 422, "E_ID_UNKNOWN"),
        ("/v1/label", {"id": "r000", "label": "Kitchn"}, 422, "E_LABEL_UNKNOWN"),
        ("/v1/label", {"id": 7, "label": "Kitchen"}, 422, "E_TYPE"),
        ("/v1/label", {"id": "r000", "label": "Kitchen", "why": "x" * 501}, 422, "E_TOO_LONG"),
        ("/v1/label", [], 422, "E_TYPE"),
        ("/v1/label", b"{", 400, "E_JSON"),
        ("/v1/terms", {"label": "Kitchen", "term": "(", "pattern": True}, 422, "E_LIST_PATTERN"),
        ("/v1/terms", {"label": "Kitchen", "term": " "}, 422, "E_TYPE"),
        ("/v1/records", {"order": "neext"}, 422, "E_OPTION"),
        ("/v1/records", {"n": "x"}, 422, "E_TYPE"),
        ("/v1/records", {"skip": "r000"}, 422, "E_TYPE"),
        ("/v1/label", {"id": "r000", "label": "Kitchen", "why": "\ud800"}, 422, "E_ENCODING"),
    ],
)
def test_a_wrong_request_is_refused_and_nothing_is_kept(
    calm: Server, calm_project: Path, path: str, body: Any, status: int, code: str
) -> None:
    found = calm.ask("POST", path, body)
    assert (found[0], found[1]["error"]["code"]) == (status, code)
    assert not (calm_project / "labels.jsonl").exists()
    assert not (calm_project / "terms.toml").exists()


def test_other_origins_and_hosts_are_refused(calm: Server) -> None:
    body = {"id": "r000", "label": "Kitchen"}
    assert calm.ask("POST", "/v1/label", body, {"Origin": "http://elsewhere"})[0] == 403
    assert calm.ask("GET", "/v1/state", None, {"Host": "elsewhere"})[0] == 421
    assert calm.ask("POST", "/v1/label", json.dumps(body).encode(), {"Content-Type": "text/plain"})[0] == 415


def test_records_of_test_are_shown_to_measure_with_alone_and_without_a_guess(server: Server, project: Path) -> None:
    import csv

    with (project / "news.csv").open(newline="") as file:
        test = {row["id"] for row in csv.DictReader(file) if row["split"] == "test"}
    shown: list[str] = []
    while found := server.ask("POST", "/v1/records", {"order": "all", "n": "20", "skip": shown})[1]:
        shown += [record["id"] for record in found]
    assert len(shown) == 228 - len(test)
    assert not set(shown) & test
    assert server.ask("POST", "/v1/records", {"order": "measure"})[1] == []  # all of them have a label
    server.ask("POST", "/v1/label", {"id": min(test), "label": ""})
    (found,) = server.ask("POST", "/v1/records", {"order": "measure"})[1]
    assert (found["id"], found["likeliest"], found["confidence"], found["votes"]) == (min(test), "", None, {})
    assert all(field["spans"] == [] for field in found["fields"].values())


def test_terms_that_come_at_once_are_all_kept_and_lists_of_people_stay(server: Server, project: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    server.process.kill()
    server.process.wait()
    (project / "terms.toml").write_text(
        '[[list]]\nlabel = "Kitchen"\nwords = ["ladle"]\n[[list]]\nname = "Harbour (label page)"\nlabel = "Harbour"\n'
        'words = ["silt"]\nfields = ["title"]\nat_least = 2\n'
    )
    again = Server(
        project, log=project.parent / "log3", command=("label", "--serve", "--port", "0", "--project", str(project))
    )
    try:
        terms = [f"term{number}" for number in range(8)]
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(again.ask, "POST", "/v1/terms", {"label": "Railway", "term": term}) for term in terms]
            assert all(answer.result()[0] == 200 for answer in asked)
        for pattern in (r"\D+x", r"\d+x"):
            again.ask("POST", "/v1/terms", {"label": "Railway", "term": pattern, "pattern": True})
    finally:
        again.process.kill()
        again.process.wait()
    found = {terms.name: terms for terms in read_lists(project / "terms.toml")}
    assert set(found["Railway (label page)"].words) == set(terms)
    assert set(found["Railway (label page)"].patterns) == {r"\D+x", r"\d+x"}
    assert found["Kitchen terms 1"].words == ("ladle",)
    assert (found["Harbour (label page)"].fields, found["Harbour (label page)"].at_least) == (("title",), 2)


def test_many_skipped_records_with_long_ids_are_no_hindrance(calm: Server) -> None:
    skip = ["x" * 64 + str(number) for number in range(500)]
    assert calm.ask("POST", "/v1/records", {"order": "next", "skip": skip})[0] == 200


def test_a_label_of_the_data_can_be_taken_back_for_good(server: Server, project: Path) -> None:
    from honed import Project

    found = server.ask("POST", "/v1/records", {"order": "labelled"})[1][0]
    taken = server.ask("POST", "/v1/label", {"id": found["id"], "label": ""})[1]
    assert (taken["label"], taken["before"]) == ("", found["label"])
    server.process.kill()
    server.process.wait()
    assert Project(project).run(until="label")["label"].read_json("label.json")["hand"]["train"] < 56


def test_an_address_that_others_can_reach_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from honed.cli.main import run_command

    assert run_command(["label", "--serve", "--host", "0.0.0.0", "--project", str(project)]) == 2
    assert "E_CONFIG_UNSAFE" in capsys.readouterr().err


# -- in a browser -------------------------------------------------------------------------------------


def until(page: Any, expression: str, argument: Any = None, seconds: float = 20) -> None:
    """Wait until an expression holds; the page's policy forbids the browser's own waiting."""
    end = time.monotonic() + seconds
    while not page.evaluate(f"argument => {expression}", argument):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(30)


def first_text(page: Any) -> str:
    until(page, "document.getElementById('record-text').textContent !== ''")
    return str(page.inner_text("#record-text"))


@needs_browser
def test_labels_are_given_by_keyboard_and_taken_back(opened: Page, project: Path) -> None:
    page = opened.open()
    before = first_text(page)
    page.keyboard.press("2")
    until(page, "document.getElementById('record-text').textContent !== argument", before)
    until(page, "document.getElementById('summary').textContent.startsWith('57 hand labels')")
    (kept,) = LabelStore(project / "labels.jsonl").latest().values()
    assert (kept.label, kept.who) == ("Kitchen", "anna")
    page.keyboard.press("u")
    until(page, "document.getElementById('record-text').textContent === argument", before)
    until(page, "document.getElementById('summary').textContent.startsWith('56 hand labels')")
    assert [label.label for label in LabelStore(project / "labels.jsonl").latest().values()] == [""]


@needs_browser
def test_fast_keys_label_one_record_each_and_u_gives_the_earlier_label_back(opened: Page, project: Path) -> None:
    page = opened.open()
    first_text(page)
    page.keyboard.type("123")
    until(page, "document.getElementById('summary').textContent.startsWith('57 hand labels')")
    lines = LabelStore(project / "labels.jsonl").read()
    assert len({label.id for label in lines}) == len(lines)  # what came while the first was on its way is not taken
    page.select_option("#order", "labelled")
    until(page, "document.getElementById('guess').textContent.startsWith('labelled')")
    before = page.inner_text("#choose button[aria-pressed=true]")
    page.keyboard.press("4")
    page.wait_for_timeout(300)
    page.keyboard.press("u")
    page.wait_for_timeout(300)
    last = LabelStore(project / "labels.jsonl").read()[-1]
    assert before.endswith(last.label)
    assert last.label


@needs_browser
def test_a_selected_span_goes_on_a_list_and_is_marked(opened: Page, project: Path) -> None:
    page = opened.open()
    text = first_text(page)
    word = max((part for part in text.split() if part.isalpha()), key=len)
    page.evaluate(
        """word => {
            const walker = document.createTreeWalker(document.getElementById('record-text'), NodeFilter.SHOW_TEXT);
            for (let node = walker.nextNode(); node; node = walker.nextNode()) {
                const start = node.textContent.indexOf(word);
                if (start < 0) continue;
                const range = document.createRange();
                range.setStart(node, start); range.setEnd(node, start + word.length);
                getSelection().removeAllRanges(); getSelection().addRange(range);
                return;
            }
        }""",
        word,
    )
    page.wait_for_selector("#selection:not([hidden])")
    assert page.inner_text("#span") == word
    page.click("#span-classes button >> text=Mountain")
    page.wait_for_selector("#lists summary >> text=/Mountain .label page./")
    assert read_lists(project / "terms.toml")[0].words == (word,)
    page.wait_for_selector(f"#record-text mark >> text={word}")
    page.click(f".terms button >> text={word}")
    page.wait_for_selector("#lists summary >> text=/Mountain .label page./", state="detached")


@needs_browser
def test_the_matrix_follows_and_a_term_is_previewed_before_it_is_added(opened: Page) -> None:
    page = opened.open()
    first_text(page)
    cells = page.locator("#matrix td:not(:first-child)").all_inner_texts()
    assert sum(map(int, cells)) == 56
    page.select_option("#term-class", "Kitchen")
    page.fill("#term", "herbs")
    until(page, "/records, .* new/.test(document.getElementById('preview').textContent)")
    for _ in range(3):
        before = first_text(page)
        page.click("#choose button >> text=Harbour")
        until(page, "document.getElementById('record-text').textContent !== argument", before)
    until(page, "document.getElementById('summary').textContent.startsWith('59 hand labels')")
    page.wait_for_selector("#learning", state="hidden", timeout=30_000)
    cells = page.locator("#matrix td:not(:first-child)").all_inner_texts()
    assert sum(map(int, cells)) == 59


@needs_browser
def test_suggested_terms_can_be_accepted(opened: Page) -> None:
    page = opened.open()
    first_text(page)
    page.click("#suggest")
    page.wait_for_selector("#suggestions li")
    offered = page.locator("#suggestions li").count()
    assert offered > 1
    page.locator("#suggestions button >> text=accept").first.click()
    until(page, "document.querySelectorAll('#suggestions li').length === argument", offered - 1)
    assert page.locator("#lists .terms button").count() == 1


@needs_browser
def test_markup_in_a_record_stays_text_and_a_phone_is_wide_enough(browser: Any, project: Path, tmp_path: Path) -> None:
    rows = (project / "news.csv").read_text().splitlines()
    rows[1] = 'r000,<img src=x onerror=alert(1)>,"<b>bold</b> train &amp; more",,train'
    (project / "news.csv").write_text("\n".join(rows) + "\n")
    command = ("label", "--serve", "--port", "0", "--project", str(project))
    server = Server(project, log=tmp_path / "log2", command=command)
    try:
        found = Page(browser, server.port, viewport={"width": 360, "height": 700})
        page = found.open()
        page.select_option("#order", "all")
        until(page, "document.getElementById('record-title').textContent.startsWith('<img')")
        assert page.inner_text("#record-text") == "<b>bold</b> train &amp; more"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        found.context.close()
        assert found.wrong == []
    finally:
        server.process.kill()
        server.process.wait()
