"""The section ``[judge]`` of honed.toml; free of heavy imports."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from honed.core.errors import ConfigError
from honed.core.sections import limits


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeSection:
    """A language model that grades what nobody judged; it is asked at [endpoint], with the temperature 0.

    ``model`` is that of [endpoint] unless it is named. The first ``depth`` hits of every system are graded, of a
    document its first ``words``. ``grades`` says what each grade means, ``instruction`` what is right for these
    queries. How far the model agrees with people is measured on ``pairs`` of their judgements first; it is refused
    where the lower end of the interval of kappa is below ``least_kappa``.
    """

    model: str = ""
    depth: int = field(default=10, metadata=limits(low=1, high=100))
    words: int = field(default=300, metadata=limits(low=10, high=5000))
    grades: Mapping[str, str] = field(default_factory=dict)
    instruction: str = ""
    pairs: int = field(default=200, metadata=limits(low=20))
    least_kappa: float = field(default=0.4, metadata=limits(low=0, high=1))

    def check(self, file: str) -> None:
        """Raise `ConfigError` for a grade that is no number."""
        for grade in self.grades:
            if not re.fullmatch(r"\d+", grade):
                raise ConfigError("E_CONFIG_RANGE", f"{file}: judge.grades.{grade}: a grade is a whole number")
