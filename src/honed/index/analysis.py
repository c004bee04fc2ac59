"""Text to terms: words, character n-grams, initials and the beginnings of words.

Needs the standard library alone, and a stemmer where words are stemmed.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from honed.core.json import Json, JsonObject
from honed.core.optional import require
from honed.core.plain import as_text, as_texts
from honed.core.text import fold_accents, terms, words
from honed.index.languages import AUTO, UNSTEMMED, resolved, stemmer

_LONGEST_INITIALS, _LONGEST_BEGINNING = 12, 3
# fmt: off
_SMALL_WORDS = frozenset([
    "a", "an", "and", "at", "for", "in", "of", "on", "the", "to", "da", "das", "de",
    "del", "della", "der", "des", "di", "do", "dos", "du", "e", "el", "fur", "i", "il",
    "la", "las", "le", "les", "lo", "los", "och", "og", "und", "van", "von", "y", "zu",
])
# fmt: on
# those of Lucene's EnglishAnalyzer: what they leave out tells texts apart
LUCENE_STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "but",
        "by",
        "for",
        "if",
        "in",
        "into",
        "is",
        "it",
        "no",
        "not",
        "of",
        "on",
        "or",
        "such",
        "that",
        "the",
        "their",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "was",
        "will",
        "with",
    ]
)
STOP_WORDS = ("lucene", "scikit-learn", "none")
_ENGLISH = ("english", "porter", UNSTEMMED)


def stop_words_of(choice: str, language: str) -> frozenset[str]:
    """Return the stop words of a choice: one of the English lists, or none, as for every other language."""
    if choice == "none" or language.removeprefix(f"{AUTO}:") not in _ENGLISH:
        return frozenset()
    if choice == "lucene":
        return LUCENE_STOP_WORDS
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS)


def words_sentence(language: str, choice: str) -> str:
    """Return in words how BM25 and TF-IDF read words."""
    stemmed = "not stemmed" if language == UNSTEMMED else f"stemmed ({language})"
    n = len(stop_words_of(choice, "english" if language == AUTO else language))
    where = " where the texts are English" if n and language == AUTO else ""
    return f"{stemmed}, {f'without {n} stop words ({choice}){where}' if n else 'stop words kept'}"


def words_of(text: str) -> list[str]:
    """Return the words of a text, case and accents folded."""
    return words(text)


def letters_of(text: str) -> str:
    """Return the letters and digits of a text as one word, case and accents folded: "U.C.I." is "uci"."""
    return "".join(words_of(text))


class Analyzer:
    """Text to terms: case and accents folded, stop words dropped, words stemmed (Snowball).

    ``language`` is one of Snowball's, such as "english", or "none" for words as they are; an unknown one is a
    `KeyError`. Of texts in several, such as "english+german", every word counts as its stem in each. Without
    ``stop_words`` they are Lucene's for English, and none for other languages.
    """

    def __init__(self, language: str = "english", stop_words: Iterable[str] | None = None) -> None:
        require("stemming")
        self.language = language
        self.stop_words = stop_words_of("lucene", language) if stop_words is None else frozenset(stop_words)
        self.stems = [stemmer(name) for name in language.split("+")]

    @classmethod
    def of_texts(cls, language: str, texts: Sequence[str], stop_words: str = "lucene") -> Self:
        """Return the analyzer for some texts; "auto" is their commonest language, and for other scripts their own.

        ``stop_words`` is one of `STOP_WORDS`.
        """
        language = resolved(language, texts)
        return cls(language, stop_words_of(stop_words, language))

    def as_dict(self) -> dict[str, Json]:
        """Return language and stop words as plain data."""
        return {"language": self.language, "stop_words": sorted(self.stop_words)}

    @classmethod
    def of_dict(cls, data: JsonObject) -> Self:
        """Read back what `as_dict` returned."""
        return cls(as_text(data["language"]), as_texts(data["stop_words"]))

    def __call__(self, text: str) -> list[str]:
        """Return the terms of a text, in order."""
        if len(self.stems) == 1:
            return [self.stems[0](word) for word in terms(text) if word not in self.stop_words]
        kept = (word for word in terms(text) if word not in self.stop_words)
        return [term for word in kept for term in dict.fromkeys(stem(word) for stem in self.stems)]


def letter_grams(text: str) -> list[str]:
    """Return the character 2- to 4-grams within the words of a text, each word with a blank before and after it.

    The same as scikit-learn's ``char_wb`` over folded text: a word that is shorter than n stands once, whole.
    """
    grams = []
    for word in fold_accents(text).split():
        padded = f" {word} "
        for size in (2, 3, 4):
            grams += [padded[at : at + size] for at in range(max(1, len(padded) - size + 1))]
            if len(padded) <= size:
                break
    return grams


def initialisms(text: str) -> set[str]:
    """Return the initials of a name: of all its words, and of all but its small words; at least two letters."""
    words = words_of(text)
    of_all = "".join(word[0] for word in words)
    of_large = "".join(word[0] for word in words if word not in _SMALL_WORDS)
    return {initials for initials in (of_all, of_large) if len(initials) >= 2}


def initials_of_name(text: str) -> list[str]:
    """Return keys by which initials find a name: "=" all of them, "<" the first of them, "~" in any order."""
    keys: dict[str, None] = {}
    for initials in sorted(initialisms(text)):
        first = initials[:_LONGEST_INITIALS]
        keys |= dict.fromkeys([f"={initials}", f"~{''.join(sorted(first))}"])
        keys |= dict.fromkeys(f"<{first[:size]}" for size in range(2, len(first) + 1))
    return list(keys)


def initials_of_query(text: str) -> list[str]:
    """Return the keys of `initials_of_name` that a query may stand for; none where it is no single short word."""
    if not is_short_word(text):
        return []
    letters = letters_of(text)
    return [f"={letters}", f"<{letters}", f"~{''.join(sorted(letters))}"]


def is_short_word(text: str) -> bool:
    """Tell whether a query may be made of the beginnings of words: one word of 2 to 12 letters, full stops aside."""
    return 2 <= len(letters_of(text)) <= _LONGEST_INITIALS and len(text.split()) == 1


def beginnings_of_name(text: str) -> list[str]:
    """Return the first two and three letters of each word of a name."""
    return list(dict.fromkeys(word[:size] for word in words_of(text) for size in (2, 3) if len(word) >= size))


def beginnings_of_query(text: str) -> list[str]:
    """Return all runs of two and three letters of a short query, which are beginnings of words if it is made of them.

    None where it is no single short word.
    """
    if not is_short_word(text):
        return []
    letters = letters_of(text)
    runs = (letters[at : at + size] for size in (2, _LONGEST_BEGINNING) for at in range(len(letters) - size + 1))
    return list(dict.fromkeys(runs))


def large_words(text: str) -> list[str]:
    """Return the words of a name without its small ones; all where it has no others."""
    words = words_of(text)
    return [word for word in words if word not in _SMALL_WORDS] or words


def spelled_in_order(letters: str, words: Sequence[str]) -> tuple[int, int]:
    """Return how many letters, from the first, are beginnings of words in their order, and of how many words.

    The second is 0 unless all letters are: "kubsu" is ("kub", "s", "u") of kuban state university.
    """
    used_at = {0: 0}  # letters that are read -> most words that they are the beginnings of
    for word in words:
        further = dict(used_at)
        for place, used in used_at.items():
            for end in _beginning_ends(letters, place, word):
                further[end] = max(further.get(end, 0), used + 1)
        used_at = further
    return max(used_at), used_at.get(len(letters), 0)


def spelled_in_any_order(letters: str, words: Sequence[str]) -> int:
    """Return of how many words all letters are beginnings, each word once, in any order; 0 where they are not.

    Only the first eight words are looked at.
    """
    most = 0
    waiting: list[tuple[int, int, int]] = [(0, 0, 0)]  # letters read, words used (bits), how many
    seen = set()
    while waiting:
        place, used, count = waiting.pop()
        if place == len(letters):
            most = max(most, count)
            continue
        for number, word in enumerate(words[:8]):
            if used >> number & 1:
                continue
            for end in _beginning_ends(letters, place, word):
                state = (end, used | 1 << number, count + 1)
                if state not in seen:
                    seen.add(state)
                    waiting.append(state)
    return most


def _beginning_ends(letters: str, start: int, word: str) -> Iterator[int]:
    """Yield every place at which letters from ``start`` on end that are a beginning of a word, nearest first."""
    for taken, letter in enumerate(word):
        if start + taken == len(letters) or letters[start + taken] != letter:
            return
        yield start + taken + 1
