"""The shape "aliases": names, and the aliases by which people call them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from honed.artifacts.data import CheckArtifact
from honed.config.config import Config
from honed.core.errors import DataError
from honed.core.json import Json, JsonObject
from honed.core.records import JudgedTask, Run
from honed.core.sections import toml_string
from honed.data.rows import Record, Role
from honed.data.split import refuse_leaks
from honed.data.task import FORWARD, REVERSE, Name
from honed.encode.bases import Use
from honed.evaluate.measures import DEFAULT_MEASURES, OWN_MEASURES, REVERSE_MEASURES
from honed.shapes.aliases import catalogue as catalogues
from honed.shapes.aliases.audit import AliasAudit, audit_aliases
from honed.shapes.aliases.compile import alias_entities, alias_examples, alias_names, alias_tasks
from honed.shapes.judged import JudgedShape
from honed.shapes.proposal import InitFiles, Proposal
from honed.shapes.shape import Compiled, DirectionPlan, Source
from honed.shapes.systems import all_names_runs, lexical_runs, task_analyzer
from honed.shapes.texts import cut_findings

_ORDER = ("alias", "id", "label", "split")


class AliasShape(JudgedShape):
    """One row an alias of an entity; searched in both directions."""

    name = "aliases"
    summary = "names and the aliases by which people call them: alias -> label"
    roles: Sequence[Role] = (
        Role(name="id", kind="id", required=False),
        Role(name="label", kind="text", required=True),
        Role(name="alias", kind="text", required=True, may_be_empty=True, several=True),
        Role(name="split", kind="split", required=False),
    )
    prompts: Use = "names"
    reads_names = True
    forecasts = True
    updates = True

    def propose(self, files: InitFiles, *, asked: bool) -> Proposal | None:
        """Propose names where a column is called like an alias."""
        if not asked and not files.has("alias"):
            return None
        mapping = files.mapping(self.roles, {}, _ORDER)
        fields = [name for name in files.extra(mapping) if name not in files.slices(mapping)]
        return files.propose(self.name, mapping, _sections(fields))

    def texts(self, records: Iterable[Record], config: Config) -> Iterator[str]:
        """Yield label and alias of each record."""
        return (record[role] for record in records for role in ("label", "alias"))

    def settings(self, config: Config, root: Path) -> dict[str, Json]:
        """Return none: the generic settings are all that matters."""
        return {}

    def compile(self, source: Source) -> Compiled:
        """Build the catalogue, split it by entity, and make examples, tasks in both directions and names of it."""
        data, records = source.config.data, list(source.imported.records())
        catalogue = catalogues.build_catalogue(
            records, has_ids="id" in data.columns, quarantine=data.on_bad_row == "quarantine"
        )
        if not catalogue.pairs:
            raise DataError("E_EMPTY", "no usable (alias, label) pair in the data; see the findings of  honed check")
        catalogues.check_slices(catalogue, data.slice_by)
        split = source.config.split.split_config()
        given = catalogues.given_splits(records, catalogue) if "split" in data.columns else None
        splits = catalogues.split_pairs(catalogue, split, given)
        if source.own_queries:
            splits, given = [{"train"} for _ in splits], None
        leaks = catalogues.given_leaks(catalogue, splits, given) if given else []
        refuse_leaks(leaks, split.on_leak)
        tasks = alias_tasks(catalogue, splits, data.slice_by)
        audit = audit_aliases(catalogue, splits, data.slice_by, source.unknown, leaks)
        names = [label for entity in catalogue.entities.values() for label in entity.labels]
        names += [pair.alias for pair in catalogue.pairs]
        audit.findings |= cut_findings(names, len(names), source.config.model, what="labels and aliases", advice="")
        return Compiled(
            audit=msgspec.to_builtins(audit),
            examples=alias_examples(catalogue, splits),
            tasks=[(judged, split) for (_, split), judged in tasks.items()],
            entities=alias_entities(catalogue),
            names=alias_names(catalogue, splits),
        )

    def describe_audit(self, audit: JsonObject) -> list[str]:
        """Return the sentences that summarise an audit."""
        return msgspec.convert(audit, AliasAudit).lines()

    def directions(self, config: Config) -> Sequence[DirectionPlan]:
        """Return both directions; several labels may be right for one alias, so the first has a ceiling.

        With queries of the user's own there is one, from those to entities.
        """
        if config.queries:
            return (DirectionPlan(name=FORWARD, title=JudgedShape.own_title, measures=OWN_MEASURES),)
        return (
            DirectionPlan(name=FORWARD, title=FORWARD, measures=DEFAULT_MEASURES, bounded=True),
            DirectionPlan(name=REVERSE, title=REVERSE, measures=REVERSE_MEASURES, main=False),
        )

    def lexical_runs(
        self, test: JudgedTask, direction: DirectionPlan, check: CheckArtifact, config: Config
    ) -> list[Run]:
        """Return the runs of words, letters, initials and, from alias to label, a dictionary of the known aliases."""
        names = check.names() if direction.main else ()
        analyzer, depth = task_analyzer(test, config), self.depth(config)
        runs = lexical_runs(test, names, analyzer, depth)
        return runs + (all_names_runs(test, names, analyzer, depth) if config.queries else [])

    def known_names(self, check: CheckArtifact) -> Sequence[Name]:
        """Return the labels and aliases, of which a search looks up those that are known."""
        return check.names()


def _sections(fields: Sequence[str]) -> Sequence[str]:
    return [
        "[split]",
        'protocol = "held-out"  # test entities are unseen in training; "catalogue" trains on every pair',
        "",
        "[baselines]",
        "",
        "# [mine]  # hard negatives: a first model finds them, a second learns from them; twice the time",
        "",
        "[train]",
        "epochs = 4",
        "",
        "# [distil]  # a small student, which is then what is searched and shipped",
        "# layers = 4",
        "",
        "[index]",
        "",
        "[hybrid]  # words, letters, initials and meaning together: what honed search answers with",
        *([f"# fields = [{toml_string(fields[0])}]  # searched too, with weights of their own"] if fields else []),
        "",
        "[answers]  # the chance that the first hit is right, and candidate sets",
        "",
        "[evaluate]",
        "",
        "[gate]",
        "gain_over_base = 0.0  # the low bound of the gain in R@1 must be above this",
        "",
    ]


SHAPE = AliasShape()
