"""The language model of a project, if it has one."""

from pathlib import Path

from honed.config.sections import Config
from honed.core.errors import ConfigError
from honed.data.endpoint import Endpoint

KEPT = "endpoint.jsonl"


def open_endpoint(config: Config, root: Path) -> Endpoint:
    """Return the endpoint of honed.toml with the answers that are kept; `ConfigError` where there is none."""
    if config.endpoint is None:
        raise ConfigError("E_NO_ENDPOINT", "no language model to ask: honed.toml has no section [endpoint]")
    return Endpoint(config.endpoint, root / config.paths.output / KEPT)
