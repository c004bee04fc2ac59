"""Names of other scripts in Latin letters, and what of them is left when vowels are taken away.

Romanisation is by code point (the library anyascii): names that were carried over by their sound come near to how they
are written in Latin letters, "Московский" to "moskovskiy". Vowels differ most, and Arabic and Hebrew write few of
them, so the consonants are compared as well, those that sound alike as one.
"""

import re

from honed.core.optional import require
from honed.core.text import fold
from honed.index.analysis import letter_grams

ROMANISATION = "names of other scripts"  # of the optional parts
_SIGNS, _APOSTROPHES = re.compile(r"[^a-z0-9]+"), re.compile(r"['`’ʻʼ]+")
_FIRST_VOWELS = re.compile(r"\b[aeiouhy]+")
# several letters for one sound: kh, and the hissing sounds that scripts tell apart in many ways
_SOUNDS = (
    (re.compile(r"ph"), "f"),
    (re.compile(r"tch|sch|sh|zh|ch|ts|tz"), "s"),
    (re.compile(r"c(?=[eiy])"), "s"),
    (re.compile(r"kh"), "k"),
)
_ALIKE, _VOWELS = str.maketrans("bvcgqxjzd", "pfkkkksst", "h"), str.maketrans("", "", "aeiouyw")
_TWICE = re.compile(r"(\D)\1+")


def romanised(text: str) -> str:
    """Return a text in lower-case Latin letters and digits, other signs as blanks.

    >>> romanised("Московский университет"), romanised("Tromsø")
    ('moskovskiy universitet', 'tromso')
    """
    folded = fold(text)
    if not folded.isascii():
        require(ROMANISATION)
        from anyascii import anyascii

        folded = anyascii(folded).lower()
    return _SIGNS.sub(" ", _APOSTROPHES.sub("", folded)).strip()


def consonants(text: str) -> str:
    """Return the consonants of a romanised text, those that sound alike as one, and "0" for a vowel that begins a word.

    >>> consonants("Кембридж"), consonants("Cambridge")
    ('kmprts', 'kmprtk')
    """
    plain = _FIRST_VOWELS.sub("0", romanised(text))
    for pattern, sound in _SOUNDS:
        plain = pattern.sub(sound, plain)
    return _TWICE.sub(r"\1", plain.translate(_ALIKE)).translate(_VOWELS)


def romanised_grams(text: str) -> list[str]:
    """Return the letter n-grams of a romanised text, see `honed.index.analysis.letter_grams`."""
    return letter_grams(romanised(text))


def consonant_grams(text: str) -> list[str]:
    """Return the n-grams of the consonants of a text; a bare vowel tells nothing alone."""
    return letter_grams(consonants(text))
