"""A catalogue as reconciliation sees it: entities with types and properties, and how they are shown."""

from collections.abc import Mapping, Sequence
from html import escape

from honed.connect.reconciliation_messages import Named
from honed.core.errors import ConfigError, did_you_mean
from honed.core.filters import Column
from honed.core.html import html_table
from honed.core.records import Hit
from honed.core.text import fold
from honed.search.catalogue import EntityRecord
from honed.search.searcher import Searcher

ANY_TYPE = Named(id="entity", name="Entity")  # of all entities, where no field holds types
LABEL, ALIASES = Named(id="@label", name="Name"), Named(id="@aliases", name="Other names")
_DESCRIBED, _LONGEST = 3, 60  # fields in a description, characters of a value
_SHOWN_ALIASES = 20
PREVIEW_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors *; sandbox; form-action 'none'; base-uri 'none'"
)
_PAGE = (
    '<!doctype html><html><head><meta charset="utf-8"><title>{title}</title></head>'
    '<body style="font:14px sans-serif;margin:8px"><h1 style="font-size:16px;margin:0 0 4px">{title}</h1>{body}</body>'
    "</html>"
)


class ReconciliationCatalogue:
    """The entities of a searcher; ``type_field`` is the field that holds their types, "" where none does."""

    def __init__(self, searcher: Searcher, type_field: str = "") -> None:
        self.searcher, self.type_field = searcher, type_field

    def check(self) -> None:
        """Raise `ConfigError` for a field of types that no entity has."""
        known = self.searcher.columns if self.type_field else {}
        if self.type_field and self.type_field not in known:
            raise ConfigError(
                "E_OPTION",
                f"--type-field: no field {self.type_field!r}{did_you_mean(self.type_field, known)} "
                f"(fields: {', '.join(known) or 'none'})",
            )

    # -- types and properties ----------------------------------------------------------------------

    @property
    def columns(self) -> Mapping[str, Column]:
        """The fields of entities."""
        return self.searcher.columns

    def types(self) -> list[Named]:
        """Return all types, in the order of their names."""
        column = self.columns.get(self.type_field)
        if column is None:
            return [ANY_TYPE]
        return [Named(id=name, name=name) for name in sorted(str(value) for value in column.values)]

    def types_of(self, fields: Mapping[str, str]) -> list[Named]:
        """Return the types of an entity, by its fields."""
        if not self.type_field:
            return [ANY_TYPE]
        name = str(fields.get(self.type_field, ""))
        return [Named(id=name, name=name)] if name else []

    def is_any_type(self, type_id: str) -> bool:
        """Tell whether a type is that of all entities."""
        return not self.type_field and type_id == ANY_TYPE.id

    def properties(self) -> list[Named]:
        """Return all properties: the fields of entities, their names and other names."""
        return [*(Named(id=name, name=name) for name in self.columns), LABEL, ALIASES]

    def property(self, property_id: str) -> Named | None:
        """Return a property by its id; None for one that is not there."""
        return next((known for known in self.properties() if known.id == property_id), None)

    # -- entities ----------------------------------------------------------------------------------

    def entity(self, entity_id: str) -> EntityRecord | None:
        """Return an entity; None for an unknown id."""
        try:
            return self.searcher.entity(entity_id)
        except ConfigError:
            return None

    def values_of(self, hit: Hit, property_id: str) -> Sequence[str]:
        """Return the values of a property of the entity of a hit."""
        if property_id == LABEL.id:
            return [hit.text]
        if property_id == ALIASES.id:
            entity = self.entity(hit.doc_id)
            return entity["aliases"] if entity else []
        return _field(hit.fields, property_id)

    @staticmethod
    def values(entity: EntityRecord | None, property_id: str) -> Sequence[str]:
        """Return the values of a property of an entity."""
        if entity is None:
            return []
        if property_id == LABEL.id:
            return [entity["label"]]
        return entity["aliases"] if property_id == ALIASES.id else _field(entity["fields"], property_id)

    # -- shown -------------------------------------------------------------------------------------

    def description(self, fields: Mapping[str, str]) -> str:
        """Return the first short values of an entity's fields, to tell namesakes apart."""
        short = [f"{name}: {value}" for name, value in fields.items() if 0 < len(str(value)) <= _LONGEST]
        return ", ".join(short[:_DESCRIBED])

    def flyout(self, entity: EntityRecord) -> str:
        """Return a few lines of HTML about an entity."""
        aliases = ", ".join(entity["aliases"][:_SHOWN_ALIASES])
        rows = [[name, value] for name, value in entity["fields"].items() if value != ""]
        more = [["other names", aliases]] if aliases else []
        return html_table(["id", entity["id"]], [*more, *rows])

    def preview(self, entity: EntityRecord) -> bytes:
        """Return a page about an entity."""
        return _PAGE.format(title=escape(entity["label"]), body=self.flyout(entity)).encode()


def _field(fields: Mapping[str, str], name: str) -> list[str]:
    value = fields.get(name)
    if value is None or value == "":
        return []
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def fitting(things: Sequence[Named], prefix: str) -> list[Named]:
    """Return what fits a text that was typed: names that begin with it, then those that hold it."""
    key = fold(prefix)
    holding = [thing for thing in things if key in fold(thing.name) or prefix == thing.id]
    return sorted(holding, key=lambda thing: (not fold(thing.name).startswith(key), thing.name))
