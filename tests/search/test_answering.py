"""The hybrid and its estimates in a bundle: the same answers as the project's, recalibrated, and nothing forged."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from honed import Project, Searcher
from honed.cli.main import run_command
from honed.core.errors import ArtifactError, ConfigError
from honed.core.records import Hit
from honed.index.blend import Blend
from honed.project.export import ExportOptions, export_bundle
from tests.shipped import Server, reseal

QUERIES = ("universidad nacional", "UNAM", "college of arts", "state", "zzzz")


def test_a_bundle_answers_as_the_project_does(fused: Project, whole: Path) -> None:
    searcher, ours = Searcher.load(whole), fused.searcher()
    assert searcher.hybrid is not None and ours.hybrid is not None
    for text in QUERIES:
        one, other = searcher.answer(text, 5, candidates=True), ours.answer(text, 5, candidates=True)
        assert [hit.doc_id for hit in one.hits] == [hit.doc_id for hit in other.hits]
        assert one.chance == pytest.approx(other.chance, abs=0.01)
        assert {hit.doc_id for hit in one.candidates or ()} == {hit.doc_id for hit in other.candidates or ()}
        assert [hit.doc_id for hit in searcher.search(text, 5)] == [hit.doc_id for hit in one.hits]


def test_known_names_come_first_and_are_certain_unless_shared(whole: Path) -> None:
    searcher = Searcher.load(whole)
    for row in range(20):
        label = searcher.label_text(row)
        answer = searcher.answer(label, 3, candidates=True)
        bearers = [hit for hit in answer.hits if hit.matched.casefold() == label.casefold()]
        assert answer.hits[0].matched == label
        assert answer.chance is not None and answer.candidates is not None
        assert answer.chance <= 1 / max(1, len(bearers)) + 1e-4
        assert len(answer.candidates) >= len(bearers)


def test_a_search_is_explained(fused: Project, whole: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searcher = Searcher.load(whole)
    hits = searcher.search(QUERIES[0], 5)
    reasons = searcher.reasons(QUERIES[0], hits)
    assert len(reasons) == 5
    assert sum(reasons[0].values()) > sum(reasons[4].values())
    ours = fused.searcher()
    assert ours.reasons(QUERIES[0], ours.search(QUERIES[0], 5))[0].keys() == reasons[0].keys()
    asked = ["search", searcher.label_text(3), "--bundle", str(whole), "-k", "2", "--explain"]
    assert run_command(asked) == 0
    assert "known name, " in capsys.readouterr().out
    assert run_command([*asked, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)[0]["reasons"]) == set(reasons[0])
    assert run_command([*asked, "--candidates"]) == 2
    assert run_command(["search", "x", "--bundle", str(made), "--explain"]) == 2
    assert "nothing to explain by" in capsys.readouterr().err


def test_all_that_is_there_can_be_asked_for(whole: Path) -> None:
    searcher = Searcher.load(whole)
    hits = searcher.search("university", 1000)
    assert len(hits) == searcher.names.n_entities
    assert len({hit.doc_id for hit in hits}) == len(hits)
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))


def test_a_quantised_bundle_is_taught_by_its_own_answers(fused: Project, tmp_path: Path) -> None:
    options = ExportOptions(precision="int8", most_flips=0.5)
    made = export_bundle(fused, tmp_path / "i", options)
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["hybrid"]["answers"]["n"] > 0
    weights = json.loads((made / "index/hybrid.json").read_text())["fusion"]["weights"]
    before = fused.runner.latest_of("hybrid").read_json("hybrid.json")["fusion"]["weights"]
    assert np.shape(weights) == np.shape(before)
    assert weights != before
    assert Searcher.load(made).answer("UNAM").chance is not None


def test_the_command_line_tells_the_chance(fused: Project, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["search", "zzzz", "--bundle", str(whole), "--candidates"]) == 0
    shown = capsys.readouterr().out
    assert "chance that the first is right" in shown
    assert "dev queries" in shown  # what is promised, or why nothing is
    assert "candidates: " in shown
    assert run_command(["search", "zzzz", "--bundle", str(whole), "--candidates", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"query", "hits", "chance", "match", "candidates"}
    assert run_command(["search", "UNAM", "--direction", "label-to-alias", "--candidates", "--bundle", str(whole)]) == 2
    assert "no candidate sets" in capsys.readouterr().err


def test_a_bundle_carries_what_is_promised(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "b"))
    data = json.loads((folder / "index/hybrid.json").read_text())
    assert data["answers"]["promise"].keys() == {"confidence", "n", "absent", "cut"}
    assert json.loads((folder / "manifest.json").read_text())["hybrid"]["promise"]
    text, chance = "zzzz", Searcher.load(folder).answer("zzzz").chance
    assert chance is not None
    for promise, match in (
        ({"confidence": 0.9, "n": 500, "absent": 0.1, "cut": chance / 2}, True),
        ({"confidence": 0.9, "n": 500, "absent": 0.1, "cut": None}, False),
        ({"confidence": 0.9, "n": 49, "absent": 0.1, "cut": None}, chance >= 0.6),
        (None, chance >= 0.6),  # as bundles were before there was a promise
    ):
        answers = {name: value for name, value in data["answers"].items() if name != "promise"}
        answers |= {"promise": promise} if promise else {}
        (folder / "index/hybrid.json").write_text(json.dumps({**data, "answers": answers}))
        reseal(folder)
        assert Searcher.load(folder).answer(text).match is match


def test_the_server_tells_the_chance(whole: Path, serve: Callable[..., Server]) -> None:
    server = serve(whole)
    server.wait_ready()
    status, found, _ = server.ask("POST", "/v1/search", {"queries": ["UNAM", "zzzz"], "k": 2, "candidates": True})
    assert status == 200
    for result in found["results"]:
        assert len(result["hits"]) == 2
        assert 0 <= result["chance"] <= 1
        assert result["candidates"][0].keys() == {"doc_id", "text"}
    assert "candidates" not in server.ask("GET", "/v1/search?query=UNAM")[1]
    for body in ({"query": "a", "candidates": 1}, {"query": "a", "candidates": True, "direction": "label-to-alias"}):
        assert server.ask("POST", "/v1/search", body)[0] == 422


def test_a_bundle_without_answers_says_so(made: Path) -> None:
    searcher = Searcher.load(made)
    assert searcher.answer("UNAM").chance is None
    with pytest.raises(ConfigError, match="no candidate sets"):
        searcher.answer("UNAM", candidates=True)


@pytest.mark.parametrize("change", ["rows", "fusion", "answers", "language", "missing"])
def test_a_forged_hybrid_is_unfit(whole: Path, tmp_path: Path, change: str) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "b"))
    data = json.loads((folder / "index/hybrid.json").read_text())
    tensors = load_file(folder / "index/hybrid.safetensors")
    if change == "rows":
        tensors["0.rows"] = tensors["0.rows"] + 10_000
    elif change == "fusion":
        data["fusion"]["weights"][0][0] = float("inf")
    elif change == "answers":
        data["answers"]["weights"] = data["answers"]["weights"][:-1]
    elif change == "language":
        data["language"] = "../../etc"
    else:
        del data["parts"]
    (folder / "index/hybrid.json").write_text(json.dumps(data))
    save_file(tensors, str(folder / "index/hybrid.safetensors"))
    reseal(folder)
    with pytest.raises(ArtifactError):
        Searcher.load(folder)


def test_a_cross_encoder_judges_in_report_project_bundle_and_server_alike(
    judging: Project, reranking: Path, serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    names = [system.name for system in judging.report().systems]
    assert "hybrid, learned + reranked" in names
    blend = judging.runner.latest_of("hybrid").read_json("hybrid.json")["rerank"]
    assert blend["depth"] == 12
    place = reranking
    searcher = Searcher.load(place)
    assert json.loads((place / "manifest.json").read_text())["reranker"]["largest_score_difference"] < 0.01
    for text in QUERIES:
        (ours,) = searcher.answer_many([text], 8, rerank=True)
        theirs = judging.search(text, 8, rerank=True)
        assert len({hit.doc_id for hit in ours.hits} & {hit.doc_id for hit in theirs}) >= 6  # near ties, taught apart
    searcher.blend = Blend(ours=0.0, theirs=1.0, depth=12)  # the tiny one is worth nothing, and counts so
    (ours,) = searcher.answer_many(["college"], 12, rerank=True)
    scores = searcher.reranker.score([("college", hit.text) for hit in ours.hits])
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    (longer,) = searcher.answer_many(["college"], 60, rerank=True)
    assert falls(ours.hits) and falls(longer.hits)
    assert [hit.score for hit in longer.hits[:12]] == [hit.score for hit in ours.hits]
    server = serve(place)
    server.wait_ready()
    status, found, _ = server.ask("POST", "/v1/search", {"query": QUERIES[0], "k": 5, "rerank": True})
    assert status == 200
    assert len(found["hits"]) == 5
    assert run_command(["search", QUERIES[0], "--bundle", str(place), "--rerank", "--budget-ms", "500", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 10


def test_without_a_cross_encoder_reranking_is_refused(whole: Path) -> None:
    with pytest.raises(ConfigError, match="no cross-encoder"):
        Searcher.load(whole).answer_many(["a"], rerank=True)


def test_groups_bound_hits_and_nothing_else(whole: Path) -> None:
    plain, grouped = Searcher.load(whole), Searcher.load(whole)
    grouped.catalogue.group_by = "country"
    hits = grouped.search("university", 50)
    countries = [hit.fields["country"] for hit in hits]
    assert len(countries) == len(set(countries)) > 5
    for text in QUERIES:
        one, other = (searcher.answer(text, 3, candidates=True).candidates or () for searcher in (plain, grouped))
        assert [hit.doc_id for hit in one] == [hit.doc_id for hit in other]  # or the truth might be missing
        backwards = [searcher.search(text, 20, direction="label-to-alias") for searcher in (plain, grouped)]
        assert [hit.text for hit in backwards[0]] == [hit.text for hit in backwards[1]]


def test_the_first_hits_do_not_depend_on_how_many_are_asked_for(whole: Path) -> None:
    searcher = Searcher.load(whole)
    for text in (*QUERIES, "AB", "KU", "US"):
        few, many = searcher.search(text, 5), searcher.search(text, 150)
        assert [hit.doc_id for hit in few] == [hit.doc_id for hit in many[:5]]
        # Products of other shapes round their last digit otherwise on other CPUs.
        assert [hit.score for hit in few] == pytest.approx([hit.score for hit in many[:5]], rel=1e-5)


def falls(hits: Sequence[Hit]) -> bool:
    """Whether scores never rise down a list of hits, and those that rank by a share stay below a known name."""
    scores = [hit.score for hit in hits]
    return bool(scores) and scores == sorted(scores, reverse=True) and scores[0] <= 1


def test_scores_never_rise_down_the_list(whole: Path, made: Path) -> None:
    for searcher in (Searcher.load(whole), Searcher.load(made)):
        labels = [searcher.label_text(row) for row in (3, 40)]
        for text in (*QUERIES, *labels):
            for direction in ("alias-to-label", "label-to-alias"):
                for where in ({}, {"country": ["Brazil", "Austria"]}):
                    assert falls(searcher.search(text, 200, direction=direction, where=where)), (text, direction, where)
        assert falls(searcher.similar(searcher.search(labels[0])[0].doc_id, 50))
        assert [hit.score for hit in searcher.search(labels[0], 1)] == [1.0]


def test_the_score_is_the_share_of_the_hybrid_and_the_cosine_is_beside_it(whole: Path) -> None:
    searcher = Searcher.load(whole)
    assert searcher.hybrid is not None
    vector = searcher.encoder.encode(["college of arts"], "query")
    ranked = searcher.hybrid.rank("college of arts", searcher.gather(*ranked_with(searcher, "college of arts")))
    exps = np.exp(ranked.scores - ranked.scores.max())
    by_label = dict(zip(map(searcher.label_text, ranked.rows.tolist()), exps / exps.sum(), strict=True))
    for hit in searcher.search("college of arts", 10):
        assert hit.score == pytest.approx(by_label[hit.text], rel=1e-4)
        document = searcher.encoder.encode([hit.matched], "document")[0]
        assert hit.cosine == pytest.approx(float(document @ vector[0]), abs=1e-4)


def ranked_with(searcher: Searcher, text: str) -> tuple[str, Any, Any]:
    vector = searcher.encoder.encode([text], "query")
    return text, vector[0], searcher.nearest(vector, 60)[0]


def test_every_way_in_shows_the_same_hits_and_scores(
    whole: Path, serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(whole)
    server.wait_ready()
    searcher = Searcher.load(whole)
    searcher.warm()
    for text in QUERIES:
        wanted = [hit.as_dict() for hit in searcher.search(text, 5)]
        assert run_command(["search", text, "-k", "5", "--bundle", str(whole), "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        answered = server.ask("POST", "/v1/search", {"query": text, "k": 5})[1]["hits"]
        for shown in (printed, answered):
            assert [hit["doc_id"] for hit in shown] == [hit["doc_id"] for hit in wanted]
            for name in ("score", "cosine", "chance"):
                assert [hit[name] for hit in shown] == pytest.approx([hit[name] for hit in wanted], abs=1e-4)
            assert all(set(hit) == set(wanted[0]) for hit in shown)


def test_the_chance_of_a_hit_is_that_of_the_answer_and_falls(whole: Path) -> None:
    for answer in Searcher.load(whole).answer_many(QUERIES, 20):
        chances = [hit.chance or 0.0 for hit in answer.hits]
        assert chances[0] == answer.chance
        assert chances == sorted(chances, reverse=True)
    (filtered,) = Searcher.load(whole).answer_many(["UNAM"], where={"country": "Brazil"})
    assert {hit.chance for hit in filtered.hits} == {None}


def test_reasons_come_with_the_hits_where_they_are_asked_for(
    whole: Path, made: Path, serve: Callable[..., Server]
) -> None:
    searcher = Searcher.load(whole)
    (answer,) = searcher.answer_many(["state university"], 5, explain=True)
    for hit, reasons in zip(answer.hits, searcher.reasons("state university", list(answer.hits)), strict=True):
        assert hit.reasons == pytest.approx(reasons, abs=1e-3)
    log_odds = [np.log(hit.score) - sum((hit.reasons or {}).values()) for hit in answer.hits]
    assert log_odds == pytest.approx([log_odds[0]] * 5, abs=0.02)  # the parts are what makes the difference
    with pytest.raises(ConfigError, match="nothing to explain by"):
        Searcher.load(made).answer_many(["a"], explain=True)
    server = serve(whole)
    status, found, _ = server.ask("POST", "/v1/search", {"query": "state university", "k": 2, "explain": True})
    assert status == 200
    assert found["hits"][0]["reasons"].keys() == (answer.hits[0].reasons or {}).keys()
    assert "reasons" not in server.ask("POST", "/v1/search", {"query": "state university"})[1]["hits"][0]


def test_entities_of_one_name_stand_as_the_hybrid_ranks_them(fused: Project) -> None:
    searcher = fused.searcher()
    assert searcher.hybrid is not None
    shared = 0
    for name in {searcher.names.text(row) for row in range(searcher.names.n_texts)}:
        hits = searcher.search(name, 10)
        exact = [hit for hit in hits if hit.matched.casefold() == name.casefold()]
        vector = searcher.encoder.encode([name], "query")
        ranked = searcher.hybrid.rank(name, searcher.gather(name, vector[0], searcher.nearest(vector, 60)[0]))
        order = [searcher.label_text(row) for row in ranked.rows]
        places = [(hit.matched != name, order.index(hit.text)) for hit in exact if hit.text in order]
        assert places == sorted(places)
        shared += len({place for _, place in places}) > 1
    assert shared
