"""The files of the pages: one kit for all, and a page in one file."""

import re

import pytest

from honed.pages.files import EXPLAIN, LABEL, SEARCH, Page

PAGES = {"search": SEARCH, "label": LABEL, "explain": EXPLAIN}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_links_the_kit_and_its_own_files_and_all_are_there(name: str) -> None:
    linked = re.findall(r'"static/([^"]+)"', PAGES[name].html().decode())
    assert linked == ["icon.svg", "kit.css", f"{name}.css", "kit.js", f"{name}.js"]
    for file in linked:
        assert PAGES[name].file(file) is not None
    for other in ("../search/search.js", "index.html", "", "kit.css.map", "files.py"):
        assert PAGES[name].file(other) is None


@pytest.mark.parametrize("name", PAGES)
def test_what_the_kit_has_is_in_no_other_file(name: str) -> None:
    kit = {part: PAGES[name].file(f"kit.{part}") for part in ("css", "js")}
    for part, file in kit.items():
        own = PAGES[name].file(f"{name}.{part}")
        assert own is not None and file is not None
        lines = {line for line in file.content.decode().splitlines() if len(line) > 20}
        assert not lines & set(own.content.decode().splitlines())


def test_a_page_in_one_file_asks_for_nothing(page: Page = EXPLAIN) -> None:
    html = page.standalone({"models": [], "text": "</script><b>"})
    assert "static/" not in html
    assert "</script><b>" not in html
    assert 'rel="icon" href="data:image/svg+xml;base64,' in html
    assert html.count("<style>") == 2
    assert html.index('id="data"') < html.index("const $ =") < html.index("function heat(")
