"""The cross-encoder in PyTorch: reads a query and a document together and gives the pair one score."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from honed.core.errors import ArtifactError
from honed.core.progress import progress
from honed.core.protocols import Vectors
from honed.core.records import EncoderSpec
from honed.encode.attention import Features
from honed.encode.base_models import read_spec, resolve, save_spec
from honed.encode.tokens import TextTokenizer, TokenIds, padded, token_batches
from honed.encode.torch_encoder import choose_precision, quiet_libraries, tokenizer_of

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

_TOKENS_A_BATCH = 4096


class TorchCrossEncoder:
    """A sentence-transformers CrossEncoder with one output; scores are logits, higher is closer.

    ``max_length`` counts the tokens of a pair, special ones included; ``tokens`` makes them.
    """

    def __init__(self, model: "CrossEncoder", max_length: int, *, precision: str = "auto") -> None:
        self.model, self.max_length = model, max_length
        self.tokens = TextTokenizer(tokenizer_of(model), max_length).pairs
        self.padding_id = int(model.tokenizer.pad_token_id or 0)
        self.precision = choose_precision(precision, model.device.type)
        self.model.eval()
        if self.precision == "bf16":
            self.model.to(torch.bfloat16)

    @classmethod
    def new(cls, base: str, *, max_length: int = 0, seed: int = 0) -> Self:
        """Make an untrained cross-encoder of a base model: its transformer under an output drawn with the seed."""
        torch.manual_seed(seed)
        model = _load(resolve(base).folder, num_labels=1)
        return cls(model, max_length or int(model.max_seq_length or 512), precision="fp32")

    @classmethod
    def load_folder(cls, folder: Path, *, precision: str = "auto") -> Self:
        """Load a cross-encoder that honed trained; `ArtifactError` when weights and spec do not fit."""
        if (spec := read_spec(folder)).pooling != "cross-encoder":
            raise ArtifactError("E_SPEC", f"{folder}: not a cross-encoder")
        return cls(_load(folder), spec.max_length, precision=precision)

    def save(self, folder: Path) -> EncoderSpec:
        """Save the model with its spec beside it; returns the spec with the fingerprint of the saved files."""
        self.model.save_pretrained(str(folder))
        spec = EncoderSpec(weights="", pooling="cross-encoder", normalize=False, dim=1, max_length=self.max_length)
        return save_spec(spec, folder)

    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Return the logits ``(n_pairs,)`` of (query, document) pairs."""
        scores = np.empty(len(pairs), dtype=np.float32)
        with progress("score pairs", len(pairs)) as bar, torch.inference_mode():
            for start in range(0, len(pairs), 50_000):
                tokens = self.tokens(pairs[start : start + 50_000])
                for rows in token_batches([ids for ids, _ in tokens], _TOKENS_A_BATCH):
                    features = self.features([tokens[row] for row in rows])
                    scores[start + rows] = self.model(features)["scores"].float().view(-1).cpu().numpy()
                    bar.advance(len(rows))
        return scores

    def features(self, tokens: Sequence[tuple[TokenIds, TokenIds]]) -> Features:
        """Return the model's input for one batch of (token ids, segment ids), padded to the longest pair."""
        ids, mask = padded([words for words, _ in tokens], self.padding_id)
        arrays = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in getattr(self.model.tokenizer, "model_input_names", []):
            arrays["token_type_ids"] = padded([segments for _, segments in tokens])[0]
        return {name: torch.from_numpy(array).to(self.model.device) for name, array in arrays.items()}


def _load(folder: Path, num_labels: int | None = None) -> "CrossEncoder":
    with quiet_libraries():
        from sentence_transformers import CrossEncoder

        return CrossEncoder(
            str(folder),
            num_labels=num_labels,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )
