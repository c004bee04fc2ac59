"""The stage "queries": a language model writes queries for documents, to train on beside the judged ones."""

import logging
from dataclasses import asdict
from pathlib import Path

from honed.artifacts.data import CheckArtifact, Examples
from honed.config.config import Config
from honed.core.errors import ConfigError
from honed.core.json import Json
from honed.core.records import Document
from honed.core.stage import Stage, Work
from honed.core.text import fold
from honed.data import task
from honed.data.endpoint import Endpoint, open_endpoint, written_queries
from honed.shapes.judgments.compile import made_queries
from honed.shapes.judgments.config import JudgmentsConfig
from honed.shapes.judgments.read import Judgments
from honed.shapes.judgments.synthetic import Write

log = logging.getLogger("honed")
_TELL_EVERY = 50


class QueriesArtifact(Examples):
    """Training examples with the queries that a language model wrote."""


def _settings(config: Config, root: Path) -> dict[str, Json]:
    section = config.section(JudgmentsConfig)
    assert section is not None and config.endpoint is not None  # the stage is wanted only then
    answers = ("url", "model", "answer_tokens", "temperature")
    names = ("synthetic", "synthetic_kinds", "synthetic_documents", "seed")
    return {
        "judgments": {name: asdict(section)[name] for name in names},
        "endpoint": {name: getattr(config.endpoint, name) for name in answers},
    }


def _run(work: Work[Config]) -> dict[str, Json]:
    """Write queries for the documents of the corpus; what people ask in dev or test is left out."""
    section, check = work.config.section(JudgmentsConfig), work.inputs.need(CheckArtifact)
    if section is None or work.config.endpoint is None:
        raise ConfigError("E_CONFIG_MISSING", 'judgments.synthetic_kinds "endpoint" needs [endpoint]')
    documents = {
        entity.entity_id: Document(doc_id=entity.entity_id, text=entity.label, fields=entity.fields)
        for entity in task.load_entities(check.folder)
    }
    asked = frozenset(
        fold(query.text) for split in ("dev", "test") for query in check.task(task.FORWARD, split).queries
    )
    endpoint = open_endpoint(work.config.endpoint, work.root / work.config.paths.output)
    written = made_queries(Judgments(documents=documents), section, asked, _telling(endpoint))
    log.info("%s", endpoint.spent)
    examples = check.examples() + written
    task.save_examples(work.folder / task.EXAMPLES, examples)
    return {"written": len(written), "spent": str(endpoint.spent)}


def _telling(endpoint: Endpoint) -> Write:
    """Return the function that has a language model write queries for a text, and logs what that took."""

    def write(text: str, n: int) -> list[str]:
        queries = written_queries(endpoint, text, n)
        done = endpoint.spent.requests + endpoint.spent.kept
        if done % _TELL_EVERY == 0:
            log.info("%s", endpoint.spent)
        return queries

    return write


def _wanted(config: Config) -> bool:
    section = config.section(JudgmentsConfig)
    return section is not None and section.writes_queries


STAGE: Stage[Config] = Stage(
    name="queries",
    artifact=QueriesArtifact,
    needs=(CheckArtifact,),
    wanted=_wanted,
    settings=_settings,
    run=_run,
)
