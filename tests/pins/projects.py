"""One small project of each shape, the same on every machine: what the pins are of."""

import csv
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TRAINED = {
    "aliases": """
[mine]
negatives = 3
false_negatives = 0.3
rescore = true
[cross_encoder]
epochs = 0.5
[train]
epochs = 1
[distil]
method = "match"
""",
    "labels": '[train]\nepochs = 1\nhead = "none"\n',
    "judgments": '[mine]\nencoder = "base"\n[train]\nepochs = 1\n',
    "relations": '[train]\nobjective = "triplet"\nmargin = 0.5\nepochs = 1\n',
}
_BEGINNING = {
    "aliases": """
[paths]
input = ["names.csv"]
[data]
shape = "aliases"
slice_by = ["kind"]
[data.columns]
id = "id"
label = "label"
alias = "alias"
""",
    "labels": """
[paths]
input = ["news.csv"]
[data]
shape = "labels"
labels = ["Harbour", "Kitchen", "Mountain", "Railway"]
empty_label = "abstain"
[data.columns]
id = "id"
title = "title"
text = "text"
label = "topic"
split = "split"
[split]
dev = 0.3
[label]
rules = ["rules.py"]
lists = ["lists.toml"]
coverage = 0.9
""",
    "judgments": """
[paths]
input = ["documents.csv"]
[data]
shape = "judgments"
[data.columns]
id = "id"
title = "label"
text = "text"
[judgments]
queries = ["queries.csv"]
qrels = ["qrels.csv"]
template = "{title}, {text} ({country})"
synthetic = 1
passages = 30
overlap = 4
[judgments.grades]
0 = "wrong"
1 = "right"
""",
    "relations": """
[paths]
input = ["sentences.csv"]
[data]
shape = "relations"
[data.columns]
text = "text"
head_start = "head_start"
head_end = "head_end"
tail_start = "tail_start"
tail_end = "tail_end"
relation = "relation"
head_type = "head_type"
split = "split"
[triplets]
positive = "swap"
negatives = ["same-entities"]
[retrieval]
input = ["utterances.csv"]
neighbours = 5
[retrieval.columns]
text = "text"
label = "intent"
split = "split"
""",
}
_END = {
    "aliases": '[baselines]\n[index]\n[hybrid]\nfields = ["website", "city"]\n[answers]\n[evaluate]\n',
    "labels": "[index]\n[evaluate]\n",
    "judgments": '[baselines]\n[index]\n[hybrid]\nfields = ["country"]\n[answers]\n[evaluate]\n',
    "relations": "[index]\n[explain]\npairs = 10\nsteps = 4\ncheck = 2\n[evaluate]\n",
}
_GATE = {"aliases": "student_gap = 1.0\nagreement = 0.0\n"}
SHAPES = tuple(_BEGINNING)


def write(shape: str, folder: Path, *, trained: bool, base: str = "minilm", precision: str = "fp32") -> Path:
    """Write the project of a shape; ``trained`` adds everything that trains."""
    _FILES[shape](folder)
    model = f'[model]\nbase = "{base}"\nprecision = "{precision}"\n'
    parts = [_BEGINNING[shape], model, _END[shape]]
    if trained:
        gate = f"[gate]\ngain_over_base = -1.0\n{_GATE.get(shape, '')}"
        parts = [_BEGINNING[shape], model, _TRAINED[shape], _END[shape], gate]
    text = "".join(parts)
    (folder / "honed.toml").write_text(text, encoding="utf-8")
    return folder


def _institutions(n: int) -> list[dict[str, str]]:
    with (ROOT / "examples" / "institutions" / "institutions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = set(list(dict.fromkeys(row["id"] for row in rows))[:n])
    return [row for row in rows if row["id"] in wanted]


def _table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _aliases(folder: Path) -> None:
    _table(folder / "names.csv", _institutions(160))


def _judgments(folder: Path) -> None:
    rows = _institutions(150)
    first = {row["id"]: row for row in reversed(rows)}
    texts = {
        key: " ".join(f"{row['city']} {row['website']} number {at}" for at in range(12)) for key, row in first.items()
    }
    documents = [
        {"id": key, "label": row["label"], "text": texts[key], "country": row["country"]} for key, row in first.items()
    ]
    _table(folder / "documents.csv", sorted(documents, key=lambda row: row["id"]))
    asked = [row for row in rows if row["alias"]]
    _table(folder / "queries.csv", [{"query_id": f"q{at}", "text": row["alias"]} for at, row in enumerate(asked)])
    ids = sorted(first)
    judged = [{"query_id": f"q{at}", "doc_id": row["id"], "relevance": "1"} for at, row in enumerate(asked)]
    judged += [
        {"query_id": f"q{at}", "doc_id": ids[at * 7 % len(ids)], "relevance": "0"}
        for at, row in enumerate(asked)
        if ids[at * 7 % len(ids)] != row["id"]
    ]
    _table(folder / "qrels.csv", judged)


def _copied(example: str, *files: str):
    def write(folder: Path) -> None:
        for name in files:
            shutil.copyfile(ROOT / "examples" / example / name, folder / name)

    return write


_FILES = {
    "aliases": _aliases,
    "labels": _copied("news", "news.csv", "rules.py", "lists.toml"),
    "judgments": _judgments,
    "relations": _copied("intents", "sentences.csv", "utterances.csv"),
}
