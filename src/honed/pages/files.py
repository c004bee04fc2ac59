"""The files of a page: served one by one, or put together into one file that needs nothing else.

A page is ``index.html`` with a style and a script of its name, beside the parts of the kit: shared style and script,
and the icon. In ``index.html`` all of them are linked as ``static/NAME``.
"""

import json
import re
from base64 import b64encode
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from honed.core.json import JsonObject

_PAGES = files("honed.pages")
_KIT = ("kit.css", "kit.js", "icon.svg")
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_STYLE = re.compile(r'<link rel="stylesheet" href="static/(?P<name>[\w.]+)">')
_SCRIPT = re.compile(r'<script src="static/(?P<name>[\w.]+)" defer></script>\n?')
_ICON = re.compile(r'(?<=<link rel="icon" href=")static/(?P<name>[\w.]+)(?=")')


class StaticFile(NamedTuple):
    """A file of a page and its media type."""

    content: bytes
    media_type: str


class Page:
    """One page of `honed.pages`, by the name of its folder."""

    def __init__(self, name: str) -> None:
        self._folder = _PAGES / name
        self._files: dict[str, Traversable] = {
            **{part: _PAGES / "kit" / part for part in _KIT},
            **{file: self._folder / file for file in (f"{name}.css", f"{name}.js")},
        }

    def html(self) -> bytes:
        """Return ``index.html``."""
        return (self._folder / "index.html").read_bytes()

    def file(self, name: str) -> StaticFile | None:
        """Return what is linked as ``static/NAME``, or None for any other name."""
        if name not in self._files:
            return None
        return StaticFile(self._files[name].read_bytes(), _MEDIA_TYPES[name[name.rindex(".") :]])

    def standalone(self, data: JsonObject) -> str:
        """Return the page as one HTML file over some data, which the script finds as JSON in the element ``data``."""
        html = self.html().decode()
        scripts = [self._text(match["name"]) for match in _SCRIPT.finditer(html)]
        html = _SCRIPT.sub("", html)
        html = _STYLE.sub(lambda match: f"<style>\n{self._text(match['name'])}</style>", html)
        html = _ICON.sub(lambda match: self._data_address(match["name"]), html)
        shown = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
        parts = [f'<script type="application/json" id="data">{shown}</script>']
        parts += [f"<script>\n{script}</script>" for script in scripts]
        return html.replace("</body>", "\n".join([*parts, "</body>"]))

    def _text(self, name: str) -> str:
        """Return the text of a file."""
        return self._files[name].read_text(encoding="utf-8")

    def _data_address(self, name: str) -> str:
        """Return a ``data:`` address that holds a file."""
        file = self._files[name].read_bytes()
        return f"data:{_MEDIA_TYPES[name[name.rindex('.') :]]};base64,{b64encode(file).decode()}"


SEARCH, LABEL, EXPLAIN, REVIEW = Page("search"), Page("label"), Page("explain"), Page("review")
