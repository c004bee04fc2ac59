"""Whether the promise of [answers] is kept: dev and test of five tasks drawn anew, many times.

    python benchmarks/risk.py evidence DATA CACHE [TASK...]     # once: minutes a task
    python benchmarks/risk.py CACHE [--draws 200] [--risk 0.1]

DATA holds the folders of `honed datasets fetch`. ``evidence`` asks each task's catalogue with an untuned MiniLM and a
hybrid whose weights other queries taught, and keeps what the chance is estimated from. A draw takes dev from those
queries by their groups, learns chance and cut as the stage `hybrid` does, and judges them on all queries that are left.
Two tasks have queries that truly have no answer: affiliations of institutions that are not in the catalogue, and
questions whose sentences were left out. Prints a table: how often the share of wrong answers was above the risk, which
share was answered, and which by the best cut, chosen on what is left.
"""

import argparse
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from honed.core.absence import AbsentShare
from honed.evaluate.answers import AcceptedRisk, AnsweredQueries, Estimates, answered_queries
from honed.index.answers import AnswerEvidence, AnswerModel

POOL, TAUGHT, NAMES = 3000, 500, 6000
SIZES, PARTS = (50, 100, 500, 1000), 12

ALIASES = """
[paths]
input = ["aliases.parquet", "labels.parquet"]
[data]
shape = "aliases"
on_bad_row = "quarantine"
[data.columns]
id = "id"
label = "label"
alias = "alias"
[model]
base = "minilm"
[split]
protocol = "held-out"
test = 0.3
dev = 0.1
[index]
[hybrid]
fields = [{fields}]
"""

JUDGMENTS = """
[paths]
input = ["documents.parquet"]
[data]
shape = "judgments"
on_bad_row = "quarantine"
[data.columns]
id = "doc_id"
text = "text"
[model]
base = "minilm"
max_length = 48
[judgments]
queries = ["queries.parquet"]
qrels = ["qrels.parquet"]
[judgments.grades]
0 = "irrelevant"
{best} = "relevant"
[split]
test = 0.5
dev = 0.2
[index]
[hybrid]
"""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A task as it is asked: rows of a catalogue to write, and queries of its own where it has some.

    ``queries`` are (id, text, right ids); without them those of the project's test split are asked.
    """

    settings: str
    tables: dict[str, pd.DataFrame]
    queries: list[tuple[str, str, list[str]]] | None = None


def schools(data: Path) -> Judged:
    """DBpedia's schools and their aliases, institutions held out."""
    rows = pd.read_csv(data / "dbpedia_schools/dbpedia_schools.csv").rename(columns={"qid": "id"})
    rows = rows[rows.label.notna()]
    labels = rows.drop_duplicates("id")[["id", "label"]]
    table = {"aliases": rows, "labels": labels}
    return Judged(settings=ALIASES.format(fields='"website", "description"'), tables=table)


def _institutions(data: Path, n: int, wanted: set[str]) -> dict[str, pd.DataFrame]:
    labels = pd.read_parquet(data / "institutions/labels.parquet")[["id", "label", "country", "city", "website"]]
    rest = labels[~labels.id.isin(wanted)]
    labels = pd.concat([labels[labels.id.isin(wanted)], rest.sample(n, random_state=0)])
    aliases = pd.read_parquet(data / "institutions/aliases.parquet")[["id", "label", "alias"]]
    return {"aliases": aliases[aliases.id.isin(labels.id)], "labels": labels}


def institutions(data: Path) -> Judged:
    """Research organisations and their aliases, organisations held out."""
    return Judged(settings=ALIASES.format(fields='"website", "city"'), tables=_institutions(data, NAMES, set()))


def affiliations(data: Path) -> Judged:
    """Affiliations under papers, some of institutions that are not in the catalogue."""
    rows = pd.read_parquet(data / "affiliations/affiliations.parquet")
    queries = [
        (row.query_id, row.text, [name for name, there in zip(row.ids, row.in_catalogue, strict=True) if there])
        for row in rows.itertuples()
    ]
    wanted = {name for _, _, right in queries for name in right}
    tables = _institutions(data, NAMES, wanted)
    return Judged(settings=ALIASES.format(fields='"country", "city"'), tables=tables, queries=queries)


def movies(data: Path) -> Judged:
    """Movies and judged queries (MSRD)."""
    folder = data / "movie_search_msrd"
    movie = pd.read_parquet(folder / "corpus.parquet")
    columns = [movie[name].fillna("").astype(str) for name in ("title", "year", "director", "overview", "actors")]
    documents = pd.DataFrame(
        {"doc_id": movie.doc_id.astype(str), "text": [" ".join(row) for row in zip(*columns, strict=True)]}
    )
    queries = pd.read_parquet(folder / "queries.parquet").sample(9000, random_state=0)
    grades = pd.read_parquet(folder / "qrels.parquet").astype({"doc_id": str})
    grades = grades[grades.query_id.isin(queries.query_id)]
    tables = {"documents": documents, "queries": queries, "qrels": grades}
    return Judged(settings=JUDGMENTS.format(best=1), tables=tables)


def questions(data: Path) -> Judged:
    """SQuAD's questions of the dev articles; every third sentence that answers one is not in the catalogue."""
    folder = data / "squad_retrieval"
    sentences = pd.read_parquet(folder / "derived_sentences.parquet").query("doc_id.str.startswith('dev')")
    grades = pd.read_parquet(folder / "derived_sentence_qrels.parquet")
    grades = grades[grades.doc_id.isin(sentences.doc_id)]
    asked = grades.doc_id.drop_duplicates().sort_values()
    gone = set(asked.sample(frac=1 / 3, random_state=0))
    texts = pd.read_parquet(folder / "queries.parquet").set_index("query_id").text
    right = grades.groupby("query_id").doc_id.agg(list).sample(frac=1, random_state=0)
    queries = [
        (query, str(texts[query]), [name for name in names if name not in gone]) for query, names in right.items()
    ]
    documents = sentences[~sentences.doc_id.isin(gone)][["doc_id", "text"]]
    kept = grades[~grades.doc_id.isin(gone)]
    tables = {
        "documents": documents,
        "queries": pd.DataFrame({"query_id": kept.query_id, "text": texts[kept.query_id].to_numpy()}).iloc[:300],
        "qrels": kept.iloc[:300],
    }
    return Judged(settings=JUDGMENTS.format(best=1), tables=tables, queries=queries[: POOL + TAUGHT])


TASKS = {
    "schools": schools,
    "institutions": institutions,
    "affiliations": affiliations,
    "movies": movies,
    "questions": questions,
}


def keep_evidence(name: str, data: Path, cache: Path) -> None:
    """Ask one task and keep the evidence on its queries as ``CACHE/NAME.npz``."""
    import honed
    from honed.artifacts.data import CheckArtifact
    from honed.core.records import Qrels, Query
    from honed.stages import hybrid
    from honed.stages.answers import query_evidence, strangers
    from honed.stages.encoded_queries import EncodedQueries

    judged, folder = TASKS[name](data), cache / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for table, rows in judged.tables.items():
        rows.to_parquet(folder / f"{table}.parquet")
    (folder / "honed.toml").write_text(judged.settings, encoding="utf-8")
    project = honed.Project(folder)
    project.runner.run(until="hybrid")
    check = project.runner.latest(CheckArtifact)
    task = check.task("alias-to-label", "test")
    if judged.queries is not None:
        ids = {query for query, _, _ in judged.queries}
        task = replace(
            task,
            queries=[Query(query_id=query, text=text) for query, text, _ in judged.queries],
            qrels=Qrels(grades={query: dict.fromkeys(right, 1) for query, _, right in judged.queries}),
            groups={query: query for query in ids},
        )
    task = strangers(task, hybrid.known_names(check))
    groups = sorted({task.groups[query.query_id] for query in task.queries})
    order = dict(zip(groups, np.random.default_rng(0).permutation(len(groups)), strict=True))
    queries = sorted(task.queries, key=lambda query: (order[task.groups[query.query_id]], query.query_id))
    taught, pool = queries[:TAUGHT], queries[TAUGHT : TAUGHT + POOL]
    searcher = project.searcher()
    hybrid.teach(searcher, replace(task, queries=taught), project.config, frozenset())
    asked = EncodedQueries.of(searcher, replace(task, queries=pool))
    seen = list(query_evidence(searcher, asked, name))
    np.savez_compressed(
        cache / f"{name}.npz",
        shown=np.stack([query.shown for query in seen]),
        hidden=np.stack([query.hidden for query in seen]),
        right=np.array([query.right for query in seen]),
        answerable=np.array([bool(asked.right(at)) for at in range(len(seen))]),
        group=np.unique([order[task.groups[query.query_id]] for query in pool], return_inverse=True)[1],
    )


@dataclass(frozen=True)
class Pool:
    """The stored evidence of a task; every array is ``(n, ...)``."""

    shown: np.ndarray
    hidden: np.ndarray
    right: np.ndarray
    answerable: np.ndarray
    group: np.ndarray

    def draw(self, n: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of a dev set of n queries, whole groups but for the last, and those of all other groups."""
        order = random.permutation(self.group.max() + 1)[self.group]
        rows = np.argsort(order, kind="stable")
        last = order[rows[n - 1]]
        return rows[:n], rows[order[rows] > last]

    def evidence(self, rows: np.ndarray, random: np.random.Generator) -> AnswerEvidence:
        """Return the evidence of some queries, with parts and hidden answers as this draw has them."""
        return AnswerEvidence(
            shown=self.shown[rows],
            hidden=self.hidden[rows],
            answerable=self.answerable[rows],
            right=self.right[rows].astype(float),
            distances=np.zeros(len(rows)),
            parts=random.integers(0, PARTS, self.group.max() + 1)[self.group[rows]],
            draws=random.random(len(rows)),
        )

    def judge(self, model: AnswerModel, rows: np.ndarray) -> AnsweredQueries:
        """Return what a model answers of some queries."""
        assert model.promise is not None
        zeros = np.zeros(len(rows))
        estimates = Estimates(
            answerable=self.answerable[rows],
            chances=model.chances(self.shown[rows]),
            without=model.chances(self.hidden[rows]),
            right=self.right[rows].astype(float),
            sizes=zeros,
            held=zeros,
        )
        accepted = AcceptedRisk(risk=model.risk, cut=model.promise.cut)
        return answered_queries(estimates, accepted, AbsentShare.of(estimates.answerable, None))


def redraw(name: str, pool: Pool, n: int, *, draws: int, risk: float, confidence: float) -> None:
    """Print how the promise is kept on draws of n dev queries."""
    results = []
    for draw in range(draws):
        random = np.random.default_rng([draw, n])
        dev, rest = pool.draw(n, random)
        model = AnswerModel.learn(
            pool.evidence(dev, random), absent=None, risk=risk, confidence=confidence, coverage=0.9
        )
        results.append(pool.judge(model, rest))
    broken = np.mean([(result.wrong or 0.0) > risk for result in results])
    answered = [result.share for result in results]
    best = np.mean([result.best.share for result in results if result.best])
    low, high = (100 * value for value in np.quantile(answered, [0.1, 0.9]))
    wrong = np.mean([result.wrong for result in results if result.wrong is not None] or [0.0])
    none = np.mean([result.wrong is None for result in results])
    print(
        f"| {name} | {n} | {100 * broken:.1f} % | {100 * wrong:.1f} % | {100 * np.mean(answered):.1f} % | "
        f"{low:.1f} – {high:.1f} % | {100 * none:.0f} % | {100 * best:.1f} % |",
        flush=True,
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("words", nargs="+", metavar="evidence DATA CACHE [TASK...] | CACHE [TASK...]")
    arguments.add_argument("--draws", type=int, default=200)
    arguments.add_argument("--risk", type=float, default=0.1)
    arguments.add_argument("--confidence", type=float, default=0.9)
    arguments.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    given = arguments.parse_args()
    if given.words[0] == "evidence":
        data, cache, *names = given.words[1:]
        for name in names or TASKS:
            keep_evidence(name, Path(data), Path(cache))
        return
    cache, *names = given.words
    print("| task | dev | broken | wrong | answered | 10 to 90 % of draws | none answered | best cut |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in names or TASKS:
        with np.load(Path(cache) / f"{name}.npz") as arrays:
            pool = Pool(**{field: arrays[field] for field in Pool.__dataclass_fields__})
        for n in (n for n in given.sizes if 2 * n <= len(pool.right)):
            redraw(name, pool, n, draws=given.draws, risk=given.risk, confidence=given.confidence)


if __name__ == "__main__":
    main()
