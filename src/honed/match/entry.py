"""What is decided once, however often it stands in a table."""

from dataclasses import dataclass

from honed.core.fingerprint import fingerprint
from honed.core.text import fold


@dataclass(frozen=True, slots=True)
class Entry:
    """A distinct name with its values of evidence, in the order of the columns; "" where a row has none."""

    name: str
    values: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The key under which reviews know it: the same in every run over tables with such a row."""
        return fingerprint([fold(part) for part in (self.name, *self.values)])[:16]
