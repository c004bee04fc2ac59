"""The documents of judged search: how the columns of a row become the text that is searched."""

import json
from collections.abc import Iterable, Iterator, Mapping

from honed.core.errors import ConfigError, did_you_mean
from honed.core.text import is_blank
from honed.shapes.judgments.config import fields_of, template_parts
from honed.shapes.texts import begins_with, whole_text


def documents_of(
    records: Iterable[Mapping[str, str]], template: str, columns: Mapping[str, str]
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield (id, text, fields) of the accepted records of an import; an empty text where nothing of it is filled.

    A template may name roles and ``columns`` alike. Raises `ConfigError` for a field that no record has.
    """
    wanted, known = set(fields_of(template)), {"title", "text"}
    for record in records:
        fields: dict[str, str] = json.loads(record["fields"])
        roles = {"title": record["title"], "text": record["text"]}
        values = {**fields, **{columns[role]: text for role, text in roles.items() if role in columns}, **roles}
        known |= values.keys()
        text = whole_text(record["title"], record["text"])
        if wanted:
            text = filled(template, values)
        yield record["id"], text, {**fields, **({"title": record["title"]} if record["title"] else {})}
    for name in sorted(wanted - known):
        raise ConfigError(
            "E_TEMPLATE",
            f"judgments.template: no field {name}{did_you_mean(name, known)}: {', '.join(sorted(known))}",
        )


def filled(template: str, values: Mapping[str, str]) -> str:
    """Return a template with its fields; what stands before a field that is empty goes with it.

    A field is left out, too, where the next one begins with it: a title that the text repeats.
    """
    parts: list[str] = []
    tokens = template_parts(template)
    shown = [values.get(name, "") for _, name in tokens if name is not None]
    following = [*shown[1:], ""]
    repeated = [not is_blank(text) and begins_with(then, text) for text, then in zip(shown, following, strict=True)]
    for place, (literal, name) in enumerate(tokens):
        if name is None:
            parts.append(literal if parts else "")
        elif not repeated[place] and not is_blank(value := shown[place]):
            parts.append((literal if parts or literal.strip(" ,;:-") else "") + value)
    return " ".join("".join(parts).split())
