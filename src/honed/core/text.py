"""What honed considers the same text: folding, emptiness, scripts, acronyms."""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from honed.core.optional import require

if TYPE_CHECKING:
    import regex

_SPACES = re.compile(r"\s+")
_WORDS = re.compile(r"\w+")
_PHRASES, _SPELLED = re.compile(r"[^\w\s'-]+"), re.compile(r"[^\W\d_][\w'-]*\w")
# what Unicode calls default-ignorable: signs that change no text that is seen (DerivedCoreProperties.txt)
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_INVISIBLE_CATEGORIES = frozenset({"Cf", "Cc", "Zs", "Zl", "Zp"})
_INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0") | {chr(code) for code in range(0xFE00, 0xFE10)}  # fillers
# combining classes of marks that make another letter: none, nukta, kana voicing, virama, Thai, Lao and Tibetan signs
_LETTER_MARKS = frozenset({0, 7, 8, 9, 103, 107, 118, 122, 129, 130, 132})
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_OWN_NAMES = """
LATIN CYRILLIC GREEK ARABIC HEBREW HANGUL ARMENIAN GEORGIAN ETHIOPIC DEVANAGARI BENGALI GURMUKHI GUJARATI ORIYA TAMIL
TELUGU KANNADA MALAYALAM SINHALA THAI LAO KHMER MYANMAR TIBETAN MONGOLIAN
"""
# the first word of a letter's name in Unicode -> its script
_SCRIPTS = {name: name.lower() for name in _OWN_NAMES.split()} | {
    "CJK": "han",
    "IDEOGRAPHIC": "han",
    "HIRAGANA": "kana",
    "KATAKANA": "kana",
    "KATAKANA-HIRAGANA": "kana",
}


def fold(text: str) -> str:
    """Return the key under which two strings count as the same: Unicode's NFKC_Casefold, blanks collapsed.

    What cannot be seen in a text (zero-width signs, marks of direction, soft hyphens) makes no difference.

    >>> fold("  Ｒefund ") == fold("refund") == fold("re\u00adfund\u200b")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not folded.isascii():
        folded = unicodedata.normalize("NFKC", visible(folded))
    return _SPACES.sub(" ", folded).strip()


def visible(text: str) -> str:
    """Return a text without the characters that Unicode calls default-ignorable."""
    return text if text.isascii() else _IGNORABLE.sub("", text)


def as_seen(text: str) -> str:
    """Return a text as it looks: composed letters, single blanks, without what cannot be seen; case is kept."""
    return _SPACES.sub(" ", visible(unicodedata.normalize("NFC", text))).strip()


def fold_accents(text: str) -> str:
    """Return ``fold(text)`` without accents, so that "México" meets "mexico".

    Marks that make another letter stay: voiced kana, vowel signs and viramas of Indic scripts, tones of Thai and Lao.
    """
    folded = fold(text)
    if folded.isascii():
        return folded
    decomposed = unicodedata.normalize("NFKD", folded)
    kept = "".join(char for char in decomposed if unicodedata.combining(char) in _LETTER_MARKS)
    return unicodedata.normalize("NFC", kept)


def words(text: str) -> list[str]:
    """Return the words of ``fold_accents(text)``: runs of letters, digits and underscores; marks stay in their word."""
    folded = fold_accents(text)
    if folded.isascii():
        return _WORDS.findall(folded)
    found: list[str] = _patterns().words.findall(folded)
    return found


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return where the words of a text stand, as start and end in characters; for what a word is see `words`."""
    pattern = _WORDS if text.isascii() else _patterns().words
    return [found.span() for found in pattern.finditer(text)]


def terms(text: str) -> list[str]:
    """Return the words of a text, those of scripts that set no blanks as pairs of neighbouring signs.

    As Lucene's CJKBigramFilter does for Han, kana and Hangul; Thai, Lao, Khmer and Burmese likewise, by what is seen as
    one sign. A sign alone stands for itself.

    >>> terms("Hotels in 東京都")
    ['hotels', 'in', '東京', '京都']
    """
    found = []
    for word in words(text):
        found += [word] if word.isascii() else _pairs_of_signs(word)
    return found


def _pairs_of_signs(word: str) -> list[str]:
    patterns, found = _patterns(), []
    for part in patterns.parts.findall(word):
        if not patterns.unspaced.match(part):
            found.append(part)
            continue
        signs = patterns.signs.findall(part)
        found += ["".join(pair) for pair in pairwise(signs)] or signs
    return found


def phrases(text: str) -> list[tuple[str, list[str]]]:
    """Return the phrases of a text, which punctuation parts, each with its words of two letters or more as written.

    Words hold apostrophes and hyphens; those of scripts that set no blanks are pairs of signs, as `terms` has them.

    >>> phrases("don't stop, 東京都")
    [("don't stop", ["don't", 'stop']), (' 東京都', ['東京', '京都'])]
    """
    if text.isascii():
        return [(phrase, _SPELLED.findall(phrase)) for phrase in _PHRASES.split(text)]
    patterns = _patterns()
    return [(phrase, _spelled(patterns.spelled.findall(phrase))) for phrase in patterns.phrases.split(text)]


def _spelled(found: list[str]) -> list[str]:
    """Return words as they are, and of those in scripts without blanks the pairs of signs."""
    parts = [part for word in found for part in ([word] if not has_unspaced(word) else _pairs_of_signs(word))]
    return [part for part in (part.strip("'-") for part in parts) if len(part) > 1 and part[0].isalpha()]


def has_unspaced(text: str) -> bool:
    """Tell whether a text has letters of a script that sets no blanks between words, see `terms`."""
    return not text.isascii() and _patterns().unspaced.search(text) is not None


class _Patterns(NamedTuple):
    words: "regex.Pattern[str]"
    unspaced: "regex.Pattern[str]"
    parts: "regex.Pattern[str]"
    signs: "regex.Pattern[str]"
    phrases: "regex.Pattern[str]"
    spelled: "regex.Pattern[str]"


@lru_cache(maxsize=1)
def _patterns() -> _Patterns:
    """Return patterns over Unicode's properties; loaded for texts outside of ASCII alone."""
    require("words of every script")
    import regex

    scripts = ("Han", "Hiragana", "Katakana", "Hangul", "Thai", "Lao", "Khmer", "Myanmar")
    unspaced = "".join(rf"\p{{Script_Extensions={name}}}" for name in scripts)
    return _Patterns(
        words=regex.compile(r"[\w\p{M}]+"),
        unspaced=regex.compile(rf"[{unspaced}]"),
        parts=regex.compile(rf"(?:[{unspaced}]\p{{M}}*)+|(?:(?![{unspaced}]).)+"),
        signs=regex.compile(r"\X"),
        phrases=regex.compile(r"[^\w\p{M}\s'-]+"),
        spelled=regex.compile(r"[^\W\d_][\w\p{M}'-]*[\w\p{M}]"),
    )


def bare(text: str) -> str:
    """Return only the words of ``fold_accents(text)``: the key for near-duplicates."""
    return " ".join(words(text))


def is_blank(text: str) -> bool:
    """Tell whether nothing of the text can be seen (blanks, zero-width and control characters)."""
    return all(_is_invisible(char) for char in text)


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) in _INVISIBLE_CATEGORIES or char in _INVISIBLE


def invisible_names(text: str) -> str:
    """Return the code points of the invisible characters of a text, such as ``U+200B U+FEFF``."""
    points = dict.fromkeys(char for char in text if _is_invisible(char))
    return " ".join(f"U+{ord(char):04X}" for char in points)


def bidi_controls(text: str) -> str:
    """Return the code points of bidirectional controls in a text, or an empty string."""
    return " ".join(f"U+{ord(char):04X}" for char in dict.fromkeys(text) if char in _BIDI_CONTROLS)


@lru_cache(maxsize=4096)
def script_of_char(char: str) -> str:
    """Return the script of a letter: latin, cyrillic, han, ..., other."""
    plain = unicodedata.normalize("NFKC", char)[0]  # wide, narrow and mathematical letters are those they stand for
    return _SCRIPTS.get(unicodedata.name(plain, "").split(" ", 1)[0], "other")


def script(text: str) -> str:
    """Return the script of most letters: latin, cyrillic, han, ..., other; "none" without letters.

    A text may mix scripts ("IBM研究所"): what most of its letters are written in is what a model has to read. Of as
    many letters of each the script that is not Latin counts, since its letters say more (a sign of Han is a word), and
    then the one that comes first.

    >>> script("Université"), script("МГУ (MSU)"), script("IBM研究所")
    ('latin', 'cyrillic', 'han')
    """
    counts: dict[str, int] = {}
    for char in text:
        if char.isalpha():
            name = "latin" if char.isascii() else script_of_char(char)
            counts[name] = counts.get(name, 0) + 1
    return max(counts, key=lambda name: (counts[name], name != "latin")) if counts else "none"


def is_other_script(text: str) -> bool:
    """Tell whether a text is written in another script than Latin, see `script`."""
    return not text.isascii() and script(text) not in ("latin", "none")


def looks_like_acronym(text: str) -> bool:
    """Tell whether a name looks like initials: one word of 2 to 10 letters, half or more of them capitals.

    An all-lower-case word of up to 5 letters without a full stop counts too when it has no vowel pattern
    of a word ("ucla" does not, "udlap" may not: the rule errs on the side of "no").
    """
    word = text.strip()
    if not word or any(char.isspace() for char in word):
        return False
    letters = [char for char in word if char.isalpha()]
    if not 2 <= len(letters) <= 10:
        return False
    capitals = sum(char.isupper() for char in letters)
    if capitals >= 2:
        return capitals / len(letters) >= 0.5
    plain = word.replace(".", "").lower()
    return capitals == 0 and plain.isascii() and len(letters) <= 5 and not re.search(r"[aeiouy]", plain)
