"""Which encoding a text file has, as far as its bytes tell: advice for people, never a guess that is acted on."""

import re
from typing import BinaryIO

_SAMPLE = 1 << 20
_LINES = 64  # lines with bytes outside of ASCII that are looked at
_C1 = re.compile(r"[\x80-\x9f]")
_WESTERN = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÍÎÏÑÓÔÕÖØÙÚÛÜàáâãäåæçèéêëíîïñóôõöøúûüßÿŒœŠšŽž") | frozenset("–—‘’“”„…€•«»°·©®§´™")
# fmt: off
_COMMON = frozenset({
    "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp874", "koi8_r", "iso8859_2", "iso8859_5",
    "iso8859_7", "iso8859_8", "iso8859_9", "cp932", "euc_jp", "euc_jis_2004", "gb18030", "big5", "cp949", "euc_kr",
})
# fmt: on
_MOST_MARKED = 0.4  # of all letters: in Cyrillic or Greek that is read as cp1252 nearly all are outside of ASCII


def advice(file: BinaryIO, encoding: str) -> str:
    """Return what to do about bytes that are not of an encoding: name another one, or mend the line."""
    lines = [line for line in file.read(_SAMPLE).splitlines() if not line.isascii()]
    valid = sum(map(_is_utf8, lines))
    if encoding.lower().replace("-", "").replace("_", "") == "utf8" and valid > len(lines) - valid:
        return "the other lines of the file are utf-8: mend this one"
    fitting = fitting_encoding(b"\n".join(lines[:_LINES]))
    return f'the file looks like {fitting}: name the encoding (encoding = "{fitting}", or --encoding {fitting})'


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def fitting_encoding(sample: bytes) -> str:
    """Return the likeliest encoding of text that is not UTF-8: ``cp1252``, what Windows writes, where it reads well."""
    if _reads_as_cp1252(sample):
        return "cp1252"
    from charset_normalizer import from_bytes  # not there where only bundles are served

    likely = [match.encoding for match in from_bytes(sample)]
    return next((name for name in likely if name in _COMMON), "cp1252").replace("_", "-")


def _reads_as_cp1252(sample: bytes) -> bool:
    """Tell whether bytes, read as cp1252, are letters and quotes of western languages among letters of ASCII."""
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    marked = [char for char in text if not char.isascii()]
    letters = sum(map(str.isalpha, text))
    return _WESTERN.issuperset(marked) and sum(map(str.isalpha, marked)) <= _MOST_MARKED * letters


def c1_controls(text: str) -> str:
    """Return the code points of C1 controls in a text, which cp1252 read as latin-1 has for quotes and dashes."""
    return " ".join(f"U+{ord(char):04X}" for char in dict.fromkeys(_C1.findall(text)))


def unmarked_utf16(start: bytes) -> str:
    """Return "utf-16-le" or "utf-16-be" where every other byte of the start of a file is NUL, or an empty string."""
    even, odd = start[0::2].count(0), start[1::2].count(0)
    half = max(1, len(start) // 2)
    if odd > 0.5 * half and even < 0.05 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.5 * half and odd < 0.05 * half else ""
