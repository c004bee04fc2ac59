"""Records for labelling tools, in the form that each imports: the text, the record's id, and the likeliest class."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from honed.core.errors import ConfigError, did_you_mean
from honed.core.json import Json, JsonObject
from honed.core.writing import write_text


@dataclass(frozen=True, kw_only=True, slots=True)
class TextToLabel:
    """A record that a person shall label, with the likeliest class and its probability."""

    id: str
    text: str
    likeliest: str
    confidence: float


def _label_studio(record: TextToLabel) -> JsonObject:
    choice: Json = {
        "from_name": "label",
        "to_name": "text",
        "type": "choices",
        "value": {"choices": [record.likeliest]},
    }
    suggested: Json = {"model_version": "honed", "score": record.confidence, "result": [choice]}
    return {"data": {"id": record.id, "text": record.text}, "predictions": [suggested]}


def _doccano(record: TextToLabel) -> JsonObject:
    return {"id": record.id, "text": record.text, "label": [record.likeliest]}


def _prodigy(record: TextToLabel) -> JsonObject:
    meta: Json = {"id": record.id, "score": record.confidence}
    return {"text": record.text, "label": record.likeliest, "meta": meta}


def _argilla(record: TextToLabel) -> JsonObject:
    suggested: Json = {"label": {"value": record.likeliest, "score": record.confidence, "agent": "honed"}}
    fields: Json = {"text": record.text}
    return {"id": record.id, "fields": fields, "metadata": {}, "suggestions": suggested, "responses": {}}


# tool -> its form of a record; JSON arrays for the first ones, a record a line for the others
_ARRAYS: Mapping[str, Callable[[TextToLabel], JsonObject]] = {"label-studio": _label_studio, "argilla": _argilla}
_LINES: Mapping[str, Callable[[TextToLabel], JsonObject]] = {"doccano": _doccano, "prodigy": _prodigy}
TOOLS = (*_ARRAYS, *_LINES)


def write_for_tool(tool: str, records: Sequence[TextToLabel], file: Path) -> None:
    """Write records as a labelling tool imports them; `ConfigError` for an unknown tool."""
    if tool not in TOOLS:
        raise ConfigError("E_OPTION", f"--tool {tool}: not one of {', '.join(TOOLS)}{did_you_mean(tool, TOOLS)}")
    form = _ARRAYS.get(tool) or _LINES[tool]
    rows = [json.dumps(form(record), ensure_ascii=False) for record in records]
    text = "[\n" + ",\n".join(rows) + "\n]\n" if tool in _ARRAYS else "".join(f"{row}\n" for row in rows)
    write_text(file, text)
