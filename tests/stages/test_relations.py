"""Relations to intents: from sentences with entities to labelled retrieval, and what fine-tuning changed."""

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from honed import Project
from honed.cli.main import run_command
from honed.core.errors import ConfigError, DataError
from honed.evaluate.classes import MAP, class_scores, completed, nearest
from honed.evaluate.measures import Measure
from honed.project.seeds import run_seeds
from honed.shapes.grouped.neighbours import neighbour_changes
from honed.shapes.grouped.retrieval import first_rows
from honed.shapes.grouped.texts import LabelledQueries
from honed.shapes.relations.explain import held_out_pairs
from tests.conftest import ROOT
from tests.shapes.test_relations import sentence

EXAMPLE = ROOT / "examples" / "intents"


@pytest.fixture
def intents(tmp_path: Path, tiny_model: Path) -> Path:
    """The example's project with the tiny model and a quick training."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "p", ignore=shutil.ignore_patterns("work")))
    change(folder, 'base = "minilm"', f'base = "{tiny_model.as_posix()}"')
    change(folder, "epochs = 10", "epochs = 1\nevaluations = 1")
    change(folder, "pairs = 40\ncheck = 20", "pairs = 10\ncheck = 3\nsteps = 4")
    return folder


def change(folder: Path, old: str, new: str) -> None:
    text = (folder / "honed.toml").read_text()
    assert old in text
    (folder / "honed.toml").write_text(text.replace(old, new))


def test_the_whole_way_of_relations(intents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--quiet", "run", "--project", str(intents)]) == 0
    assert "points of Hit@1" in capsys.readouterr().out
    project = Project(intents)
    report = project.report().as_dict()
    assert (report["n_queries"], report["n_candidates"]) == (58, 91)
    assert list(report["systems"][0]["measures"]) == ["Hit@1", "Hit@2", "Hit@3", "R@10", "R@100", "mAP", "kNN@5"]
    assert {each["name"] for each in report["systems"]} >= {"base model", "fine-tuned", "BM25, stemmed words"}
    assert report["training"]["objective"] == "triplet"
    near = report["neighbours"]
    assert near["gained"] + near["lost"] + near["right_both"] + near["wrong_both"] == 58
    seen = report["explained"]
    assert seen["pairs"] == 10
    assert set(seen["faithful"]) == {"base model", "fine-tuned"}
    assert 0 < seen["entity_share"]["base model"]["mean"] < 1
    page = project.runner.latest_of("evaluate").path("report.html").read_text()
    for said in ("What fine-tuning changed: neighbours", "Do contributions tell the truth?", "The triplets", "kNN@5"):
        assert said in page
    assert "<script" not in page
    hits = project.search("Cancel the ferry to Gotland", 3)
    assert all(hit.fields["label"] in report["classes"] for hit in hits)  # utterances are searched, with their intent
    bundle = intents / "bundle"
    assert run_command(["--quiet", "export", str(bundle), "--most-flips", "1", "--project", str(intents)]) == 0
    capsys.readouterr()
    assert run_command(["search", "Cancel the ferry to Gotland", "-k", "1", "--json", "--bundle", str(bundle)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["fields"]["label"] in report["classes"]
    assert run_command(["--quiet", "explain", "--project", str(intents)]) == 0
    assert "words that are entities" in capsys.readouterr().out


def test_seeds_are_run_apart_and_reported_together(intents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(intents, "[explain]\npairs = 10\ncheck = 3\nsteps = 4\n", "")
    assert run_command(["--quiet", "run", "--seeds", "0,1", "--project", str(intents)]) == 0
    assert "by seed" in capsys.readouterr().out
    found = json.loads((intents / "work" / "seeds.json").read_text())
    tuned = next(each for each in found["systems"] if each["name"] == "fine-tuned")["measures"]["mAP"]
    base = next(each for each in found["systems"] if each["name"] == "base model")["measures"]["mAP"]
    assert len(set(base["each"])) == 1
    assert tuned["low"] <= tuned["mean"] <= tuned["high"]
    assert found["gain"]["mAP"]["mean"] == pytest.approx(np.mean(tuned["each"]) - base["mean"], abs=1e-4)
    assert len(list((intents / "work" / "train").glob("*/manifest.json"))) == 2
    for seeds in ([0], [1, 1]):
        with pytest.raises(ConfigError, match="different seeds"):
            run_seeds(intents, seeds)
    assert run_command(["--quiet", "run", "--seeds", "one", "--project", str(intents)]) == 2


def test_without_utterances_held_out_relations_find_each_other(intents: Path) -> None:
    text = (intents / "honed.toml").read_text()
    start, end = text.index("[retrieval]"), text.index("[explain]")
    (intents / "honed.toml").write_text(
        text[:start] + text[end:].replace("pairs = 10\ncheck = 3", "pairs = 10\ncheck = 0")
    )
    report = Project(intents).run()
    report = Project(intents).report().as_dict()
    assert report["retrieval"]["same"]
    assert report["n_candidates"] == report["n_queries"] - 1
    assert set(report["classes"]) == {"waits for", "loses", "repairs", "praises"}
    assert report["explained"]["faithful"] == {}


def test_labelled_texts_alone_are_trained_on_and_searched(intents: Path) -> None:
    rows = (intents / "utterances.csv").read_text().splitlines()
    (intents / "own.csv").write_text("\n".join(["id," + rows[0], *(f"u{n},{row}" for n, row in enumerate(rows[1:]))]))
    text = (intents / "honed.toml").read_text()
    base = next(line for line in text.splitlines() if line.startswith("base"))
    (intents / "honed.toml").write_text(
        '[paths]\ninput = ["own.csv"]\n[data]\nshape = "labels"\n[data.columns]\nid = "id"\ntext = "text"\n'
        f'label = "intent"\nsplit = "split"\n[model]\n{base}\n[train]\nepochs = 1\n[index]\n[retrieval]\n[evaluate]\n'
    )
    Project(intents).run()
    report = Project(intents).report().as_dict()
    assert report["training"]["objective"] == "contrastive"
    assert report["retrieval"]["corpus"] + report["retrieval"]["queries"] < len(rows) - 1  # dev is neither
    assert report["n_queries"] == 58


def test_texts_on_both_sides_are_counted_and_left_out_where_that_is_asked(intents: Path) -> None:
    rows = (intents / "utterances.csv").read_text().splitlines()
    train = next(row for row in rows if row.endswith(",train"))
    text, intent, _ = train.rsplit(",", 2)
    with (intents / "utterances.csv").open("a") as file:
        file.write(f"{text.upper()},{intent},test\n{text.lower()},other,test\n")
    made = Project(intents).run(until="retrieval")["retrieval"].read_json("retrieval.json")
    assert made["duplicates"]["count"] == 2
    assert made["duplicates"]["with_another_label"] == 1
    assert (made["queries"], made["without_an_answer"]) == (60, 1)
    change(intents, "[retrieval]", "[retrieval]\nexclude_duplicates = true")
    made = Project(intents).run(until="retrieval")["retrieval"].read_json("retrieval.json")
    assert (made["queries"], made["duplicates"]["count"]) == (58, 2)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[triplets]", "[mine]\n[triplets]", r"\[mine\] goes with"),
        ('corpus = ["train"]', 'corpus = ["trian"]', "retrieval.corpus"),
        ('queries = ["test"]', 'queries = ["train"]', "searched with itself"),
        ('label = "intent"\n', "", "retrieval.columns.label"),
        ('negatives = ["same-entities"]', 'negatives = ["random"]', "triplets.negatives"),
        ("[index]\n", "", r"needs the section \[index\]"),
        ("[triplets]", "[gate]\nlatency_ms = 1\n[triplets]", "gate.latency_ms"),
        ('shape = "relations"', 'shape = "labels"', "goes with data.shape"),
    ],
)
def test_a_configuration_that_cannot_work_says_why(intents: Path, old: str, new: str, said: str) -> None:
    change(intents, old, new)
    with pytest.raises(ConfigError, match=said):
        Project(intents)


def test_the_index_has_a_loss_of_its_own(intents: Path) -> None:
    pytest.importorskip("annoy", reason="annoy is not installed: pip install 'honed[annoy]' needs a C++ compiler")
    change(intents, "neighbours = 5", "neighbours = 5\nannoy_trees = 2\nannoy_search_k = 10")
    change(intents, "[explain]\npairs = 10\ncheck = 3\nsteps = 4\n", "")
    Project(intents).run()
    report = Project(intents).report().as_dict()
    narrow, wide = (row for row in report["annoy"] if row["name"] == "base model")
    assert narrow["search_k"] == 10
    assert narrow["recall"]["mean"] < wide["recall"]["mean"]
    assert wide["hits"]["1"] <= wide["exact_hits"]["3"]
    exact = next(each for each in report["systems"] if each["name"] == "base model")["measures"]
    assert [narrow["exact_hits"][k] for k in "123"] == [exact[f"Hit@{k}"]["mean"] for k in "123"]


# -- measures ------------------------------------------------------------------------------------


def test_measures_of_classes_by_hand() -> None:
    corpus = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]], dtype=np.float32)
    classes = np.array([0, 1, 1, 0])
    asked, wanted = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32), np.array([0, 2])
    measures = [Measure("Hit", 1), Measure("Hit", 2), Measure("P", 2), Measure("R", 3), MAP, Measure("kNN", 3)]
    found = class_scores(nearest(asked, corpus), wanted, classes, measures)
    # the first query ranks rows 0, 1, 3, 2: classes 0 1 0 1; the second asks for a class that is not there
    assert {str(measure): values.tolist() for measure, values in found.items()} == {
        "Hit@1": [1, 0],
        "Hit@2": [1, 0],
        "P@2": [0.5, 0],
        "R@3": [1, 0],
        "mAP": pytest.approx([(1 + 2 / 3) / 2, 0]),
        "kNN@3": [1, 0],
    }


def test_the_vote_of_neighbours_is_not_just_the_nearest() -> None:
    corpus = np.array([[1.0, 0.0], [0.99, 0.1], [0.98, 0.2], [0.0, 1.0]], dtype=np.float32)
    asked = np.array([[1.0, 0.0]], dtype=np.float32)
    found = class_scores(
        nearest(asked, corpus), np.array([1]), np.array([0, 1, 1, 0]), [Measure("kNN", 3), Measure("Hit", 1)]
    )
    assert [values.tolist() for values in found.values()] == [[1], [0]]


def test_rankings_leave_the_own_row_out_and_may_end_early() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(700, 8)).astype(np.float32)
    own = np.arange(700)
    whole = np.concatenate([each.rows for each in nearest(vectors, vectors, own)])
    assert whole.shape == (700, 699)
    assert not (whole == own[:, None]).any()
    short = np.concatenate([each.rows for each in nearest(vectors, vectors, own, depth=10)])
    assert (short == whole[:, :10]).all()


def test_hits_of_words_are_completed_by_what_has_nothing_in_common() -> None:
    hits = [[(2, 0.9), (0, 0.5)], []]
    random = np.random.default_rng(0)
    (found,) = completed(hits, 4, random)
    assert found.rows[0, :2].tolist() == [2, 0]
    assert sorted(found.rows[1].tolist()) == [0, 1, 2, 3]
    (found,) = completed(hits, 4, random, own_rows=np.array([2, 1]))
    assert found.rows.shape == (2, 3)
    assert found.rows[0, 0] == 0
    assert 1 not in found.rows[1]


def test_neighbours_gained_and_lost() -> None:
    asked = LabelledQueries(
        corpus=["wake me", "play jazz", "wake up"], queries=["alarm", "music"],
        corpus_classes=np.array([0, 1, 0]), classes=np.array([0, 1]), names=["alarm", "music"], own=None, facts={},
    )  # fmt: skip
    corpus = np.eye(3, dtype=np.float32)
    before = np.array([[0.1, 0.9, 0.0], [0.0, 0.9, 0.1]], dtype=np.float32)
    after = np.array([[0.9, 0.1, 0.0], [0.8, 0.1, 0.2]], dtype=np.float32)
    found = msgspec.to_builtins(
        neighbour_changes(asked, first_rows(asked, (before, corpus)), first_rows(asked, (after, corpus)))
    )
    assert (found["gained"], found["lost"], found["right_both"], found["wrong_both"]) == (1, 1, 0, 0)
    assert found["gained_cases"][0]["query"] == "alarm"
    assert found["gained_cases"][0]["before"]["text"] == "play jazz"
    assert found["lost_cases"][0]["after"]["label"] == "alarm"


def test_pairs_of_held_out_sentences_take_the_relations_in_turn() -> None:
    rows = [sentence(f"A{n} knows B{n}", f"A{n}", f"B{n}", f"r{n % 3}", split="test") for n in range(12)]
    rows += [sentence(f"C{n} sees D{n}", f"C{n}", f"D{n}", "r0") for n in range(5)]
    pairs = held_out_pairs(rows, 4, 0)
    assert [first.relation for first, _ in pairs] == ["r0", "r1", "r2", "r0"]
    assert all(first.relation == second.relation and first.split == "test" for first, second in pairs)
    with pytest.raises(DataError, match="held-out"):
        held_out_pairs(rows[12:], 4, 0)


# -- with the real model -------------------------------------------------------------------------


@pytest.mark.slow
def test_fine_tuning_on_the_example_moves_from_names_to_what_is_said(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "p", ignore=shutil.ignore_patterns("work")))
    Project(folder).run()
    report = Project(folder).report().as_dict()
    gain = next(
        each for each in report["comparisons"] if each["measure"] == "mAP" and each["reference"] == "base model"
    )
    assert gain["difference"]["low"] > 0
    assert report["explained"]["difference"]["high"] < 0
    base, tuned = Project(folder).explain("Cancel the ferry to Gotland", "Reserve the ferry to Gotland").models
    assert tuned.cosine < base.cosine
    for ways in report["explained"]["faithful"].values():
        assert ways["deletion"]["against"]["attention"]["high"] < 0
        assert ways["insertion"]["against"]["attention"]["low"] > 0
