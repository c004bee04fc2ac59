"""Word search across scripts: a query in one script meets the names in others, by letters, sounds and translations.

Parts of a hybrid that are there only where names or queries are not all Latin. Between Latin and Latin they say
nothing: the score of a name is above 0 only where it, or the query, is written in another script.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from honed.core.optional import require
from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.core.tensors import Tensors
from honed.core.text import is_other_script
from honed.index.postings import Postings, QueryTerms, TermScorer
from honed.index.romanise import ROMANISATION, consonant_grams, romanised_grams
from honed.index.translation import FEWEST, Pairs, Translations

ROMANISED, SOUNDS, TRANSLATED = "romanised", "sounds", "translated"  # the parts
PARTS = (ROMANISED, SOUNDS, TRANSLATED)
_GRAMS: Mapping[str, Callable[[str], list[str]]] = {ROMANISED: romanised_grams, SOUNDS: consonant_grams}
_LETTERS, _WORDS = "letters", "TF-IDF"  # the parts whose postings serve these too


class AcrossScripts(TermScorer):
    """Scores between texts of which one is not Latin; ``foreign`` are the rows of the names in other scripts.

    A query in another script is compared with all names, a Latin one with those that are ``foreign``. The letters of
    Latin names are those of ``latin``, where they are not among the postings.
    """

    def __init__(
        self,
        postings: Postings,
        terms_of: Callable[[str], Sequence[str]],
        foreign: Rows,
        latin: Postings | None = None,
    ) -> None:
        require(ROMANISATION)
        super().__init__("cosine", postings, terms_of)
        self._foreign = foreign
        self._latin = TermScorer("cosine", latin, terms_of) if latin is not None else None

    def scores(self, query: QueryTerms) -> Vectors:
        """Return the scores of all names ``(n,)``, see the class."""
        if is_other_script(query.text):
            of_all = self._with_all(query)
            return of_all if self._latin is None else np.maximum(of_all, self._latin.scores(query))
        scores = np.zeros(self.postings.n, np.float32)
        if len(self._foreign):
            scores[self._foreign] = self._with_all(query)[self._foreign]
        return scores

    def _with_all(self, query: QueryTerms) -> Vectors:
        return super().scores(query)


class Translated(AcrossScripts):
    """Scores of names by the words that those of a query were seen to stand for: the cosine by TF-IDF.

    ``words`` are the postings of the names' words.
    """

    def __init__(self, table: Translations, words: Postings, foreign: Rows) -> None:
        super().__init__(words, lambda _: (), foreign)
        self.table = table

    @property
    def tensors(self) -> Tensors:
        """The arrays of its own."""
        return self.table.tensors

    def _with_all(self, query: QueryTerms) -> Vectors:
        keys, chances = self.table.of_text(query.text)
        numbers, known = self.postings.find_keys(keys)
        weights = chances[known] * self.postings.worth_of(numbers)
        return self.postings.sum(numbers, weights / max(float(np.sqrt((weights**2).sum())), 1e-12))


def built(
    texts: Sequence[str],
    pairs: Pairs,
    parts: Mapping[str, TermScorer],
    weigh: Callable[[Sequence[str], Callable[[str], list[str]]], Postings],
) -> dict[str, TermScorer]:
    """Return the parts over names; ``pairs`` are names in other scripts with the labels that they were given for.

    ``parts`` are those of one script, and ``weigh`` makes the postings of texts by their terms.
    """
    foreign = [text if is_other_script(text) else "" for text in texts]
    tensors = {
        ROMANISED: weigh(foreign, _GRAMS[ROMANISED]).tensors,
        SOUNDS: weigh(texts, _GRAMS[SOUNDS]).tensors,
    }
    if len(pairs) >= FEWEST:
        tensors[TRANSLATED] = Translations.learn(pairs, lambda text: list(parts[_WORDS].terms_of(text))).tensors
    return restored(tensors, parts)


def restored(tensors: Mapping[str, Tensors], parts: Mapping[str, TermScorer]) -> dict[str, TermScorer]:
    """Return the parts of their arrays; the names in other scripts are those that have romanised letters."""
    letters, words = parts[_LETTERS].postings, parts[_WORDS].postings
    romanised, sounds = (Postings(tensors[name], letters.n) for name in (ROMANISED, SOUNDS))
    foreign = romanised.documents()
    across: dict[str, TermScorer] = {
        ROMANISED: AcrossScripts(romanised, _GRAMS[ROMANISED], foreign, letters),
        SOUNDS: AcrossScripts(sounds, _GRAMS[SOUNDS], foreign),
    }
    if TRANSLATED in tensors:
        across[TRANSLATED] = Translated(Translations(tensors[TRANSLATED]), words, foreign)
    return across
