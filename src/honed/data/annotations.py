"""Records as labelling tools write them (Label Studio, Prodigy, Argilla), flat: an id, the fields, and a label.

doccano's are flat already. What an annotator skipped, rejected or cancelled has no label.
"""

from collections.abc import Mapping


def flattened(values: Mapping[str, object]) -> dict[str, object] | None:
    """Return the flat row of a labelling tool's record, None for a record of no known tool.

    The label is a text, a list where there are several, and None where there is none.
    """
    data, fields = values.get("data"), values.get("fields")
    if isinstance(data, Mapping) and any(name in values for name in ("annotations", "completions", "predictions")):
        return _label_studio(values, data)
    if isinstance(fields, Mapping) and any(name in values for name in ("responses", "suggestions")):
        return _argilla(values, fields)
    if "answer" in values and any(name in values for name in ("_input_hash", "_task_hash", "_session_id")):
        return _prodigy(values)
    return None


def _one(labels: list[object]) -> object:
    """Return the different labels of a record: the one, a list of several, or None."""
    distinct = list(dict.fromkeys(str(label) for label in labels))
    return distinct if len(distinct) > 1 else distinct[0] if distinct else None


def _objects(value: object) -> list[Mapping[str, object]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _label_studio(values: Mapping[str, object], data: Mapping[str, object]) -> dict[str, object]:
    labels: list[object] = []
    for annotation in _objects(values.get("annotations") or values.get("completions")):
        if annotation.get("was_cancelled") or annotation.get("skipped"):
            continue
        for result in _objects(annotation.get("result")):
            held = result.get("value")
            choices = held.get("choices") if isinstance(held, Mapping) else None
            labels += choices if isinstance(choices, list) else []
    return {
        "id": data.get("id", values.get("id")),
        **{k: v for k, v in data.items() if k != "id"},
        "label": _one(labels),
    }


def _prodigy(values: Mapping[str, object]) -> dict[str, object]:
    meta = values.get("meta")
    own = meta.get("id") if isinstance(meta, Mapping) else None
    accepted = values.get("accept")
    labels = accepted if isinstance(accepted, list) else [values["label"]] if values.get("label") is not None else []
    kept = {name: value for name, value in values.items() if not name.startswith("_") and name not in _PRODIGY}
    number = values.get("id", values.get("_input_hash"))
    label = _one(labels) if values["answer"] == "accept" else None
    return {"id": number if own is None else own, **kept, "label": label}


_PRODIGY = frozenset({"id", "answer", "accept", "label", "options", "meta", "config", "spans", "tokens", "view_id"})


def _argilla(values: Mapping[str, object], fields: Mapping[str, object]) -> dict[str, object]:
    responses, labels = values.get("responses"), list[object]()
    if isinstance(responses, Mapping):  # by question
        for answers in list(responses.values())[:1]:
            labels += [answer.get("value") for answer in _objects(answers) if _is_submitted(answer)]
    for response in _objects(responses):  # by annotator
        answered = response.get("values")
        if _is_submitted(response) and isinstance(answered, Mapping):
            labels += [answer.get("value") for answer in _objects(list(answered.values())[:1])]
    metadata = values.get("metadata")
    more = metadata if isinstance(metadata, Mapping) else {}
    number = values.get("external_id") or values.get("id")
    return {**more, "id": number, **fields, "label": _one([label for label in labels if label is not None])}


def _is_submitted(response: Mapping[str, object]) -> bool:
    return response.get("status", "submitted") == "submitted"
