"""The shapes of data that honed knows: its own, those of other packages by entry point, and those of a script."""

from collections.abc import Iterator
from typing import TypeGuard

from honed.config.config import Config
from honed.core.errors import ConfigError, did_you_mean
from honed.core.registry import Registry
from honed.shapes.shape import Shape

# in the order in which ``honed init`` tries them
BUILT_IN = {
    "judgments": "honed.shapes.judgments.shape:SHAPE",
    "relations": "honed.shapes.relations.shape:SHAPE",
    "aliases": "honed.shapes.aliases.shape:SHAPE",
    "labels": "honed.shapes.labels.shape:SHAPE",
}
_registered: dict[str, Shape] = {}


def _is_shape(value: object) -> TypeGuard[Shape]:
    return all(hasattr(value, name) for name in ("name", "roles", "compile", "evaluate"))


REGISTRY: Registry[Shape] = Registry("shape of data", group="honed.shapes", built_in=BUILT_IN, accepts=_is_shape)


def register(shape: Shape) -> None:
    """Make a shape known in this process; packages use the entry point ``honed.shapes`` instead.

    Raises `ConfigError` for a name that is taken by another shape.
    """
    if shape.name in REGISTRY.built_in or _registered.get(shape.name, shape) is not shape:
        raise ConfigError("E_SHAPE", f"the name {shape.name} is taken by another shape")
    _registered[shape.name] = shape


def shape_named(name: str) -> Shape:
    """Return a shape; `ConfigError` for a name that no shape has."""
    if name in _registered:
        return _registered[name]
    if name not in REGISTRY:
        known = shape_names()
        raise ConfigError(
            "E_SHAPE", f"data.shape: {name!r} is not one of {', '.join(sorted(known))}{did_you_mean(name, known)}"
        )
    return REGISTRY[name]


def shape_of(config: Config) -> Shape:
    """Return the shape of the data of a configuration."""
    return shape_named(config.data.shape)


def shape_names() -> list[str]:
    """Return the names of all shapes."""
    return [*REGISTRY, *_registered]


def all_shapes() -> Iterator[Shape]:
    """Yield all shapes, honed's own first."""
    return (shape_named(name) for name in shape_names())
