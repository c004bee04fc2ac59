"""Import a table by a shape, and read it back."""

from pathlib import Path

from honed.data.importer import Importer, iterate_records
from honed.data.rows import ImportConfig, Record
from honed.shapes.registry import shape_named


def importer(config: ImportConfig) -> Importer:
    return Importer(config, shape_named(config.shape))


def read_all(folder: Path) -> list[Record]:
    return list(iterate_records(folder))
