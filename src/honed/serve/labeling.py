"""The desk of the label page: records to read, labels and terms to give, and what they change, at once."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from honed.core.errors import ConfigError, HonedError, did_you_mean
from honed.core.proportion import wilson
from honed.core.text import fold
from honed.data.split import unit_interval
from honed.label.combine import CombinedLabels, combine
from honed.label.lists import Matcher, TermList, check_lists, write_lists
from honed.label.run import RuleVotes, run_rules
from honed.label.statistics import disputed_records
from honed.label.store import HandLabel, LabelStore
from honed.label.threshold import confusion_counts, label_quality, reaches_threshold
from honed.project.labels import open_labeling, terms_worth_adding, worth_labeling
from honed.project.workspace import Workspace
from honed.shapes.labels.labeling import fit_thresholds
from honed.shapes.labels.task import all_lists, own_lists

ORDERS = ("next", "disputed_records", "all", "labelled", "measure")
_SHOWN, _MOST_CHARS, _WORTH = 20, 20_000, 60


class Desk:
    """One person's work on the labels of a project; every method may be called from several threads.

    A label or term is on disk when its method returns. What the learner makes of it follows in the background: `state`
    tells whether it is at work.
    """

    def __init__(self, project: Workspace, who: str = "") -> None:
        self.who = who
        self.bench, _ = open_labeling(project)
        self.settings, self.root = self.bench.settings, self.bench.root
        self.store = LabelStore(self.root / self.settings.store)
        self.written = own_lists(self.root, self.settings)
        self.row = {record: at for at, record in enumerate(self.bench.ids)}
        self.voted = self.bench.voted()
        self.said = [each for each in self.store.read() if each.id in self.row]
        self._lock, self._changed, self._stop = threading.RLock(), threading.Event(), False
        self.learning, self.fault = False, ""
        self.combined = self._combined()
        seed = self.settings.seed
        test = np.flatnonzero(self.bench.splits == "test").tolist()
        self.by_chance = sorted(test, key=lambda row: unit_interval(seed, f"measure {self.bench.ids[row]}"))
        self._rank()
        threading.Thread(target=self._follow, daemon=True).start()

    @staticmethod
    def _is_own(terms: TermList) -> bool:
        return terms.name == own_name(terms.label)

    def close(self) -> None:
        """Stop the work in the background."""
        self._stop = True
        self._changed.set()

    # -- the learner ------------------------------------------------------------------------------

    def _combined(self) -> CombinedLabels:
        with self._lock:
            voted = RuleVotes(names=list(self.voted.names), votes=self.voted.votes.copy())
            evidence = self.bench.evidence(voted)
        return combine(evidence, self.settings.combine, evidence.n_sources)

    def _rank(self) -> None:
        self.worth = worth_labeling(self.bench, self.combined.probabilities, self.voted.votes, _WORTH)

    def _follow(self) -> None:
        while not self._stop:
            self._changed.wait()
            self._changed.clear()
            if self._stop:
                return
            self.learning = True
            try:
                combined = self._combined()
                with self._lock:
                    self.combined = combined
                    self._rank()
                self.fault = ""
            except Exception as error:  # shown on the page; what was labelled is safe on disk
                self.fault = str(error)
            finally:
                self.learning = self._changed.is_set()

    def _touch(self) -> None:
        self.learning = True
        self._changed.set()

    # -- reading ----------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what the side of the page shows: classes, counts, rules, matrix, lists, and whether it is at work."""
        with self._lock:
            bench, hand = self.bench, self.bench.hand
            shares = self.combined.probabilities
            kept = reaches_threshold(shares, fit_thresholds(shares, bench))
            truth = np.where(np.isin(np.arange(len(kept)), hand), bench.truth, -1)
            judged = label_quality(shares, kept, truth, bench.classes) if len(hand) else None
            return {
                "classes": bench.classes,
                "records": len(bench.ids),
                "hand": {name: int((bench.truth[hand] == at).sum()) for at, name in enumerate(bench.classes)},
                "labelled": int((kept | (truth >= 0)).sum()),
                "coverage": round(float(kept.mean()), 4),
                "accuracy": msgspec.to_builtins(judged.accuracy) if judged else None,
                "matrix": confusion_counts(shares, np.ones(len(kept), dtype=bool), truth) if len(hand) else None,
                "rules": msgspec.to_builtins(bench.statistics(self.voted)),
                "lists": [self._list(each) for each in bench.lists],
                "learning": self.learning,
                "fault": self.fault,
                "who": self.who,
            }

    def _list(self, terms: TermList) -> dict[str, Any]:
        return {
            "name": terms.name,
            "label": terms.label,
            "words": list(terms.words),
            "patterns": list(terms.patterns),
            "own": self._is_own(terms),
        }

    def records(self, order: str = "next", n: int = 1, skip: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Return up to ``n`` records in an order of `ORDERS`, without those of ``skip``.

        Records of test come in the order "measure" alone: by chance, and without what rules and learner say of them, so
        that their labels are fit to measure with.
        """
        if order not in ORDERS:
            raise ConfigError("E_OPTION", f"order {order}: not one of {', '.join(ORDERS)}{did_you_mean(order, ORDERS)}")
        left_out = {self.row[each] for each in skip if each in self.row}
        with self._lock:
            if order == "next":
                rows = [row for row in self.worth if self.bench.truth[row] < 0]
                rows += [row for row in np.flatnonzero(self.bench.truth < 0).tolist() if row not in set(rows)]
            elif order == "fights":
                rows = [
                    row
                    for row in disputed_records(self.voted, 500, len(self.bench.classes))
                    if self.bench.truth[row] < 0
                ]
            elif order == "labelled":
                rows = [self.row[each.id] for each in reversed(self.said) if self.bench.truth[self.row[each.id]] >= 0]
                rows = list(dict.fromkeys([*rows, *self.bench.hand.tolist()]))
            elif order == "measure":
                rows = [row for row in self.by_chance if self.bench.truth[row] < 0]
            else:
                rows = list(range(len(self.bench.ids)))
            test = order == "measure"
            open_rows = [int(row) for row in rows if (self.bench.splits[row] == "test") == test and row not in left_out]
            return [self.record(row) for row in open_rows[: min(n, _SHOWN)]]

    def record(self, row: int) -> dict[str, Any]:
        """Return one record as the page shows it: texts with the spans of terms, what rules and learner say."""
        bench, shares = self.bench, self.combined.probabilities[row]
        values = bench.records[row]
        truth = int(bench.truth[row])
        blind = bench.splits[row] == "test"
        return {
            "id": bench.ids[row],
            "fields": {
                name: {
                    "text": values[name][:_MOST_CHARS],
                    "spans": [] if blind else self._spans(values[name][:_MOST_CHARS], name),
                }
                for name in ("title", "text")
                if values[name]
            },
            "label": bench.classes[truth] if truth >= 0 else "",
            "likeliest": "" if blind else bench.classes[int(shares.argmax())],
            "confidence": None if blind else round(float(shares.max()), 4),
            "votes": {
                name: bench.classes[said]
                for name, said in zip(self.voted.names, self.voted.votes[row].tolist(), strict=True)
                if said >= 0 and not blind
            },
        }

    def _spans(self, text: str, field: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for each in self.bench.lists:
            if field in each.fields:
                spans = Matcher(each, "lists").spans(text)
                found += [{"start": start, "end": end, "label": each.label} for start, end in spans]
        return sorted(found, key=lambda span: (span["start"], -span["end"]))

    # -- labelling --------------------------------------------------------------------------------

    def give(self, record: str, label: str, why: str = "") -> dict[str, Any]:
        """Give a record a label, or take it back with ""; it is on disk when this returns.

        Raises `ConfigError` for a record or a class that is not there.
        """
        row = self._row(record)
        if label and label not in self.bench.classes:
            raise ConfigError("E_LABEL_UNKNOWN", f"{label} is not a class{did_you_mean(label, self.bench.classes)}")
        with self._lock:
            old = int(self.bench.truth[row])
            given = HandLabel(id=record, label=label, who=self.who, why=why)
            self.store.add([given])
            self.said.append(given)
            self.bench.truth[row] = self.bench.classes.index(label) if label else -1
            found = {**self.record(row), "before": self.bench.classes[old] if old >= 0 else ""}
        self._touch()
        return found

    def _row(self, record: str) -> int:
        row = self.row.get(record)
        if row is None:
            raise ConfigError("E_ID_UNKNOWN", f"no record {record} to label")
        return row

    # -- terms ------------------------------------------------------------------------------------

    def preview(self, label: str, term: str, *, pattern: bool = False) -> dict[str, Any]:
        """Return what a term would do on the list of a class: records, those new to the class's lists, precision."""
        with self._lock:
            terms = self._changed_list(label, term, pattern=pattern, remove=False)
        alone = replace(terms, words=() if pattern else (term,), patterns=(term,) if pattern else ())
        with self._lock:
            speaks = self._votes([alone])[:, 0] >= 0
            number = self.bench.classes.index(label)
            own = [at for at, each in enumerate(self.voted.names) if each in self._names(label)]
            old = (self.voted.votes[:, own] == number).any(axis=1)
            judged = self.bench.truth[self.bench.hand][speaks[self.bench.hand]]
            right = int((judged == number).sum())
            return {
                "records": int(speaks.sum()),
                "new": int((speaks & ~old).sum()),
                "judged": len(judged),
                "right": right,
                "low": round(wilson(right, len(judged))[0], 4),
                "agree": round(float((self.combined.probabilities[speaks].argmax(axis=1) == number).mean()), 4)
                if speaks.any()
                else None,
            }

    def _names(self, label: str) -> set[str]:
        return {each.name for each in self.bench.lists if each.label == label}

    def _votes(self, lists: Sequence[TermList]) -> Any:
        found = run_rules(self.bench.records, self.bench.classes, [], lists, time_limit=self.settings.time_limit)
        return found.votes

    def _changed_list(self, label: str, term: str, *, pattern: bool, remove: bool) -> TermList:
        if label not in self.bench.classes:
            raise ConfigError("E_LABEL_UNKNOWN", f"{label} is not a class{did_you_mean(label, self.bench.classes)}")
        term = " ".join(term.split()) if not pattern else term
        if not term:
            raise ConfigError("E_LIST_PATTERN", "the term is empty")
        fresh = TermList(label=label, name=own_name(label))
        terms = next((each for each in self.written if each.name == fresh.name), fresh)
        kind = "patterns" if pattern else "words"
        same: Callable[[str], str] = str if pattern else fold
        there = [each for each in getattr(terms, kind) if same(each) != same(term)]
        changes: dict[str, Any] = {kind: tuple(there if remove else [*there, term])}
        return replace(terms, **changes)

    def change_terms(self, label: str, term: str, *, pattern: bool = False, remove: bool = False) -> dict[str, Any]:
        """Add a term to a class's own list, or remove it; the list is on disk, and voted with, when this returns.

        Raises `ConfigError` for a class that is not there and a pattern that is none.
        """
        with self._lock:
            terms = self._changed_list(label, term, pattern=pattern, remove=remove)
            column = self._votes([terms])
            others = [each for each in self.written if each.name != terms.name]
            self.written = [*others, *([terms] if terms.words or terms.patterns else [])]
            write_lists(self.written, self.root / self.settings.terms)
            self._replace(terms, column)
            found = self.state()
        self._touch()
        return found

    def _replace(self, terms: TermList, column: Any) -> None:
        """Put a list and its votes in the place of the old ones, or behind the others."""
        names, votes = list(self.voted.names), self.voted.votes
        lists = [each for each in self.bench.lists if each.name != terms.name]
        if terms.name in names:
            at = names.index(terms.name)
            names.pop(at)
            votes = np.delete(votes, at, axis=1)
        if terms.words or terms.patterns:
            lists.append(terms)
            names.append(terms.name)
            votes = np.concatenate([votes, column], axis=1)
        self.bench.lists = lists
        self.voted = RuleVotes(names=names, votes=votes)

    def reload(self) -> dict[str, Any]:
        """Read rules and lists again and vote with them; where something is wrong with them the old ones stay.

        Raises what reading them raises, and `honed.core.errors.DataError` for a broken rule.
        """
        with self._lock:
            lists = all_lists(self.root, self.settings)
            check_lists(lists, self.bench.classes, self.bench.records.columns())
            old, self.bench.lists = self.bench.lists, lists
            try:
                voted = self.bench.voted()
                if voted.problems:
                    raise self.bench.broken(voted)
            except HonedError:
                self.bench.lists = old
                raise
            self.voted = voted
            self.written = own_lists(self.root, self.settings)
            found = self.state()
        self._touch()
        return found

    def suggestions(self, n: int = 5) -> list[Mapping[str, Any]]:
        """Return terms that hand labels and their neighbours speak for."""
        with self._lock:
            return [each.as_dict() for each in terms_worth_adding(self.bench, self.combined.probabilities, n)]


def own_name(label: str) -> str:
    """Return the name of the list that the page writes for a class."""
    return f"{label} (label page)"
