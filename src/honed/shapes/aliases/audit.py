"""The audit: what is in the data, what is wrong with it, and how well anything could do on it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from honed.core.errors import DataError
from honed.core.text import bare, fold
from honed.data.split import check_given_splits
from honed.shapes.aliases.catalogue import Catalogue, describe, name_key, slices_of_pair

UnknownText = Callable[[str], bool]
_SAMPLES = 5


def audit_aliases(
    catalogue: Catalogue, splits: Sequence[set[str]], slice_by: Sequence[str], unknown: UnknownText | None
) -> dict[str, Any]:
    """Return the audit of a catalogue as plain data: counts, findings with samples, ceiling, dictionary, slices.

    ``splits`` holds the splits of each pair; ``unknown`` tells whether the encoder knows no part of a text.
    """
    named = catalogue.labels_of_alias()
    findings = {reason: _finding(count, catalogue.samples[reason]) for reason, count in catalogue.dropped.items()}
    findings["W_LABELS_OF_ONE_ID"] = _finding(len(catalogue.conflicts), catalogue.conflicts)
    findings |= _shared_names(catalogue, named)
    findings |= near_duplicates({label for entity in catalogue.entities.values() for label in entity.labels})
    present = {split for each in splits for split in each}
    empty = [f"no {name} pair: too few entities" for name in ("train", "dev", "test") if name not in present]
    findings["W_SPLIT_EMPTY"] = _finding(len(empty), empty)
    if unknown:
        texts = [pair.alias for pair in catalogue.pairs if unknown(pair.alias)]
        findings["W_ALL_UNK"] = _finding(len(texts), texts)
    return {
        **describe(catalogue),
        "findings": {name: found for name, found in findings.items() if found["count"]},
        "splits": dict(Counter(split for each in splits for split in each)),
        "overlap": split_overlap(catalogue, splits),
        "ceiling": ceiling(catalogue),
        "dictionary": dictionary_accuracy(catalogue, splits),
        "slices": dict(
            Counter(name for pair in catalogue.pairs for name in slices_of_pair(pair, named, slice_by)).most_common()
        ),
    }


def _finding(count: int, samples: Sequence[str]) -> dict[str, Any]:
    return {"count": count, "samples": list(samples[:_SAMPLES])}


def _shared_names(catalogue: Catalogue, named: Mapping[str, set[str]]) -> dict[str, Any]:
    shared = sorted((alias for alias in named if len(named[alias]) > 1), key=lambda alias: (-len(named[alias]), alias))
    labels: dict[str, set[str]] = defaultdict(set)
    for entity in catalogue.entities.values():
        for label in entity.labels:
            labels[fold(label)].add(entity.entity_id)
    same = [f"{label}: {len(ids)} ids" for label, ids in labels.items() if len(ids) > 1]
    other = [pair for pair in catalogue.pairs if labels.get(fold(pair.alias), {pair.entity_id}) - {pair.entity_id}]
    samples = [f"{alias}: {len(named[alias])} labels" for alias in shared]
    return {
        "W_ALIAS_SHARED": _finding(len(shared), samples),
        "W_LABEL_SHARED": _finding(len(same), same),
        "W_ALIAS_IS_LABEL": _finding(
            len(other), [f"{pair.alias} -> {catalogue.entities[pair.entity_id].labels[0]}" for pair in other[:_SAMPLES]]
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
    """Return top-1 of a plain dictionary: taught the train pairs (and all labels), asked the test pairs.

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
            if (found := table.get(fold(pair.alias)))
            and found.most_common(1)[0][0] == catalogue.entities[pair.entity_id].labels[0]
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


def near_duplicates(labels: Iterable[str]) -> dict[str, Any]:
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
    return {"W_LABEL_NEAR_DUP": _finding(len(same), same), "W_LABEL_SLIP": _finding(len(close), samples)}


# -- the shape "labels" --------------------------------------------------------------------------


def audit_labels(
    records: Iterable[Mapping[str, str]],
    *,
    has_splits: bool,
    declared: bool,
    unknown: UnknownText | None,
    weak: bool = False,
) -> dict[str, Any]:
    """Return the audit of labelled texts, read once; contradictions that would spoil training are a `DataError`.

    With ``weak`` labels come from rules too, so that a class needs no hand label in train.
    """
    n, labelled, strange = 0, [], []
    times: Counter[bytes] = Counter()  # by digest: a million texts need not stay in memory
    copies: list[str] = []
    splits: dict[str, str] = {}
    keys: dict[str, str] = {}
    for record in records:
        n += 1
        text = fold(record["text"])
        if record["label"]:
            labelled.append(record)
        if text:
            times[digest := blake2b(text.encode(), digest_size=12).digest()] += 1
            if times[digest] == 2:
                copies.append(text)
            if unknown and unknown(record["text"]):
                strange.append(record["where"])
        if has_splits:
            splits[record["id"]] = record["split"]
            keys |= {record["id"]: text} if text else {}
    if not declared:
        _refuse_near_labels(labelled)
    if has_splits:
        check_given_splits(splits, keys)
        _check_classes_taught([] if weak else labelled)
    counts = Counter(record["label"] for record in labelled)
    rare = [f"{label}: {count} example" for label, count in counts.items() if count < 2]
    conflicts = _label_conflicts(labelled)
    findings = {
        "W_LABEL_RARE": _finding(len(rare), [f"{each}; kept in train, not evaluated" for each in rare]),
        "W_LABEL_CONFLICT_TEXT": _finding(len(conflicts), conflicts),
        "W_TEXT_DUP": _finding(len(copies), copies),
        "W_ALL_UNK": _finding(len(strange), [f"{where}, text: the encoder knows no part of it" for where in strange]),
    }
    return {
        "records": n,
        "labelled": len(labelled),
        "labels": dict(counts.most_common()),
        "not_evaluated": sorted(label for label, count in counts.items() if count < 2),
        "findings": {name: found for name, found in findings.items() if found["count"]},
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


def _check_classes_taught(labelled: Sequence[Mapping[str, str]]) -> None:
    taught = {record["label"] for record in labelled if record["split"] == "train"}
    for record in labelled:
        if record["label"] not in taught:
            raise DataError("E_SPLIT_CLASS", f"label {record['label']} stands in {record['split']} and never in train")
