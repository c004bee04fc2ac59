"""The bundle: one folder with everything that answers a query, checked byte by byte before it is used.

Loading it runs no code of the bundle, follows no links, reads nothing outside the folder, and needs numpy and
tokenizers only; a fast engine is loaded when it pays.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from honed.bundle.names import NameTable
from honed.bundle.seal import MANIFEST, Seal
from honed.core.errors import ArtifactError, HonedError
from honed.core.protocols import Encoder, Role, Vectors
from honed.core.records import EncoderSpec
from honed.core.tensors import map_safetensors
from honed.encode.engines import ENGINES, best_engine
from honed.encode.graph_encoder import GraphEncoder
from honed.encode.numpy_encoder import NumpyEncoder, Weights
from honed.encode.onnx_file import PRECISIONS, OnnxFile, check_onnx, read_onnx
from honed.encode.pair_graph import GraphCrossEncoder
from honed.encode.static_encoder import STATIC, StaticEncoder
from honed.index.hybrid import HYBRID, HYBRID_TENSORS
from honed.index.settings import IndexSettings
from honed.index.stored import StoredVectors

MODEL, TOKENIZER = "model/model.onnx", "model/tokenizer.json"
VECTORS, NAMES, ANN = "index/vectors.safetensors", "index/names.safetensors", "index/ann.safetensors"
RERANKER, RERANKER_TOKENIZER = "model/reranker.onnx", "model/reranker_tokenizer.json"
FUSED, FUSED_TENSORS = f"index/{HYBRID}", f"index/{HYBRID_TENSORS}"
GOLDEN, RECORDS = "golden.safetensors", "records.parquet"
REPORT_PAGE, REPORT = "report.html", "report.json"
_BY_HONED = ("auto", "numpy")  # besides the engines that run a graph
EXACT, CLOSE = 1 - 1e-5, 0.995  # least cosine to the golden vectors: fp32 arithmetic, any other
_FEW = 16
_MAX_LENGTH = 1 << 16


class Bundle(NamedTuple):
    """A bundle that was checked and read; ``ann`` holds the arrays of an index cache that fits, or None."""

    manifest: Mapping[str, Any]
    folder: Path
    encoder: "BundleEncoder"
    vectors: StoredVectors
    names: NameTable
    ann: Mapping[str, Any] | None
    report: bytes = b""
    keep: Any = None
    hybrid: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None
    reranker: "BundleReranker | None" = None


def load_bundle(path: Path, *, engine: str = "auto", threads: int = 0, public_key: Path | None = None) -> Bundle:
    """Check and read a bundle (a folder or a zip); `ArtifactError` names the file that is missing, foreign or changed.

    ``engine`` "auto" answers first from numpy over mapped weights and loads the fast engine when there is more to do.
    With ``public_key`` (Ed25519, PEM) the bundle must be signed by its private half.
    """
    folder, keep = path, None  # what is unpacked goes with the last who keeps it
    seal: Seal | None = None
    try:
        if path.is_file():
            from honed.bundle.archive import Unpacked

            keep = Unpacked(path)
            folder = keep.folder
        folder = folder.resolve()
        seal = Seal.open(folder, public_key)
        return _read(seal, keep, engine, threads)
    except (HonedError, OSError):
        if seal is not None:
            seal.wait()  # a changed byte is the better explanation
        raise
    except BaseException as error:  # whatever a forged file provokes, panics of a library included
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        if seal is not None:
            seal.wait()
        shown = f"{type(error).__name__}: {str(error)[:200]}"
        raise ArtifactError("E_BUNDLE_FORMAT", f"{path}: cannot be read: {shown}") from error


def _read(seal: Seal, keep: Any, engine: str, threads: int) -> Bundle:
    """Read what the seal guards; the big files are still being hashed, so no native code sees them before the end."""
    folder, manifest = seal.folder, seal.manifest
    spec = EncoderSpec.from_dict(manifest["spec"])
    _check_settings(manifest, spec)
    outline = _model(folder)
    vectors = StoredVectors.from_tensors(map_safetensors(folder / VECTORS))
    names = NameTable(map_safetensors(folder / NAMES))
    _check_together(seal, spec, vectors, names)
    golden = _golden(map_safetensors(folder / GOLDEN), names)
    encoder = BundleEncoder(folder, manifest, spec, outline, golden, engine=engine, threads=threads)
    ann = map_safetensors(folder / ANN) if _fits(manifest) else None
    hybrid = None
    if FUSED in manifest["files"]:
        hybrid = (json.loads((folder / FUSED).read_text("utf-8")), map_safetensors(folder / FUSED_TENSORS))
    reranker = BundleReranker.of(folder, manifest, threads) if RERANKER in manifest["files"] else None
    report = (folder / REPORT_PAGE).read_bytes() if REPORT_PAGE in manifest["files"] else b""
    seal.wait()
    if encoder.engine == "":
        encoder.warm()
    return Bundle(
        manifest=manifest,
        folder=folder,
        encoder=encoder,
        vectors=vectors,
        names=names,
        ann=ann,
        report=report,
        keep=keep,
        hybrid=hybrid,
        reranker=reranker,
    )


def _check_settings(manifest: Mapping[str, Any], spec: EncoderSpec) -> None:
    index = manifest["index"]
    if IndexSettings.from_manifest(index).backend == "annoy" or index["names"] not in ("labels", "all"):
        raise ValueError(f"index: backend {index['backend']!r} or names {index['names']!r} is not for bundles")
    if manifest["precision"] not in PRECISIONS or not 1 <= spec.max_length <= _MAX_LENGTH or spec.dim < 1:
        raise ValueError("precision, max_length or dim is out of range")


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest of a bundle (folder or zip) that is trusted already; nothing else is checked."""
    if path.is_file():
        import zipfile

        with zipfile.ZipFile(path) as archive:
            return dict(json.loads(archive.read(MANIFEST)))
    return dict(json.loads((path / MANIFEST).read_text(encoding="utf-8")))


def _model(folder: Path) -> OnnxFile:
    outline = read_onnx(folder / MODEL)
    check_onnx(outline, str(folder / MODEL))
    return outline


def _check_together(seal: Seal, spec: EncoderSpec, vectors: StoredVectors, names: NameTable) -> None:
    """Check what no single file shows: shapes, the order of the records, and numbers that are finite."""
    if vectors.shape != (names.n_texts, spec.dim):
        raise ArtifactError(
            "E_BUNDLE_MISMATCH",
            f"{seal.folder / VECTORS}: {vectors.shape} vectors for {names.n_texts} texts of {spec.dim}",
        )
    made_for, found = seal.manifest["index"]["records"], seal.manifest["files"][RECORDS]["sha256"]
    if made_for != found:
        raise ArtifactError(
            "E_BUNDLE_MISMATCH", f"{seal.folder / RECORDS}: record id order: the names and vectors are of other records"
        )
    lengths = vectors.values if vectors.scales is None else vectors.scales
    sums = lengths @ np.ones(lengths.shape[1], np.float32) if lengths.ndim == 2 else lengths
    if not np.isfinite(sums).all():
        row = int(np.flatnonzero(~np.isfinite(sums))[0])
        raise ArtifactError("E_BUNDLE_NONFINITE", f"{seal.folder / VECTORS}: row {row} is not finite")


def _golden(tensors: Mapping[str, Any], names: NameTable) -> "Golden":
    rows = [int(row) for row in tensors["rows"]]
    if not rows or not all(0 <= row < names.n_texts for row in rows):
        raise ArtifactError("E_BUNDLE_FORMAT", f"{GOLDEN}: rows outside the texts")
    return Golden(
        texts=[names.text(row) for row in rows],
        vectors={role: tensors[role] for role in ("document", "query") if role in tensors},
    )


def _fits(manifest: Mapping[str, Any]) -> bool:
    """Tell whether the index cache was made over these vectors with these parameters; otherwise it is made anew."""
    index, files = manifest["index"], manifest["files"]
    return ANN in files and index.get("cache") == cache_key(index, files[VECTORS]["sha256"])


def cache_key(index: Mapping[str, Any], vectors: str) -> dict[str, Any]:
    """Return what an index cache depends on."""
    settings = IndexSettings.from_manifest(index).as_dict()
    return {**settings, "names": index["names"], "vectors": vectors, "layout": 2}


class BundleReranker:
    """The cross-encoder of a bundle: checked with the rest, loaded when it is first asked."""

    def __init__(self, model: bytes, tokenizer: Any, max_length: int, threads: int) -> None:
        self._model, self._tokenizer, self._max_length, self._threads = model, tokenizer, max_length, threads
        self._graph: GraphCrossEncoder | None = None
        self._lock = threading.Lock()

    @classmethod
    def of(cls, folder: Path, manifest: Mapping[str, Any], threads: int) -> "BundleReranker":
        """Read the files; nothing of the graph has run by then."""
        outline = read_onnx(folder / RERANKER)
        check_onnx(outline, str(folder / RERANKER))
        max_length = int(manifest["reranker"]["max_length"])
        if not 1 <= max_length <= _MAX_LENGTH:
            raise ValueError("reranker: max_length is out of range")
        return cls(bytes(outline.data), load_tokenizer(folder / RERANKER_TOKENIZER), max_length, threads)

    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Return the scores ``(n_pairs,)`` of (query, document) pairs, higher is closer."""
        return self.warm().score(pairs)

    def warm(self) -> GraphCrossEncoder:
        """Load the graph; `ArtifactError` when onnxruntime cannot read it."""
        with self._lock:
            if self._graph is None:
                self._graph = GraphCrossEncoder.load(
                    self._model, self._tokenizer, self._max_length, threads=self._threads
                )
            return self._graph


class Golden(NamedTuple):
    """Texts with the vectors that the bundle's encoder gave for them, by role."""

    texts: Sequence[str]
    vectors: Mapping[Any, Vectors]

    def check(self, encoder: Encoder, least: float, engine: str) -> None:
        """Encode the texts on this machine; `ArtifactError` when one vector points elsewhere."""
        for role, vectors in self.vectors.items():
            try:
                found = encoder.encode(self.texts, role)
            except Exception as error:
                raise ArtifactError("E_BUNDLE_MODEL_IO", f"golden vectors: {engine}: {str(error)[:200]}") from error
            if found.shape != vectors.shape:
                raise ArtifactError(
                    "E_BUNDLE_MODEL_IO", f"the model gives {found.shape} vectors, not dim {vectors.shape}"
                )
            lowest = float((found * vectors).sum(axis=1).min())
            if not lowest >= least:
                raise ArtifactError(
                    "E_BUNDLE_SELFTEST",
                    f"golden vectors: {engine} gives other vectors here than where the bundle was made (min cosine "
                    f"{lowest:.6f}, allowed {least:g})",
                )


class BundleEncoder:
    """The encoder of a bundle: numpy for the first texts of a process, then the fast engine, loaded behind it."""

    def __init__(
        self,
        folder: Path,
        manifest: Mapping[str, Any],
        spec: EncoderSpec,
        outline: OnnxFile,
        golden: Golden,
        *,
        engine: str = "auto",
        threads: int = 0,
    ) -> None:
        if engine not in _BY_HONED and engine not in ENGINES:
            raise ArtifactError("E_ENGINE", f"engine {engine!r} is not one of {', '.join([*_BY_HONED, *ENGINES])}")
        self._spec, self._golden, self._folder, self._threads = spec, golden, folder, threads
        self.precision = str(manifest["precision"])
        self._tokenizer = load_tokenizer(folder / TOKENIZER)
        self._fast: GraphEncoder | None = None
        self._numpy: NumpyEncoder | StaticEncoder | None = None
        self._model = outline.data  # the bytes that were checked, whatever happens to the folder
        self.engine = ""
        self._wanted = best_engine(self.precision) if engine in ("auto", "numpy") else engine
        self._seen, self._only_numpy = 0, engine == "numpy"
        self._lock = threading.Lock()
        if engine in ("auto", "numpy") and manifest["model"]["numpy"] is not None:
            self._numpy = _numpy_encoder(manifest["model"]["numpy"], outline, self._tokenizer, spec)
            self._only_numpy = self._only_numpy or isinstance(self._numpy, StaticEncoder)  # nothing is faster
            golden.check(self._numpy, EXACT if self.precision == "fp32" else CLOSE, "numpy")
            self.engine = "numpy"
        elif engine == "numpy":
            raise ArtifactError("E_ENGINE", f"{folder}: the numpy engine does not know this model; use onnxruntime")

    @property
    def spec(self) -> EncoderSpec:
        """How the encoder is to be used."""
        return self._spec

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` in float32, in the order of ``texts``."""
        fast = self._fast
        if fast is not None:
            return fast.encode(texts, role)
        before, self._seen = self._seen, self._seen + len(texts)
        if not self._only_numpy and len(texts) > _FEW:
            self._warm_quietly()
            return (self._fast or self._of_numpy()).encode(texts, role)
        if not self._only_numpy and before and before <= _FEW:
            threading.Thread(target=self._warm_quietly).start()
        return self._of_numpy().encode(texts, role)

    def _of_numpy(self) -> Encoder:
        """Return the numpy encoder, or the fast one when that has taken its place meanwhile."""
        return self._numpy or self.warm()

    def is_cut(self, text: str, role: Role) -> bool:
        """Tell whether a text is longer than the model reads."""
        current = self._fast or self._numpy
        return current is not None and current.tokens.is_cut(self._spec.prompt(role) + text)

    def count_tokens(self, texts: Sequence[str], role: Role) -> int:
        """Return how many tokens the model reads for some texts."""
        current = self._fast or self._numpy
        prompt = self._spec.prompt(role)
        return sum(map(len, current.tokens([prompt + text for text in texts]))) if current is not None else 0

    def warm(self) -> Encoder:
        """Load the fast engine, check it against the golden vectors, and use it from now on."""
        if isinstance(self._numpy, StaticEncoder):
            return self._numpy
        with self._lock:
            if self._fast is None:
                fast = GraphEncoder.load(
                    bytes(self._model), self._tokenizer, self._spec, engine=self._wanted, threads=self._threads
                )
                exact = self.precision == "fp32" and self._wanted == "onnxruntime"
                self._golden.check(fast, EXACT if exact else CLOSE, self._wanted)
                self._fast, self.engine, self._numpy = fast, self._wanted, None
            return self._fast

    def _warm_quietly(self) -> None:
        try:
            self.warm()
        except HonedError:
            if self._numpy is None:
                raise
            self._only_numpy = True  # numpy's vectors fit the golden ones: it goes on alone


def _numpy_encoder(
    layout: Mapping[str, Any], outline: OnnxFile, tokenizer: Any, spec: EncoderSpec
) -> NumpyEncoder | StaticEncoder:
    """Make the numpy encoder over the graph's own weights; ``layout`` names the initializers."""
    names, codes = layout["weights"], layout["codes"]
    arrays = {
        name: outline.array(f"{each}.codes" if name in codes else _stored(outline, each))
        for name, each in names.items()
    }
    scales = {name: outline.array(f"{names[name]}.scales") for name in codes}
    weights = Weights(arrays, scales, layout["transposed"])
    if layout["config"].get("model_type") == STATIC:
        return StaticEncoder(weights, tokenizer, spec)
    return NumpyEncoder(weights, layout["config"], tokenizer, spec)


def _stored(outline: OnnxFile, name: str) -> str:
    return name if name in outline.tensors else f"{name}.bf16"


def load_tokenizer(path: Path) -> Any:
    """Load a tokenizer file, after refusing what is known to abort or to swell."""
    try:
        content = path.read_bytes()
        if b"charsmap" in content or b"\\u" in content:  # the latter may spell anything
            json.loads(content, object_pairs_hook=_check_charsmaps)
    except (ValueError, TypeError, RecursionError) as error:
        raise ArtifactError("E_BUNDLE_TOKENIZER", f"{path}: {error}") from error
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(content.decode())
        _check_tokenizer(tokenizer)
    except BaseException as error:  # a panic of the library is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise ArtifactError("E_BUNDLE_TOKENIZER", f"{path}: {str(error)[:200]}") from None
    return tokenizer


def _check_tokenizer(tokenizer: Any) -> None:
    """Check what the library made of the file: no padding, no normalizer that swells a text."""
    for key in ("padding", "truncation"):
        if getattr(tokenizer, key) is not None:
            raise ValueError(f"{key} is set; a bundle's tokenizer has none")
    if tokenizer.normalizer is None:
        return
    growth = 1
    for part in _parts(json.loads(tokenizer.normalizer.__getstate__()), "normalizers"):
        if part.get("type") in ("Replace", "Prepend"):
            growth *= max(1, len(str(part.get("content", part.get("prepend", "")))))
        if growth > 64:
            raise ValueError(f"normalizer {part['type']}: would make text {growth} times longer")


def _parts(node: Any, key: str) -> list[Mapping[str, Any]]:
    """Return all steps of a nested sequence."""
    if node is None:
        return []
    if node.get("type") == "Sequence":
        return [part for each in node[key] for part in _parts(each, key)]
    return [node]


def _check_charsmaps(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a compiled table whose first number, the size of its first part, does not fit the table."""
    import base64

    for key, value in pairs:
        if key == "precompiled_charsmap":
            raw = base64.b64decode(value, validate=True)
            size = int.from_bytes(raw[:4], "little")
            if not 4 <= size <= len(raw) - 4 or size % 4:
                raise ValueError("normalizer Precompiled: its table does not fit its size")
    return dict(pairs)
