"""``honed export``: the last run as a bundle that answers without PyTorch."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from honed.artifacts.data import CheckArtifact
from honed.artifacts.evaluation import REPORT, REPORT_PAGE, EvaluateArtifact
from honed.artifacts.index import HybridArtifact, IndexArtifact
from honed.artifacts.models import CrossEncoderArtifact
from honed.bundle.facts import DocumentSide
from honed.bundle.layout import REPORT as BUNDLE_REPORT
from honed.bundle.layout import REPORT_PAGE as BUNDLE_PAGE
from honed.bundle.layout import HybridFiles, RerankerFiles
from honed.bundle.seal import signer_of
from honed.bundle.write import BundleContent, write_bundle
from honed.core.errors import ConfigError
from honed.core.fingerprint import fingerprint
from honed.core.json import Json, JsonObject
from honed.core.sections import limits
from honed.data.split import unit_interval
from honed.encode.config import VOCABULARIES
from honed.encode.models import ExactModel
from honed.encode.onnx_file import PRECISIONS
from honed.project.facts import project_facts
from honed.project.graphs import EncoderGraph, cross_encoder_graph, encoder_graph
from honed.project.parity import BOUNDS, check_parity, compare
from honed.project.vocabulary import save_with_known_vocabulary
from honed.project.workspace import Workspace
from honed.search.searcher import Searcher
from honed.shapes.registry import shape_of
from honed.stages import hybrid
from honed.stages.answers import judged_answers

_PARITY = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportOptions:
    """How a bundle is made; ``most_flips`` replaces the bound of its precision (a share of the queries).

    ``vocabulary`` "known" leaves the model the pieces that the catalogue and what it was taught need.
    """

    precision: str = field(default="fp32", metadata=limits(one_of=PRECISIONS))
    private_key: Path | None = None
    most_flips: float | None = field(default=None, metadata=limits(low=0, high=1))
    vocabulary: str = field(default="whole", metadata=limits(one_of=VOCABULARIES))

    def bounds(self) -> tuple[float, float]:
        """Return the share of top-1 answers that may differ, and the least mean cosine."""
        flips, cosine = BOUNDS[self.precision]
        return flips if self.most_flips is None else self.most_flips, cosine


def export_bundle(project: Workspace, target: Path, options: ExportOptions | None = None) -> Path:
    """Write the index of the last run with its encoder, names, report and measures as a bundle (a zip by its name).

    The bundle's answers are compared with the trained model's on up to 2,000 queries; too many others are an
    `ArtifactError`. Raises `ConfigError` when nothing was indexed yet or the target is no place for a bundle.
    """
    options = options or ExportOptions()
    for name, value, known in (
        ("precision", options.precision, PRECISIONS),
        ("vocabulary", options.vocabulary, VOCABULARIES),
    ):
        if value not in known:
            raise ConfigError("E_CONFIG_RANGE", f"{name} {value!r} is not one of {', '.join(known)}")
    key = options.private_key.read_bytes() if options.private_key else None
    if key is not None:
        signer_of(key)  # a key that cannot sign is told before the work
    index = project.runner.latest(IndexArtifact)
    _refuse_place(project, target)
    content = _content(project, index, options, key)
    target.parent.mkdir(parents=True, exist_ok=True)
    check = BundleCheck(project, index, content)

    def parity(folder: Path) -> dict[str, Json]:
        return check.parity(folder, *options.bounds())

    return write_bundle(target, content, parity, check.teach)


def _content(project: Workspace, index: IndexArtifact, options: ExportOptions, key: bytes | None) -> BundleContent:
    """Return the content of a bundle, before anything is measured on it."""
    texts, entities, spec, precision = index.texts(), index.entities(), index.spec(), options.precision
    graph, facts = _graph(project, index, options)
    text_row = {text: row for row, text in enumerate(texts)}
    entity_row = {entity.entity_id: row for row, entity in enumerate(entities)}
    return BundleContent(
        model=graph.model,
        precision=precision,
        numpy=graph.numpy,
        tokenizer=graph.tokenizer,
        spec=spec,
        vectors=index.vectors(),
        texts=texts,
        names=[(text_row[name.text], entity_row[name.entity_id], name.kind) for name in index.names()],
        entities=[(entity.entity_id, entity.label, dict(entity.fields)) for entity in entities],
        settings={"backend": "flat", "names": "labels", **index.settings()},
        facts={**project_facts(project).as_dict(), **facts, **_documents(index)},
        files=_report_files(project),
        hybrid=_hybrid(project),
        reranker=_reranker(project, texts, precision),
        private_key=key,
    )


def _graph(project: Workspace, index: IndexArtifact, options: ExportOptions) -> tuple[EncoderGraph, dict[str, Json]]:
    """Return the model for a bundle, and what is to be told of its vocabulary where that is cut."""
    texts, spec = index.texts(), index.spec()
    prompt = spec.prompt("document" if index.document_models() is None else "query")
    calibration = [prompt + text for text in texts]
    if options.vocabulary == "whole":
        return encoder_graph(index.model_folder(), spec, options.precision, calibration), {}
    with tempfile.TemporaryDirectory() as scratch:
        facts = save_with_known_vocabulary(project, index, parity_queries(project, texts), Path(scratch))
        graph = encoder_graph(Path(scratch), spec, options.precision, calibration)
    return graph, {"vocabulary": msgspec.to_builtins(facts)}


def _documents(index: IndexArtifact) -> dict[str, Json]:
    """Return who encoded the documents, where that is not the model of the bundle."""
    models = index.document_models()
    if models is None:
        return {}
    side = DocumentSide(
        encoded_by="teacher",
        fingerprint=fingerprint(models.load().spec.as_dict()),
        directions=models.directions is not None,
    )
    return {"documents": msgspec.to_builtins(side)}


@dataclass(frozen=True)
class BundleCheck:
    """Measures a bundle that was just written, and teaches its hybrid with what will answer."""

    project: Workspace
    index: IndexArtifact
    content: BundleContent

    def parity(self, folder: Path, most_flips: float, least_cosine: float) -> dict[str, Json]:
        """Return how far the answers are from the trained model's; `ArtifactError` where they are too far."""
        searcher = Searcher.load(folder, notes=False)
        searcher.warm()
        labels = sorted({row for row, _, kind in self.content.names if kind == "label"})
        trained = ExactModel(folder=self.index.model_folder(), spec=self.content.spec).load()
        queries = parity_queries(self.project, self.content.texts)
        measured = compare(trained, self.content.vectors[labels], searcher, queries)
        check_parity(measured, most_flips, least_cosine)
        plain: dict[str, Json] = msgspec.to_builtins(measured)
        return plain

    def teach(self, folder: Path) -> tuple[JsonObject, dict[str, Json]]:
        """Return the hybrid as the bundle's own encoder and vectors taught it, and how its estimates hold."""
        project = self.project
        searcher = Searcher.load(folder, notes=False)
        searcher.warm()
        check, config = project.runner.latest(CheckArtifact), project.config
        main = shape_of(config).directions(config)[0].name
        known = hybrid.known_names(check)
        facts = hybrid.teach(searcher, check.task(main, "dev").with_absent(), config, known)
        if config.answers is not None:
            test = check.task(main, "test").with_absent()
            judged = judged_answers(searcher, test, config.answers, config.seed, known)
            facts["answers"] = msgspec.to_builtins(judged)
        return hybrid.hybrid_data(searcher), facts


def parity_queries(project: Workspace, texts: Sequence[str]) -> list[str]:
    """Return up to 2,000 distinct texts such as people will search with, as drawn."""
    queries = shape_of(project.config).sample_queries(project.runner.latest_inputs(), texts)
    return sorted(queries, key=lambda text: unit_interval(2, text))[:_PARITY]


def _hybrid(project: Workspace) -> HybridFiles | None:
    """Return the hybrid of the last run: plain data and tensors."""
    if project.config.hybrid is None:
        return None
    artifact = project.runner.latest(HybridArtifact)
    return HybridFiles(artifact.data(), artifact.tensors())


def _reranker(project: Workspace, texts: Sequence[str], precision: str) -> RerankerFiles | None:
    """Return the cross-encoder's ONNX file and tokenizer, where it is weighed by a hybrid."""
    if project.config.hybrid is None or project.config.cross_encoder is None:
        return None
    return cross_encoder_graph(project.runner.latest(CrossEncoderArtifact), texts, precision)


def _refuse_place(project: Workspace, target: Path) -> None:
    taken = target.is_file() and target.suffix != ".zip"
    if taken or target.resolve() in (Path.cwd(), project.root.resolve()):
        raise ConfigError("E_OUT", f"{target}: name a new folder (or a .zip) for the bundle")


def _report_files(project: Workspace) -> dict[str, bytes]:
    evaluated = project.runner.find_latest(EvaluateArtifact)
    if evaluated is None:
        return {}
    names = {BUNDLE_PAGE: REPORT_PAGE, BUNDLE_REPORT: REPORT}
    return {name: evaluated.path(file).read_bytes() for name, file in names.items()}
