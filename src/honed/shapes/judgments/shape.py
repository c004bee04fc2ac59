"""The shape "judgments": documents, queries, and which documents are right for a query, with grades."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import msgspec

from honed.artifacts.data import CheckArtifact
from honed.config.config import Config
from honed.core.errors import ConfigError
from honed.core.fingerprint import sha256_file
from honed.core.json import Json, JsonObject
from honed.data.rows import Record, Role
from honed.data.tables import file_of, table_files
from honed.data.task import FORWARD, document_entities, label_names
from honed.shapes.judged import JudgedShape
from honed.shapes.judgments import written
from honed.shapes.judgments.compile import (
    JudgmentAudit,
    audit_judgments,
    judged_examples,
    judged_task,
    made_queries,
    queries_not_trained_on,
)
from honed.shapes.judgments.config import JudgmentsConfig
from honed.shapes.judgments.documents import documents_of
from honed.shapes.judgments.parts import judged_parts, kind_of_file
from honed.shapes.judgments.passages import PARENT
from honed.shapes.judgments.propose import judged_proposal, missing_parts
from honed.shapes.judgments.read import read_documents, read_judgments
from honed.shapes.proposal import InitFiles, Proposal
from honed.shapes.shape import Compiled, Source
from honed.shapes.texts import cut_findings


class JudgmentShape(JudgedShape):
    """One row a document; queries and judgements are tables of their own, or TREC's files."""

    name = "judgments"
    summary = "documents, queries, and which documents are right for a query"
    roles: Sequence[Role] = (
        Role(name="id", kind="id", required=True, unique=True),
        Role(name="title", kind="text", required=False, may_be_empty=True),
        Role(name="text", kind="text", required=False, may_be_empty=True),
    )
    keeps_empty_fields = True  # templates ask for columns, filled or not
    sections: Mapping[str, type] = {"judgments": JudgmentsConfig}
    stages = (written.STAGE,)
    updates = True

    def input_files(self, config: Config) -> Sequence[str]:
        """Return the tables of documents, of queries and of judgements."""
        section = _section(config)
        return [*config.paths.input, *section.queries, *section.qrels]

    def with_files(self, config: Config, root: Path, files: Sequence[str]) -> Config:
        """Return a configuration with more documents, queries or judgements, told apart by their columns."""
        section, form = _section(config), config.data.import_config().format
        kinds = {name: kind_of_file(root / name, form) for name in files if name not in self.input_files(config)}
        more = {kind: [name for name, of in kinds.items() if of == kind] for kind in ("documents", "queries", "qrels")}
        own = {
            name: replace(section, queries=(*section.queries, *more["queries"]), qrels=(*section.qrels, *more["qrels"]))
            if value is section
            else value
            for name, value in config.own.items()
        }
        return super().with_files(replace(config, own=own), root, more["documents"])

    def propose(self, files: InitFiles, *, asked: bool) -> Proposal | None:
        """Propose judged search where documents, queries and judgements are among the files."""
        parts = judged_parts(files.roots or files.paths, files.format)
        if parts is None:
            if asked:
                raise missing_parts(files.roots or files.paths)
            return None
        return judged_proposal(parts, files)

    def check_config(self, config: Config, file: str) -> None:
        """Raise `ConfigError` without [judgments], and for queries to be written without a language model."""
        section = config.section(JudgmentsConfig)
        if section is None:
            message = f"{file}: the section [judgments] is missing: queries and qrels"
            raise ConfigError("E_CONFIG_MISSING", message)
        super().check_config(config, file)
        if section.writes_queries and config.endpoint is None:
            raise ConfigError("E_CONFIG_MISSING", f'{file}: judgments.synthetic_kinds "endpoint" needs [endpoint]')

    def texts(self, records: Iterable[Record], config: Config) -> Iterator[str]:
        """Yield the text of each document."""
        documents = documents_of(records, _section(config).template, config.data.columns)
        return (text for _, text, _ in documents)

    def settings(self, config: Config, root: Path) -> dict[str, Json]:
        """Return the section, and what is in its files."""
        section = _section(config)
        paths = [root / name for name in (*section.queries, *section.qrels)]
        files = [file for path in paths for file in (table_files(path) if path.is_dir() else [path])]
        settings: dict[str, Json] = asdict(section)
        if not section.passages:  # as before there were any
            del settings["passages"], settings["overlap"]
        if section.grade_factor == 1:
            del settings["grade_factor"]
        if not section.synthetic_documents:
            del settings["synthetic_documents"]
        return {"judgments": settings, "files": [[file.name, sha256_file(file_of(file))] for file in files]}

    def compile(self, source: Source) -> Compiled:
        """Read documents, queries and judgements; synthetic queries follow unless a language model writes them."""
        config, section = source.config, _section(source.config)
        judgments = read_judgments(
            read_documents(source.imported.records(), section, config.data.columns),
            section,
            source.root,
            config.data.import_config(),
            config.split.split_config(),
            source.folder,
        )
        examples = judged_examples(judgments, section)
        if not section.writes_queries:
            examples += made_queries(judgments, section, queries_not_trained_on(judgments))
        entities = document_entities(list(judgments.documents.values()))
        audit = audit_judgments(judgments, section.grades)
        texts = [document.text for document in judgments.documents.values()]
        advice = "cut them into passages with  passages = 100  under [judgments], or "
        audit.findings |= cut_findings(texts, len(texts), config.model, what="documents", advice=advice)
        return Compiled(
            audit=msgspec.to_builtins(audit),
            examples=examples,
            tasks=[(judged_task(judgments, section, FORWARD, split), split) for split in ("dev", "test")],
            entities=entities,
            names=label_names(entities),
        )

    def describe_audit(self, audit: JsonObject) -> list[str]:
        """Return the sentences that summarise an audit."""
        return msgspec.convert(audit, JudgmentAudit).lines()

    def depth(self, config: Config) -> int:
        """Return a depth of 100 or more; more of passages, of which several are one document."""
        return max(config.depth, 100) * (4 if _section(config).passages else 1)

    def index_settings(self, config: Config) -> dict[str, Json]:
        """Return that of the passages of a document only the best is a hit."""
        return {"group_by": PARENT} if _section(config).passages else {}

    def together(self, check: CheckArtifact, config: Config) -> list[list[str]]:
        """Return the texts of the passages of each document that was cut into several."""
        if not _section(config).passages:
            return []
        cut: dict[str, list[str]] = {}
        judged = check.task(FORWARD, "dev")
        for document in judged.corpus:
            cut.setdefault(judged.judged_as(document.doc_id), []).append(document.encoder_text())
        return [texts for texts in cut.values() if len(texts) > 1]


def _section(config: Config) -> JudgmentsConfig:
    section = config.section(JudgmentsConfig)
    assert section is not None  # `check_config` saw to that
    return section


SHAPE = JudgmentShape()
