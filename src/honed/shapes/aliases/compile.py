"""From a catalogue of names to training examples, judged tasks in both directions, and names to search."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from honed.core.records import Document, Example, JudgedTask, Qrels, Query
from honed.data.task import FORWARD, REVERSE, Entity, Name
from honed.evaluate.slices import script_slices
from honed.shapes.aliases.catalogue import Catalogue, slices_of_pair


def alias_examples(catalogue: Catalogue, splits: Sequence[set[str]]) -> list[Example]:
    """Return one example for each train pair and label of its entity."""
    return [
        Example(anchor=pair.alias, positive=label, source="pair")
        for pair, split in zip(catalogue.pairs, splits, strict=True)
        if "train" in split
        for label in catalogue.entities[pair.entity_id].labels
    ]


def alias_names(catalogue: Catalogue, splits: Sequence[set[str]]) -> list[Name]:
    """Return every name of every entity; an alias that only dev or test may see is not ``known``."""
    names = [
        Name(entity_id=entity.entity_id, text=label, kind="label", known=True)
        for entity in catalogue.entities.values()
        for label in entity.labels
    ]
    return names + [
        Name(entity_id=pair.entity_id, text=pair.alias, kind="alias", known=bool(split & {"train", "withheld"}))
        for pair, split in zip(catalogue.pairs, splits, strict=True)
    ]


def alias_tasks(
    catalogue: Catalogue, splits: Sequence[set[str]], slice_by: Sequence[str]
) -> dict[tuple[str, str], JudgedTask]:
    """Return the judged task of each (direction, split) with split "dev" or "test".

    A document is a distinct string, whose id is that of the first entity that bears it; one query is one pair
    (forwards) or one label with its aliases (backwards).
    """
    labels = _documents((label, entity.entity_id) for entity in catalogue.entities.values() for label in entity.labels)
    aliases = _documents((pair.alias, pair.entity_id) for pair in catalogue.pairs)
    tasks = {}
    for split in ("dev", "test"):
        chosen = [index for index, splits_of_pair in enumerate(splits) if split in splits_of_pair]
        tasks[FORWARD, split] = _forward(catalogue, chosen, labels, slice_by)
        tasks[REVERSE, split] = _reverse(catalogue, chosen, aliases)
    return tasks


def _documents(strings: Iterable[tuple[str, str]]) -> dict[str, Document]:
    bearers: dict[str, list[str]] = defaultdict(list)
    for text, entity_id in strings:
        bearers[text].append(entity_id)
    taken: set[str] = set()
    documents = {}
    for text, ids in bearers.items():
        doc_id = ids[0] if ids[0] not in taken else f"{ids[0]}#{text}"
        taken.add(doc_id)
        documents[text] = Document(doc_id=doc_id, text=text)
    return documents


def _forward(
    catalogue: Catalogue, chosen: Sequence[int], labels: Mapping[str, Document], slice_by: Sequence[str]
) -> JudgedTask:
    groups, named = catalogue.groups(), catalogue.labels_of_alias()
    queries, grades, group_of = [], {}, {}
    slices: dict[str, set[str]] = defaultdict(set)
    for index in chosen:
        pair = catalogue.pairs[index]
        query_id = f"q{index}"
        queries.append(Query(query_id=query_id, text=pair.alias))
        grades[query_id] = {labels[label].doc_id: 1 for label in catalogue.entities[pair.entity_id].labels}
        group_of[query_id] = groups[pair.entity_id]
        for name in slices_of_pair(pair, named, slice_by):
            slices[name].add(query_id)
    return _task(FORWARD, queries, labels, grades, group_of, slices)


def _reverse(catalogue: Catalogue, chosen: Sequence[int], aliases: Mapping[str, Document]) -> JudgedTask:
    groups = catalogue.groups()
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    queries, group_of = {}, {}
    for index in chosen:
        pair = catalogue.pairs[index]
        for label in catalogue.entities[pair.entity_id].labels:
            query_id = f"label:{label}"
            queries[query_id] = Query(query_id=query_id, text=label)
            grades[query_id][aliases[pair.alias].doc_id] = 1
            group_of[query_id] = groups[pair.entity_id]
    return _task(REVERSE, list(queries.values()), aliases, grades, group_of, {})


def _task(
    name: str,
    queries: Sequence[Query],
    documents: Mapping[str, Document],
    grades: Mapping[str, Mapping[str, int]],
    groups: Mapping[str, str],
    slices: Mapping[str, set[str]],
) -> JudgedTask:
    of_scripts = script_slices({query.query_id: query.text for query in queries})
    return JudgedTask(
        name=name,
        queries=queries,
        corpus=list(documents.values()),
        qrels=Qrels(grades=grades),
        groups=groups,
        slices={key: frozenset(ids) for key, ids in sorted({**slices, **of_scripts}.items())},
    )


def alias_entities(catalogue: Catalogue) -> list[Entity]:
    """Return every entity under its first label, with its fields."""
    return [
        Entity(entity_id=entity.entity_id, label=entity.labels[0], fields=entity.fields)
        for entity in catalogue.entities.values()
    ]
