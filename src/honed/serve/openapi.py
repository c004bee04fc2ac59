"""The OpenAPI document of the HTTP interface, made from its table of calls and the classes of requests and answers."""

import re
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Any, TypeAlias, get_args

import msgspec

from honed.core.version import __version__
from honed.serve.answers import ErrorAnswer
from honed.serve.operations import OPERATIONS, Operation

Schema: TypeAlias = dict[str, Any]  # a JSON schema, or a part of an OpenAPI document
_REF = "#/components/schemas/{name}"
_PATH_PARAMETER = re.compile(r"\{(?P<name>\w+)(?::\w+)?\}")
_STATUS_WORDS = {200: "The answer.", 204: "Done.", 503: "Not ready."}


def openapi_document(*, has_key: bool, more: Sequence[Operation] = ()) -> Schema:
    """Return the OpenAPI 3.1 document of all calls, with ``more``, those of protocols that are switched on.

    ``has_key`` tells whether the server asks for a key.
    """
    operations = (*OPERATIONS, *more)
    classes = list(dict.fromkeys(kind for operation in operations for kind in _classes(operation)))
    _, schemas = msgspec.json.schema_components(classes, ref_template=_REF)
    paths: dict[str, Schema] = {}
    for operation in operations:
        path = _PATH_PARAMETER.sub(r"{\g<name>}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, has_key=has_key)
    keys = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "honed", "version": __version__, "description": "Look names up by meaning."},
        "paths": paths,
        "components": {"schemas": schemas, **({"securitySchemes": keys} if has_key else {})},
    }


def _classes(operation: Operation) -> Iterator[type]:
    """Yield the classes that a call is asked and answered with."""
    yield ErrorAnswer
    if operation.body is not None:
        yield operation.body
    if operation.parameters is not None:
        yield operation.parameters
    for answer in operation.answers.values():
        yield from _members(answer)


def _members(answer: type | UnionType | str) -> Sequence[type]:
    """Return the classes of an answer that may be of several; () for one that is no JSON of ours."""
    if isinstance(answer, str):
        return ()
    return get_args(answer) if isinstance(answer, UnionType) else (answer,)


def _operation(operation: Operation, *, has_key: bool) -> Schema:
    """Return one call as OpenAPI describes it."""
    described: Schema = {"summary": operation.summary, "operationId": _operation_id(operation)}
    if parameters := [*_path_parameters(operation), *_query_parameters(operation)]:
        described["parameters"] = parameters
    if operation.body is not None:
        content = _content(operation.body_type, operation.body)
        if operation.takes_many:
            one: Schema = content[operation.body_type]["schema"]
            content[operation.body_type]["schema"] = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
        described["requestBody"] = {"required": True, "content": content}
    described["responses"] = {
        **{str(status): _answer(status, answer) for status, answer in operation.answers.items()},
        **{
            str(status): {"description": ", ".join(codes), "content": _json(ErrorAnswer)}
            for status, codes in operation.errors.items()
            if has_key or status != 401 or operation.is_open
        },
    }
    if has_key and not operation.is_open:
        described["security"] = [{"bearer": []}, {"header": []}]
    return described


def _operation_id(operation: Operation) -> str:
    """Return a name for a call, such as ``get_v_search``."""
    words = re.findall(r"[a-z]+", _PATH_PARAMETER.sub(r"\g<name>", operation.path)) or ["page"]
    return "_".join([operation.method.lower(), *words])


def _path_parameters(operation: Operation) -> list[Schema]:
    """Return the parts of a call's path that vary as OpenAPI describes them."""
    names = [match["name"] for match in _PATH_PARAMETER.finditer(operation.path)]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(operation: Operation) -> list[Schema]:
    """Return the fields of a call's parameters as OpenAPI describes those of a query string."""
    if operation.parameters is None:
        return []
    _, schemas = msgspec.json.schema_components([operation.parameters], ref_template=_REF)
    schema = schemas[operation.parameters.__name__]
    return [
        {"name": name, "in": "query", "required": name in schema["required"], "schema": field}
        for name, field in schema["properties"].items()
    ]


def _answer(status: int, answer: type | UnionType | str) -> Schema:
    """Return an answer of a status as OpenAPI describes it."""
    description = {"description": _STATUS_WORDS[status]}
    if answer == "":
        return description
    if isinstance(answer, str):
        return {**description, "content": {answer: {}}}
    return {**description, "content": _json(*_members(answer))}


def _json(*kinds: type) -> Schema:
    """Return the description of content that is JSON of one of the classes."""
    return _content("application/json", *kinds)


def _content(media_type: str, *kinds: type) -> Schema:
    """Return the description of content of a media type whose fields are those of one of the classes."""
    schemas = [{"$ref": _REF.format(name=kind.__name__)} for kind in kinds]
    return {media_type: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}
