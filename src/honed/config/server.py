"""The section ``[server]`` of honed.toml; free of heavy imports."""

import ipaddress
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from honed.core.errors import ConfigError
from honed.core.sections import limits, read_section


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSection:
    """The HTTP server; a public address needs a key. ``allow_hosts`` are more names that clients may use for it."""

    host: str = "127.0.0.1"
    port: int = field(default=8080, metadata=limits(low=1, high=65535))
    api_key: str = ""
    allow_hosts: tuple[str, ...] = ()

    def check(self, file: str) -> None:
        """Refuse to listen to the world without a key."""
        if not is_loopback(self.host) and not self.api_key:
            raise ConfigError(
                "E_CONFIG_UNSAFE",
                f"{file}: server.host: {self.host} is reachable from outside; set server.api_key (or pass --insecure "
                "to a server that is meant to be open)",
            )


def is_loopback(host: str) -> bool:
    """Tell whether an address is reachable from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def server_section(file: Path) -> ServerSection:
    """Read the section ``[server]`` of a honed.toml; `ConfigError` for anything that is wrong in it."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("E_CONFIG_TOML", f"{file}: not TOML: {error}") from error
    return read_section(ServerSection, tables.get("server", {}), "server", file.name)
