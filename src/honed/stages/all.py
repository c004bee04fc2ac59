"""All stages in order, for a shape of data: those that every shape has, and its own where their inputs are there."""

from collections.abc import Iterable

from honed.config.config import Config
from honed.core.stage import Stage
from honed.shapes.registry import all_shapes
from honed.shapes.shape import Shape
from honed.stages import (
    baselines,
    bases,
    check,
    cross_encoder,
    distil,
    draft,
    evaluate,
    headroom,
    hybrid,
    imports,
    index,
    mine,
    rescore,
    train,
)

GENERIC: tuple[Stage[Config], ...] = (
    imports.STAGE,
    check.STAGE,
    bases.STAGE,
    baselines.STAGE,
    headroom.STAGE,
    draft.STAGE,
    mine.STAGE,
    cross_encoder.STAGE,
    rescore.STAGE,
    train.STAGE,
    distil.STAGE,
    index.STAGE,
    hybrid.STAGE,
    evaluate.STAGE,
)


def stages_of(shape: Shape) -> tuple[Stage[Config], ...]:
    """Return the stages of a shape; its own come as early as their inputs allow, in their order."""
    stages = list(GENERIC)
    for shape_stage in shape.stages:
        place = 1 + max(at for at, stage in enumerate(stages) if shape_stage.reads(stage))
        while place < len(stages) and stages[place] in shape.stages:
            place += 1
        stages.insert(place, shape_stage)
    return tuple(stages)


def all_stages() -> list[Stage[Config]]:
    """Return the stages of all shapes, each once."""
    return _distinct(stage for shape in all_shapes() for stage in stages_of(shape))


def _distinct(stages: Iterable[Stage[Config]]) -> list[Stage[Config]]:
    return list({stage.name: stage for stage in stages}.values())
