"""Small files that people had trouble with, where they are at hand: each has its stated outcome, in one table."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from honed import Project
from honed.cli.main import run_command
from honed.core.errors import ConfigError
from tests.conftest import ROOT

CASES = Path(os.environ.get("HONED_CASES", ROOT.parent / "shared" / "cases"))
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"no collection of small files at {CASES}")
CHECK: tuple[str, ...] = ("check",)
LIGHT = {"model.base": "hash:64", "train": None, "answers": None, "gate": None, "baselines": True,
         "hybrid": None, "model.max_length": 0}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What happens: the exit code of the last command, and what is printed, and is not."""

    number: str
    commands: tuple[tuple[str, ...], ...] = (CHECK,)
    code: int = 0
    said: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.number}-{'-'.join(word for command in self.commands for word in command)}"


def init(*files: str) -> tuple[tuple[str, ...], ...]:
    return (("init", *files, "--force"),)


def init_check(*files: str) -> tuple[tuple[str, ...], ...]:
    return (*init(*files), CHECK)


THREE = ("rows: 3 in = 3 accepted + 0 rejected", "3 alias pairs")
OUTCOMES = [
    Outcome("02", said=(*THREE, "blank rows: 2")),
    Outcome("03", said=THREE),
    Outcome("03", init_check("t.csv"), said=THREE),
    Outcome("03", init_check("t1.csv"), said=THREE),
    Outcome("05", said=THREE),
    Outcome("06", said=THREE),
    Outcome("06", (("check", "--encoding", "utf16"),), said=THREE),
    Outcome("06", init("nobom.csv"), 2, ("looks like utf-16-le", "--encoding utf-16-le")),
    Outcome("07", code=2, said=("E_LABEL_SEVERAL", "line 3", "several classes (Sport, Food)")),
    Outcome("07", (("check", "--on-bad-row", "quarantine"),), said=("9 accepted + 1 rejected",), unsaid=("['", '["')),
    Outcome("08", (("check", "--on-bad-row", "quarantine"),), said=("labelled 4 (",), unsaid=("[]",)),
    Outcome("12", said=("labelled 6 (Sport 3, Food 3)",)),
    Outcome("12", init_check("train.csv"), said=("labelled 6 (Sport 3, Food 3)", "W_ID_NUMBERED")),
    Outcome("13", said=("labelled 8 (0 4, 1 4)",), unsaid=("NaN",)),
    Outcome("14", said=("W_ALIAS_JOINED", 'separator = ";"')),
    Outcome("14", init_check("ror.csv"), said=("7 alias pairs",), unsaid=("W_ALIAS_JOINED",)),
    Outcome("14", init_check("ror.json"), said=("alias pairs",), unsaid=("error",)),
    Outcome("15", said=("6 entities, 6 label strings, 11 alias pairs",)),
    Outcome("17", said=THREE, unsaid=("must be quoted",)),
    Outcome("19", said=THREE),
    Outcome("19", init_check("data"), said=THREE),
    Outcome("21", said=("W_NO_HEADER", "without a line of names set  header =")),
    Outcome("21", init_check("collection.tsv", "queries.dev.tsv", "qrels.dev.tsv"), said=("6 documents, 6 queries",)),
    Outcome("23", code=2, said=("9 of 10 judgements name unknown documents, such as S0-A",)),
    Outcome("25", said=("6 documents, 6 queries, 6 judgements",)),
    Outcome("25", init_check("ds"), said=("6 documents, 6 queries, 6 judgements",)),
    Outcome("31", said=("queries stand among the documents under their own id",)),
    Outcome("34", unsaid=('\\"',)),
    Outcome("39", said=("labelled 18",)),
    Outcome("39", init_check("train.json"), said=("labelled",)),
    Outcome("42", init_check("gz.csv"), said=THREE),
    Outcome("42", init_check("t.csv.gz"), said=THREE),
    Outcome("42", init_check("T.CSV"), said=THREE),
    Outcome("42", init_check("d"), said=("6 in = 6 accepted",)),
    Outcome("42", init("fake.csv"), 2, ("fake.csv",), ("latin-1", "no shape fits")),
    Outcome("42", init("b.xlsx"), 2, ("b.xlsx",), ("latin-1", "no shape fits")),
    Outcome("43", init_check("array.jsonl"), said=THREE),
    Outcome("43", init_check("pretty.jsonl"), said=THREE),
    Outcome("43", init_check("prettyobj.jsonl"), said=THREE),
    Outcome("43", init_check("lines.json"), said=THREE),
    Outcome("43", init_check("wrapped.json"), said=THREE),
    Outcome("43", init_check("wrapped2.json"), said=THREE),
    Outcome("43", init("single.jsonl"), 2, ("single.jsonl, line 1: not JSON",)),
    Outcome("43", init("trail.jsonl"), 2, ("trail.jsonl, line 1: not JSON",)),
    Outcome("43", init("dict.json"), 2, ("E_JSON_TYPE",), ("wrote",)),
    Outcome("43", init("byid.json"), 2, ("E_JSON_TYPE",), ("wrote",)),
    Outcome("43", init("pandas.json"), 2, ("E_JSON_TYPE",), ("wrote",)),
    Outcome("47", said=("30 documents, 30 queries, 30 judgements",), unsaid=("E_TEMPLATE",)),
    Outcome("50", code=2, said=("E_CSV_QUOTE", "line 3", 'quoting = "none"', "5 good rows")),
    Outcome("50", init_check("t.csv"), 2, ("E_CSV_QUOTE", "line 3", 'quoting = "none"', "5 good rows")),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
def test_a_file_has_its_outcome(outcome: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(copied(outcome.number, tmp_path))
    code = 0
    for command in outcome.commands:
        assert code == 0
        code = run_command(["--quiet", *command])
    printed = "".join(capsys.readouterr())
    assert code == outcome.code, printed
    assert "Traceback" not in printed
    for text in outcome.said:
        assert text in printed
    for text in outcome.unsaid:
        assert text not in printed


def copied(number: str, folder: Path) -> Path:
    if not (CASES / number).is_dir():
        pytest.skip(f"no case {number}")
    return Path(shutil.copytree(CASES / number, folder / number))


def measured(project: Project, system: str, measure: str) -> float:
    """The mean of a measure of the first system that is called so."""
    systems = msgspec.to_builtins(project.evaluate())["systems"]
    return next(float(entry["measures"][measure]["mean"]) for entry in systems if entry["name"].startswith(system))


def test_queries_that_are_documents_find_others(tmp_path: Path) -> None:
    project = Project(copied("31", tmp_path), settings=LIGHT)
    assert measured(project, "BM25", "R@1") > 0.9
    assert measured(project, "TF-IDF", "R@1") > 0.9


@pytest.mark.parametrize("system", ["BM25", "TF-IDF"])
def test_words_are_found_in_chinese(tmp_path: Path, system: str) -> None:
    assert measured(Project(copied("46", tmp_path), settings=LIGHT), system, "R@10") > 0.5


def test_a_known_name_is_found_whatever_cannot_be_seen_in_it(tmp_path: Path) -> None:
    project = Project(copied("30", tmp_path), settings=LIGHT)
    project.index()
    assert "%2F" in project.search("Hebrew Uni", 3)[0].doc_id
    with pytest.raises(ConfigError, match="values that are no numbers"):
        project.search("Hebrew Uni", 3, where={"Preis €": {"lt": 30}})
