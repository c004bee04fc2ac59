"""Labelling tools by name, both ways; offsets as other corpora count them; grades in parts; answers that reject."""

import json
from pathlib import Path
from typing import Any

import pytest

from honed.cli.main import run_command
from honed.data.annotations import flattened
from honed.data.tables import Row, TableFormat, open_table
from honed.label.tools import TOOLS, TextToLabel, write_for_tool
from honed.shapes.relations.sentences import SpanError, placed

CHOICE = {"type": "choices", "from_name": "l", "to_name": "t", "value": {"choices": ["Sport"]}}


def studio(*annotations: dict[str, Any]) -> dict[str, Any]:
    return {"id": 7, "data": {"id": "r1", "text": "a goal"}, "annotations": list(annotations), "predictions": []}


@pytest.mark.parametrize(
    ("record", "label"),
    [
        (studio({"result": [CHOICE]}), "Sport"),
        (studio({"result": [CHOICE]}, {"result": [CHOICE]}), "Sport"),
        (studio({"result": [CHOICE], "was_cancelled": True}), None),
        (studio(), None),
        (studio({"result": [{**CHOICE, "value": {"choices": ["A", "B"]}}]}), ["A", "B"]),
        ({"text": "a goal", "label": "Sport", "answer": "accept", "_input_hash": 5, "meta": {"id": "r1"}}, "Sport"),
        ({"text": "a goal", "label": "Sport", "answer": "reject", "_input_hash": 5, "meta": {"id": "r1"}}, None),
        ({"text": "a goal", "accept": ["Sport"], "answer": "accept", "_task_hash": 5, "id": "r1"}, "Sport"),
        ({"text": "a goal", "accept": [], "answer": "ignore", "_task_hash": 5, "id": "r1"}, None),
        ({"id": "r1", "fields": {"text": "a goal"}, "responses": {"label": [{"value": "Sport"}]}}, "Sport"),
        (
            {"id": "r1", "fields": {"text": "a goal"},
             "responses": [{"values": {"l": {"value": "A"}}, "status": "draft"}]},
            None,
        ),
        (
            {"id": "r1", "fields": {"text": "a goal"},
             "responses": [{"values": {"l": {"value": "Sport"}}, "status": "submitted"}]},
            "Sport",
        ),
    ],
)  # fmt: skip
def test_a_record_of_a_tool_is_flat(record: dict[str, Any], label: object) -> None:
    flat = flattened(record)
    assert flat is not None
    assert (flat["id"], flat["text"], flat["label"]) == ("r1", "a goal", label)


def test_other_records_stay_as_they_are() -> None:
    assert flattened({"id": 1, "text": "x", "data": "y", "answer": "accept"}) is None


@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_written_for_a_tool_is_read_back(tmp_path: Path, tool: str) -> None:
    record = TextToLabel(id="r1", text="a goal", likeliest="Sport", confidence=0.9)
    file = tmp_path / ("t.json" if tool in ("label-studio", "argilla") else "t.jsonl")
    write_for_tool(tool, [record], file)
    row = next(iter(open_table(file, TableFormat()).rows))
    assert isinstance(row, Row) and row.values["text"] == "a goal"
    if tool != "prodigy":  # which gives ids of its own, with ours in meta
        assert row.values["id"] == "r1"
    assert row.values["label"] == {"doccano": ["Sport"], "prodigy": "Sport"}.get(tool)  # suggestions are no labels


TACRED = {"text": "token", "head_start": "subj_start", "head_end": "subj_end", "tail_start": "obj_start",
          "tail_end": "obj_end"}  # fmt: skip
BORN = {"token": ["Ada", "Stone", "was", "born", "in", "Bern"], "subj_start": 0, "subj_end": 1, "obj_start": 5,
        "obj_end": 5}  # fmt: skip


def entities(values: dict[str, object], columns: dict[str, str], ends: str = "auto") -> list[str]:
    text, spans = placed(values, columns, "auto", ends)
    assert isinstance(text, str)
    return [text[slice(*spans[side][0])] for side in ("head", "tail")]


def test_ends_are_inclusive_where_tacred_s_columns_say_so() -> None:
    assert entities(BORN, TACRED) == ["Ada Stone", "Bern"]
    exclusive = BORN | {"subj_end": 2, "obj_end": 6}
    assert entities(exclusive, TACRED, "exclusive") == ["Ada Stone", "Bern"]
    with pytest.raises(SpanError, match="inclusive, as TACRED has them: otherwise set  ends = "):
        entities(exclusive, TACRED)


def test_equal_ends_tell_what_to_set() -> None:
    columns = {"text": "token", "head_start": "a", "head_end": "b", "tail_start": "c", "tail_end": "d"}
    values = {"token": BORN["token"], "a": 0, "b": 1, "c": 5, "d": 5}
    with pytest.raises(SpanError, match='set  ends = "inclusive"'):
        entities(values, columns)
    assert entities(values, columns, "inclusive") == ["Ada Stone", "Bern"]


@pytest.mark.parametrize(
    ("head", "tail"), [({"indices": [[0, 1]]}, {"indices": [[5]]}), ({"pos": [0, 2]}, {"pos": [5, 6]})]
)
def test_objects_of_few_rel_and_opennre(head: object, tail: object) -> None:
    values = {"token": BORN["token"], "h": head, "t": tail}
    assert entities(values, {"text": "token", "head": "h", "tail": "t"}) == ["Ada Stone", "Bern"]


def write(folder: Path, shape: str, more: str) -> None:
    (folder / "honed.toml").write_text(f'[paths]\ninput = ["t.csv"]\n[data]\nshape = "{shape}"\n{more}')


def checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = run_command(["--quiet", "check", "--project", str(folder)])
    return code, "".join(capsys.readouterr())


def test_grades_in_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("id,text\n" + "".join(f"{n},thing {n}\n" for n in range(9)))
    (tmp_path / "q.csv").write_text("query_id,text\n" + "".join(f"{n},what {n}\n" for n in range(9)))
    (tmp_path / "r.csv").write_text("query_id,doc_id,relevance\n" + "".join(f"{n},{n},0.5\n" for n in range(9)))
    more = '[data.columns]\nid = "id"\ntext = "text"\n[judgments]\nqueries = ["q.csv"]\nqrels = ["r.csv"]\n'
    write(tmp_path, "judgments", more)
    code, printed = checked(tmp_path, capsys)
    assert code == 2 and "set  grade_factor = 10  under [judgments]" in printed
    write(tmp_path, "judgments", more + "grade_factor = 10\n")
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and "grades: 5: 9" in printed


def test_rejected_labels_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("id,text,label,answer\n1,a,Sport,accept\n2,b,Food,reject\n3,c,Food,accept\n")
    columns = '[data.columns]\nid = "id"\ntext = "text"\nlabel = "label"\n'
    write(tmp_path, "labels", columns)
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and 'otherwise set  answer = "answer"' in printed and "labelled 3" in printed
    assert run_command(["init", str(tmp_path / "t.csv"), "--project", str(tmp_path), "--force"]) == 0
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and "labelled 2" in printed


def test_long_documents_are_told(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("id,text\n" + "".join(f"{n},{'red lamp ' * 60}\n" for n in range(9)))
    (tmp_path / "q.csv").write_text("query_id,text\n" + "".join(f"{n},what {n}\n" for n in range(9)))
    (tmp_path / "r.csv").write_text("query_id,doc_id,relevance\n" + "".join(f"{n},{n},1\n" for n in range(9)))
    more = '[data.columns]\nid = "id"\ntext = "text"\n[judgments]\nqueries = ["q.csv"]\nqrels = ["r.csv"]\n'
    write(tmp_path, "judgments", more + f"[model]\nbase = {json.dumps(str(tiny_model))}\nmax_length = 32\n")
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and "9 of 9 documents are longer than 32 tokens" in printed and "passages = 100" in printed


def test_joined_aliases_and_an_entity_alone_are_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("id,label,alias\n1,Oslo University,UiO; Oslo U\n1,Oslo University,OU\n")
    write(tmp_path, "aliases", '[data.columns]\nid = "id"\nlabel = "label"\nalias = "alias"\n')
    printed = checked(tmp_path, capsys)[1]
    assert 'W_ALIAS_JOINED: 1\n    UiO; Oslo U: separator = ";" makes several of it' in printed
    assert "W_ENTITY_ALONE" in printed


def test_a_tool_s_export_is_imported_whole_or_not_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("id,text,label\nr1,a,Sport\nr2,b,Food\nr3,c,\nr4,d,\n")
    columns = '[data.columns]\nid = "id"\ntext = "text"\nlabel = "label"\n[label]\n'
    write(tmp_path, "labels", f'empty_label = "abstain"\n{columns}')

    def export(*labels: tuple[str, list[str]]) -> int:
        tasks = [
            {"id": 1, "data": {"id": number, "text": "x"}, "annotations": [{"result": [{"value": {"choices": names}}]}]}
            for number, names in labels
        ]
        (tmp_path / "export.json").write_text(json.dumps(tasks))
        return run_command(["--quiet", "label", "import", str(tmp_path / "export.json"), "-p", str(tmp_path)])

    store = tmp_path / "labels.jsonl"
    assert export(("r3", ["Sport"]), ("r4", ["Sport", "Food"])) == 2
    assert "E_LABEL_SEVERAL" in capsys.readouterr().err
    assert not store.exists() or not store.read_text()
    assert export(("r3", ["sport"]), ("r4", [])) == 0
    assert "1 labels added" in capsys.readouterr().out
    line = next(tmp_path.glob("*.jsonl")).read_text().splitlines()[-1]
    assert json.loads(line)["label"] == "Sport"  # as the data spells it


def test_quoting_and_delimiter_are_kept_by_init(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text('id^label^alias\n1^Oslo "x^UiO\n2^Kiel^"IfW\n3^Lima^ML\n')
    options = ["--delimiter", "^", "--quoting", "none"]
    assert run_command(["init", str(tmp_path / "t.csv"), "--project", str(tmp_path), *options]) == 0
    code, printed = checked(tmp_path, capsys)
    assert code == 0 and "3 alias pairs" in printed
    assert run_command(["init", str(tmp_path / "t.csv"), "-p", str(tmp_path), "--force", "--quoting", "odd"]) == 2
