"""A first import of what ``honed init`` proposes, into a folder that goes again: are there bad rows, is a text cut?"""

import json
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from honed.config.config import FILE, Config
from honed.core.errors import DataError
from honed.data.importer import REJECTS, Importer, iterate_records
from honed.data.rows import Accounting
from honed.data.tables import Reject, file_of
from honed.encode.config import EncoderConfig
from honed.pipeline.honed_toml import config_of
from honed.shapes.proposal import ON_BAD_ROW, Proposal
from honed.shapes.registry import shape_of
from honed.shapes.texts import cut_texts

_MOST_BAD = 0.1  # of all rows: where more are bad the columns are likely the wrong ones
_MOST_CUT = 0.05  # of all texts, by a length that nobody asked for
_MOST_BYTES = 1 << 30  # of all files: more is not read for a first look


def tried(proposal: Proposal) -> Proposal:
    """Return a proposal that its files can be imported with: bad rows are left out where they are few, and told.

    What cannot be imported at all is told too, and the proposal stays.
    """
    if sum(file_of(file).stat().st_size for file in proposal.inputs) > _MOST_BYTES:
        return _noted(proposal, "the files were not read whole: honed check tells of bad rows")
    config = config_of(proposal.tables(), FILE)
    with TemporaryDirectory(prefix="honed-") as folder:
        form = replace(config.data.import_config(), on_bad_row="quarantine")
        try:
            books = Importer(form, shape_of(config)).run(proposal.inputs, Path(folder))
        except DataError as error:
            return _noted(proposal, f"as it is this cannot be imported: {error}")
        return _with_cuts(_without_bad_rows(proposal, books, Path(folder)), config, books, Path(folder))


def _noted(proposal: Proposal, *notes: str) -> Proposal:
    return replace(proposal, notes=[*proposal.notes, *notes])


def _without_bad_rows(proposal: Proposal, books: Accounting, folder: Path) -> Proposal:
    """Return the proposal with bad rows left out where there are a few, and a note either way.

    Bytes of another encoding are no fault of rows: their reason tells what to do.
    """
    if not books.rejected:
        return proposal
    reasons = ", ".join(f"{code} {count}" for code, count in books.reasons.most_common())
    told = f"{books.rejected} of {books.rows_in} rows are bad ({reasons})"
    with (folder / REJECTS).open(encoding="utf-8") as rejects:
        first = Reject(**json.loads(rejects.readline()))
    if books.rejected > _MOST_BAD * books.rows_in or "E_ENCODING" in books.reasons:
        return _noted(proposal, f"{told}, such as {first}; honed check refuses them")
    line = f'on_bad_row = "quarantine"  # {told}: they are left out; "stop" refuses such files'
    changed = replace(proposal, text=proposal.text.replace(ON_BAD_ROW, line))
    return _noted(changed, f"{told}, such as {first}", "they are left out: see [data] on_bad_row, and honed check")


def _with_cuts(proposal: Proposal, config: Config, books: Accounting, folder: Path) -> Proposal:
    """Return the proposal with a note on the texts that are longer than the model reads, if there are some.

    A proposed length that would cut many of them is not set: the model then reads as much as it can.
    """

    def cut(model: EncoderConfig) -> tuple[int, int]:
        return cut_texts(shape_of(config).texts(iterate_records(folder), config), books.accepted, model)

    proposed = config.model.max_length
    long, limit = cut(config.model)
    if proposed and long > _MOST_CUT * books.accepted:
        text = re.sub(r"(?m)^(max_length = \d+)\b.*$", r"# \1  # tokens: faster, but cuts most texts", proposal.text)
        proposal, (long, limit) = replace(proposal, text=text), cut(replace(config.model, max_length=0))
    if not long:
        return proposal
    return _noted(
        proposal,
        f"{long} of {books.accepted} texts are longer than {limit} tokens: what follows is cut, see [model] max_length",
    )
