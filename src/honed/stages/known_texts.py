"""Texts that a model may know by the protocol, and queries that it may not: for vocabularies and students."""

from collections.abc import Sequence

from honed.artifacts.data import CheckArtifact, Examples
from honed.config.config import Config
from honed.core.protocols import Role
from honed.core.stage import Inputs
from honed.core.text import fold
from honed.data.split import unit_interval
from honed.shapes.registry import shape_of

MOST_UNSEEN = 2000
RoleText = tuple[str, Role]
_SPLITS = ("dev", "test")


def name_texts(inputs: Inputs) -> list[RoleText]:
    """Return the distinct names that training may know: labels as documents, aliases as queries."""
    texts: dict[RoleText, None] = {}
    for name in inputs.need(CheckArtifact).names():
        if name.known:
            texts[name.text, "document" if name.kind == "label" else "query"] = None
    return list(texts)


def known_texts(inputs: Inputs) -> list[RoleText]:
    """Return all that training may know, each in both roles: names, and the texts of the training examples."""
    texts = [text for text, _ in name_texts(inputs)]
    for example in inputs.need(Examples).examples():
        texts += (example.anchor, example.positive, *example.negatives)
    return in_both_roles(texts)


def in_both_roles(texts: Sequence[str]) -> list[RoleText]:
    """Return the distinct texts, each as a query and as a document."""
    roles: tuple[Role, ...] = ("query", "document")
    return [(text, role) for text in dict.fromkeys(texts) for role in roles]


def unseen_queries(config: Config, inputs: Inputs, known: Sequence[RoleText]) -> list[str]:
    """Return up to 2,000 queries of dev and test that are no known text, as drawn; none where nothing is judged."""
    main, check = shape_of(config).directions(config)[0].name, inputs.need(CheckArtifact)
    queries = [query.text for split in _SPLITS for query in check.task(main, split).queries]
    folded = {fold(text) for text, _ in known}
    unseen = [text for text in dict.fromkeys(queries) if fold(text) not in folded]
    return sorted(unseen, key=lambda text: unit_interval(3, text))[:MOST_UNSEEN]
