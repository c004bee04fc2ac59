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
from honed.encode.base_models import local_folder
from honed.encode.bases import base_named
from honed.encode.config import EncoderConfig
from honed.encode.wordpieces import script_counts
from honed.pipeline.honed_toml import config_of
from honed.shapes.proposal import ON_BAD_ROW, Proposal
from honed.shapes.registry import shape_of
from honed.shapes.scripts import MULTILINGUAL, lost_letters, sampled_texts
from honed.shapes.texts import cut_texts

_MOST_BAD = 0.1  # of all rows: where more are bad the columns are likely the wrong ones
_MOST_CUT = 0.05  # of all texts, by a length that nobody asked for
_MOST_LOST = 0.05  # of all letters, by the usual base model
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
        proposal = _with_base(_without_bad_rows(proposal, books, Path(folder)), config, books, Path(folder))
        return _with_cuts(proposal, config_of(proposal.tables(), FILE), books, Path(folder))


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


def _with_base(proposal: Proposal, config: Config, books: Accounting, folder: Path) -> Proposal:
    """Return the proposal with a multilingual base model where the usual one loses more than 5 % of the letters.

    Lost are letters that its tokenizer does not know, or spells one by one (`honed.encode.wordpieces.ScriptCount`),
    in a sample of the texts. Where the multilingual model is not on this machine the line is a comment.
    """
    usual = local_folder(config.model.base)
    texts = sampled_texts(shape_of(config).texts(iterate_records(folder), config), books.accepted)
    counts = script_counts(usual, texts) if usual else None
    lost = lost_letters(counts) if counts else 0.0
    if lost <= _MOST_LOST:
        return proposal
    told = f"{config.model.base} does not know {100 * lost:.0f} % of the letters, or only one by one"
    line = f'base = "{MULTILINGUAL}"'
    if local_folder(MULTILINGUAL) is None:
        base = base_named(MULTILINGUAL)
        size = f"{base.published_mb:,.0f} MB" if base else ""
        text = re.sub(
            r'(?m)^(base = "minilm".*)$',
            rf"\1\n# {line}  # {told}; this one is not here and would be fetched from the Hub, {size}",
            proposal.text,
        )
        return _noted(replace(proposal, text=text), f"{told}: {MULTILINGUAL} would, see [model] base")
    text = re.sub(r'(?m)^base = "minilm".*$', f"{line}  # {told}", proposal.text)
    return _noted(replace(proposal, text=text), f"{told}: the base model is {MULTILINGUAL}")


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
