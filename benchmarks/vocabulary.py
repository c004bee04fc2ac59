"""What a vocabulary that is cut to a catalogue saves and changes: bundles of one untuned model, whole and cut.

    python benchmarks/vocabulary.py MODEL TABLE [--names 3000] [--precision int8]

TABLE (Parquet or CSV) has a row for each alias with the columns id, label and alias. Entities are drawn until labels
and every second alias of each, the catalogue, are that many names; the other aliases are queries that the catalogue
does not hold. Printed are the size of each bundle and of its model, how many queries are read in other pieces, and for
which share of the queries both bundles, and the model in fp32, have the same first hit.
"""

import argparse
import csv
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from honed import Project, Searcher
from honed.bundle.layout import MODEL, TOKENIZER
from honed.bundle.load import read_manifest
from honed.bundle.tokenizer import load_tokenizer
from honed.data.split import unit_interval
from honed.project.export import ExportOptions, export_bundle

Pair: TypeAlias = tuple[str, str, str]  # id, label, alias
SETTINGS = """
[paths]
input = ["names.csv"]
[data]
shape = "aliases"
[data.columns]
id = "id"
label = "label"
alias = "alias"
[model]
base = "{model}"
[split]
protocol = "catalogue"
[index]
"""


def read_pairs(table: Path) -> list[Pair]:
    """Return the rows of a table."""
    if table.suffix == ".parquet":
        import pyarrow.parquet as pq

        rows = pq.read_table(table, columns=["id", "label", "alias"]).to_pylist()
    else:
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    return [(row["id"], row["label"], row["alias"]) for row in rows if row["alias"] and row["alias"] != row["label"]]


def drawn(pairs: Sequence[Pair], n_names: int) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs of a catalogue of so many names, and those of its entities that it does not hold."""
    of_entity = defaultdict(list)
    for pair in pairs:
        of_entity[pair[0]].append(pair)
    catalogue: list[Pair] = []
    outside: list[Pair] = []
    for labels, entity in enumerate(sorted(of_entity, key=lambda entity: unit_interval(5, entity))):
        if labels + len(catalogue) >= n_names:
            break
        catalogue += of_entity[entity][::2]
        outside += of_entity[entity][1::2]
    return catalogue, outside


def megabytes(folder: Path) -> float:
    """Return the size of all files of a folder in MB (10^6 bytes)."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def pieces_of(bundle: Path, queries: Sequence[str]) -> list[list[str]]:
    """Return the pieces of queries, with their prompt, by the tokenizer of a bundle."""
    tokenizer, prompt = load_tokenizer(bundle / TOKENIZER), read_manifest(bundle).spec.query_prompt
    return [tokenizer.encode(prompt + query).tokens for query in queries]


def first_hits(searcher: Searcher, queries: Sequence[str]) -> list[str]:
    """Return the label that is nearest to each query by meaning alone."""
    rows = searcher.search_labels(searcher.encoder.encode(list(queries), "query"), 1)[1]
    return [searcher.label_text(int(row)) for row in rows[:, 0]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("model")
    arguments.add_argument("table", type=Path)
    arguments.add_argument("--names", type=int, default=3000)
    arguments.add_argument("--precision", default="int8")
    given = arguments.parse_args()
    catalogue, outside = drawn(read_pairs(given.table), given.names)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with (folder / "names.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("id", "label", "alias"), *catalogue])
        (folder / "honed.toml").write_text(SETTINGS.format(model=given.model), encoding="utf-8")
        project = Project(folder)
        project.run(until="index")
        compare(project, folder, given.precision, outside)


def compare(project: Project, folder: Path, precision: str, outside: Sequence[Pair]) -> None:
    """Print what bundles of a project with the whole and the cut vocabulary have in common."""
    queries = list(dict.fromkeys(alias for _, _, alias in outside))
    right = {alias: label for _, label, alias in outside}
    hits: dict[str, list[str]] = {"model in fp32": first_hits(project.searcher(), queries)}
    searchers = {}
    for vocabulary in ("whole", "known"):
        started = time.process_time()
        options = ExportOptions(precision=precision, vocabulary=vocabulary, most_flips=1.0)
        bundle = export_bundle(project, folder / vocabulary, options)
        took = time.process_time() - started
        searchers[vocabulary] = searcher = Searcher.load(bundle)
        hits[vocabulary] = first_hits(searcher, queries)
        parity, model, tokenizer = read_manifest(bundle).parity, bundle / MODEL, bundle / TOKENIZER
        print(
            f"{vocabulary:>6}: {megabytes(bundle):.1f} MB, model {model.stat().st_size / 1e6:.1f}, tokenizer "
            f"{tokenizer.stat().st_size / 1e6:.2f}; {100 * parity.top1_flips:.2f} % of {parity.n_queries} names of the "
            f"catalogue flip, mean cosine {parity.mean_cosine}; {took:.0f} s of CPU"
        )
    facts = read_manifest(folder / "known").vocabulary
    assert facts is not None
    print(f"vocabulary: {facts.pieces:,} of {facts.of:,} pieces")
    tokens = [pieces_of(folder / name, queries) for name in searchers]
    changed = np.array([one != other for one, other in zip(*tokens, strict=True)])
    print(f"{len(queries)} queries that the catalogue does not hold, {100 * changed.mean():.1f} % in other pieces")
    print_agreement(hits, changed, [right[query] for query in queries])


def print_agreement(hits: dict[str, list[str]], changed: np.ndarray, right: Sequence[str]) -> None:
    """Print for each two systems the share of queries with one first hit, and for each how many are right."""
    names = list(hits)
    for at, one in enumerate(names):
        share = np.mean([hit == label for hit, label in zip(hits[one], right, strict=True)])
        print(f"{one}: R@1 {100 * share:.1f} %")
        for other in names[at + 1 :]:
            same = np.array([left == hit for left, hit in zip(hits[one], hits[other], strict=True)])
            parts = ", ".join(
                f"{100 * same[rows].mean():.1f} % of {rows.sum()} {name}"
                for name, rows in (("changed", changed), ("unchanged", ~changed))
                if rows.any()
            )
            print(f"  same first hit as {other}: {100 * same.mean():.1f} % ({parts})")


if __name__ == "__main__":
    main()
