"""What honed has to know of the transformers that it runs: one table, by the ``model_type`` of a model's config.json.

An architecture that is not in the table runs too: padded, started on onnxruntime, and without students made of its
layers. To add one, add a row, and a tiny model to ``tests/encode/tiny_models.py``: the conformance tests run it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from honed.core.json import Json, JsonObject
from honed.core.plain import as_integer

# how a model sees where a token stands: a table of positions from 0, the same counted from the id of the padding token
# plus one, or angles (rotary), which have no table
Positions: TypeAlias = Literal["from 0", "after padding", "angles"]
# how attention is replaced for packed batches: by the interface of transformers, by honed's own layers, or not at all
Attention: TypeAlias = Literal["interface", "relative", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """What is needed of one kind of transformer.

    ``layers`` is the path of the list of its layers among its modules, empty where none can be left out. ``bert`` maps
    parts of the names of its weights to BERT's, for an encoder that computes as BERT does; None for others. ``prefix``
    may stand before the names in a file. ``settings`` maps BERT's names of settings to its own, where they differ.
    """

    layers: str = "encoder.layer"
    positions: Positions = "from 0"
    attention: Attention = "interface"
    bert: Mapping[str, str] | None = None
    prefix: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    def setting(self, config: JsonObject, name: str) -> Json:
        """Return a setting of a config.json by BERT's name; None where it is not stated."""
        return config.get(self.settings.get(name, name))

    def first_position(self, padding_id: int) -> int:
        """Return where the first token of a text stands in the table of positions."""
        return padding_id + 1 if self.positions == "after padding" else 0

    def bert_name(self, name: str) -> str:
        """Return the name that BERT has for a weight of a file, such as "encoder.layer.0.output.dense.bias"."""
        name = name.removeprefix(self.prefix)
        for theirs, berts in (self.bert or {}).items():
            name = name.replace(theirs, berts)
        return name


_ROBERTA = Architecture(bert={}, prefix="roberta.", positions="after padding")
_DECODER = Architecture(layers="layers", positions="angles")

ARCHITECTURES: Mapping[str, Architecture] = {
    "bert": Architecture(bert={}, prefix="bert."),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": Architecture(bert={}, prefix="electra."),
    "distilbert": Architecture(
        layers="transformer.layer",
        prefix="distilbert.",
        bert={
            "transformer.layer.": "encoder.layer.",
            "attention.q_lin.": "attention.self.query.",
            "attention.k_lin.": "attention.self.key.",
            "attention.v_lin.": "attention.self.value.",
            "attention.out_lin.": "attention.output.dense.",
            "sa_layer_norm.": "attention.output.LayerNorm.",
            "ffn.lin1.": "intermediate.dense.",
            "ffn.lin2.": "output.dense.",
            "output_layer_norm.": "output.LayerNorm.",
        },
        settings={
            "num_attention_heads": "n_heads",
            "num_hidden_layers": "n_layers",
            "hidden_act": "activation",
        },
    ),
    "mpnet": Architecture(
        positions="after padding",
        attention="relative",
        prefix="mpnet.",
        bert={
            "attention.attn.q.": "attention.self.query.",
            "attention.attn.k.": "attention.self.key.",
            "attention.attn.v.": "attention.self.value.",
            "attention.attn.o.": "attention.output.dense.",
            "attention.LayerNorm.": "attention.output.LayerNorm.",
        },
    ),
    "albert": Architecture(layers=""),  # one layer, used many times
    "modernbert": Architecture(layers="layers", positions="angles"),
    "nomic_bert": Architecture(layers="layers", positions="angles"),
    "eurobert": _DECODER,
    "llama": _DECODER,
    "mistral": _DECODER,
    "qwen2": _DECODER,
    "qwen3": _DECODER,
    "gemma3_text": _DECODER,
}
_UNKNOWN = Architecture(layers="", attention="none")


def architecture_of(config: JsonObject) -> Architecture:
    """Return the row of a config.json; for a model that is not in the table one that promises nothing."""
    return ARCHITECTURES.get(str(config.get("model_type", "")), _UNKNOWN)


def padding_id_of(config: JsonObject) -> int:
    """Return the id of the padding token by which a model counts its positions."""
    stated = config.get("pad_token_id")
    return 1 if stated is None else as_integer(stated)
