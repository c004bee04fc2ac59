"""A language model as judge: its agreement with people, what corrects it, and where its grades stand."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed import Project
from honed.cli.main import run_command
from honed.core.errors import ConfigError, DataError
from honed.data.endpoint import Endpoint, EndpointConfig
from honed.feedback.agreement import measure_agreement, weighted_kappa
from honed.feedback.examination import Floats
from honed.feedback.judging import ModelJudge, Question, judge_instruction
from honed.feedback.prediction_powered import predicted_mean
from tests.data.test_endpoint import Model, model, said

__all__ = ["model"]  # a fixture
ACTIONS = ("paint", "repair", "buy", "clean", "carry", "insure")
THINGS = ("boat", "fence", "piano", "kettle", "wall", "bicycle", "lamp", "carpet")


class TestKappa:
    def test_it_is_that_of_a_table_by_hand(self) -> None:
        ours, theirs = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 2, 0])
        # observed squares: 0 1 0 0 0 4, mean 5/6; by chance: mean of (i - j)^2 over all pairs of both lists
        by_chance = np.mean([(i - j) ** 2 for i in ours for j in theirs])
        assert weighted_kappa(ours, theirs) == pytest.approx(1 - 5 / 6 / by_chance)

    def test_it_agrees_with_an_independent_library(self) -> None:
        metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
        generator = np.random.default_rng(0)
        ours = generator.integers(0, 4, 300)
        theirs = np.clip(ours + generator.integers(-1, 2, 300), 0, 3)
        wanted = metrics.cohen_kappa_score(ours, theirs, weights="quadratic")
        assert weighted_kappa(ours, theirs) == pytest.approx(wanted)
        found = measure_agreement(ours, theirs, [str(number // 3) for number in range(300)])
        assert found.kappa == pytest.approx(wanted)
        assert found.low < found.kappa < found.high
        assert (found.n, found.same) == (300, (ours == theirs).mean())

    def test_chance_is_zero_and_one_grade_alone_is_none(self) -> None:
        generator = np.random.default_rng(1)
        found = measure_agreement(generator.integers(0, 3, 900), generator.integers(0, 3, 900), [*map(str, range(900))])
        assert found.low < 0 < found.high and abs(found.kappa) < 0.1
        assert np.isnan(weighted_kappa(np.ones(3, dtype=np.int64), np.ones(3, dtype=np.int64)))


def population(generator: np.random.Generator, size: int) -> tuple[Floats, Floats]:
    """Return true values and what a judge that is 0.3 too high predicts for them."""
    true = generator.normal(0.1, 1.0, size)
    return true, true + 0.3 + generator.normal(0.0, 0.5, size)


class TestPredictionPowered:
    def test_intervals_hold_the_truth_and_are_narrower_than_without_predictions(self) -> None:
        generator = np.random.default_rng(2)
        held, widths, plain_widths, model_errors = 0, [], [], []
        for _ in range(600):
            true, predicted = population(generator, 460)
            found = predicted_mean(true[:60], predicted[:60], predicted[60:])
            plain = predicted_mean(true[:60], predicted[:60], np.zeros(0))
            held += found.low <= 0.1 <= found.high
            widths.append(found.high - found.low)
            plain_widths.append(plain.high - plain.low)
            model_errors.append(predicted.mean() - 0.1)
        assert 0.92 < held / 600 < 0.98
        assert np.mean(widths) < 0.75 * np.mean(plain_widths)
        assert np.mean(model_errors) == pytest.approx(0.3, abs=0.02)  # what the model alone would be wrong by

    def test_predictions_that_tell_nothing_count_little(self) -> None:
        generator = np.random.default_rng(3)
        true, noise = generator.normal(size=200), generator.normal(size=1200)
        found, plain = (predicted_mean(true, noise[:200], alone) for alone in (noise[200:], np.zeros(0)))
        assert found.weight < 0.2 and plain.weight == 0
        assert found.high - found.low < 1.02 * (plain.high - plain.low)
        assert plain.mean == true.mean()
        assert predicted_mean(true, np.zeros(200), np.zeros(9)) == plain


class TestModelJudge:
    def judge(self, model: Model, folder: Path, instruction: str = "Grade.") -> ModelJudge:
        endpoint = Endpoint(EndpointConfig(url=model.url, model="m"), folder / "endpoint.jsonl")
        return ModelJudge(endpoint, instruction, 3, folder)

    @pytest.mark.parametrize(
        ("answer", "grade"),
        [("2", 2), (" Grade: 3.", 3), ("0", 0), ("2 2", 2), ("4", None), ("1 or 2", None), ("2.5", None), ("-1", None)],
    )
    def test_an_answer_is_one_grade_or_none(self, model: Model, tmp_path: Path, answer: str, grade: int | None) -> None:
        model.answers = [said(answer)]
        judge = self.judge(model, tmp_path)
        assert judge.grade(Question(query_id="q", doc_id="d", query="a", document="b")) == grade
        assert judge.unreadable == (grade is None)

    def test_a_grade_is_written_once_with_model_prompt_and_time(self, model: Model, tmp_path: Path) -> None:
        model.answers = [said("1")]
        question = Question(query_id="q", doc_id="d", query="a", document="b", person=2)
        for _ in range(2):
            judge = self.judge(model, tmp_path)
            assert [judge.grade(question), judge.grade(question)] == [1, 1]
        self.judge(model, tmp_path, "Grade well.").grade(question)
        rows = [json.loads(line) for line in judge.file.read_text().splitlines()]
        assert len(model.asked) == len(rows) == 2
        assert {key: rows[0][key] for key in ("query_id", "doc_id", "model_grade", "person_grade", "model")} == {
            "query_id": "q",
            "doc_id": "d",
            "model_grade": 1,
            "person_grade": 2,
            "model": "m",
        }
        assert rows[0]["at"].endswith("+00:00") and rows[0]["prompt_sha256"] == judge.prompt_hash
        assert rows[1]["prompt_sha256"] != rows[0]["prompt_sha256"]

    def test_the_instruction_names_grades_in_their_order(self) -> None:
        told = judge_instruction(10, {"10": "right", "2": "near"}, "Only boats. ")
        assert "from 0 to 10. 2: near. 10: right. Only boats. The query" in told


class Grader:
    """Answers as a person would grade, or by ``wrong`` at every fourth pair; the only element of a list of answers."""

    def __init__(self, model: Model, *, random: bool = False) -> None:
        self.model, self.random = model, random

    def __len__(self) -> int:
        return 1

    def __getitem__(self, _: int) -> Any:
        body = self.model.asked[-1][1]
        assert body["temperature"] == 0
        query, document = body["messages"][1]["content"].split("\n\nDocument:\n")
        right = grade_of(query, document)
        number = len(self.model.asked)
        return said(str(number % 4 if self.random else min(3, right + (number % 4 == 0))))


def grade_of(query: str, document: str) -> int:
    thing = next(thing for thing in THINGS if thing in query)
    action = next(action for action in ACTIONS if action in query)
    return 0 if thing not in document else 3 if action in document else 1


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Project:
    """48 documents, 80 test queries; people judged every document for half of them, one for the others."""
    folder = tmp_path_factory.mktemp("shop")
    documents = {f"{a}-{t}": f"how to {a} any {t} at home" for a in ACTIONS for t in THINGS}
    queries, qrels = [], []
    for number, (doc_id, text) in enumerate(documents.items()):
        action, thing = doc_id.split("-")
        for form, query in enumerate((f"{thing} {action}ing", f"can i {action} my {thing}")):
            query_id, split = f"q{number}-{form}", "train" if number < 8 else "test"
            queries.append([query_id, query, split])
            judged = documents if number % 2 else {doc_id: text}
            qrels += [[query_id, other, grade_of(query, documents[other])] for other in judged]
    tables = {
        "docs": [["doc_id", "text"], *map(list, documents.items())],
        "queries": [["query_id", "query", "split"], *queries],
        "qrels": [["query_id", "doc_id", "relevance"], *qrels],
    }
    for name, rows in tables.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    (folder / "honed.toml").write_text(f"""
[paths]
input = ["docs.csv"]
[data]
shape = "judgments"
[data.columns]
id = "doc_id"
text = "text"
[model]
base = "{tiny_model.as_posix()}"
[judgments]
queries = ["queries.csv"]
qrels = ["qrels.csv"]
[baselines]
[index]
[evaluate]
[endpoint]
url = "http://127.0.0.1:9/v1"
model = "m"
max_requests = 10000
[judge]
depth = 5
pairs = 100
""")
    project = Project(folder)
    project.run(until="evaluate")
    return project


@pytest.fixture
def asking(shop: Project, model: Model, tmp_path: Path) -> Iterator[Project]:
    """The project with the endpoint of this test; grades of earlier tests are put away."""
    text = shop.file.read_text()
    shop.file.write_text(text.replace("http://127.0.0.1:9/v1", model.url))
    if (place := shop.runner.output / "judge").exists():
        place.rename(tmp_path / "old")
    yield Project(shop.file.parent)
    shop.file.write_text(text)


def test_a_judge_is_measured_corrected_and_kept_apart(asking: Project, model: Model) -> None:
    model.answers = Grader(model)  # type: ignore[assignment]
    project = asking
    report = project.judge()
    assert report.agreement.n == 100 and 0.4 < report.agreement.low < report.agreement.kappa < 1
    assert (report.groups_judged_by_people, report.groups_judged_by_model) == (40, 40)
    assert report.pairs_judged_by_model_alone > 40 and not report.is_forced and report.unreadable == 0
    assert report.differences and {row.candidate for row in report.differences} == {report.differences[0].candidate}
    for row in report.differences:
        assert row.by_people.low <= row.by_people.mean <= row.by_people.high
        assert row.corrected.low <= row.corrected.mean <= row.corrected.high
    folder = project.runner.output / "judge"
    rows = [json.loads(line) for line in (folder / "model_judgments.jsonl").read_text().splitlines()]
    assert len(rows) == report.pairs_judged_by_people + report.pairs_judged_by_model_alone == len(model.asked)
    assert sum(row["person_grade"] is None for row in rows) == report.pairs_judged_by_model_alone
    assert json.loads((folder / "judge.json").read_text())["prompt_sha256"] == report.prompt_sha256
    again = project.judge()
    assert again.spent.startswith("endpoint: 0 requests") and again.differences == report.differences
    assert all(plan.stands for plan in project.plan(until="evaluate"))  # nothing that is measured has moved


def test_a_judge_that_guesses_is_refused_unless_forced(asking: Project, model: Model) -> None:
    model.answers = Grader(model, random=True)  # type: ignore[assignment]
    with pytest.raises(DataError, match=r"E_JUDGE: m does not grade as people do: kappa .* on 100 pairs"):
        asking.judge()
    assert len(model.asked) == 100  # no more is asked of a judge that is refused
    assert asking.judge(force=True).is_forced


def test_without_an_endpoint_there_is_no_judge(shop: Project) -> None:
    text = shop.file.read_text()
    try:
        shop.file.write_text(text.partition("[endpoint]")[0])
        with pytest.raises(ConfigError, match="E_NO_ENDPOINT"):
            Project(shop.file.parent).judge()
    finally:
        shop.file.write_text(text)
    with pytest.raises(ConfigError, match="a grade is a whole number"):
        shop.with_settings({"judge.grades": {"good": "right"}})


def test_the_command_tells_what_the_judge_is_worth(
    asking: Project, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    model.answers = Grader(model)  # type: ignore[assignment]
    assert run_command(["--quiet", "judgments", "judge", "--project", str(asking.file.parent)]) == 0
    said_out = capsys.readouterr().out
    assert "m and people: kappa 0." in said_out and "by people on 40 queries, corrected on 40 more" in said_out
    assert "are like the others" in said_out
