"""What a stranger gets: data sets as they were published, ``honed init`` and ``honed run``, and nothing is edited.

    python benchmarks/strangers.py --data FOLDER [NAME...] [--rows 2000] [--work FOLDER] [--rate 5e-5]

FOLDER holds a folder of files for each data set; without names all of them are taken. The files (README aside) are
linked into a folder of their own, or with ``--rows`` so many rows of them are written there. Then the two commands run
as a user types them, and sentence-transformers trains the same base model on the same pairs for as many epochs (its
own trainer, MultipleNegativesRankingLoss, batches of 64). Everything is measured on the same test queries; two
sentences tell by a paired bootstrap whether the hybrid is under the best of its parts, and the tuned model under
the plain one.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pandas as pd
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from honed import Project
from honed.artifacts.data import CheckArtifact, Examples
from honed.artifacts.evaluation import EvaluateArtifact
from honed.core.records import Example
from honed.encode.base_models import resolve
from honed.encode.torch_encoder import TorchEncoder, load_model, quiet_libraries
from honed.evaluate.classes import class_scores, nearest
from honed.evaluate.measures import Measure
from honed.evaluate.results import Comparison
from honed.evaluate.score import TaskScores
from honed.shapes.grouped.texts import LabelledQueries, RetrievalTexts
from honed.shapes.judged import MAIN
from honed.shapes.report_facts import scores_of_classes
from honed.shapes.systems import BASE, BM25, DICTIONARY, HYBRID, KNOWN_NAMES, RERANKED, TUNED, encoder_run

PLAIN = "plain sentence-transformers"
SHOWN = (BM25, BASE, PLAIN, TUNED, HYBRID)
BATCH, SEED = 64, 0
JUDGED = {"doc_id", "product_id"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a data set: the sentence on what failed, or the verdicts."""

    name: str
    failed: str = ""
    verdicts: Sequence[str] = ()

    @property
    def line(self) -> str:
        """The line of the summary."""
        return f"{self.name:<24} {self.failed or '; '.join(self.verdicts)}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("names", nargs="*")
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--rows", type=int, default=0)
    arguments.add_argument("--work", type=Path)
    arguments.add_argument("--rate", type=float, default=5e-5)
    given = arguments.parse_args()
    names = given.names or sorted(path.name for path in given.data.iterdir() if path.is_dir())
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        outcomes = [tried(name, given.data / name, work / name, given.rows, given.rate) for name in names]
    print("\n" + "\n".join(outcome.line for outcome in outcomes))


def tried(name: str, source: Path, folder: Path, rows: int, rate: float) -> Outcome:
    """Run the two commands on a data set, train the plain model, print the table."""
    print(f"\n== {name}", flush=True)
    files, project = folder / "data", folder / "project"
    files.mkdir(parents=True, exist_ok=True)
    place(source, files, rows)
    for command in (["init", str(files), "--project", str(project), "--force"], ["run", "--project", str(project)]):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "honed", *command], capture_output=True, text=True, check=False)
        print(f"honed {command[0]}: exit {done.returncode}, {time.perf_counter() - started:.0f} s", flush=True)
        if command[0] == "init":
            print("\n".join(f"   {line}" for line in done.stderr.splitlines() if line.strip()))
        if done.returncode not in (0, 1):  # 1: a gate was not met, and there is a report
            problem = next((line for line in done.stderr.splitlines() if line.startswith("error")), done.stderr[-300:])
            return Outcome(name=name, failed=f"FAILS at honed {command[0]}: {problem}")
    return Outcome(name=name, verdicts=compared(Project(project), rate))


# -- files ---------------------------------------------------------------------------------------


def place(source: Path, target: Path, rows: int) -> None:
    """Link the files of a data set, or write some rows of them: of judged search what belongs together."""
    paths = sorted(path for path in source.iterdir() if path.is_file() and path.name != "README.md")
    for path in target.iterdir():
        path.unlink()
    if not rows:
        for path in paths:
            (target / path.name).symlink_to(path.resolve())
        return
    tables = {path.name: read(path) for path in paths}
    narrowed = some_queries(tables, rows) if any("query_id" in t and JUDGED & set(t) for t in tables.values()) else {}
    kept = narrowed or some_rows(tables, rows)
    for name, table in kept.items():
        if name.endswith(".csv"):
            table.to_csv(target / name, index=False)
        else:
            table.to_parquet(target / name, index=False)


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False) if path.suffix == ".csv" else pd.read_parquet(path)


def some_rows(tables: dict[str, pd.DataFrame], rows: int) -> dict[str, pd.DataFrame]:
    """Return so many rows of the first table, and of the others so many and those of its ids."""
    kept: dict[str, pd.DataFrame] = {}
    ids: set[object] = set()
    for name, table in tables.items():
        drawn = table.sample(min(rows, len(table)), random_state=SEED)
        if ids and "id" in table:
            drawn = pd.concat([drawn, table[table["id"].isin(ids)]])
        ids |= set(drawn["id"]) if "id" in drawn else set()
        kept[name] = table.loc[sorted(set(drawn.index))]
    return kept


def some_queries(tables: dict[str, pd.DataFrame], rows: int) -> dict[str, pd.DataFrame]:
    """Return so many judged queries with their judgements, every document that those name and so many others."""
    judgements = {name: t for name, t in tables.items() if "query_id" in t and JUDGED & set(t)}
    first = next(reversed(judgements.values()))
    queries = pd.Series(first["query_id"].unique()).sample(frac=1, random_state=SEED)[:rows]
    kept = {name: table[table["query_id"].isin(queries)] for name, table in judgements.items()}
    named = {doc for table in kept.values() for doc in table[next(iter(JUDGED & set(table)))]}
    for name, table in tables.items():
        if name not in kept and "query_id" in table:
            kept[name] = table[table["query_id"].isin(queries)]
        elif name not in kept:
            ids = table[next(iter(JUDGED & set(table)))]
            others = table[~ids.isin(named)].sample(frac=1, random_state=SEED)[:rows]
            kept[name] = pd.concat([table[ids.isin(named)], others]).sort_index()
    return kept


# -- systems -------------------------------------------------------------------------------------


def compared(project: Project, rate: float) -> list[str]:
    """Measure the plain model beside what the report holds, print all, and return the two verdicts."""
    runner, config = project.runner, project.config
    report, check = runner.latest(EvaluateArtifact), runner.latest(CheckArtifact)
    stored, _ = report.scores()
    texts, train = runner.find_latest(RetrievalTexts), config.train
    assert train is not None  # what honed init writes trains
    started = time.perf_counter()
    examples = runner.latest(Examples).examples()
    plain = plain_model(project, examples, train.epochs, rate)
    print(f"{PLAIN}: {len(examples)} pairs, {train.epochs:g} epochs, {time.perf_counter() - started:.0f} s", flush=True)
    measure = Measure.parse(str(report.report_json()["headline"][0]))  # type: ignore[index]
    if texts is not None:
        queries = LabelledQueries.of(texts)
        scores = scores_of_classes("labelled", queries.queries, queries.classes, queries.names, [measure], SEED)
        vectors = plain.encode(queries.queries, "query"), plain.encode(queries.corpus, "document")
        rankings = nearest(*vectors, queries.own)
        scores.scores[PLAIN] = class_scores(rankings, queries.classes, queries.corpus_classes, [measure])
    else:
        test = check.task(MAIN, "test")
        scores = TaskScores(test, [measure], seed=SEED)
        scores.add(encoder_run(PLAIN, plain, test, 100))
    for name, of_system in stored.items():
        scores.scores[name] = {measure: of_system[str(measure)]}
    return printed(scores, measure)


def printed(scores: TaskScores, measure: Measure) -> list[str]:
    """Print every system, the five that are compared first, and return the verdicts."""
    systems = {system.name: system.measures[str(measure)] for system in scores.systems()}
    print(f"{measure} of {len(scores.query_ids)} queries")
    for name in (*(name for name in SHOWN if name in systems), *(name for name in systems if name not in SHOWN)):
        value = systems[name]
        print(f"   {name:<34}{100 * value.mean:>7.1f}  ({100 * value.low:.1f} to {100 * value.high:.1f})")
    verdicts = [verdict(scores.compare(TUNED, PLAIN, measure))]
    if HYBRID in scores.scores:
        added = ("hybrid", PLAIN, DICTIONARY)
        parts = [name for name in systems if not name.startswith(added) and RERANKED not in name]
        best = scores.best([name for name in parts if KNOWN_NAMES not in name], measure)
        verdicts.append(verdict(scores.compare(HYBRID, best, measure)))
    return verdicts


def verdict(pair: Comparison) -> str:
    """Return and print whether a system is significantly under another."""
    shown = f"{100 * pair.difference.mean:+.1f} ({100 * pair.difference.low:+.1f} to {100 * pair.difference.high:+.1f})"
    text = f"{'UNDER' if pair.difference.high < 0 else 'ok'}: {pair.candidate} - {pair.reference} {shown}"
    print(text, flush=True)
    return text


def plain_model(project: Project, examples: Sequence[Example], epochs: float, rate: float) -> TorchEncoder:
    """Return the project's base model, trained by sentence-transformers as its users do."""
    model = load_model(resolve(project.config.model.base).folder)
    if project.config.model.max_length:
        model.max_seq_length = project.config.model.max_length
    order = np.random.default_rng(SEED).permutation(len(examples))
    pairs = {name: [getattr(examples[row], name) for row in order] for name in ("anchor", "positive")}
    with tempfile.TemporaryDirectory() as folder, quiet_libraries():
        SentenceTransformerTrainer(
            model=model,
            args=SentenceTransformerTrainingArguments(
                output_dir=folder,
                num_train_epochs=epochs,
                per_device_train_batch_size=BATCH,
                learning_rate=rate,
                use_cpu=model.device.type == "cpu",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                seed=SEED,
            ),
            train_dataset=Dataset.from_dict(pairs),
            loss=MultipleNegativesRankingLoss(model),
        ).train()
        model.save(f"{folder}/model")
        return TorchEncoder.load(replace(project.config.model, base=f"{folder}/model", precision="fp32"))


if __name__ == "__main__":
    main()
