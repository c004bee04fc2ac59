"""The stages of the shape "labels": vectors of all records, then labels for them from a few hand labels and rules."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from honed.config.sections import Config
from honed.core.artifacts import Artifact, write_json
from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.core.fingerprint import sha256_file
from honed.core.progress import progress
from honed.core.text import fold
from honed.data import task
from honed.data.importer import RECORDS
from honed.data.tables import Reject, open_table
from honed.evaluate.html import render_labelling
from honed.label.combine import CombinedLabels, combine
from honed.label.config import LabelConfig
from honed.label.evidence import Evidence
from honed.label.learner import records_to_label
from honed.label.lists import TermList, check_lists, nfc, read_lists
from honed.label.run import RuleVotes, run_rules
from honed.label.statistics import disputed_records, rule_statistics, rule_warnings
from honed.label.store import LabelStore, imported_labels, refinery_columns
from honed.label.suggest import SuggestedTerm, suggest_terms
from honed.label.threshold import (
    balanced_thresholds,
    class_shares,
    confusion_counts,
    coverage_curve,
    label_quality,
    precise_thresholds,
    reaches_threshold,
)
from honed.shapes.labels.records import Records, group_examples, splits_of
from honed.stages.reports import title_of
from honed.stages.stage import Work, base_encoder, model_key

if TYPE_CHECKING:
    from honed.project.project import Project

LABELS, REPORT, SHARES, VOTES = "labels.parquet", "label.json", "shares.npy", "votes.npz"
VECTORS, PAGE = "vectors.npy", "label.html"
COVERAGES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.7, 0.8, 0.87, 0.9, 0.95, 1.0)
_IMPORTED, _HALF = "imported weak labels", 0.5


def settings_of(config: Config) -> LabelConfig:
    """Return the section [label]; without it the hand labels of the file are all there is."""
    return config.label or LabelConfig(learner="none", threshold="none", store="", terms="")


# -- vectors -------------------------------------------------------------------------------------


def vectors_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what shapes the vectors of the records."""
    return {"model": model_key(config, root), "fields": settings_of(config).learner == "fields"}


def vectors(work: Work) -> Mapping[str, Any]:
    """Encode every record with the base model, once, whatever rules and labels change later."""
    records = Records(work.inputs["import"].folder / RECORDS)
    encoder = base_encoder(work.config)
    if settings_of(work.config).learner == "fields":
        parts = [encoder.encode(records.column(name), "document") for name in ("title", "text")]
        found = np.concatenate(parts, axis=1) / np.float32(np.sqrt(2))
    else:
        found = encoder.encode(records.texts(), "document")
    np.save(work.folder / VECTORS, found, allow_pickle=False)
    return {"records": len(records), "dim": int(found.shape[1])}


# -- label ---------------------------------------------------------------------------------------


def label_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what shapes the labels: settings, rules, lists, and hand labels given so far."""
    settings = settings_of(config)
    files = [root / each for each in (*settings.rules, *settings.lists, settings.store, settings.terms) if each]
    contents = {str(file.relative_to(root) if file.is_relative_to(root) else file): _digest(file) for file in files}
    split = {"test": config.split.test, "dev": config.split.dev, "seed": config.split.seed}
    return {"label": asdict(settings), "classes": list(config.data.labels), "files": contents, "split": split}


def _digest(path: Path) -> str | list[str]:
    """Return the sha256 of a file; of rules with the modules beside them, of a folder with its lists."""
    if path.is_dir() or (path.suffix == ".py" and path.is_file()):
        files = sorted(path.glob("*.txt") if path.is_dir() else path.parent.glob("*.py"))
        return [f"{file.name} {sha256_file(file)}" for file in files]
    return sha256_file(path) if path.is_file() else ""


@dataclass(kw_only=True)
class Bench:
    """All that labelling works on: records, classes, hand labels (-1: none), splits, lists and vectors."""

    settings: LabelConfig
    root: Path
    records: Records
    texts: list[str]
    ids: list[str]
    classes: list[str]
    truth: npt.NDArray[np.int64]
    splits: npt.NDArray[np.str_]
    lists: list[TermList]
    vectors: Any

    @classmethod
    def open(cls, config: Config, root: Path, imported: Artifact, encoded: Artifact | None) -> "Bench":
        """Gather it from the artifacts, the files beside honed.toml and the store of hand labels.

        Raises `DataError` for labels that are no classes, and when there is no class at all.
        """
        settings = settings_of(config)
        records = Records(imported.folder / RECORDS)
        ids, given = records.column("id"), records.column("label")
        store = LabelStore(root / settings.store).latest() if settings.store else {}
        lists = all_lists(root, settings)
        classes = _classes(config, given, [each.label for each in store.values()], lists)
        numbers = {fold(name): row for row, name in enumerate(classes)}
        named = [store[record].label if record in store else label for record, label in zip(ids, given, strict=True)]
        odd = next((name for name in named if name and fold(name) not in numbers), None)
        if odd:
            raise DataError(
                "E_LABEL_UNKNOWN", f"{settings.store}: {odd} is not a declared label{did_you_mean(odd, classes)}"
            )
        truth = np.array([numbers[fold(name)] if name else -1 for name in named], dtype=np.int64)
        texts = records.texts()
        cut = config.split
        splits = splits_of(texts, truth, records.column("split"), test=cut.test, dev=cut.dev, seed=cut.seed)
        check_lists(lists, classes, records.columns())
        made = encoded is not None and settings.learner != "none"
        return cls(
            settings=settings,
            root=root,
            records=records,
            texts=texts,
            ids=ids,
            classes=classes,
            truth=truth,
            splits=splits,
            lists=lists,
            vectors=np.load(encoded.path(VECTORS), allow_pickle=False) if encoded is not None and made else None,
        )

    @property
    def hand(self) -> npt.NDArray[np.int64]:
        """The rows whose hand labels may be learned from: not those of test."""
        return np.flatnonzero((self.truth >= 0) & (self.splits != "test"))

    def voted(self) -> RuleVotes:
        """Run all rules and lists; labels that another tool gave are one more voice."""
        files = [self.root / each for each in self.settings.rules]
        found = run_rules(self.records, self.classes, files, self.lists, time_limit=self.settings.time_limit)
        imported = self._imported()
        if (imported >= 0).any():
            found.names.append(_IMPORTED)
            found.votes = np.concatenate([found.votes, imported[:, None]], axis=1)
        return found

    def _imported(self) -> npt.NDArray[np.int16]:
        numbers = {fold(name): row for row, name in enumerate(self.classes)}
        pairs = zip(self.records.column("weak"), self.records.column("confidence"), strict=True)
        votes = [numbers.get(fold(name), -1) if name and float(share or 1) >= _HALF else -1 for name, share in pairs]
        return np.array(votes, dtype=np.int16)

    def evidence(self, voted: RuleVotes) -> Evidence:
        """Return what rules, learner and hand labels give to decide on."""
        return Evidence(
            n_classes=len(self.classes),
            votes=voted.votes,
            rows=self.hand,
            classes=self.truth[self.hand],
            vectors=self.vectors,
            hidden=self.splits == "test",
            folds=self.settings.folds,
            seed=self.settings.seed,
            learner_precision=self.settings.learner_precision,
        )

    def combined(self, voted: RuleVotes) -> CombinedLabels:
        """Combine rules, learner and hand labels in the way that honed.toml asks for."""
        evidence = self.evidence(voted)
        return combine(evidence, self.settings.combine, evidence.n_sources)

    def statistics(self, voted: RuleVotes) -> list[dict[str, Any]]:
        """Return what each rule is worth on the hand labels."""
        plain: list[dict[str, Any]] = msgspec.to_builtins(
            rule_statistics(voted, self.hand, self.truth[self.hand], self.classes)
        )
        return plain

    def broken(self, voted: RuleVotes) -> DataError:
        """Return the error that names every broken rule, with the record, and says what the others do."""
        bad = {problem.rule for problem in voted.problems}
        good = [
            f"{each['rule']} ({each['records']} records)" for each in self.statistics(voted) if each["rule"] not in bad
        ]
        listed = "; ".join(
            (f"{problem.code} " if at else "") + str(problem) for at, problem in enumerate(voted.problems)
        )
        return DataError(
            voted.problems[0].code,
            f"{listed}. No labels were written. The other rules: {', '.join(good) or 'none'}",
        )

    def votes_of(self, voted: RuleVotes, row: int) -> dict[str, str]:
        """Return what each rule that speaks says of a record."""
        said = voted.votes[row].tolist()
        return {name: self.classes[vote] for name, vote in zip(voted.names, said, strict=True) if vote >= 0}

    def taken_terms(self) -> frozenset[str]:
        """Return the words that stand on a list already."""
        return frozenset(nfc(word).lower() for each in self.lists for word in each.words)


def all_lists(root: Path, settings: LabelConfig) -> list[TermList]:
    """Return the lists of the files that are named, then those of the label page."""
    lists = [found for each in settings.lists for found in read_lists(root / each)]
    return lists + own_lists(root, settings)


def own_lists(root: Path, settings: LabelConfig) -> list[TermList]:
    """Return the lists that the label page has written."""
    terms = root / settings.terms
    return read_lists(terms) if settings.terms and terms.is_file() else []


def _classes(config: Config, given: Sequence[str], stored: Sequence[str], lists: Sequence[TermList]) -> list[str]:
    spelled: dict[str, str] = {}
    seen = config.data.labels or sorted({name for name in (*given, *stored, *(each.label for each in lists)) if name})
    for name in seen:
        spelled.setdefault(fold(name), name)
    if len(spelled) < 2:
        raise DataError(
            "E_LABEL_CLASSES",
            f"{len(spelled)} classes: nothing to tell apart. Name them in honed.toml ([data] labels = [...]), or give "
            "some records a label",
        )
    return list(spelled.values())


def label(work: Work) -> Mapping[str, Any]:
    """Label every record: run rules, teach the learner, combine, draw the line; with the books of all of it.

    Raises `DataError` when a rule is broken; no labels are written then, and the message says what the others do.
    """
    bench = Bench.open(work.config, work.root, work.inputs["import"], work.inputs.get("encode"))
    voted = bench.voted()
    statistics = bench.statistics(voted)
    if voted.problems:
        raise bench.broken(voted)
    combined = bench.combined(voted)
    thresholds = drawn(combined.probabilities, bench)
    kept = reaches_threshold(combined.probabilities, thresholds) & (
        (voted.votes >= 0).any(axis=1) | combined.has_learner
    )
    by_hand = np.isin(np.arange(len(kept)), bench.hand)
    shares = class_shares(combined.probabilities[bench.splits != "test"])
    report = {
        "classes": bench.classes,
        "records": len(kept),
        "hand": {name: int(((bench.truth >= 0) & (bench.splits == name)).sum()) for name in ("train", "dev", "test")},
        "rules": statistics,
        "warnings": msgspec.to_builtins(rule_warnings(voted)),
        "combine": {
            "way": combined.way,
            "reason": combined.reason,
            "compared": msgspec.to_builtins([comparison.as_entry() for comparison in combined.comparisons]),
        },
        "learner_minimum": dict(zip(bench.classes, combined.learner_minimums.round(4).tolist(), strict=True)),
        "thresholds": dict(zip(bench.classes, thresholds.round(4).tolist(), strict=True)),
        "temperature": round(combined.temperature, 4),
        "class_shares": dict(zip(bench.classes, shares.round(4).tolist(), strict=True)),
        "labelled": int((kept | by_hand).sum()),
        "coverage": round(float(kept[bench.splits != "test"].mean()), 4),
        "on_hand_labels": _judged(combined.probabilities, kept, _only(bench.truth, by_hand), bench.classes),
        "on_test": _judged(combined.probabilities, kept, _only(bench.truth, bench.splits == "test"), bench.classes),
        "fights": _fights(bench, voted),
    }
    _write(work, bench, combined.probabilities, kept, by_hand)
    np.save(work.folder / SHARES, combined.probabilities.astype(np.float32), allow_pickle=False)
    np.savez_compressed(work.folder / VOTES, votes=voted.votes, names=np.array(voted.names))
    write_json(work.folder / REPORT, report)
    (work.folder / PAGE).write_text(render_labelling(report, title_of(work.config)), encoding="utf-8")
    return {"labelled": report["labelled"], "way": combined.way}


def drawn(shares: npt.NDArray[Any], bench: Bench) -> npt.NDArray[np.float64]:
    """Return the threshold of each class, from the records that are not test."""
    own = shares[bench.splits != "test"]
    if bench.settings.threshold == "balance":
        return balanced_thresholds(own, bench.settings.coverage)
    if bench.settings.threshold == "precision":
        return precise_thresholds(own, bench.settings.precision)
    return np.zeros(len(bench.classes))


def _only(truth: npt.NDArray[np.int64], where: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    return np.where(where, truth, -1)


def _judged(shares: Any, kept: Any, truth: Any, classes: Sequence[str]) -> dict[str, Any] | None:
    if not (truth >= 0).any():
        return None
    everything = np.ones(len(kept), dtype=bool)
    return {
        "kept": msgspec.to_builtins(label_quality(shares, kept, truth, classes)),
        "all": msgspec.to_builtins(label_quality(shares, everything, truth, classes)),
        "confusion": confusion_counts(shares, kept, truth),
        "curve": msgspec.to_builtins(coverage_curve(shares, truth, classes, COVERAGES)),
    }


def _fights(bench: Bench, voted: RuleVotes) -> list[dict[str, Any]]:
    return [
        {
            "id": bench.ids[row],
            "text": bench.texts[row][:300],
            "votes": bench.votes_of(voted, row),
        }
        for row in disputed_records(voted, 20, len(bench.classes)).tolist()
    ]


def _write(work: Work, bench: Bench, shares: Any, kept: Any, by_hand: Any) -> None:
    """Write the labels, the examples to train with, and the records as entities that an index can hold."""
    top, confidence = shares.argmax(axis=1), shares.max(axis=1)
    given = np.where(by_hand, bench.truth, np.where(kept, top, -1))
    sure = np.where(by_hand, 1.0, confidence)
    rows, sources = [], np.where(by_hand, "hand", np.where(kept, "weak", "none"))
    for row, record in enumerate(bench.ids):
        name = bench.classes[given[row]] if given[row] >= 0 else ""
        rows.append(
            {
                "id": record,
                "label": name,
                "confidence": float(sure[row]),
                "source": str(sources[row]),
                "split": str(bench.splits[row]),
                "likeliest": bench.classes[top[row]],
                "hand": bench.classes[bench.truth[row]] if bench.truth[row] >= 0 else "",
            }
        )
    task.write_rows(work.folder / LABELS, rows, task.LABELS)
    taught = np.flatnonzero((given >= 0) & (bench.splits == "train"))
    examples = group_examples(
        [bench.texts[row] for row in taught],
        [bench.classes[given[row]] for row in taught],
        sure[taught].tolist(),
        [str(sources[row]) for row in taught],
        bench.settings.seed,
    )
    task.save_examples(work.folder / "examples.parquet", examples)
    fields = [{"label": row["label"], "confidence": f"{row['confidence']:.3f}"} if row["label"] else {} for row in rows]
    task.save_records(work.folder, bench.ids, bench.texts, fields)


# -- what people ask of it -----------------------------------------------------------------------


def stand(folder: Path) -> npt.NDArray[np.float32]:
    """Return the shares ``(n_records, n_classes)`` of a finished label artifact."""
    found: npt.NDArray[np.float32] = np.load(folder / SHARES, allow_pickle=False)
    return found


def worth_labelling(bench: Bench, shares: Any, voted: Any, n: int) -> list[int]:
    """Return the rows of the ``n`` records most worth a label."""
    known = np.flatnonzero((bench.truth >= 0) | (bench.splits == "test")).tolist()
    space = bench.vectors if bench.vectors is not None else np.zeros((len(shares), 1), dtype=np.float32)
    return [int(row) for row in records_to_label(space, np.array(shares), voted, known, n)]


def terms_worth_adding(bench: Bench, shares: Any, n: int) -> list[SuggestedTerm]:
    """Return terms for the lists that hand labels and their neighbours speak for; texts of test are not looked at."""
    with progress("terms"):
        seen = np.flatnonzero(bench.splits != "test")
        place = {int(row): at for at, row in enumerate(seen)}
        hand = np.array([place[int(row)] for row in bench.hand], dtype=np.int64)
        found = suggest_terms(
            [bench.texts[row] for row in seen],
            np.array(shares)[seen],
            (hand, bench.truth[bench.hand]),
            bench.classes,
            bench.taken_terms(),
            n=n,
        )
    return [replace(each, examples=tuple(int(seen[row]) for row in each.examples)) for each in found]


def open_bench(project: "Project") -> tuple[Bench, Artifact]:
    """Return the bench of a project and its label artifact, made where it does not stand."""
    if project.config.data.shape != "labels":
        raise ConfigError("E_CONFIG_SHAPE", 'labelling is for data.shape = "labels"')
    if project.config.label is None:
        raise ConfigError("E_CONFIG_MISSING", "honed.toml has no section [label]")
    made = project.runner.run(until="label")
    return Bench.open(project.config, project.file.parent, made["import"], made.get("encode")), made["label"]


def suggestions(project: "Project", n_terms: int, n_records: int) -> dict[str, Any]:
    """Return terms worth adding to lists and records worth labelling next, as plain data."""
    bench, made = open_bench(project)
    shares = stand(made.folder)
    with np.load(made.path(VOTES), allow_pickle=False) as stored:
        votes = stored["votes"]
    rows = worth_labelling(bench, shares, votes, n_records)
    return {
        "terms": [each.as_dict() for each in terms_worth_adding(bench, shares, n_terms)],
        "records": [
            {
                "id": bench.ids[row],
                "text": bench.texts[row],
                "likeliest": bench.classes[int(shares[row].argmax())],
                "confidence": round(float(shares[row].max()), 4),
            }
            for row in rows
        ],
    }


def import_hand_labels(
    project: "Project", file: Path, *, who: str = "", id_column: str = "", label_column: str = ""
) -> int:
    """Add the labels of a table to the project's store; returns how many.

    Raises `DataError` for a label that is no class and a record that is not there; nothing is added then.
    """
    table = open_table(file, project.config.data.import_config().format)
    columns = {
        "id": id_column or project.config.data.columns["id"],
        "label": label_column or refinery_columns(table.columns).get("manual") or "label",
    }
    for role, column in columns.items():
        if column not in table.columns:
            near = did_you_mean(column, table.columns)
            raise DataError("E_HEADER_MISSING", f"{file.name}: no column {column} for the {role}{near}; give --{role}")
    made = project.runner.run(until="check")
    known = set(Records(made["import"].folder / RECORDS).column("id"))
    classes = {fold(name): name for name in project.config.data.labels}
    found = []
    for row in table.rows:
        if isinstance(row, Reject):
            raise DataError(row.code, str(row))
        for each in imported_labels([row.values], columns, who):
            if each.id not in known:
                raise DataError("E_ID_UNKNOWN", f"{file.name}, {row.where}: no record {each.id}")
            if classes and fold(each.label) not in classes:
                near = did_you_mean(each.label, classes.values())
                raise DataError("E_LABEL_UNKNOWN", f"{file.name}, {row.where}: {each.label} is not a class{near}")
            found.append(replace(each, label=classes.get(fold(each.label), each.label)))
    return LabelStore(project.file.parent / settings_of(project.config).store).add(found)
