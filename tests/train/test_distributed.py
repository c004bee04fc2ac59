"""Cross-process negatives: two processes with half a batch each do what one does with the whole batch."""

import os
import socket
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

from honed.core.records import Example
from honed.train.config import TrainConfig
from honed.train.loss import PairLoss

EXAMPLES = [
    Example(anchor=f"alias {n} {k}", positive=f"label {n}", negatives=(f"other {n}", f"other {n + 1}"))
    for n in range(4)
    for k in "ab"
]


class _Tower(torch.nn.Module):
    """A model whose features are numbers, so that nothing but the loss is tested."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(6, 5)

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        return {"sentence_embedding": self.layer(features["numbers"])}


def gradient(rows: list[int]) -> torch.Tensor:
    """Return the gradient of the loss for some examples."""
    model = _Tower()
    loss = PairLoss(model, EXAMPLES, TrainConfig(), objective="ranking", mini_batch_size=0)
    draw = torch.Generator().manual_seed(1)
    anchors, positives = torch.randn(8, 6, generator=draw), torch.randn(8, 6, generator=draw)
    negatives = torch.randn(8, 6, generator=draw)
    documents = torch.cat([positives[rows], negatives[rows]])
    labels = torch.tensor([[row, 1] for row in rows])
    loss([{"numbers": anchors[rows]}, {"numbers": documents}], labels).backward()
    return torch.cat([parameter.grad.reshape(-1) for parameter in model.parameters() if parameter.grad is not None])


def one_of_two(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    own = gradient([4 * rank + row for row in range(4)])
    distributed.all_reduce(own)
    if rank == 0:
        torch.save(own / 2, Path(folder) / "gradient.pt")  # what DistributedDataParallel hands on
    distributed.destroy_process_group()


def test_two_processes_have_the_gradient_of_one_large_batch(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(one_of_two, args=(port, str(tmp_path)), nprocs=2)
    together = torch.load(tmp_path / "gradient.pt", weights_only=True)
    whole = gradient(list(range(8)))
    halves = (gradient([0, 1, 2, 3]) + gradient([4, 5, 6, 7])) / 2
    assert torch.allclose(together, whole, atol=1e-6)
    assert not torch.allclose(halves, whole, atol=1e-3)  # without each other's negatives it is another loss
