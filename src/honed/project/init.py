"""What ``honed init`` proposes: the shape of the data and its columns, written where people see them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.shapes.proposal import InitFiles, Proposal
from honed.shapes.registry import BUILT_IN, all_shapes, shape_named, shape_names


def propose(
    files: Sequence[Path], project: Path, *, given: Mapping[str, str], shape: str | None, encoding: str
) -> Proposal:
    """Return the honed.toml for some files, of the first shape that they fit.

    Raises `DataError` when no shape fits, naming the columns that were found.
    """
    looked_at = InitFiles(paths=files, project=project, given=given, encoding=encoding)
    if shape is not None:
        if shape not in shape_names():
            known = sorted(shape_names())
            raise ConfigError("E_SHAPE", f"--shape {shape}: not one of {', '.join(known)}{did_you_mean(shape, known)}")
        proposal = shape_named(shape).propose(looked_at, asked=True)
        if proposal is None:
            raise ConfigError("E_SHAPE", f"--shape {shape}: honed cannot write its honed.toml; write it by hand")
        return proposal
    for candidate in sorted(all_shapes(), key=lambda one: one.name in BUILT_IN):  # those that were added first
        if proposal := candidate.propose(looked_at, asked=False):
            return proposal
    columns = ", ".join(looked_at.columns)
    raise DataError(
        "E_SHAPE",
        f"no shape fits the columns {columns}; for names and aliases: --map label=COLUMN --map alias=COLUMN",
    )
