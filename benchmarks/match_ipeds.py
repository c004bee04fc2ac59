"""IPEDS against ROR by `honed match`: rows by name, city and state.

    python benchmarks/match_ipeds.py DATA [rows] [names] [--work FOLDER]

DATA holds the folders of `honed datasets fetch`. The catalogue are the institutions of ROR in the United States with
ROR's own aliases, searched with an untrained MiniLM and a hybrid that a fifth of the institutions taught; the websites
are no part of it. Two tables are matched:

- rows: those of IPEDS that are in ROR by no identifier, states written out. A shared website domain stands in for the
  truth: a row whose domain some institution of the catalogue has should get one of that domain.
- names: one that IPEDS gives for each institution that is in ROR by its identifier, which is the truth. City and state
  are those of ROR, and no institution is there twice.

Prints, for each kind of evidence, one to one or not, after no review and after 300 by one who knows the truth alone:
rows accepted, how many of those whose truth is known are right, which share of the rows that should get something got
it, those said to have no counterpart and how many of them should have got one, and the time.
"""

import argparse
import csv
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from dedupe import domain

import honed
from honed.match.decide import ACCEPT, NO_MATCH, Decided, MatchOptions
from honed.match.reviews import Review
from honed.match.run import TableMatch
from honed.match.table import TableColumns

STATES = """
AL Alabama|AK Alaska|AZ Arizona|AR Arkansas|CA California|CO Colorado|CT Connecticut|DE Delaware|DC District of Columbia
FL Florida|GA Georgia|HI Hawaii|ID Idaho|IL Illinois|IN Indiana|IA Iowa|KS Kansas|KY Kentucky|LA Louisiana|ME Maine
MD Maryland|MA Massachusetts|MI Michigan|MN Minnesota|MS Mississippi|MO Missouri|MT Montana|NE Nebraska|NV Nevada
NH New Hampshire|NJ New Jersey|NM New Mexico|NY New York|NC North Carolina|ND North Dakota|OH Ohio|OK Oklahoma|OR Oregon
PA Pennsylvania|RI Rhode Island|SC South Carolina|SD South Dakota|TN Tennessee|TX Texas|UT Utah|VT Vermont|VA Virginia
WA Washington|WV West Virginia|WI Wisconsin|WY Wyoming
"""
STATE_NAMES = dict(state.split(" ", 1) for state in STATES.strip().replace("\n", "|").split("|"))
SETTINGS = {
    "model.base": "minilm",
    "split": {"protocol": "held-out", "test": 0.1, "dev": 0.2},
    "train": None,
    "baselines": None,
    "gate": None,
    "evaluate": None,
    "hybrid": {"fields": ["city", "region"]},
    "answers": {},
}
BATCH = 25
COLUMNS = ["id", "label", "city", "region", "website"]
HEADER = (
    "evidence", "at most wrong", "one to one", "reviews", "accepted", "right of those known", "found",
    "none", "of them to be found", "cut from", "seconds: CPU / clock",
)  # fmt: skip


def catalogue_tables(data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return ROR's labels in the United States, and their aliases."""
    labels = pd.read_parquet(data / "institutions/labels.parquet")
    labels = labels[(labels.source == "ror") & (labels.country_code == "US")][COLUMNS]
    aliases = pd.read_parquet(data / "institutions/aliases.parquet")
    return labels, aliases[(aliases.source == "ror") & aliases.id.isin(labels.id)][["id", "label", "alias"]]


def catalogue_of(labels: pd.DataFrame, aliases: pd.DataFrame, folder: Path) -> honed.Project:
    """Return the project of the catalogue, run as far as its hybrid."""
    labels.to_parquet(folder / "labels.parquet")
    aliases.to_parquet(folder / "aliases.parquet")
    project = honed.Project.from_pairs(
        [folder / "aliases.parquet", folder / "labels.parquet"],
        id="id",
        label="label",
        alias="alias",
        folder=folder / "project",
        settings=SETTINGS,
    )
    project.run(until="hybrid")
    return project


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a row and its institution share, a domain or an id: of all rows in order, and of institutions by id."""

    rows: list[str]
    institutions: dict[str, str]

    @property
    def findable(self) -> list[bool]:
        """Which rows share something with some institution."""
        known = set(self.institutions.values()) - {""}
        return [row in known for row in self.rows]


def rows_of_ipeds(data: Path, catalogue: pd.DataFrame) -> tuple[pd.DataFrame, Truth]:
    """Return the rows of IPEDS that are not in ROR by an identifier, with the domains of websites as the truth."""
    labels = pd.read_parquet(data / "institutions/labels.parquet")
    rows = labels[labels.source == "ipeds"][COLUMNS].fillna("")
    rows["region"] = rows.region.map(lambda code: STATE_NAMES.get(code, code))
    domains = dict(zip(catalogue.id, map(domain, catalogue.website), strict=True))
    return rows, Truth(rows=list(map(domain, rows.website)), institutions=domains)


def names_of_ipeds(data: Path, catalogue: pd.DataFrame) -> tuple[pd.DataFrame, Truth]:
    """Return a name that IPEDS gives for each institution of ROR, with the ids as the truth."""
    aliases = pd.read_parquet(data / "institutions/aliases.parquet")
    given = aliases[aliases.source == "ipeds"].drop_duplicates("id")[["id", "alias"]]
    rows = given.merge(catalogue[["id", "city", "region"]], on="id").drop_duplicates(["alias", "city"])
    rows = rows.rename(columns={"alias": "label"})
    return rows, Truth(rows=rows.id.tolist(), institutions={name: name for name in catalogue.id})


TABLES = {"rows": rows_of_ipeds, "names": names_of_ipeds}


def seconds(started: tuple[float, float]) -> str:
    """Return the seconds since the times of CPU and clock."""
    return f"{time.process_time() - started[0]:.1f} / {time.perf_counter() - started[1]:.1f}"


def times() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / max(whole, 1):.1f} %)"


def first_candidates(match: TableMatch, truth: Truth, took: str) -> list[str]:
    """Return what the first candidates of all rows are worth, whatever their chances, as cells."""
    entries = [int(match.entries.of_row(row)[0]) for row in range(len(truth.rows))]
    firsts = [match.found[entry].candidates[0].id for entry in entries]
    right = sum(own == truth.institutions[first] != "" for own, first in zip(truth.rows, firsts, strict=True))
    return ["first candidate", "", "", f"{len(entries)}", "", share(right, sum(truth.findable)), "", "", "", took]


def decisions(match: TableMatch, decided: Decided, truth: Truth, took: str) -> list[str]:
    """Return what was accepted and what is said to have no counterpart, beside the truth, as cells."""
    accepted = judged = right = absent = missed = 0
    for row, (own, is_findable) in enumerate(zip(truth.rows, truth.findable, strict=True)):
        entry = int(match.entries.of_row(row)[0])
        decision, chosen = decided.decision(entry), decided.chosen[entry]
        there = truth.institutions[chosen.id] if decision == ACCEPT and chosen else ""
        accepted += decision == ACCEPT
        judged += bool(own and there)
        right += own == there != ""
        absent += decision == NO_MATCH
        missed += decision == NO_MATCH and is_findable
    found = share(right, sum(truth.findable))
    return [f"{accepted}", share(right, judged), found, f"{absent}", f"{missed}", decided.accepted.source, took]


def reviewed(match: TableMatch, options: MatchOptions, truth: Truth, reviews: int) -> Decided:
    """Return the decisions after so many reviews, in the order of the queue, by one who knows the truth alone."""
    own = dict(zip(match.entries.of_rows.tolist(), truth.rows, strict=True))  # a row has one entry
    by_key = {name: institution for institution, name in truth.institutions.items() if name}
    said: list[Review] = []
    while True:
        decided = match.decided(options, said)
        asked = decided.queue[: min(BATCH, reviews - len(said))]
        if not len(asked):
            return decided
        for entry in asked:
            found = [one.id for one in decided.found[entry].candidates if truth.institutions[one.id] == own[entry]]
            answer = found[0] if own[entry] and found else by_key.get(own[entry], "")
            said.append(Review(entry=match.entries.keys[entry], answer=answer, who="truth"))


def run(match: TableMatch, name: str, truth: Truth) -> None:
    """Print a line for the first candidates, and for each kind of decisions."""
    started = times()
    _ = match.found
    print(f"| {name} | {' | '.join(first_candidates(match, truth, seconds(started)))} |", flush=True)
    for most in (0.01, 0.05, 0.2):
        for single in (False, True):
            for reviews in (0, 300):
                started, options = times(), MatchOptions(max_error=most, one_to_one=single)
                decided = reviewed(match, options, truth, reviews)
                asked = [name, f"{100 * most:g} %", "yes" if single else "no", f"{reviews}"]
                print(f"| {' | '.join([*asked, *decisions(match, decided, truth, seconds(started))])} |", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("tables", nargs="*", default=[])
    arguments.add_argument("--work", type=Path)
    given = arguments.parse_args()
    labels, aliases = catalogue_tables(given.data)
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        searcher = catalogue_of(labels, aliases, work).searcher()
        for title in given.tables or TABLES:
            rows, truth = TABLES[title](given.data, labels)
            table = work / f"{title}.csv"
            rows.to_csv(table, index=False, quoting=csv.QUOTE_ALL)
            print(
                f"{title}: {len(rows)}, {sum(truth.findable)} to be found among {len(labels)}, {len(aliases)} aliases"
            )
            print(f"| {' | '.join(HEADER)} |\n|{' --- |' * len(HEADER)}")
            for evidence in ((), ("city", "region")):
                columns = TableColumns(name="label", evidence={name: name for name in evidence})
                with tempfile.TemporaryDirectory() as answers:
                    match = TableMatch.start(table, columns, searcher, folder=Path(answers))
                    run(match, ", ".join(evidence) or "none", truth)


if __name__ == "__main__":
    main()
