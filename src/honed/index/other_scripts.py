"""Word search across scripts: a query in one script meets the names in others, by letters and by sounds.

Two parts of a hybrid, there only where names or queries are not all Latin. Between Latin and Latin they say nothing:
the score of a name is above 0 only where it, or the query, is written in another script.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from honed.core.optional import require
from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.core.text import is_other_script
from honed.index.postings import Postings, TermScorer
from honed.index.romanise import ROMANISATION, consonant_grams, romanised_grams

ROMANISED, SOUNDS = "romanised", "sounds"  # the parts
GRAMS: Mapping[str, Callable[[str], list[str]]] = {ROMANISED: romanised_grams, SOUNDS: consonant_grams}


class AcrossScripts(TermScorer):
    """Scores between texts of which one is not Latin; ``foreign`` are the rows of the names in other scripts.

    A query in another script is compared with all names, a Latin one with those that are ``foreign``. The letters of
    Latin names are those of ``latin``, where they are not among the postings.
    """

    def __init__(self, part: str, postings: Postings, foreign: Rows, latin: Postings | None = None) -> None:
        require(ROMANISATION)
        super().__init__("cosine", postings, GRAMS[part])
        self._foreign = foreign
        self._latin = TermScorer("cosine", latin, GRAMS[part]) if latin is not None else None

    def scores(self, text: str) -> Vectors:
        """Return the scores of all names ``(n,)``, see the class."""
        if is_other_script(text):
            of_all = super().scores(text)
            return of_all if self._latin is None else np.maximum(of_all, self._latin.scores(text))
        scores = np.zeros(self.postings.n, np.float32)
        if len(self._foreign):
            scores[self._foreign] = super().scores(text)[self._foreign]
        return scores


def built(
    texts: Sequence[str], letters: Postings, tfidf: Callable[[Sequence[str], str], Postings]
) -> dict[str, TermScorer]:
    """Return both parts over names; ``letters`` are the postings of their letters, as they are written.

    ``tfidf`` makes the postings of texts for a part.
    """
    foreign = [text if is_other_script(text) else "" for text in texts]
    return restored({ROMANISED: tfidf(foreign, ROMANISED), SOUNDS: tfidf(texts, SOUNDS)}, letters)


def restored(postings: Mapping[str, Postings], letters: Postings) -> dict[str, TermScorer]:
    """Return both parts of their postings; the names in other scripts are those that have romanised letters."""
    foreign = postings[ROMANISED].documents()
    return {
        ROMANISED: AcrossScripts(ROMANISED, postings[ROMANISED], foreign, letters),
        SOUNDS: AcrossScripts(SOUNDS, postings[SOUNDS], foreign),
    }
