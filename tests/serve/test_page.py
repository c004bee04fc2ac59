"""The page in a real browser: Debian's chromium, or the one that HONED_CHROMIUM names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Page, browser, enter_key, needs_browser
from tests.conftest import ROOT
from tests.shipped import Server

__all__ = ["browser"]  # a fixture
pytestmark = needs_browser


@pytest.fixture
def opened(browser: Any, server: Server, request: pytest.FixtureRequest) -> Iterator[Page]:
    found = Page(browser, server.port, **getattr(request, "param", {}))
    yield found
    found.context.close()
    assert found.wrong == []


def test_results_come_as_one_types_and_keys_lead_to_the_details(opened: Page) -> None:
    page = opened.open()
    page.keyboard.type("university")  # the box has the focus
    page.wait_for_selector("#hits li")
    assert page.locator("#hits li").count() == 10
    assert re.fullmatch(r"10 results in \d+ ms\.", page.inner_text("#state"))
    assert float(page.locator("progress").first.get_attribute("value")) > 0
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.locator("#hits li[aria-selected=true]").get_attribute("id") == "hit-1"
    name = page.locator("#hit-1 .name").inner_text()
    page.keyboard.press("Enter")
    page.wait_for_selector("#entity:not([hidden])")
    assert page.inner_text("#entity h2") == name
    assert page.locator("#entity .aliases button").count() > 0
    page.keyboard.press("Escape")
    assert page.locator("#entity").is_hidden()
    assert page.evaluate("document.activeElement.id") == "query"


def test_the_other_direction_finds_aliases_and_a_link_keeps_the_search(opened: Page) -> None:
    page = opened.open()
    page.fill("#query", "university")
    page.check("input[value=label-to-alias]")
    page.wait_for_selector("#hits li .about")
    assert page.url.endswith("/?query=university&target=aliases")
    first = page.locator("#hits .name").first.inner_text()
    page.reload()
    page.wait_for_selector("#hits li")
    assert page.locator("#hits .name").first.inner_text() == first
    assert page.is_checked("input[value=label-to-alias]")


def test_what_is_shown_and_opened_is_kept_where_the_server_keeps_a_log(
    browser: Any, made: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "ubi.jsonl"
    server = Server(made, "--log", str(kept), log=tmp_path / "log")
    try:
        page = Page(browser, server.port)
        opened = page.open()
        assert opened.locator("#kept").is_hidden()
        opened.keyboard.type("university")
        opened.wait_for_selector("#hits li")
        assert opened.locator("#kept").is_visible()
        opened.click("#hit-2")
        opened.wait_for_selector("#entity:not([hidden])")
        opened.wait_for_timeout(1500)
        assert server.stop() == 0
        assert page.wrong == []
    finally:
        server.process.kill()
        server.process.wait()
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    query = [line for line in lines if "user_query" in line][-1]
    hits = [(hit, rank) for rank, hit in enumerate(query["query_response_hit_ids"], 1)]
    events = [line for line in lines if line.get("query_id") == query["query_id"] and "action_name" in line]
    told = [
        (event["action_name"], event["event_attributes"]["object"]["object_id"], event["event_attributes"]["position"])
        for event in events
    ]
    shown = [("impression", hit, {"ordinal": rank}) for hit, rank in hits]
    assert told == [*shown, ("click", hits[2][0], {"ordinal": 3})]


@pytest.fixture
def judging(browser: Any, whole: Path, tmp_path: Path) -> Iterator[Page]:
    """A page over a bundle with a hybrid and answers."""
    server = Server(whole, log=tmp_path / "log")
    server.wait_ready()
    found = Page(browser, server.port)
    yield found
    found.context.close()
    assert found.wrong == []
    server.stop()


def test_the_page_shows_what_the_api_answers(judging: Page, whole: Path) -> None:
    from honed import Searcher

    searcher = Searcher.load(whole)
    searcher.warm()
    page = judging.open("?query=state+university")
    page.wait_for_selector("#hits li")
    (answer,) = searcher.answer_many(["state university"], 10, explain=True, candidates=True)
    assert page.locator("#hits .name").all_inner_texts() == [hit.text for hit in answer.hits]
    shown = [0.0 if text == "<0.001" else float(text) for text in page.locator("#hits .score").all_inner_texts()]
    assert shown == pytest.approx([hit.score for hit in answer.hits], abs=2e-3)
    assert shown == sorted(shown, reverse=True)
    chances = [float(text.rstrip(" %")) / 100 for text in page.locator("#hits .chance").all_inner_texts()]
    assert chances == pytest.approx([hit.chance for hit in answer.hits], abs=1e-2)
    best = next(iter(answer.hits[0].reasons or {}))
    assert best in page.locator("#hits .parts").first.inner_text()
    assert page.inner_text("#verdict").startswith("Match" if answer.match else "No match")
    assert answer.candidates
    assert f"{len(answer.candidates)} candidate" in page.inner_text("#candidates summary")
    assert "50 %" in page.inner_text("#candidates summary")  # the coverage that was asked for
    page.click("#candidates summary")
    page.locator("#candidates button").first.click()
    page.wait_for_selector("#entity:not([hidden])")
    assert page.inner_text("#entity h2") in {hit.text for hit in answer.candidates}


def test_a_known_name_is_a_match_and_anything_else_may_be_none(judging: Page, whole: Path) -> None:
    from honed import Searcher

    searcher = Searcher.load(whole)
    label = next(text for text in map(searcher.label_text, range(150)) if searcher.answer(text).chance == 1)
    page = judging.open(f"?query={label}")
    page.locator("#verdict.match", has_text="100 %").wait_for()
    assert page.locator("#hits .score").first.inner_text() == "1.000"
    assert page.locator("#hits .parts").first.inner_text().startswith("known name")
    unknown = next(text for text in ("zzzz", "qqq www", "xy", "0000") if not searcher.answer(text).match)
    page.fill("#query", unknown)
    page.locator("#verdict.no-match", has_text="No match").wait_for()


def test_an_address_holds_query_target_and_filters(opened: Page) -> None:
    page = opened.open("?query=university&where=country%3DBrazil&where=country%3DAustria")
    page.wait_for_selector("#hits li")
    assert page.input_value("#query") == "university"
    assert page.inner_text("#filters summary") == "Filters (2)"
    assert [text.rstrip(" ×") for text in page.locator("#conditions button").all_inner_texts()] == [
        "country=Brazil",
        "country=Austria",
    ]
    names = page.locator("#hits .name").all_inner_texts()
    page.locator("#conditions button").first.click()
    page.wait_for_function("document.querySelectorAll('#conditions li').length === 1")
    assert page.url.endswith("/?query=university&where=country%3DAustria")
    page.go_back()
    page.wait_for_function(
        "names => [...document.querySelectorAll('#hits .name')].map((name) => name.textContent).join() === names",
        arg=",".join(names),
    )
    assert page.locator("#conditions button").count() == 2
    page = opened.open("?query=a&where=no+such+field%3D1")
    page.locator("#state", has_text="no field").wait_for()
    opened.wrong = [line for line in opened.wrong if "422" not in line]  # the browser's own note of the refusal


def test_an_older_address_is_understood(opened: Page) -> None:
    page = opened.open("#/?q=university&to=aliases")
    page.wait_for_selector("#hits li")
    assert page.url.endswith("/?query=university&target=aliases")


def test_facets_narrow_a_search(opened: Page, made: Path) -> None:
    from honed import Searcher

    searcher = Searcher.load(made)
    page = opened.open("?query=university")
    page.wait_for_selector("#filters:not([hidden])")
    page.click("#filters summary")
    box = page.locator('#fields input[data-condition^="country="]').nth(1)
    country = box.get_attribute("data-condition").removeprefix("country=")
    box.check()
    wanted = [hit.text for hit in searcher.search("university", 10, where={"country": country})]
    page.wait_for_function("n => document.querySelectorAll('#hits li').length === n", arg=len(wanted))
    page.wait_for_function("name => document.querySelector('#hits .name').textContent === name", arg=wanted[0])
    assert page.locator("#hits .name").all_inner_texts() == wanted
    assert f"where=country%3D{country}" in page.url
    box.uncheck()
    page.locator("#conditions").wait_for(state="hidden")
    assert page.url.endswith("/?query=university")


def test_an_example_is_searched_with_a_click(opened: Page) -> None:
    page = opened.open()
    page.wait_for_selector("#examples button")
    example = page.locator("#examples button").first.inner_text()
    page.locator("#examples button").first.click()
    page.wait_for_selector("#hits li")
    assert page.input_value("#query") == example
    assert page.locator("#examples").is_hidden()
    assert example in page.locator("#hits li").first.inner_text()
    page.go_back()
    page.wait_for_selector("#examples button")
    assert page.input_value("#query") == ""


def test_the_matched_string_is_marked(opened: Page, made: Path) -> None:
    from honed import Searcher

    names = Searcher.load(made).names
    alias = next(alias for row in range(150) for alias in names.aliases(row) if len(alias) > 2)
    page = opened.open()
    page.fill("#query", alias)
    page.wait_for_selector("#hits mark")
    assert page.locator("#hits mark").first.inner_text() == alias


def test_markup_in_a_query_stays_text(opened: Page) -> None:
    page = opened.open()
    page.fill("#query", "<img src=x onerror=alert(1)>")
    page.wait_for_selector("#hits li")
    assert page.locator("#hits img").count() == 0


def test_an_empty_box_shows_help_and_a_refusal_its_reason(opened: Page) -> None:
    page = opened.open()
    page.fill("#query", "x")
    page.wait_for_selector("#hits li")
    page.fill("#query", "")
    page.locator("#hits li").first.wait_for(state="detached")
    assert "Results come as you type" in page.inner_text("#state")
    page.fill("#query", "x" * 3000)
    page.locator("#state", has_text="max_chars").wait_for()
    opened.wrong = [line for line in opened.wrong if "413" not in line]  # the browser's own note of the refusal


def test_report_and_about_show_what_was_measured(opened: Page) -> None:
    page = opened.open("#/report")
    frame = page.frame_locator("#report-frame")
    frame.locator("h1").wait_for()
    assert frame.locator("svg").count() >= 1
    assert "held-out" in frame.locator("body").inner_text()
    page.click("nav a[data-page=about]")
    page.wait_for_selector("#facts dd")
    assert "onnxruntime" in page.inner_text("#facts")
    assert "fine-tuned" in page.inner_text("#measures")
    assert '"format": "honed-bundle"' in page.text_content("#manifest")


@pytest.mark.parametrize("opened", [{"viewport": {"width": 360, "height": 720}}], indirect=True)
def test_a_phone_is_wide_enough(opened: Page) -> None:
    for path in ("?query=university", "#/about", "#/report"):
        page = opened.open(path)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


@pytest.mark.parametrize("opened", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_text_stands_out_in_light_and_dark(opened: Page) -> None:
    page = opened.open("?query=university")
    page.wait_for_selector("#hits li")
    script = """selector => { const parse = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number).map(v => v / 255)
        .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
      const light = ([r, g, b]) => .2126 * r + .7152 * g + .0722 * b;
      const a = light(parse(getComputedStyle(document.querySelector(selector)).color));
      const b = light(parse(getComputedStyle(document.body).backgroundColor));
      return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); }"""
    for selector in (".name", ".score", ".about", "#state", "nav a[aria-current]"):
        assert page.evaluate(script, selector) >= 4.5, selector


def test_a_key_is_asked_for_once(browser: Any, made: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret")
    server = Server(made, "--api-key-file", str(tmp_path / "key"), log=tmp_path / "log")
    opened = Page(browser, server.port)
    page = opened.open()
    enter_key(page, "s3cret")
    page.wait_for_selector("#key-dialog", state="hidden")
    page.fill("#query", "university")
    page.wait_for_selector("#hits li")
    opened.context.close()
    assert server.stop() == 0


def test_the_picture_in_the_docs_is_there() -> None:
    picture = ROOT / "docs" / "page.png"
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert "page.png" in (ROOT / "README.md").read_text(encoding="utf-8")
