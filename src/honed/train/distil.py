"""Distillation: a small student learns to give the teacher's vectors.

The student's vectors shall equal the teacher's (as LEAF does; Vujanic & Rueckstiess 2025, arXiv 2509.12539); where it
is narrower, the teacher's are projected onto their principal directions first (`honed.train.targets`), so that the
student needs no projection of its own. Texts need no labels, so variants of names give the student more of the language
of its later queries.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from honed.core.protocols import Role, Vectors
from honed.core.ranking import Rows
from honed.encode.torch_encoder import TorchEncoder
from honed.index.exact import FlatIndex
from honed.train.config import DistilConfig
from honed.train.dev import DevScore, watched_score
from honed.train.history import HistoryFacts, TrainingResult, TrainingRun
from honed.train.trainer import bi_encoder_setup, train_model

RoleText = tuple[str, Role]
_INVERSE_TEMPERATURE = 20.0
_NEIGHBOURS = 16


def match_teacher(
    student: TorchEncoder,
    texts: Sequence[RoleText],
    targets: Vectors,
    dev_score: DevScore,
    config: DistilConfig,
    run: TrainingRun,
) -> TrainingResult:
    """Train a student to give the vectors ``targets`` ``(n_texts, dim)`` for texts in their roles.

    Raises `TrainingError` as `train_model` does.
    """
    schedule = config.schedule()
    setup = bi_encoder_setup(
        student,
        len(texts),
        loss=MatchLoss(student.model, targets, nearest_documents(texts, targets)),
        collator=TextCollator(student, texts),
        evaluator=watched_score(student, [text for text, _ in texts], dev_score, schedule.precision),
        facts=HistoryFacts(objective="match", reason="the student's vectors shall be the teacher's"),
    )
    return train_model(setup, schedule, run)


def nearest_documents(texts: Sequence[RoleText], targets: Vectors, k: int = _NEIGHBOURS) -> Rows:
    """Return for each text the rows of the ``k`` documents that the teacher finds nearest, ``(n_texts, at most k)``."""
    documents = np.array([row for row, (_, role) in enumerate(texts) if role == "document"], dtype=np.int64)
    if not len(documents):
        return np.empty((len(texts), 0), dtype=np.int64)
    return documents[FlatIndex(targets[documents]).search(targets, k)[1]]


class TextCollator:
    """Batches of single texts from token ids made once; the same in every ``epoch``."""

    valid_label_columns = ("label",)

    def __init__(self, base: TorchEncoder, texts: Sequence[RoleText]) -> None:
        self.base, self.epoch = base, 0
        self.ids = base.tokens([base.spec.prompt(role) + text for text, role in texts])

    def __call__(self, rows: Sequence[Mapping[str, int]]) -> dict[str, Tensor | int]:
        """Return the features of one batch by name; ``label`` ``(n,)`` holds the rows of the texts."""
        labels = [row["label"] for row in rows]
        features = self.base.features([self.ids[label] for label in labels])
        return {"label": torch.tensor(labels)} | {f"text_{name}": value for name, value in features.items()}


class MatchLoss(nn.Module):
    """One minus the cosine to the teacher's vector, plus how far the text's neighbourhood is from the teacher's.

    The second part is the Kullback-Leibler divergence of the softmax over the other texts of the batch and the
    ``neighbours`` ``(n_texts, k)`` of each, rows of ``targets`` ``(n_texts, dim)``: errors that change which documents
    are nearest cost more.
    """

    def __init__(self, model: nn.Module, targets: Vectors, neighbours: Rows) -> None:
        super().__init__()
        self.model = model
        self.targets = nn.functional.normalize(torch.from_numpy(np.ascontiguousarray(targets)), dim=1)
        self.neighbours = torch.from_numpy(neighbours)

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Return the loss of one batch of `TextCollator`."""
        (features,) = sentence_features
        embeddings = self.model(features)["sentence_embedding"][:, : self.targets.shape[1]].float()
        student = nn.functional.normalize(embeddings, dim=1)
        labels = labels.cpu()
        rows = torch.cat([labels.expand(len(labels), -1), self.neighbours[labels]], dim=1)
        itself = (rows == labels[:, None]).to(student.device)
        teacher, others = self.targets[labels].to(student.device), self.targets[rows].to(student.device)

        def neighbourhood(vectors: Tensor) -> Tensor:
            scores = torch.einsum("bd,bkd->bk", vectors, others) * _INVERSE_TEMPERATURE
            return scores.masked_fill(itself, -1e4).log_softmax(dim=1)

        distance = (1 - (student * teacher).sum(dim=1)).mean()
        return distance + nn.functional.kl_div(
            neighbourhood(student), neighbourhood(teacher), log_target=True, reduction="batchmean"
        )
