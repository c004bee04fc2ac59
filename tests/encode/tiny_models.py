"""A tiny model with random weights for each architecture, as folders of sentence-transformers."""

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

WIDTH, LENGTH = 32, 64
_CHARACTERS = string.ascii_lowercase + string.digits + ".-'"
_SIZES = {"hidden_size": WIDTH, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}


def wordpiece() -> Tokenizer:
    """Single characters as BERT's pieces, lower case."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *_CHARACTERS, *(f"##{char}" for char in _CHARACTERS)]
    numbers = {token: number for number, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", numbers["[SEP]"]), ("[CLS]", numbers["[CLS]"]))
    return tokenizer


def _unigram() -> Tokenizer:
    """SentencePiece's pieces with scores, in the order of XLM-R: the padding token is 1."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -3.0)]
    pieces += [(char, -4.0) for char in _CHARACTERS]
    pieces += [("\u2581univ", -2.0), ("ersity", -2.5), ("\u2581of", -1.0), ("東", -5.0), ("京", -5.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", "<s> $A </s> </s> $B </s>", [("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def _bytes() -> Tokenizer:
    """Pieces of bytes, with a token at the end, as decoders that embed have it."""
    vocabulary = ["<pad>", "<unk>", "<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(vocabulary)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing("$A <end>", "$A $B <end>", [("<end>", 2)])
    return tokenizer


_NAMES: dict[Callable[[], Tokenizer], dict[str, str]] = {
    wordpiece: {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"},
    _unigram: {"unk_token": "<unk>", "pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>"},
    _bytes: {"unk_token": "<unk>", "pad_token": "<pad>", "eos_token": "<end>"},
}

# name -> (class of the configuration, tokenizer, pooling, settings over those of all)
TINY: dict[str, tuple[str, Callable[[], Tokenizer], str, dict[str, Any]]] = {
    "bert": ("BertConfig", wordpiece, "mean", {}),
    "bert-unigram": ("BertConfig", _unigram, "mean", {"pad_token_id": 1}),
    "bert-cls": ("BertConfig", wordpiece, "cls", {}),
    "roberta": ("RobertaConfig", _unigram, "mean", {"type_vocab_size": 1}),
    "xlm-roberta": ("XLMRobertaConfig", _unigram, "mean", {"type_vocab_size": 1}),
    "camembert": ("CamembertConfig", _unigram, "mean", {"type_vocab_size": 1}),
    "electra": ("ElectraConfig", wordpiece, "mean", {"embedding_size": 16}),
    "mpnet": ("MPNetConfig", _unigram, "mean", {}),
    "distilbert": (
        "DistilBertConfig",
        wordpiece,
        "mean",
        {"dim": WIDTH, "n_layers": 3, "n_heads": 4, "hidden_dim": 64},
    ),
    "albert": ("AlbertConfig", _unigram, "mean", {"embedding_size": 16, "pad_token_id": 1}),
    "modernbert": (
        "ModernBertConfig",
        wordpiece,
        "mean",
        {"local_attention": 16, "global_attn_every_n_layers": 3, "pad_token_id": 0},
    ),
    "nomic_bert": ("NomicBertConfig", wordpiece, "mean", {"pad_token_id": 0}),
    "eurobert": ("EuroBertConfig", _bytes, "mean", {"num_key_value_heads": 2, "pad_token_id": 0}),
    "llama": ("LlamaConfig", _bytes, "lasttoken", {"num_key_value_heads": 2, "pad_token_id": 0}),
    "mistral": ("MistralConfig", _bytes, "lasttoken", {"num_key_value_heads": 2, "sliding_window": 8}),
    "qwen2": ("Qwen2Config", _bytes, "lasttoken", {"num_key_value_heads": 2, "pad_token_id": 0}),
    "qwen3": ("Qwen3Config", _bytes, "lasttoken", {"num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0}),
    "gemma3_text": (
        "Gemma3TextConfig",
        _bytes,
        "mean",
        {
            "num_key_value_heads": 1,
            "head_dim": 8,
            "sliding_window": 8,
            "use_bidirectional_attention": True,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 8,
        },
    ),
    "deberta-v2": ("DebertaV2Config", wordpiece, "mean", {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
}
# not in honed's table: it runs padded
UNKNOWN = "deberta-v2"


def make_tiny(name: str, folder: Path) -> Path:
    """Write the tiny model of a name to ``folder/model``, the same numbers every time; returns that folder."""
    class_name, make_tokenizer, pooling, more = TINY[name]
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=LENGTH, **_NAMES[make_tokenizer], padding_side="right"
    )
    fast.save_pretrained(folder / "transformer")
    settings = {**_SIZES, "vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 128, **more}
    config = getattr(transformers, class_name)(**settings)
    model = transformers.AutoModel.from_config(config)
    with torch.no_grad():  # first layers tell texts apart only when the numbers are not all near 0
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, 0.2)
    model.save_pretrained(folder / "transformer")
    modules = [Transformer(str(folder / "transformer"), max_seq_length=LENGTH), Pooling(WIDTH, pooling)]
    if name == "gemma3_text":  # two layers behind the pooling, as EmbeddingGemma has them
        identity = torch.nn.Identity()
        modules += [
            Dense(WIDTH, 48, bias=False, activation_function=identity),
            Dense(48, WIDTH, bias=False, activation_function=identity),
        ]
    made = SentenceTransformer(modules=[*modules, Normalize()], device="cpu")
    made.save(str(folder / "model"), create_model_card=False)
    return folder / "model"
