"""A tokenizer cut down to the pieces that known texts need: these are read as before, by a far smaller vocabulary.

Kept are all pieces that stand anywhere in the words of known texts, whether they were taken there or not: more than
these no model looks at when it reads those texts, so nothing changes for them. And the pieces that lost there are what
other texts of the same kind are likely to need.
"""

import json
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from honed.core.errors import ConfigError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BLOCK = 4096
_MARKS = ("##", "▁", "Ġ")  # what stands before a piece to tell that a word goes on, or begins
Ids = npt.NDArray[np.int64]


class VocabularyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What was left of a vocabulary: ``pieces`` ``of`` so many; of ``unseen`` queries, the share that is ``changed``.

    Changed are queries, none of them a known text, that are read in other pieces than before.
    """

    pieces: int
    of: int
    unseen: int
    changed: float

    def sentence(self) -> str:
        """Return the facts as a sentence."""
        kept = f"{self.pieces:,} of {self.of:,} pieces kept"
        if not self.unseen:
            return kept
        return f"{kept}; {100 * self.changed:.1f} % of {self.unseen:,} queries that are not known are read otherwise"


class SmallerVocabulary(NamedTuple):
    """A tokenizer of fewer pieces, and the id ``(n_pieces,)`` that each of them had before."""

    tokenizer: "Tokenizer"
    old_ids: Ids


def smaller_vocabulary(
    tokenizer: "Tokenizer", texts: Sequence[str], *, keep: Collection[int] = ()
) -> SmallerVocabulary:
    """Return a tokenizer that reads ``texts`` as the given one does, with few pieces besides theirs.

    Kept are also: added and special tokens, the ids ``keep``, and all single signs of the scripts that occur, so that
    any other text of these scripts still has pieces. Neither pads nor cuts. Every known text is read by both. Raises
    `ConfigError` for a kind of model that is not known here, and where a text is read otherwise after all.
    """
    whole = _plain_copy(tokenizer)
    model = _Model.of(whole)
    kept = _used(whole, texts) | model.pieces_within(whole, texts)
    scripts = {_script(char) for number in kept for char in model.pieces.get(number, "")}
    kept |= {number for number, piece in model.pieces.items() if _is_single(piece) and model.in_scripts(piece, scripts)}
    kept |= model.needed | (set(keep) & model.pieces.keys())
    smaller = model.cut(kept)
    if differing := list(_differing(whole, smaller, texts)):
        raise ConfigError(
            "E_VOCABULARY",
            f"the vocabulary cannot be cut: {len(differing)} known texts would be read otherwise, such as "
            f"{differing[0][:80]!r}; keep it whole",
        )
    return smaller


def share_changed(whole: "Tokenizer", smaller: SmallerVocabulary, texts: Sequence[str]) -> float:
    """Return the share, in [0, 1], of texts that the smaller vocabulary reads in other pieces; 0 without texts."""
    return sum(1 for _ in _differing(_plain_copy(whole), smaller, texts)) / max(1, len(texts))


def _plain_copy(tokenizer: "Tokenizer") -> "Tokenizer":
    """Return a copy of a tokenizer that neither pads nor cuts."""
    from tokenizers import Tokenizer

    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_padding()
    copy.no_truncation()
    return copy


def _encoded(tokenizer: "Tokenizer", texts: Sequence[str]) -> Iterator[tuple[str, Ids]]:
    """Yield each text with its ids, special tokens included."""
    for start in range(0, len(texts), _BLOCK):
        block = list(texts[start : start + _BLOCK])
        for text, encoding in zip(block, tokenizer.encode_batch_fast(block), strict=True):
            yield text, np.array(encoding.ids, dtype=np.int64)


def _used(tokenizer: "Tokenizer", texts: Sequence[str]) -> set[int]:
    return {number for _, ids in _encoded(tokenizer, texts) for number in ids.tolist()}


def _differing(whole: "Tokenizer", smaller: SmallerVocabulary, texts: Sequence[str]) -> Iterator[str]:
    """Yield the texts that two tokenizers read in other pieces."""
    pairs = zip(_encoded(whole, texts), _encoded(smaller.tokenizer, texts), strict=True)
    return (text for (text, before), (_, after) in pairs if not np.array_equal(before, smaller.old_ids[after]))


def _script(char: str) -> str:
    """Return what tells the script of a sign: the first word of its name in Unicode."""
    return unicodedata.name(char, "").partition(" ")[0]


def _bare(piece: str) -> str:
    """Return a piece without the mark of where it stands in a word."""
    return next((piece.removeprefix(mark) for mark in _MARKS if piece.startswith(mark)), piece)


def _is_single(piece: str) -> bool:
    return len(_bare(piece)) <= 1


@dataclass(frozen=True)
class _Model:
    """A tokenizer as plain data: ``pieces`` by id, and the ids that are ``needed`` whatever the texts are."""

    data: dict[str, Any]
    pieces: dict[int, str]
    needed: frozenset[int]

    @classmethod
    def of(cls, tokenizer: "Tokenizer") -> "_Model":
        """Read a tokenizer; `ConfigError` for a kind that cannot be cut."""
        data: dict[str, Any] = json.loads(tokenizer.to_str())
        model = data["model"]
        odd = [key for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix") if model.get(key)]
        if model["type"] not in _KINDS or (model["type"] == "BPE" and odd):
            shown = " with ".join([str(model["type"]), *(odd if model["type"] == "BPE" else [])])
            raise ConfigError(
                "E_VOCABULARY", f"vocabulary known: a tokenizer of the kind {shown} cannot be cut; keep it whole"
            )
        listed: Any = model["vocab"]
        numbers = {piece: number for number, (piece, _) in enumerate(listed)} if model["type"] == "Unigram" else listed
        added = {token["content"]: int(token["id"]) for token in data["added_tokens"]}
        needed = set(added.values()) | _needed_numbers(model, numbers, tokenizer)
        pieces = {number: piece for piece, number in {**added, **numbers}.items()}
        return cls(data, pieces, frozenset(needed))

    def in_scripts(self, piece: str, scripts: set[str]) -> bool:
        """Tell whether the sign of a piece is ASCII, of one of the scripts, or of the alphabet of bytes."""
        char = _bare(piece)
        by_bytes = "ByteLevel" in json.dumps([self.data["pre_tokenizer"], self.data["decoder"]])
        return by_bytes or not char or char.isascii() or _script(char) in scripts

    def pieces_within(self, tokenizer: "Tokenizer", texts: Sequence[str]) -> set[int]:
        """Return the ids of all pieces that stand anywhere in the words of some texts."""
        numbers = {piece: number for number, piece in self.pieces.items()}
        longest = max(map(len, numbers))
        prefix = self.data["model"].get("continuing_subword_prefix") or ""
        words = {word for text in texts for word in _words(tokenizer, text)}
        parts = {
            word[start:end]
            for word in words
            for start in range(len(word))
            for end in range(start + 1, min(len(word), start + longest) + 1)
        }
        return {numbers[piece] for part in parts for piece in (part, prefix + part) if piece in numbers}

    def cut(self, kept: set[int]) -> SmallerVocabulary:
        """Return the tokenizer with some of its pieces, in their order; tokens that were only added come last."""
        from tokenizers import Tokenizer

        data = json.loads(json.dumps(self.data))
        if data["model"]["type"] == "BPE":
            merges = _merges_of([self.pieces[number] for number in kept], data["model"]["merges"])
            data["model"]["merges"] = merges
            numbers = data["model"]["vocab"]
            kept = kept | {numbers[part] for left, right in merges for part in (left, right, left + right)}
        own = _own_numbers(data["model"])
        old = sorted(kept & own) + sorted(kept - own)
        new = {number: place for place, number in enumerate(old)}
        _KINDS[data["model"]["type"]](data["model"], new)
        data["added_tokens"] = sorted(
            ({**token, "id": new[token["id"]]} for token in data["added_tokens"]), key=lambda token: int(token["id"])
        )
        data["post_processor"] = _renumbered(data["post_processor"], new)
        tokenizer = Tokenizer.from_str(json.dumps(data, ensure_ascii=False))
        numbers = {token["content"]: token["id"] for token in data["added_tokens"]}
        moved = [token for token, number in numbers.items() if tokenizer.token_to_id(token) != number]
        if moved or tokenizer.get_vocab_size() != len(old):
            raise ConfigError(
                "E_VOCABULARY", f"the vocabulary cannot be cut: {moved[:3] or 'pieces stand twice in it'}"
            )
        return SmallerVocabulary(tokenizer, np.array(old, dtype=np.int64))


def _words(tokenizer: "Tokenizer", text: str) -> list[str]:
    """Return the words of a text as the model of a tokenizer gets them."""
    normal = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
    if tokenizer.pre_tokenizer is None:
        return [normal]
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal)]


def _needed_numbers(model: dict[str, Any], numbers: dict[str, int], tokenizer: "Tokenizer") -> set[int]:
    """Return ids that are needed whatever is read: unknown text, bytes, the sentence's ends, the lowest score.

    A Unigram model rates what no piece fits by its lowest score, so the piece that has it stays.
    """
    needed = {number for piece, number in numbers.items() if piece.startswith("<0x") and piece.endswith(">")}
    if model.get("unk_token") in numbers:
        needed.add(numbers[model["unk_token"]])
    if model["type"] == "Unigram":
        scores = [score for _, score in model["vocab"]]
        needed.add(int(np.argmin(scores)))
        needed |= {model["unk_id"]} if model["unk_id"] is not None else set()
    return needed | set(tokenizer.encode("").ids)


def _own_numbers(model: dict[str, Any]) -> set[int]:
    """Return the ids of the model's own vocabulary."""
    return set(range(len(model["vocab"]))) if model["type"] == "Unigram" else set(model["vocab"].values())


def _cut_list(model: dict[str, Any], new: dict[int, int]) -> None:
    """Cut the scored pieces of a Unigram model; the order, which is that of ids, stays."""
    model["vocab"] = [entry for number, entry in enumerate(model["vocab"]) if number in new]
    if model["unk_id"] is not None:
        model["unk_id"] = new[model["unk_id"]]


def _cut_table(model: dict[str, Any], new: dict[int, int]) -> None:
    """Cut a table from piece to id."""
    model["vocab"] = {piece: new[number] for piece, number in model["vocab"].items() if number in new}


_KINDS = {"Unigram": _cut_list, "WordPiece": _cut_table, "WordLevel": _cut_table, "BPE": _cut_table}


def _merges_of(pieces: Sequence[str], merges: Sequence[Sequence[str] | str]) -> list[list[str]]:
    """Return the merges that make some pieces of their signs, in the order of their ranks."""
    pairs = [tuple(merge.split(" ", 1)) if isinstance(merge, str) else tuple(merge) for merge in merges]
    ranks = {pair: rank for rank, pair in enumerate(pairs)}
    applied: set[int] = set()
    for piece in pieces:
        parts = list(piece)
        while len(parts) > 1:
            rank, place = min((ranks.get(pair, len(ranks)), at) for at, pair in enumerate(pairwise(parts)))
            if rank == len(ranks):  # no merge makes it: a token that was added
                break
            applied.add(rank)
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return [list(pairs[rank]) for rank in sorted(applied)]


def _renumbered(processor: Any, new: dict[int, int]) -> Any:
    """Return a post-processor with other ids: of the tokens before and after a text."""
    if isinstance(processor, list):
        return [_renumbered(part, new) for part in processor]
    if not isinstance(processor, dict):
        return processor
    changed = {}
    for key, value in processor.items():
        if key in ("sep", "cls") and isinstance(value, list):
            changed[key] = [value[0], new[value[1]]]
        elif key == "ids" and isinstance(value, list):
            changed[key] = [new[number] for number in value]
        else:
            changed[key] = _renumbered(value, new)
    return changed
