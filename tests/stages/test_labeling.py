"""Texts with a few labels, from the table to the report and the search."""

import csv
import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from honed import Project
from honed.cli.main import run_command
from honed.core.errors import ConfigError, DataError
from honed.data.task import read_rows
from honed.label.store import HandLabel, LabelStore
from honed.project.labels import suggestions
from honed.shapes.labels.records import Records, group_examples, splits_of
from honed.shapes.labels.similar import mean_average_precision
from tests.conftest import ROOT


@pytest.fixture
def news(tmp_path: Path, tiny_model: Path) -> Path:
    """The example's project with the tiny model and a quick training."""
    folder = Path(shutil.copytree(ROOT / "examples" / "news", tmp_path / "p"))
    shutil.rmtree(folder / "work", ignore_errors=True)
    change(folder, 'base = "minilm"', f'base = "{tiny_model.as_posix()}"')
    change(folder, "epochs = 4", "epochs = 1")
    return folder


def change(folder: Path, old: str, new: str) -> None:
    text = (folder / "honed.toml").read_text()
    assert old in text
    (folder / "honed.toml").write_text(text.replace(old, new))


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "news.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_whole_way_of_labels(news: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(news, "gain_over_base = 0.0", "gain_over_base = -1.0")
    assert run_command(["--quiet", "run", "--project", str(news)]) == 0
    assert "points of P@10" in capsys.readouterr().out
    project = Project(news)
    labels = {row["id"]: row for row in read_rows(project.runner.latest_of("label").path("labels.parquet"))}
    given = rows_of(news)
    for row in given:
        made = labels[row["id"]]
        if row["topic"] and row["split"] == "train":
            assert (made["source"], made["label"], made["confidence"]) == ("hand", row["topic"], 1.0)
        else:
            assert made["source"] in ("weak", "none")  # also where a test record has a label
            assert bool(made["label"]) == (made["source"] == "weak")
    examples = read_rows(project.runner.latest_of("label").path("examples.parquet"))
    text_of = {row["id"]: f"{row['title']} {row['text']}" for row in given}
    allowed = {text_of[key] for key, row in labels.items() if row["split"] == "train" and row["label"]}
    assert {each["anchor"] for each in examples} | {each["positive"] for each in examples} <= allowed
    assert all(0 < each["weight"] <= 1 and each["group"] for each in examples)
    report = project.report().as_dict()
    assert report["n_queries"] == sum(row["split"] == "test" for row in given)
    assert {each["name"] for each in report["systems"]} == {"base model", "fine-tuned", "TF-IDF, stemmed words"}
    assert report["labels"]["on_test"]["all"]["n"] == report["n_queries"]
    assert report["training"]["objective"] == "contrastive"
    page = project.runner.latest_of("evaluate").path("report.html").read_text()
    for said in (
        "Test records before and after",
        "A classifier on the vectors",
        "sea words",
        "records where rules fight",
    ):
        assert said in page
    assert "<script" not in page


def test_records_can_be_searched_and_shipped_like_names(
    news: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Project(news).run(until="index")
    record = rows_of(news)[0]
    assert run_command(["--quiet", "search", "--like", record["id"], "-k", "4", "--json", "--project", str(news)]) == 0
    hits = json.loads(capsys.readouterr().out)
    assert len(hits) == 4
    assert record["id"] not in {hit["doc_id"] for hit in hits}
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4]
    assert all(hit["fields"].get("label", "Harbour") in ("Harbour", "Kitchen", "Mountain", "Railway") for hit in hits)
    bundle = tmp_path / "bundle"
    assert run_command(["--quiet", "export", str(bundle), "--project", str(news)]) == 0
    capsys.readouterr()
    assert run_command(["search", record["text"], "-k", "1", "--json", "--bundle", str(bundle)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["doc_id"] in {
        row["id"] for row in rows_of(news) if row["text"] == record["text"]
    }
    assert run_command(["search", "--like", "no such", "--bundle", str(bundle)]) == 2


def test_what_does_not_change_is_not_made_again(news: Path) -> None:
    before = Project(news).run(until="label")
    assert Project(news).run(until="label")["label"].key == before["label"].key
    LabelStore(news / "labels.jsonl").add([HandLabel(id=rows_of(news)[5]["id"], label="Kitchen")])
    after = Project(news).run(until="label")
    assert after["label"].key != before["label"].key
    assert after["encode"].key == before["encode"].key
    (news / "terms.toml").write_text('[[list]]\nlabel = "Kitchen"\nwords = ["ladle"]\n')
    assert Project(news).run(until="label")["label"].key != after["label"].key


def test_a_broken_rule_stops_the_stage_and_the_others_are_reported(
    news: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (news / "rules.py").open("a") as file:
        file.write("\n\ndef lf_broken(row):\n    return 1 / (row.id != 'r003')\n\n\ndef lf_odd(row):\n    return 7\n")
    assert run_command(["--quiet", "label", "--project", str(news)]) == 2
    said = capsys.readouterr().err
    assert "E_LF_RAISED: lf_broken at record r003: ZeroDivisionError" in said or "E_LF_TYPE" in said
    assert "lf_odd" in said
    assert "speaks_of_trains (" in said
    assert not list(news.glob("work/label/*/labels.parquet"))


def test_hand_labels_come_from_the_store_too_and_the_last_one_counts(news: Path) -> None:
    free = next(row["id"] for row in rows_of(news) if not row["topic"] and row["split"] == "train")
    taught = next(row["id"] for row in rows_of(news) if row["topic"] == "Kitchen" and row["split"] == "train")
    store = LabelStore(news / "labels.jsonl")
    store.add([HandLabel(id=free, label="Harbour"), HandLabel(id=taught, label="Railway")])
    store.add([HandLabel(id=free, label="Mountain")])
    made = Project(news).run(until="label")["label"]
    labels = {row["id"]: row["label"] for row in read_rows(made.path("labels.parquet"))}
    assert (labels[free], labels[taught]) == ("Mountain", "Railway")
    store.add([HandLabel(id=free, label="Montain")])
    with pytest.raises(DataError, match=r"E_LABEL_UNKNOWN: labels.jsonl: Montain .*did you mean Mountain"):
        Project(news).run(until="label")


def test_labels_are_imported_from_a_refinery_export_or_refused_whole(
    news: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free = [row["id"] for row in rows_of(news) if not row["topic"]][:2]
    export = [
        {"id": free[0], "__Topic__MANUAL": "kitchen", "__Topic__WEAK_SUPERVISION__confidence": 0.4},
        {"id": free[1], "__Topic__MANUAL": None, "__Topic__WEAK_SUPERVISION__confidence": 0.9},
    ]
    (tmp_path / "export.json").write_text(json.dumps(export))
    command = ["--quiet", "label", "import", str(tmp_path / "export.json"), "--who", "anna", "--project", str(news)]
    assert run_command(command) == 0
    (kept,) = LabelStore(news / "labels.jsonl").read()
    assert (kept.id, kept.label, kept.who, kept.why) == (free[0], "Kitchen", "anna", "imported")
    for wrong, code in (({"id": "nobody"}, "E_ID_UNKNOWN"), ({"__Topic__MANUAL": "Kitchn"}, "E_LABEL_UNKNOWN")):
        (tmp_path / "export.json").write_text(
            json.dumps([export[0], {**export[1], "__Topic__MANUAL": "Railway", **wrong}])
        )
        capsys.readouterr()
        assert run_command(command) == 2
        assert code in capsys.readouterr().err
    assert len(LabelStore(news / "labels.jsonl").read()) == 1


def test_weak_labels_of_another_tool_are_one_more_voice(news: Path) -> None:
    rows = rows_of(news)
    with (news / "news.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, [*rows[0], "theirs", "sure"])
        table.writeheader()
        for number, row in enumerate(rows):
            table.writerow({**row, "theirs": "Kitchen" if number < 40 else "", "sure": "0.9" if number < 30 else "0.2"})
    change(news, 'split = "split"', 'split = "split"\nweak = "theirs"\nconfidence = "sure"')
    report = Project(news).run(until="label")["label"].read_json("label.json")
    voice = next(each for each in report["rules"] if each["rule"] == "imported weak labels")
    assert voice["records"] == 30


def test_suggestions_name_new_terms_and_records_without_a_label(news: Path) -> None:
    found = msgspec.to_builtins(suggestions(Project(news), 3, 7))
    train = {row["id"] for row in rows_of(news) if row["split"] == "train" and not row["topic"]}
    assert len(found["records"]) == 7
    assert {each["id"] for each in found["records"]} <= train
    taken = {"quay", "berth", "soup", "dough", "climbers", "trains"}
    assert found["terms"]
    assert not taken & {each["term"] for each in found["terms"]}


def test_without_a_learner_and_without_hand_labels_the_rules_label(news: Path) -> None:
    rows = rows_of(news)
    with (news / "news.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows({**row, "topic": "", "split": "train"} for row in rows)
    change(news, 'split = "split"\n', "")
    change(news, "[label]", '[label]\nlearner = "none"\nthreshold = "none"')
    text = (news / "honed.toml").read_text()
    (news / "honed.toml").write_text(text[: text.index("[train]")])
    report = Project(news).run()["label"].read_json("label.json")
    spoken = [each["records"] for each in report["rules"]]
    assert max(spoken) <= report["labelled"] <= sum(spoken)
    assert report["on_test"] is None


def test_without_hand_labels_records_that_no_rule_speaks_for_stay_without_a_label(news: Path) -> None:
    rows = rows_of(news)
    with (news / "news.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows({**row, "topic": "" if row["split"] == "train" else row["topic"]} for row in rows)
    made = Project(news).run(until="label")["label"]  # labels in test alone are enough to measure with
    with np.load(made.path("votes.npz")) as stored:
        spoken = (stored["votes"] >= 0).any(axis=1)
    given = np.array([bool(row["label"]) for row in read_rows(made.path("labels.parquet"))])
    assert given.any()
    assert not (given & ~spoken).any()
    assert made.read_json("label.json")["on_test"]["all"]["n"] == 56


def test_columns_that_are_sometimes_empty_are_there_for_rules(news: Path) -> None:
    rows = [{**row, "price": None if at % 2 == 0 else "7"} for at, row in enumerate(rows_of(news))]
    (news / "news.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    change(news, "news.csv", "news.jsonl") if "news.csv" in (news / "honed.toml").read_text() else None
    with (news / "rules.py").open("a") as file:
        file.write("\n\ndef lf_price(row):\n    return 'Kitchen' if row['price'] == '7' else None\n")
    report = Project(news).run(until="label")["label"].read_json("label.json")
    assert next(each for each in report["rules"] if each["rule"] == "lf_price")["records"] == len(rows) // 2


def test_modules_beside_the_rules_count(news: Path) -> None:
    before = Project(news).run(until="label")["label"].key
    (news / "helper.py").write_text("WORDS = ()\n")
    assert Project(news).run(until="label")["label"].key != before


def test_settings_that_cannot_work_are_refused(news: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (news / "honed.toml").read_text()
    for old, new, code in (
        ('title = "title"\ntext = "text"\n', "", "E_CONFIG_MISSING"),
        ('labels = ["Harbour", "Kitchen", "Mountain", "Railway"]', 'labels = ["Harbour"]', "E_LABEL"),
    ):
        assert old in text
        (news / "honed.toml").write_text(text.replace(old, new))
        assert run_command(["--quiet", "label", "--project", str(news)]) == 2
        assert code in capsys.readouterr().err
    (news / "honed.toml").write_text(text)
    assert run_command(["--quiet", "label", "--project", str(news), "suggest"]) == 2
    assert "behind the sub-command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("section", "code"),
    [("[mine]\n", "E_CONFIG_SHAPE"), ("[distil]\n", "E_CONFIG_SHAPE"), ("[cross_encoder]\n", "E_CONFIG_SHAPE")],
)
def test_sections_for_pairs_are_refused(news: Path, section: str, code: str) -> None:
    (news / "honed.toml").write_text((news / "honed.toml").read_text() + f"\n{section}")
    with pytest.raises(ConfigError) as caught:
        Project(news)
    assert caught.value.code == code


def test_labels_that_are_mostly_wrong_are_refused_unless_allowed(
    news: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(news, 'lists = ["lists.toml"]', 'lists = ["lies.toml"]')
    change(news, 'rules = ["rules.py"]', 'rules = []\nlearner = "none"')
    words = "['boat', 'harbour', 'train', 'rail', 'hut', 'peak', 'the', 'a', 'of']"
    (news / "lies.toml").write_text(f"[[list]]\nlabel = 'Kitchen'\nwords = {words}\n", encoding="utf-8")
    assert run_command(["--quiet", "label", "--project", str(news)]) == 2
    said = capsys.readouterr().err
    assert "E_LABEL_WORSE" in said
    assert "asked for: 50 % (label.least_right). No labels were written." in said
    assert run_command(["--quiet", "label", "suggest", "--project", str(news)]) == 0  # what would help is shown
    capsys.readouterr()
    assert run_command(["--quiet", "label", "--allow-worse", "--project", str(news)]) == 0
    assert "W_LABEL_WORSE" in capsys.readouterr().err
    with pytest.raises(DataError, match="E_LABEL_WORSE"):
        Project(news).label()


def test_the_learner_can_read_title_and_text_apart(news: Path) -> None:
    change(news, "[label]", '[label]\nlearner = "fields"')
    change(news, "gain_over_base = 0.0", "gain_over_base = -1.0")
    made = Project(news).run()
    vectors = np.load(made["encode"].path("vectors.npy"))
    assert vectors.shape[1] == 64  # twice the tiny model's
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-2)
    assert Project(news).report().as_dict()["systems"][1]["name"] == "base model"


def test_a_head_is_trained_by_configuration(news: Path) -> None:
    change(news, "epochs = 1", 'epochs = 1\nhead = "skip"\nobjective = "triplet"')
    made = Project(news).run(until="train")
    assert made["train"].read_json("history.json")["head"] == "skip"


# -- parts ------------------------------------------------------------------------------------------


def test_splits_are_drawn_by_text_and_hold_when_labels_come() -> None:
    texts = [f"text {number}" for number in range(400)]
    few = np.array([0 if number % 4 == 0 else -1 for number in range(400)])
    more = np.array([0 if number % 2 == 0 else -1 for number in range(400)])
    first, second = (splits_of(texts, each, [""] * 400, test=0.3, dev=0.2, seed=1) for each in (few, more))
    labelled = np.flatnonzero(few >= 0)
    assert (first[labelled] == second[labelled]).all()
    assert "dev" not in first[few < 0]  # those are there to be learned from
    assert (first == "test").tolist() == (second == "test").tolist()  # also of records that have no label yet
    assert 90 <= (first == "test").sum() <= 150
    for seed in range(20):  # a copy without a label is on its twin's side
        twins = splits_of(["same", "Same "], np.array([0, -1]), ["", ""], test=0.3, dev=0.4, seed=seed)
        assert twins[0] == twins[1]


def test_given_splits_hold_and_dev_is_drawn_from_train() -> None:
    given = ["train"] * 200 + ["test"] * 50
    found = splits_of([f"t{n}" for n in range(250)], np.zeros(250, dtype=np.int64), given, test=0.2, dev=0.3, seed=0)
    assert (found[200:] == "test").all()
    assert "test" not in found[:200]
    assert 40 <= (found == "dev").sum() <= 80


def test_examples_pair_each_record_with_another_of_its_group() -> None:
    texts = ["a1", "a2", "a3", "b1", "b2", "c1"]
    found = group_examples(texts, list("aaabbc"), [1.0, 0.5, 1.0, 1.0, 1.0, 1.0], ["hand"] * 6, 0)
    assert sorted(each.anchor for each in found) == ["a1", "a2", "a3", "b1", "b2"]
    assert all(each.anchor[0] == each.positive[0] == each.group and each.anchor != each.positive for each in found)
    assert {each.weight for each in found if "a2" in (each.anchor, each.positive)} == {0.5}


def test_average_precision_against_sklearn() -> None:
    from sklearn.metrics import average_precision_score

    random = np.random.default_rng(0)
    vectors = random.normal(size=(40, 6)).astype(np.float32)
    classes = random.integers(0, 3, 40)
    wanted = []
    for row in (0, 7):
        others = np.arange(40) != row
        wanted.append(average_precision_score((classes == classes[row])[others], (vectors @ vectors[row])[others]))
    assert mean_average_precision(vectors, classes, np.array([0, 7])) == pytest.approx(np.mean(wanted))


def test_records_are_read_as_they_are_asked_for(news: Path) -> None:
    records = Records(Project(news).run(until="import")["import"].path("records.parquet"))
    given = rows_of(news)
    assert len(records) == len(given)
    assert [row["id"] for row in records[10:13]] == [row["id"] for row in given[10:13]]
    assert dict(records[3]) == {key: given[3][key] for key in ("id", "title", "text")}
    assert [row["title"] for row in records] == [row["title"] for row in given]


# -- with the real model ------------------------------------------------------------------------------


@pytest.mark.slow
def test_weak_labels_of_the_example_are_right_and_fine_tuning_keeps_classes_together(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ROOT / "examples" / "news", tmp_path / "p"))
    shutil.rmtree(folder / "work", ignore_errors=True)
    Project(folder).run()  # a failed gate raises
    report = Project(folder).report().as_dict()
    assert report["labels"]["on_test"]["all"]["accuracy"]["low"] > 0.85
    assert report["labels"]["on_test"]["kept"]["accuracy"]["mean"] > 0.95
    by_name = {each["name"]: each["measures"]["P@10"]["mean"] for each in report["systems"]}
    assert by_name["fine-tuned"] > max(by_name["TF-IDF, stemmed words"], by_name["base model"]) + 0.1
    assert by_name["fine-tuned"] > 0.85
