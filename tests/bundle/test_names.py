from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.bundle.names import ALIAS, LABEL, NameTable
from honed.core.errors import ArtifactError
from honed.core.text import fold
from honed.encode.hashing import HashEncoder
from honed.index.stored import StoredVectors
from honed.search.searcher import Searcher

WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
ENTITIES = st.dictionaries(WORDS, st.tuples(WORDS, st.lists(WORDS, max_size=3)), min_size=1, max_size=6)


def table_of(entities: dict[str, tuple[str, list[str]]]) -> NameTable:
    pairs = [(label, row, "label") for row, (label, _) in enumerate(entities.values())]
    pairs += [(alias, row, "alias") for row, (_, aliases) in enumerate(entities.values()) for alias in aliases]
    texts = list(dict.fromkeys(text for text, _, _ in pairs))
    names = [(texts.index(text), row, kind) for text, row, kind in pairs]
    return NameTable.build(texts, names, [(key, label, {"of": key}) for key, (label, _) in entities.items()])


@given(ENTITIES)
def test_everything_that_went_in_is_found(entities: dict[str, tuple[str, list[str]]]) -> None:
    table = table_of(entities)
    for row, (key, (label, aliases)) in enumerate(entities.items()):
        assert table.entity(row) == (key, label, {"of": key})
        assert table.entity_row(key) == row
        assert sorted(table.aliases(row)) == sorted(aliases)
        assert table.text(table.label_of[row]) == label
        for name in (label, *aliases):
            rows = table.rows_named(name)
            assert all(fold(table.text(same)) == fold(name) for same in rows)
            assert row in {bearer for same in rows for bearer in table.bearers(same, LABEL | ALIAS)}


def test_kinds_are_kept_apart() -> None:
    table = table_of({"1": ("One", ["Uno", "Two"]), "2": ("Two", ["Dos"])})
    two = table.rows_named("two")[0]
    assert table.bearers(two, LABEL) == [1]
    assert table.bearers(two, ALIAS) == [0]
    assert sorted(table.bearers(two, LABEL | ALIAS)) == [0, 1]
    assert table.rows_of(LABEL) == slice(0, 2)
    assert [table.text(row) for row in table.rows_of(ALIAS)] == ["Two", "Uno", "Dos"]
    assert table.rows_named("nothing") == []
    assert table.entity_row("nothing") is None


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bearers", lambda array: array + 100),
        ("label_of", lambda array: array - 5),
        ("text_ends", lambda array: array[::-1]),
        ("entity_ends", lambda array: array * 1000),
        ("names", lambda array: array[:-1]),
        ("kinds_of", lambda array: array[:-1]),
        ("id_rows", lambda array: array + 9),
        ("text", None),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(name: str, change: Any) -> None:
    tensors = dict(table_of({"1": ("One", ["Uno"]), "2": ("Two", ["Dos"])}).tensors)
    if change is None:
        del tensors[name]
    else:
        tensors[name] = np.ascontiguousarray(change(tensors[name]))
    with pytest.raises(ArtifactError, match="do not fit together"):
        NameTable(tensors)


def test_names_written_like_the_query_are_found_before_those_in_other_case() -> None:
    texts = ["Ituri Valley", "Istanbul Technical University", "Itu", "ITU"]
    names = [(0, 0, "label"), (2, 0, "alias"), (1, 1, "label"), (3, 1, "alias")]
    table = NameTable.build(texts, names, [("e0", texts[0], {}), ("e1", texts[1], {})])
    encoder = HashEncoder()
    vectors = StoredVectors(encoder.encode(texts, "document"))
    searcher = Searcher(encoder, vectors, table, settings={"backend": "exact"})
    for text, wanted in (("Itu", ["e0", "e1"]), ("ITU", ["e1", "e0"])):
        hits = searcher.search(text, 2)
        assert [hit.doc_id for hit in hits] == wanted
        assert hits[0].matched == text
