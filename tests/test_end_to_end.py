"""The whole way on real weights and the demo table: the winner is asserted, not only the exit code."""

from pathlib import Path

import pytest

from honed import Hit, Project
from tests.conftest import write_project

pytestmark = pytest.mark.timeout(900)  # a real training run, on machines that do other things as well


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, institutions: list[dict[str, str]]) -> Project:
    folder = write_project(
        tmp_path_factory.mktemp("e2e"),
        institutions,
        "minilm",
        n_entities=2000,
        train="epochs = 1\nbatch_size = 64\nlearning_rate = 1e-4",
    )
    found = Project(folder)
    found.run()
    return found


def test_fine_tuning_beats_the_base_model_on_unseen_institutions(project: Project) -> None:
    report = project.report().as_dict()
    gain = next(
        each["difference"]
        for each in report["comparisons"]
        if each["reference"] == "base model" and each["measure"] == "MRR@10"
    )
    assert report["protocol"] == "held-out"
    assert report["audit"]["overlap"]["test_aliases_in_train"] == 0
    assert report["audit"]["overlap"]["test_entities_in_train"] == 0
    assert gain["low"] > 0
    assert project.report().as_dict()["training"]["kept"] == "tuned"


def test_meaning_beats_words_where_words_cannot_help(project: Project) -> None:
    systems = {each["name"]: each for each in project.report().as_dict()["systems"]}
    words, tuned = systems["BM25, stemmed words"], systems["fine-tuned"]
    assert tuned["measures"]["R@1"]["low"] > words["measures"]["R@1"]["mean"]
    for name in ("kind=translation", "kind=misspelling"):
        assert tuned["slices"][name]["R@1"]["mean"] > words["slices"][name]["R@1"]["mean"]


def test_a_known_alias_and_a_slip_are_answered(project: Project) -> None:
    hits = project.search("UdeG", k=3)
    assert isinstance(hits[0], Hit)
    assert (hits[0].text, hits[0].matched) == ("University of Guadalajara", "UdeG")
    assert hits[0].score > 0.99
    slip = project.search("Guadalajara Univercity", k=1)[0]
    assert isinstance(slip, Hit)
    assert slip.text == "University of Guadalajara"
    assert 0.5 < slip.score < 0.99


def test_a_label_finds_its_aliases(project: Project) -> None:
    found = project.search("University of Guadalajara", k=5, direction="label-to-alias")
    assert any(isinstance(hit, Hit) and hit.fields["label"] == "University of Guadalajara" for hit in found)


@pytest.mark.slow
def test_real_data_reproduces_the_known_figures(real_data: Path, tmp_path: Path) -> None:
    """dbpedia_schools: the audit, and the lexical baselines on a qid-disjoint split, without training.

    The draw of the split alone moves the baselines by two points (docs/benchmarks.md has three draws).
    """
    (tmp_path / "honed.toml").write_text(
        f"""
[paths]
input = ["{(real_data / "dbpedia_schools" / "dbpedia_schools.csv").as_posix()}"]
[data]
shape = "aliases"
on_bad_row = "quarantine"
[data.columns]
id = "qid"
label = "label"
alias = "alias"
[split]
seed = 2
[evaluate]
[baselines]
""",
        encoding="utf-8",
    )
    project = Project(tmp_path)
    project.run()
    audit, report = project.audit().data, project.report().as_dict()
    assert audit["import"]["rows_in"] == 32_874
    assert audit["import"]["rejected"] == 947
    assert audit["label_strings"] == report["n_candidates"] == 20_272
    assert audit["ceiling"] == pytest.approx(0.935, abs=0.005)
    assert audit["dictionary"]["catalogue"] == pytest.approx(0.929, abs=0.02)
    by_name = {each["name"]: each["measures"] for each in report["systems"]}
    for name, wanted in {
        "BM25, stemmed words": (0.316, 0.398, 0.458),
        "TF-IDF, stemmed words": (0.334, 0.408, 0.473),
        "TF-IDF, character 2-4-grams": (0.373, 0.469, 0.542),
        "initials, then character TF-IDF": (0.429, 0.544, 0.637),
    }.items():
        for measure, value in zip(("R@1", "R@3", "R@10"), wanted, strict=True):
            assert by_name[name][measure]["mean"] == pytest.approx(value, abs=0.02), (name, measure)
