"""The encoder of a bundle: numpy for the first texts of a process, then the fastest engine, loaded behind it.

Every engine is compared with the golden vectors of the bundle before it answers.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from honed.bundle.layout import GOLDEN, MODEL, TOKENIZER, Arrays
from honed.bundle.manifest import Manifest, NumpyLayout
from honed.bundle.names import NameTable
from honed.bundle.tokenizer import load_tokenizer
from honed.core.errors import ArtifactError, HonedError
from honed.core.protocols import Encoder, Role, Vectors
from honed.core.records import EncoderSpec
from honed.encode.numpy_encoder import NumpyEncoder, Weights
from honed.encode.onnx_file import OnnxFile, check_onnx, read_onnx
from honed.encode.static_encoder import STATIC, StaticEncoder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from honed.bundle.facts import DocumentSide
    from honed.encode.graph_encoder import GraphEncoder

_BY_HONED = ("auto", "numpy")  # besides the engines that run a graph
EXACT, CLOSE = 1 - 1e-5, 0.995  # least cosine to the golden vectors: fp32 arithmetic, any other
_MOST_IN_NUMPY = 16  # texts that numpy encodes before the fast engine is worth its loading
_ROLES: tuple[Role, Role] = ("document", "query")


class GoldenVectors(NamedTuple):
    """Texts with the vectors ``(n_texts, dim)`` that the bundle's encoder gave for them, by role."""

    texts: Sequence[str]
    vectors: Mapping[Role, Vectors]

    @classmethod
    def read(cls, arrays: Arrays, names: NameTable) -> Self:
        """Read the arrays of a bundle; `ArtifactError` for rows of texts that are not there."""
        rows = [int(row) for row in arrays["rows"]]
        if not rows or not all(0 <= row < names.n_texts for row in rows):
            raise ArtifactError("E_BUNDLE_FORMAT", f"{GOLDEN}: rows outside the texts")
        return cls(
            texts=[names.text(row) for row in rows], vectors={role: arrays[role] for role in _ROLES if role in arrays}
        )

    def check(self, encoder: Encoder, least: float, engine: str) -> None:
        """Encode the texts on this machine; `ArtifactError` when the cosine of one to its vector is below ``least``."""
        for role, vectors in self.vectors.items():
            try:
                encoded = encoder.encode(self.texts, role)
            except Exception as error:
                raise ArtifactError("E_BUNDLE_MODEL_IO", f"golden vectors: {engine}: {str(error)[:200]}") from error
            if encoded.shape != vectors.shape:
                raise ArtifactError(
                    "E_BUNDLE_MODEL_IO", f"the model gives {encoded.shape} vectors, not dim {vectors.shape}"
                )
            lowest = float((encoded * vectors).sum(axis=1).min())
            if not lowest >= least:
                raise ArtifactError(
                    "E_BUNDLE_SELFTEST",
                    f"golden vectors: {engine} gives other vectors here than where the bundle was made (min cosine "
                    f"{lowest:.6f}, allowed {least:g})",
                )


class EncoderFiles(NamedTuple):
    """The model of a bundle as it was checked: the ONNX file, the tokenizer, and what the manifest says of both."""

    folder: Path
    model: OnnxFile
    tokenizer: "Tokenizer"
    spec: EncoderSpec
    precision: str
    sha256: str
    layout: NumpyLayout | None
    documents: "DocumentSide | None" = None

    @classmethod
    def read(cls, folder: Path, manifest: Manifest) -> Self:
        """Read the files; `ArtifactError` for a graph or a tokenizer that is refused. Nothing of the graph has run."""
        model = read_onnx(folder / MODEL)
        check_onnx(model, str(folder / MODEL))
        return cls(
            folder=folder,
            model=model,
            tokenizer=load_tokenizer(folder / TOKENIZER),
            spec=manifest.spec,
            precision=manifest.precision,
            sha256=manifest.files[MODEL].sha256,
            layout=manifest.numpy_layout,
            documents=manifest.documents,
        )


class BundleEncoder:
    """Text to vectors by the bundle's model; ``engine`` is the one that answers, "" before any was loaded.

    "auto" answers first from numpy, where that knows the model, then from the fastest engine (`honed.bundle.fastest`),
    or from the one that HONED_ENGINE names. ``n_documents`` counts the texts that were encoded as documents, by
    whatever model the bundle has.
    """

    def __init__(self, files: EncoderFiles, golden: GoldenVectors, *, engine: str = "auto", threads: int = 0) -> None:
        by_numpy = engine in _BY_HONED
        named = os.environ.get("HONED_ENGINE", "auto") if engine == "auto" else engine
        if named not in _BY_HONED:
            _check_engine(named)
        self._files, self._golden, self._threads, self._named = files, golden, threads, named
        self.engine, self.n_documents = "", 0
        self._fast: GraphEncoder | None = None
        self._numpy: NumpyEncoder | StaticEncoder | None = None
        self._n_encoded, self._settled = 0, False  # settled: the engine that answers from now on is loaded
        self._lock = threading.Lock()
        if by_numpy and files.layout is not None:
            self._numpy = _numpy_encoder(files, files.layout)
            golden.check(self._numpy, self._least("numpy"), "numpy")
            self.engine = "numpy"
        elif named == "numpy":
            raise ArtifactError(
                "E_ENGINE", f"{files.folder}: the numpy engine does not know this model; use onnxruntime"
            )
        self._settled = named == "numpy" or isinstance(self._numpy, StaticEncoder)  # nothing is faster

    @property
    def spec(self) -> EncoderSpec:
        """How the encoder is to be used."""
        return self._files.spec

    @property
    def replaces_teacher(self) -> bool:
        """Tell whether a teacher that is not in the bundle encoded its documents: others are by a student."""
        return self._files.documents is not None

    @property
    def precision(self) -> str:
        """The precision of the model's weights: "fp32", "bf16" or "int8"."""
        return self._files.precision

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` in float32, in the order of ``texts``."""
        self.n_documents += len(texts) if role == "document" else 0
        if not self._settled:
            before, self._n_encoded = self._n_encoded, self._n_encoded + len(texts)
            if len(texts) > _MOST_IN_NUMPY:
                self._warm_quietly()
            elif before and before <= _MOST_IN_NUMPY:
                threading.Thread(target=self._warm_quietly).start()
        return (self._fast or self._numpy or self.start()).encode(texts, role)

    def is_cut(self, text: str, role: Role) -> bool:
        """Tell whether a text is longer than the model reads."""
        current = self._fast or self._numpy
        return current is not None and current.tokens.is_cut(self.spec.prompt(role) + text)

    def count_tokens(self, texts: Sequence[str], role: Role) -> int:
        """Return how many tokens the model reads for all texts together."""
        current = self._fast or self._numpy
        prompt = self.spec.prompt(role)
        return sum(map(len, current.tokens([prompt + text for text in texts]))) if current is not None else 0

    def start(self) -> Encoder:
        """Return the encoder that answers; where numpy does not know the model, an engine is loaded, unmeasured.

        Raises `ArtifactError` where its vectors are not the golden ones.
        """
        return self._settle(measure=False)

    def warm(self) -> Encoder:
        """Load the fastest engine, or the one that was named, and use it from now on; returns its encoder.

        Raises `ArtifactError` where no engine, or not the one that was named, gives the golden vectors.
        """
        return self._settle(measure=True)

    def _settle(self, *, measure: bool) -> Encoder:
        with self._lock:
            current = self._fast or self._numpy
            if current is not None and (self._settled or not measure):
                return current
            from honed.encode.graph_encoder import GraphEncoder  # not needed for a first answer by numpy

            if self._named == "auto":
                self.engine, encoder, self._settled = self._fastest(measure=measure)
            else:
                encoder = self._load(self._named, self._least(self._named))
                self.engine, self._settled = self._named, True
            if isinstance(encoder, GraphEncoder):
                self._fast, self._numpy = encoder, None
            return encoder

    def _fastest(self, *, measure: bool) -> tuple[str, Encoder, bool]:
        """Return `honed.bundle.fastest.fastest`; for an fp32 bundle an engine must be as exact as that promises."""
        from honed.bundle.fastest import TriedModel, fastest
        from honed.encode.engines import engines_for

        files = self._files
        least = EXACT if files.precision == "fp32" else CLOSE
        tried = TriedModel(
            folder=files.folder,
            sha256=files.sha256,
            precision=files.precision,
            threads=self._threads,
            engines=[*engines_for(files.precision), *(["numpy"] if self._numpy is not None else [])],
            load=lambda engine: self._load(engine, least),
            golden_texts=self._golden.texts,
        )
        return fastest(tried, measure=measure)

    def _load(self, engine: str, least: float) -> Encoder:
        """Return the encoder of an engine, whose cosines to the golden vectors are at least ``least``."""
        loaded = self._fast or self._numpy
        if loaded is not None and engine == self.engine:
            return loaded
        files = self._files
        from honed.encode.graph_encoder import GraphEncoder

        # the bytes that were checked, whatever happened to the folder since
        model = bytes(files.model.data)
        encoder = GraphEncoder.load(model, files.tokenizer, files.spec, engine=engine, threads=self._threads)
        self._golden.check(encoder, least, engine)
        return encoder

    def _least(self, engine: str) -> float:
        """Return the least cosine to the golden vectors of an engine that was named: few give all digits of fp32."""
        exact = self.precision == "fp32" and engine in ("numpy", "onnxruntime")
        return EXACT if exact else CLOSE

    def _warm_quietly(self) -> None:
        """Load the fastest engine if one can be: what answers, and gives the golden vectors, goes on where not."""
        try:
            self.warm()
        except HonedError:
            if not self.engine:
                raise
            self._settled = True


def _check_engine(name: str) -> None:
    """Raise `ArtifactError` for a name that no engine has."""
    from honed.encode.engines import ENGINES  # not needed for a first answer by numpy

    if name not in ENGINES:
        raise ArtifactError("E_ENGINE", f"engine {name!r} is not one of {', '.join([*_BY_HONED, *ENGINES])}")


def _numpy_encoder(files: EncoderFiles, layout: NumpyLayout) -> NumpyEncoder | StaticEncoder:
    """Return the numpy encoder over the graph's own weights."""
    model, names = files.model, layout.weights
    arrays = {
        weight: model.array(f"{name}.codes" if weight in layout.codes else _stored_name(model, name))
        for weight, name in names.items()
    }
    scales = {weight: model.array(f"{names[weight]}.scales") for weight in layout.codes}
    weights = Weights(arrays, scales, layout.transposed)
    if layout.config.get("model_type") == STATIC:
        return StaticEncoder(weights, files.tokenizer, files.spec)
    return NumpyEncoder(weights, layout.config, files.tokenizer, files.spec)


def _stored_name(model: OnnxFile, name: str) -> str:
    """Return the name under which a weight lies in the file: its own, or that of its bf16 form."""
    return name if name in model.tensors else f"{name}.bf16"
