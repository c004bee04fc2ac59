"""honed tune."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honed.cli import terminal
from honed.cli.limits import with_limits
from honed.cli.options import Folder, Json
from honed.core.errors import ConfigError, GateError

if TYPE_CHECKING:
    from honed.project.tune import TuneRequest
    from honed.project.tune_data import TuneData


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed tune --recall 0.99 --mb 200 --write  or  honed tune --vectors v.npy --ms 2")(
        with_limits(tune)
    )


Recall = Annotated[
    float | None, typer.Option(min=0, max=1, help="Index recall@10 to reach: share of the exact nearest found.")
]
TaskRecall = Annotated[float | None, typer.Option(min=0, max=1, help="R@depth to reach on the judged queries.")]
Milliseconds = Annotated[float | None, typer.Option(min=0, help="Time that a query may take, on one thread.")]
Megabytes = Annotated[float | None, typer.Option(min=0, help="Memory that the index may hold.")]
Depth = Annotated[int, typer.Option(min=1, help="Of the task recall: R@depth.")]
Limit = Annotated[float, typer.Option(min=1, help="Seconds that the search for settings may take.")]
MostQueries = Annotated[int, typer.Option(min=20, help="How many queries are asked.")]
Dims = Annotated[list[int] | None, typer.Option(help="Also cut vectors to so many dimensions; repeatable.")]
VectorFile = Annotated[
    Path | None, typer.Option(help="Documents as a .npy file of unit vectors, instead of a project.")
]
QueryFile = Annotated[Path | None, typer.Option(help="Queries for --vectors, as a .npy file.")]
RelevantFile = Annotated[
    Path | None, typer.Option(help="For --queries: a JSON list of rows of right documents a line.")
]
Out = Annotated[Path | None, typer.Option(help="Folder for tune.json, tune.html and pictures.")]
Graph = Annotated[bool, typer.Option("--graph/--no-graph", help="Try graphs of neighbours (HNSW) too.")]
Exhaustive = Annotated[bool, typer.Option("--exhaustive", help="Measure every combination; no time limit.")]
Write = Annotated[bool, typer.Option("--write", help="Put what was chosen into [index] of honed.toml.")]


def tune(
    project: Folder = Path(),
    recall: Recall = None,
    task_recall: TaskRecall = None,
    ms: Milliseconds = None,
    mb: Megabytes = None,
    depth: Depth = 1,
    limit: Limit = 600.0,
    queries_at_most: MostQueries = 300,
    dims: Dims = None,
    vectors: VectorFile = None,
    queries: QueryFile = None,
    relevant: RelevantFile = None,
    out: Out = None,
    *,
    graph: Graph = True,
    exhaustive: Exhaustive = False,
    write: Write = False,
    json: Json = False,
) -> None:
    """Find the best index for a budget: clusters, probes, codes, rescoring, graphs, on your own vectors and queries.

    Asked for a recall, the fastest index that reaches it within --ms and --mb is chosen; asked for none, the best
    recall within them; asked for nothing, the fastest with an index recall of 0.99. Exit code 1 when nothing fits.
    """
    from honed.project.tune import TuneRequest

    request = TuneRequest(
        recall=recall,
        task_recall=task_recall,
        ms=ms,
        mb=mb,
        limit_s=limit,
        depth=depth,
        queries=queries_at_most,
        dims=tuple(dims or ()),
        graph=graph,
        exhaustive=exhaustive,
    )
    if vectors is None:
        if queries is not None or relevant is not None:
            raise ConfigError("E_OPTION", "--queries and --relevant go with --vectors")
        _tune_project(project, request, out, write=write, json=json)
        return
    if write:
        raise ConfigError("E_OPTION", "--write goes with a project, not with --vectors")
    from honed.project.tune_data import file_data

    _tune(file_data(vectors, queries, relevant, request.queries), request, out or Path("tune"), json=json)


def _tune_project(project: Path, request: "TuneRequest", out: Path | None, *, write: bool, json: bool) -> None:
    from honed.project.tune import write_settings
    from honed.project.tune_data import project_data
    from honed.project.workspace import Workspace

    opened = Workspace(project)
    if write and opened.config.index is None:
        raise ConfigError("E_CONFIG_MISSING", f"{opened.file}: no section [index] to write to")
    data = project_data(opened, request.queries)
    report = _tune(data, request, out or opened.runner.output / "tune", json=json)
    if write:
        write_settings(opened.file, report["settings"])
        terminal.say(f"written to {opened.file}; run  honed run  to build it")


def _tune(data: "TuneData", request: "TuneRequest", folder: Path, *, json: bool) -> dict[str, Any]:
    """Tune and show the report; returns it. Raises `GateError` where nothing keeps within the budget."""
    from honed.project.tune import tune_index

    report = tune_index(data, request, folder)
    if json:
        terminal.emit_json(report)
    else:
        _print(report)
    terminal.say(f"report: {folder / 'tune.html'}")
    if report["chosen"] is None:
        raise GateError("E_TUNE", "no index that was measured keeps within the budget; see the report")
    return report


def _print(report: dict[str, Any]) -> None:
    terminal.emit(report["said"])
    task = report["task"]
    columns = ["index", *([f"R@{report['depth']}"] if task else []), f"recall@{report['k']}", "ms", "MB"]
    rows = [
        [
            point["name"],
            *([f"{100 * point['task_recall']:.1f}"] if task else []),
            f"{100 * point['index_recall']:.1f}",
            f"{point['ms']:.3f}",
            f"{point['mb']:.1f}",
        ]
        for point in report["frontier"]
    ]
    bold = next((at for at, point in enumerate(report["frontier"]) if _is_chosen(point, report)), None)
    terminal.table(columns, rows, title="the frontier of recall and time", bold=bold)
    if report["needs"]:
        title = f"larger corpora: clusters and {report['needs_of']}"
        rows = [
            [
                f"{need['n']:,}",
                f"{need['mb'] / 1000:.1f}",
                f"{need['disk_mb'] / 1000:.0f}",
                f"{need['ms']:.1f} ({need['ms_low']:.1f} to {need['ms_high']:.1f})",
            ]
            for need in report["needs"]
        ]
        terminal.table(["documents", "GB in memory", "GB on disk", "ms a query (95 %)"], rows, title=title)
    if report["toml"]:
        terminal.emit("\n" + report["toml"])


def _is_chosen(point: dict[str, Any], report: dict[str, Any]) -> bool:
    return report["chosen"] is not None and point["settings"] == report["chosen"]["settings"]
