"""A project in Python, from data to a served bundle, without a file written by hand."""

import json
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pandas as pd
import polars as pl
import pytest

from honed import Project
from honed.artifacts.report import Report
from honed.core.errors import ConfigError, DataError, GateError, StorageError
from honed.core.json import Json
from honed.label.report import LabelReport
from honed.project.export import ExportOptions

QUICK: dict[str, Json] = {"model": {"base": "hash:64"}, "train": None, "gate": None}
ANY_FLIPS = ExportOptions(most_flips=1.0)  # the nearest neighbours of a random model are a matter of chance


@pytest.fixture(scope="module")
def names(institutions: list[dict[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(institutions[:500])


@pytest.fixture(scope="module")
def trained(names: pd.DataFrame, tiny_model: Path) -> Project:
    """A project of a data frame whose model was fine-tuned."""
    project = Project.from_pairs(
        names,
        settings={
            "model.base": str(tiny_model),
            "train": {"epochs": 1, "batch_size": 32, "evaluations": 1},
            "gate": {"gain_over_base": -1.0},
            "answers": None,
        },
    )
    project.run()
    return project


class TestFromData:
    def test_pairs_of_a_frame(self, names: pd.DataFrame, tmp_path: Path) -> None:
        project = Project.from_pairs(names, folder=tmp_path, settings=QUICK)
        audit = project.check()
        assert audit.books.accepted == len(names)
        assert project.settings["data"]["columns"] == {"id": "id", "label": "label", "alias": "alias"}
        assert project.file == tmp_path / "honed.toml"
        assert not project.file.exists()

    def test_columns_with_names_of_their_own(self) -> None:
        keys = list(range(7, 67))
        frame = pl.DataFrame(
            {"Kürzel": [f"U{n} kurz" for n in keys], "Hochschule": [f"Universität {n}" for n in keys], "Nr": keys}
        )
        project = Project.from_pairs(frame, alias="Kürzel", label="Hochschule", id="Nr", settings=QUICK)
        assert project.check().books.accepted == 60
        project.evaluate()
        assert project.search("U8 kurz", 1)[0].doc_id == "8"

    def test_a_column_that_is_not_there(self, names: pd.DataFrame) -> None:
        with pytest.raises((ConfigError, DataError), match="nickname"):
            Project.from_pairs(names, alias="nickname")

    def test_a_path(self, names: pd.DataFrame, tmp_path: Path) -> None:
        names.to_csv(tmp_path / "names.csv", index=False)
        project = Project.from_pairs(tmp_path / "names.csv", folder=tmp_path / "project", settings=QUICK)
        assert project.check().books.accepted == len(names)

    def test_a_temporary_folder_goes_with_the_project(self) -> None:
        project = Project.from_pairs([("UdeG", "Universidad de Guadalajara")], settings=QUICK)
        other = project.with_settings({"split.seed": 3})
        folder = project.root
        assert (folder / "data" / "aliases.parquet").is_file()
        del project
        assert folder.is_dir(), "the same project with other settings still needs it"
        del other
        assert not folder.exists()

    def test_labels(self) -> None:
        rows = [(str(n), f"{'boats and the sea' if n % 2 else 'soup and bread'} number {n}", "") for n in range(40)]
        rows[:6] = [(key, text, "Harbour" if "boats" in text else "Kitchen") for key, text, _ in rows[:6]]
        project = Project.from_labels(rows, settings={**QUICK, "label": True})
        report = project.label()
        assert isinstance(report, LabelReport)
        suggested = project.label_suggestions(3, 4)
        assert 0 < len(suggested.records) <= 4
        key = suggested.records[0].id
        assert project.import_labels([(key, "Harbour")], who="ann") == 1
        with pytest.raises(DataError, match="nobody"):
            project.import_labels([("nobody", "Harbour")])

    def test_relations(self, tmp_path: Path) -> None:
        rows = []
        for n in range(24):
            relation = ("city of birth", "employer")[n % 2]
            head, tail = f"Person{n}", f"Place{n % 5}"
            text = f"{head} {'was born in' if n % 2 == 0 else 'works for'} {tail} ."
            start = text.index(tail)
            rows.append((text, 0, len(head), start, start + len(tail), relation))
        frame = pd.DataFrame(rows, columns=["text", "head_start", "head_end", "tail_start", "tail_end", "relation"])
        project = Project.from_relations(frame, settings=QUICK)
        assert project.check().books.accepted == 24

    def test_judgments_of_tuples(self) -> None:
        documents = [(f"d{n}", f"about the thing number {n}") for n in range(12)]
        queries = [(f"q{n}", f"thing {n}") for n in range(12)]
        judgments = [(f"q{n}", f"d{n}", 1) for n in range(12)]
        project = Project.from_judgments(
            documents, queries, judgments, settings={**QUICK, "model.max_length": None, "hybrid": None, "answers": None}
        )
        report = project.evaluate()
        assert report.n_queries > 0
        assert project.search("thing 7", 3)[0].doc_id.startswith("d")

    def test_data_that_no_shape_fits(self) -> None:
        with pytest.raises(DataError):
            Project.from_data({"x": [1, 2], "y": [3, 4]})


class TestOneRun:
    def test_the_results_are_typed(self, trained: Project) -> None:
        report = trained.report()
        assert isinstance(report, Report)
        assert {system.name for system in report.systems} >= {"dictionary", "fine-tuned"}
        assert trained.train().steps
        assert all(gate.passed for gate in trained.gate())
        assert trained.index().folder == trained.show("index").folder

    def test_search_in_both_ways(self, trained: Project, names: pd.DataFrame) -> None:
        alias, label = names.alias[0], names.label[0]
        one, many = trained.search(alias, 3), trained.search([alias, label], 3)
        assert many[0] == one
        assert len(one) == 3
        backwards = trained.search(label, 3, target="aliases")
        assert backwards == trained.search(label, 3, direction="label-to-alias")
        assert trained.search(label, 3, target="entities") == trained.search(label, 3)
        with pytest.raises(ConfigError, match="target"):
            trained.search(label, target="nicknames")
        with pytest.raises(ConfigError, match="target"):
            trained.search(label, target="aliases", direction="alias-to-label")

    def test_vectors_and_likeness(self, trained: Project, names: pd.DataFrame) -> None:
        vectors = trained.encode(["one", "two"])
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert names.id[0] not in {hit.doc_id for hit in trained.similar(names.id[0], 3)}

    def test_pairs_are_explained(self, trained: Project) -> None:
        explained = trained.explain("one name", "another name", model="fine-tuned")
        assert "another" in explained._repr_html_()

    def test_settings_become_a_file_for_the_command_line(self, trained: Project) -> None:
        file = trained.write_settings()
        try:
            assert Project(trained.root).settings == trained.settings
            assert all(plan.stands for plan in Project(trained.root).plan())
            assert trained.doctor()["problems"] == []
        finally:
            file.unlink()

    def test_gates_are_refused(self, trained: Project) -> None:
        strict = trained.with_settings({"gate": {"gain_over_base": 1.0}})
        assert not all(gate.passed for gate in strict.evaluate().gates)
        with pytest.raises(GateError):
            strict.gate()

    def test_two_runs_are_compared(self, trained: Project) -> None:
        other = trained.with_settings({"train": {"epochs": 2, "batch_size": 32, "evaluations": 1}})
        other.evaluate()
        compared = trained.compare(other)
        assert compared.n_queries > 0

    def test_new_names_are_learned(self, trained: Project) -> None:
        update = trained.update([(alias, "University of Zed", "zed") for alias in ("Zed Uni", "ZU", "Zet")])
        assert update

    def test_a_model_for_the_hub(self, trained: Project, tmp_path: Path) -> None:
        folder = trained.export_hub(tmp_path / "model")
        assert (folder / "modules.json").is_file()

    @pytest.mark.timeout(300)
    def test_a_bundle_is_exported_and_served(self, trained: Project, tmp_path: Path, names: pd.DataFrame) -> None:
        bundle = trained.export(tmp_path / "bundle", ANY_FLIPS)
        with trained.serve(bundle) as server:
            with urlopen(f"{server.url}/v1/search?query={names.alias[0].split()[0]}") as answer:
                assert json.load(answer)["hits"]
            assert server.url in server._repr_html_()
        with pytest.raises(OSError):
            urlopen(server.url, timeout=2)

    def test_a_server_that_cannot_start_says_why(self, trained: Project, tmp_path: Path) -> None:
        (tmp_path / "bundle").mkdir()
        with pytest.raises(StorageError, match="bundle"):
            trained.serve(tmp_path / "bundle")


def test_the_examples_of_the_docstrings_hold() -> None:
    code = (
        "import doctest, honed.api.project as p; failed, run = doctest.testmod(p); raise SystemExit(failed or not run)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
