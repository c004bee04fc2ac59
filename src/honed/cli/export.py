"""honed export."""

from pathlib import Path
from typing import Annotated

import typer

from honed.cli import terminal
from honed.cli.limits import with_limits
from honed.cli.options import Folder, Json
from honed.core.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog='Example: honed export bundle --precision int8  then  honed search "UdeG" --bundle bundle')(
        with_limits(export)
    )


def export(
    target: Annotated[Path, typer.Argument(help="Folder (or .zip) to write to.")],
    project: Folder = Path(),
    to: Annotated[str, typer.Option(help="bundle: answers without PyTorch. hf: a folder for the Hub.")] = "bundle",
    precision: Annotated[
        str, typer.Option(help="fp32: exact. bf16: half the size, for OpenVINO. int8: a quarter, calibrated.")
    ] = "fp32",
    sign: Annotated[Path | None, typer.Option(help="Ed25519 private key (PEM) to sign the bundle with.")] = None,
    most_flips: Annotated[
        float | None, typer.Option(help="Share of top-1 answers that may differ from the trained model's.")
    ] = None,
    vocabulary: Annotated[
        str, typer.Option(help="known: keep only the pieces that the catalogue needs; a multilingual model shrinks.")
    ] = "whole",
    *,
    json: Json = False,
) -> None:
    """Write the last run as one folder that answers without PyTorch, or as a model for the Hub."""
    from honed.api.project import Project
    from honed.project.export import ExportOptions, export_bundle
    from honed.project.hub import export_hub

    if to not in ("bundle", "hf"):
        raise ConfigError("E_OPTION", f"--to {to}: allowed are bundle, hf")
    if to == "hf":
        terminal.emit(str(export_hub(Project(project), target)))
        return
    options = ExportOptions(precision=precision, private_key=sign, most_flips=most_flips, vocabulary=vocabulary)
    written = export_bundle(Project(project), target, options)
    from honed.bundle.load import read_manifest

    manifest = read_manifest(written)
    if json:
        facts = {name: manifest.data[name] for name in ("parity", "vocabulary") if name in manifest.data}
        terminal.emit_json({"path": str(written), "precision": precision, **facts})
        return
    if manifest.vocabulary is not None:
        terminal.say(f"vocabulary: {manifest.vocabulary.sentence()}")
    parity = manifest.parity
    size = sum(entry.size for entry in manifest.files.values())
    terminal.say(
        f"wrote {written}: {size / 1e6:.1f} MB, {precision}; {100 * parity.top1_flips:.2f} % of {parity.n_queries} "
        f"top-1 answers differ from the trained model's, mean cosine {parity.mean_cosine:.5f}"
    )
    terminal.emit(str(written))
