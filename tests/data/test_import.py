import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honed.core.errors import DataError
from honed.data.rows import Accounting, ImportConfig
from honed.data.tables import TableFormat
from tests.importing import importer, read_all

TEXTS = ImportConfig(shape="labels", columns={"id": "id", "text": "text"})
KEEP = ImportConfig(shape="labels", columns={"id": "id", "text": "text"}, on_bad_row="quarantine")
ALIASES = ImportConfig(shape="aliases", columns={"label": "label", "alias": "alias"})


def load(tmp_path: Path, name: str, content: str | bytes, config: ImportConfig = TEXTS) -> Accounting:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    return importer(config).run([path], out)


def rejects(tmp_path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]


def test_ids_and_texts_stay_exact_strings(tmp_path: Path) -> None:
    load(tmp_path, "a.csv", "id,text\n007,NA\n1e5,null\nNA,007\n")
    assert [(row["id"], row["text"]) for row in read_all(tmp_path / "out")] == [
        ("007", "NA"),
        ("1e5", "null"),
        ("NA", "007"),
    ]


def test_other_columns_are_kept_as_fields(tmp_path: Path) -> None:
    load(tmp_path, "a.csv", "id,text,colour\n1,x,red\n")
    assert json.loads(read_all(tmp_path / "out")[0]["fields"]) == {"colour": "red"}


def test_every_row_is_accepted_or_rejected_with_its_text(tmp_path: Path) -> None:
    books = load(tmp_path, "a.csv", 'id,text\n1,a\n2,"open\n3,c,d\n4,\n5,"x"y\n6,f\n', KEEP)
    assert (books.rows_in, books.accepted, books.rejected) == (6, 2, 4)
    assert dict(books.reasons) == {"E_CSV_QUOTE": 2, "E_CSV_WIDTH": 1, "E_TEXT_EMPTY": 1}
    assert [row["where"] for row in rejects(tmp_path)] == ["line 3", "line 4", "line 5", "line 6"]
    assert rejects(tmp_path)[0]["text"] == '2,"open'
    assert [row["id"] for row in read_all(tmp_path / "out")] == ["1", "6"]


def test_one_bad_row_stops_everything_by_default_and_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, "a.csv", "id,text\n1,a\n2\n")
    assert "line 3: expected 2 got 1 fields" in str(caught.value)
    assert "--on-bad-row quarantine" in str(caught.value)


def test_an_open_quote_does_not_eat_the_rows_after_it(tmp_path: Path) -> None:
    body = "".join(f"{number},text {number}\n" for number in range(1000))
    books = load(tmp_path, "a.csv", 'id,text\nx,"never closed\n' + body, KEEP)
    assert (books.accepted, books.rejected) == (1000, 1)


def test_a_quoted_line_break_is_one_row_and_later_lines_count_physically(tmp_path: Path) -> None:
    load(tmp_path, "a.csv", 'id,text\n1,"a\nb"\n2,c,d\n', KEEP)
    assert rejects(tmp_path)[0]["where"] == "line 4, record 2"
    assert read_all(tmp_path / "out")[0]["text"] == "a\nb"


def test_undecodable_bytes_are_found_in_the_last_row_too(tmp_path: Path) -> None:
    content = b"id,text\n" + b"".join(b"%d,ok\n" % number for number in range(3000)) + b"x,\xff\n"
    books = load(tmp_path, "a.csv", content, KEEP)
    assert books.accepted == 3000
    assert rejects(tmp_path)[0]["where"] == "line 3002"
    assert "\\xff" in rejects(tmp_path)[0]["text"]


def test_latin_1_is_read_when_it_is_named(tmp_path: Path) -> None:
    config = ImportConfig(shape="labels", columns={"id": "id", "text": "text"}, format=TableFormat(encoding="latin-1"))
    load(tmp_path, "a.csv", "id,text\n1,Université\n".encode("latin-1"), config)
    assert read_all(tmp_path / "out")[0]["text"] == "Université"


def test_utf_16_is_read_when_it_is_named(tmp_path: Path) -> None:
    config = ImportConfig(shape="labels", columns={"id": "id", "text": "text"}, format=TableFormat(encoding="utf-16"))
    load(tmp_path, "a.csv", "id,text\n1,é\n".encode("utf-16"), config)
    assert read_all(tmp_path / "out")[0]["text"] == "é"


@pytest.mark.parametrize("name", ["a.tsv", "b.csv"])
def test_tabs_and_semicolons_are_seen(tmp_path: Path, name: str) -> None:
    mark = "\t" if name.endswith("tsv") else ";"
    load(tmp_path, name, f"id{mark}text\n1{mark}a, b\n")
    assert read_all(tmp_path / "out")[0]["text"] == "a, b"


def test_json_arrays_stream_and_keep_their_order(tmp_path: Path) -> None:
    rows = [{"id": str(number), "text": "é" * 200 + str(number)} for number in range(3000)]
    load(tmp_path, "a.json", json.dumps(rows, ensure_ascii=False))
    assert [row["id"] for row in read_all(tmp_path / "out")] == [row["id"] for row in rows]


def test_a_cut_json_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="breaks off or is damaged after record 1"):
        load(tmp_path, "a.json", '[{"id":"1","text":"a"},{"id":"2","te')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"id":"1","text":"a"}]\n[{"id":"2","text":"b"}]', "text follows the end of the array"),
        ('[{"id":"1","text":"a"} {"id":"2","text":"b"}]', "a comma is missing after record 1"),
        ('[,{"id":"1","text":"a"}]', "breaks off or is damaged"),
        ('[{"id":"1","text":"a"},]', "breaks off or is damaged"),
        ("[" + "[" * 100_000, "nested too deeply"),
    ],
)
def test_nothing_of_a_damaged_json_array_is_left_out_in_silence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path, "a.json", text)


def test_what_a_folder_holds_besides_tables_is_counted(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    (data / "a.csv").write_text("id,text\n1,a\n")
    (data / "b.csv.old").write_text("x")
    (data / "._a.csv").write_text("\0")
    (tmp_path / "out").mkdir()
    assert importer(TEXTS).run([data], tmp_path / "out").skipped == ["data/b.csv.old", "data/sub"]


def test_an_alias_may_be_left_out_of_json_records(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"label": f"L{n}"}) + "\n" for n in range(150)) + '{"label":"M","alias":"m"}\n'
    assert load(tmp_path, "a.jsonl", lines, ALIASES).accepted == 151


def test_parquet_rows_are_named_by_number(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["1", "2"], "text": ["a", None]}), path)
    out = tmp_path / "out"
    out.mkdir()
    importer(KEEP).run([path], out)
    assert rejects(tmp_path)[0]["where"] == "row 1"


def test_a_damaged_parquet_page_with_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"id": [str(n) for n in range(3000)], "text": [f"text {n}" for n in range(3000)]})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="damaged"):
        importer(TEXTS).run([path], tmp_path / "out")


def test_a_folder_is_read_file_by_file_and_ids_are_unique_across_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "b.csv").write_text("id,text\n1,b\n")
    (data / "a.csv").write_text("id,text\n1,a\n")
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=r"id 1 stands twice: a.csv, line 2, and b.csv, line 2"):
        importer(TEXTS).run([data], tmp_path / "out")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in.csv")
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="not a regular file"):
        importer(TEXTS).run([tmp_path / "in.csv"], tmp_path / "out")


def test_a_missing_column_names_what_was_found_and_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column text for the text; found: id, txt; did you mean txt"):
        load(tmp_path, "a.csv", "id,txt\n1,a\n")


def test_an_empty_alias_is_a_label_without_aliases(tmp_path: Path) -> None:
    books = load(tmp_path, "a.csv", "label,alias\nUniversity of X,\nUniversity of Y,UY\n", ALIASES)
    assert books.accepted == 2


FIELD = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Cf", "Zs", "Zl", "Zp")), min_size=1, max_size=20)


@given(st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=20, unique_by=lambda row: row[0].strip()))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_csv_that_python_writes_is_read_back_exactly(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    import csv
    import io
    import unicodedata

    if len({unicodedata.normalize("NFC", row[0]) for row in rows}) < len(rows):
        return
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("id", "text"), *rows])
    books = load(tmp_path, "a.csv", text.getvalue())
    assert books.rows_in == books.accepted == len(rows)
    assert [(row["id"], row["text"]) for row in read_all(tmp_path / "out")] == rows


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.parquet"])
def test_no_bytes_crash_an_import(tmp_path: Path, name: str, junk: bytes) -> None:
    try:
        books = load(tmp_path, name, b"id,text\n" + junk if name == "a.csv" else junk, KEEP)
    except DataError:
        return
    assert books.rows_in == books.accepted + books.rejected
