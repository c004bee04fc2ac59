"""The shape ``aliases``: records to a catalogue of entities with their names."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.core.text import as_seen, bare, fold, looks_like_acronym
from honed.data.split import (
    WITHHELD,
    SplitConfig,
    assign,
    check_given_splits,
    components,
    draw_dev,
    later_side,
    unit_interval,
)
from honed.shapes.findings import LeftOut


@dataclass(kw_only=True)
class Entity:
    """One thing of the catalogue; ``labels`` are its canonical names, the first is shown."""

    entity_id: str
    labels: list[str]
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One alias of one entity."""

    entity_id: str
    alias: str
    where: str
    fields: Mapping[str, str]


@dataclass(kw_only=True)
class Catalogue(LeftOut):
    """All entities and their aliases, with counts and samples of dropped pairs.

    ``dropped`` counts records that gave no pair, by reason: records = pairs + dropped. ``conflicts`` are ids with more
    than one label: the labels are then names of one entity.
    """

    entities: dict[str, Entity]
    pairs: list[Pair]
    has_ids: bool
    conflicts: list[str] = field(default_factory=list)
    spelled: dict[str, str] = field(default_factory=dict)  # label as it is seen -> the entity named by it, without ids

    def entity_id(self, record: Mapping[str, str]) -> str:
        """Return the entity of a record: its id; without ids its label, as it was first written.

        Labels that differ by blanks, composed letters and what cannot be seen are one.
        """
        return record["id"] if self.has_ids else self.spelled.setdefault(as_seen(record["label"]), record["label"])

    def groups(self) -> dict[str, str]:
        """Return the group of each entity: entities that share a label string belong together."""
        by_label: dict[str, list[str]] = defaultdict(list)
        for entity in self.entities.values():
            for label in entity.labels:
                by_label[fold(label)].append(entity.entity_id)
        return components(by_label.values())

    def labels_of_alias(self) -> dict[str, set[str]]:
        """Return for each folded alias the label strings that it names."""
        named: dict[str, set[str]] = defaultdict(set)
        for pair in self.pairs:
            named[fold(pair.alias)].update(self.entities[pair.entity_id].labels)
        return named


def build_catalogue(records: Iterable[Mapping[str, str]], *, has_ids: bool, quarantine: bool) -> Catalogue:
    """Group records by entity; rows without an alias, or with a label's or a repeated one, are dropped and counted.

    Without an id column the label is the entity, so an alias that is itself a label contradicts the table; that is a
    `DataError`, or a counted drop under ``quarantine``. With ids it is an ambiguous name, which is kept.
    """
    catalogue = Catalogue(entities={}, pairs=[], has_ids=has_ids)
    seen: set[tuple[str, str]] = set()
    varying: dict[str, set[str]] = defaultdict(set)
    rows: list[tuple[Mapping[str, str], dict[str, str], Entity]] = []
    for record in records:
        entity_id = catalogue.entity_id(record)
        fields = json.loads(record["fields"])
        entity = catalogue.entities.setdefault(entity_id, Entity(entity_id=entity_id, labels=[record["label"]]))
        if as_seen(record["label"]) not in map(as_seen, entity.labels):
            entity.labels.append(record["label"])
            catalogue.conflicts.append(f"{record['where']}: id {entity_id} is also {record['label']}")
        for name, value in fields.items():
            if value and entity.fields.setdefault(name, value) != value:
                varying[entity_id].add(name)
        rows.append((record, fields, entity))
    for record, fields, entity in rows:
        alias = record["alias"]
        if not alias:
            catalogue.drop("no alias")
        elif fold(alias) in {fold(label) for label in entity.labels}:
            catalogue.drop("W_ALIAS_SELF", f"{record['where']}: {alias} equals its label")
        elif (entity.entity_id, fold(alias)) in seen:
            catalogue.drop("W_PAIR_DUP", f"{record['where']}: {alias} stands twice for {record['label']}")
        else:
            seen.add((entity.entity_id, fold(alias)))
            pair = Pair(entity_id=entity.entity_id, alias=alias, where=record["where"], fields=fields)
            catalogue.pairs.append(pair)
    for entity_id, names in varying.items():  # what differs between an entity's rows belongs to its aliases
        fields = catalogue.entities[entity_id].fields
        catalogue.entities[entity_id].fields = {name: value for name, value in fields.items() if name not in names}
    if not has_ids:
        _refuse_chains(catalogue, quarantine=quarantine)
    return catalogue


# -- chains and cycles ---------------------------------------------------------------------------


def _refuse_chains(catalogue: Catalogue, *, quarantine: bool) -> None:
    labels = {fold(entity.entity_id): entity.entity_id for entity in catalogue.entities.values()}
    chained = [pair for pair in catalogue.pairs if fold(pair.alias) in labels]
    if not chained:
        return
    if quarantine:
        bad = set(map(id, chained))
        for pair in chained:
            catalogue.drop("E_ALIAS_IS_LABEL", f"{pair.where}: {pair.alias} is itself a label")
        catalogue.pairs = [pair for pair in catalogue.pairs if id(pair) not in bad]
        return
    labels_of: dict[str, set[str]] = defaultdict(set)
    for pair in catalogue.pairs:
        labels_of[fold(pair.alias)].add(fold(pair.entity_id))
    chain = longest_chain(labels_of)
    if len(chain) > 3:
        shown = " -> ".join(chain if len(chain) <= 6 else [*chain[:3], "...", chain[-1]])
        raise DataError("E_ALIAS_CHAIN", f"aliases of aliases, {len(chain) - 1} steps: {shown}; point each at the last")
    first = chained[0]
    raise DataError(
        "E_ALIAS_IS_LABEL",
        f"{first.where}: {first.alias} is an alias of {first.entity_id} and a label of its own; give an id column if "
        "these are two things of one name, or drop the row (--on-bad-row quarantine)",
    )


def longest_chain(labels_of: Mapping[str, set[str]]) -> list[str]:
    """Return the longest path alias -> label -> ...; `DataError` with the path when aliases go round in a circle."""
    sorter = TopologicalSorter({alias: sorted(labels) for alias, labels in labels_of.items()})
    try:
        order = list(sorter.static_order())
    except CycleError as error:
        ring = error.args[1][:0:-1]
        start = ring.index(min(ring))
        path = [*ring[start:], *ring[:start], ring[start]]
        raise DataError(
            "E_ALIAS_CYCLE", f"aliases in a circle: {' -> '.join(path)}; name one of them as the label"
        ) from None
    step: dict[str, tuple[int, str]] = {}
    for name in order:  # labels come before their aliases
        step[name] = max(((step[label][0] + 1, label) for label in labels_of.get(name, ())), default=(0, ""))
    name = max(step, key=lambda other: step[other][0])
    path = [name]
    while name := step[name][1]:
        path.append(name)
    return path


# -- splits --------------------------------------------------------------------------------------


def split_pairs(catalogue: Catalogue, config: SplitConfig, given: Sequence[str] | None = None) -> list[set[str]]:
    """Return for each pair the set of its splits (``train``, ``dev``, ``test``, ``withheld``).

    Held-out: one split a pair, by the group of its entity; a train pair is ``withheld`` when its alias also names an
    entity of dev or test, or its label is such an alias, so that no name of a test pair is trained on in any way.
    Catalogue: every pair is in train, and a fixed sample is in test (or dev) as well. ``given`` holds the user's own
    split by pair; a pair is withheld, too, where its entity stands in a later split.
    """
    if config.protocol == "catalogue":
        return _catalogue_splits(catalogue.pairs, config)
    group_of = catalogue.groups()
    groups = [group_of[pair.entity_id] for pair in catalogue.pairs]
    if given is None:
        split_of_group = assign(dict.fromkeys(groups), config)
        splits = [split_of_group[group] for group in groups]
    else:
        splits = _with_dev(groups, _without_cut_groups(groups, given), config)
    asked = [pair for pair, split in zip(catalogue.pairs, splits, strict=True) if split in ("dev", "test")]
    unseen = {name_key(pair.alias) for pair in asked}
    answers = {name_key(label) for pair in asked for label in catalogue.entities[pair.entity_id].labels}
    splits = [
        WITHHELD if split == "train" and _gives_away(catalogue, pair, unseen, answers) else split
        for pair, split in zip(catalogue.pairs, splits, strict=True)
    ]
    if given is not None:
        check_given_splits(splits, ("train", "test", "dev"))
    return [{split} for split in splits]


def _with_dev(groups: Sequence[str], splits: Sequence[str], config: SplitConfig) -> list[str]:
    """Return given splits, with a dev that is drawn from train where the user gave none."""
    train = [group for group, split in zip(groups, splits, strict=True) if split == "train"]
    dev = draw_dev(dict.fromkeys(train), config) if "dev" not in splits else set()
    return ["dev" if split == "train" and group in dev else split for group, split in zip(groups, splits, strict=True)]


def _without_cut_groups(groups: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return the given split of each pair, "withheld" where its group stands in a later one too."""
    sides: dict[str, set[str]] = defaultdict(set)
    for group, split in zip(groups, given, strict=True):
        sides[group].add(split)
    return [
        split if split == later_side(sides[group]) else WITHHELD for group, split in zip(groups, given, strict=True)
    ]


def given_leaks(catalogue: Catalogue, splits: Sequence[set[str]], given: Sequence[str]) -> list[str]:
    """Return a sentence for each pair that is withheld although the user gave it a split."""
    return [
        f"{pair.where}: {pair.alias} of entity {pair.entity_id} stands in {before}; the entity, its label or the alias "
        "in a later split too"
        for pair, split, before in zip(catalogue.pairs, splits, given, strict=True)
        if WITHHELD in split
    ]


def _gives_away(catalogue: Catalogue, pair: Pair, unseen: set[str], answers: set[str]) -> bool:
    """Tell whether a train pair would teach something about a name of dev or test, as anchor or as positive."""
    alias = name_key(pair.alias)
    labels = catalogue.entities[pair.entity_id].labels
    return alias in unseen or alias in answers or any(name_key(label) in unseen for label in labels)


def name_key(name: str) -> str:
    """Return the key under which two names count as the same across splits: words without case, accents and marks."""
    return bare(name) or fold(name)


def _catalogue_splits(pairs: Sequence[Pair], config: SplitConfig) -> list[set[str]]:
    draws = [unit_interval(config.seed, f"{pair.entity_id}\0{pair.alias}") for pair in pairs]
    order = sorted(range(len(pairs)), key=draws.__getitem__)
    splits: list[set[str]] = [{"train"} for _ in pairs]
    n_test = min(config.sample, len(pairs))
    for rank, index in enumerate(order[: n_test + n_test // 2]):
        splits[index].add("test" if rank < n_test else "dev")
    if n_test == len(pairs):
        for index in order[::3]:
            splits[index].add("dev")
    return splits


def given_splits(records: Iterable[Mapping[str, str]], catalogue: Catalogue) -> list[str]:
    """Return the user's own split of each pair: of a pair that stands twice the later, test after dev after train."""
    sides: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in records:
        sides[catalogue.entity_id(record), fold(record["alias"])].add(record["split"])
    return [later_side(sides[pair.entity_id, fold(pair.alias)]) for pair in catalogue.pairs]


# -- slices --------------------------------------------------------------------------------------


def slices_of_pair(pair: Pair, named: Mapping[str, set[str]], slice_by: Sequence[str]) -> list[str]:
    """Return the slices of a pair: acronym, ambiguous, and one for each column of ``slice_by``."""
    slices = []
    if looks_like_acronym(pair.alias):
        slices.append("acronym")
    if len(named[fold(pair.alias)]) > 1:
        slices.append("ambiguous")
    return [*slices, *(f"{name}={pair.fields[name]}" for name in slice_by if pair.fields.get(name))]


def check_slices(catalogue: Catalogue, slice_by: Sequence[str]) -> None:
    """Raise `ConfigError` for a column that no pair has."""
    known = {name for pair in catalogue.pairs for name in pair.fields}
    for name in slice_by:
        if name not in known:
            raise ConfigError(
                "E_CONFIG_KEY",
                f"data.slice_by: no column {name}{did_you_mean(name, known)} (known: {', '.join(sorted(known))})",
            )
