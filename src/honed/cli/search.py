"""honed search."""

import json as json_module
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli import terminal
from honed.cli.options import Collection, Direction, Folder, Json, Schema, TopK
from honed.core.errors import ConfigError
from honed.core.filters import parse_where
from honed.core.optional import require
from honed.core.records import Answer
from honed.core.text import fold

if TYPE_CHECKING:
    from honed.core.records import Hit
    from honed.search.searcher import Searcher


_PARTS = 4  # that are shown of a hit


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog='Example: honed search "UdeG"  or  honed search --file names.txt --json  or  honed search --like n42'
    )(search)


def search(
    text: Annotated[str | None, typer.Argument(help='What to look for; "-" reads lines from stdin.')] = None,
    project: Folder = Path(),
    file: Annotated[Path | None, typer.Option(help="A text file with one query a line.")] = None,
    k: TopK = 10,
    direction: Direction = "alias-to-label",
    bundle: Annotated[Path | None, typer.Option(help="Search a bundle (folder or zip) instead of a project.")] = None,
    require_signature: Annotated[
        Path | None, typer.Option(help="Public key (Ed25519, PEM) that must have signed the bundle.")
    ] = None,
    like: Annotated[str | None, typer.Option(help="Find what is similar to the record with this id.")] = None,
    database: Annotated[
        str | None, typer.Option(help="Search what honed push wrote: postgresql://user@host:5432/name.")
    ] = None,
    collection: Collection = "items",
    schema: Schema = "honed",
    where: Annotated[
        list[str] | None,
        typer.Option(help="Only records whose field passes: country=MX, country=MX|US, founded>=1900; repeatable."),
    ] = None,
    *,
    rerank: Annotated[bool, typer.Option("--rerank", help="Let the cross-encoder judge the first hits.")] = False,
    budget: Annotated[
        float, typer.Option("--budget-ms", min=0, help="Time that --rerank may take for a query; 0: as it needs.")
    ] = 0.0,
    candidates: Annotated[
        bool,
        typer.Option("--candidates", help="Also return a set that holds the right answer at the rate of [answers]."),
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Say what each part of the hybrid adds to a hit: words, letters, meaning..."),
    ] = False,
    hyde: Annotated[
        bool, typer.Option("--hyde", help="Search with a passage that the language model of [endpoint] writes too.")
    ] = False,
    json: Json = False,
) -> None:
    """Look names up; for many queries the JSON is one line a query.

    Where honed.toml has [answers], the chance that the first hit is right is told too: below the table, in the lines
    of many queries, and with --candidates.
    """
    passing = parse_where(where or [])
    if like is not None:
        if text is not None or file is not None or rerank or candidates or hyde or database:
            raise ConfigError("E_OPTION", "--like takes no text, --file, --rerank, --candidates, --hyde or --database")
        hits = opened(project, bundle, require_signature).similar(like, k, where=passing)
        if json:
            terminal.emit_json([hit.as_dict() for hit in hits])
        else:
            _print_hits(hits)
        return
    queries = _queries(text, file)
    passages: list[str] = []
    if hyde:
        from honed.project.project import Project

        if rerank or direction != "alias-to-label":
            raise ConfigError("E_OPTION", "--hyde goes with the direction alias-to-label, and not with --rerank")
        passages, spent = Project(project).hypothetical(queries)
        terminal.say(spent)
    if explain and (rerank or hyde or candidates or database or direction != "alias-to-label"):
        raise ConfigError(
            "E_OPTION", "--explain goes with the hybrid's own order: no --rerank, --hyde, --candidates, --database"
        )
    if candidates and (rerank or hyde or passing):
        raise ConfigError("E_OPTION", "--candidates does not go with --rerank, --hyde or --where")
    if budget and not rerank:
        raise ConfigError("E_OPTION", "--budget-ms goes with --rerank")
    if database is not None:
        if rerank or candidates or hyde or direction != "alias-to-label":
            raise ConfigError(
                "E_OPTION",
                "--database: known names and meaning, alias-to-label, without --rerank, --candidates, --hyde",
            )
        require("PostgreSQL")
        from honed.connect.database import CollectionRef
        from honed.connect.postgres import Collection

        ref = CollectionRef(dsn=database, schema=schema, collection=collection)
        listed = Collection.open(ref).search(
            opened(project, bundle, require_signature).encoder, queries, k, where=passing
        )
        found = [Answer(hits=hits) for hits in listed]
    elif rerank and bundle is None and not budget:
        from honed.project.project import Project

        listed = Project(project).search_many(queries, k, direction=direction, where=passing, rerank=True)
        found = [Answer(hits=hits) for hits in listed]
    else:
        searcher = opened(project, bundle, require_signature)
        found = searcher.answer_many(
            queries,
            k,
            direction=direction,
            where=passing,
            candidates=candidates,
            passages=passages,
            rerank=rerank,
            budget_ms=budget * len(queries),
        )
    many = file is not None or text == "-"
    for query, answer in zip(queries, found, strict=True):
        shown = [hit.as_dict() for hit in answer.hits]
        reasons = searcher.reasons(query, list(answer.hits), where=passing) if explain else []
        for each, own in zip(shown, reasons, strict=False):
            each["reasons"] = own
        if json and (many or candidates):
            terminal.emit(json_module.dumps({"query": query, **answer.as_dict(), "hits": shown}, ensure_ascii=False))
        elif json:
            terminal.emit_json(shown)
        else:
            if many:
                terminal.emit(f"\n{query}")
            _print_hits(answer.hits, [_why(query, *each) for each in zip(answer.hits, reasons, strict=False)])
            _print_verdict(answer)


def opened(project: Path, bundle: Path | None, public_key: Path | None) -> "Searcher":
    """Return the searcher of a bundle, or of a project where none is named."""
    from honed.search.searcher import Searcher

    if bundle is not None:
        return Searcher.load(bundle, public_key=public_key)
    require("reading tables")
    from honed.project.project import Project

    return Project(project).searcher()


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
    rows = []
    for at, hit in enumerate(hits):
        matched = "" if hit.matched == hit.text else hit.matched
        extra = hit.fields.get("label", "") or hit.fields.get("description", "") or hit.fields.get("country", "")
        rows.append([str(hit.rank), f"{hit.score:.3f}", hit.text, matched, why[at] if why else extra])
    terminal.table(["#", "score", "name", "matched", "why" if why else "about"], rows)
