"""honed search."""

import json as json_module
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from honed.cli import terminal
from honed.cli.options import Bundle, Collection, Direction, Folder, Json, PublicKey, Schema, Target, TopK
from honed.core.errors import ConfigError
from honed.core.filters import parse_where
from honed.core.optional import require
from honed.core.records import Answer
from honed.core.text import fold
from honed.search.request import ALIAS_TO_LABEL, direction_of

if TYPE_CHECKING:
    from honed.core.filters import Filter
    from honed.core.records import Hit
    from honed.search.searcher import Searcher


_PARTS = 4  # that are shown of a hit
Text = Annotated[str | None, typer.Argument(help='What to look for; "-" reads lines from stdin.')]
File = Annotated[Path | None, typer.Option(help="A text file with one query a line.")]
Like = Annotated[str | None, typer.Option(help="Find what is similar to the record with this id.")]
Where = Annotated[
    list[str] | None,
    typer.Option(help="Only records whose field passes: country=MX, country=MX|US, founded>=1900; repeatable."),
]
InDatabase = Annotated[
    str | None,
    typer.Option("--database", help="Search what honed push wrote: postgresql://user@host:5432/name."),
]
Rerank = Annotated[bool, typer.Option("--rerank", help="Let the cross-encoder judge the first hits.")]
Budget = Annotated[
    float, typer.Option("--budget-ms", min=0, help="Time that --rerank may take for a query; 0: as it needs.")
]
WithCandidates = Annotated[
    bool, typer.Option("--candidates", help="Also return a set that holds the right answer at the rate of [answers].")
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Say what each part of the hybrid adds to a hit: words, letters, meaning...")
]
Hyde = Annotated[
    bool, typer.Option("--hyde", help="Search with a passage that the language model of [endpoint] writes too.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog='Example: honed search "UdeG"  or  honed search --file names.txt --json  or  honed search --like n42'
    )(search)


def search(
    text: Text = None,
    project: Folder = Path(),
    file: File = None,
    k: TopK = 10,
    target: Target = "",
    direction: Direction = "",
    bundle: Bundle = None,
    require_signature: PublicKey = None,
    like: Like = None,
    database: InDatabase = None,
    collection: Collection = "items",
    schema: Schema = "honed",
    where: Where = None,
    *,
    rerank: Rerank = False,
    budget: Budget = 0.0,
    candidates: WithCandidates = False,
    explain: Explain = False,
    hyde: Hyde = False,
    json: Json = False,
) -> None:
    """Look names up; for many queries the JSON is one line a query.

    Where honed.toml has [answers], the chance that the first hit is right is told too: below the table, in the lines
    of many queries, and with --candidates.
    """
    catalogue = _Catalogue(project, bundle, require_signature)
    asked = _Asked(direction_of(target, direction), k, parse_where(where or []), rerank, budget, candidates)
    if like is not None:
        if text is not None or file is not None or rerank or candidates or hyde or database:
            raise ConfigError("E_OPTION", "--like takes no text, --file, --rerank, --candidates, --hyde or --database")
        hits = catalogue.searcher().similar(like, k, where=asked.where)
        _show([("", Answer(hits=hits), [])], many=False, as_lines=False, json=json)
        return
    _check_options(asked, explain=explain, hyde=hyde, database=database is not None)
    queries = _queries(text, file)
    if database is not None:
        answers = catalogue.in_database(queries, asked, database, schema, collection)
    else:
        answers = catalogue.answers(queries, asked, catalogue.passages(queries) if hyde else [])
    reasons = [
        catalogue.searcher().reasons(query, list(answer.hits), where=asked.where) if explain else []
        for query, answer in zip(queries, answers, strict=True)
    ]
    many = file is not None or text == "-"
    _show(list(zip(queries, answers, reasons, strict=True)), many=many, as_lines=many or candidates, json=json)
    if not json and any(answer.chance is not None for answer in answers):
        terminal.emit(catalogue.promise())


class _Asked(NamedTuple):
    """What is asked of a catalogue; ``budget`` is in ms for each query."""

    direction: str
    k: int
    where: "Filter | None"
    rerank: bool
    budget: float
    candidates: bool


def _check_options(asked: _Asked, *, explain: bool, hyde: bool, database: bool) -> None:
    """Raise `ConfigError` for options that do not go together."""
    rerank, candidates, forward = asked.rerank, asked.candidates, asked.direction == ALIAS_TO_LABEL
    refused = {
        "--hyde looks for entities, and goes without --rerank": hyde and (rerank or not forward),
        "--explain goes with the hybrid's own order: no --rerank, --hyde, --candidates, --database": explain
        and (rerank or hyde or candidates or database or not forward),
        "--candidates does not go with --rerank, --hyde or --where": candidates and bool(rerank or hyde or asked.where),
        "--budget-ms goes with --rerank": bool(asked.budget) and not rerank,
        "--database: known names and meaning, entities alone, without --rerank, --candidates, --hyde": database
        and (rerank or candidates or hyde or not forward),
    }
    for message, is_refused in refused.items():
        if is_refused:
            raise ConfigError("E_OPTION", message)


@dataclass
class _Catalogue:
    """What is searched: a bundle, or a project where none is named; opened when it is first asked."""

    project: Path
    bundle: Path | None
    public_key: Path | None
    _opened: "Searcher | None" = None

    def searcher(self) -> "Searcher":
        """Return the searcher, loaded once."""
        if self._opened is None:
            self._opened = opened(self.project, self.bundle, self.public_key)
        return self._opened

    def promise(self) -> str:
        """Return what is promised about the answers that are given."""
        answers = self.searcher().answers
        return answers.promise_sentence() if answers else ""

    def passages(self, queries: Sequence[str]) -> list[str]:
        """Return for each query a passage that the language model of the project writes."""
        require("reading tables")
        from honed.project.search import write_passages
        from honed.project.workspace import Workspace

        passages, spent = write_passages(Workspace(self.project), queries)
        terminal.say(spent)
        return passages

    def answers(self, queries: Sequence[str], asked: _Asked, passages: Sequence[str]) -> list[Answer]:
        """Return the answer to each query."""
        if asked.rerank and self.bundle is None and not asked.budget:
            return self._reranked(queries, asked)
        return self.searcher().answer_many(
            queries,
            asked.k,
            direction=asked.direction,
            where=asked.where,
            candidates=asked.candidates,
            passages=passages,
            rerank=asked.rerank,
            budget_ms=asked.budget * len(queries),
        )

    def _reranked(self, queries: Sequence[str], asked: _Asked) -> list[Answer]:
        """Return answers in whose order the project's cross-encoder has a say, without a hybrid too."""
        from honed.project.search import SearchOptions, answer_queries
        from honed.project.workspace import Workspace

        options = SearchOptions(k=asked.k, direction=asked.direction, where=asked.where, rerank=True)
        return answer_queries(Workspace(self.project), queries, options)

    def in_database(
        self, queries: Sequence[str], asked: _Asked, database: str, schema: str, collection: str
    ) -> list[Answer]:
        """Return the answer to each query from what was pushed to PostgreSQL, encoded with this catalogue's model."""
        require("PostgreSQL")
        from honed.connect.database import CollectionRef
        from honed.connect.postgres import Collection

        pushed = Collection.open(CollectionRef(dsn=database, schema=schema, collection=collection))
        listed = pushed.search(self.searcher().encoder, queries, asked.k, where=asked.where)
        return [Answer(hits=hits) for hits in listed]


def opened(project: Path, bundle: Path | None, public_key: Path | None) -> "Searcher":
    """Return the searcher of a bundle, or of a project where none is named."""
    from honed.search.searcher import Searcher

    if bundle is not None:
        return Searcher.load(bundle, public_key=public_key)
    require("reading tables")
    from honed.project.workspace import Workspace

    return Workspace(project).searcher()


def _queries(text: str | None, file: Path | None) -> list[str]:
    if (text is None) == (file is None):
        raise ConfigError("E_OPTION", "give one text, or --file; see  honed search --help")
    if file is not None:
        from honed.core.lines import read_lines

        lines = read_lines(file)
    elif text == "-":
        lines = sys.stdin.read().splitlines()
    else:
        return [text or ""]
    queries = [line.strip() for line in lines if line.strip()]
    if not queries:
        raise ConfigError("E_QUERY_EMPTY", "no queries: every line is empty")
    return queries


def _show(
    answered: Sequence[tuple[str, Answer, Sequence[Mapping[str, float]]]], *, many: bool, as_lines: bool, json: bool
) -> None:
    """Print queries with their answers and, for each hit, what the parts of the hybrid added."""
    for query, answer, reasons in answered:
        shown = [hit.as_dict() for hit in answer.hits]
        for hit, parts in zip(shown, reasons, strict=False):
            hit["reasons"] = parts
        if json and as_lines:
            terminal.emit(json_module.dumps({"query": query, **answer.as_dict(), "hits": shown}, ensure_ascii=False))
        elif json:
            terminal.emit_json(shown)
        else:
            if many:
                terminal.emit(f"\n{query}")
            _print_hits(answer.hits, [_why(query, *pair) for pair in zip(answer.hits, reasons, strict=False)])
            _print_verdict(answer)


def _print_verdict(answer: Answer) -> None:
    if answer.chance is not None and answer.hits:
        verdict = "" if answer.match else ": no match at the risk that [answers] takes"
        terminal.emit(f"chance that the first is right: {100 * answer.chance:.0f} %{verdict}")
    if answer.candidates is not None:
        terminal.emit(f"{len(answer.candidates)} candidates: {'; '.join(hit.text for hit in answer.candidates)}")


def _why(query: str, hit: "Hit", reasons: Mapping[str, float]) -> str:
    """Return the parts that decide, with what they add."""
    known = ["known name"] if fold(hit.matched) == fold(query) else []
    return ", ".join(
        known + [f"{part} {value:+.1f}" for part, value in list(reasons.items())[:_PARTS] if abs(value) >= 0.05]
    )


def _print_hits(hits: "Sequence[Hit]", why: Sequence[str] = ()) -> None:
    has_chances = any(hit.chance is not None for hit in hits)
    rows = []
    for at, hit in enumerate(hits):
        matched = "" if hit.matched == hit.text else hit.matched
        extra = hit.fields.get("label", "") or hit.fields.get("description", "") or hit.fields.get("country", "")
        chance = [f"{100 * (hit.chance or 0):.0f} %"] if has_chances else []
        figures = [str(hit.rank), _score(hit.score), *chance, f"{hit.cosine:.3f}"]
        rows.append([*figures, hit.text, matched, why[at] if why else extra])
    chances = ["chance"] if has_chances else []
    terminal.table(["#", "score", *chances, "cosine", "name", "matched", "why" if why else "about"], rows)


def _score(score: float) -> str:
    """Return a score with three places; a share below them is not nothing."""
    return "<0.001" if 0 < score < 0.0005 else f"{score:.3f}"
