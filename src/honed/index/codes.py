"""Kinds of codes by name: what stands for a vector in an index, and what of it is compared first.

A package adds a kind by an entry point of the group ``honed.codes`` that names an `honed.index.lists.IndexCode`; it is
then a value of ``[index] codes`` with the backend "composed".
"""

from honed.core.registry import Registry, instance_of
from honed.index.lists import IndexCode

FULL = "full"
CODES: Registry[IndexCode] = Registry(
    "index code",
    group="honed.codes",
    built_in={
        FULL: "honed.index.ivf:CODE",
        "scalar": "honed.index.scalar:CODE",
        "product": "honed.index.product:CODE",
        "fastscan": "honed.index.fastscan:CODE",
        "sign": "honed.index.sign:CODE",
        "rabitq": "honed.index.rabitq:CODE",
    },
    accepts=instance_of(IndexCode),
)
