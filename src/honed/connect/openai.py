"""``/v1/embeddings`` and ``/v1/models``, in the form of OpenAI's interface: the bundle's encoder for its clients.

The role of the texts, query or document, is said by the model's name (``honed:document``) or by ``input_type``, an
extension. It must be said where the model has different prompts for the two.
"""

import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from honed.bundle.manifest import Manifest
from honed.connect.encoding import check_documents, count_tokens, cut_texts, encoded, model_names, read_model
from honed.core.protocols import Role, Vectors
from honed.core.records import EncoderSpec
from honed.index.composed import cut
from honed.serve.decoding import decode
from honed.serve.errors import RequestError
from honed.serve.gate import body_of
from honed.serve.operations import Errors, Operation
from honed.serve.protocols import Call, Handler, ProtocolSettings, ServedProtocol
from honed.serve.responses import body_fields, json_response
from honed.serve.service import Service
from honed.serve.waiting import Waiting

MOST_TEXTS = 2048  # as in OpenAI's interface
_ROLES: dict[str, Role] = {
    "query": "query",
    "search_query": "query",
    "document": "document",
    "search_document": "document",
}
InputType = Literal["query", "document", "search_query", "search_document"]


class EmbeddingsRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Texts to be embedded."""

    input: Annotated[
        str | list[str | int | list[int]], Meta(description="One text or several; token numbers are refused.")
    ]
    model: Annotated[str, Meta(description="The bundle's name or honed; with :query or :document.")]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int | None, Meta(description="A width that the vectors were trained for.")] = None
    input_type: Annotated[InputType | None, Meta(description="What the texts are, beside the model's name.")] = None
    user: str | None = None

    def texts(self) -> list[str]:
        """Return the texts; `RequestError` for token numbers, which are of another model's tokenizer."""
        listed = [self.input] if isinstance(self.input, str) else self.input
        texts = [text for text in listed if isinstance(text, str)]
        if len(texts) < len(listed):
            raise RequestError(
                422, "E_TOKENS", "input holds token numbers; send texts: every model has tokens of its own"
            )
        return texts


class Embedding(msgspec.Struct, kw_only=True, frozen=True):
    """The unit vector of a text: numbers, or their bytes (float32, little-endian) in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(msgspec.Struct, kw_only=True, frozen=True):
    """How many tokens the model has read."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(msgspec.Struct, kw_only=True, frozen=True):
    """The vectors of some texts, in their order; ``truncated`` are the texts whose end the model did not see."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage
    truncated: list[int] | UnsetType = UNSET


class Model(msgspec.Struct, kw_only=True, frozen=True):
    """A model that can be named."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "honed"


class Models(msgspec.Struct, kw_only=True, frozen=True):
    """The models that can be named."""

    object: Literal["list"] = "list"
    data: list[Model]


class OpenAIErrorBody(msgspec.Struct, kw_only=True, frozen=True):
    """What is wrong, in OpenAI's words."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAIError(msgspec.Struct, kw_only=True, frozen=True):
    """The answer to a request that cannot be answered, in OpenAI's form."""

    error: OpenAIErrorBody


_BODY: Errors = {
    400: (
        *("E_ENCODING", "E_JSON", "E_TYPE", "E_UNKNOWN_FIELD", "E_MISSING", "E_RANGE", "E_TOKENS", "E_DIMENSIONS"),
        *("E_QUERY_EMPTY", "E_QUERY_TOO_LONG", "E_BATCH_TOO_BIG", "E_TOO_MANY_TOKENS", "E_NUL"),
    ),
    404: ("model_not_found",),
    408: ("E_SLOW",),
    413: ("E_BODY_TOO_BIG",),
    415: ("E_CONTENT_TYPE",),
    429: ("E_BUSY",),
    503: ("E_DEADLINE",),
}
EMBEDDINGS = Operation(
    method="POST",
    path="/v1/embeddings",
    summary="Texts to unit vectors, in OpenAI's form",
    body=EmbeddingsRequest,
    answers={200: Embeddings},
    error_tables=(_BODY,),
)
MODELS = Operation(
    method="GET", path="/v1/models", summary="The names of the model, in OpenAI's form", answers={200: Models}
)


class OpenAIService:
    """What answers the calls of the protocol."""

    def __init__(self, service: Service) -> None:
        self._service, self._limits = service, service.limits

    def calls(self) -> Sequence[Call]:
        """Return every call with what answers it."""
        return [(EMBEDDINGS, in_openai_form(self.embeddings)), (MODELS, self.models)]

    async def embeddings(self, request: Request) -> Response:
        """Answer with the vectors of texts."""
        wish = decode(await body_fields(request), EmbeddingsRequest)
        texts, searcher = wish.texts(), self._service.searcher
        role = self._role(wish)
        spec, widths = searcher.encoder.spec, Manifest(searcher.manifest).matryoshka
        check_dimensions(wish.dimensions, spec, widths)
        check_documents(texts, "input", self._limits, MOST_TEXTS)
        vectors = await encoded(Waiting(self._service, request), texts, role, self._limits)
        n_tokens = await count_tokens(searcher, texts, role)
        return json_response(
            Embeddings(
                data=embeddings_of(shortened(vectors, wish.dimensions), wish.encoding_format),
                model=wish.model,
                usage=Usage(prompt_tokens=n_tokens, total_tokens=n_tokens),
                truncated=await cut_texts(searcher, texts, role) or UNSET,
            )
        )

    def _role(self, wish: EmbeddingsRequest) -> Role:
        """Return the role of the texts; `RequestError` where it is said twice, or not at all and would matter."""
        named = read_model(wish.model, self._service).role
        typed = _ROLES[wish.input_type] if wish.input_type else None
        if named and typed and named != typed:
            raise RequestError(422, "E_RANGE", "input_type contradicts the model's name")
        role = named or typed
        spec = self._service.searcher.encoder.spec
        if role is None and spec.query_prompt != spec.document_prompt:
            raise RequestError(
                422,
                "E_MISSING",
                "this model has different prompts for queries and documents: name the model honed:query or "
                "honed:document, or set input_type",
            )
        return role or "document"

    async def models(self, _: Request) -> Response:
        """Answer with the names of the model."""
        names = [f"{name}{role}" for name in model_names(self._service) for role in ("", ":query", ":document")]
        return json_response(Models(data=[Model(id=name) for name in names]))


def check_dimensions(dimensions: int | None, spec: EncoderSpec, widths: Sequence[int]) -> None:
    """Raise `RequestError` for a width that the vectors were not trained for."""
    allowed = sorted({*(width for width in widths if width < spec.dim), spec.dim})
    if dimensions is not None and dimensions not in allowed:
        shown = ", ".join(map(str, allowed))
        raise RequestError(422, "E_DIMENSIONS", f"dimensions: the vectors were trained for {shown}; others are refused")


def shortened(vectors: Vectors, dimensions: int | None) -> Vectors:
    """Return the first dimensions of vectors, as unit vectors ``(n_texts, dimensions)``."""
    return vectors if dimensions is None else cut(vectors, dimensions)


def embeddings_of(vectors: Vectors, encoding_format: str) -> list[Embedding]:
    """Return vectors ``(n_texts, dim)`` as they are written."""
    if encoding_format == "base64":
        little = np.ascontiguousarray(vectors, dtype="<f4")
        return [
            Embedding(index=row, embedding=base64.b64encode(little[row].tobytes()).decode("ascii"))
            for row in range(len(little))
        ]
    return [Embedding(index=row, embedding=vector.tolist()) for row, vector in enumerate(vectors)]


def in_openai_form(handler: Callable[[Request], Awaitable[Response]]) -> Handler:
    """Return a handler whose errors have OpenAI's form and status: 400 for what is wrong with a request's fields."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except RequestError as error:
            if body_of(request).refused:  # the rest of the body is to be read first
                raise
            status = 400 if error.status in (413, 422) else error.status
            kinds = {429: "rate_limit_error", 503: "server_error"}
            body = OpenAIErrorBody(
                message=error.message,
                type=kinds.get(status, "invalid_request_error"),
                param=_parameter(error.message),
                code="model_not_found" if error.code == "E_MODEL" else error.code,
            )
            response = json_response(OpenAIError(error=body), status)
            response.headers.update(error.headers)
            return response

    return answer


def _parameter(message: str) -> str | None:
    """Return the field that a message begins with, where it names one."""
    first = message.partition(" ")[0].partition("[")[0].rstrip(":")
    return first if first in EmbeddingsRequest.__struct_encode_fields__ else None


def _calls(service: Service, _: ProtocolSettings) -> Sequence[Call]:
    return OpenAIService(service).calls()


PROTOCOL = ServedProtocol(name="openai", calls=_calls)
