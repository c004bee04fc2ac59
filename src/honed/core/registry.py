"""Things of one kind by name: built-in ones, imported on first use, and those of other packages, by entry point.

A package adds to a kind by an entry point in the kind's group::

    [project.entry-points."honed.codes"]
    ternary = "my_package.ternary:CODE"

Names that are built in never cost a look at the installed packages, which takes 10 ms and more.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeGuard, TypeVar

from honed.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


def load_place(place: str) -> Any:
    """Import what a place, "module:attribute", names."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


def instance_of(kind: type[T]) -> Callable[[object], TypeGuard[T]]:
    """Return the test whether a value is an instance of a class, for the ``accepts`` of a registry."""

    def accepts(value: object) -> TypeGuard[T]:
        return isinstance(value, kind)

    return accepts


class Registry(Collection[str], Generic[T]):
    """The entries of one kind by name; iterating gives all names: the built-in ones in order, then those of plug-ins.

    ``kind`` names the kind in messages, as a singular noun ("index code"). ``group`` is the group of entry points that
    plug-ins use. ``built_in`` maps names to entries, or to "module:attribute" for those that are imported on first use.
    ``accepts`` tells whether an object can be an entry; it is asked of what plug-ins bring.
    """

    def __init__(
        self, kind: str, *, group: str, built_in: Mapping[str, str | T], accepts: Callable[[object], TypeGuard[T]]
    ) -> None:
        self.kind, self.group, self.built_in = kind, group, tuple(built_in)
        self._accepts = accepts
        self._places = {name: entry for name, entry in built_in.items() if isinstance(entry, str)}
        self._entries = {name: entry for name, entry in built_in.items() if not isinstance(entry, str)}

    def __getitem__(self, name: str) -> T:
        """Return the entry of a name, imported when it is asked for the first time.

        Raises `ConfigError`: for an unknown name, with the known ones; for a plug-in that cannot be imported or is no
        entry of this kind, with the name of its package; for a name that two packages take.
        """
        if name not in self._entries:
            self._entries[name] = self._from_honed(name) if name in self._places else self._from_plugin(name)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self.built_in or name in self._plugins)

    def __iter__(self) -> Iterator[str]:
        yield from self.built_in
        yield from self._plugins

    def __len__(self) -> int:
        return len(self.built_in) + len(self._plugins)

    def __bool__(self) -> bool:
        return True  # without counting the plug-ins

    def packages(self) -> dict[str, str]:
        """Return the names that plug-ins add, each with the name of its package; sorted."""
        return {name: _package(entry) for name, entry in self._plugins.items()}

    def versions(self, names: Iterable[str]) -> dict[str, str]:
        """Return those of some names that are of plug-ins, each with its package and that one's version; sorted."""
        outside = sorted(name for name in set(names) if name not in self.built_in and name in self._plugins)
        return {name: f"{_package(self._plugins[name])} {_version(self._plugins[name])}" for name in outside}

    @cached_property
    def _plugins(self) -> "dict[str, EntryPoint]":
        from importlib.metadata import entry_points  # slow to import

        plugins: dict[str, EntryPoint] = {}
        for entry in sorted(entry_points(group=self.group), key=lambda entry: (entry.name, _package(entry))):
            if entry.name in self.built_in or entry.name in plugins:
                other = "honed" if entry.name in self.built_in else f"the package {_package(plugins[entry.name])}"
                raise ConfigError(
                    "E_PLUGIN",
                    f"{self.kind} {entry.name!r} is there twice: of {other} and of the package {_package(entry)}; "
                    "uninstall one of them",
                )
            plugins[entry.name] = entry
        return plugins

    def _from_honed(self, name: str) -> T:
        entry: T = load_place(self._places[name])
        return entry

    def _from_plugin(self, name: str) -> T:
        if name not in self._plugins:
            raise ConfigError(
                "E_UNKNOWN_NAME", f"{self.kind}: {name!r} is not one of {', '.join(self)}{did_you_mean(name, self)}"
            )
        plugin = self._plugins[name]
        shown = f"{self.kind} {name!r} of the package {_package(plugin)}"
        try:
            entry: object = plugin.load()
        except Exception as error:  # whatever foreign code raises when it is imported
            raise ConfigError(
                "E_PLUGIN", f"{shown} cannot be loaded: {type(error).__name__}: {str(error)[:200]}"
            ) from error
        if not self._accepts(entry):
            raise ConfigError("E_PLUGIN", f"{shown}: {plugin.value} is a {type(entry).__name__}, not an entry")
        return entry


def _package(entry: "EntryPoint") -> str:
    return entry.dist.name if entry.dist else entry.value.partition(".")[0]


def _version(entry: "EntryPoint") -> str:
    return entry.dist.version if entry.dist else "?"
