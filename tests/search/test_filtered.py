"""Filters on fields: the same hits as without one, less those that do not pass, k of them, wherever one asks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honed import Project, Searcher
from honed.cli.main import run_command
from honed.core.errors import ConfigError
from honed.project.export import export_bundle
from tests.shipped import Server, exact_project, with_sections

QUERIES = ("universidad nacional", "UNAM", "college of arts", "state")
WHERE = {"founded": {"gte": 1900}}


@pytest.fixture(scope="module", params=["plain", "fused", "clustered"])
def folder(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Path,
    institutions: list[dict[str, str]],
) -> Path:
    pytest.importorskip("faiss")
    found = exact_project(tmp_path_factory.mktemp("filtered"), tiny_model, institutions)
    if request.param == "fused":
        found = with_sections(found, "[hybrid]\n[answers]\n")
    if request.param == "clustered":
        text = found.file.read_text()
        index = '[index]\nbackend = "composed"\ncodes = "sign"\nnlist = 4\nnprobe = 4\nrescore = 150'
        found.file.write_text(text.replace("[index]", index))
        found = Project(found.file.parent)
    found.run(until="hybrid" if request.param == "fused" else "index")
    return export_bundle(found, tmp_path_factory.mktemp("bundle") / "b")


def passes(hit: Any) -> bool:
    return bool(hit.fields.get("founded")) and int(hit.fields["founded"]) >= 1900


@pytest.mark.parametrize("direction", ["alias-to-label", "label-to-alias"])
def test_k_of_what_passes_is_found(folder: Path, direction: str) -> None:
    searcher = Searcher.load(folder)
    for text in QUERIES:
        hits = searcher.search(text, 7, direction=direction, where=WHERE)
        assert len(hits) == 7
        assert all(map(passes, hits))
        assert [hit.rank for hit in hits] == list(range(1, 8))


def test_hits_are_those_of_the_whole_catalogue_that_pass(folder: Path) -> None:
    searcher = Searcher.load(folder)
    if searcher.hybrid is not None:
        pytest.skip("the hybrid weighs a candidate beside the others that are there")
    for text in QUERIES:
        wanted = [hit.doc_id for hit in searcher.search(text, 150) if passes(hit)]
        assert [hit.doc_id for hit in searcher.search(text, 150, where=WHERE)] == wanted


def test_a_known_name_that_does_not_pass_is_no_hit(folder: Path) -> None:
    searcher = Searcher.load(folder)
    found = next(hit for hit in searcher.search("university", 100) if not passes(hit))
    assert searcher.search(found.text, 1)[0].doc_id == found.doc_id
    assert found.doc_id not in [hit.doc_id for hit in searcher.search(found.text, 100, where=WHERE)]
    similar = searcher.similar(found.doc_id, 5, where=WHERE)
    assert len(similar) == 5
    assert all(map(passes, similar))


def test_nothing_passes_and_nothing_is_found(folder: Path) -> None:
    assert Searcher.load(folder).search("university", 5, where={"country": "Nowhere"}) == []


def test_an_unknown_field_and_candidate_sets_are_refused(folder: Path) -> None:
    searcher = Searcher.load(folder)
    with pytest.raises(ConfigError, match=r"no field 'contry'; did you mean country\?"):
        searcher.search("university", 5, where={"contry": "Albania"})
    with pytest.raises(ConfigError, match="no candidate sets"):
        searcher.answer_many(["university"], candidates=True, where=WHERE)
    if searcher.answers is not None:
        assert searcher.answer_many(["university"])[0].chance is not None
        assert searcher.answer_many(["university"], where=WHERE)[0].chance is None


def test_the_command_line_filters(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ["search", "university", "--bundle", str(folder), "-k", "5", "--json", "--where"]
    assert run_command([*shown, "founded>=1900"]) == 0
    hits = json.loads(capsys.readouterr().out)
    assert len(hits) == 5
    assert all(int(hit["fields"]["founded"]) >= 1900 for hit in hits)
    assert run_command([*shown, "founded"]) == 2
    assert "write field=value" in capsys.readouterr().err


def test_the_server_filters(folder: Path, serve: Callable[..., Server]) -> None:
    server = serve(folder)
    body = {"query": "university", "k": 5, "filter": WHERE}
    status, found = server.ask("POST", "/v1/search", body)[:2]
    assert status == 200
    assert len(found["hits"]) == 5
    assert all(int(hit["fields"]["founded"]) >= 1900 for hit in found["hits"])
    for wrong in ({"nofield": 1}, {"founded": {"like": 3}}, [], "x"):
        status, refused = server.ask("POST", "/v1/search", {**body, "filter": wrong})[:2]
        assert (status, refused["error"]["code"]) == (422, "E_FILTER")
