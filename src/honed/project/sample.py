"""A quick look: a sample of the test queries, base, tuned and lexical systems; nothing is written."""

from honed.artifacts.data import CheckArtifact
from honed.artifacts.index import IndexArtifact
from honed.artifacts.models import TrainArtifact
from honed.artifacts.report import JudgedReport
from honed.core.errors import ConfigError
from honed.core.stage import Inputs
from honed.encode.models import encoder_source
from honed.evaluate.score import TaskScores, task_ceiling
from honed.index.lexical import TfidfIndex
from honed.project.workspace import Workspace
from honed.shapes.registry import shape_of
from honed.shapes.systems import BASE, LETTERS, TUNED, encoder_run, sampled, text_run


def sample_report(project: Workspace, size: int) -> JudgedReport:
    """Return a report over ``size`` test queries; `ConfigError` for a shape without judged tasks."""
    config = project.config
    directions = shape_of(config).directions(config)
    if not directions:
        raise ConfigError(
            "E_OPTION", f'a quick look is for judged tasks, which data.shape = "{config.data.shape}" lacks'
        )
    main = directions[0]
    artifacts = Inputs(project.runner.run(until="index" if config.index else "check"))
    whole = artifacts.need(CheckArtifact).task(main.name, "test")
    judged = sampled(whole, size, config.seed)
    scores = TaskScores(judged, main.measures, seed=config.seed)
    scores.add(text_run(LETTERS, lambda texts: TfidfIndex(texts), judged, 10))
    scores.add(encoder_run(BASE, encoder_source(config.model).load(), judged, 10))
    trained, index = artifacts.find(TrainArtifact), artifacts.find(IndexArtifact)
    if trained and index:
        encoder = trained.source(config.model.precision).load()
        stored = index.vector_of_text()
        scores.add(encoder_run(TUNED, encoder, judged, 10, stored=stored))
    first = main.measures[0]
    return JudgedReport(
        title=f"a sample of {len(judged.queries)} queries",
        protocol=config.split.protocol,
        published=[],
        audit={},
        seed=config.seed,
        versions={},
        direction=main.title,
        headline=[str(first)],
        n_queries=len(judged.queries),
        n_candidates=len(judged.corpus),
        ceiling=round(task_ceiling(judged), 5) if main.bounded else None,
        systems=scores.systems(),
        comparisons=[scores.compare(TUNED, BASE, first)] if TUNED in scores.scores else [],
        gates=[],
        own_documents=len(scores.own),
    )
