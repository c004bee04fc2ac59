"""Results as HTML, for notebooks."""

from collections.abc import Sequence
from html import escape

_STYLE = "text-align:left;padding:2px 10px 2px 0"


def html_table(head: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> str:
    """Return a table as HTML; every cell is escaped."""
    heading = "".join(f'<th style="{_STYLE}">{escape(str(cell))}</th>' for cell in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_STYLE}">{escape(str(cell))}</td>' for cell in row) + "</tr>" for row in rows
    )
    caption = f"<p><b>{escape(title)}</b></p>" if title else ""
    return f"{caption}<table><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table>"
