"""The section ``[retrieval]``."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from honed.config.config import Config
from honed.core.errors import ConfigError
from honed.core.sections import limits
from honed.data.rows import SPLITS


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalSection:
    """The section ``[retrieval]``: labelled texts that others search, and the same label is right.

    ``input`` are tables with a text, a label and a split in ``columns``; without any it is the project's own labelled
    texts. ``corpus`` and ``queries`` name the splits. ``exclude_duplicates`` leaves queries out whose text stands in
    the corpus. ``neighbours`` vote for the label of a query (k-NN). ``annoy_trees`` > 0 puts an Annoy index beside
    exact search, which looks at ``annoy_search_k`` nodes (0: trees times hits, Annoy's own choice).
    """

    input: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    corpus: tuple[str, ...] = ("train",)
    queries: tuple[str, ...] = ("test",)
    exclude_duplicates: bool = False
    neighbours: int = field(default=10, metadata=limits(low=1, high=1000))
    annoy_trees: int = field(default=0, metadata=limits(low=0, high=10_000))
    annoy_search_k: int = field(default=0, metadata=limits(low=0))

    def check(self, file: str) -> None:
        """Raise `ConfigError` for unknown splits and for a table whose columns are not named."""
        for name in ("corpus", "queries"):
            for split in getattr(self, name):
                if split not in SPLITS:
                    raise ConfigError(
                        "E_CONFIG_RANGE", f"{file}: retrieval.{name}: {split} is not one of {', '.join(SPLITS)}"
                    )
        if set(self.corpus) & set(self.queries):
            raise ConfigError("E_CONFIG_RANGE", f"{file}: retrieval.queries: a split cannot be searched with itself")
        for role in ("text", "label", "split") if self.input else ():
            if role not in self.columns:
                raise ConfigError("E_CONFIG_MISSING", f"{file}: retrieval.columns.{role}: which column is it?")


def retrieval_section(config: Config) -> RetrievalSection:
    """Return the section [retrieval], or its defaults."""
    return config.section(RetrievalSection) or RetrievalSection()
