"""Tables without their duplicates: pairs, words, chances, groups, records, what is promised, and files."""

import csv
import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from honed.cli.main import run_command
from honed.core.errors import ConfigError, DataError
from honed.core.text import bare
from honed.data.table import TableFormat
from honed.encode.hashing import HashEncoder
from honed.match import neighbours
from honed.match.clusters import Joins, joined, pairs_to_add
from honed.match.comparisons import OTHER as OTHER_VALUE
from honed.match.comparisons import PART, Comparer, Evidence
from honed.match.comparisons import SAME as SAME_VALUE
from honed.match.dedupe import Deduped, DedupeOptions, TableDedupe
from honed.match.dedupe_files import DedupeFiles, read_reviews, write_all
from honed.match.linkage import learn_linkage
from honed.match.merge import proposed
from honed.match.neighbours import NameTable, Seekers, candidate_pairs, most_pairs
from honed.match.rows import ComparedColumns, ComparedRows, read_rows
from honed.match.slips import with_slips
from honed.match.words import (
    EXACT,
    EXTRA_HALF,
    EXTRA_HEAVY,
    INITIALS,
    OTHER,
    OTHER_LIGHT,
    SAME,
    SLIPS,
    NameWords,
    edits,
    is_short_for,
    numbers_of,
)
from honed.match.writers import written_table

PLACE = {"city": "city", "country": "country"}


def table_with_slips(institutions: list[dict[str, str]], n: int = 300) -> list[dict[str, str]]:
    """Institutions, a second row with slips for each third, and a hospital of each fifth."""
    entities = list({row["label"]: row for row in institutions}.values())[:n]
    draw = np.random.default_rng(5)
    rows = []
    for at, entity in enumerate(entities):
        row = {"name": entity["label"], "city": entity["city"], "country": entity["country"], "truth": entity["id"]}
        rows.append(row)
        if at % 3 == 0:
            rows.append({**row, "name": with_slips([row["name"]], draw)[0]})
        if at % 5 == 0:
            rows.append({**row, "name": f"{row['name']} Hospital", "truth": f"{entity['id']} hospital"})
    return rows


def written(rows: list[dict[str, str]], path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def rows_of(path: Path, against: Path | None = None, **evidence: str) -> ComparedRows:
    columns = ComparedColumns(name="name", name_there="name", evidence=evidence)
    return read_rows(path, columns, TableFormat(), against)


def right_pairs(labels: list[str]) -> set[tuple[int, int]]:
    return {(a, b) for a, b in combinations(range(len(labels)), 2) if labels[a] == labels[b]}


@pytest.fixture(scope="module")
def planted(institutions: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(table_with_slips(institutions), tmp_path_factory.mktemp("dedupe") / "rows.csv")


@pytest.fixture(scope="module")
def run(planted: Path) -> TableDedupe:
    return TableDedupe(rows_of(planted, **PLACE))


def truth_of(path: Path) -> list[str]:
    return [row["truth"] for row in read(path)]


def test_edits_within_a_band() -> None:
    for left, right, wanted in (
        ("guadalajara", "gudalajara", 1),
        ("guadalajara", "gaudalajara", 1),  # two letters changed places
        ("guadalajara", "guadalajara", 0),
        ("austria", "australia", 2),
        ("abc", "xyz", 3),
        ("abcdef", "ab", 3),
    ):
        assert edits(left, right, 2) == edits(right, left, 2) == wanted, left


def test_short_forms_of_words() -> None:
    assert all(is_short_for(*pair) for pair in (("univ", "university"), ("u", "university"), ("intl", "international")))
    assert not any(
        is_short_for(*pair) for pair in (("north", "south"), ("art", "arts"), ("uxy", "university"), ("bern", "bergen"))
    )


def test_numbers_are_read_as_numbers() -> None:
    assert numbers_of("Lycée Louis XIV, 2nd campus of 1950") == {14, 2, 1950}
    assert numbers_of("Second Campus") == numbers_of("Campus II") == numbers_of("campus 2") == {2}
    assert not numbers_of("University of Guadalajara")


@pytest.mark.parametrize(
    ("left", "right", "level"),
    [
        ("University of Guadalajara", "The University of Guadalajara", EXACT),
        ("University of Guadalajara", "Guadalajara, University", SAME),
        ("Hewlett Packard", "HewlettPackard", SAME),
        ("University of Guadalajara", "Univ. of Guadalajra", SLIPS),
        ("Sing Sing School", "Sing School Sing", SAME),
        ("Massachusetts Institute of Technology", "MIT", INITIALS),
        ("Universidad de Guadalajara", "UDG", INITIALS),
        ("MIT Sloan", "Massachusetts Institute of Technology Sloan", INITIALS),
        ("Eastern College", "Western College", OTHER_LIGHT),
        ("北京大学", "南京大学", OTHER),
        ("!!!", "???", OTHER),
    ],
)
def test_how_names_differ(left: str, right: str, level: int) -> None:
    words = NameWords([left, right, *(f"{side} Academy {at}" for at in range(5) for side in ("Eastern", "Western"))])
    found = words.level(0, 1)
    assert found == words.level(1, 0)
    assert found == level or (level == OTHER_LIGHT and found > INITIALS)  # how light depends on the weights


def test_rare_words_weigh_more() -> None:
    names = ["University of Oulu", "Oulu", "University", *(f"University of {at}" for at in range(50))]
    words = NameWords(names)
    assert words.level(0, 1) < words.level(0, 2)
    assert words.level(0, 2) == EXTRA_HEAVY
    assert words.level(0, 1) in (EXTRA_HALF, EXTRA_HALF - 1)


def test_cosines_are_those_of_weighed_n_grams() -> None:
    from honed.index.analysis import letter_grams

    names = ["University of Oulu", "Oulun yliopisto", "Universidad de Guadalajara", "Univ. Oulu"]
    counts = Counter(gram for name in names for gram in set(letter_grams(name)))
    vectors = [{gram: np.log1p(len(names) / counts[gram]) for gram in set(letter_grams(name))} for name in names]
    pairs = list(combinations(range(4), 2))
    wanted = [
        sum(vectors[a][gram] * vectors[b].get(gram, 0) for gram in vectors[a])
        / np.sqrt(sum(v * v for v in vectors[a].values()) * sum(v * v for v in vectors[b].values()))
        for a, b in pairs
    ]
    found = NameTable.of(names).cosines(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
    assert found == pytest.approx(wanted, abs=1e-5)


def test_the_nearest_of_all_are_among_the_candidates(run: TableDedupe) -> None:
    names = run.comparer.table.names
    pairs, ranks = run._candidates
    n = len(names)
    known = set(map(tuple, pairs.tolist()))
    assert len(known) == len(pairs) <= most_pairs(n, vectors=False)
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert (ranks >= 0).all()
    rows, columns = np.triu_indices(n, 1)
    cosines = np.zeros((n, n))
    cosines[rows, columns] = run.comparer.table.cosines(rows, columns)
    cosines += cosines.T
    best = cosines.argmax(axis=1)
    missed = [
        row
        for row, other in enumerate(best.tolist())
        if cosines[row, other] > 0.5 and (min(row, other), max(row, other)) not in known
    ]
    assert len(missed) <= 0.01 * n


def test_candidates_are_bounded_where_all_names_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_SCANNED", 200)
    n = 1500
    names = [f"University of the City {at % 3}" for at in range(n)]
    every = np.arange(n)
    values = every[:, None].astype(np.int32)
    pairs, _ = candidate_pairs(NameTable.of(names), values, [Seekers(ask=every, hold=every)], None)
    assert 0 < len(pairs) <= most_pairs(n, vectors=False)


def test_what_two_tables_hold_is_paired_across_alone(tmp_path: Path) -> None:
    left = written(
        [{"name": name, "city": ""} for name in ("Oulu University", "Oulu Univ", "Acme")], tmp_path / "a.csv"
    )
    right = written([{"name": name, "town": "x"} for name in ("Oulu University", "Acme Ltd")], tmp_path / "b.csv")
    columns = ComparedColumns(name="name", name_there="name", evidence={"city": "town"})
    rows = read_rows(left, columns, TableFormat(), right)
    pairs = TableDedupe(rows).pairs
    assert len(pairs)
    assert {rows.table_of(one) for one in pairs[:, 0]} == {0}
    assert {rows.table_of(two) for two in pairs[:, 1]} == {1}
    assert [0, 3] in pairs.tolist()
    assert rows.values[3] == ("x",)
    with pytest.raises(ConfigError, match="no column 'city'"):
        read_rows(
            left, ComparedColumns(name="name", name_there="name", evidence={"city": "city"}), TableFormat(), right
        )


def test_evidence_agrees_and_rare_values_say_more() -> None:
    cities = ["Paris"] * 30 + ["Oslo"] * 2 + ["New York", "New York City", ""]
    evidence = Evidence(cities)
    one, two = np.array([0, 30, 32, 0, 34]), np.array([1, 31, 33, 30, 0])
    levels = evidence.levels(one, two)
    assert levels.tolist() == [SAME_VALUE, SAME_VALUE, PART, OTHER_VALUE, -1]
    rarity = evidence.rarity(one, levels)
    assert rarity[1] > rarity[0]
    assert rarity[2:].tolist() == [0, 0, 0]


def test_conflicting_numbers_are_a_comparison_of_their_own(run: TableDedupe) -> None:
    names = ["Campus 2", "Campus 3", "Campus 2 North", "Campus"]
    comparer = Comparer(NameTable.of(names), [], None)
    found = comparer.levels(np.array([0, 0, 0]), np.array([1, 2, 3]))[:, 1]
    assert found.tolist() == [OTHER_VALUE, SAME_VALUE, PART]
    conflict = run.model.of_one[1][OTHER_VALUE] / run.model.of_others[1][0][OTHER_VALUE]
    assert run.model.of_one[1][SAME_VALUE] / run.model.of_others[1][0][SAME_VALUE] > conflict


def test_what_was_generated_is_estimated() -> None:
    """Pairs drawn from known shares of levels: the chances are as often right as they say."""
    draw = np.random.default_rng(0)
    n, share = 40_000, 0.1
    one = draw.random(n) < share
    width = 5
    of_one, of_others = np.full(50, 1e-4), np.full(50, 1e-4)
    of_one[[EXACT * width + 4, SLIPS * width + 3]] = 0.5
    of_others[[OTHER * width, SLIPS * width + 3]] = 0.97, 0.03
    of_one, of_others = of_one / of_one.sum(), of_others / of_others.sum()
    names = np.where(one, draw.choice(50, n, p=of_one), draw.choice(50, n, p=of_others))
    city = np.where(draw.random(n) < np.where(one, 0.9, 0.2), SAME_VALUE, OTHER_VALUE)
    levels = np.stack([names, np.full(n, -1), city], axis=1).astype(np.int16)
    ranks = np.where(one, 0, draw.integers(0, 10, n))
    slips = draw.choice(50, 1000, p=of_one).astype(np.int16)
    random = np.stack([np.full(500, OTHER * width), np.full(500, -1), draw.choice([0, 2], 500)], axis=1)
    model = learn_linkage(levels, ranks, slips, random.astype(np.int16), [50, 3, 3])
    chances = 1 / (1 + np.exp(-model.log_odds(levels, np.zeros(n))))
    assert model.share == pytest.approx(share, abs=0.03)
    assert model.of_one[2][SAME_VALUE] == pytest.approx(0.9, abs=0.05)
    assert model.of_others[2][0][SAME_VALUE] == pytest.approx(0.2, abs=0.05)
    for low, high in ((0.0, 0.2), (0.8, 1.0)):
        within = (chances >= low) & (chances <= high)
        assert one[within].mean() == pytest.approx(chances[within].mean(), abs=0.05)


def test_one_wrong_pair_does_not_chain_two_groups() -> None:
    groups = [range(4), range(4, 8)]
    inside = [pair for rows in groups for pair in combinations(rows, 2)]
    across = [(one, two) for one in groups[0] for two in groups[1]]
    pairs = np.array([*inside, *across])
    log_odds = np.array([3.0] * len(inside) + [2.5] + [-3.0] * (len(across) - 1))
    found = joined(8, pairs, log_odds).groups(0.0)
    assert found.tolist() == [0] * 4 + [1] * 4
    log_odds[len(inside)] = 5.0  # surer than all others: the two are joined, and no others for it
    assert Counter(joined(8, pairs, log_odds).groups(0.0).tolist()).most_common() == [(1, 3), (2, 3), (0, 2)]
    alone = joined(8, pairs[: len(inside) + 1], log_odds[: len(inside) + 1])
    assert len(set(alone.groups(0.0).tolist())) == 1  # nothing spoke against it


def test_groups_are_nested_and_heights_are_those_of_groups() -> None:
    draw = np.random.default_rng(1)
    n = 60
    pairs = np.array([pair for pair in combinations(range(n), 2) if draw.random() < 0.1])
    joins = joined(n, pairs, draw.normal(0, 3, len(pairs)))
    heights = joins.heights_of(pairs)
    assert np.isfinite(heights).any()
    for height in np.unique(heights[np.isfinite(heights)]):
        groups = joins.groups(float(height))
        assert ((groups[pairs[:, 0]] == groups[pairs[:, 1]]) == (heights >= height)).all()


def test_people_join_and_part_whatever_the_pairs_say() -> None:
    pairs, log_odds = np.array([[0, 1], [1, 2], [0, 2]]), np.array([5.0, 5.0, 5.0])
    parted = joined(4, pairs, log_odds, said=[(0, 2, False), (2, 3, True)]).groups(0.0)
    assert parted[0] != parted[2]
    assert parted[2] == parted[3]


def test_no_group_holds_two_rows_of_one_table() -> None:
    pairs, log_odds = np.array([[0, 2], [1, 2], [1, 3]]), np.array([2.0, 5.0, 1.0])
    groups = joined(4, pairs, log_odds, sides=[0, 0, 1, 1]).groups(0.0)
    assert groups[1] == groups[2]
    assert len(set(groups.tolist())) == 3


def test_pairs_that_decide_are_added_and_bounded() -> None:
    chain = np.array([[at, at + 1] for at in range(9)])
    added = pairs_to_add(200, chain, np.ones(9, dtype=bool), 0)
    assert len(added) == 45 - 9
    long = np.array([[at, at + 1] for at in range(199)])
    more = pairs_to_add(200, long, np.ones(199, dtype=bool), 0)
    assert 1000 < len(more) <= 200 * 16
    assert not set(map(tuple, more.tolist())) & set(map(tuple, long.tolist()))
    assert len(pairs_to_add(200, long, np.zeros(199, dtype=bool), 0)) == 0


def test_the_record_is_the_best_value_of_each_column() -> None:
    rows = [
        ("ACME", "Oslo", "", "a"),
        ("Acme", "", "", "bb"),
        ("Acme", "Bergen", "", "cc"),
        ("Acme Incorporated", "Bergen", "", "cc"),
    ]
    record = proposed(rows)
    assert record.cells == ("Acme", "Bergen", "", "cc")
    assert record.sources[0] in (1, 2)
    assert rows[record.sources[1]][1] == "Bergen"
    assert record.sources[2] == -1
    assert proposed([("a", "x"), ("longer", "")]).cells == ("longer", "x")


def figures(groups: list[int], truth: list[str]) -> tuple[float, float]:
    found, right = right_pairs([str(group) for group in groups]), right_pairs(truth)
    return len(found & right) / max(1, len(found)), len(found & right) / len(right)


def test_duplicates_are_found_and_what_is_only_nearly_called_so_is_not(run: TableDedupe, planted: Path) -> None:
    truth = truth_of(planted)
    precision, recall = figures(run.joins.groups(0.0).tolist(), truth)
    names = [bare(row["name"]) for row in read(planted)]
    by_name = figures([names.index(name) for name in names], truth)
    strict = figures(run.decided(DedupeOptions(max_error=0.02)).groups.tolist(), truth)
    assert precision > 0.8
    assert recall > by_name[1] + 0.1
    assert strict[0] > 0.95
    assert strict[1] > by_name[1]


def test_equal_rows_are_one_form_and_cost_a_pair_each(tmp_path: Path) -> None:
    rows = [{"name": "Oulu University", "city": "Oulu", "id": str(at // 2)} for at in range(500)]
    rows += [{"name": "", "city": "Oulu", "id": ""}] * 2
    run = TableDedupe(rows_of(written(rows, tmp_path / "rows.csv"), city="city"))
    assert len(run.pairs) == 499
    copies = run.pairs[:, 1] % 2 == 1
    assert run.chances[copies].min() > 0.9999  # equal in all cells
    assert run.chances[~copies].max() < run.chances[copies].min()
    groups = run.joins.groups(8.0)
    assert len(set(groups.tolist())) == 252  # rows without a name stand alone
    assert all(groups[at] == groups[at + 1] for at in range(0, 500, 2))


def test_nothing_is_promised_before_reviews_and_reviews_prove_it(run: TableDedupe, planted: Path) -> None:
    truth = truth_of(planted)
    options = DedupeOptions(max_error=0.1)
    done = run.decided(options)
    assert done.promise.source != "this table"
    assert done.sentence().startswith("estimated, not promised")
    assert done.audit <= set(done.queue)
    said: dict[tuple[int, int], bool] = {}
    for _ in range(12):
        for at in done.queue[:20]:
            one, two = run.pairs[at].tolist()
            said[one, two] = truth[one] == truth[two]
        done = run.decided(options, said)
    assert done.promise.source == "this table"
    assert "with 90 % confidence from" in done.sentence()
    for (one, two), is_same in said.items():
        assert (done.groups[one] == done.groups[two]) == is_same
    assert figures(done.groups.tolist(), truth)[0] > 0.9


def test_wrong_merges_that_people_find_refute_the_estimate(run: TableDedupe) -> None:
    options = DedupeOptions(max_error=0.05)
    audit = sorted(run.decided(options).audit)
    said = {tuple(run.pairs[at].tolist()): False for at in audit}
    done = run.decided(options, said)  # type: ignore[arg-type]
    assert done.promise.source == "nothing"
    assert "were wrong" in done.sentence()
    assert len(done.sizes) == len(run.rows)


def test_vectors_find_what_letters_do_not(tmp_path: Path) -> None:
    class Places(HashEncoder):
        """Names of one thing have one vector, whatever their letters."""

        def encode(self, texts, role):  # type: ignore[no-untyped-def]
            return super().encode(
                ["oulu" if text in ("Oulu University", "オウル大学") else text for text in texts], role
            )

    names = [
        "Oulu University",
        "オウル大学",
        *(f"{word} College" for word in ("red", "blue", "green", "grey", "black", "white")),
    ]
    path = written([{"name": name} for name in names], tmp_path / "rows.csv")
    plain, run = TableDedupe(rows_of(path)), TableDedupe(rows_of(path), Places())
    assert [0, 1] not in plain._candidates[0].tolist()
    assert [0, 1] in run._candidates[0].tolist()
    at = run.pairs.tolist().index([0, 1])
    others = [place for place, pair in enumerate(run.pairs.tolist()) if pair[0] < 2 <= pair[1]]
    assert run.chances[at] > max(run.chances[place] for place in others)


def test_a_table_that_fails_while_it_is_written_is_not_there(tmp_path: Path) -> None:
    def fail() -> None:
        with written_table(tmp_path / "out.csv", ["a"]) as write:
            write(["1"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("exact", [False, True])
def test_reviews_of_names_that_look_like_formulas_are_read_back(tmp_path: Path, exact: bool) -> None:
    names = ["=Alpha College", "=Alpha Colege", "+1 Beta School", "+1 Beta Schol", "@Gamma House", "Delta Hall"]
    run = TableDedupe(rows_of(written([{"name": name} for name in names], tmp_path / "rows.csv")))
    files = DedupeFiles(tmp_path / "clean.csv", exact=exact)
    write_all(run, run.decided(DedupeOptions()), {}, files)
    assert files.review.read_text().count("'=Alpha") == (0 if exact else files.review.read_text().count("=Alpha"))
    reviewed = [{**row, "same": "yes"} for row in read(files.review)]
    assert any("=Alpha" in cell for row in reviewed for cell in row.values())
    said = read_reviews([written(reviewed, tmp_path / "said.csv")], run.rows, "name")
    assert len(said) == len(reviewed)


@pytest.mark.parametrize("ending", [".csv", ".xlsx", ".parquet"])
def test_all_files_are_written(run: TableDedupe, tmp_path: Path, ending: str) -> None:
    done, files = run.decided(DedupeOptions(max_error=0.1)), DedupeFiles(tmp_path / f"clean{ending}")
    write_all(run, done, {}, files)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"clean{ending}",
        f"clean.pairs{ending}",
        f"clean.records{ending}",
        f"clean.review{ending}",
    }
    if ending == ".csv":
        _check_files(run, done, files)
    with pytest.raises(ConfigError, match="the ending is not one of"):
        write_all(run, done, {}, DedupeFiles(tmp_path / "clean.pdf"))


def _check_files(run: TableDedupe, done: Deduped, files: DedupeFiles) -> None:
    rows, records, pairs, review = (read(path) for path in (files.rows, files.records, files.pairs, files.review))
    assert len(rows) == len(run.rows)
    sizes = Counter(row["cluster"] for row in rows)
    assert all(sizes[row["cluster"]] == int(row["cluster_size"]) for row in rows)
    assert len(records) == len(sizes) < len(rows)
    for record in records:
        members = [int(number) - 1 for number in record["rows"].split("; ")]
        assert {rows[at]["cluster"] for at in members} == {record["cluster"]}
        for name in ("name", "city", "country"):
            if record[name]:
                assert rows[int(record[f"{name}_row"]) - 1][name] == record[name]
    merged = [pair for pair in pairs if pair["merged"] == "yes"]
    assert len(merged) > 50
    assert all(rows[int(pair["left"]) - 1]["city"] == pair["left: city"] for pair in pairs)
    assert all(rows[int(p["left"]) - 1]["cluster"] == rows[int(p["right"]) - 1]["cluster"] for p in merged)
    assert [row["same"] for row in review] == [""] * len(done.queue)
    assert all(row["left: name"] == rows[int(row["left"]) - 1]["name"] for row in review)


def test_reviews_are_taken_in_and_those_of_another_table_refused(
    run: TableDedupe, tmp_path: Path, planted: Path
) -> None:
    name = read(planted)[0]["name"]
    header = "left,right,same,left: name\n"
    good = tmp_path / "good.csv"
    good.write_text(f'{header}2,1,yes,{read(planted)[1]["name"]}\n1,3,No,"{name}"\n1,4,,\n', encoding="utf-8")
    assert read_reviews([good], run.rows, "name") == {(0, 1): True, (0, 2): False}
    for text, message in (
        (f"{header}1,2,perhaps,\n", "write yes or no"),
        (f"{header}1,2,yes,Acme\n", "another table"),
        (f"{header}1,99999,yes,{name}\n", "no row 99999"),
        (f"{header}1,1,yes,{name}\n", "with itself"),
        (f"{header}one,2,yes,{name}\n", "not the number of a row"),
    ):
        bad = tmp_path / "bad.csv"
        bad.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            read_reviews([bad], run.rows, "name")


def test_the_command_finds_duplicates_and_takes_reviews(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "clean.csv"
    options = ["dedupe", str(planted), "--column", "name", "--with", "city,country", "--out", str(out), "--json"]
    assert run_command(["-q", *options, "--max-error", "0.05"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["rows"] == len(read(out))
    assert not facts["proved"]
    assert facts["promise"]["source"] == "estimated"
    review, truth = read(tmp_path / "clean.review.csv"), truth_of(planted)
    for row in review:
        row["same"] = "yes" if truth[int(row["left"]) - 1] == truth[int(row["right"]) - 1] else "no"
    done = written(review, tmp_path / "done.csv")
    assert run_command(["-q", *options, "--max-error", "0.05", "--reviews", str(done)]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["said"] == len(review)
    assert {row["by"] for row in read(tmp_path / "clean.pairs.csv")} == {"model", "person"}
    assert run_command(["-q", "dedupe", str(planted), "--column", "nam", "--out", str(out)]) == 2
    assert run_command(["-q", *options, "--max-error", "0.9"]) == 2


def test_the_command_links_two_tables_one_to_one(
    institutions: list[dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entities = list({row["label"]: row for row in institutions}.values())[:200]
    draw = np.random.default_rng(2)
    left = [{"title": row["label"], "city": row["city"], "id": row["id"]} for row in entities[:150]]
    slips = with_slips([row["label"] for row in entities[50:]], draw)
    right = [{"name": name, "town": row["city"]} for name, row in zip(slips, entities[50:], strict=True)]
    one, two = written(left, tmp_path / "a.csv"), written(right, tmp_path / "b.csv")
    options = ["--column", "title=name", "--with", "city=town", "--max-error", "0.1", "--out", str(tmp_path / "o.csv")]
    assert run_command(["-q", "dedupe", str(one), "--against", str(two), *options]) == 0
    assert "have a counterpart among 150" in capsys.readouterr().out
    rows = read(tmp_path / "o.csv")
    found = {at: int(row["other_row"]) for at, row in enumerate(rows) if row["other_row"]}
    assert len(rows) == 150
    assert len(found) == len(set(found.values())) > 60
    assert np.mean([at - 50 == other - 1 for at, other in found.items()]) > 0.9
    assert all(0 <= float(row["chance"]) <= 1 for row in rows if row["chance"])


def test_the_command_compares_by_the_encoder_of_a_bundle(whole: Path, planted: Path, tmp_path: Path) -> None:
    few = written(read(planted)[:60], tmp_path / "few.csv")
    out = tmp_path / "clean.csv"
    assert run_command(["-q", "dedupe", str(few), "--column", "name", "--bundle", str(whole), "--out", str(out)]) == 0
    assert len(read(out)) == 60


def test_heights_of_no_joins() -> None:
    joins = Joins(n=3, pairs=np.zeros((0, 2), dtype=np.int64), heights=np.zeros(0))
    assert joins.groups(0.0).tolist() == [0, 1, 2]
    assert joins.heights_of(np.array([[0, 1]])).tolist() == [-np.inf]
    assert joins.heights_of(np.zeros((0, 2), dtype=np.int64)).tolist() == []
