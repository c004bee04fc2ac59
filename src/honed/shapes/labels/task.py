"""All that labeling works on: records, classes, hand labels, rules, lists and vectors, gathered from a project."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from honed.artifacts.data import BaseVectors, ImportArtifact
from honed.config.config import Config
from honed.core.errors import DataError, did_you_mean
from honed.core.protocols import Mask, Vectors
from honed.core.text import fold
from honed.data.split import WITHHELD
from honed.label.combine import CombinedLabels, combine
from honed.label.config import LabelConfig
from honed.label.evidence import Evidence
from honed.label.lists import TermList, check_lists, nfc, read_lists
from honed.label.report import RuleStatistics
from honed.label.run import RuleVotes, run_rules
from honed.label.statistics import rule_statistics
from honed.label.store import LabelStore
from honed.shapes.labels.records import Records, splits_of

_IMPORTED, _HALF = "imported weak labels", 0.5


def label_section(config: Config) -> LabelConfig:
    """Return the section [label]; without it the hand labels of the file are all there is."""
    return config.section(LabelConfig) or LabelConfig(learner="none", threshold="none", store="", terms="")


@dataclass(kw_only=True)
class LabelingTask:
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
    vectors: Vectors | None

    @classmethod
    def open(cls, config: Config, root: Path, imported: ImportArtifact, encoded: BaseVectors | None) -> "LabelingTask":
        """Gather it from the artifacts, the files beside honed.toml and the store of hand labels.

        Raises `DataError` for labels that are no classes, and when there is no class at all.
        """
        settings = label_section(config)
        records = Records(imported.table)
        ids, hand_labels = records.column("id"), records.column("label")
        store = LabelStore(root / settings.store).latest() if settings.store else {}
        lists = all_lists(root, settings)
        classes = _classes(config, hand_labels, [label.label for label in store.values()], lists)
        numbers = {fold(name): row for row, name in enumerate(classes)}
        named = [
            store[record].label if record in store else label for record, label in zip(ids, hand_labels, strict=True)
        ]
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
        uses_vectors = settings.learner != "none"
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
            vectors=encoded.vectors() if encoded is not None and uses_vectors else None,
        )

    @property
    def hand(self) -> npt.NDArray[np.int64]:
        """The rows whose hand labels may be learned from: not those of test, nor copies of them."""
        return np.flatnonzero((self.truth >= 0) & ~self.kept_apart)

    @property
    def kept_apart(self) -> Mask:
        """Which records ``(n,)`` nothing may be learned from: those of test, and copies of held-out texts."""
        return np.isin(self.splits, ("test", WITHHELD))

    @property
    def by_hand(self) -> Mask:
        """Which records ``(n,)`` have a hand label that may be learned from."""
        return np.isin(np.arange(len(self.truth)), self.hand)

    def voted(self) -> RuleVotes:
        """Run all rules and lists; labels imported from another tool are one more rule."""
        files = [self.root / name for name in self.settings.rules]
        outcome = run_rules(self.records, self.classes, files, self.lists, time_limit=self.settings.time_limit)
        imported = self._imported()
        if (imported >= 0).any():
            outcome.names.append(_IMPORTED)
            outcome.votes = np.concatenate([outcome.votes, imported[:, None]], axis=1)
        return outcome

    def _imported(self) -> npt.NDArray[np.int16]:
        numbers = {fold(name): row for row, name in enumerate(self.classes)}
        pairs = zip(self.records.column("weak"), self.records.column("confidence"), strict=True)
        votes = [numbers.get(fold(name), -1) if name and float(share or 1) >= _HALF else -1 for name, share in pairs]
        return np.array(votes, dtype=np.int16)

    def evidence(self, voted: RuleVotes) -> Evidence:
        """Return votes, learner's probabilities and hand labels, from which labels are decided."""
        return Evidence(
            n_classes=len(self.classes),
            votes=voted.votes,
            rows=self.hand,
            classes=self.truth[self.hand],
            vectors=self.vectors,
            hidden=self.kept_apart,
            folds=self.settings.folds,
            seed=self.settings.seed,
            learner_precision=self.settings.learner_precision,
        )

    def combined(self, voted: RuleVotes) -> CombinedLabels:
        """Combine rules, learner and hand labels in the way that honed.toml asks for."""
        evidence = self.evidence(voted)
        return combine(evidence, self.settings.combine, evidence.n_sources)

    def statistics(self, voted: RuleVotes) -> list[RuleStatistics]:
        """Return accuracy and coverage of the rules on the hand labels."""
        return rule_statistics(voted, self.hand, self.truth[self.hand], self.classes)

    def broken(self, voted: RuleVotes) -> DataError:
        """Return the error that names every broken rule with the record it failed on."""
        bad = {problem.rule for problem in voted.problems}
        good = [f"{rule.rule} ({rule.records} records)" for rule in self.statistics(voted) if rule.rule not in bad]
        listed = "; ".join(
            (f"{problem.code} " if at else "") + str(problem) for at, problem in enumerate(voted.problems)
        )
        return DataError(
            voted.problems[0].code,
            f"{listed}. No labels were written. The other rules: {', '.join(good) or 'none'}",
        )

    def votes_of(self, voted: RuleVotes, row: int) -> dict[str, str]:
        """Return the class that each voting rule gives to a record, by the name of the rule."""
        said = voted.votes[row].tolist()
        return {name: self.classes[vote] for name, vote in zip(voted.names, said, strict=True) if vote >= 0}

    def taken_terms(self) -> frozenset[str]:
        """Return the words that stand on a list already."""
        return frozenset(nfc(word).lower() for terms in self.lists for word in terms.words)


def all_lists(root: Path, settings: LabelConfig) -> list[TermList]:
    """Return the lists of the files that are named, then those of the label page."""
    lists = [terms for name in settings.lists for terms in read_lists(root / name)]
    return lists + own_lists(root, settings)


def own_lists(root: Path, settings: LabelConfig) -> list[TermList]:
    """Return the lists that the label page has written."""
    terms = root / settings.terms
    return read_lists(terms) if settings.terms and terms.is_file() else []


def _classes(config: Config, hand_labels: Sequence[str], stored: Sequence[str], lists: Sequence[TermList]) -> list[str]:
    spelled: dict[str, str] = {}
    seen = config.data.labels or sorted(
        {name for name in (*hand_labels, *stored, *(terms.label for terms in lists)) if name}
    )
    for name in seen:
        spelled.setdefault(fold(name), name)
    if len(spelled) < 2:
        raise DataError(
            "E_LABEL_CLASSES",
            f"{len(spelled)} classes: nothing to tell apart. Name them in honed.toml ([data] labels = [...]), or give "
            "some records a label",
        )
    return list(spelled.values())
