"""What each word adds to the cosine of two texts, exactly: integrated gradients, and between the texts word by word.

Every word embedding is led from a reference (padding, which says nothing) to its own value. The change of the text's
vector on the way, split by the word that caused it, is that word's part: a vector of the same width. Parts sum to the
whole change, and a cosine is linear in each text's vector, so that parts give both the contribution of a word to a
cosine (integrated gradients, Sundararajan et al. 2017, arXiv 1703.01365) and of a pair of words, one of each text
(integrated Jacobians, Möller et al. 2023, arXiv 2310.05703). They are found by forward-mode differentiation, one
direction a word, and not by a Jacobian of the whole model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.autograd import forward_ad

from honed.core.errors import ConfigError, DataError
from honed.core.protocols import Role
from honed.encode.torch_encoder import TorchEncoder
from honed.explain.config import REFERENCES

Floats = npt.NDArray[np.float32]
_TOKENS_A_BATCH = 6144


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word of a text: its characters, and its first and last token (exclusive) among those the model reads."""

    text: str
    start: int
    end: int
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class Read:
    """A text as the model reads it: token ids and pieces ``(n_tokens,)``, and its words."""

    text: str
    ids: npt.NDArray[np.int64]
    pieces: list[str]
    words: list[Word]

    def by_word(self, values: Any) -> Any:
        """Return sums over each word's tokens of values ``(n_tokens, ...)``."""
        return np.stack([values[word.first : word.last].sum(axis=0) for word in self.words])

    def without(self, rows: Sequence[int] | set[int]) -> str:
        """Return the text without some of its words, blanks closed up."""
        gone, kept, at = set(rows), [], 0
        for row, word in enumerate(self.words):
            if row in gone:
                kept.append(self.text[at : word.start])
                at = word.end
        return " ".join("".join([*kept, self.text[at:]]).split())


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A text's unit vector ``(dim,)``, that of its reference, and each word's part ``(n_words, dim)`` of the change."""

    read: Read
    vector: Floats
    reference: Floats
    parts: Floats


class Explainer:
    """Takes the vectors of a transformer apart. ``steps`` are points of the integral, ``reference`` where it starts."""

    def __init__(self, encoder: TorchEncoder, *, steps: int = 16, reference: str = "pad") -> None:
        """Take over an encoder in fp32, which from then on runs padded and with plain attention.

        Raises `ConfigError` for a model that is no transformer, whose tokens have a fixed vector each.
        """
        if encoder.static or not hasattr(encoder.model[0], "model"):
            raise ConfigError(
                "E_EXPLAIN", "the model adds up one fixed vector for each token: nothing in it looks from word to word"
            )
        self.encoder, self.steps = encoder, steps
        self.transformer: Any = encoder.model[0].model
        encoder.packed = False
        self.transformer.set_attn_implementation("eager")
        self.embedding: Any = self.transformer.get_input_embeddings()
        self.reference = self._reference(reference)
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        self.nodes = torch.tensor((nodes + 1) / 2, dtype=torch.float32)
        self.weights = torch.tensor(weights / 2, dtype=torch.float32)

    def _reference(self, name: str) -> torch.Tensor:
        if name not in REFERENCES:
            raise ConfigError("E_CONFIG_RANGE", f"explain.reference: {name!r} is not one of {', '.join(REFERENCES)}")
        weight = self.embedding.weight.detach()
        number = {"pad": self.encoder.padding_id, "mask": getattr(self.encoder.model.tokenizer, "mask_token_id", None)}
        return torch.zeros_like(weight[0]) if number.get(name) is None else weight[int(number[name] or 0)].clone()

    # -- reading ---------------------------------------------------------------------------------

    def read(self, text: str, role: Role) -> Read:
        """Return a text's tokens and words; `DataError` when the model reads nothing of it.

        Words are those of the tokenizer; what the prompt and the special tokens are is part of none.
        """
        prompt = self.encoder.spec.prompt(role)
        cut = text[: self.encoder.tokens.max_chars]
        found = self.encoder.tokens.tokenizer.encode(prompt + cut)
        words: list[Word] = []
        last: int | None = None
        for at, (number, (start, end)) in enumerate(zip(found.word_ids, found.offsets, strict=True)):
            if number is None or found.special_tokens_mask[at] or end <= len(prompt):
                last = None
                continue
            start, end = max(0, start - len(prompt)), end - len(prompt)
            if number == last:
                before = words.pop()
                start, first = before.start, before.first
            else:
                first = at
            while start < end and cut[start].isspace():  # some tokenizers count the blank before a word to it
                start += 1
            words.append(Word(text=cut[start:end], start=start, end=end, first=first, last=at + 1))
            last = number
        if not words:
            raise DataError("E_TEXT_EMPTY", f"the model reads no word of {text[:60]!r}")
        ids = np.array(found.ids, dtype=np.int64)
        return Read(text=cut[: words[-1].end], ids=ids, pieces=list(found.tokens), words=words)

    # -- parts -----------------------------------------------------------------------------------

    def parts(self, text: str, role: Role) -> Parts:
        """Return a text's vector taken apart by words."""
        read = self.read(text, role)
        ids = torch.from_numpy(read.ids)
        own, start = self._ends(read)
        moving = torch.cat([torch.arange(word.first, word.last) for word in read.words])
        jobs = [(node, token) for node in range(self.steps) for token in moving.tolist()]
        sums = torch.zeros(len(ids), self.encoder.spec.dim)
        size = max(1, _TOKENS_A_BATCH // len(ids))
        with torch.no_grad():
            for at in range(0, len(jobs), size):
                nodes = torch.tensor([node for node, _ in jobs[at : at + size]])
                tokens = torch.tensor([token for _, token in jobs[at : at + size]])
                points = start + self.nodes[nodes][:, None, None] * (own - start)
                directions = torch.zeros_like(points)
                rows = torch.arange(len(nodes))
                directions[rows, tokens] = (own - start)[tokens]
                with forward_ad.dual_level():
                    moved: Any = forward_ad.make_dual(points, directions)  # type: ignore[no-untyped-call]
                    found: Any = forward_ad.unpack_dual(self._vectors(ids, moved))  # type: ignore[no-untyped-call]
                    change = found.tangent
                if change is None:
                    raise ConfigError("E_EXPLAIN", "the model cannot be differentiated forwards")
                sums.index_add_(0, tokens, change * self.weights[nodes][:, None])
            ends = self._vectors(ids, torch.stack([own, start])).numpy()
        return Parts(read=read, vector=ends[0], reference=ends[1], parts=read.by_word(sums.numpy()))

    def toward(self, text: str, role: Role, vector: Floats) -> tuple[Read, Floats]:
        """Return the contribution of each word ``(n_words,)`` to the cosine with a unit vector ``(dim,)``.

        The same as the parts times that vector, by one backward pass: for statistics over many texts.
        """
        read = self.read(text, role)
        own, start = self._ends(read)
        points = (start + self.nodes[:, None, None] * (own - start)).requires_grad_(True)
        with torch.enable_grad():
            cosines = self._vectors(torch.from_numpy(read.ids), points) @ torch.from_numpy(np.asarray(vector))
            slopes = torch.autograd.grad((cosines * self.weights).sum(), points)[0]
        values = (slopes.sum(dim=0) * (own - start)).sum(dim=1)
        return read, read.by_word(values.numpy())

    def vector(self, text: str, role: Role) -> Floats:
        """Return the unit vector of a text ``(dim,)``."""
        found: Floats = self.encoder.encode([text], role)[0]
        return found

    def attention(self, read: Read) -> Floats:
        """Return the attention weights ``(n_layers, n_heads, n_tokens, n_tokens)``, from row to column."""
        features = {"input_ids": torch.from_numpy(read.ids)[None]}
        features["attention_mask"] = torch.ones_like(features["input_ids"])
        with torch.inference_mode():
            found = self.transformer(**features, output_attentions=True).attentions
        return torch.stack([each[0] for each in found]).float().numpy()

    def _ends(self, read: Read) -> tuple[torch.Tensor, torch.Tensor]:
        """Return word embeddings ``(n_tokens, width)`` of a text and of its reference."""
        own = self.embedding.weight.detach()[torch.from_numpy(read.ids)].float()
        start = own.clone()
        for word in read.words:
            start[word.first : word.last] = self.reference
        return own, start

    def _vectors(self, ids: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """Return unit vectors of embeddings ``(n, n_tokens, width)`` that take the place of those of one text."""
        words = ids[None].expand(len(embeddings), -1)
        hook = self.embedding.register_forward_hook(lambda *_: embeddings)
        try:
            found = self.encoder.model({"input_ids": words, "attention_mask": torch.ones_like(words)})
        finally:
            hook.remove()
        vectors = found["sentence_embedding"][:, : self.encoder.spec.dim].float()
        unit: torch.Tensor = torch.nn.functional.normalize(vectors, dim=1)
        return unit
