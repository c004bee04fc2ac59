"""Several processes that train one model: how many there are, waiting for each other, each other's values."""

import os
from typing import Any

import torch
from torch import Tensor, distributed


def world_size() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def is_one_of_several() -> bool:
    """Tell whether this process was started to train with others."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def wait_for_all() -> None:
    """Wait until every process of a distributed run has come here."""
    if world_size() > 1:
        distributed.barrier()


def gathered(values: Tensor) -> Tensor:
    """Return the values of all processes, first dimension after first dimension, with their gradients."""
    if world_size() == 1:
        return values
    found: Tensor = _Gather.apply(values.contiguous())  # type: ignore[no-untyped-call]
    return found


class _Gather(torch.autograd.Function):
    """All processes' values forwards; the sum of all processes' gradients for the own values backwards."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        found = [torch.zeros_like(values) for _ in range(distributed.get_world_size())]
        distributed.all_gather(found, values)
        return torch.cat(found)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        whole = gradients[0].contiguous()
        distributed.all_reduce(whole)
        return whole.chunk(distributed.get_world_size())[distributed.get_rank()]
