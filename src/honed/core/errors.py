"""Every error that honed raises on purpose, with the exit code that the command line gives for it.

HonedError                      70  a bug of ours, when raised as itself
├── DataError                    2  the user's data
├── ConfigError                  2  honed.toml or an option
├── TrainingError                2  training stopped: not finite, or collapsed
├── MissingPartError             2  an optional part is not installed
├── GateError                    1  a gate failed
├── ArtifactError                3  a bundle or artifact is unfit
└── StorageError                74  reading or writing failed
"""

from collections.abc import Iterable


class HonedError(Exception):
    """An error with a stable code (``E_...``) and a one-line message."""

    exit_code = 70

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class DataError(HonedError):
    """The user's data cannot be used as it is."""

    exit_code = 2


class ConfigError(HonedError):
    """honed.toml or a command-line option is wrong."""

    exit_code = 2


class TrainingError(HonedError):
    """Training stopped because it could not give a usable model."""

    exit_code = 2


class MissingPartError(HonedError):
    """An optional part of honed is asked for and not installed."""

    exit_code = 2


class GateError(HonedError):
    """A quality gate failed."""

    exit_code = 1


class ArtifactError(HonedError):
    """A bundle or artifact is damaged, foreign or does not fit."""

    exit_code = 3


class StorageError(HonedError):
    """Reading or writing failed below us."""

    exit_code = 74


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean X?"`` for the nearest known word, or an empty string."""
    from difflib import get_close_matches  # slow to import

    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
