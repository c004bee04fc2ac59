"""The Reconciliation Service API 0.2, as OpenRefine speaks it: a catalogue to match the cells of a table against.

The service is at ``/reconcile``. Parameters that the specification does not name are ignored, unlike in the server's
own calls: clients add some, such as ``_`` against caches.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from honed.connect import reconciliation_messages as messages
from honed.connect.reconciliation_catalogue import PREVIEW_POLICY, ReconciliationCatalogue, fitting
from honed.connect.reconciliation_messages import Named
from honed.connect.reconciliation_operations import (
    EXTEND_OR_RECONCILE,
    FLYOUT,
    PATH,
    PREVIEW,
    PROPOSE,
    RECONCILE,
    SUGGEST,
)
from honed.connect.reconciliation_search import ReconciliationSearch
from honed.core.version import __version__
from honed.search.catalogue import EntityRecord
from honed.search.request import ALIAS_TO_LABEL
from honed.serve.batching import SearchWork
from honed.serve.decoding import decode_leniently
from honed.serve.errors import RequestError
from honed.serve.gate import gate_of
from honed.serve.protocols import Call, ProtocolSettings, ServedProtocol
from honed.serve.requests import check_text
from honed.serve.responses import html_response, json_response
from honed.serve.service import Service
from honed.serve.waiting import Waiting

Form = TypeVar("Form", bound=msgspec.Struct)
_CALLBACK = re.compile(r"[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*)*", re.ASCII)
_LONGEST_CALLBACK = 200
_SUGGESTED = 10
_PREVIEW_SIZE = {"width": 400, "height": 240}


class ReconciliationService:
    """What answers the calls of the protocol."""

    def __init__(self, service: Service, type_field: str) -> None:
        """Take a service; `honed.core.errors.ConfigError` for a field of types that the bundle does not have."""
        self._service, self._limits, self._type_field = service, service.limits, type_field
        self._catalogue().check()

    def _catalogue(self) -> ReconciliationCatalogue:
        return ReconciliationCatalogue(self._service.searcher, self._type_field)

    def calls(self) -> Sequence[Call]:
        """Return every call with what answers it."""
        return [
            (RECONCILE, self.reconcile),
            (EXTEND_OR_RECONCILE, self.reconcile_form),
            (SUGGEST, self.suggest),
            (FLYOUT, self.flyout),
            (PROPOSE, self.propose),
            (PREVIEW, self.preview),
        ]

    # -- matching ----------------------------------------------------------------------------------

    async def reconcile(self, request: Request) -> Response:
        """Answer queries or a data extension in the address; without either, with the manifest."""
        fields = messages.read_form(request.scope["query_string"])
        if not {"queries", "extend"} & set(fields):
            return _answer(request, fields, self._manifest(request))
        return _answer(request, fields, await self._answered(request, fields))

    async def reconcile_form(self, request: Request) -> Response:
        """Answer queries or a data extension in a form."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != messages.FORM:
            raise RequestError(415, "E_CONTENT_TYPE", f"the body must be {messages.FORM}")
        fields = messages.read_form(await request.body())
        return json_response(await self._answered(request, {**fields, "callback": ""}))

    async def _answered(self, request: Request, fields: Mapping[str, str]) -> object:
        """Return the answer to a form: of a batch of queries, or of a data extension."""
        if ("queries" in fields) == ("extend" in fields):
            raise RequestError(422, "E_MISSING", "give one of queries and extend")
        if "extend" in fields:
            query = messages.read_extension(fields["extend"], self._limits)
            return await asyncio.to_thread(extended, self._catalogue(), query)
        queries = messages.read_queries(fields["queries"], self._limits)
        search = ReconciliationSearch(self._catalogue(), self._limits.max_k)
        return await search.results(queries, Waiting(self._service, request))

    # -- suggestions -------------------------------------------------------------------------------

    async def suggest(self, request: Request) -> Response:
        """Answer with what fits what was typed: entities, properties or types."""
        fields, form = _form(request, messages.SuggestForm)
        kind, cursor = request.path_params["kind"], max(0, min(form.cursor, self._limits.max_k))
        if kind == "entity":
            result = await self._suggested_entities(request, form.prefix, cursor)
            return _answer(request, fields, messages.Suggestions(result=result))
        things = await asyncio.to_thread(self._things, kind)
        shown = fitting(things, form.prefix)[cursor : cursor + _SUGGESTED]
        result = [messages.Suggestion(id=thing.id, name=thing.name) for thing in shown]
        return _answer(request, fields, messages.Suggestions(result=result))

    def _things(self, kind: str) -> Sequence[Named]:
        """Return all properties or types."""
        catalogue = self._catalogue()
        known = {"property": catalogue.properties, "type": catalogue.types}
        if kind not in known:
            raise RequestError(404, "E_NOT_FOUND", "suggestions are there for entity, property and type")
        return known[kind]()

    async def _suggested_entities(self, request: Request, prefix: str, cursor: int) -> list[messages.Suggestion]:
        """Return entities by their id, then by their names."""
        if not prefix.strip():
            return []
        text, catalogue = check_text(prefix, "prefix", self._limits), self._catalogue()
        wanted = min(cursor + _SUGGESTED, self._limits.max_k)
        (answer,) = await Waiting(self._service, request).result(SearchWork(ALIAS_TO_LABEL), [text], wanted)
        named = catalogue.entity(text.strip())
        records = [(named["id"], named["label"], named["fields"])] if named else []
        records += [
            (hit.doc_id, hit.text, dict(hit.fields)) for hit in answer.hits if not named or hit.doc_id != named["id"]
        ]
        return [
            messages.Suggestion(
                id=entity_id,
                name=label,
                description=catalogue.description(entity_fields),
                notable=catalogue.types_of(entity_fields),
            )
            for entity_id, label, entity_fields in records[cursor:wanted]
        ]

    async def propose(self, request: Request) -> Response:
        """Answer with the properties that can be asked for."""
        fields, form = _form(request, messages.ProposeForm)
        known = await asyncio.to_thread(self._things, "property")
        shown = known[: form.limit] if form.limit > 0 else known
        proposed = messages.ProposedProperties(properties=list(shown), type=form.type[:200], limit=max(0, form.limit))
        return _answer(request, fields, proposed)

    # -- shown -------------------------------------------------------------------------------------

    async def flyout(self, request: Request) -> Response:
        """Answer with a few lines about an entity, a property or a type."""
        fields, form = _form(request, messages.IdForm)
        kind = request.path_params["kind"]
        if kind == "entity":
            html = self._catalogue().flyout(self._entity(form.id))
        else:
            thing = next((thing for thing in await asyncio.to_thread(self._things, kind) if thing.id == form.id), None)
            if thing is None:
                raise RequestError(404, "E_NOT_FOUND", f"no such {kind}")
            html = escape(thing.name)
        return _answer(request, fields, messages.Flyout(id=form.id, html=html))

    async def preview(self, request: Request) -> Response:
        """Show an entity as a page that others may frame."""
        _, form = _form(request, messages.IdForm)
        return html_response(self._catalogue().preview(self._entity(form.id)), PREVIEW_POLICY)

    def _entity(self, entity_id: str) -> EntityRecord:
        entity = self._catalogue().entity(check_text(entity_id, "id", self._limits))
        if entity is None:
            raise RequestError(404, "E_NO_ENTITY", "no entity of that id")
        return entity

    def _manifest(self, request: Request) -> messages.Manifest:
        """Return what the service is, with addresses as the client knows this server."""
        base, catalogue = _base(request), self._catalogue()
        shown = f"{base}{PATH}/preview?id={{{{id}}}}"
        return messages.Manifest(
            versions=["0.2"],
            name=f"honed: {self._service.path.stem}",
            identifier_space=f"{base}/v1/entities/",
            schema_space=f"{base}{PATH}/properties/",
            service_version=__version__,
            default_types=[] if self._type_field else catalogue.types(),
            view={"url": shown},
            preview={"url": shown, **_PREVIEW_SIZE},
            suggest={kind: _suggest_place(base, kind) for kind in ("entity", "property", "type")},
            extend={
                "propose_properties": messages.ServicePlace(service_url=base, service_path=f"{PATH}/properties"),
                "property_settings": [],
            },
            authentication=(
                {"type": "apiKey", "in": "header", "name": "X-API-Key"}
                if gate_of(request).access.has_key
                else msgspec.UNSET
            ),
        )


def extended(catalogue: ReconciliationCatalogue, query: messages.ExtendQuery) -> messages.Extension:
    """Return the values of properties of entities; none for an unknown id, `RequestError` for an unknown property."""
    meta = []
    for wanted in query.properties:
        known = catalogue.property(wanted.id)
        if known is None:
            raise RequestError(422, "E_FIELD", f"no property {wanted.id[:50]!a}")
        meta.append(known)
    entities = {entity_id: catalogue.entity(entity_id) for entity_id in query.ids}
    rows = {
        entity_id: {known.id: [{"str": value} for value in catalogue.values(entity, known.id)] for known in meta}
        for entity_id, entity in entities.items()
    }
    return messages.Extension(meta=meta, rows=rows)


def _form(request: Request, kind: type[Form]) -> tuple[dict[str, str], Form]:
    """Return the parameters of an address: as they are, and those that a call knows, by type."""
    fields = messages.read_form(request.scope["query_string"])
    known = kind.__struct_encode_fields__
    return fields, decode_leniently({name: value for name, value in fields.items() if name in known}, kind)


def _answer(request: Request, fields: Mapping[str, str], content: object) -> Response:
    """Return an answer as JSON, or as a script that hands it to the function that ``callback`` names (JSONP).

    `RequestError` (422) for what is no name of a function, and (403) where a page of another site loads the script:
    such a page could not read JSON either.
    """
    callback = fields.get("callback", "")
    if not callback:
        return json_response(content)
    if len(callback) > _LONGEST_CALLBACK or not _CALLBACK.fullmatch(callback):
        raise RequestError(422, "E_CALLBACK", "callback is no name of a function")
    if not gate_of(request).access.sharing.may_load_script(request.scope):
        raise RequestError(403, "E_ORIGIN", "scripts are not for pages of other sites; see  honed serve --allow-origin")
    json = msgspec.json.encode(content).decode().replace("<", "\\u003c")
    json = json.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Response(f"/**/{callback}({json});", media_type="application/javascript")


def _base(request: Request) -> str:
    """Return the address of this server as the client knows it, without a slash at its end."""
    scheme = "https" if request.headers.get("x-forwarded-proto", "").lower() == "https" else request.url.scheme
    return f"{scheme}://{request.headers.get('host', 'localhost')}"


def _suggest_place(base: str, kind: str) -> messages.ServicePlace:
    return messages.ServicePlace(
        service_url=base,
        service_path=f"{PATH}/suggest/{kind}",
        flyout_service_url=base,
        flyout_service_path=f"{PATH}/flyout/{kind}?id=${{id}}",
    )


def _calls(service: Service, settings: ProtocolSettings) -> Sequence[Call]:
    return ReconciliationService(service, settings.type_field).calls()


PROTOCOL = ServedProtocol(name="reconcile", calls=_calls, shared=(PATH,))
