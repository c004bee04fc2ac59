"""A project in Python: from data frames, lists or files to a model that is searched, measured and shipped."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self, TypedDict, Unpack, overload

from honed.api import frames
from honed.api.create import TUPLE_ROLES
from honed.api.frames import Data
from honed.api.notebook import progress_bars
from honed.api.server import BackgroundServer
from honed.api.tables import TablesWorkspace
from honed.artifacts.data import Audit
from honed.artifacts.index import IndexArtifact
from honed.artifacts.models import DistilArtifact, MineArtifact, TrainArtifact
from honed.artifacts.report import Report
from honed.core.artifacts import A, Artifact
from honed.core.errors import ConfigError
from honed.core.filters import Filter
from honed.core.json import Json, JsonObject
from honed.core.optional import require
from honed.core.progress import show_progress_by_default
from honed.core.protocols import Role, Vectors
from honed.core.records import Answer
from honed.core.stage import Inputs
from honed.core.writing import write_text
from honed.evaluate.results import GateResult
from honed.explain.explanation import ExplanationSet
from honed.feedback.click_judgments import ClickJudgments, ClickOptions, judgments_from_ubi, write_judgments
from honed.feedback.ubi_log import log_parts
from honed.label.report import LabelReport
from honed.pipeline.honed_toml import toml_text, with_overrides
from honed.pipeline.runner import Listener
from honed.project.compare import ComparisonReport, compare
from honed.project.doctor import examine
from honed.project.estimate import RunEstimate
from honed.project.explain import PairExplainer
from honed.project.export import ExportOptions, export_bundle
from honed.project.hub import export_hub
from honed.project.judge import JudgeReport, judge_project
from honed.project.labels import Suggestions, allow_rules, import_hand_labels, suggestions
from honed.project.models import ModelEntry, list_models
from honed.project.planned import estimate, fit_into
from honed.project.search import SearchOptions, answer_queries, write_passages
from honed.project.seeds import SeedsReport, run_seeds
from honed.project.tune import TuneRequest, tune_index
from honed.project.tune_data import project_data
from honed.project.update import Updated, UpdateOptions, update
from honed.project.verify import Verified, refuse_damaged, verify_project
from honed.project.workspace import Workspace, refuse_failed
from honed.search.hits import HitList
from honed.search.request import direction_of
from honed.shapes.grouped.parts import TripletReport
from honed.shapes.labels.labeling import LabelArtifact
from honed.shapes.relations.compile import TripletArtifact
from honed.train.history import TrainingHistory
from honed.train.reports import MiningReport, StudentReport

if TYPE_CHECKING:
    from honed.connect.push import PushResult


class _SearchOptions(TypedDict, total=False):
    target: str
    direction: str
    where: Filter | None
    rerank: bool


class Project(TablesWorkspace):
    """A team's data and all that honed makes of it: a folder with a honed.toml, or data that Python holds.

    Examples:
        >>> from honed import Project
        >>> project = Project.from_pairs(
        ...     [("UdeG", "Universidad de Guadalajara"), ("UNAM", "Universidad Nacional Autónoma de México")]
        ... )
        >>> project.check().books.accepted
        2
        >>> project.settings["data"]["columns"]
        {'label': 'label', 'alias': 'alias'}
    """

    def __init__(
        self, folder: str | Path, *, settings: Mapping[str, Json] | None = None, listener: Listener | None = None
    ) -> None:
        """Open the project of ``folder/honed.toml`` (or of the file itself).

        ``settings`` are put in the place of what stands there: "section.key" to a value, "section" to its keys, to True
        (its defaults) or to None (left out). ``listener(stage, state, seconds)`` hears what a run does.
        """
        super().__init__(folder, overrides=settings, listener=listener)

    def _open(self, settings: JsonObject, file: Path, listener: Listener | None) -> None:
        super()._open(settings, file, listener)
        self._explainer: PairExplainer | None = None
        show_progress_by_default(progress_bars())

    def with_settings(self, settings: Mapping[str, Json]) -> Self:
        """Return the same data with other settings (see `Project`): a project with results of its own.

        Artifacts that do not depend on what is changed are shared; what the folder remembers as its last run stays.
        """
        changed = self.changed(settings)
        changed.runner.keep_latest_apart()
        changed._place = self._place
        return changed

    def write_settings(self) -> Path:
        """Write the settings as the honed.toml of the project's folder, for the command line; returns its path."""
        write_text(self.file, toml_text(self.settings))
        return self.file

    # -- stages ------------------------------------------------------------------------------------

    def run(self, *, start: str | None = None, until: str | None = None, minutes: float = 0.0) -> dict[str, Artifact]:
        """Run every stage that does not stand, from ``start`` on anew; returns the artifact of each stage by its name.

        With ``minutes`` what fits into them is run, see `honed.project.planned.fit_into`.
        Raises `honed.core.errors.GateError` after everything is written when a gate of the report failed.
        """
        self._explainer = None
        if not minutes:
            return super().run(start=start, until=until)
        if start or until:
            raise ConfigError("E_OPTION", "minutes choose what is run: they go without start and until")
        planned, _ = fit_into(self, minutes)
        self.forget_models()
        return planned.run()

    def estimate(self, *, start: str | None = None, until: str | None = None) -> RunEstimate:
        """Return how long a run will take on this machine, and how much memory, by stage; nothing is run."""
        return estimate(self, start=start, until=until)

    def _until(self, stage: str, kind: type[A]) -> A:
        return Inputs(self.run(until=stage)).need(kind)

    def check(self) -> Audit:
        """Import and audit the data; returns what is in it: duplicates, leaks, conflicts, ambiguity, ceiling."""
        self.run(until="check")
        return self.audit()

    def label(self) -> LabelReport:
        """Label all records by rules, lists and a few hand labels; returns how, and how right the labels are."""
        return self._until("label", LabelArtifact).report()

    def label_suggestions(self, terms: int = 10, records: int = 10) -> Suggestions:
        """Return ``terms`` for each class that are worth adding to lists, and ``records`` worth a hand label."""
        return suggestions(self, terms, records)

    def allow_rules(self) -> list[Path]:
        """Agree that the rules run on this machine as they are now; returns the files, see `honed.label.consent`."""
        return allow_rules(self)

    def import_labels(self, data: Data, *, id: str = "", label: str = "", who: str = "") -> int:  # noqa: A002
        """Add the hand labels of a table (rows, or tuples (id, label)); returns how many.

        Raises `honed.core.errors.DataError` for a class or a record that is not there; nothing is added then.
        """
        with TemporaryDirectory() as folder:
            (file,) = frames.paths_of(data) or [frames.write_parquet(data, Path(folder) / "l.parquet", ("id", "label"))]
            return import_hand_labels(self, file, who=who, id_column=id, label_column=label)

    def triplets(self) -> TripletReport:
        """Build triplets from sentences; returns how many of what, with samples."""
        return self._until("triplets", TripletArtifact).report()

    def mine(self) -> MiningReport:
        """Mine hard negatives; returns how they were chosen, with samples."""
        return self._until("mine", MineArtifact).mining()

    def train(self) -> TrainingHistory:
        """Fine-tune the model; returns the history of the training."""
        return self._until("train", TrainArtifact).history()

    def distil(self) -> StudentReport:
        """Distil a small student; returns how it stands to its teacher on dev."""
        return self._until("distil", DistilArtifact).student()

    def index(self) -> IndexArtifact:
        """Build the index; returns its artifact."""
        return self._until("index", IndexArtifact)

    def evaluate(self) -> Report:
        """Measure what was made, whether its gates are met or not; returns the report."""
        self.runner.run(until="evaluate")
        self.forget_models()
        return self.report()

    def gate(self) -> list[GateResult]:
        """Return the gates of the last report; raises `honed.core.errors.GateError` where one is not met."""
        gates = self.report().gates
        refuse_failed(gates)
        return gates

    def run_seeds(self, seeds: Sequence[int]) -> SeedsReport:
        """Run once for each seed; returns every measure over all of them, see `honed.project.seeds.run_seeds`."""
        return run_seeds(self, seeds)

    def update(self, data: Data, options: UpdateOptions | None = None) -> Updated:
        """Teach the trained model new rows, and take the result only where it did not forget.

        ``data`` has the columns of the project's, or is tuples as for the constructors. Returns what was learned;
        raises `honed.core.errors.GateError` where it forgot.
        """
        file = self.root / "data" / f"update{len(list((self.root / 'data').glob('update*.parquet')))}.parquet"
        columns = self.config.data.columns
        names = [columns[role] for role in TUPLE_ROLES.get(self.config.data.shape, ()) if role in columns]
        paths = frames.paths_of(data) or [frames.write_parquet(data, file, names)]
        updated = update(self, paths, options)
        self.forget_models()
        refuse_failed(updated.gates)
        return updated

    def compare(self, other: "Workspace | str | Path", systems: tuple[str, str] = ("", "")) -> ComparisonReport:
        """Return how another evaluation of the same queries stands to this one's; see `honed.project.compare`."""
        return compare(self, other if isinstance(other, Workspace) else Path(other), systems)

    # -- asking ------------------------------------------------------------------------------------

    @overload
    def search(self, texts: str, k: int = 10, **options: Unpack[_SearchOptions]) -> HitList: ...  # type: ignore[overload-overlap]
    @overload
    def search(self, texts: Sequence[str], k: int = 10, **options: Unpack[_SearchOptions]) -> list[HitList]: ...

    def search(
        self,
        texts: str | Sequence[str],
        k: int = 10,
        *,
        target: str = "",
        direction: str = "",
        where: Filter | None = None,
        rerank: bool = False,
    ) -> HitList | list[HitList]:
        """Return up to ``k`` hits for a text, best first, or such a list for each of several texts.

        ``target`` is what is looked for: "entities" (or "documents"), or their "aliases"; ``direction`` is the older
        word for it. ``where`` is a filter on fields, see `honed.core.filters`. ``rerank`` lets the cross-encoder judge
        the first hits.
        """
        many = [texts] if isinstance(texts, str) else texts
        options = SearchOptions(k=k, direction=direction_of(target, direction), where=where, rerank=rerank)
        hits = [HitList(answer.hits) for answer in answer_queries(self, many, options)]
        return hits[0] if isinstance(texts, str) else hits

    def answer(self, text: str, k: int = 10, *, candidates: bool = False, hyde: bool = False) -> Answer:
        """Return the hits of a text with the chance that the first is right, and a set of candidates if asked for.

        ``hyde`` searches also with a passage that the language model of [endpoint] writes.
        """
        passages = write_passages(self, [text])[0] if hyde else []
        return answer_queries(self, [text], SearchOptions(k=k, candidates=candidates, passages=passages))[0]

    def similar(self, doc_id: str, k: int = 10, *, where: Filter | None = None) -> HitList:
        """Return the ``k`` entities nearest to one, by meaning alone; see `honed.search.searcher.Searcher.similar`."""
        return self.searcher().similar(doc_id, k, where=where)

    def judgments_from_ubi(
        self, files: str | Path | Sequence[str | Path], out: str | Path = "clicks", options: ClickOptions | None = None
    ) -> ClickJudgments:
        """Make judgements of the clicks in logs of User Behavior Insights, with what position does taken out.

        They are written to the folder ``out``, relative to that of the project, as tables for `from_judgments` and
        [queries]; older parts of a log (``FILE.1``, ...) are read too. Returns them with what they were made of.
        Raises `honed.core.errors.DataError` where the clicks suffice for none.
        """
        paths = [files] if isinstance(files, str | Path) else files
        parts = [part for path in paths for part in log_parts(Path(path))]
        judged = judgments_from_ubi(parts, options or ClickOptions())
        write_judgments(judged, self.root / out)
        return judged

    def judge(self, *, force: bool = False) -> JudgeReport:
        """Let the language model of [judge] grade the first hits of all systems; returns what that is worth.

        Its grades stand apart from all stages, measures and gates, and are corrected by the people who judged.
        ``force`` goes on though it does not agree with people. Raises `honed.core.errors.DataError` without that.
        """
        return judge_project(self, force=force)

    def encode(self, texts: Sequence[str], role: Role = "document") -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` of texts, by the model of the last run."""
        return self.searcher().encoder.encode(list(texts), role)

    def explain(self, first: str, second: str, *, model: str = "") -> ExplanationSet:
        """Return what each word adds to the likeness of two texts, for every model of the last run or for one.

        The first is read as a query, the second as a document.
        """
        if self._explainer is None:
            self._explainer = PairExplainer.of(self)
        return self._explainer.explain(first, second, only=model)

    def show(self, stage: str) -> Artifact:
        """Return the artifact of a stage of the last run: its folder, and what it was made from."""
        return self.runner.latest_of(stage)

    def verify(self) -> list[Verified]:
        """Compare every file of every artifact with its hash; raises `honed.core.errors.ArtifactError` naming one."""
        return refuse_damaged(verify_project(self.runner))

    @staticmethod
    def models(name: str = "", *, measure: bool = False) -> list[ModelEntry]:
        """Return the base models with a short name, or one by its name or folder: facts, place and speed here."""
        return list_models(name, measure=measure)

    def doctor(self) -> JsonObject:
        """Return what this machine has and what would run where, by section; ``problems`` are of the folder's settings.

        The settings are those of a honed.toml in the folder, see `write_settings`.
        """
        return examine(self.root)

    # -- shipping ----------------------------------------------------------------------------------

    def tune(self, request: TuneRequest | None = None, *, write: bool = False) -> dict[str, Json]:
        """Find the best index for a budget, see `honed.project.tune`; ``write`` takes it into the settings.

        Returns the report as plain data; pictures are in the folder ``tune`` beside the results.
        """
        request = request or TuneRequest()
        report = tune_index(project_data(self, request.queries), request, self.runner.output / "tune")
        if write and report["settings"] is not None:
            self._open(with_overrides(self.settings, {"index": report["settings"]}), self.file, self.runner.tell)
        return report

    def export(self, target: str | Path, options: ExportOptions | None = None) -> Path:
        """Write the last run as a bundle that answers without PyTorch; a zip by its name. Returns its path."""
        return export_bundle(self, Path(target), options)

    def export_hub(self, target: str | Path) -> Path:
        """Write the model of the last run as a folder that sentence-transformers and the Hub read; returns its path."""
        return export_hub(self, Path(target))

    def serve(self, bundle: str | Path | None = None, *, port: int = 0) -> BackgroundServer:
        """Serve a bundle (by default one that is exported first) in a process of its own; see `honed.api.server`."""
        return BackgroundServer(Path(bundle) if bundle else self.export(self.runner.output / "bundle"), port=port)

    def push(self, database: str, *, collection: str = "items", schema: str = "honed") -> "PushResult":
        """Write the catalogue with its vectors to PostgreSQL, as a new version in the old one's place."""
        require("PostgreSQL")
        from honed.connect.database import CollectionRef
        from honed.connect.push import push

        return push(self.searcher(), CollectionRef(dsn=database, schema=schema, collection=collection))
