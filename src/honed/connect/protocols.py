"""The protocols that ``honed serve --protocol NAME`` can speak, by name; none is on unless it is asked for."""

from honed.core.registry import Registry, instance_of
from honed.serve.protocols import ServedProtocol

PROTOCOLS: Registry[ServedProtocol] = Registry(
    "protocol",
    group="honed.protocols",
    built_in={
        "reconcile": "honed.connect.reconciliation:PROTOCOL",
        "openai": "honed.connect.openai:PROTOCOL",
        "rerank": "honed.connect.rerank:PROTOCOL",
    },
    accepts=instance_of(ServedProtocol),
)
