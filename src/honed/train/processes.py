"""Several processes that train one model: their number, a barrier, and tensors gathered from all of them."""

import os

import torch
from torch import Tensor, distributed
from torch.autograd.function import FunctionCtx


def world_size() -> int:
    """Return how many processes train together; 1 without a process group."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def is_one_of_several() -> bool:
    """Tell whether this process was started to train with others."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def wait_for_all() -> None:
    """Wait until every process of a distributed run has called this; return at once when there is only one."""
    if world_size() > 1:
        distributed.barrier()


def gather(values: Tensor) -> Tensor:
    """Return the values of all processes, concatenated along the first dimension in order of rank.

    ``values`` have the same shape in each. Gradients flow back to the process that a value came from.
    """
    if world_size() == 1:
        return values
    gathered: Tensor = _Gather.apply(values.contiguous())  # type: ignore[no-untyped-call]
    return gathered


class _Gather(torch.autograd.Function):
    """Forwards all processes' values; backwards the sum of all processes' gradients, for this process's values."""

    @staticmethod
    def forward(_: FunctionCtx, values: Tensor) -> Tensor:
        parts = [torch.zeros_like(values) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, values)
        return torch.cat(parts)

    @staticmethod
    def backward(_: FunctionCtx, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        distributed.all_reduce(total)
        return total.chunk(distributed.get_world_size())[distributed.get_rank()]
