"""What `honed dedupe` finds: planted slips, IPEDS against ROR, and its time.

    python benchmarks/dedupe.py planted [--seed 7] [--draws 5]   # examples/institutions with slips that are known
    python benchmarks/dedupe.py linked LABELS.parquet            # IPEDS against ROR; the truth: one website's domain
    python benchmarks/dedupe.py time [--rows 10000 30000 100000] # generated names

Planted: each institution stands as it is; four in ten have one to three more rows with slips, three in ten a row of
something else with nearly its name (another campus, a hospital, a school of the other side). A tenth of the values of
city and country are left out. Baselines: rows of one folded name, and rows whose TF-IDF cosine of letters is at least
a threshold, which is chosen on the same rows by their truth: no one can know it, so it is the best that is possible.
"""

import argparse
import csv
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np

from honed.core.text import bare, fold_accents
from honed.data.table import TableFormat
from honed.match.dedupe import DedupeOptions, TableDedupe
from honed.match.rows import ComparedColumns, read_rows

DEMO = Path(__file__).parent.parent / "examples" / "institutions" / "institutions.csv"
NEARBY = (
    "{} Hospital", "{} Press", "{} Alumni Association", "{}, Campus 2", "{} Business School", "Northern {}", "New {}",
    "{} II", "{} Foundation", "{} School of Medicine",
)  # fmt: skip
SHORT = {
    "university": "Univ.", "institute": "Inst.", "technology": "Tech", "national": "Natl", "college": "Coll.",
    "international": "Intl", "science": "Sci", "sciences": "Sci", "school": "Sch.", "saint": "St",
}  # fmt: skip
KEYS = "qwertyuiop asdfghjkl zxcvbnm"


def slipped(name: str, draw: np.random.Generator) -> str:
    """Return a name with one or two slips."""
    for _ in range(int(draw.integers(1, 3))):
        words = name.split()
        kind = draw.choice(["typo", "typo", "swap", "short", "drop", "case", "accent"])
        at = int(draw.integers(len(words)))
        if kind == "typo" and len(words[at]) > 3:
            words[at] = mistyped(words[at], draw)
        elif kind == "swap" and len(words) > 1:
            at = int(draw.integers(len(words) - 1))
            words[at], words[at + 1] = words[at + 1], words[at]
        elif kind == "short":
            words = [SHORT.get(word.lower(), word) for word in words]
        elif kind == "drop" and len(words) > 2:
            words.pop(at)
        elif kind == "case":
            words = [word.upper() for word in words]
        elif kind == "accent":
            words = [fold_accents(word).title() for word in words]
        name = " ".join(words)
    return name


def mistyped(word: str, draw: np.random.Generator) -> str:
    at, kind = int(draw.integers(1, len(word) - 1)), int(draw.integers(4))
    near = KEYS.find(word[at].lower())
    other = KEYS[near + 1] if 0 <= near < len(KEYS) - 1 and KEYS[near + 1] != " " else "e"
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return {1: word[:at] + word[at + 1 :], 2: word[:at] + word[at] + word[at:], 3: word[:at] + other + word[at + 1 :]}[
        kind
    ]


def planted(entities: list[dict[str, str]], draw: np.random.Generator) -> list[dict[str, str]]:
    """Return rows (name, city, country, truth) of entities, their duplicates and what is nearly called so."""
    rows = []
    for entity in entities:
        rows.append({**entity, "truth": entity["name"]})
        if draw.random() < 0.4:
            for _ in range(int(draw.integers(1, 4))):
                rows.append({**entity, "name": slipped(entity["name"], draw), "truth": entity["name"]})
        if draw.random() < 0.3:
            other = str(draw.choice(NEARBY)).format(entity["name"])
            rows.append({**entity, "name": other, "truth": other})
    for row in rows:
        for column in ("city", "country"):
            if draw.random() < 0.1:
                row[column] = ""
    draw.shuffle(rows)  # type: ignore[arg-type]
    return rows


def pairs_of(groups: list) -> set[tuple[int, int]]:
    members = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    return {pair for rows in members.values() for pair in combinations(rows, 2)}


def scored(groups: list, truth: list[str]) -> list[float]:
    """Return pairs' precision (1 where none is found), recall and F1, and those of B-cubed (Bagga and Baldwin 1998)."""
    found, right = pairs_of(groups), pairs_of(truth)
    precision = len(found & right) / len(found) if found else 1.0
    recall = len(found & right) / max(1, len(right))
    both, of_group, of_truth = Counter(zip(groups, truth, strict=True)), Counter(groups), Counter(truth)
    one = np.mean([both[group, real] / of_group[group] for group, real in zip(groups, truth, strict=True)])
    two = np.mean([both[group, real] / of_truth[real] for group, real in zip(groups, truth, strict=True)])
    f1 = [2 * a * b / max(a + b, 1e-12) for a, b in ((precision, recall), (one, two))]
    return [precision, recall, f1[0], float(one), float(two), f1[1]]


def by_cosine(names: list[str], truth: list[str]) -> tuple[list[float], float]:
    """Return the figures of the threshold on the TF-IDF cosine of letters with the best F1 of pairs, and it."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    table = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), preprocessor=fold_accents).fit_transform(names)
    cosines = (table @ table.T).tocoo()
    best: tuple[list[float], float] = ([0.0] * 6, 0.0)
    for threshold in np.arange(0.5, 1.0, 0.025):
        parent = list(range(len(names)))

        def root(row: int, parent: list[int] = parent) -> int:
            while parent[row] != row:
                parent[row] = parent[parent[row]]
                row = parent[row]
            return row

        kept = (cosines.data >= threshold) & (cosines.row < cosines.col)
        for one, two in zip(cosines.row[kept].tolist(), cosines.col[kept].tolist(), strict=True):
            parent[root(one)] = root(two)
        figures = scored([root(row) for row in range(len(names))], truth)
        if figures[2] > best[0][2]:
            best = figures, float(threshold)
    return best


def written(rows: list[dict[str, str]], folder: Path, name: str = "rows.csv") -> Path:
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def after_reviews(run: TableDedupe, truth: list[str], most: int = 500) -> list[float]:
    """Return the figures after reviews of the random draw that is asked for, by the truth, until 5 % is proved."""
    said: dict[tuple[int, int], bool] = {}
    options = DedupeOptions(max_error=0.05)
    done = run.decided(options)
    while done.promise.source != "this table" and len(said) < most and done.audit:
        for at in [at for at in done.queue if at in done.audit][:25]:
            one, two = run.pairs[at].tolist()
            said[one, two] = truth[one] == truth[two]
        done = run.decided(options, said)
    real = np.array([truth[one] == truth[two] for one, two in run.pairs.tolist()])
    above = done.values >= (done.promise.cut if done.promise.cut is not None else 2.0)
    wrong = 100 * (1 - real[above].mean()) if above.any() else 0.0
    print(
        f"{done.promise.source}: {len(said)} reviews; {above.sum()} pairs above the cut, {wrong:.2f} % of them wrong",
        file=sys.stderr,
    )
    return scored(done.groups.tolist(), truth)


def run_planted(given: argparse.Namespace, entities: list[dict[str, str]]) -> None:
    figures = defaultdict(list)
    for draw in range(given.draws):
        rows = planted(entities, np.random.default_rng([given.seed, draw]))
        names, truth = [row["name"] for row in rows], [row["truth"] for row in rows]
        figures["one folded name"].append(scored([bare(name) for name in names], truth))
        best, threshold = by_cosine(names, truth)
        figures["cosine of letters, best threshold known afterwards"].append(best)
        with tempfile.TemporaryDirectory() as folder:
            shown = [{name: row[name] for name in ("name", "city", "country")} for row in rows]
            path = written(shown, Path(folder))
            for title, evidence in (("name", {}), ("name, city, country", {"city": "city", "country": "country"})):
                columns = ComparedColumns(name="name", name_there="name", evidence=evidence)
                run = TableDedupe(read_rows(path, columns, TableFormat()))
                compared, right = set(map(tuple, run.pairs.tolist())), pairs_of(truth)
                figures[f"candidates: recall {title}"].append([len(compared & right) / len(right)])
                for risk in given.max_error:
                    done = run.decided(DedupeOptions(max_error=risk))
                    figures[f"honed dedupe, {title}, --max-error {risk:g}"].append(scored(done.groups.tolist(), truth))
                figures[f"honed dedupe, {title}, chance over one half"].append(
                    scored(run.joins.groups(0.0).tolist(), truth)
                )
        figures["the same after reviews, --max-error 0.05"].append(after_reviews(run, truth))
        print(
            f"draw {draw}: {len(rows)} rows, {len(pairs_of(truth))} true pairs, threshold {threshold:.3f}",
            file=sys.stderr,
        )
    print("| system | precision | recall | F1 | B-cubed precision | recall | F1 |\n|" + " --- |" * 7)
    for title, values in figures.items():
        print(f"| {title} | " + " | ".join(f"{100 * value:.1f}" for value in np.mean(values, axis=0)) + " |")


def institutions() -> list[dict[str, str]]:
    with DEMO.open(encoding="utf-8", newline="") as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    return [{"name": name, "city": row["city"], "country": row["country"]} for name, row in rows.items()]


def domain(website: object) -> str:
    """Return the last two parts of a website's host, three where the second to last is short; "" without one."""
    host = re.sub(r"^\w+://|[/:?].*$", "", str(website or "").strip().lower())
    parts = host.split(".")
    if len(parts) < 2 or "@" in host:
        return ""
    return ".".join(parts[-3:] if len(parts) > 2 and len(parts[-2]) <= 3 and len(parts[-1]) == 2 else parts[-2:])


def run_linked(given: argparse.Namespace) -> None:
    """IPEDS against ROR: of pairs whose rows both have a website, how many share its domain."""
    import pyarrow.parquet as parquet

    names = ("label", "city", "region", "country", "website", "source")
    table = parquet.read_table(given.labels, columns=list(names)).to_pylist()
    sides = {
        source: [{name: str(row[name] or "") for name in names} for row in table if row["source"] == source]
        for source in ("ipeds", "ror")
    }
    known = {domain(row["website"]) for row in sides["ror"]} - {""}
    findable = [domain(row["website"]) in known for row in sides["ipeds"]]
    print(f"{len(sides['ipeds'])} rows of IPEDS, {len(sides['ror'])} of ROR; {sum(findable)} share a domain with one")
    print(
        "| evidence | seconds | pairs compared | cut | found | same domain | of those that share one |\n|"
        + " --- |" * 7
    )
    with tempfile.TemporaryDirectory() as folder:
        one, two = (written(sides[name], Path(folder), f"{name}.csv") for name in ("ipeds", "ror"))
        for evidence in ((), ("city", "country"), ("city", "region", "country")):
            columns = ComparedColumns(name="label", name_there="label", evidence={name: name for name in evidence})
            started = time.perf_counter()
            rows = read_rows(one, columns, TableFormat(), two)
            run = TableDedupe(rows)
            done = run.decided(DedupeOptions())
            seconds = time.perf_counter() - started
            every = [row["website"] for row in (*sides["ipeds"], *sides["ror"])]
            for title, groups in (
                ("1 %", done.groups),
                ("5 %", run.decided(DedupeOptions(max_error=0.05)).groups),
                ("one half", run.joins.groups(0.0)),
            ):
                found = [sorted(pair) for pair in pairs_of(groups.tolist())]
                both = [(domain(every[a]), domain(every[b])) for a, b in found]
                judged = [a == b for a, b in both if a and b]
                right = sum(a == b != "" for a, b in both)
                print(
                    f"| {', '.join(evidence) or 'none'} | {seconds:.0f} | {len(run.pairs):,} | {title} | {len(found)} "
                    f"| {sum(judged)} of {len(judged)} ({100 * np.mean(judged or [0]):.1f} %) "
                    f"| {100 * right / sum(findable):.1f} % |",
                    flush=True,
                )


def generated(n: int, entities: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return ``n`` rows: names of the demo table with made-up places, three in ten of them a slip of another row."""
    draw = np.random.default_rng(0)
    common = {word for word, count in Counter(w for e in entities for w in e["name"].split()).items() if count >= 8}
    syllables = [a + b for a in "bcdfglmnprstv" for b in ("a", "e", "i", "o", "u", "an", "er", "in", "ol")]
    rows: list[dict[str, str]] = []
    while len(rows) < n:
        if rows and draw.random() < 0.3:
            other = rows[int(draw.integers(len(rows)))]
            rows.append({**other, "name": slipped(other["name"], draw)})
            continue
        entity = entities[int(draw.integers(len(entities)))]
        words = [
            word if word in common else "".join(draw.choice(syllables, size=int(draw.integers(2, 4)))).title()
            for word in entity["name"].split()
        ]
        rows.append({"name": " ".join(words), "city": entity["city"], "country": entity["country"]})
    return rows


def run_time(given: argparse.Namespace) -> None:
    """Time and memory for tables of growing size, each in a process of its own."""
    if given.one:
        with tempfile.TemporaryDirectory() as folder:
            path = written(generated(given.one, institutions()), Path(folder))
            before = time.process_time(), time.perf_counter()
            columns = ComparedColumns(name="name", name_there="name", evidence={"city": "city", "country": "country"})
            run = TableDedupe(read_rows(path, columns, TableFormat()))
            done = run.decided(DedupeOptions())
            seconds = time.process_time() - before[0], time.perf_counter() - before[1]
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(given.one, *seconds, megabytes, len(run.pairs), len(done.sizes))
        return
    print("| rows | CPU seconds | seconds | peak MB | pairs compared | clusters | slope |\n|" + " --- |" * 7)
    last = None
    for rows in given.rows:
        command = [sys.executable, __file__, "time", "--one", str(rows)]
        n, cpu, wall, memory, pairs, clusters = map(
            float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        )
        slope = f"{np.log(cpu / last[1]) / np.log(n / last[0]):.2f}" if last else ""
        print(
            f"| {n:,.0f} | {cpu:.0f} | {wall:.0f} | {memory:.0f} | {pairs:,.0f} | {clusters:,.0f} | {slope} |",
            flush=True,
        )
        last = n, cpu


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = arguments.add_subparsers(dest="command", required=True)
    one = commands.add_parser("planted")
    one.add_argument("--seed", type=int, default=7)
    one.add_argument("--draws", type=int, default=5)
    one.add_argument("--max-error", type=float, nargs="+", default=(0.01, 0.05))
    two = commands.add_parser("linked")
    two.add_argument("labels", type=Path)
    three = commands.add_parser("time")
    three.add_argument("--rows", type=int, nargs="+", default=(10_000, 30_000, 100_000))
    three.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.command == "planted":
        run_planted(given, institutions())
    elif given.command == "linked":
        run_linked(given)
    else:
        run_time(given)


if __name__ == "__main__":
    main()
