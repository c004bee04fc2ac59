"""Which words of other scripts stand for which words of names, learned from names of the same thing in two scripts.

A name that was translated and not carried over by its sound shares no letter with its translation ("大学" and
"university"). Of pairs of such names the first model of Brown et al. (1993, "The Mathematics of Statistical Machine
Translation", section 4.1) learns which word says which, by expectation maximisation: no list of words, no language.
"""

from collections.abc import Callable, Sequence
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.protocols import Vectors
from honed.core.ranking import distinct
from honed.core.tensors import Tensors, check_arrays, divides
from honed.core.text import terms
from honed.index.postings import term_key

Keys: TypeAlias = npt.NDArray[np.uint64]
Pairs: TypeAlias = Sequence[tuple[str, str]]  # a name in another script, and the label of what bears it
FEWEST = 20  # pairs that teach something
_MOST, _WORDS = 200_000, 40  # pairs, and words of a name, that are read: bounds time and memory
_ROUNDS = 6
_LEAST = 0.05  # chance of a translation that is kept: a word has 20 at most
_DOUBT = 0.5  # sightings that are missing: a word seen once counts for two thirds
_DTYPES = {"keys": np.uint64, "ends": np.int64, "targets": np.uint64, "chances": np.float32}


class Translations:
    """Words and what they may stand for, as flat arrays.

    ``tensors``: sorted ``keys`` ``(n_words,)`` of words, their ``ends`` ``(n_words + 1,)`` into ``targets``, the keys
    of terms, and ``chances`` in (0, 1], both ``(n_translations,)``; see `honed.index.postings.term_key`.
    """

    def __init__(self, tensors: Tensors) -> None:
        """Take the arrays; `ArtifactError` when they do not fit together."""
        check_arrays(tensors, _DTYPES, what="translations", code="E_TRANSLATIONS")
        self.tensors = tensors
        keys, chances = tensors["keys"], tensors["chances"]
        fits = len(tensors["targets"]) == len(chances) and divides(tensors["ends"], len(keys), len(chances))
        if not fits or not (np.isfinite(chances).all() and (chances > 0).all() and (chances <= 1).all()):
            raise ArtifactError("E_TRANSLATIONS", "translations: the arrays do not fit together")

    @classmethod
    def learn(cls, pairs: Pairs, terms_of: Callable[[str], list[str]]) -> Self:
        """Learn from pairs of names; ``terms_of`` makes the terms of a label. Linear in the pairs.

        Of more than 200,000 pairs those at even distances are read.
        """
        pairs = pairs[:: -(-len(pairs) // _MOST)] if pairs else pairs
        words: dict[str, int] = {}
        targets: dict[str, int] = {}
        word_of, target_of, place_of, place = [], [], [], 0
        for name, label in pairs:
            own = [words.setdefault(word, len(words) + 1) for word in dict.fromkeys(terms(name)[:_WORDS])]
            for term in dict.fromkeys(terms_of(label)[:_WORDS]):
                sources = [0, *own]  # 0: no word of the name
                word_of += sources
                target_of += [targets.setdefault(term, len(targets))] * len(sources)
                place_of += [place] * len(sources)
                place += 1
        cells, of_cell = np.unique(
            np.array(word_of, dtype=np.int64) * max(1, len(targets)) + np.array(target_of, dtype=np.int64),
            return_inverse=True,
        )
        source, target = np.divmod(cells, max(1, len(targets)))
        chances, sightings = _maximised(source, of_cell, np.array(place_of, dtype=np.int64))
        sure = chances * sightings / (sightings + _DOUBT)
        kept = (source > 0) & (sure >= _LEAST)
        return cls._of(
            np.array([0, *map(term_key, words)], dtype=np.uint64)[source[kept]],
            np.array([term_key(term) for term in targets], dtype=np.uint64)[target[kept]],
            sure[kept].astype(np.float32),
        )

    @classmethod
    def _of(cls, sources: Keys, targets: Keys, chances: Vectors) -> Self:
        order = np.argsort(sources, kind="stable")
        keys, starts = np.unique(sources[order], return_index=True)
        ends = np.append(starts, len(sources)).astype(np.int64)
        return cls({"keys": keys, "ends": ends, "targets": targets[order], "chances": chances[order]})

    def of_text(self, text: str) -> tuple[Keys, Vectors]:
        """Return the keys of terms that words of a text may stand for, and the best chance of each, both ``(n,)``."""
        wanted = distinct(np.array([term_key(word) for word in terms(text)], dtype=np.uint64))
        keys, ends = self.tensors["keys"], self.tensors["ends"]
        at = _places(keys, wanted) if len(keys) else ()
        spans = [slice(int(ends[number]), int(ends[number + 1])) for number in at]
        if not spans:
            return np.empty(0, np.uint64), np.empty(0, np.float32)
        targets, of_target = np.unique(
            np.concatenate([self.tensors["targets"][span] for span in spans]), return_inverse=True
        )
        best = np.zeros(len(targets), dtype=np.float32)
        np.maximum.at(best, of_target, np.concatenate([self.tensors["chances"][span] for span in spans]))
        return targets, best


def _places(keys: Keys, wanted: Keys) -> npt.NDArray[np.int64]:
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found: npt.NDArray[np.int64] = at[keys[at] == wanted]
    return found


def _maximised(
    source: npt.NDArray[np.int64], of_cell: npt.NDArray[np.int64], place_of: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return of each pair of words ``(n_cells,)`` the chance of the translation, and how often its word says anything.

    ``source`` is the word of each cell; ``of_cell`` and ``place_of`` tell of each possible link its cell, and the place
    of a label's term that one of the links explains.
    """
    n_words = int(source.max(initial=0)) + 1
    chances: npt.NDArray[np.float64] = np.ones(len(source))
    sightings: npt.NDArray[np.float64] = np.ones(len(source))
    for _ in range(_ROUNDS):
        links: npt.NDArray[np.float64] = chances[of_cell]
        links = links / np.maximum(np.bincount(place_of, weights=links), 1e-300)[place_of]
        counts = np.bincount(of_cell, weights=links, minlength=len(source))
        sightings = np.bincount(source, weights=counts, minlength=n_words)[source].astype(np.float64)
        chances = counts / np.maximum(sightings, 1e-300)
    return chances, sightings
