"""``honed export``: the last run as a bundle that answers without PyTorch, or as a folder for the Hub."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from honed.bundle.layout import REPORT, REPORT_PAGE, HybridFiles, RerankerFiles
from honed.bundle.seal import signer_of
from honed.bundle.write import BundleContent, write_bundle
from honed.core.artifacts import Artifact
from honed.core.errors import ArtifactError, ConfigError
from honed.core.optional import installed_version, require
from honed.core.proportion import wilson
from honed.core.protocols import Encoder, Vectors
from honed.core.records import EncoderSpec
from honed.core.sections import limits
from honed.core.tensors import map_safetensors
from honed.data import task
from honed.data.split import unit_interval
from honed.encode.base_models import licence_of, resolve
from honed.encode.onnx_file import PRECISIONS
from honed.index.exact import ExactIndex
from honed.index.hybrid import HYBRID, HYBRID_TENSORS
from honed.project.model_card import model_card
from honed.project.project import Project
from honed.search.searcher import Searcher
from honed.shapes.relations.retrieval import is_retrieval
from honed.stages import hybrid
from honed.stages.all import read_report
from honed.stages.reports import seed_of

# precision -> (the share of top-1 answers that may differ from the trained model's, least mean cosine of the queries)
BOUNDS = {"fp32": (0.005, 0.9999), "bf16": (0.02, 0.999), "int8": (0.05, 0.999)}
_CALIBRATION, _PARITY, _PAIRS = 512, 2000, 64
_TIE = 1e-5  # cosines of the trained model that differ by less are one: fp32 products differ by as much between CPUs
_FAR, _FAR_BF16 = 0.002, 0.1  # of a cross-encoder's scores, as a share of the largest


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportOptions:
    """How a bundle is made; ``most_flips`` replaces the bound of its precision (a share of the queries)."""

    precision: str = field(default="fp32", metadata=limits(one_of=PRECISIONS))
    private_key: Path | None = None
    most_flips: float | None = field(default=None, metadata=limits(low=0, high=1))


def export_bundle(project: Project, target: Path, options: ExportOptions | None = None) -> Path:
    """Write the index of the last run with its encoder, names, report and measures as a bundle (a zip by its name).

    The bundle's answers are compared with the trained model's on up to 2,000 queries; too many others are an
    `ArtifactError`. Raises `ConfigError` when nothing was indexed yet or the target is no place for a bundle.
    """
    options = options or ExportOptions()
    if options.precision not in PRECISIONS:
        raise ConfigError("E_CONFIG_RANGE", f"precision {options.precision!r} is not one of {', '.join(PRECISIONS)}")
    key = options.private_key.read_bytes() if options.private_key else None
    if key is not None:
        signer_of(key)  # a key that cannot sign is told before the work
    index = project.runner.latest("index")
    _refuse_place(project, target)
    source = index.read_json("encoder.json")
    folder = model_folder(index, source)
    texts = [row["text"] for row in task.read_rows(index.path("texts.parquet"))]
    vectors = np.load(index.path("vectors.npy"), allow_pickle=False)
    spec = EncoderSpec.from_dict(source["spec"])
    model, layout, tokenizer = _graph(folder, spec, options.precision, texts)
    entities = task.read_rows(index.path("entities.parquet"))
    text_row = {text: row for row, text in enumerate(texts)}
    entity_row = {entity["entity_id"]: row for row, entity in enumerate(entities)}
    names = [(text_row[each.text], entity_row[each.entity_id], each.kind) for each in task.load_names(index.folder)]
    content = BundleContent(
        model=model,
        precision=options.precision,
        numpy=layout,
        tokenizer=tokenizer,
        spec=spec,
        vectors=vectors,
        texts=texts,
        names=names,
        entities=[(each["entity_id"], each["label"], json.loads(each["fields"])) for each in entities],
        settings={"backend": "flat", "names": "labels", **index.read_json("index.json")},
        facts=_facts(project),
        files=_report_files(project),
        hybrid=_hybrid(project),
        reranker=_cross_encoder(project, options.precision),
        private_key=key,
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    trained = _trained(folder, spec)
    bound = (options.most_flips, BOUNDS[options.precision][1]) if options.most_flips is not None else None

    def parity(folder: Path) -> dict[str, Any]:
        searcher = Searcher.load(folder)
        searcher.warm()
        queries = _queries(project, texts)
        labels = sorted({row for row, _, kind in names if kind == "label"})
        found = compare(trained, vectors[labels], searcher, queries)
        check_parity(found, *(bound or BOUNDS[options.precision]))
        return found

    def teach(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        searcher = Searcher.load(folder)
        searcher.warm()
        check = project.runner.latest("check").folder
        known = hybrid.known_names(check)
        facts = hybrid.teach(searcher, task.load_task(check, task.FORWARD, "dev"), project.config, known)
        if (section := project.config.answers) is not None:
            test = task.load_task(check, task.FORWARD, "test")
            facts["answers"] = hybrid.judged_answers(searcher, test, section, seed_of(project.config), known)
        return hybrid.hybrid_data(searcher), facts

    return write_bundle(target, content, parity, teach)


def _cross_encoder(project: Project, precision: str) -> RerankerFiles | None:
    """Return the cross-encoder as an ONNX file (bf16 in a bundle that is not fp32), its tokenizer, and facts.

    Its scores are compared with PyTorch's on pairs of labels; `ArtifactError` where they are far apart.
    """
    if project.config.hybrid is None or project.config.cross_encoder is None:
        return None
    from tokenizers import Tokenizer

    from honed.encode import onnx_export
    from honed.encode.cross_encoder import PairScorer
    from honed.encode.onnx_file import aligned
    from honed.encode.pair_graph import PairGraph

    folder = project.runner.latest("cross_encoder").folder / "model"
    scorer = PairScorer.load_folder(folder, precision="fp32")
    model = onnx_export.export_pairs(folder)
    raw = aligned((model if precision == "fp32" else onnx_export.to_bf16(model)).SerializeToString())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    shown = tokenizer.to_str()
    texts = [row["text"] for row in task.read_rows(project.runner.latest("index").path("texts.parquet"))][: _PAIRS + 1]
    pairs = list(pairwise(texts)) or [(texts[0], texts[0])]
    graph = PairGraph.load(raw, Tokenizer.from_str(shown), scorer.max_length)
    exact = scorer.score(pairs)
    far = float(np.abs(graph.score(pairs) - exact).max())
    if far > (_FAR if precision == "fp32" else _FAR_BF16) * max(1.0, float(np.abs(exact).max())):
        raise ArtifactError(
            "E_PARITY", f"the exported cross-encoder scores otherwise than the trained one: by {far:.4f}"
        )
    return RerankerFiles(raw, shown, {"max_length": scorer.max_length, "largest_score_difference": round(far, 6)})


def _hybrid(project: Project) -> HybridFiles | None:
    """Return the hybrid of the last run: plain data and tensors."""
    if project.config.hybrid is None:
        return None
    made = project.runner.latest("hybrid")
    return HybridFiles(made.read_json(HYBRID), map_safetensors(made.path(HYBRID_TENSORS)))


def model_folder(index: Artifact, source: Mapping[str, Any]) -> Path:
    """Return the folder of the model that made an index."""
    if "model" in source:
        return (index.folder / str(source["model"])).resolve()
    return resolve(source["base"]["base"]).folder


def _refuse_place(project: Project, target: Path) -> None:
    taken = target.is_file() and target.suffix != ".zip"
    if taken or target.resolve() in (Path.cwd(), project.file.parent.resolve()):
        raise ConfigError("E_OUT", f"{target}: name a new folder (or a .zip) for the bundle")


def _graph(folder: Path, spec: EncoderSpec, precision: str, texts: Sequence[str]) -> tuple[bytes, Any, str]:
    """Return the ONNX file, the layout of its weights for numpy, and the tokenizer file."""
    require("ONNX export")
    from tokenizers import Tokenizer

    from honed.encode import onnx_export
    from honed.encode.onnx_file import aligned
    from honed.encode.tokens import Tokens

    if not (folder / "tokenizer.json").is_file():
        raise ArtifactError("E_TOKENIZER", f"{folder}: has no tokenizer.json; a bundle needs a fast tokenizer")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    shown = tokenizer.to_str()
    table = onnx_export.static_table(folder)
    model = onnx_export.export_onnx(folder, spec.dim) if table is None else onnx_export.export_static(table)
    names = onnx_export.numpy_names(model, folder, spec) if table is None else None
    if precision == "bf16":
        model = onnx_export.to_bf16(model)
    elif precision == "int8":
        chosen = sorted(texts, key=lambda text: unit_interval(1, text))[:_CALIBRATION]
        ids = Tokens(tokenizer, spec.max_length)([spec.document_prompt + text for text in chosen])
        model = onnx_export.to_int8(model, ids)
    layout = onnx_export.numpy_layout(model, names, folder) if names else None
    if table is not None:
        layout = onnx_export.static_layout(model)
    return aligned(model.SerializeToString()), layout, shown


def _trained(folder: Path, spec: EncoderSpec) -> Encoder:
    from honed.encode.torch_encoder import TorchEncoder, load_model

    return TorchEncoder(load_model(folder), spec, precision="fp32")


def _queries(project: Project, texts: Sequence[str]) -> list[str]:
    """Return up to 2,000 queries: of [retrieval] or the test split, else the names; of records, their first halves."""
    if is_retrieval(project.config):
        asked = task.read_rows(project.runner.latest("retrieval").path("queries.parquet"))
        return sorted({row["text"] for row in asked}, key=lambda text: unit_interval(2, text))[:_PARITY]
    if project.config.data.shape in ("labels", "relations"):
        halves = (" ".join(words[: (len(words) + 1) // 2]) for words in map(str.split, texts))
        return sorted(dict.fromkeys(halves), key=lambda text: unit_interval(2, text))[:_PARITY]
    judged = task.load_task(project.runner.latest("check").folder, task.FORWARD, "test")
    found = list(dict.fromkeys(query.text for query in judged.queries)) or list(texts)
    return sorted(found, key=lambda text: unit_interval(2, text))[:_PARITY]


def compare(trained: Encoder, labels: Vectors, searcher: Searcher, queries: Sequence[str]) -> dict[str, Any]:
    """Return how far a bundle's answers are from the trained model's: top-1 flips, top-10 overlap, cosine, scores.

    Both search the labels by meaning alone, the trained model in fp32 over the stored vectors (``labels``), the bundle
    over its own. Another first hit is a flip where the trained model scores it lower; labels that it scores alike are a
    tie, which either may break in its own way.
    """
    exact = trained.encode(queries, "query")
    found = searcher.encoder.encode(queries, "query")
    cosines = (exact * found).sum(axis=1)
    their_scores, theirs = ExactIndex(labels).search(exact, 10)
    our_scores, ours = searcher.search_labels(found, 10)
    overlap = np.mean([len(set(left) & set(right)) for left, right in zip(ours, theirs, strict=True)]) / ours.shape[1]
    other = ours[:, 0] != theirs[:, 0]
    lower = their_scores[:, 0] - (exact * labels[ours[:, 0]]).sum(axis=1) > _TIE
    return {
        "n_queries": len(queries),
        "engine": getattr(searcher.encoder, "engine", ""),
        "top1_flips": round(float((other & lower).mean()), 5),
        "top1_ties": round(float((other & ~lower).mean()), 5),
        "top10_overlap": round(float(overlap), 5),
        "mean_cosine": round(float(cosines.mean()), 6),
        "min_cosine": round(float(cosines.min()), 6),
        "largest_top1_score_difference": round(float(np.abs(our_scores[:, 0] - their_scores[:, 0]).max()), 6),
    }


def check_parity(found: Mapping[str, Any], most_flips: float, least_cosine: float) -> None:
    """Raise `ArtifactError` where more answers differ than chance explains, or the vectors are too far.

    A share of few queries says little: what must not exceed the allowed share is its low 95 % bound.
    """
    share, n = found["top1_flips"], found["n_queries"]
    low, _ = wilson(round(share * n), n)
    if low > most_flips or found["mean_cosine"] < least_cosine:
        raise ArtifactError(
            "E_PARITY",
            f"the bundle answers too often otherwise than the trained model: {100 * share:.2f} % of {n} top-1 answers "
            f"differ (allowed {100 * most_flips:g} %; {100 * low:.2f} % or more with 95 % confidence), mean cosine "
            f"{found['mean_cosine']} (at least {least_cosine}); export another precision, or raise --most-flips",
        )


def _report_files(project: Project) -> dict[str, bytes]:
    try:
        evaluated = project.runner.latest("evaluate")
    except ConfigError:
        return {}
    return {name: evaluated.path(name).read_bytes() for name in (REPORT_PAGE, REPORT)}


def _facts(project: Project) -> dict[str, Any]:
    """Return what the manifest says of the bundle's origin: fingerprints, versions, licences, measures."""
    fingerprints = {}
    for stage in ("import", "check", "encode", "label", "train", "distil", "index", "evaluate"):
        try:
            fingerprints[stage] = project.runner.latest(stage).key
        except ConfigError:
            continue
    measures = None
    if "evaluate" in fingerprints:
        report = read_report(project.runner.latest("evaluate"))
        measures = {
            "protocol": report["protocol"],
            "n_queries": report["n_queries"],
            "systems": {each["name"]: each["measures"] for each in report["systems"]},
        }
    base = project.config.model.base
    packages = ("honed", "numpy", "tokenizers", "onnxruntime", "onnx", "torch", "sentence-transformers")
    return {
        "title": (project.config.evaluate.title if project.config.evaluate else "")
        or project.file.parent.resolve().name,
        "base_model": Path(base).name if Path(base).is_dir() else base,
        "licences": {"base model": licence_of(base), "data": project.config.data.licence or "not stated"},
        "fingerprints": fingerprints,
        "versions": {name: installed_version(name) for name in packages},
        "measures": measures,
    }


def _training(project: Project) -> dict[str, Any] | None:
    """Return the settings of the training, with the objective that it came to."""
    if project.config.train is None:
        return None
    history = project.runner.latest("train").read_json("history.json")
    return {**asdict(project.config.train), "objective": history.get("objective", project.config.train.objective)}


def export_hub(project: Project, target: Path) -> Path:
    """Write the trained model as a sentence-transformers folder with prompts and a model card, ready for the Hub."""
    index = project.runner.latest("index")
    if target.exists():
        raise ConfigError("E_OUT", f"{target}: exists; name a new folder")
    source = index.read_json("encoder.json")
    spec = EncoderSpec.from_dict(source["spec"])
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(
        model_folder(index, source), beside, ignore=shutil.ignore_patterns("honed_spec.json", "README.md", ".*")
    )
    settings = beside / "config_sentence_transformers.json"
    content = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    content["prompts"] = {"query": spec.query_prompt, "document": spec.document_prompt}
    content["similarity_fn_name"] = "cosine"
    settings.write_text(json.dumps(content, indent=2), encoding="utf-8")
    card = model_card({**_facts(project), "train": _training(project)}, spec)
    (beside / "README.md").write_text(card, encoding="utf-8")
    beside.rename(target)
    return target
