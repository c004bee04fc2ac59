"""Sentences with two entities and their relation: where the entities stand, and a sentence with others in their place.

Entities are found by their offsets and never by their letters: "Jordan" the player is not "Jordan" the country.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from honed.core.text import bare, fold
from honed.data.split import SplitConfig, assign, draw_dev, withhold_leaks

Span = tuple[int, int]
_TAG = re.compile(r"<(?P<end>/?)e(?P<side>[12])>")
TACRED_ENDS = frozenset({"subj_end", "obj_end"})
SIDES = ("head", "tail")


class SpanError(Exception):
    """Offsets that do not fit their sentence; ``side`` is "head" or "tail"."""

    def __init__(self, side: str, reason: str) -> None:
        super().__init__(reason)
        self.side, self.reason = side, reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """A sentence with all mentions of its two entities, as character offsets with exclusive ends, in their order."""

    sentence_id: str
    text: str
    head: tuple[Span, ...]
    tail: tuple[Span, ...]
    relation: str
    head_type: str = ""
    tail_type: str = ""
    split: str = "train"

    def entity(self, side: str) -> str:
        """Return an entity's text, of a mention within the sentence where there is one: no capital by place."""
        spans: tuple[Span, ...] = getattr(self, side)
        start, end = next((span for span in spans if span[0] > 0), spans[0])
        return self.text[start:end]

    def kind(self, side: str) -> str:
        """Return the type of an entity: the given one, or what its letters show: a number, a name, a common word."""
        stated: str = getattr(self, f"{side}_type")
        if stated:
            return stated
        text = self.entity(side)
        if any(letter.isdigit() for letter in text):
            return "number"
        return "name" if any(letter.isupper() for letter in text) else "word"

    def frame(self) -> frozenset[str]:
        """Return the distinct words around the entities, folded: equal where sentences differ in entities alone."""
        return frozenset(bare(self.swapped("", "")).split())

    def swapped(self, head: str, tail: str) -> str:
        """Return the sentence with other entities at every mention, in the case of their places."""
        text = self.text
        places = [(*span, head) for span in self.head] + [(*span, tail) for span in self.tail]
        for start, end, new in sorted(places, reverse=True):
            text = text[:start] + in_place(new, self.text, start) + text[end:]
        return text

    def without_overlap(self) -> "Sentence | None":
        """Return the sentence without mentions that overlap earlier ones; None where an entity has no mention left."""
        kept: dict[str, list[Span]] = {"head": [], "tail": []}
        for side in SIDES:
            for start, end in getattr(self, side):
                taken = [*kept["head"], *kept["tail"]]
                if all(end <= other[0] or start >= other[1] for other in taken):
                    kept[side].append((start, end))
        if not (kept["head"] and kept["tail"]):
            return None
        return replace(self, head=tuple(kept["head"]), tail=tuple(kept["tail"]))


def in_place(new: str, text: str, start: int) -> str:
    """Return an entity as it is written at a place: a capital at the start, and the case of a text that has but one."""
    if text.islower():
        return new.lower()
    if text.isupper():
        return new.upper()
    return new[:1].upper() + new[1:] if start == 0 and text[:1].isupper() else new


# -- from a row to characters --------------------------------------------------------------------


def placed(
    values: Mapping[str, object], columns: Mapping[str, str], offsets: str, ends: str = "auto"
) -> tuple[object, dict[str, list[Span]]]:
    """Return the text of a row and its spans by side in characters.

    The text may be a list of tokens, which are then joined by blanks. An entity is given by ``head`` (all mentions:
    lists of token numbers, or pairs of character offsets) or by ``head_start`` and ``head_end``. With ``ends``
    "inclusive" an end is that of the last token or character, with "exclusive" the place after it; "auto" takes the
    ends of token offsets in columns that are called as TACRED's as inclusive, and all others as exclusive.

    Without columns for them entities stand in SemEval's tags, ``<e1>`` and ``<e2>``.

    Raises `SpanError` for offsets that are none or lie outside the text. A text that is none is returned as it is.
    """
    text = values.get(columns["text"])
    tokens: list[str] = []
    if isinstance(text, list) and all(isinstance(token, str) for token in text):
        tokens, text = text, " ".join(text)
        if offsets == "auto":
            offsets = "token"
    if not isinstance(text, str):
        return text, {}
    if not any(role.startswith(SIDES) for role in columns if role not in ("head_type", "tail_type")):
        return _tagged(text)
    if offsets == "token" and not tokens:
        tokens = text.split(" ")
    starts = [0]
    for token in tokens:
        starts.append(starts[-1] + len(token) + 1)
    spans = {}
    by_token = offsets == "token"
    if ends == "auto":
        ends = "inclusive" if by_token and columns.get("head_end") in TACRED_ENDS else "exclusive"
    for side in SIDES:
        places = _mentions(values, columns, side, by_token=by_token)
        if ends == "inclusive" and side not in columns:
            places = [(start, end + 1) for start, end in places]
        length = len(tokens) if offsets == "token" else len(text)
        unit = "tokens" if offsets == "token" else "characters"
        for start, end in places:
            if not 0 <= start < end <= length:
                advice = "" if side in columns else _ends_advice(start, end, length, ends)
                raise SpanError(side, f"the {side} stands at {start} to {end} of {length} {unit}{advice}")
        if offsets == "token":
            places = [(starts[start], starts[end] - 1) for start, end in places]
        if any(not text[start:end].strip() for start, end in places):
            raise SpanError(side, f"the {side} is blank")
        spans[side] = sorted(set(places))
    return text, spans


def _tagged(text: str) -> tuple[str, dict[str, list[Span]]]:
    """Return a text without SemEval's tags ``<e1>`` and ``<e2>``, which hold the head and the tail, and its spans."""
    plain, place = "", 0
    spans, opened = dict[str, list[Span]](), dict[str, int]()
    for tag in _TAG.finditer(text):
        plain += text[place : tag.start()]
        place = tag.end()
        if not tag["end"]:
            opened[tag["side"]] = len(plain)
        elif tag["side"] in opened:
            side = SIDES[int(tag["side"]) - 1]
            spans.setdefault(side, []).append((opened.pop(tag["side"]), len(plain)))
    plain += text[place:]
    for number, side in enumerate(SIDES, 1):
        if not any(plain[start:end].strip() for start, end in spans.get(side, [])):
            raise SpanError("text", f"the {side} stands in no tags: expected <e{number}> and </e{number}>")
    return plain, spans


def _ends_advice(start: int, end: int, length: int, ends: str) -> str:
    """Return what to set where the ends of offsets seem to be of the other kind."""
    if ends == "exclusive" and start == end:
        return '; ends are taken as exclusive: for those of the last token or character set  ends = "inclusive"'
    if ends == "inclusive" and end == length + 1:
        return '; ends are taken as inclusive, as TACRED has them: otherwise set  ends = "exclusive"'
    return ""


def _mentions(values: Mapping[str, object], columns: Mapping[str, str], side: str, *, by_token: bool) -> list[Span]:
    if column := columns.get(side):
        lists = _offset_lists(values.get(column))
        if not lists:
            raise SpanError(side, f"expected the mentions of the {side} as lists of offsets")
        if by_token:
            return [(min(offsets), max(offsets) + 1) for offsets in lists]
        if any(len(offsets) != 2 for offsets in lists):
            raise SpanError(side, f"a mention of the {side} is no pair of start and end")
        return [(start, end) for start, end in lists]
    ends = [_whole(values.get(columns.get(f"{side}_{which}", ""))) for which in ("start", "end")]
    if ends[0] is None or ends[1] is None:
        raise SpanError(side, f"start and end of the {side} are no whole numbers")
    return [(ends[0], ends[1])]


def _offset_lists(value: object) -> list[list[int]]:
    """Return lists of whole numbers, none of them empty, of a value or of its JSON; an empty list for anything else.

    An object is one of few_rel's (``indices``) or of OpenNRE's (``pos``: first token, and the one after the last).
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return []
    if isinstance(value, dict):
        if "indices" not in value:
            first, end = _pair(value.get("pos"))
            value = [list(range(first, end))]
        else:
            value = value["indices"]
    lists = []
    for mention in value if isinstance(value, list) else []:
        numbers = [_whole(item) for item in mention] if isinstance(mention, list) else []
        offsets = [number for number in numbers if number is not None]
        if not offsets or len(offsets) != len(numbers):
            return []
        lists.append(offsets)
    return lists


def _pair(value: object) -> tuple[int, int]:
    ends = [_whole(item) for item in value] if isinstance(value, list) and len(value) == 2 else []
    return (ends[0] or 0, ends[1] or 0) if ends and None not in ends else (0, 0)


def _whole(value: object) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_sentences(records: Iterable[Mapping[str, str]], split: SplitConfig, *, given: bool) -> list[Sentence]:
    """Return the sentences of an import, each with its split: as given, or drawn by relation.

    Where given splits have train and test alone, dev is drawn of train's relations. Of given splits a sentence whose
    text stands in a later one too is "withheld", or refused: see `SplitConfig`.
    """
    rows = list(records)
    sides = {str(number): row["split"] for number, row in enumerate(rows)} if given else {}
    withhold_leaks(sides, {number: fold(rows[int(number)]["text"]) for number in sides}, split.on_leak)
    if {"train", "test"} <= set(sides.values()) and "dev" not in sides.values():
        train = {number: rows[int(number)]["relation"] for number, side in sides.items() if side == "train"}
        dev = draw_dev(dict.fromkeys(train.values()), split, fewest=2)
        sides |= {number: "dev" for number, relation in train.items() if relation in dev}
    drawn = {} if given else assign(dict.fromkeys(row["relation"] for row in rows), split)
    return [
        Sentence(
            sentence_id=row["id"] or f"s{number}",
            text=row["text"],
            head=_spans(row["head"]),
            tail=_spans(row["tail"]),
            relation=row["relation"],
            head_type=row["head_type"],
            tail_type=row["tail_type"],
            split=sides[str(number)] if given else drawn[row["relation"]],
        )
        for number, row in enumerate(rows)
    ]


def _spans(text: str) -> tuple[Span, ...]:
    return tuple((start, end) for start, end in json.loads(text))
