"""The cross-encoder of a bundle: checked with the rest, loaded when it is first asked."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from honed.bundle.layout import RERANKER, RERANKER_TOKENIZER
from honed.bundle.manifest import Manifest
from honed.bundle.tokenizer import load_tokenizer
from honed.core.protocols import Vectors
from honed.encode.onnx_file import check_onnx, read_onnx

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from honed.encode.pair_graph import GraphCrossEncoder

MAX_LENGTH = 1 << 16  # tokens: no model reads more, and a forged number must not take the memory


class BundleReranker:
    """Scores (query, document) pairs by the bundle's cross-encoder."""

    def __init__(self, model: bytes, tokenizer: "Tokenizer", max_length: int, threads: int) -> None:
        self._model, self._tokenizer, self._max_length, self._threads = model, tokenizer, max_length, threads
        self._graph: GraphCrossEncoder | None = None
        self._lock = threading.Lock()

    @classmethod
    def read(cls, folder: Path, manifest: Manifest, threads: int) -> Self:
        """Read the files of a bundle; nothing of the graph has run by then."""
        outline = read_onnx(folder / RERANKER)
        check_onnx(outline, str(folder / RERANKER))
        max_length = manifest.reranker_max_length
        if not 1 <= max_length <= MAX_LENGTH:
            raise ValueError("reranker: max_length is out of range")
        return cls(bytes(outline.data), load_tokenizer(folder / RERANKER_TOKENIZER), max_length, threads)

    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Return the scores ``(n_pairs,)`` of (query, document) pairs, higher is closer."""
        return self.warm().score(pairs)

    def warm(self) -> "GraphCrossEncoder":
        """Load the graph; `honed.core.errors.ArtifactError` when onnxruntime cannot read it."""
        with self._lock:
            if self._graph is None:
                from honed.encode.pair_graph import GraphCrossEncoder  # with the engines

                self._graph = GraphCrossEncoder.load(
                    self._model, self._tokenizer, self._max_length, threads=self._threads
                )
            return self._graph
