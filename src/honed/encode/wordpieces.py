"""Which texts a model's tokenizer knows nothing of; needs only the tokenizer, not the model."""

from collections.abc import Callable
from pathlib import Path

from honed.core.optional import is_installed

_CHARS = 2000


def unknown_text(folder: Path) -> Callable[[str], bool] | None:
    """Return the test whether a text gives no token, or unknown ones alone; None without a fast tokenizer there.

    Only the first 2,000 characters of a text are looked at.
    """
    file = folder / "tokenizer.json"
    if not is_installed("tokenizer") or not file.is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    unknown = {tokenizer.token_to_id(token) for token in ("[UNK]", "<unk>")} - {None}

    def is_unknown(text: str) -> bool:
        return all(token in unknown for token in tokenizer.encode(text[:_CHARS], add_special_tokens=False).ids)

    return is_unknown


def token_counter(folder: Path) -> Callable[[str], int] | None:
    """Return what counts the tokens of a text, those around it included; None without a fast tokenizer there."""
    file = folder / "tokenizer.json"
    if not is_installed("tokenizer") or not file.is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return lambda text: len(tokenizer.encode(text).ids)
