"""What shapes have in common whose texts stand in classes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from honed.config.config import Config
from honed.core.errors import ConfigError
from honed.core.json import Json
from honed.core.stage import Inputs
from honed.encode.bases import Use
from honed.shapes.grouped.config import RetrievalSection
from honed.shapes.grouped.page import render_retrieval
from honed.shapes.grouped.retrieval import RetrievalReport
from honed.shapes.grouped.texts import RetrievalTexts
from honed.shapes.shape import ShapeBase

_NOT_MEASURED = ("slice_gap", "size_mb", "latency_ms", "index_recall")


class GroupedShape(ShapeBase):
    """A shape whose texts stand in classes: texts of one class are right for each other."""

    prompts: Use = "names"

    def check_grouped(self, config: Config, file: str, needs: Mapping[str, Sequence[str]]) -> None:
        """Raise `ConfigError` for sections without those that they need, and gates that nothing is measured for."""
        self._check_needs(
            config,
            file,
            {"evaluate": ("index",), "gate": ("evaluate", "train"), "retrieval": ("evaluate",), **needs},
        )
        for name in _NOT_MEASURED:
            if config.gate and getattr(config.gate, name) is not None:
                message = f'{file}: gate.{name} does not go with data.shape = "{self.name}"'
                raise ConfigError("E_CONFIG_SHAPE", message)

    def searches_labelled(self, config: Config) -> bool:
        """Tell whether labelled texts are searched to measure."""
        return config.section(RetrievalSection) is not None

    def evaluation_settings(self, config: Config) -> dict[str, Json]:
        """Return the section [retrieval]."""
        section = config.section(RetrievalSection)
        return {"retrieval": asdict(section) if section else None}

    def sample_queries(self, inputs: Inputs, texts: Sequence[str]) -> list[str]:
        """Return the queries of [retrieval]; without it the first halves of the records."""
        if searched := inputs.find(RetrievalTexts):
            return sorted({row["text"] for row in searched.side("queries")})
        halves = (" ".join(words[: (len(words) + 1) // 2]) for words in map(str.split, texts))
        return list(dict.fromkeys(halves))

    def render_retrieval(self, report: RetrievalReport) -> str:
        """Return the page of labelled texts that find each other."""
        return render_retrieval(report)
