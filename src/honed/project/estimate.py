"""How long each stage of a run will take on this machine, and how much memory, before it is done."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory

from honed.artifacts.data import CheckArtifact, ImportArtifact
from honed.config.config import Config
from honed.config.sections import MOST_QUERIES
from honed.core.artifacts import Artifact
from honed.core.effort import DataFacts, Effort, Texts
from honed.core.json import parse_object
from honed.core.records import JudgedTask
from honed.core.stage import Inputs
from honed.data.task import EXAMPLES, NAMES
from honed.encode.base_models import local_folder
from honed.encode.wordpieces import token_counter
from honed.pipeline.runner import Plan
from honed.project.speeds import Speeds
from honed.project.workspace import Workspace
from honed.shapes.judged import DEV_CHARS
from honed.shapes.registry import shape_of
from honed.shapes.systems import narrowed, sampled

_SAMPLE = 400  # texts whose tokens are counted
_CHARS_A_TOKEN, _MOST_TOKENS = 4.5, 256  # where the model's own cannot be asked
_BYTES_A_PARAMETER = 4
_PROCESS_MB = 700  # PyTorch and the libraries, before any model
_UNTIL = "check"


@dataclass(frozen=True, kw_only=True, slots=True)
class StageEstimate:
    """What a stage will take: seconds, 0 where it stands, and MB of memory at its peak.

    ``seconds`` is None for a stage that says nothing of its effort: most such take seconds.
    """

    plan: Plan
    seconds: float | None
    mb: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEstimate:
    """What all stages of a run will take."""

    stages: Sequence[StageEstimate]

    @property
    def seconds(self) -> float:
        """The seconds of all stages that say what they do."""
        return sum(stage.seconds or 0.0 for stage in self.stages)

    @property
    def mb(self) -> float:
        """The MB of memory of the stage that needs most."""
        return max((stage.mb for stage in self.stages), default=0.0)

    def by_stage(self) -> Mapping[str, float]:
        """Return the seconds of each stage that has to run and says what it does."""
        return {stage.plan.stage.name: stage.seconds for stage in self.stages if stage.seconds}


def data_facts(project: Workspace) -> DataFacts:
    """Return what the estimates follow from, read from the audited data.

    Where the stages up to "check" do not stand they are made in a folder that is then removed: nothing of the project
    changes. Raises what they raise.
    """
    stands = {plan.stage.name: plan for plan in project.plan(until=_UNTIL)}
    if all(plan.stands for plan in stands.values()):
        store = project.runner.store
        found: dict[str, Artifact | None] = {
            name: store.find(plan.key, plan.stage.artifact) for name, plan in stands.items()
        }
        return facts_of(project.config, Inputs({name: artifact for name, artifact in found.items() if artifact}))
    with TemporaryDirectory() as folder:
        apart = project.changed({"paths.output": folder}, listener=lambda *_: None)
        return facts_of(project.config, Inputs(apart.runner.make(until=_UNTIL)))


def facts_of(config: Config, inputs: Inputs) -> DataFacts:
    """Return the facts of audited data: of judged tasks, or of the records where the shape has none."""
    counted = _token_counter(config)
    directions = shape_of(config).directions(config)
    if not directions:
        return _of_model(_facts_of_records(config, inputs, counted), config)
    check, main = inputs.need(CheckArtifact), directions[0].name
    test, dev = check.task(main, "test"), check.task(main, "dev")
    examples = check.examples() if check.has(EXAMPLES) else []
    names = [name.text for name in check.names()] if check.has(NAMES) else []
    small = narrowed(dev, DEV_CHARS)
    facts = DataFacts(
        documents=_texts((doc.encoder_text() for doc in test.corpus), counted),
        dev_documents=_texts((doc.encoder_text() for doc in small.corpus), counted),
        names=_texts(dict.fromkeys(names), counted),
        test=_queries(sampled(test, config.most_queries, config.seed), counted),
        dev=_queries(sampled(dev, MOST_QUERIES, 0), counted),
        directions=len(directions),
        anchors=_texts(dict.fromkeys(example.anchor for example in examples), counted),
        positives=_texts((example.positive for example in examples), counted),
        examples=len(examples),
    )
    return _of_model(facts, config)


def _of_model(facts: DataFacts, config: Config) -> DataFacts:
    """Return the facts with the size of the base model, where its files are at hand."""
    folder = local_folder(config.model.base)
    if folder is None or not (folder / "config.json").is_file():
        return facts
    stated = parse_object((folder / "config.json").read_text(encoding="utf-8"))
    size = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    width = stated.get("hidden_size")
    dim = config.model.dim or (width if isinstance(width, int) else facts.dim)
    return replace(facts, dim=dim, parameters=size / _BYTES_A_PARAMETER / 1e6)


def _facts_of_records(config: Config, inputs: Inputs, counted: Callable[[str], int]) -> DataFacts:
    roles = [role.name for role in shape_of(config).roles if role.kind == "text"]
    records = inputs.need(ImportArtifact).records()
    whole = _texts((" ".join(str(record.get(role) or "") for role in roles) for record in records), counted)
    held_out, dev = config.split.test, config.split.dev
    return DataFacts(
        documents=whole,
        dev_documents=whole.times(1 - held_out),
        names=whole,
        test=whole.times(held_out),
        dev=whole.times(dev),
        anchors=whole.times(1 - held_out - dev),
        positives=whole,
        examples=round(whole.count * (1 - held_out - dev)),
    )


def _queries(judged: JudgedTask, counted: Callable[[str], int]) -> Texts:
    return _texts((query.text for query in judged.queries), counted)


def _texts(texts: Iterable[str], counted: Callable[[str], int]) -> Texts:
    """Return how many texts there are, and the mean length of some of them, evenly spaced."""
    listed = list(texts)
    if not listed:
        return Texts()
    sample = listed[:: max(1, len(listed) // _SAMPLE)]
    return Texts(count=len(listed), tokens=sum(map(counted, sample)) / len(sample))


def _token_counter(config: Config) -> Callable[[str], int]:
    """Return what counts the tokens that the base model reads of a text."""
    most = config.model.max_length or _MOST_TOKENS
    folder = local_folder(config.model.base)
    count = token_counter(folder) if folder else None
    if count is None:
        return lambda text: min(most, 2 + round(len(text) / _CHARS_A_TOKEN))
    return lambda text: min(most, count(text))


def estimate_run(plans: Sequence[Plan], config: Config, facts: DataFacts, speeds: Speeds) -> RunEstimate:
    """Return what the stages of a plan will take."""
    return RunEstimate(stages=[_estimate(plan, config, facts, speeds) for plan in plans])


def _estimate(plan: Plan, config: Config, facts: DataFacts, speeds: Speeds) -> StageEstimate:
    if plan.stands:
        return StageEstimate(plan=plan, seconds=0.0, mb=0.0)
    if plan.stage.effort is None:
        return StageEstimate(plan=plan, seconds=None, mb=0.0)
    effort = plan.stage.effort(config, facts)
    seconds = speeds.seconds(effort, facts.dim, plan.stage.name)
    return StageEstimate(plan=plan, seconds=seconds, mb=peak_mb(effort, facts))


def peak_mb(effort: Effort, facts: DataFacts) -> float:
    """Return the MB of memory at the peak of an effort: libraries, model, vectors, and what it says itself."""
    return _PROCESS_MB + 4 * facts.parameters + effort.vectors * facts.dim * 4 / 1e6 + effort.mb
