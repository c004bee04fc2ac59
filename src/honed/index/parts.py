"""The parts of a hybrid that search words and letters: built of texts, read from a file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from honed.core.json import Json
from honed.core.plain import as_object, as_text
from honed.core.tensors import Tensors
from honed.index import analysis, other_scripts
from honed.index.analysis import Analyzer
from honed.index.mentions import Names
from honed.index.name_evidence import NameEvidence
from honed.index.postings import Postings, TermScorer

_SHORT_FIELD = 100  # characters on average: the letters of such a field count
TERMS: Mapping[str, Callable[[str], list[str]]] = {
    "letters": analysis.letter_grams,
    "initials": analysis.initials_of_query,
    "beginnings": analysis.beginnings_of_query,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class HybridTexts:
    """The texts of a hybrid: ``texts`` (distinct), named ``fields`` of each, and the language of both.

    ``languages`` are those of fields that have one of their own. ``stop_words`` is one of
    `honed.index.analysis.STOP_WORDS`.

    ``names`` says that the texts are names, whose letters and initials count; ``known`` are then all names of each.
    ``kinds`` are fields whose values say what kind of thing each is. ``weighted`` are texts for word search with each
    field as often as it counts, where they differ from ``texts``. ``other_scripts`` says that names or queries are not
    all Latin, see `honed.index.other_scripts`;
    ``across`` are then pairs of a name in another script and its label, to learn translations from.
    """

    texts: Sequence[str]
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    language: str = "english"
    languages: Mapping[str, str] = field(default_factory=dict)
    stop_words: str = "lucene"
    names: bool = True
    known: Names | None = None
    kinds: Mapping[str, Sequence[str]] = field(default_factory=dict)
    weighted: Sequence[str] = ()
    other_scripts: bool = False
    across: Sequence[tuple[str, str]] = ()

    def is_short(self, name: str) -> bool:
        """Tell whether the values of a field are short: their letters count, and they stand beside names."""
        lengths = [len(value) for value in self.fields[name] if value]
        return self.names and bool(lengths) and float(np.mean(lengths)) <= _SHORT_FIELD

    def evidence(self) -> NameEvidence | None:
        """Return what all names say; None where the texts are no names."""
        if not self.names:
            return None
        known = self.known or Names([[text] for text in self.texts], [[0] for _ in self.texts])
        short = {name: values for name, values in self.fields.items() if self.is_short(name)}
        return NameEvidence.build(known, short, self.kinds)


def build_parts(source: HybridTexts, analyzer: Analyzer) -> dict[str, TermScorer]:
    """Return the parts over some texts by name, built with the libraries that are their reference."""
    words = source.weighted or source.texts
    terms = [list(dict.fromkeys(analyzer(text))) for text in words]
    parts = {
        "words": _bm25(words, analyzer),
        "TF-IDF": _tfidf(words, analyzer),
        "overlap": TermScorer("keys", Postings.of_keys(terms), analyzer),
    }
    if source.names:
        initials = Postings.of_keys([analysis.initials_of_name(text) for text in source.texts])
        beginnings = Postings.of_keys([analysis.beginnings_of_name(text) for text in source.texts])
        parts |= {
            "letters": _tfidf(source.texts),
            "initials": TermScorer("keys", initials, analysis.initials_of_query),
            "beginnings": TermScorer("keys", beginnings, analysis.beginnings_of_query),
        }
    for name, values in source.fields.items():
        language = source.languages.get(name)
        parts[f"{name}, words"] = _bm25(values, Analyzer.of_texts(language, values) if language else analyzer)
        if source.is_short(name):
            parts[f"{name}, letters"] = _tfidf(values)
    if source.names and source.other_scripts:
        parts |= other_scripts.built(source.texts, source.across, parts, _weighted)
    return parts


def read_parts(entries: Sequence[Json], tensors: Tensors, analyzer: Analyzer, n: int) -> dict[str, TermScorer]:
    """Return the parts of ``n`` texts by name, of what a file says of them and its tensors."""
    parts: dict[str, TermScorer] = {}
    across: dict[str, Tensors] = {}
    for number, entry in enumerate(entries):
        name, kind = (as_text(as_object(entry)[key]) for key in ("name", "kind"))
        prefix = f"{number}."
        arrays = {key.removeprefix(prefix): array for key, array in tensors.items() if key.startswith(prefix)}
        if name in other_scripts.PARTS:
            across[name] = arrays
            continue
        own = Analyzer.of_dict(as_object(entry)) if "language" in as_object(entry) else analyzer
        parts[name] = TermScorer(kind, Postings(arrays, n), _query_terms(name, own))
    return parts | (other_scripts.restored(across, parts) if across else {})


def _query_terms(part: str, analyzer: Analyzer) -> Callable[[str], list[str]]:
    """Return the function that makes the terms of a query for a part; a field's are its words or its letters."""
    return TERMS.get(part.rpartition(", ")[2], analyzer)


def _bm25(texts: Sequence[str], analyzer: Analyzer) -> TermScorer:
    from scipy.sparse import csr_matrix

    from honed.index.lexical import Bm25Index

    index = Bm25Index(texts, analyzer).index
    arrays = tuple(index.scores[name] for name in ("data", "indices", "indptr"))
    matrix = csr_matrix(arrays, shape=(len(arrays[2]) - 1, len(texts)))
    terms = {term: number for term, number in index.vocab_dict.items() if number < matrix.shape[0]}
    matrix = matrix[list(terms.values())]
    return TermScorer("bm25", Postings.build(list(terms), matrix, np.ones(len(terms))), analyzer)


def _tfidf(texts: Sequence[str], analyzer: Analyzer | None = None) -> TermScorer:
    return TermScorer("cosine", _weighted(texts, analyzer), analyzer or analysis.letter_grams)


def _weighted(texts: Sequence[str], terms_of: Callable[[str], list[str]] | None) -> Postings:
    """Return the postings of texts by TF-IDF of their terms; without ``terms_of`` of their letters."""
    from honed.index.lexical import TfidfIndex

    if not any(map(terms_of or analysis.letter_grams, texts)):  # nothing to count
        return Postings.of_keys([[] for _ in texts])
    index = TfidfIndex([text or " " for text in texts], terms_of)
    terms = list(index.vectorizer.get_feature_names_out())
    return Postings.build(terms, index.columns, index.vectorizer.idf_)
