"""The audit of labelled texts: copies, contradictions, classes with too few examples."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b

import msgspec

from honed.core.errors import DataError
from honed.core.text import fold
from honed.data.split import ON_LEAK, check_given_splits, withhold_leaks
from honed.evaluate.results import Finding
from honed.shapes.findings import finding

UnknownText = Callable[[str], bool]


class LabelAudit(msgspec.Struct, kw_only=True):
    """What is in a table of labelled texts; ``not_evaluated`` are labels with a single example."""

    records: int
    labelled: int
    labels: dict[str, int]
    not_evaluated: list[str]
    findings: dict[str, Finding]

    def lines(self) -> list[str]:
        """Return the summary in sentences."""
        labels = ", ".join(f"{label} {count}" for label, count in self.labels.items())
        return [f"records: {self.records}, labelled {self.labelled} ({labels})"]


def audit_labels(
    records: Iterable[Mapping[str, str]],
    *,
    has_splits: bool,
    declared: bool,
    unknown: UnknownText | None,
    weak: bool = False,
    searched: bool = False,
    on_leak: str = ON_LEAK[0],
) -> LabelAudit:
    """Return the audit of labelled texts, read once; contradictions that would spoil training are a `DataError`.

    With ``weak`` labels come from rules too, so that a class needs no hand label in train; where labelled texts are
    ``searched``, a class that train lacks has no right answer there, which is a finding. ``on_leak`` is what becomes
    of texts on both sides of given splits, see `SplitConfig`.
    """
    texts = _Texts(unknown)
    labelled: list[Mapping[str, str]] = []
    splits: dict[str, str] = {}
    keys: dict[str, str] = {}
    for record in records:
        text = texts.add(record)
        if record["label"]:
            labelled.append(record)
        if has_splits:
            splits[record["id"]] = record["split"]
            keys |= {record["id"]: text} if text else {}
    if not declared:
        _refuse_near_labels(labelled)
    leaks = withhold_leaks(splits, keys, on_leak) if has_splits else []
    if has_splits:
        check_given_splits(splits.values())
    untaught = _untaught([] if weak else labelled, splits, refuse=not searched) if has_splits else []
    counts = Counter(record["label"] for record in labelled)
    rare = [f"{label}: {count} example" for label, count in counts.items() if count < 2]
    conflicts = _label_conflicts(labelled)
    findings = {
        "W_LABEL_RARE": finding(len(rare), [f"{line}; kept in train, not evaluated" for line in rare]),
        "W_LABEL_CONFLICT_TEXT": finding(len(conflicts), conflicts),
        "W_SPLIT_LEAK": finding(len(leaks), leaks),
        "W_SPLIT_CLASS": finding(len(untaught), untaught),
        **texts.findings(),
    }
    return LabelAudit(
        records=texts.n,
        labelled=len(labelled),
        labels=dict(counts.most_common()),
        not_evaluated=sorted(label for label, count in counts.items() if count < 2),
        findings={code: kept for code, kept in findings.items() if kept.count},
    )


class _Texts:
    """The texts of a table, read once: how many records there are, texts that stand twice, texts of no known part."""

    def __init__(self, unknown: UnknownText | None) -> None:
        self.n, self._unknown = 0, unknown
        self._times: Counter[bytes] = Counter()  # by digest: a million texts need not stay in memory
        self._copies: list[str] = []
        self._strange: list[str] = []  # places

    def add(self, record: Mapping[str, str]) -> str:
        """Count a record's text and return it folded."""
        self.n += 1
        text = fold(record["text"])
        if text:
            self._times[digest := blake2b(text.encode(), digest_size=12).digest()] += 1
            if self._times[digest] == 2:
                self._copies.append(text)
            if self._unknown and self._unknown(record["text"]):
                self._strange.append(record["where"])
        return text

    def findings(self) -> dict[str, Finding]:
        """Return the findings about copies, and about texts that the encoder cannot read."""
        strange = [f"{where}, text: the encoder knows no part of it" for where in self._strange]
        return {
            "W_TEXT_DUP": finding(len(self._copies), self._copies),
            "W_ALL_UNK": finding(len(strange), strange),
        }


def _refuse_near_labels(labelled: Sequence[Mapping[str, str]]) -> None:
    spellings: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for record in labelled:
        spellings[fold(record["label"])][record["label"]].append(record["where"].rsplit("line ", 1)[-1])
    for forms in spellings.values():
        if len(forms) > 1:
            lines = ",".join(sorted({line for lines in forms.values() for line in lines[:3]}))
            shown = ", ".join(repr(form) for form in forms)
            raise DataError(
                "E_LABEL_NEAR_DUP",
                f"one label in several spellings: {shown} (lines {lines}); mend them, or declare the labels in "
                "honed.toml: [data] labels = [...]",
            )


def _label_conflicts(labelled: Sequence[Mapping[str, str]]) -> list[str]:
    by_text: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for record in labelled:
        if record["text"]:
            by_text[fold(record["text"])].append(record)
    return [
        f"ids {' and '.join(record['id'] for record in group)} hold one text with labels "
        f"{' and '.join(dict.fromkeys(record['label'] for record in group))}"
        for group in by_text.values()
        if len({record["label"] for record in group}) > 1
    ]


def _untaught(labelled: Sequence[Mapping[str, str]], splits: Mapping[str, str], *, refuse: bool) -> list[str]:
    """Return a sentence for each label that stands outside of train alone, or refuse the first."""
    taught = {record["label"] for record in labelled if splits[record["id"]] == "train"}
    others = {record["label"]: splits[record["id"]] for record in labelled if record["label"] not in taught}
    sentences = [f"label {label} stands in {split} and never in train" for label, split in others.items()]
    if sentences and refuse:
        raise DataError("E_SPLIT_CLASS", sentences[0])
    return sentences
