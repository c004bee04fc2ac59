"""Files as people have them: each kind is read as what it is, or refused with its row; nothing is wrong in silence."""

import bz2
import gzip
import io
import json
import lzma
import sys
import unicodedata
import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import regex

from honed.cli.main import run_command
from honed.core.errors import DataError
from honed.core.text import as_seen, fold, visible
from honed.data.encodings import fitting_encoding
from honed.data.tables import Reject, Row, TableFormat, open_table, open_tables, table_files
from honed.data.values import decimal_text, label_texts, only_value

HEADER = "id,label,alias\n"
BODY = "1,University of Oslo,UiO\n2,Bank of Chile,BCH\n3,Kiel Institute,IfW\n"
ROWS = [("1", "University of Oslo", "UiO"), ("2", "Bank of Chile", "BCH"), ("3", "Kiel Institute", "IfW")]


def read(folder: Path, name: str, content: str | bytes, form: TableFormat | None = None) -> list[Row | Reject]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(open_table(path, form or TableFormat()).rows)


def values(rows: list[Row | Reject]) -> list[tuple[object, ...]]:
    assert all(isinstance(row, Row) for row in rows), rows
    return [tuple(row.values.values()) for row in rows if isinstance(row, Row)]


def bad(rows: list[Row | Reject]) -> list[tuple[str, str]]:
    return [(row.where, row.code) for row in rows if isinstance(row, Reject)]


@pytest.mark.parametrize(
    "text",
    [
        HEADER + BODY + ",,\n,,\n",
        HEADER + ",,\n" + BODY + ' , ,""\n',
        "\n,,\n" + HEADER + BODY,
        "id,label,alias,,\n" + BODY.replace("\n", ",,\n"),
        ",id,label,alias\n" + "".join(f",{line}\n" for line in BODY.splitlines()),
        (HEADER + BODY).replace("\n", "\r"),
        (HEADER + BODY).replace("\n", "\r\n"),
        "sep=;\n" + (HEADER + BODY).replace(",", ";"),
        '"sep=;"\r\n' + (HEADER + BODY).replace(",", ";"),
        "Institutions 2024,,\n" + HEADER + BODY,
        "List of institutions\n\n" + HEADER + BODY,
        (HEADER + BODY).replace(",", ", "),
        HEADER + "".join(f'{number}, "{label}", "{alias}"\n' for number, label, alias in ROWS),
        "\ufeff" + HEADER + BODY,
        "id,label\u200b,alias\u00a0\n" + BODY,
    ],
)  # fmt: skip
def test_a_table_with_oddities_of_excel_is_read(tmp_path: Path, text: str) -> None:
    assert values(read(tmp_path, "t.csv", text)) == ROWS


def test_what_is_left_out_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("All institutions,,,\n,id,label,alias\n0,1,Oslo,UiO\n,,,\n1,2,Chile,BCH\n")
    table = open_table(path, TableFormat())
    assert table.columns == ["id", "label", "alias"]
    assert values(list(table.rows)) == [("1", "Oslo", "UiO"), ("2", "Chile", "BCH")]
    assert table.notes.blank_rows == 1
    assert [code for code, _ in table.notes.warnings] == ["W_TITLE_LINE", "W_COLUMN_UNNAMED"]


@pytest.mark.parametrize("mark", [",", "\t", ";", "|"])
@pytest.mark.parametrize(
    ("rows", "broken", "kept"),
    [
        ('1,K,IfW\n2,B,"Banco\n3,L,MUL\n4,P,PGE\n5,T,Abo"\n6,G,GL\n', ["line 3"], 5),
        ('1,K,IfW\n2,"B,Banco\n3,L,MUL\n4,P",PGE\n5,T,Abo\n', ["line 3"], 4),
        ('1,K,IfW\n2,B,"Banco\n3,L,MUL"\n4,P,PGE\n', ["line 3"], 3),
        ('1,K,"IfW\n2,B,"x"\n', ["line 2"], 1),
        ('1,K,"IfW\n2,B,Banco\n', ["line 2"], 1),
    ],
)
def test_a_stray_quote_costs_one_line(tmp_path: Path, mark: str, rows: str, broken: list[str], kept: int) -> None:
    found = read(tmp_path, "t.csv", (HEADER + rows).replace(",", mark))
    assert [where for where, code in bad(found) if code == "E_CSV_QUOTE"] == broken
    assert len(found) - len(broken) == kept
    assert 'quoting = "none"' in next(row.reason for row in found if isinstance(row, Reject))
    plain = read(tmp_path, "t.csv", (HEADER + rows).replace(",", mark), TableFormat(quoting="none"))
    assert bad(plain) == [] and len(plain) == kept + len(broken)


@pytest.mark.parametrize(
    "text", ["one\ntwo, too", "one\n\ntwo", "Dear all,\nwell, yes\nbye", 'he said "a,b"\nand left']
)
def test_a_field_of_several_lines_is_one_field(tmp_path: Path, text: str) -> None:
    quoted = text.replace('"', '""')
    assert values(read(tmp_path, "t.csv", f'id,text\n1,"{quoted}"\n2,x\n')) == [("1", text), ("2", "x")]


def test_quotes_that_are_trusted_are_taken_as_they_stand(tmp_path: Path) -> None:
    rows = read(tmp_path, "t.csv", 'id,text\n1,"a\n2,b"\n', TableFormat(quoting="trusted"))
    assert values(rows) == [("1", "a\n2,b")]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Universität Köln – “x”", "cp1252"),
        ("L’Université d’Orléans", "cp1252"),
        ("Łódź Uniwersytet\nŻółć gęślą jaźń", "cp1250"),
        ("Московский государственный университет\nСанкт-Петербург", "cp1251"),
        ("Московский государственный университет\nСанкт-Петербург", "koi8-r"),
        ("東京大学\n京都大学", "cp932"),
    ],
)
def test_the_encoding_that_fits_is_advised(tmp_path: Path, text: str, encoding: str) -> None:
    assert fitting_encoding(text.encode(encoding)) == encoding
    rows = read(
        tmp_path, "t.csv", b"id,text\n" + b"".join(b"1,%s\n" % line.encode(encoding) for line in text.split("\n"))
    )
    assert all(isinstance(row, Reject) and f'encoding = "{encoding}"' in row.reason for row in rows)


def test_one_bad_line_among_utf8_is_the_line_s_fault(tmp_path: Path) -> None:
    rows = read(tmp_path, "t.csv", "id,text\n1,Köln\n2,Malmö\n".encode() + b"3,K\xf6ln\n")
    assert [row.reason for row in rows if isinstance(row, Reject)] == [
        "byte 0xf6 is not utf-8; the other lines of the file are utf-8: mend this one"
    ]


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"looks like {name}"):
        read(tmp_path, "t.csv", (HEADER + BODY).encode(name))
    assert values(read(tmp_path, "t.csv", (HEADER + BODY).encode(name), TableFormat(encoding=name))) == ROWS


@pytest.mark.parametrize("name", ["utf16", "UTF_16", "utf-16"])
def test_utf16_has_several_names(tmp_path: Path, name: str) -> None:
    assert values(read(tmp_path, "t.csv", (HEADER + BODY).encode("utf-16"), TableFormat(encoding=name))) == ROWS


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("t.csv", content)
        archive.writestr("__MACOSX/._t.csv", b"\0\5")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "pack", [gzip.compress, bz2.compress, lzma.compress, zipped, lambda c: gzip.compress(bz2.compress(c))]
)
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_what_is_packed_is_unpacked_by_its_content(tmp_path: Path, pack: object, name: str) -> None:
    assert values(read(tmp_path, name, pack((HEADER + BODY).encode()))) == ROWS


def test_zstd_is_unpacked(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    packed = zstandard.compress((HEADER + BODY).encode())
    assert values(read(tmp_path, "t.csv.zst", packed)) == ROWS


@pytest.mark.parametrize("cut", [3, 20, -9])
def test_a_packed_file_that_breaks_off_is_refused(tmp_path: Path, cut: int) -> None:
    with pytest.raises(DataError, match=r"E_PACKED|E_EMPTY"):
        read(tmp_path, "t.csv.gz", gzip.compress((HEADER + BODY * 2000).encode())[:cut])


def test_an_archive_holds_several_tables(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("b/two.jsonl", '{"x": "2"}\n')
        archive.writestr("a.csv", "x\n1\n")
    tables = list(open_tables(tmp_path / "t.zip", TableFormat()))
    assert [(table.file, values(list(table.rows))) for table in tables] == [
        ("t.zip/a.csv", [("1",)]),
        ("t.zip/b/two.jsonl", [("2",)]),
    ]
    with pytest.raises(DataError, match="holds 2 tables"):
        open_table(tmp_path / "t.zip", TableFormat())


OBJECTS = [{"id": "1", "label": "Oslo"}, {"id": "2", "label": "Kiel"}]


@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.ndjson"])
@pytest.mark.parametrize(
    "text",
    [
        json.dumps(OBJECTS),
        json.dumps(OBJECTS, indent=1),
        "\n".join(map(json.dumps, OBJECTS)),
        "\n\n".join(map(json.dumps, OBJECTS)) + "\n",
        "\n".join(json.dumps(item, indent=2) for item in OBJECTS),
        "\ufeff" + json.dumps(OBJECTS),
    ],
)
def test_json_is_read_as_what_it_is(tmp_path: Path, name: str, text: str) -> None:
    assert values(read(tmp_path, name, text)) == [("1", "Oslo"), ("2", "Kiel")]


@pytest.mark.parametrize("wrapped", [{"data": OBJECTS}, {"version": "1", "n": 2, "data": OBJECTS}])
def test_json_in_a_wrapper_is_read(tmp_path: Path, wrapped: object) -> None:
    assert values(read(tmp_path, "t.json", json.dumps(wrapped))) == [("1", "Oslo"), ("2", "Kiel")]


@pytest.mark.parametrize(
    "whole", [{"Oslo": ["UiO", "O"]}, {"1": OBJECTS[0]}, {"id": {"0": 1}}, {"a": OBJECTS, "b": OBJECTS}, {"a": []}]
)
def test_json_that_is_no_table_is_refused(tmp_path: Path, whole: object) -> None:
    with pytest.raises(DataError, match="E_JSON_TYPE"):
        read(tmp_path, "t.json", json.dumps(whole))


def test_init_tells_the_first_row_s_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.jsonl").write_text("{'id': 1, 'label': 'Oslo'}\n")
    assert run_command(["init", str(tmp_path / "t.jsonl"), "--project", str(tmp_path)]) == 2
    assert "E_JSON: t.jsonl, line 1: not JSON" in capsys.readouterr().err


def test_typed_values_are_plain(tmp_path: Path) -> None:
    table = pa.table(
        {
            "price": [Decimal("3.50"), None],
            "opened": [date(1995, 1, 2), None],
            "raw": [b"caf\xc3\xa9", b"\xff"],
            "n": [1.0, float("nan")],
            "tags": [[Decimal("1.10")], []],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    pyarrow.feather.write_feather(table, tmp_path / "t.feather")
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    for name in ("t.parquet", "t.feather", "t.arrow"):
        assert values(list(open_table(tmp_path / name, TableFormat()).rows)) == [
            ("3.50", "1995-01-02", "café", 1.0, ["1.10"]),
            (None, None, "/w==", None, []),
        ]


@pytest.mark.parametrize(
    ("value", "classes"),
    [
        ([], []), (None, []), (float("nan"), []), ("NaN", []), ("[]", []), (["Sport"], ["Sport"]), (0.0, ["0"]),
        (1, ["1"]), (True, ["true"]), (["a", "b"], ["a", "b"]), ("['Sport']", ["Sport"]), ('["a", "b"]', ["a", "b"]),
        ("[draft] memo", ["[draft] memo"]), ("None", ["None"]), ("NA", ["NA"]), (0.5, ["0.5"]),
        ([["Sport"]], ["Sport"]),
    ],
)  # fmt: skip
def test_the_classes_of_a_value(value: object, classes: list[str]) -> None:
    assert label_texts(value) == classes


def test_large_floats_are_not_taken_for_whole_numbers() -> None:
    assert only_value(2.0**53) == 2.0**53 and isinstance(only_value(2.0**53), float)
    assert only_value([3.0]) == 3


@pytest.mark.parametrize(
    ("text", "mark", "number"),
    [
        ("29,90", ",", "29.90"), ("1.299,00 €", ",", "1299.00"), ("1 299,5", ",", "1299.5"), ("-5", ",", "-5"),
        ("1,299.00", ".", "1299.00"), ("1'299", ".", "1299"), ("29.9", ",", None), ("1,2,3", ",", None),
        ("x", ",", None),
    ],
)  # fmt: skip
def test_numbers_with_their_decimal_mark(text: str, mark: str, number: str | None) -> None:
    assert decimal_text(text, mark) == number


def test_what_unicode_calls_ignorable_makes_no_difference() -> None:
    ignorable = regex.compile(r"\p{Default_Ignorable_Code_Point}")
    for code in range(sys.maxunicode + 1):
        if not 0xD800 <= code <= 0xDFFF:
            char = chr(code)
            assert (visible(char) == "") == bool(ignorable.match(char)), hex(code)
    assert fold("Hebrew Uni\u200f") == fold("hebrew\u00a0uni") == fold("Hebrew  U\u00adni")
    assert as_seen("Leo\u0301n \u200bX") == unicodedata.normalize("NFC", "Le\u00f3n X")
    assert as_seen("Oslo") != as_seen("oslo")


def test_hidden_files_are_no_tables(tmp_path: Path) -> None:
    for name in ("._t.csv", ".hidden.csv", "t.csv"):
        (tmp_path / name).write_text(HEADER + BODY)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    assert [path.name for path in table_files(tmp_path)] == ["t.csv"]


def project(folder: Path, shape: str, columns: dict[str, str], inputs: str = "t", more: str = "") -> None:
    lines = "".join(f"{role} = {json.dumps(column)}\n" for role, column in columns.items())
    (folder / "honed.toml").write_text(
        f'[paths]\ninput = ["{inputs}"]\n[data]\nshape = "{shape}"\n{more}\n[data.columns]\n{lines}', encoding="utf-8"
    )


def checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = run_command(["--quiet", "check", "--project", str(folder)])
    return code, "".join(capsys.readouterr())


NAMES = {"id": "id", "label": "label", "alias": "alias"}


def test_empty_parts_of_a_folder_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "part-0.csv").write_text(HEADER)
    (tmp_path / "t" / "part-1.csv").write_text(HEADER + BODY)
    (tmp_path / "t" / "part-2.csv").write_text("")
    project(tmp_path, "aliases", NAMES)
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and "empty files: part-0.csv, part-2.csv" in printed


def test_a_list_is_several_aliases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": "1", "label": "Oslo U", "alias": ["UiO", "OU"]}, {"id": "2", "label": "Kiel", "alias": ["IfW"]}]
    rows += [{"id": "3", "label": "Lima", "alias": []}, {"id": "4", "label": "Bonn", "alias": None}]
    (tmp_path / "t.json").write_text(json.dumps(rows))
    project(tmp_path, "aliases", NAMES, "t.json")
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and "4 entities, 4 label strings, 3 alias pairs" in printed


def test_a_separator_splits_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text(HEADER + "1,Oslo U,UiO; OU; \n2,Kiel,IfW\n3,Lima,ML\n")
    project(tmp_path, "aliases", NAMES, "t.csv", 'separator = ";"')
    assert "4 alias pairs" in checked(tmp_path, capsys)[1]


@pytest.mark.parametrize("field", ["id", "label", "alias", "more"])
def test_nul_is_refused_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str) -> None:
    row = {"id": "1", "label": "Oslo", "alias": "UiO", "more": ["x"], field: "a\0b" if field != "more" else ["a\0b"]}
    (tmp_path / "t.jsonl").write_text(json.dumps(row) + "\n")
    project(tmp_path, "aliases", NAMES, "t.jsonl")
    code, printed = checked(tmp_path, capsys)
    assert code == 2 and f"E_NUL: t.jsonl, line 1, {field}" in printed


def test_names_that_look_alike_are_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text(
        "label,alias\nUniversity of Oslo,UiO\nUniversity of Oslo ,Oslo U\nUniversity of Oslo\u00a0,OU\n"
        "Kiel\u200b Institute,IfW\nKiel Institute,KI\nLe\u00f3n,ULE\nLeo\u0301n,UL\n",
        encoding="utf-8",
    )
    project(tmp_path, "aliases", {"label": "label", "alias": "alias"}, "t.csv")
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and "3 entities, 3 label strings, 7 alias pairs" in printed


@pytest.mark.parametrize("second", ["Sport\u200b", "sport", "Sport\u00a0"])
def test_labels_that_look_alike_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], second: str) -> None:
    (tmp_path / "t.csv").write_text(f"id,text,label\n1,a,Sport\n2,b,{second}\n3,c,Food\n", encoding="utf-8")
    project(tmp_path, "labels", {"id": "id", "text": "text", "label": "label"}, "t.csv")
    assert "E_LABEL_NEAR_DUP" in checked(tmp_path, capsys)[1]


def test_labels_without_an_id_are_numbered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("text,label\nscored,Sport\nfried,Food\n")
    assert run_command(["init", str(tmp_path / "t.csv"), "--project", str(tmp_path)]) == 0
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and "records: 2, labelled 2" in printed and "W_ID_NUMBERED" in printed


def test_floats_of_parquet_are_whole_labels_and_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pa.table({"id": [1.0, 2.0, 3.0], "text": ["a", "b", "c"], "label": [0.0, 1.0, None]})
    pq.write_table(table, tmp_path / "t.parquet")
    more = 'empty_label = "abstain"'
    project(tmp_path, "labels", {"id": "id", "text": "text", "label": "label"}, "t.parquet", more)
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and "records: 3, labelled 2 (0 1, 1 1)" in printed


def test_c1_controls_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_bytes((HEADER + "1,L’Université,LU\n2,Kiel,K\n3,Lima,L\n").encode("cp1252"))
    project(tmp_path, "aliases", NAMES, "t.csv", 'encoding = "latin-1"')
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and "W_C1: t.csv, line 2: holds U+0092" in printed


def test_a_decimal_mark_makes_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text('id,label,alias,price\n1,Oslo,UiO,"1.299,00"\n2,Kiel,IfW,"cheap"\n')
    project(tmp_path, "aliases", NAMES, "t.csv", 'decimal = { price = "," }')
    code, printed = checked(tmp_path, capsys)
    assert code == 2 and "E_NUMBER: t.csv, line 3, price: 'cheap' is no number" in printed


def test_unknown_documents_are_the_first_thing_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("id,text\n1,a\n2,b\n")
    (tmp_path / "q.csv").write_text("query_id,text\nq,x\n")
    (tmp_path / "r.csv").write_text("query_id,doc_id,relevance\nq,S0-A,1\n")
    project(tmp_path, "judgments", {"id": "id", "text": "text"}, "t.csv")
    with (tmp_path / "honed.toml").open("a") as file:
        file.write('[judgments]\nqueries = ["q.csv"]\nqrels = ["r.csv"]\n')
    code, printed = checked(tmp_path, capsys)
    assert code == 2 and "E_QREL_UNKNOWN: 1 of 1 judgements name unknown documents, such as S0-A" in printed
