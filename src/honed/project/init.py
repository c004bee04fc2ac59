"""What ``honed init`` proposes: the shape of the data and its columns, written where people see them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.core.fingerprint import sha256_file
from honed.core.sections import toml_string
from honed.data.inputs import FOLDER, is_remote, local_input, object_name
from honed.data.tables import TableFormat
from honed.project.init_files import opened_folders, views
from honed.project.init_trial import tried
from honed.shapes.proposal import InitFiles, Proposal
from honed.shapes.registry import BUILT_IN, all_shapes, shape_named, shape_names


def propose(
    files: Sequence[Path | str],
    project: Path,
    *,
    given: Mapping[str, str],
    shape: str | None,
    encoding: str = "utf-8",
    form: TableFormat | None = None,
) -> Proposal:
    """Return the honed.toml for some files, URLs or queries, of the first shape that they fit.

    The files are imported once to see whether they can be: a few bad rows are left out, and what is longer than the
    model reads is told. ``form`` says how files are read, in place of ``encoding``. Raises `DataError` when no shape
    fits, naming the columns that were found.
    """
    remote: dict[Path, str] = {}
    paths = []
    for file in files:
        name = str(file)
        paths.append(local_input(name, project, project / "work" / FOLDER, None) if is_remote(name) else Path(name))
        if is_remote(name):
            remote[paths[-1]] = name
    form = form or TableFormat(encoding=encoding)
    looked_at = InitFiles(
        paths=opened_folders(paths),
        project=project,
        given=given,
        encoding=form.encoding,
        remote=remote,
        delimiter=form.delimiter,
        quoting=form.quoting,
    )
    proposal = tried(_proposed(looked_at, shape))
    hashes = {object_name(url): sha256_file(path) for path, url in remote.items() if not url.startswith("sql:")}
    if not hashes:
        return proposal
    stated = "".join(f"{toml_string(name)} = {toml_string(digest)}\n" for name, digest in hashes.items())
    return replace(proposal, text=f"{proposal.text}\n[data.sha256]  # of what was fetched\n{stated}")


def _proposed(looked_at: InitFiles, shape: str | None) -> Proposal:
    if shape is not None:
        if shape not in shape_names():
            known = sorted(shape_names())
            raise ConfigError("E_SHAPE", f"--shape {shape}: not one of {', '.join(known)}{did_you_mean(shape, known)}")
        proposal = shape_named(shape).propose(views(looked_at)[0], asked=True)
        if proposal is None:
            raise ConfigError("E_SHAPE", f"--shape {shape}: honed cannot write its honed.toml; write it by hand")
        return proposal
    several = views(looked_at)
    for candidate in sorted(all_shapes(), key=lambda one: one.name in BUILT_IN):  # those that were added first
        for files in several:
            if proposal := candidate.propose(files, asked=False):
                return proposal
    columns = ", ".join(column if len(column) <= 60 else f"{column[:57]}..." for column in several[0].columns)
    raise DataError(
        "E_SHAPE",
        f"no shape fits the columns {columns}; for names and aliases: --map label=COLUMN --map alias=COLUMN",
    )
