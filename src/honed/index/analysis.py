"""Text to terms: words, character n-grams, initials and the beginnings of words; nothing but the standard library.

The stemmer is the one thing that is needed besides, where words are stemmed.
"""

import re
from collections.abc import Callable, Iterable

from honed.core.optional import require
from honed.core.text import fold_accents

_WORD = re.compile(r"\w+")
_LONGEST_INITIALS, _LONGEST_BEGINNING = 12, 3
# fmt: off
_SMALL_WORDS = frozenset([
    "a", "an", "and", "at", "for", "in", "of", "on", "the", "to", "da", "das", "de",
    "del", "della", "der", "des", "di", "do", "dos", "du", "e", "el", "fur", "i", "il",
    "la", "las", "le", "les", "lo", "los", "och", "og", "und", "van", "von", "y", "zu",
])
# fmt: on


def words_of(text: str) -> list[str]:
    """Return the words of a text, case and accents folded."""
    return _WORD.findall(fold_accents(text))


def squeezed(text: str) -> str:
    """Return the letters and digits of a text as one word: "U.C.I." is "uci"."""
    return "".join(words_of(text))


class Analyzer:
    """Text to terms: case and accents folded, stop words dropped, words stemmed (Snowball).

    Without ``stop_words`` they are scikit-learn's for English, and none for other languages. An unknown language is a
    `KeyError`.
    """

    def __init__(self, language: str = "english", stop_words: Iterable[str] | None = None) -> None:
        require("stemming")
        self.language = language
        if stop_words is None and language == "english":
            from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

            stop_words = ENGLISH_STOP_WORDS
        import Stemmer

        self.stop_words = frozenset(stop_words or ())
        self.stem: Callable[[str], str] = Stemmer.Stemmer(language).stemWord

    def __call__(self, text: str) -> list[str]:
        """Return the terms of a text, in order."""
        return [self.stem(word) for word in words_of(text) if word not in self.stop_words]


def letter_grams(text: str) -> list[str]:
    """Return the character 2- to 4-grams within the words of a text, each word with a blank before and after it.

    The same as scikit-learn's ``char_wb`` over folded text: a word that is shorter than n stands once, whole.
    """
    found = []
    for word in fold_accents(text).split():
        padded = f" {word} "
        for size in (2, 3, 4):
            found += [padded[at : at + size] for at in range(max(1, len(padded) - size + 1))]
            if len(padded) <= size:
                break
    return found


def initialisms(text: str) -> set[str]:
    """Return the initials of a name: of all its words, and of all but its small words; at least two letters."""
    words = words_of(text)
    every = "".join(word[0] for word in words)
    large = "".join(word[0] for word in words if word not in _SMALL_WORDS)
    return {key for key in (every, large) if len(key) >= 2}


def initials_of_name(text: str) -> list[str]:
    """Return keys by which initials find a name: "=" all of them, "<" the first of them, "~" in any order."""
    keys: dict[str, None] = {}
    for initials in sorted(initialisms(text)):
        some = initials[:_LONGEST_INITIALS]
        keys |= dict.fromkeys([f"={initials}", f"~{''.join(sorted(some))}"])
        keys |= dict.fromkeys(f"<{some[:size]}" for size in range(2, len(some) + 1))
    return list(keys)


def initials_asked(text: str) -> list[str]:
    """Return the keys that a query may be by `initials_of_name`; none where it is no single short word."""
    letters = squeezed(text)
    if not is_short_word(text):
        return []
    return [f"={letters}", f"<{letters}", f"~{''.join(sorted(letters))}"]


def is_short_word(text: str) -> bool:
    """Tell whether a query may be made of the beginnings of words: one word, or letters with full stops."""
    return 2 <= len(squeezed(text)) <= _LONGEST_INITIALS and len(text.split()) == 1


def beginnings_of_name(text: str) -> list[str]:
    """Return the first two and three letters of each word of a name."""
    return list(dict.fromkeys(word[:size] for word in words_of(text) for size in (2, 3) if len(word) >= size))


def beginnings_asked(text: str) -> list[str]:
    """Return all runs of two and three letters of a short query: beginnings of words, if it was made of them."""
    if not is_short_word(text):
        return []
    letters = squeezed(text)
    runs = (letters[at : at + size] for size in (2, _LONGEST_BEGINNING) for at in range(len(letters) - size + 1))
    return list(dict.fromkeys(runs))


def large_words(text: str) -> list[str]:
    """Return the words of a name without its small ones; all where it has no others."""
    words = words_of(text)
    return [word for word in words if word not in _SMALL_WORDS] or words


def in_order(letters: str, words: list[str]) -> tuple[int, int]:
    """Return how many letters, from the first, are beginnings of words in their order, and of how many words.

    The second is 0 unless all letters are: "kubsu" is ("kub", "s", "u") of kuban state university.
    """
    reached = {0: 0}
    for word in words:
        further = dict(reached)
        for place, used in reached.items():
            taken = 0
            while taken < len(word) and place + taken < len(letters) and word[taken] == letters[place + taken]:
                taken += 1
                further[place + taken] = max(further.get(place + taken, 0), used + 1)
        reached = further
    return max(reached), reached.get(len(letters), 0)


def in_any_order(letters: str, words: list[str]) -> int:
    """Return of how many words all letters are beginnings, each word once, in any order; 0 where they are not."""
    some = words[:8]
    best = 0
    waiting: list[tuple[int, int, int]] = [(0, 0, 0)]  # letters read, words used (bits), how many
    seen = set()
    while waiting:
        place, used, count = waiting.pop()
        if place == len(letters):
            best = max(best, count)
            continue
        for number, word in enumerate(some):
            if used >> number & 1:
                continue
            taken = 0
            while taken < len(word) and place + taken < len(letters) and word[taken] == letters[place + taken]:
                taken += 1
                state = (place + taken, used | 1 << number, count + 1)
                if state not in seen:
                    seen.add(state)
                    waiting.append(state)
    return best
