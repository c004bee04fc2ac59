"""Explanations as data, the JSON of page, picture and API: what one or several models see in two texts."""

from html import escape

import msgspec


class ExplainedText(msgspec.Struct, frozen=True, kw_only=True):
    """One of two texts: its words, their places ``(start, end)`` in characters, and what each adds to the cosine.

    ``contributions`` ``(n_words,)`` and ``rest``, what the reference without any word has already, sum to the cosine.
    ``attention`` ``(n_layers, n_heads, n_tokens, n_tokens)`` is from row to column of ``pieces``, None for more than 64
    tokens; ``received`` ``(n_words,)`` is what each word receives in the last layer. ``curves`` check the
    contributions: the cosine at the shares `Explanation.points` of words taken away ("deletion") or put in
    ("insertion"), in the order of contributions ("attribution"), of attention and at random.
    """

    text: str
    words: list[str]
    places: list[tuple[int, int]]
    contributions: list[float]
    rest: float
    pieces: list[str]
    attention: list[list[list[list[float]]]] | None
    received: list[float]
    curves: dict[str, dict[str, list[float]]]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What one model sees in two texts, a query and a document.

    ``cosine`` is that of search, in [-1, 1]. ``pairs`` ``(n_words_a, n_words_b)`` is what each pair of words adds to
    it; they and ``pairs_rest`` sum to the cosine.
    """

    name: str
    cosine: float
    texts: list[ExplainedText]
    pairs: list[list[float]]
    pairs_rest: float
    points: list[float]


class ExplanationSet(msgspec.Struct, frozen=True, kw_only=True):
    """Explanations of the same two texts by several models, side by side."""

    models: list[Explanation]

    def _repr_html_(self) -> str:
        return "".join(
            f"<p><b>{escape(model.name)}</b>: cosine {model.cosine:.3f}</p>"
            + "".join(f"<p>{_marked_words(text)}</p>" for text in model.texts)
            for model in self.models
        )


def _marked_words(text: ExplainedText) -> str:
    """Return a text as HTML: green words add to the cosine, red ones take from it, the stronger the more."""
    most = max((abs(value) for value in text.contributions), default=0.0) or 1.0
    shown, end = "", 0
    for (start, stop), value in zip(text.places, text.contributions, strict=True):
        colour = f"rgba({'46,160,67' if value > 0 else '218,54,51'},{0.7 * abs(value) / most:.2f})"
        word = f'<span style="background:{colour}" title="{value:+.3f}">{escape(text.text[start:stop])}</span>'
        shown, end = shown + escape(text.text[end:start]) + word, stop
    return shown + escape(text.text[end:])
