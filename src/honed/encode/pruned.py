"""Models whose vocabulary is cut to what known texts need: of a multilingual model, most of the weights go."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from honed.core.errors import ArtifactError
from honed.core.protocols import Role
from honed.encode.torch_encoder import TorchEncoder, tokenizer_of
from honed.encode.vocabulary import SmallerVocabulary, VocabularyFacts, share_changed, smaller_vocabulary

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

_CHECKED, _FAR = 64, 1e-5
_IDS = ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id", "mask_token_id", "unk_token_id")
_NAMED = ("pad_token", "bos_token", "eos_token", "cls_token", "sep_token", "mask_token", "unk_token")


def prune_vocabulary(
    encoder: TorchEncoder, known: Sequence[tuple[str, Role]], unseen: Sequence[str] = ()
) -> tuple[TorchEncoder, VocabularyFacts]:
    """Return an encoder with the pieces that known texts need, in their roles, and what became of the rest.

    The vectors of known texts stay what they were; of ``unseen`` queries, the share that is read in other pieces is
    told. The model of the encoder that is given is used up. Raises `honed.core.errors.ConfigError` for a tokenizer that
    cannot be cut, `ArtifactError` where a vector moves by more than 1e-5.
    """
    whole = tokenizer_of(encoder.model)
    texts = _prompted(encoder, known)
    smaller = _smaller(encoder, texts)
    spread = texts[:: max(1, len(texts) // _CHECKED)][:_CHECKED]
    before = encoder.encode_ids(encoder.tokens(spread)) if spread else None
    _cut_model(encoder.model, smaller)
    pruned = TorchEncoder(encoder.model, encoder.spec, precision=encoder.precision)
    if before is not None and float(np.abs(before - pruned.encode_ids(pruned.tokens(spread))).max()) > _FAR:
        raise ArtifactError("E_VOCABULARY", "the vocabulary cannot be cut: the model gives other vectors after it")
    asked = _prompted(encoder, [(text, "query") for text in unseen])
    return pruned, VocabularyFacts(
        pieces=len(smaller.old_ids),
        of=whole.get_vocab_size(),
        unseen=len(asked),
        changed=round(share_changed(whole, smaller, asked), 5),
    )


def share_read_otherwise(encoder: TorchEncoder, known: Sequence[tuple[str, Role]], unseen: Sequence[str]) -> float:
    """Return the share of queries that would be read in other pieces if known texts were all; the model stays whole."""
    smaller = _smaller(encoder, _prompted(encoder, known))
    return share_changed(tokenizer_of(encoder.model), smaller, _prompted(encoder, [(text, "query") for text in unseen]))


def _prompted(encoder: TorchEncoder, texts: Sequence[tuple[str, Role]]) -> list[str]:
    """Return distinct texts as the tokenizer gets them: with their prompts, and as long as the model reads."""
    spec, longest = encoder.spec, encoder.tokens.max_chars
    return list(dict.fromkeys((spec.prompt(role) + text)[:longest] for text, role in texts))


def _smaller(encoder: TorchEncoder, texts: Sequence[str]) -> SmallerVocabulary:
    counted = range(encoder.first_position)  # positions count from the padding token's id, so that must stay
    return smaller_vocabulary(tokenizer_of(encoder.model), texts, keep={encoder.padding_id, *counted})


def _cut_model(model: "SentenceTransformer", smaller: SmallerVocabulary) -> None:
    """Give a model the smaller tokenizer, and the word vectors that go with it, in place."""
    rows, first = torch.from_numpy(smaller.old_ids), model[0]
    if hasattr(first, "num_embeddings"):
        first.embedding.weight = nn.Parameter(first.embedding.weight.detach()[rows].clone())
        first.embedding.num_embeddings = first.num_embeddings = len(rows)
        first.tokenizer = smaller.tokenizer
        return
    transformer = first.model
    table: nn.Embedding = transformer.get_input_embeddings()
    place = {int(old): new for new, old in enumerate(smaller.old_ids)}
    table.weight = nn.Parameter(table.weight.detach()[rows.to(table.weight.device)].clone())
    table.num_embeddings = len(rows)
    if table.padding_idx is not None:
        table.padding_idx = place.get(table.padding_idx)
    config = transformer.config
    config.vocab_size = len(rows)
    for name in _IDS:
        number = getattr(config, name, None)
        if isinstance(number, int) and number in place:
            setattr(config, name, place[number])
    first.processor = _fast_tokenizer(first.tokenizer, smaller.tokenizer)


def _fast_tokenizer(whole: Any, smaller: "Tokenizer") -> Any:
    """Return the tokenizer as transformers has it, with the settings of the whole one."""
    from transformers import PreTrainedTokenizerFast

    named = {name: str(token) for name in _NAMED if (token := getattr(whole, name, None)) is not None}
    fast: Any = PreTrainedTokenizerFast(
        tokenizer_object=smaller,
        model_input_names=list(whole.model_input_names),
        padding_side=whole.padding_side,
        model_max_length=whole.model_max_length,
        **{name: token for name, token in named.items() if smaller.token_to_id(token) is not None},
    )
    return fast
