"""What ``honed init`` tells from the cells of a table: whether it has a line of names, what its columns hold."""

from collections.abc import Sequence
from dataclasses import dataclass

from honed.core.text import fold
from honed.data.table import is_headerless

_WORDS_OF_TEXT = 3.0  # of a text, on average
_FEWEST = 10  # rows that tell what columns hold


@dataclass(frozen=True, kw_only=True)
class Column:
    """The cells of a column that are filled: how many, how many different ones, words and characters of one."""

    name: str
    cells: int
    different: int
    words: float
    length: float

    @classmethod
    def of(cls, name: str, cells: Sequence[str]) -> "Column":
        """Count the cells of a column."""
        filled = [cell for cell in cells if cell.strip()]
        n = max(1, len(filled))
        return cls(
            name=name,
            cells=len(filled),
            different=len(set(filled)),
            words=sum(len(cell.split()) for cell in filled) / n,
            length=sum(map(len, filled)) / n,
        )

    @property
    def is_text(self) -> bool:
        """Whether the cells are texts of several words, few of them alike."""
        return self.words >= _WORDS_OF_TEXT and self.different > self.cells / 2

    @property
    def is_class(self) -> bool:
        """Whether the cells are few names that stand again and again."""
        return 2 <= self.different <= self.cells / 2 and self.words < _WORDS_OF_TEXT * 2 and self.length <= 80


def text_column(columns: Sequence[Column]) -> str:
    """Return the column with the longest texts, "" where none holds texts."""
    texts = [column for column in columns if column.is_text and column.cells >= _FEWEST]
    return max(texts, key=lambda column: column.length).name if texts else ""


def class_column(columns: Sequence[Column], text: str) -> str:
    """Return the column beside a text that holds classes; "" where none does, or several do."""
    classes = [column.name for column in columns if column.name != text and column.is_class]
    return classes[0] if len(classes) == 1 else ""


def names_without_header(first: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return names for the columns of a file whose first line is a row like the others; none where it has names.

    It is one where a cell of it stands again below, or where it begins with an id beside a text.
    """
    columns = [Column.of(str(place), [row[place] for row in rows]) for place in range(len(first))]
    again = any(
        column.is_class and any(fold(row[place]) == fold(first[place]) for row in rows)
        for place, column in enumerate(columns)
    )
    if len(rows) < _FEWEST or not (again or is_headerless(first)):
        return []
    text = text_column(columns)
    label = class_column(columns, text)
    if not text:
        return []
    names = {text: "text", **({label: "label"} if label else {})}
    titles = [column.name for column in columns[: int(text)] if column.name not in names and column.is_text]
    ids = [c.name for c in columns if c.name not in names and c.different == len(rows) and c.words <= 1]
    names |= {**({titles[0]: "title"} if titles else {}), **({ids[0]: "id"} if ids else {})}
    return [names.get(column.name, f"column{int(column.name) + 1}") for column in columns]
