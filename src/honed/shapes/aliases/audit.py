"""The audit of names: what is in them, what is wrong with them, and how well anything could do on them."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from honed.core.text import bare, fold
from honed.evaluate.results import Finding
from honed.evaluate.slices import script_slices
from honed.shapes.aliases.catalogue import Catalogue, name_key, slices_of_pair
from honed.shapes.findings import SAMPLES, finding

UnknownText = Callable[[str], bool]


class AliasAudit(msgspec.Struct, kw_only=True):
    """The audit of a catalogue of names: counts, findings, and the best R@1 that any system could reach.

    ``splits`` and ``slices`` count pairs; ``overlap`` counts what test shares with train; ``ceiling`` is the best
    possible top-1 share from the alias alone, ``dictionary`` what a plain look-up scores: on held-out pairs, and when
    asked what it was told ("catalogue").
    """

    entities: int
    entities_with_alias: int
    label_strings: int
    pairs: int
    alias_strings: int
    findings: dict[str, Finding]
    splits: dict[str, int]
    overlap: dict[str, int]
    ceiling: float
    dictionary: dict[str, float]
    slices: dict[str, int]

    def lines(self) -> list[str]:
        """Return the summary in sentences."""
        splits = ", ".join(f"{name} {count}" for name, count in self.splits.items())
        return [
            f"{self.entities} entities, {self.label_strings} label strings, {self.pairs} alias pairs, "
            f"{self.alias_strings} alias strings",
            f"splits by entity: {splits}; test aliases in train: {self.overlap['test_aliases_in_train']}; train pairs "
            f"withheld for that: {self.overlap['withheld_pairs']}",
            f"best possible top-1 from the alias alone: {100 * self.ceiling:.1f} %",
            f"a plain dictionary scores {100 * self.dictionary['held_out']:.1f} % on held-out pairs and "
            f"{100 * self.dictionary['catalogue']:.1f} % when asked what it was told",
            f"slices: {', '.join(f'{name} {count}' for name, count in list(self.slices.items())[:10])}",
        ]


def audit_aliases(
    catalogue: Catalogue,
    splits: Sequence[set[str]],
    slice_by: Sequence[str],
    unknown: UnknownText | None,
    leaks: Sequence[str] = (),
) -> AliasAudit:
    """Return the audit of a catalogue.

    ``splits`` holds the splits of each pair; ``unknown`` tells whether the encoder knows no part of a text; ``leaks``
    are sentences about pairs that are withheld although their split was given.
    """
    named = catalogue.labels_of_alias()
    findings = {reason: finding(count, catalogue.samples[reason]) for reason, count in catalogue.dropped.items()}
    findings["W_LABELS_OF_ONE_ID"] = finding(len(catalogue.conflicts), catalogue.conflicts)
    findings |= _shared_names(catalogue, named)
    findings |= near_duplicates({label for entity in catalogue.entities.values() for label in entity.labels})
    findings["W_SPLIT_LEAK"] = finding(len(leaks), leaks)
    joined = [pair.alias for pair in catalogue.pairs if _separator(pair.alias)]
    findings["W_ALIAS_JOINED"] = finding(
        len(joined), [f"{alias}: separator = {json.dumps(_separator(alias))} makes several of it" for alias in joined]
    )
    if len(catalogue.entities) == 1:
        alone = next(iter(catalogue.entities.values())).labels[0]
        advice = "nothing to tell it from; add other entities, or name the column of labels under [data.columns]"
        findings["W_ENTITY_ALONE"] = finding(1, [f"{alone}: {advice}"])
    present = {split for pair_splits in splits for split in pair_splits}
    empty = [f"no {name} pair: too few entities" for name in ("train", "dev", "test") if name not in present]
    findings["W_SPLIT_EMPTY"] = finding(len(empty), empty)
    if unknown:
        texts = [pair.alias for pair in catalogue.pairs if unknown(pair.alias)]
        findings["W_ALL_UNK"] = finding(len(texts), texts)
    return AliasAudit(
        entities=len(catalogue.entities),
        entities_with_alias=len({pair.entity_id for pair in catalogue.pairs}),
        label_strings=len({label for entity in catalogue.entities.values() for label in entity.labels}),
        pairs=len(catalogue.pairs),
        alias_strings=len({fold(pair.alias) for pair in catalogue.pairs}),
        findings={code: result for code, result in findings.items() if result.count},
        splits=dict(Counter(split for pair_splits in splits for split in pair_splits)),
        overlap=split_overlap(catalogue, splits),
        ceiling=ceiling(catalogue),
        dictionary=dictionary_accuracy(catalogue, splits),
        slices=_slice_sizes(catalogue, named, slice_by),
    )


def _separator(alias: str) -> str:
    """Return the mark between what look like several aliases in one ("A; B"), or an empty string."""
    return next((mark for mark in ";|" if len([part for part in alias.split(mark) if part.strip()]) > 1), "")


def _shared_names(catalogue: Catalogue, named: Mapping[str, set[str]]) -> dict[str, Finding]:
    shared = sorted((alias for alias in named if len(named[alias]) > 1), key=lambda alias: (-len(named[alias]), alias))
    labels: dict[str, set[str]] = defaultdict(set)
    for entity in catalogue.entities.values():
        for label in entity.labels:
            labels[fold(label)].add(entity.entity_id)
    same = [f"{label}: {len(ids)} ids" for label, ids in labels.items() if len(ids) > 1]
    other = [pair for pair in catalogue.pairs if labels.get(fold(pair.alias), {pair.entity_id}) - {pair.entity_id}]
    samples = [f"{alias}: {len(named[alias])} labels" for alias in shared]
    return {
        "W_ALIAS_SHARED": finding(len(shared), samples),
        "W_LABEL_SHARED": finding(len(same), same),
        "W_ALIAS_IS_LABEL": finding(
            len(other), [f"{pair.alias} -> {catalogue.entities[pair.entity_id].labels[0]}" for pair in other[:SAMPLES]]
        ),
    }


def ceiling(catalogue: Catalogue) -> float:
    """Return the best possible top-1 share from the alias string alone.

    An alias that names n labels can be answered right for its most frequent label only. Strings count as they are
    written: a system may tell "Um" from "UM".
    """
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for pair in catalogue.pairs:
        answers[pair.alias][catalogue.entities[pair.entity_id].labels[0]] += 1
    return sum(max(counts.values()) for counts in answers.values()) / max(1, len(catalogue.pairs))


def dictionary_accuracy(catalogue: Catalogue, splits: Sequence[set[str]]) -> dict[str, float]:
    """Return the top-1 accuracy on the test pairs of a dictionary that holds the train pairs and all labels.

    ``catalogue`` is the same with every pair taught: what a lookup scores when asked what it was told.
    """
    result = {}
    for name, taught in (("held_out", "train"), ("catalogue", None)):
        table: dict[str, Counter[str]] = defaultdict(Counter)
        for entity in catalogue.entities.values():
            for label in entity.labels:
                table[fold(label)][entity.labels[0]] += 1
        for pair, split in zip(catalogue.pairs, splits, strict=True):
            if taught is None or taught in split:
                table[fold(pair.alias)][catalogue.entities[pair.entity_id].labels[0]] += 1
        asked = [pair for pair, split in zip(catalogue.pairs, splits, strict=True) if taught is None or "test" in split]
        right = sum(
            1
            for pair in asked
            if (entities := table.get(fold(pair.alias)))
            and entities.most_common(1)[0][0] == catalogue.entities[pair.entity_id].labels[0]
        )
        result[name] = right / len(asked) if asked else 0.0
    return result


def split_overlap(catalogue: Catalogue, splits: Sequence[set[str]]) -> dict[str, int]:
    """Return how many test pairs share a name, or their entity, with a train pair (its anchor or its positive)."""
    taught = [index for index, split in enumerate(splits) if "train" in split]
    asked = [index for index, split in enumerate(splits) if "test" in split]
    anchors = {name_key(catalogue.pairs[index].alias) for index in taught}
    entities = {catalogue.pairs[index].entity_id for index in taught}
    positives = {name_key(label) for entity_id in entities for label in catalogue.entities[entity_id].labels}
    taught_names = anchors | positives
    asked_entities = {catalogue.pairs[index].entity_id for index in asked}
    answers = {name_key(label) for entity_id in asked_entities for label in catalogue.entities[entity_id].labels}
    return {
        "test_aliases_in_train": sum(name_key(catalogue.pairs[index].alias) in taught_names for index in asked),
        "test_labels_as_train_aliases": len(answers & anchors),
        "test_entities_in_train": sum(catalogue.pairs[index].entity_id in entities for index in asked),
        "withheld_pairs": sum("withheld" in split for split in splits),
    }


def near_duplicates(labels: Iterable[str]) -> dict[str, Finding]:
    """Find labels that are one name written twice.

    Equal after dropping case, accents and punctuation, or one typing slip apart (edit distance 1, found through
    shared deletions as in SymSpell, so that the work is linear in the number of labels).
    """
    keys: dict[str, list[str]] = defaultdict(list)
    for label in sorted(labels):
        keys[bare(label)].append(label)
    same = [" = ".join(group) for key, group in keys.items() if key and len(group) > 1]
    slips: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        if len(key) >= 8:
            for cut in {key, *(key[:at] + key[at + 1 :] for at in range(len(key)))}:
                slips[cut].append(key)
    close = {
        (left, right)
        for group in slips.values()
        if 1 < len(group) <= 20
        for position, left in enumerate(group)
        for right in group[position + 1 :]
        if left != right and not (set(left) ^ set(right)) & set("0123456789")
    }
    samples = [f"{keys[left][0]} ~ {keys[right][0]}" for left, right in sorted(close)]
    return {"W_LABEL_NEAR_DUP": finding(len(same), same), "W_LABEL_SLIP": finding(len(close), samples)}


def _slice_sizes(catalogue: Catalogue, named: Mapping[str, set[str]], slice_by: Sequence[str]) -> dict[str, int]:
    """Return how many pairs are in each slice, the largest first."""
    sizes = Counter(name for pair in catalogue.pairs for name in slices_of_pair(pair, named, slice_by))
    of_scripts = script_slices({str(at): pair.alias for at, pair in enumerate(catalogue.pairs)})
    return dict((sizes + Counter({name: len(ids) for name, ids in of_scripts.items()})).most_common())
