"""``honed``: the commands, and the one place where errors become exit codes."""

import os
import sys
from importlib import import_module

# transformers looks for updates and telemetry endpoints unless told not to
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


import typer
from typer.exceptions import TyperException

from honed.cli import terminal
from honed.cli.limits import apply_limits
from honed.core.errors import HonedError
from honed.core.optional import is_installed, require
from honed.core.version import __version__

# command -> the module of honed.cli that holds it; only the one that is asked for is imported
COMMANDS = {
    "init": "init",
    "check": "check",
    "run": "run",
    "label": "label",
    "triplets": "stages",
    "train": "stages",
    "mine": "stages",
    "distil": "stages",
    "index": "stages",
    "update": "update",
    "evaluate": "evaluate",
    "gate": "evaluate",
    "compare": "compare",
    "explain": "explain",
    "search": "search",
    "match": "match",
    "dedupe": "dedupe",
    "export": "export",
    "serve": "serve",
    "mcp": "mcp",
    "encode": "encode",
    "show": "show",
    "verify": "verify",
    "tune": "tune",
    "store": "store",
    "push": "push",
    "doctor": "doctor",
    "models": "models",
    "datasets": "datasets",
    "judgments": "judgments",
}


WITHOUT_TABLES = (
    "search",
    "serve",
    "mcp",
    "push",
    "doctor",
    "models",
    "judgments",
)  # what honed[serve] is for; the others read and write tables


def make_app(command: str | None = None) -> typer.Typer:
    """Return the command line: whole, or with the modules that one command needs."""
    app = typer.Typer(
        name="honed",
        help="From a team's own data to a search model it can ship.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_root)
    wanted = [COMMANDS[command]] if command in COMMANDS else list(dict.fromkeys(COMMANDS.values()))
    if command not in COMMANDS and not is_installed("reading tables"):
        wanted.remove("stages")  # the stages import what reads tables; the help then lists the other commands
    for name in wanted:
        import_module(f"honed.cli.{name}").register(app)
    return app


def _root(
    context: typer.Context,
    *,
    version: bool = typer.Option(False, "--version", help="Print the version."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="No progress on stderr."),
    debug: bool = typer.Option(False, "--debug", help="Show where an error came from."),
) -> None:
    terminal.start(quiet=quiet)
    context.obj = {"debug": debug}
    if version:
        terminal.emit(__version__)
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 ok, 1 gate failed, 2 user, 3 artifact, 74 I/O, 70 our bug."""
    given = sys.argv[1:] if arguments is None else arguments
    apply_limits(given)
    sys.exit(run_command(given))


def run_command(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    debug = "--debug" in arguments
    try:
        command = next((argument for argument in arguments if not argument.startswith("-")), None)
        if command in COMMANDS and command not in WITHOUT_TABLES and not {"-h", "--help"} & set(arguments):
            require("reading tables")
        result = make_app(command)(args=arguments, standalone_mode=False)
    except typer.Exit as stop:
        return stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        terminal.say("stopped; what is done stands, and  honed run  goes on from there")
        return 130
    except TyperException as error:  # a usage error: it shows itself, with the usage line
        error.show()  # type: ignore[attr-defined]
        return 2
    except HonedError as error:
        if debug:
            raise
        terminal.say(f"error {error}")
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        if debug:
            raise
        place = os.fsdecode(error.filename2 or error.filename or "")
        terminal.say(f"error E_IO: {place}: {error.strerror or error}")
        return 74
    except Exception as error:
        if debug:
            raise
        terminal.say(f"error E_BUG: {type(error).__name__}: {error}; this is a bug of honed: --debug shows where")
        return 70
    return result if isinstance(result, int) else 0
