"""honed explain: why two texts are close."""

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from honed.cli import terminal
from honed.cli.options import Folder, Json
from honed.core.errors import ConfigError
from honed.core.progress import log_to_stderr


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
    from honed.project.project import Project

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
    found = opened.explain(first, second, model=model)
    if html is not None:
        html.write_text(opened.explanation_page(found), encoding="utf-8")
        terminal.say(f"page: {html}")
    if png is not None:
        png.write_bytes(opened.explanation_picture(found))
        terminal.say(f"picture: {png}")
    if json:
        terminal.emit_json(found)
    else:
        for each in found["models"]:
            print_explanation(each)


def print_explanation(found: dict[str, Any]) -> None:
    """Print one model's explanation for people."""
    terminal.emit("")
    terminal.emit(f"{found['name']}: cosine {found['cosine']:.3f}")
    for side in found["texts"]:
        most = max(map(abs, side["contributions"])) or 1.0
        rows = [
            [word, f"{value:+.3f}", ("+" if value >= 0 else "-") * round(20 * abs(value) / most)]
            for word, value in zip(side["words"], side["contributions"], strict=True)
        ]
        terminal.table(["word", "adds", ""], [*rows, ["(no words)", f"{side['rest']:+.3f}", ""]])
    first, second = (side["words"] for side in found["texts"])
    pairs = sorted(
        (
            (value, a, b)
            for a, line in zip(first, found["pairs"], strict=True)
            for b, value in zip(second, line, strict=True)
        ),
        reverse=True,
    )
    terminal.emit("strongest pairs: " + ", ".join(f"{a} ~ {b} {value:+.3f}" for value, a, b in pairs[:6]))


def _changed(project: Any, *, json: bool) -> None:
    if not project.config.has("explain"):
        raise ConfigError("E_OPTION", "give two texts, or add a section [explain] to see what changed over a whole set")
    found = project.runner.run(until="explain")["explain"].read_json("changed.json")
    if json:
        terminal.emit_json(found)
        return
    terminal.emit(f"{found['pairs']} pairs of held-out sentences of {found['relations']} relations")
    shares = {"words that are entities": found["entity_words"], **found["entity_share"]}
    if found["difference"]:
        shares["difference"] = found["difference"]
    terminal.table(
        ["share of contributions on entity words", "mean", "low", "high"],
        [[name, *(f"{100 * each[key]:.1f}" for key in ("mean", "low", "high"))] for name, each in shares.items()],
    )
    rows = []
    for name, ways in found["faithful"].items():
        for way, each in ways.items():
            against = each["against"]["attention"]
            rows.append(
                [
                    f"{name}, {way}",
                    *(f"{each['area'][order]['mean']:.3f}" for order in ("attribution", "attention", "random")),
                    f"{against['mean']:+.3f} ({against['low']:+.3f} to {against['high']:+.3f})",
                ]
            )
    if rows:
        terminal.emit("")
        terminal.table(["words taken away or put in", "attribution", "attention", "chance", "against attention"], rows)
    for kind, rows_of in found["words"].items():
        terminal.emit(f"{kind}: {', '.join(row['word'] for row in rows_of)}")
