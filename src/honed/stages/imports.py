"""The stage "import": the user's files become records, with the books of every row."""

import os
import shutil
from pathlib import Path

from honed.artifacts.data import ImportArtifact
from honed.config.config import Config
from honed.core.errors import DataError
from honed.core.fingerprint import sha256_file
from honed.core.json import Json
from honed.core.stage import Stage, Work
from honed.data.importer import REJECTS, Importer
from honed.data.inputs import FOLDER, local_input
from honed.data.tables import file_of, table_files
from honed.shapes.registry import shape_of


def _settings(config: Config, root: Path) -> dict[str, Json]:
    """Return names and hashes of the files, and how they are read; `DataError` for another hash than stated."""
    paths = [file for path in _inputs(config, root) for file in table_files(path)]
    files = [(Path(os.path.relpath(path, root)).as_posix(), sha256_file(file_of(path))) for path in paths]
    for name, expected in config.data.sha256.items():
        digests = [digest for path, digest in files if name in (path, Path(path).name)]
        if digests != [expected]:
            shown = " and ".join(digests) or "of no input file"
            raise DataError("E_CHECKSUM", f"{name}: sha256 is {shown}, data.sha256 says {expected}")
    return {"files": [list(pair) for pair in files], **config.data.import_config().key()}


def _inputs(config: Config, root: Path, *, anew: bool = True) -> list[Path]:
    """Return the local paths of the inputs; objects and rows of queries are fetched into the output folder."""
    kept = root / config.paths.output / FOLDER
    return [local_input(name, root, kept, config.data.sha256, anew=anew) for name in config.paths.input]


def _run(work: Work[Config]) -> dict[str, Json]:
    """Import the files; what was rejected stays beside the artifacts when nothing was imported."""
    paths = _inputs(work.config, work.root, anew=False)
    try:
        books = Importer(work.config.data.import_config(), shape_of(work.config)).run(paths, work.folder)
    except DataError as error:
        rejects = work.root / work.config.paths.output / REJECTS
        if (work.folder / REJECTS).is_file():
            (work.folder / REJECTS).replace(rejects)
        shutil.rmtree(work.folder)
        raise DataError(error.code, error.message.replace(str(work.folder / REJECTS), str(rejects))) from None
    return {"rows_in": books.rows_in, "accepted": books.accepted, "rejected": books.rejected}


STAGE: Stage[Config] = Stage(
    name="import", artifact=ImportArtifact, needs=(), wanted=lambda _: True, settings=_settings, run=_run
)
