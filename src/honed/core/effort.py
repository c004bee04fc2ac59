"""How much a stage has to do, in units of which a machine does so many a second; and of what, before it is done."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """Some texts that are counted, not read: how many, and their mean length in tokens."""

    count: float = 0.0
    tokens: float = 0.0

    def times(self, factor: float) -> "Texts":
        """Return so many times as many texts of the same length."""
        return Texts(count=self.count * factor, tokens=self.tokens)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFacts:
    """What the estimates of all stages follow from.

    ``documents`` are searched in the judged tasks, ``dev_documents`` those of them that are searched while a model
    trains; ``names`` are indexed; ``anchors`` are the distinct first texts of ``examples`` pairs, ``positives`` their
    second texts. ``directions`` counts the directions of judged search, ``dim`` the numbers of a vector, and
    ``parameters`` those of the model, in millions.
    """

    documents: Texts = field(default_factory=Texts)
    dev_documents: Texts = field(default_factory=Texts)
    names: Texts = field(default_factory=Texts)
    test: Texts = field(default_factory=Texts)
    dev: Texts = field(default_factory=Texts)
    anchors: Texts = field(default_factory=Texts)
    positives: Texts = field(default_factory=Texts)
    examples: int = 0
    directions: int = 1
    dim: int = 384
    parameters: float = 23.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """What a stage does, at most: vectors that are there already cost nothing.

    ``encoded`` texts go through a model of the base's size, ``trained`` ones through it and back; ``compared`` counts
    pairs of vectors, ``matched`` and ``fused`` pairs of a query and a document, by one kind of words, and by all parts
    of the hybrid. ``vectors`` are in memory at once, beside ``mb`` MB of other things.
    """

    encoded: tuple[Texts, ...] = ()
    trained: tuple[Texts, ...] = ()
    compared: float = 0.0
    matched: float = 0.0
    fused: float = 0.0
    vectors: float = 0.0
    mb: float = 0.0
