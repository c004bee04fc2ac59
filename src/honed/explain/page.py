"""The page of explanations: over HTTP with texts to type, or as one file that needs nothing else."""

import json
from importlib.resources import files

import msgspec

from honed.explain.explanation import ExplanationSet

FOLDER = files("honed.explain") / "page_files"
STATIC = {"explain.css": "text/css", "explain.js": "text/javascript"}


def static_page(explanations: ExplanationSet) -> str:
    """Return one HTML file that shows explanations: no network, no server, opens from disk."""
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    style, script = ((FOLDER / name).read_text(encoding="utf-8") for name in STATIC)
    data = json.dumps(msgspec.to_builtins(explanations), ensure_ascii=False).replace("<", "\\u003c")
    for old, new in {
        '<link rel="stylesheet" href="static/explain.css">': f"<style>\n{style}</style>",
        '<script src="static/explain.js" defer></script>': "",
        "</body>": f'<script type="application/json" id="data">{data}</script>\n<script>\n{script}</script>\n</body>',
    }.items():
        page = page.replace(old, new)
    return page
