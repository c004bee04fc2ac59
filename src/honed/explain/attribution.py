"""What each word adds to the cosine of two texts, exactly: integrated gradients, and between the texts word by word.

Every word embedding is moved along a straight line from a reference (padding, which means nothing) to its own value.
The change of the text's vector on the way, split by the word that caused it, is that word's part: a vector of the same
width. Parts sum to the whole change, and a cosine is linear in each text's vector, so that parts give both the
contribution of a word to a cosine (integrated gradients, Sundararajan et al. 2017, arXiv 1703.01365, section 3) and of
a pair of words, one of each text (integrated Jacobians, Möller et al. 2023, arXiv 2310.05703). They are computed by
forward-mode differentiation, one direction a token, and not by a Jacobian of the whole model.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Encoding
from torch import Tensor
from torch.autograd import forward_ad
from transformers import PreTrainedModel

from honed.core.errors import ConfigError, DataError
from honed.core.protocols import Role, Vectors
from honed.encode.torch_encoder import TorchEncoder
from honed.explain.config import REFERENCES

_TOKENS_PER_BATCH = 6144
_NOT_FORWARD = "the model cannot be differentiated forwards"


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word of a text: where its characters and its tokens start and end (exclusive)."""

    text: str
    start: int
    end: int
    first_token: int
    end_token: int


@dataclass(frozen=True, kw_only=True)
class TokenizedText:
    """A text as the model reads it: token ids and pieces ``(n_tokens,)`` with prompt and special tokens, and its words.

    ``text`` ends with the last word that the model reads.
    """

    text: str
    ids: npt.NDArray[np.int64]
    pieces: list[str]
    words: list[Word]

    def sum_by_word(self, values: Vectors) -> Vectors:
        """Return the sums over each word's tokens ``(n_words, ...)`` of values ``(n_tokens, ...)``."""
        return np.stack([values[word.first_token : word.end_token].sum(axis=0) for word in self.words])

    def without_words(self, rows: Collection[int]) -> str:
        """Return the text without the words of the given row numbers, blanks closed up."""
        kept, position = [], 0
        for row, word in enumerate(self.words):
            if row in rows:
                kept.append(self.text[position : word.start])
                position = word.end
        return " ".join("".join([*kept, self.text[position:]]).split())


@dataclass(frozen=True, kw_only=True)
class AttributedText:
    """A text's unit vector ``(dim,)``, that of its reference, and each word's part ``(n_words, dim)`` of the change."""

    tokenized: TokenizedText
    vector: Vectors
    reference: Vectors
    parts: Vectors


class Explainer:
    """Attributes the vectors of a transformer to the words of its texts.

    It works on the encoder's own model, not on a copy: while a method runs, the model has plain attention and a hook on
    its word embeddings; before and after, the encoder gives the vectors that it always gave. So no other thread may
    encode with it meanwhile. ``encoder`` is the one it was made with.
    """

    def __init__(self, encoder: TorchEncoder, *, steps: int = 16, reference: str = "pad") -> None:
        """Take an encoder in fp32; ``steps`` are points of the integral, ``reference`` is one of `REFERENCES`.

        Raises `ConfigError` for a model that is no transformer, whose tokens have a fixed vector each, and for an
        unknown reference.
        """
        if encoder.static or not hasattr(encoder.model[0], "model"):
            raise ConfigError(
                "E_EXPLAIN", "the model adds up one fixed vector for each token: nothing in it looks from word to word"
            )
        self.encoder, self.steps = encoder, steps
        self.transformer: PreTrainedModel = encoder.model[0].model
        self.embedding: torch.nn.Embedding = self.transformer.get_input_embeddings()
        self.reference = self._reference(reference)
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        self.nodes = torch.tensor((nodes + 1) / 2, dtype=torch.float32)
        self.weights = torch.tensor(weights / 2, dtype=torch.float32)

    def _reference(self, name: str) -> Tensor:
        """Return the word embedding ``(width,)`` that takes the place of an absent word."""
        if name not in REFERENCES:
            raise ConfigError("E_CONFIG_RANGE", f"explain.reference: {name!r} is not one of {', '.join(REFERENCES)}")
        weight = self.embedding.weight.detach()
        mask: int | None = getattr(self.encoder.model.tokenizer, "mask_token_id", None)
        token = {"pad": self.encoder.padding_id, "mask": mask}.get(name)
        return torch.zeros_like(weight[0]) if token is None else weight[token].clone()

    @contextmanager
    def _plain_attention(self) -> Iterator[None]:
        """Let the model attend in a way that can be differentiated forwards and shows its weights, on padded batches.

        Afterwards it attends as the encoder had it.
        """
        packed, attention = self.encoder.packed, self.transformer.config._attn_implementation
        self.encoder.packed = False
        self.transformer.set_attn_implementation("eager")
        try:
            yield
        finally:
            self.transformer.set_attn_implementation(attention)
            self.encoder.packed = packed

    # -- reading ---------------------------------------------------------------------------------

    def tokenize(self, text: str, role: Role) -> TokenizedText:
        """Return a text's tokens and words; `DataError` when the model reads no word of it.

        Words are those of the tokenizer; prompt and special tokens belong to none.
        """
        prompt = self.encoder.spec.prompt(role)
        cut = text[: self.encoder.tokens.max_chars]
        encoding = self.encoder.tokens.tokenizer.encode(prompt + cut)
        words = _words(encoding, cut, len(prompt))
        if not words:
            raise DataError("E_TEXT_EMPTY", f"the model reads no word of {text[:60]!r}")
        ids = np.array(encoding.ids, dtype=np.int64)
        return TokenizedText(text=cut[: words[-1].end], ids=ids, pieces=list(encoding.tokens), words=words)

    # -- attribution -----------------------------------------------------------------------------

    def attribute(self, text: str, role: Role) -> AttributedText:
        """Return a text's vector with the part of it that each word accounts for."""
        tokenized = self.tokenize(text, role)
        ids = torch.from_numpy(tokenized.ids)
        actual, reference = self._endpoints(tokenized)
        moving = [token for word in tokenized.words for token in range(word.first_token, word.end_token)]
        jobs = [(node, token) for node in range(self.steps) for token in moving]
        sums = torch.zeros(len(ids), self.encoder.spec.dim)
        size = max(1, _TOKENS_PER_BATCH // len(ids))
        with torch.no_grad(), self._plain_attention():
            for first in range(0, len(jobs), size):
                nodes, tokens = torch.tensor(jobs[first : first + size]).T
                points = reference + self.nodes[nodes][:, None, None] * (actual - reference)
                directions = torch.zeros_like(points)
                directions[torch.arange(len(nodes)), tokens] = (actual - reference)[tokens]
                change = self._directional_change(ids, points, directions)
                sums.index_add_(0, tokens, change * self.weights[nodes][:, None])
            ends = self._vectors(ids, torch.stack([actual, reference])).numpy()
        return AttributedText(
            tokenized=tokenized, vector=ends[0], reference=ends[1], parts=tokenized.sum_by_word(sums.numpy())
        )

    def _directional_change(self, ids: Tensor, points: Tensor, directions: Tensor) -> Tensor:
        """Return the derivatives ``(n, dim)`` of the vectors of ``points`` along ``directions``.

        Both are embeddings ``(n, n_tokens, width)``. Raises `ConfigError` for a model without forward derivatives.
        """
        with forward_ad.dual_level():
            dual: Tensor = forward_ad.make_dual(points, directions)  # type: ignore[no-untyped-call]
            change: Tensor | None = forward_ad.unpack_dual(self._vectors(ids, dual)).tangent  # type: ignore[no-untyped-call]
        if change is None:
            raise ConfigError("E_EXPLAIN", _NOT_FORWARD)
        return change

    def contributions(self, text: str, role: Role, vector: Vectors) -> tuple[TokenizedText, Vectors]:
        """Return the text's words and what each adds ``(n_words,)`` to the cosine with a unit vector ``(dim,)``.

        The same as the parts of `attribute` times that vector, by one backward pass: for statistics over many texts.
        """
        tokenized = self.tokenize(text, role)
        actual, reference = self._endpoints(tokenized)
        points = (reference + self.nodes[:, None, None] * (actual - reference)).requires_grad_(True)
        with torch.enable_grad(), self._plain_attention():
            cosines = self._vectors(torch.from_numpy(tokenized.ids), points) @ torch.from_numpy(np.asarray(vector))
            slopes = torch.autograd.grad((cosines * self.weights).sum(), points)[0]
        values = (slopes.sum(dim=0) * (actual - reference)).sum(dim=1)
        return tokenized, tokenized.sum_by_word(values.numpy())

    def vector(self, text: str, role: Role) -> Vectors:
        """Return the unit vector of a text ``(dim,)``, with the attention that attributions are made with."""
        with self._plain_attention():
            vector: Vectors = self.encoder.encode([text], role)[0]
        return vector

    def attention(self, tokenized: TokenizedText) -> Vectors:
        """Return the attention weights ``(n_layers, n_heads, n_tokens, n_tokens)``, from row to column."""
        features = {"input_ids": torch.from_numpy(tokenized.ids)[None]}
        features["attention_mask"] = torch.ones_like(features["input_ids"])
        with torch.inference_mode(), self._plain_attention():
            layers = self.transformer(**features, output_attentions=True).attentions
        return torch.stack([layer[0] for layer in layers]).float().numpy()

    def _endpoints(self, tokenized: TokenizedText) -> tuple[Tensor, Tensor]:
        """Return the word embeddings ``(n_tokens, width)`` of a text and those of its reference."""
        actual = self.embedding.weight.detach()[torch.from_numpy(tokenized.ids)].float()
        reference = actual.clone()
        for word in tokenized.words:
            reference[word.first_token : word.end_token] = self.reference
        return actual, reference

    def _vectors(self, ids: Tensor, embeddings: Tensor) -> Tensor:
        """Return unit vectors of embeddings ``(n, n_tokens, width)`` that take the place of those of one text."""
        words = ids[None].expand(len(embeddings), -1)
        hook = self.embedding.register_forward_hook(lambda *_: embeddings)
        try:
            output = self.encoder.model({"input_ids": words, "attention_mask": torch.ones_like(words)})
        finally:
            hook.remove()
        vectors = output["sentence_embedding"][:, : self.encoder.spec.dim].float()
        return torch.nn.functional.normalize(vectors, dim=1)


def _words(encoding: Encoding, text: str, prompt_length: int) -> list[Word]:
    """Return the words of a text that comes after a prompt of ``prompt_length`` characters."""
    words: list[Word] = []
    previous: int | None = None
    for token, (number, (start, end)) in enumerate(zip(encoding.word_ids, encoding.offsets, strict=True)):
        if number is None or encoding.special_tokens_mask[token] or end <= prompt_length:
            previous = None
            continue
        start, end, first_token = max(0, start - prompt_length), end - prompt_length, token
        if number == previous:
            before = words.pop()
            start, first_token = before.start, before.first_token
        while start < end and text[start].isspace():  # some tokenizers count the blank before a word to it
            start += 1
        words.append(Word(text=text[start:end], start=start, end=end, first_token=first_token, end_token=token + 1))
        previous = number
    return words
