"""honed explain: why two texts are close."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli import terminal
from honed.cli.options import Folder, Json
from honed.core.errors import ConfigError
from honed.core.progress import log_to_stderr
from honed.core.writing import write_bytes, write_text

if TYPE_CHECKING:
    from honed.api.project import Project
    from honed.explain.explanation import Explanation
    from honed.shapes.grouped.parts import PairedDifference


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog='Example: honed explain "wake me at 7" "alarm at 7 am"  or  honed explain A B --html why.html  or  '
        "honed explain --serve"
    )(explain)


def explain(
    first: Annotated[str | None, typer.Argument(help="A text, read as a query.")] = None,
    second: Annotated[str | None, typer.Argument(help="Another text, read as a document.")] = None,
    project: Folder = Path(),
    model: Annotated[str, typer.Option(help='"base model" or "fine-tuned"; both, side by side, unless named.')] = "",
    html: Annotated[Path | None, typer.Option(help="Write one page that works offline, with every layer.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write a picture.")] = None,
    host: Annotated[str, typer.Option(help="With --serve: the address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="With --serve: the port; 0 takes a free one.")] = 8082,
    *,
    serve: Annotated[bool, typer.Option("--serve", help="Open the page to try any two texts.")] = False,
    json: Json = False,
) -> None:
    """Show what each word adds to the likeness of two texts, for base and fine-tuned model.

    Without texts: what fine-tuning changed over the held-out set, from the stage [explain].
    """
    from honed.api.project import Project

    if serve:
        if first is not None or html or png or json:
            raise ConfigError("E_OPTION", "--serve takes no texts and no file: both are typed into the page")
        from honed.serve.explain_server import serve_explanations

        log_to_stderr({"honed.server": logging.INFO, "honed.access": logging.ERROR})
        serve_explanations(project, host, port)
        return
    opened = Project(project, listener=terminal.stage_line)
    if first is None:
        _changed(opened, json=json)
        return
    if second is None:
        raise ConfigError("E_OPTION", "give two texts; see  honed explain --help")
    explanations = opened.explain(first, second, model=model)
    if html is not None:
        from honed.explain.page import static_page

        write_text(html, static_page(explanations))
        terminal.say(f"page: {html}")
    if png is not None:
        from honed.explain.picture import draw_png

        write_bytes(png, draw_png(explanations))
        terminal.say(f"picture: {png}")
    if json:
        terminal.emit_json(explanations)
    else:
        for explanation in explanations.models:
            _print_explanation(explanation)


def _print_explanation(explanation: "Explanation") -> None:
    """Print one model's explanation for people."""
    terminal.emit("")
    terminal.emit(f"{explanation.name}: cosine {explanation.cosine:.3f}")
    for side in explanation.texts:
        most = max(map(abs, side.contributions)) or 1.0
        rows = [
            [word, f"{value:+.3f}", ("+" if value >= 0 else "-") * round(20 * abs(value) / most)]
            for word, value in zip(side.words, side.contributions, strict=True)
        ]
        terminal.table(["word", "adds", ""], [*rows, ["(no words)", f"{side.rest:+.3f}", ""]])
    first, second = (side.words for side in explanation.texts)
    pairs = sorted(
        (
            (value, a, b)
            for a, line in zip(first, explanation.pairs, strict=True)
            for b, value in zip(second, line, strict=True)
        ),
        reverse=True,
    )
    terminal.emit("strongest pairs: " + ", ".join(f"{a} ~ {b} {value:+.3f}" for value, a, b in pairs[:6]))


def _changed(project: "Project", *, json: bool) -> None:
    """Print what fine-tuning changed over the held-out pairs."""
    from honed.core.stage import Inputs
    from honed.shapes.relations.explain import ExplainArtifact

    if not project.config.has("explain"):
        raise ConfigError("E_OPTION", "give two texts, or add a section [explain] to see what changed over a whole set")
    report = Inputs(project.runner.run(until="explain")).need(ExplainArtifact).report()
    if json:
        terminal.emit_json(report)
        return
    terminal.emit(f"{report.pairs} pairs of held-out sentences of {report.relations} relations")
    shares = {"words that are entities": report.entity_words, **report.entity_share}
    rows = [[name, _percent(share.mean), _percent(share.low), _percent(share.high)] for name, share in shares.items()]
    if (gain := report.difference) is not None:
        rows.append(["difference", _percent(gain.mean), _percent(gain.low), _percent(gain.high)])
    terminal.table(["share of contributions on entity words", "mean", "low", "high"], rows)
    checks = [
        [
            f"{name}, {way}",
            *(f"{check.area[order].mean:.3f}" for order in ("attribution", "attention", "random")),
            _difference(check.against["attention"]),
        ]
        for name, ways in report.faithful.items()
        for way, check in ways.items()
    ]
    if checks:
        terminal.emit("")
        columns = ["words taken away or put in", "attribution", "attention", "chance", "against attention"]
        terminal.table(columns, checks)
    for kind, words in (("rose", report.words.rose), ("fell", report.words.fell)):
        terminal.emit(f"{kind}: {', '.join(changed.word for changed in words)}")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _difference(gain: "PairedDifference") -> str:
    return f"{gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
