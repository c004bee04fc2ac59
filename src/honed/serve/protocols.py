"""Protocols of others that a server may speak beside its own calls: each is a value that is switched on by name."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from honed.serve.operations import Operation
from honed.serve.service import Service

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
Call: TypeAlias = tuple[Operation, Handler]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtocolSettings:
    """What a user may set for protocols: ``type_field`` is the field of entities whose values are their types."""

    type_field: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedProtocol:
    """A protocol: its ``calls`` over a service, with what answers each; see `honed.connect.protocols` for all.

    ``calls`` may raise `honed.core.errors.ConfigError` for settings that do not fit the bundle. ``shared`` are the
    paths, with all below them, that pages of other origins may ask.
    """

    name: str
    calls: Callable[[Service, ProtocolSettings], Sequence[Call]]
    shared: tuple[str, ...] = ()
