"""The calls of the Reconciliation Service API, as the routes and the OpenAPI document need them."""

from honed.connect.reconciliation_messages import (
    FORM,
    Flyout,
    IdForm,
    ProposedProperties,
    ProposeForm,
    ReconciliationForm,
    SuggestForm,
    Suggestions,
)
from honed.serve.operations import Errors, Operation

PATH = "/reconcile"
_FORM: Errors = {
    400: ("E_ENCODING", "E_FORM"),
    403: ("E_ORIGIN",),
    422: ("E_TYPE", "E_MISSING", "E_CALLBACK"),
}
_TEXT: Errors = {413: ("E_QUERY_TOO_LONG",), 422: ("E_QUERY_EMPTY", "E_NUL", "E_ENCODING")}
_WORK: Errors = {413: ("E_TOO_MANY_TOKENS",), 429: ("E_BUSY",), 503: ("E_DEADLINE",)}
_BATCH: Errors = {
    400: ("E_JSON",),
    413: ("E_BATCH_TOO_BIG",),
    422: ("E_UNKNOWN_FIELD", "E_RANGE", "E_FIELD"),
}
_NONE: Errors = {404: ("E_NOT_FOUND", "E_NO_ENTITY")}

RECONCILE = Operation(
    method="GET",
    path=PATH,
    summary="What the reconciliation service is, or the answer to queries in the address",
    parameters=ReconciliationForm,
    answers={200: "application/json"},
    error_tables=(_FORM, _TEXT, _WORK, _BATCH),
)
EXTEND_OR_RECONCILE = Operation(
    method="POST",
    path=PATH,
    summary="Match names against the entities, or fetch properties of entities (OpenRefine)",
    body=ReconciliationForm,
    body_type=FORM,
    answers={200: "application/json"},
    error_tables=(_FORM, _TEXT, _WORK, _BATCH, {408: ("E_SLOW",), 413: ("E_BODY_TOO_BIG",), 415: ("E_CONTENT_TYPE",)}),
)
SUGGEST = Operation(
    method="GET",
    path=f"{PATH}/suggest/{{kind}}",
    summary="Entities, properties or types that fit what was typed",
    parameters=SuggestForm,
    answers={200: Suggestions},
    error_tables=(_FORM, _TEXT, _WORK, _NONE),
)
FLYOUT = Operation(
    method="GET",
    path=f"{PATH}/flyout/{{kind}}",
    summary="A few lines about an entity, a property or a type",
    parameters=IdForm,
    answers={200: Flyout},
    error_tables=(_FORM, _TEXT, _NONE),
)
PROPOSE = Operation(
    method="GET",
    path=f"{PATH}/properties",
    summary="The properties that entities have",
    parameters=ProposeForm,
    answers={200: ProposedProperties},
    error_tables=(_FORM,),
)
PREVIEW = Operation(
    method="GET",
    path=f"{PATH}/preview",
    summary="One entity as a page that others may frame",
    parameters=IdForm,
    answers={200: "text/html"},
    error_tables=(_FORM, _TEXT, _NONE),
)
