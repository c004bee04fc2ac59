"""Doors for data: spreadsheets, databases, folders of the library datasets, the Hub's layout, URLs; all are tables."""

import json
import sqlite3
from datetime import date
from decimal import Decimal
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from honed.cli.main import run_command
from honed.core.errors import ConfigError, DataError, StorageError
from honed.core.fingerprint import sha256_file
from honed.data.inputs import local_input
from honed.data.tables import Row, TableFormat, open_tables, table_files

pytest.importorskip("python_calamine")
NAMES = [["1", "University of Oslo", "UiO"], ["2", "Bank of Chile", "BCH"], ["3", "Kiel Institute", "IfW"]]


def rows(path: Path) -> list[tuple[object, ...]]:
    tables = [table for file in table_files(path) for table in open_tables(file, TableFormat())]
    found = [row for table in tables for row in table.rows]
    assert all(isinstance(row, Row) for row in found)
    return [tuple(row.values.values()) for row in found if isinstance(row, Row)]


def workbook(path: Path, **sheets: list[list[object]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, cells in sheets.items():
        sheet = book.create_sheet(name)
        for row in cells:
            sheet.append(row)
    book.save(path)
    return path


def checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = run_command(["--quiet", "check", "--project", str(folder)])
    return code, "".join(capsys.readouterr())


def test_a_workbook_is_a_table(tmp_path: Path) -> None:
    cells = [["All institutions"], [], ["id", "label", "opened", "price", None, "open"]]
    cells += [[1, "Oslo", date(1995, 1, 2), 3.5, None, True], [None] * 6, [2.0, "007", None, 1e20, None, False]]
    path = workbook(tmp_path / "t.xlsx", Names=cells, Empty=[])
    assert rows(path) == [("1", "Oslo", "1995-01-02", "3.5", "true"), ("2", "007", "", "1e+20", "false")]
    (tmp_path / "named.csv").write_bytes(path.read_bytes())  # what it holds decides
    assert rows(tmp_path / "named.csv") == rows(path)


def test_one_of_several_sheets_is_named(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", One=[["x"], ["1"]], Two=[["x"], ["2"]])
    with pytest.raises(DataError, match=r"2 sheets \(One, Two\): name one, such as  t.xlsx#One"):
        rows(path)
    assert rows(tmp_path / "t.xlsx#Two") == [("2",)]
    with pytest.raises(DataError, match="no sheet 'Three'"):
        rows(tmp_path / "t.xlsx#Three")


def test_a_workbook_becomes_a_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workbook(tmp_path / "t.xlsx", Names=[["id", "label", "alias"], *NAMES], More=[["x"], ["1"]])
    assert run_command(["init", f"{tmp_path / 't.xlsx'}#Names", "--project", str(tmp_path)]) == 0
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and "3 entities" in printed


@pytest.mark.parametrize("content", [b"PK\3\4 no workbook", b"\xd0\xcf\x11\xe0 nor this", b"text"])
def test_what_is_no_workbook_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.xlsx").write_bytes(content)
    with pytest.raises(DataError, match=r"E_SPREADSHEET|E_FILE_TYPE"):
        rows(tmp_path / "t.xlsx")


def database(path: Path) -> Path:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE names (id INTEGER, label TEXT, alias TEXT)")
    connection.executemany("INSERT INTO names VALUES (?, ?, ?)", NAMES)
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize("name", ["t.db", "t.sqlite", "t.csv"])
def test_a_sqlite_file_is_a_table(tmp_path: Path, name: str) -> None:
    database(tmp_path / name)
    assert rows(tmp_path / name) == [(int(number), label, alias) for number, label, alias in NAMES]
    assert rows(tmp_path / f"{name}#names") == rows(tmp_path / name)


def test_a_query_is_an_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sqlalchemy")
    database(tmp_path / "t.db")
    query = "sql:sqlite:///t.db SELECT id, label, alias FROM names WHERE id < 9 ORDER BY id"
    assert run_command(["init", query, "--project", str(tmp_path)]) == 0
    assert query in (tmp_path / "honed.toml").read_text()
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and "rows: 3 in = 3 accepted" in printed
    connection = sqlite3.connect(tmp_path / "t.db")
    connection.execute("INSERT INTO names VALUES (4, 'Lima Museum', 'MUL')")
    connection.commit()
    connection.close()
    assert "rows: 4 in = 4 accepted" in checked(tmp_path, capsys)[1]  # asked anew


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("sql:SELECT 1", ConfigError),
        ("sql:nothing://x SELECT 1", ConfigError),
        ("sql:sqlite:///gone.db SELECT 1", DataError),
        ("sql:sqlite:///t.db SELECT nothing FROM names", StorageError),
        ("sql:sqlite:///t.db SELECT id, label AS id FROM names", DataError),
    ],
)
def test_a_query_that_fails_says_why(tmp_path: Path, query: str, error: type[Exception]) -> None:
    pytest.importorskip("sqlalchemy")
    database(tmp_path / "t.db")
    with pytest.raises(error):
        local_input(query, tmp_path, tmp_path / "kept", {})


def test_a_folder_of_the_library_datasets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["Sport", "Food"])}
    )
    part = datasets.Dataset.from_dict({"text": ["a goal", "a soup", "odd"], "label": [0, 1, -1]}, features=features)
    datasets.DatasetDict({"train": part, "test": part.select([0])}).save_to_disk(tmp_path / "saved")
    part.save_to_disk(tmp_path / "one")
    capsys.readouterr()
    assert rows(tmp_path / "one") == [("a goal", "Sport"), ("a soup", "Food"), ("odd", None)]
    assert rows(tmp_path / "saved")[0] == ("a goal", "Sport", "test")
    assert run_command(["init", str(tmp_path / "saved"), "--project", str(tmp_path)]) == 0
    assert 'split = "split"' in (tmp_path / "honed.toml").read_text()


def hub(folder: Path) -> Path:
    for name, table in {
        "corpus/corpus-00000-of-00001": {"_id": ["d1", "d2"], "title": ["", ""], "text": ["sponge cake", "ferry"]},
        "queries/queries-00000-of-00001": {"_id": ["q1", "q2"], "text": ["cake?", "boat?"]},
        "qrels/test-00000-of-00001": {"query-id": ["q1"], "corpus-id": ["d1"], "score": [1]},
        "qrels/train-00000-of-00001": {"query-id": ["q2"], "corpus-id": ["d2"], "score": [1]},
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
    return folder


def test_the_layout_of_the_hub(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["init", str(hub(tmp_path / "ds")), "--project", str(tmp_path)]) == 0
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and "test: 1" in printed and "2 documents, 2 queries, 2 judgements" in printed


def test_files_of_ms_marco_without_headers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = range(8)
    (tmp_path / "collection.tsv").write_text("".join(f"{n}\tpassage about thing {n}\n" for n in numbers))
    (tmp_path / "queries.dev.tsv").write_text("".join(f"10{n}\twhat is thing {n}\n" for n in numbers))
    (tmp_path / "qrels.dev.tsv").write_text("".join(f"10{n}\t0\t{n}\t1\n" for n in numbers))
    files = [str(tmp_path / name) for name in ("collection.tsv", "queries.dev.tsv", "qrels.dev.tsv")]
    assert run_command(["init", *files, "--project", str(tmp_path)]) == 0
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and "8 documents, 8 queries, 8 judgements" in printed


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_an_object_is_fetched_once_and_must_be_what_was_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    fsspec = pytest.importorskip("fsspec")
    url = "memory://shelf/names.csv" if kind == "memory" else f"file://{tmp_path}/shelf/names.csv"
    (tmp_path / "shelf").mkdir()
    content = "id,label,alias\n" + "".join(",".join(row) + "\n" for row in NAMES)
    with fsspec.open(url, "w") as out:
        out.write(content)
    assert run_command(["init", url, "--project", str(tmp_path)]) == 0
    assert "[data.sha256]" in (tmp_path / "honed.toml").read_text()
    assert checked(tmp_path, capsys)[0] == 0
    with fsspec.open(url, "w") as out:
        out.write(content + "4,Lima,ML\n")
    assert checked(tmp_path, capsys)[0] == 0  # what was looked at is kept
    kept = next((tmp_path / "work" / "inputs").rglob("names.csv"))
    kept.unlink()
    code, printed = checked(tmp_path, capsys)
    assert code == 2 and "E_CHECKSUM" in printed


def test_a_url_without_a_hash_says_which_to_state(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    (tmp_path / "t.csv").write_text("x\n1\n")
    with pytest.raises(ConfigError, match=sha256_file(tmp_path / "t.csv")):
        local_input(f"file://{tmp_path}/t.csv", tmp_path, tmp_path / "kept", {})
    with pytest.raises(StorageError, match="E_FETCH"):
        local_input(f"file://{tmp_path}/gone.csv", tmp_path, tmp_path / "kept", {})


def test_a_template_names_any_column(tmp_path: Path) -> None:
    from honed.shapes.judgments.config import fields_of, template_parts
    from honed.shapes.judgments.documents import filled

    template = "{title}: {Preis (EUR)} {brand/maker} {price [net]} {{x}} {a:b!r}"
    assert fields_of(template) == ["title", "Preis (EUR)", "brand/maker", "price [net]", "a:b!r"]
    assert template_parts("") == []
    values = {"title": "Lamp", "Preis (EUR)": "3,50", "brand/maker": "HP", "price [net]": "3", "a:b!r": "z"}
    assert filled(template, values) == "Lamp: 3,50 HP 3 {x} z"
    for wrong in ("{", "}", "{}", "{ }", "{a{b}}"):
        with pytest.raises(ValueError, match="a field is a name in braces"):
            template_parts(wrong)


def test_joined_cells_are_proposed_to_be_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("id;label;alias;Preis €\n1;Oslo;UiO|OU;1.299,00\n2;Kiel;IfW;5\n3;Lima;ML|MUL;2,5\n")
    assert run_command(["init", str(tmp_path / "t.csv"), "--project", str(tmp_path)]) == 0
    text = (tmp_path / "honed.toml").read_text()
    assert 'separator = "|"' in text and 'decimal = { "Preis €" = "," }' in text
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and "5 alias pairs" in printed


def test_decimals_of_parquet_are_fields_to_filter_by(tmp_path: Path) -> None:
    table = pa.table({"id": ["1"], "price": [Decimal("3.50")]})
    pq.write_table(table, tmp_path / "t.parquet")
    assert json.dumps(rows(tmp_path / "t.parquet")) == '[["1", "3.50"]]'
