"""Variants of a text, as people type them: more texts for a student to learn the teacher's vectors of."""

import random


def text_variants(text: str, n: int, seed: int) -> list[str]:
    """Return up to ``n`` variants of a text: a word left out, two words swapped, a typing slip, cut short, initials,
    lower case; not the text itself.

    The same text and seed always give the same variants.
    """
    draw = random.Random(f"{seed}:{text}")  # noqa: S311 - not for secrets
    edits = (_without_a_word, _with_swapped_words, _with_typing_slip, _cut_short, _initials, _lower_case)
    variants = [edit(text, draw) for edit in draw.choices(edits, k=n)]
    return [variant for variant in dict.fromkeys(variants) if variant.strip() and variant != text]


def _without_a_word(text: str, draw: random.Random) -> str:
    words = text.split()
    if len(words) > 1:
        words.pop(draw.randrange(len(words)))
    return " ".join(words)


def _with_swapped_words(text: str, draw: random.Random) -> str:
    words = text.split()
    if len(words) > 1:
        place = draw.randrange(len(words) - 1)
        words[place : place + 2] = words[place + 1], words[place]
    return " ".join(words)


def _with_typing_slip(text: str, draw: random.Random) -> str:
    """Swap two neighbouring characters, or leave one out."""
    if len(text) < 4:
        return text
    place = draw.randrange(1, len(text) - 1)
    swap = draw.random() < 0.5
    return text[:place] + (text[place + 1] + text[place] if swap else "") + text[place + 1 + swap :]


def _cut_short(text: str, draw: random.Random) -> str:
    words = text.split()
    return " ".join(words[: draw.randint(1, len(words))]) if words else text


def _initials(text: str, draw: random.Random) -> str:
    return "".join(word[0] for word in text.split()).upper()


def _lower_case(text: str, draw: random.Random) -> str:
    return text.lower()
