"""What a catalogue offers before anything is typed, held to the data."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from honed import Searcher
from honed.bundle.names import NameTable
from honed.index.stored import StoredVectors
from honed.search import overview
from honed.search.catalogue import Catalogue
from tests.shipped import Server


def catalogue(entities: list[tuple[str, dict[str, str]]], aliases: dict[int, list[str]] | None = None) -> Catalogue:
    """Return a catalogue of entities, by label and fields, with the aliases of some of them."""
    texts = [label for label, _ in entities]
    names = [(row, row, "label") for row in range(len(entities))]
    for entity, of_entity in (aliases or {}).items():
        for alias in of_entity:
            names.append((len(texts), entity, "alias"))
            texts.append(alias)
    table = NameTable.build(texts, names, [(f"n{row}", *entity) for row, entity in enumerate(entities)])
    vectors = StoredVectors(np.eye(max(len(texts), 1), 4, dtype=np.float32)[: len(texts)])
    return Catalogue(vectors, table, {"backend": "exact"})


def test_facets_count_what_the_entities_have(made: Path) -> None:
    names = Searcher.load(made).names
    counted = Counter(names.entity(row).fields.get("country", "") for row in range(names.n_entities))
    counted.pop("", None)
    (country,) = [facet for facet in overview.facets(Searcher.load(made).catalogue) if facet.field == "country"]
    assert {value.value: value.count for value in country.values} == {
        str(value.value): counted[str(value.value)] for value in country.values
    }
    assert [value.count for value in country.values] == sorted(counted.values(), reverse=True)[: len(country.values)]
    assert country.n_values == len(counted)


def test_a_field_without_repetition_or_with_long_values_is_no_facet() -> None:
    rows = [
        (f"name {n}", {"kind": "ab"[n % 2], "one": "same", "own": str(n), "long": "x" * 100 + "ab"[n % 2]})
        for n in range(6)
    ]
    facets = overview.facets(catalogue(rows))
    assert [facet.field for facet in facets] == ["kind"]
    assert [(value.value, value.count) for value in facets[0].values] == [("a", 3), ("b", 3)]


def test_a_large_catalogue_is_not_read_through(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"name {n}", {"kind": "ab"[n % 2]}) for n in range(6)]
    monkeypatch.setattr(overview, "_MOST_ENTITIES", 5)
    large = catalogue(rows)
    assert overview.facets(large) == []
    assert "columns" not in vars(large)


def test_examples_are_aliases_or_else_labels() -> None:
    rows = [(f"name {n}", {}) for n in range(20)]
    assert overview.examples(catalogue(rows)) == [f"name {n}" for n in (0, 3, 7, 11, 15, 19)]
    with_aliases = catalogue(rows, {3: ["NAME 3", "n3", "the third"], 7: ["x" * 90]})
    assert overview.examples(with_aliases) == ["n3"]
    assert overview.examples(catalogue([])) == []
    assert overview.examples(catalogue([("x" * 90, {})])) == []


def test_the_server_tells_it(server: Server, made: Path) -> None:
    status, answer, _ = server.ask("GET", "/v1/overview")
    assert status == 200
    assert answer["examples"] == overview.examples(Searcher.load(made).catalogue)
    assert [facet["field"] for facet in answer["facets"]] == [
        facet.field for facet in overview.facets(Searcher.load(made).catalogue)
    ]
    parts = server.ask("GET", "/v1/bundle")[1]["parts"]
    assert parts == {"hybrid": False, "reranker": False, "risk": None, "promise": None, "coverage": None}
