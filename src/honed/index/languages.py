"""Which language texts are in, and the stemmer that goes with each script."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

from honed.core.optional import require
from honed.core.text import script

AUTO, UNSTEMMED = "auto", "none"
# Snowball's stemmers, "auto", and "none" for words as they are
# fmt: off
LANGUAGES = (
    "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "finnish", "french", "german", "greek",
    "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali", "norwegian", "porter", "portuguese",
    "romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish", "yiddish", "auto", "none",
)
# fmt: on
# ISO 639-1 code -> Snowball's stemmer
_CODES = {
    "ar": "arabic",
    "hy": "armenian",
    "eu": "basque",
    "ca": "catalan",
    "da": "danish",
    "nl": "dutch",
    "en": "english",
    "fi": "finnish",
    "fr": "french",
    "de": "german",
    "el": "greek",
    "hi": "hindi",
    "hu": "hungarian",
    "id": "indonesian",
    "ga": "irish",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nb": "norwegian",
    "no": "norwegian",
    "nn": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "es": "spanish",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}  # fmt: skip
_OF_SCRIPT = {"cyrillic": "russian", "greek": "greek", "arabic": "arabic", "devanagari": "hindi"}
_SAMPLE, _CHARS = 400, 300


def language_name(language: str) -> str:
    """Return one of `LANGUAGES` that a name or an ISO 639-1 code stands for; empty for another."""
    name = _CODES.get(language.lower(), language.lower())
    return name if name in LANGUAGES else ""


def resolved(language: str, texts: Sequence[str]) -> str:
    """Return a language as `stemmer` takes it: itself, or for "auto" the commonest of the texts in Latin letters.

    Of several, joined by "+", each.
    """
    if "+" in language:
        return "+".join(resolved(part, texts) for part in language.split("+"))
    if language != AUTO:
        return language
    require("language detection")
    import py3langid

    step = max(1, len(texts) // _SAMPLE)
    latin = [text[:_CHARS] for text in texts[::step] if script(text) == "latin"]
    counts: Counter[str] = Counter()
    for text in latin[:_SAMPLE]:
        name = _CODES.get(py3langid.classify(text)[0])
        if name:
            counts[name] += len(text)  # long texts tell their language better than names do
    best = max(counts, key=lambda name: (counts[name], name)) if counts else "english"
    return f"{AUTO}:{best}"


def stemmer(language: str) -> Callable[[str], str]:
    """Return what stems a word: of one language, or with "auto:LANGUAGE" of the word's script, that one for Latin.

    A `KeyError` for a language that Snowball has none for.
    """
    import Stemmer

    if language == UNSTEMMED:
        return str
    kind, _, latin = language.partition(":")
    if kind != AUTO:
        stem: Callable[[str], str] = Stemmer.Stemmer(language).stemWord
        return stem
    stems = {name: Stemmer.Stemmer(own).stemWord for name, own in _OF_SCRIPT.items()}
    stems["latin"] = stems["none"] = Stemmer.Stemmer(latin or "english").stemWord

    def stem_by_script(word: str) -> str:
        known = stems.get(_script(word))
        return str(known(word)) if known else word

    return stem_by_script


@lru_cache(maxsize=65536)
def _script(word: str) -> str:
    return script(word)
