"""What shapes with judged tasks have in common: queries, documents, and which documents are right for a query."""

from collections.abc import Sequence

from honed.artifacts.data import CheckArtifact
from honed.artifacts.report import JudgedReport, Report
from honed.config.config import Config
from honed.config.sections import MOST_QUERIES
from honed.core.errors import ConfigError, DataError
from honed.core.records import JudgedTask, Run
from honed.core.stage import Inputs, Work
from honed.data.task import Name
from honed.evaluate.measures import JUDGED_MEASURES
from honed.shapes.report_page import render_judged
from honed.shapes.shape import JUDGED_SECTIONS, DevScore, DirectionPlan, Evaluation, ShapeBase
from honed.shapes.systems import dev_reciprocal_rank, narrowed, sampled, task_analyzer, word_runs

DEV_CHARS = 2_500_000  # of the corpus that dev is searched in while training; a hundred seconds a look at most
MAIN = "alias-to-label"  # what the folder of the main direction's tasks is called, whatever the shape


class JudgedShape(ShapeBase):
    """A shape that compiles to judged tasks; by default one direction, from queries to documents."""

    optional = JUDGED_SECTIONS
    report = JudgedReport
    title = "query-to-document"

    def directions(self, config: Config) -> Sequence[DirectionPlan]:
        """Return the one direction from queries to documents."""
        return (DirectionPlan(name=MAIN, title=self.title, measures=JUDGED_MEASURES),)

    def check_config(self, config: Config, file: str) -> None:
        """Raise `ConfigError` for sections without those that they need."""
        self._check_needs(
            config,
            file,
            {
                "mine": ("train",),
                "distil": ("train",),
                "cross_encoder": ("mine",),
                "hybrid": ("index",),
                "answers": ("hybrid",),
                "gate": ("train", "evaluate", "index"),
                "evaluate": ("index",) if config.train else ("baselines",),
            },
        )
        if config.gate and not config.baselines:
            message = f"{file}: [gate] needs the section [baselines], which holds the base model"
            raise ConfigError("E_CONFIG_MISSING", message)
        if config.distil and config.distil.method == "pairs" and not config.mine:
            raise ConfigError("E_CONFIG_MISSING", f"{file}: distil.method pairs needs the section [mine]")
        if config.wants_scores and not config.cross_encoder:
            message = f"{file}: {config.wants_scores} needs the section [cross_encoder]"
            raise ConfigError("E_CONFIG_MISSING", message)

    def lexical_runs(
        self, test: JudgedTask, direction: DirectionPlan, check: CheckArtifact, config: Config
    ) -> list[Run]:
        """Return the runs of word search."""
        return word_runs(test, task_analyzer(test, config), self.depth(config))

    def known_names(self, check: CheckArtifact) -> Sequence[Name]:
        """Return none: queries of people are not names of documents."""
        return ()

    def dev_score(self, work: Work[Config]) -> DevScore:
        """Return MRR@10 on dev; of a long corpus the right documents are searched and a fixed draw of others."""
        dev = dev_task(self, work)
        return lambda encoder: dev_reciprocal_rank(encoder, dev)

    def sample_queries(self, inputs: Inputs, texts: Sequence[str]) -> list[str]:
        """Return the test queries, or the names in the index where there are none."""
        test = inputs.need(CheckArtifact).task(MAIN, "test")
        return list(dict.fromkeys(query.text for query in test.queries)) or list(texts)

    def evaluate(self, evaluation: Evaluation) -> Report:
        """Measure every system on the judged tasks."""
        return evaluation.judged_report(self.directions(evaluation.work.config))

    def render(self, report: Report) -> str:
        """Return the page of the report."""
        assert isinstance(report, JudgedReport)
        return render_judged(report, self.describe_audit(report.audit))


def measured_task(work: Work[Config], direction: str, split: str) -> JudgedTask:
    """Load a judged task, of more queries than ``evaluate.queries`` a fixed draw; `DataError` when its split is empty.

    Exact search of every query in all documents would be quadratic in the rows.
    """
    return sampled(judged_task(work.inputs, direction, split), work.config.most_queries, work.config.seed)


def judged_task(inputs: Inputs, direction: str, split: str) -> JudgedTask:
    """Load a judged task; `DataError` when its split is empty."""
    task = inputs.need(CheckArtifact).task(direction, split)
    if not task.queries:
        raise DataError("E_SPLIT_EMPTY", f"the {split} split is empty: too few entities, or set [split] test and dev")
    return task


def dev_task(shape: JudgedShape, work: Work[Config]) -> JudgedTask:
    """Return dev as it is looked at while training, see `JudgedShape.dev_score`."""
    dev = judged_task(work.inputs, shape.directions(work.config)[0].name, "dev")
    return narrowed(sampled(dev, MOST_QUERIES, 0), DEV_CHARS)
