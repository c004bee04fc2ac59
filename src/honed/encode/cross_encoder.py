"""The cross-encoder: reads a query and a document together and gives the pair one score; slower and sharper."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from honed.core.errors import ArtifactError
from honed.core.progress import progress
from honed.core.protocols import Vectors
from honed.core.records import EncoderSpec
from honed.encode.base_models import read_spec, resolve, save_spec
from honed.encode.tokens import Tokens, padded, token_batches
from honed.encode.torch_encoder import choose_precision, quiet_libraries, tokenizer_of

_TOKENS_A_BATCH = 4096


class PairScorer:
    """A sentence-transformers CrossEncoder with one output; scores are logits, higher is closer."""

    def __init__(self, model: Any, max_length: int, *, precision: str = "auto") -> None:
        self.model, self.max_length = model, max_length
        self.tokens = Tokens(tokenizer_of(model), max_length).pairs
        self.padding_id = int(model.tokenizer.pad_token_id or 0)
        self.precision = choose_precision(precision, model.device.type)
        self.model.eval()
        if self.precision == "bf16":
            self.model.to(torch.bfloat16)

    @classmethod
    def new(cls, base: str, *, max_length: int = 0, seed: int = 0) -> Self:
        """Make an untrained cross-encoder of a base model: its transformer under a new output."""
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
        """Save the model with its spec."""
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

    def features(self, tokens: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
        """Return the model's input for one batch of tokenised pairs, padded to the longest."""
        ids, mask = padded([words for words, _ in tokens], self.padding_id)
        types, _ = padded([segments for _, segments in tokens])
        arrays = {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}
        known = "token_type_ids" in getattr(self.model.tokenizer, "model_input_names", [])
        device = self.model.device
        return {
            name: torch.from_numpy(each).to(device)
            for name, each in arrays.items()
            if known or name != "token_type_ids"
        }


def _load(folder: Path, **options: Any) -> Any:
    with quiet_libraries():
        from sentence_transformers import CrossEncoder

        return CrossEncoder(
            str(folder),
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
            **options,
        )
