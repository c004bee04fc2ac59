"""The review page of a table: by its interface, and in a real browser."""

import csv
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from honed import Searcher
from honed.match.reviews import review_journal, settled
from tests.browser import Page, browser, enter_key, needs_browser
from tests.shipped import Server, running

__all__ = ["browser"]  # a fixture
Serve = Callable[..., Server]
Truth = dict[str, str]


@pytest.fixture(scope="module")
def searcher(whole: Path) -> Searcher:
    return Searcher.load(whole)


@pytest.fixture
def table(tmp_path: Path, searcher: Searcher, institutions: list[dict[str, str]]) -> Path:
    """Aliases with slips, and names of nobody, so that there is something to review."""
    known = {searcher.names.entity(row)[0] for row in range(searcher.names.n_entities)}
    inside = {f"{row['alias'][:-1]} x": row for row in institutions if row["id"] in known}
    rows = [[name, row["country"], row["id"]] for name, row in list(inside.items())[:90]]
    rows += [[f"Bakery of the Moon {number}", "Moon", ""] for number in range(10)]
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["name", "country", "truth"], *rows])
    return path


@pytest.fixture
def truth(table: Path) -> Truth:
    with table.open(encoding="utf-8", newline="") as file:
        return {" ".join(row["name"].split()): row["truth"] for row in csv.DictReader(file)}


@pytest.fixture
def serve_table(table: Path, whole: Path) -> Iterator[Serve]:
    """Start servers of the review page that are gone after the test."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        asked = ["--quiet", "match", str(table), "--column", "name", "--with", "country", "--to", str(whole)]
        command = [*asked, "--max-error", "0.2", "--serve", "--port", "0", *options]
        started.append(Server(table, log=table.parent / f"log{len(started)}", command=command))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.wait()


def journal(table: Path) -> Path:
    return table.with_name("rows.csv.match") / "reviews.jsonl"


def row_for(server: Server, who: str, entry: str = "") -> Any:
    status, found, _ = server.ask("POST", "/v1/row", {"who": who, "entry": entry})
    assert status == 200, found
    return found["row"]


def review(server: Server, who: str, entry: str, answer: str) -> Any:
    status, found, _ = server.ask("POST", "/v1/review", {"who": who, "entry": entry, "answer": answer})
    assert status == 200, found
    return found["row"]


def state_when(server: Server, holds: Callable[[Any], bool], seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while not holds(state := server.ask("GET", "/v1/state")[1]):
        assert time.monotonic() < end, state
        time.sleep(0.05)
    return state


def test_a_row_comes_with_its_candidates_side_by_side(serve_table: Serve) -> None:
    server = serve_table()
    row = row_for(server, "anna")
    assert row["count"] >= 1
    assert row["evidence"][0]["column"] == "country"
    first = row["candidates"][0]
    assert first["fields"][0]["field"] == "country"
    assert first["fields"][0]["kind"] in ("same", "part", "other", "")
    for candidate in row["candidates"]:
        for start, end in candidate["spans"]:
            assert 0 <= start < end <= len(candidate["name"])
        for start, end in candidate["row_spans"]:
            assert 0 <= start < end <= len(row["name"])
    found = server.ask("GET", f"/v1/entities?text=university&entry={row['entry']}")[1]
    assert found
    assert {"id", "name", "spans", "fields"} <= set(found[0])


def test_a_decision_is_on_disk_with_who_and_when_and_survives_a_kill(serve_table: Serve, table: Path) -> None:
    server = serve_table()
    row = row_for(server, "anna")
    review(server, "anna", row["entry"], row["candidates"][0]["id"])
    server.process.kill()  # at once
    server.process.wait()
    (kept,) = review_journal(journal(table)).read()
    assert (kept.entry, kept.answer, kept.who) == (row["entry"], row["candidates"][0]["id"], "anna")
    assert (kept.name, kept.chosen, kept.first) == (row["name"], row["candidates"][0]["name"], kept.answer)
    assert kept.at
    with journal(table).open("ab") as file:
        file.write(b'{"entry": "cut sho')  # as a kill in the middle of a line leaves it
    again = serve_table()
    state = again.ask("GET", "/v1/state")[1]
    assert (state["reviewed"], state["people"]) == (1, {"anna": 1})
    other = row_for(again, "ben")
    assert other["entry"] != row["entry"]
    review(again, "ben", other["entry"], "")
    assert [entry.who for entry in review_journal(journal(table)).read()] == ["anna", "ben"]


def test_a_kill_in_the_middle_of_many_reviews_loses_none_that_was_answered(serve_table: Serve, table: Path) -> None:
    import threading

    server = serve_table("--twice", "0")
    answered: list[tuple[str, str]] = []

    def work(who: str) -> None:
        row = row_for(server, who)
        while row is not None:
            try:
                following = review(server, who, row["entry"], "")
            except (OSError, AssertionError, ValueError):
                return
            answered.append((who, row["entry"]))
            row = following

    people = [threading.Thread(target=work, args=(who,)) for who in ("anna", "ben", "cleo")]
    for person in people:
        person.start()
    while len(answered) < 15:
        time.sleep(0.005)
    server.process.kill()
    for person in people:
        person.join(20)
    kept = review_journal(journal(table)).read()
    assert set(answered) <= {(entry.who, entry.entry) for entry in kept}
    assert len({entry.entry for entry in kept}) == len(kept)  # nobody got the row of another
    assert len(kept) - len(answered) <= 3


def test_two_people_have_different_rows_and_a_share_goes_to_both(serve_table: Serve, truth: Truth) -> None:
    server = serve_table("--twice", "0.3")
    anna, ben = row_for(server, "anna"), row_for(server, "ben")
    assert anna["entry"] != ben["entry"]
    assert row_for(server, "anna")["entry"] == anna["entry"]  # what is open stays open
    seen: dict[str, set[str]] = {}
    for _ in range(30):
        assert anna["entry"] != ben["entry"]
        seen.setdefault(anna["entry"], set()).add("anna")
        seen.setdefault(ben["entry"], set()).add("ben")
        anna = review(server, "anna", anna["entry"], truth[anna["name"]])
        ben = review(server, "ben", ben["entry"], truth[ben["name"]])
        if anna is None or ben is None:
            break
    twice = [entry for entry, people in seen.items() if len(people) > 1]
    assert 0.1 < len(twice) / len(seen) < 0.6
    state = server.ask("GET", "/v1/state")[1]
    assert state["twice"] == len(twice)
    assert state["alpha"] == 1
    assert state["differ"] == []
    entry = twice[0]
    before = row_for(server, "ben", entry)
    assert before["answer"] == truth[before["name"]]
    review(server, "ben", entry, "?")
    state = server.ask("GET", "/v1/state")[1]
    assert state["alpha"] < 1
    assert [said["entry"] for said in state["differ"]] == [entry]
    assert state["differ"][0]["answers"]["ben"] == "not sure"


def test_an_undo_takes_back_ones_own_last_decision(serve_table: Serve, table: Path) -> None:
    server = serve_table()
    assert server.ask("POST", "/v1/undo", {"who": "anna"})[1]["row"] is None
    first = row_for(server, "anna")
    second = review(server, "anna", first["entry"], "?")
    other = row_for(server, "ben")
    review(server, "ben", other["entry"], "")
    review(server, "anna", second["entry"], "")
    back = server.ask("POST", "/v1/undo", {"who": "anna"})[1]["row"]
    assert (back["entry"], back["answer"]) == (second["entry"], "")
    back = server.ask("POST", "/v1/undo", {"who": "anna"})[1]["row"]
    assert (back["entry"], back["answer"]) == (first["entry"], "?")
    assert server.ask("GET", "/v1/state")[1]["people"] == {"ben": 1}
    assert row_for(server, "anna")["entry"] == first["entry"]
    assert len(review_journal(journal(table)).read()) == 5  # added to, never changed


def test_the_cut_moves_after_a_batch_and_on_demand(serve_table: Serve, truth: Truth) -> None:
    server = serve_table("--twice", "0")
    before = server.ask("GET", "/v1/state")[1]
    row = row_for(server, "anna")
    for _ in range(10):
        row = review(server, "anna", row["entry"], truth[row["name"]])
    after = state_when(server, lambda state: state["review"] <= before["review"] - 10)
    assert after["queue"] < before["queue"]
    for _ in range(3):
        row = review(server, "anna", row["entry"], truth[row["name"]])
    decided = after["review"]
    assert server.ask("POST", "/v1/update", {})[0] == 200
    state_when(server, lambda state: not state["working"] and state["review"] < decided)


def test_the_table_is_written_on_demand_and_when_the_server_stops(serve_table: Serve, table: Path) -> None:
    server = serve_table()
    row = row_for(server, "anna")
    following = review(server, "anna", row["entry"], "")

    def by_people() -> dict[str, str]:
        with table.with_name("rows.matched.csv").open(encoding="utf-8", newline="") as file:
            rows = [line for line in csv.DictReader(file) if line["match_by"] == "person"]
        return {" ".join(line["name"].split()): line["match_decision"] for line in rows}

    assert server.ask("POST", "/v1/write", {})[1] == {"file": str(table.with_name("rows.matched.csv")), "rows": 100}
    assert by_people() == {row["name"]: "none"}
    review(server, "anna", following["entry"], "")
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(30) == 0
    assert by_people() == {row["name"]: "none", following["name"]: "none"}


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/row", {"who": ""}, 422, "E_TYPE"),
        ("/v1/row", {"who": "x" * 61}, 422, "E_TOO_LONG"),
        ("/v1/row", {"who": "anna", "entry": "no such"}, 422, "E_ID_UNKNOWN"),
        ("/v1/review", {"who": "anna", "entry": "no such", "answer": ""}, 422, "E_ID_UNKNOWN"),
        ("/v1/review", {"who": "anna", "answer": ""}, 422, "E_MISSING"),
        ("/v1/review", {"who": "anna", "entry": "e", "answer": "x" * 1001}, 422, "E_TOO_LONG"),
        ("/v1/review", {"who": "anna", "entry": "e", "answer": "undo"}, 422, "E_NO_ENTITY"),
        ("/v1/review", {"who": "\ud800", "entry": "e", "answer": ""}, 422, "E_ENCODING"),
        ("/v1/undo", [], 422, "E_TYPE"),
        ("/v1/write", {"file": "/etc/x"}, 422, "E_UNKNOWN_FIELD"),
        ("/v1/review", b"{", 400, "E_JSON"),
    ],
)
def test_a_wrong_request_is_refused_and_nothing_is_kept(
    calm: Server, path: str, body: Any, status: int, code: str
) -> None:
    found = calm.ask("POST", path, body)
    assert (found[0], found[1]["error"]["code"]) == (status, code)
    assert calm.ask("GET", "/v1/state")[1]["reviewed"] == 0


@pytest.fixture(scope="module")
def calm(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for tests that change nothing."""
    table = tmp_path_factory.mktemp("calm") / "rows.csv"
    table.write_text("name\nBakery of the Moon\n", encoding="utf-8")
    command = ["match", str(table), "--column", "name", "--to", str(whole), "--serve", "--port", "0"]
    yield from running(Server(table, log=table.parent / "log", command=command), ready=False)


def test_other_origins_hosts_and_unknown_entities_are_refused(calm: Server) -> None:
    row = row_for(calm, "anna")
    body = {"who": "anna", "entry": row["entry"], "answer": ""}
    assert calm.ask("POST", "/v1/review", body, {"Origin": "http://elsewhere"})[0] == 403
    assert calm.ask("GET", "/v1/state", None, {"Host": "elsewhere"})[0] == 421
    assert calm.ask("POST", "/v1/review", json.dumps(body).encode(), {"Content-Type": "text/plain"})[0] == 415
    status, found, _ = calm.ask("POST", "/v1/review", {**body, "answer": "nobody"})
    assert (status, found["error"]["code"]) == (422, "E_NO_ENTITY")
    assert calm.ask("GET", "/v1/state")[1]["reviewed"] == 0


def test_an_address_that_others_can_reach_needs_a_key(
    table: Path, whole: Path, tmp_path: Path, serve_table: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    from honed.cli.main import run_command

    asked = ["match", str(table), "--column", "name", "--to", str(whole), "--serve", "--host", "0.0.0.0"]
    assert run_command(asked) == 2
    assert "E_CONFIG_UNSAFE" in capsys.readouterr().err
    (tmp_path / "key").write_text("s3cret")
    server = serve_table("--host", "0.0.0.0", "--api-key-file", str(tmp_path / "key"))
    assert server.ask("GET", "/v1/state")[0] == 401
    assert server.ask("GET", "/")[0] == 200
    assert server.ask("POST", "/v1/session", {"key": "wrong"})[0] == 401
    cookie = server.ask("POST", "/v1/session", {"key": "s3cret"})[2]["set-cookie"].partition(";")[0]
    assert server.ask("GET", "/v1/state", None, {"Cookie": cookie})[0] == 200


# -- in a browser -------------------------------------------------------------------------------------


def until(page: Any, expression: str, argument: Any = None, seconds: float = 20) -> None:
    """Wait until an expression holds; the page's policy forbids the browser's own waiting."""
    end = time.monotonic() + seconds
    while not page.evaluate(f"argument => {expression}", argument):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(15)


def begin(page: Any, who: str) -> str:
    page.fill("#who-name", who)
    page.keyboard.press("Enter")
    return shown(page)


def shown(page: Any, before: str = "") -> str:
    """Return the name of the row that is shown, once it is another than one before."""
    until(
        page, "!['', argument].includes(document.getElementById('name').firstChild?.textContent.trim() ?? '')", before
    )
    return str(page.evaluate("document.getElementById('name').firstChild.textContent.trim()"))


@needs_browser
def test_fifty_rows_are_reviewed_by_keyboard(
    browser: Any, serve_table: Serve, table: Path, truth: Truth, searcher: Searcher
) -> None:
    server = serve_table("--twice", "0")
    opened = Page(browser, server.port)
    page = opened.open()
    name = begin(page, "anna")
    given: dict[str, str] = {}
    others = 0
    for _ in range(50):
        ids = page.locator("#candidates .id").all_inner_texts()
        wanted = truth[name]
        if not wanted:
            page.keyboard.press("n")
        elif wanted in ids:
            page.keyboard.press(str(ids.index(wanted) + 1))
        else:
            others += 1
            page.keyboard.press("o")
            label = searcher.entity(wanted)["label"]
            page.fill("#query", label)
            page.locator("#others .id", has_text=wanted).first.wait_for()
            page.locator("#others .card", has=page.locator(".id", has_text=wanted)).first.press("Enter")
        given[name] = wanted
        name = shown(page, name)
    assert len(given) == 50
    assert others > 0  # else the search box was not used
    kept = settled(review_journal(journal(table)).read())
    assert {review.name: review.answer for review in kept.values()} == given
    assert {review.who for review in kept.values()} == {"anna"}
    page.locator("#proof-text", has_text="50 rows reviewed").wait_for()
    page.click("#write")
    page.locator("#written", has_text="100 rows are in").wait_for()
    page.reload()  # the name is asked for once
    assert shown(page) == name
    assert page.inner_text("#who") == "anna"
    opened.context.close()
    assert opened.wrong == []


@needs_browser
def test_two_browsers_show_two_people_different_rows_and_what_they_differ_on(
    browser: Any, serve_table: Serve, table: Path
) -> None:
    server = serve_table("--twice", "1")
    one, two = Page(browser, server.port), Page(browser, server.port)
    anna, ben = one.open(), two.open()
    first, second = begin(anna, "anna"), begin(ben, "ben")
    assert first != second
    anna.keyboard.press("n")
    shown(anna, first)
    ben.keyboard.press("n")
    assert shown(ben, second) == first  # each row is given to two
    ben.keyboard.press("1")
    ben.locator("#differ button", has_text=first).wait_for()
    assert "1 rows seen by two people" in ben.inner_text("#alpha")
    ben.click("#differ button")
    until(ben, "document.querySelector('#candidates .card')?.getAttribute('aria-pressed') === 'true'")
    ben.keyboard.press("n")
    ben.locator("#differ-section").wait_for(state="hidden")
    assert "alpha 1.00" in ben.inner_text("#alpha")
    ben.keyboard.press("z")
    until(ben, "document.getElementById('none').getAttribute('aria-pressed') === 'true'")
    for opened in (one, two):
        opened.context.close()
        assert opened.wrong == []


@needs_browser
def test_markup_stays_text_differences_are_marked_and_a_phone_is_wide_enough(
    browser: Any, serve_table: Serve, table: Path, searcher: Searcher
) -> None:
    label = searcher.label_text(3)
    table.write_text(f'name,country\n"<img src=x onerror=alert(1)> {label}",<b>MX</b>\n', encoding="utf-8")
    server = serve_table()
    opened = Page(browser, server.port, viewport={"width": 360, "height": 700})
    page = opened.open()
    assert begin(page, "<i>anna</i>").startswith("<img src=x onerror=alert(1)>")
    assert page.inner_text("#evidence dd") == "<b>MX</b>"
    marks = page.locator("#candidates .card").first.locator(".lacks mark").all_inner_texts()
    assert "img" in marks
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box = page.locator("#actions").bounding_box()
    assert box["y"] + box["height"] <= 701  # the buttons stay in reach of a thumb
    page.click("#none")
    page.locator("#empty", has_text="Nothing is left").wait_for()
    opened.context.close()
    assert opened.wrong == []


@needs_browser
def test_a_browser_asks_for_the_key(browser: Any, serve_table: Serve, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret")
    server = serve_table("--api-key-file", str(tmp_path / "key"))
    opened = Page(browser, server.port)
    page = opened.open()
    enter_key(page, "s3cret")
    begin(page, "anna")
    opened.context.close()
