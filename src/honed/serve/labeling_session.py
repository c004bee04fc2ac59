"""One person's session on the label page: records to read, labels and terms to give, and what they change, at once."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

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
from honed.serve.background import BackgroundWork
from honed.serve.labeling_answers import (
    FieldView,
    LabelledRecord,
    ListView,
    RecordView,
    SessionState,
    Suggestion,
    TermEffect,
    TermSpan,
)
from honed.shapes.labels.labeling import fit_thresholds
from honed.shapes.labels.task import all_lists, own_lists

ORDERS = ("next", "fights", "all", "labelled", "measure")
_MOST_RECORDS, _MOST_CHARS, _MOST_RANKED, _MOST_FIGHTS = 20, 20_000, 60, 500
Votes = npt.NDArray[np.int16]


class LabelingSession:
    """One person's work on the labels of a project; every method may be called from several threads.

    A label or term is on disk when its method returns. What the learner makes of it follows in the background: `state`
    tells whether it is at work.
    """

    def __init__(self, project: Workspace, who: str = "") -> None:
        """Open the labels of a project, which is labelled first where it was not; ``who`` is kept with every label."""
        self.who = who
        self.data, _ = open_labeling(project)
        self.settings, self.root = self.data.settings, self.data.root
        self.store = LabelStore(self.root / self.settings.store)
        self.page_lists = own_lists(self.root, self.settings)
        self.row_of = {record: row for row, record in enumerate(self.data.ids)}
        self.voted = self.data.voted()
        self.hand_labels = [label for label in self.store.read() if label.id in self.row_of]
        self._lock = threading.RLock()
        self.combined = self._combine()
        self.worth_labelling = self._rank()
        seed = self.settings.seed
        test = np.flatnonzero(self.data.splits == "test").tolist()
        self.test_rows = sorted(test, key=lambda row: unit_interval(seed, f"measure {self.data.ids[row]}"))
        self._learner = BackgroundWork(self._learn)

    def close(self) -> None:
        """Stop the work in the background."""
        self._learner.close()

    # -- the learner ------------------------------------------------------------------------------

    def _combine(self) -> CombinedLabels:
        """Return what rules, lists, learner and hand labels say together."""
        with self._lock:
            voted = RuleVotes(names=list(self.voted.names), votes=self.voted.votes.copy())
            evidence = self.data.evidence(voted)
        return combine(evidence, self.settings.combine, evidence.n_sources)

    def _rank(self) -> list[int]:
        """Return the rows that are most worth a label, the first first."""
        return worth_labeling(self.data, self.combined.probabilities, self.voted.votes, _MOST_RANKED)

    def _learn(self) -> None:
        """Combine and rank again."""
        combined = self._combine()
        with self._lock:
            self.combined = combined
            self.worth_labelling = self._rank()

    # -- reading ----------------------------------------------------------------------------------

    def state(self) -> SessionState:
        """Return what the side of the page shows: classes, counts, rules, matrix, lists, and whether it is at work."""
        with self._lock:
            data, hand, shares = self.data, self.data.hand, self.combined.probabilities
            kept = reaches_threshold(shares, fit_thresholds(shares, data))
            truth = np.where(np.isin(np.arange(len(kept)), hand), data.truth, -1)
            judged = label_quality(shares, kept, truth, data.classes) if len(hand) else None
            return SessionState(
                classes=data.classes,
                records=len(data.ids),
                hand={name: int((data.truth[hand] == number).sum()) for number, name in enumerate(data.classes)},
                labelled=int((kept | (truth >= 0)).sum()),
                coverage=round(float(kept.mean()), 4),
                accuracy=judged.accuracy if judged else None,
                matrix=confusion_counts(shares, np.ones(len(kept), dtype=bool), truth) if len(hand) else None,
                rules=data.statistics(self.voted),
                lists=[ListView.of(terms, own=terms.name == page_list_name(terms.label)) for terms in data.lists],
                learning=self._learner.working,
                fault=self._learner.fault,
                who=self.who,
            )

    def records(self, order: str = "next", n: int = 1, skip: Sequence[str] = ()) -> list[RecordView]:
        """Return up to ``n`` records in an order of `ORDERS`, without those of ``skip``.

        Records of test come in the order "measure" alone: by chance, and without what rules and learner say of them, so
        that their labels are fit to measure with. Raises `ConfigError` for an order that is not there.
        """
        if order not in ORDERS:
            raise ConfigError("E_OPTION", f"order {order}: not one of {', '.join(ORDERS)}{did_you_mean(order, ORDERS)}")
        skipped = {self.row_of[record] for record in skip if record in self.row_of}
        with self._lock:
            is_test = self.data.splits == "test"
            rows = [row for row in self._rows_in(order) if is_test[row] == (order == "measure") and row not in skipped]
            return [self.record(row) for row in rows[: min(n, _MOST_RECORDS)]]

    def _rows_in(self, order: str) -> list[int]:
        """Return rows of records in an order of `ORDERS`: of those without a hand label where one is to come."""
        truth = self.data.truth
        if order == "labelled":
            latest = [self.row_of[label.id] for label in reversed(self.hand_labels)]
            rows = [row for row in latest if truth[row] >= 0]
            return list(dict.fromkeys([*rows, *self.data.hand.tolist()]))
        if order == "all":
            return list(range(len(self.data.ids)))
        if order == "fights":
            rows = disputed_records(self.voted, _MOST_FIGHTS, len(self.data.classes)).tolist()
        elif order == "measure":
            rows = self.test_rows
        else:
            rows = list(dict.fromkeys([*self.worth_labelling, *range(len(truth))]))
        return [row for row in rows if truth[row] < 0]

    def record(self, row: int) -> RecordView:
        """Return one record as the page shows it: texts with the spans of terms, what rules and learner say."""
        data, shares, values = self.data, self.combined.probabilities[row], self.data.records[row]
        label, blind = int(data.truth[row]), data.splits[row] == "test"
        texts = {name: values[name][:_MOST_CHARS] for name in ("title", "text") if values[name]}
        return RecordView(
            id=data.ids[row],
            fields={
                name: FieldView(text=text, spans=[] if blind else self._spans(text, name))
                for name, text in texts.items()
            },
            label=data.classes[label] if label >= 0 else "",
            likeliest="" if blind else data.classes[int(shares.argmax())],
            confidence=None if blind else round(float(shares.max()), 4),
            votes={} if blind else data.votes_of(self.voted, row),
        )

    def _spans(self, text: str, field: str) -> list[TermSpan]:
        """Return where terms of the lists over a field stand in its text."""
        spans = [
            TermSpan(start=start, end=end, label=terms.label)
            for terms in self.data.lists
            if field in terms.fields
            for start, end in Matcher(terms, "lists").spans(text)
        ]
        return sorted(spans, key=lambda span: (span.start, -span.end))

    # -- labelling --------------------------------------------------------------------------------

    def give_label(self, record: str, label: str, why: str = "") -> LabelledRecord:
        """Give a record a label, or take it back with ""; it is on disk when this returns.

        Raises `ConfigError` for a record or a class that is not there.
        """
        row = self.row_of.get(record)
        if row is None:
            raise ConfigError("E_ID_UNKNOWN", f"no record {record} to label")
        if label:
            self._check_class(label)
        with self._lock:
            before = int(self.data.truth[row])
            hand_label = HandLabel(id=record, label=label, who=self.who, why=why)
            self.store.add([hand_label])
            self.hand_labels.append(hand_label)
            self.data.truth[row] = self.data.classes.index(label) if label else -1
            view = self.record(row)
        self._learner.ask()
        return LabelledRecord(
            id=view.id,
            fields=view.fields,
            label=view.label,
            likeliest=view.likeliest,
            confidence=view.confidence,
            votes=view.votes,
            before=self.data.classes[before] if before >= 0 else "",
        )

    def _check_class(self, label: str) -> None:
        classes = self.data.classes
        if label not in classes:
            raise ConfigError("E_LABEL_UNKNOWN", f"{label} is not a class{did_you_mean(label, classes)}")

    # -- terms ------------------------------------------------------------------------------------

    def preview(self, label: str, term: str, *, pattern: bool = False) -> TermEffect:
        """Return what a term would do on the list of a class: records, those new to the class's lists, precision.

        Raises `ConfigError` for a class that is not there and a pattern that is none.
        """
        with self._lock:
            terms = self._with_term(label, term, pattern=pattern, remove=False)
            alone = replace(terms, words=() if pattern else (term,), patterns=(term,) if pattern else ())
            matches = self._votes([alone])[:, 0] >= 0
            number = self.data.classes.index(label)
            names = {terms.name for terms in self.data.lists if terms.label == label}
            columns = [at for at, name in enumerate(self.voted.names) if name in names]
            voted_before = (self.voted.votes[:, columns] == number).any(axis=1)
            judged = self.data.truth[self.data.hand][matches[self.data.hand]]
            right = int((judged == number).sum())
            guesses = self.combined.probabilities[matches].argmax(axis=1)
            return TermEffect(
                records=int(matches.sum()),
                new=int((matches & ~voted_before).sum()),
                judged=len(judged),
                right=right,
                low=round(wilson(right, len(judged))[0], 4),
                agree=round(float((guesses == number).mean()), 4) if matches.any() else None,
            )

    def _votes(self, lists: Sequence[TermList]) -> Votes:
        """Return the votes ``(n_records, n_lists)`` of lists: class numbers, -1 for none."""
        return run_rules(self.data.records, self.data.classes, [], lists, time_limit=self.settings.time_limit).votes

    def _with_term(self, label: str, term: str, *, pattern: bool, remove: bool) -> TermList:
        """Return the page's own list of a class with a term added or removed."""
        self._check_class(label)
        term = " ".join(term.split()) if not pattern else term
        if not term:
            raise ConfigError("E_LIST_PATTERN", "the term is empty")
        new = TermList(label=label, name=page_list_name(label))
        terms = next((terms for terms in self.page_lists if terms.name == new.name), new)
        same: Callable[[str], str] = str if pattern else fold
        others = [word for word in (terms.patterns if pattern else terms.words) if same(word) != same(term)]
        changed = tuple(others if remove else [*others, term])
        return replace(terms, patterns=changed) if pattern else replace(terms, words=changed)

    def change_terms(self, label: str, term: str, *, pattern: bool = False, remove: bool = False) -> SessionState:
        """Add a term to a class's own list, or remove it; the list is on disk, and voted with, when this returns.

        Raises `ConfigError` for a class that is not there and a pattern that is none.
        """
        with self._lock:
            terms = self._with_term(label, term, pattern=pattern, remove=remove)
            column = self._votes([terms])
            others = [other for other in self.page_lists if other.name != terms.name]
            self.page_lists = [*others, *([terms] if terms.words or terms.patterns else [])]
            write_lists(self.page_lists, self.root / self.settings.terms)
            self._replace_list(terms, column)
            state = self.state()
        self._learner.ask()
        return state

    def _replace_list(self, terms: TermList, column: Votes) -> None:
        """Put a list and its votes in the place of the old ones, or behind the others; an empty one is left out."""
        names, votes = list(self.voted.names), self.voted.votes
        lists = [other for other in self.data.lists if other.name != terms.name]
        if terms.name in names:
            at = names.index(terms.name)
            names.pop(at)
            votes = np.delete(votes, at, axis=1)
        if terms.words or terms.patterns:
            lists.append(terms)
            names.append(terms.name)
            votes = np.concatenate([votes, column], axis=1)
        self.data.lists = lists
        self.voted = RuleVotes(names=names, votes=votes)

    def reload(self) -> SessionState:
        """Read rules and lists again and vote with them; where something is wrong with them the old ones stay.

        Raises what reading them raises, and `honed.core.errors.DataError` for a broken rule.
        """
        with self._lock:
            lists = all_lists(self.root, self.settings)
            check_lists(lists, self.data.classes, self.data.records.columns())
            old, self.data.lists = self.data.lists, lists
            try:
                voted = self.data.voted()
                if voted.problems:
                    raise self.data.broken(voted)
            except HonedError:
                self.data.lists = old
                raise
            self.voted = voted
            self.page_lists = own_lists(self.root, self.settings)
            state = self.state()
        self._learner.ask()
        return state

    def suggestions(self, n: int = 5) -> list[Suggestion]:
        """Return up to ``n`` terms that hand labels and their neighbours speak for."""
        with self._lock:
            return [term.as_dict() for term in terms_worth_adding(self.data, self.combined.probabilities, n)]


def page_list_name(label: str) -> str:
    """Return the name of the list that the page writes for a class."""
    return f"{label} (label page)"
