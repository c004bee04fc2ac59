"""A searcher over the index of a project."""

from honed.artifacts.index import HybridArtifact, IndexArtifact
from honed.bundle.layout import HybridFiles
from honed.bundle.names import NameTable
from honed.core.errors import ArtifactError
from honed.core.protocols import Encoder
from honed.index.stored import StoredVectors
from honed.search.searcher import Searcher
from honed.search.source import Source


def open_searcher(index: IndexArtifact, hybrid: HybridArtifact | None, encoder: Encoder) -> Searcher:
    """Return a searcher over an index artifact with the encoder that made it, and its hybrid where there is one.

    Raises `ArtifactError` for damaged files, an encoder that is another one, and a hybrid over another index.
    """
    index.verify_once()
    if encoder.spec != index.spec():
        raise ArtifactError(
            "E_SPEC", f"{index.folder}: the index was made with another model; build it again with  honed index"
        )
    texts = index.texts()
    entities = [(entity.entity_id, entity.label, dict(entity.fields)) for entity in index.entities()]
    text_row = {text: row for row, text in enumerate(texts)}
    entity_row = {entity[0]: row for row, entity in enumerate(entities)}
    names = [(text_row[name.text], entity_row[name.entity_id], name.kind) for name in index.names()]
    fused = None
    if hybrid is not None:
        hybrid.verify_once()
        if hybrid.manifest.inputs.get("index") != index.folder.name:
            raise ArtifactError("E_HYBRID", f"{hybrid.folder}: made over another index; run  honed run --until hybrid")
        fused = HybridFiles(hybrid.data(), hybrid.tensors())
    return Searcher(
        encoder,
        StoredVectors(index.vectors()),
        NameTable.build(texts, names, entities),
        settings=index.settings(),
        hybrid=fused,
        source=Source(folder=index.folder),
    )
