"""Distillation: a small student learns to give the teacher's vectors.

The student's vectors shall equal the teacher's (as LEAF does; Vujanic & Rueckstiess 2025, arXiv 2509.12539); where it
is narrower, the teacher's are turned onto their main directions first, so that the student needs no projection of its
own. Texts need no labels, so names are varied to give the student more of the language it will be asked in.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from honed.core.fingerprint import fingerprint
from honed.core.protocols import Encoder, Role, Vectors
from honed.encode.torch_encoder import TorchEncoder
from honed.index.exact import FlatIndex
from honed.train.config import DistilConfig
from honed.train.students import main_directions
from honed.train.trainer import DevScore, Recipe, Trained, bi_encoder, train_model

Rows = npt.NDArray[np.int64]
_TEMPERATURE = 20.0
_NEIGHBOURS = 16


def match_teacher(
    student: TorchEncoder,
    texts: Sequence[tuple[str, Role]],
    targets: Vectors,
    dev_score: DevScore,
    config: DistilConfig,
    folder: Path,
    logs: Path | None = None,
) -> Trained:
    """Train a student to give the teacher's vectors ``targets`` ``(n_texts, dim)`` for texts in their roles."""
    if targets.shape[1] > student.spec.dim:
        targets = targets @ main_directions(targets, student.spec.dim)
    schedule = config.schedule()
    recipe = Recipe(
        n=len(texts),
        loss=MatchLoss(student.model, targets, nearest_documents(texts, targets)),
        collator=TextCollator(student, texts),
        **bi_encoder(student, [text for text, _ in texts], dev_score, schedule),
        facts={"objective": "match", "reason": "the student's vectors shall be the teacher's"},
    )
    return train_model(recipe, schedule, folder, logs)


def nearest_documents(texts: Sequence[tuple[str, Role]], targets: Vectors, k: int = _NEIGHBOURS) -> Rows:
    """Return for each text the rows of the ``k`` documents that the teacher finds nearest, ``(n_texts, at most k)``."""
    documents = np.array([row for row, (_, role) in enumerate(texts) if role == "document"], dtype=np.int64)
    if not len(documents):
        return np.empty((len(texts), 0), dtype=np.int64)
    return documents[FlatIndex(targets[documents]).search(targets, k)[1]]


class TextCollator:
    """Batches of single texts from token ids made once."""

    valid_label_columns = ("label",)

    def __init__(self, base: TorchEncoder, texts: Sequence[tuple[str, Role]]) -> None:
        self.base, self.epoch = base, 0
        self.ids = base.tokens([base.spec.prompt(role) + text for text, role in texts])

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the features of one batch under the names that the trainer splits them by."""
        labels = [row["label"] for row in rows]
        features = self.base.features([self.ids[label] for label in labels])
        return {"label": torch.tensor(labels)} | {f"text_{name}": value for name, value in features.items()}


class MatchLoss(nn.Module):
    """One minus the cosine to the teacher's vector, plus how far the text's neighbourhood is from the teacher's.

    The second part is the Kullback-Leibler divergence of the softmax over the other texts of the batch and the
    ``neighbours`` ``(n_texts, k)`` of each, rows of ``targets``: errors that change who is nearest cost more.
    """

    def __init__(self, model: Any, targets: Vectors, neighbours: Rows) -> None:
        super().__init__()
        self.model = model
        self.targets = nn.functional.normalize(torch.from_numpy(np.ascontiguousarray(targets)), dim=1)
        self.neighbours = torch.from_numpy(neighbours)

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Return the loss of one batch."""
        model: Any = self.model
        (features,) = sentence_features
        found = model(features)["sentence_embedding"][:, : self.targets.shape[1]].float()
        found = nn.functional.normalize(found, dim=1)
        labels = labels.cpu()
        rows = torch.cat([labels.expand(len(labels), -1), self.neighbours[labels]], dim=1)
        own = (rows == labels[:, None]).to(found.device)
        wanted, others = self.targets[labels].to(found.device), self.targets[rows].to(found.device)

        def near(vectors: Tensor) -> Tensor:
            likeness = torch.einsum("bd,bkd->bk", vectors, others) * _TEMPERATURE
            return likeness.masked_fill(own, -1e4).log_softmax(dim=1)

        far = (1 - (found * wanted).sum(dim=1)).mean()
        return far + nn.functional.kl_div(near(found), near(wanted), log_target=True, reduction="batchmean")


def cached_vectors(cache: Path, teacher: Encoder, texts: Sequence[tuple[str, Role]]) -> Vectors:
    """Return the teacher's vectors of texts in their roles, from ``cache`` where they were made before."""
    key = fingerprint({"spec": teacher.spec.as_dict(), "texts": texts})
    file = cache / f"{key}.npy"
    if file.is_file():
        found: Vectors = np.load(file, allow_pickle=False)
        if found.shape == (len(texts), teacher.spec.dim):
            return found
    vectors = np.empty((len(texts), teacher.spec.dim), dtype=np.float32)
    roles: tuple[Role, ...] = ("query", "document")
    for role in roles:
        rows = [row for row, each in enumerate(texts) if each[1] == role]
        if rows:
            vectors[rows] = teacher.encode([texts[row][0] for row in rows], role)
    cache.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".new.npy")
    np.save(beside, vectors, allow_pickle=False)
    beside.replace(file)
    return vectors


def varied(text: str, n: int, seed: int) -> list[str]:
    """Return up to ``n`` variants of a text: a word left out, words swapped, a slip of the keys, cut short, initials.

    The same text and seed always give the same variants.
    """
    draw = random.Random(f"{seed}:{text}")  # noqa: S311 - not for secrets
    ways = (_without_a_word, _swapped, _slip, _cut, _initials, _lower)
    made = [way(text, draw) for way in draw.choices(ways, k=n)]
    return [each for each in dict.fromkeys(made) if each.strip() and each != text]


def _without_a_word(text: str, draw: random.Random) -> str:
    words = text.split()
    if len(words) > 1:
        words.pop(draw.randrange(len(words)))
    return " ".join(words)


def _swapped(text: str, draw: random.Random) -> str:
    words = text.split()
    if len(words) > 1:
        at = draw.randrange(len(words) - 1)
        words[at : at + 2] = words[at + 1], words[at]
    return " ".join(words)


def _slip(text: str, draw: random.Random) -> str:
    if len(text) < 4:
        return text
    at = draw.randrange(1, len(text) - 1)
    kept = draw.random() < 0.5
    return text[:at] + (text[at + 1] + text[at] if kept else "") + text[at + 1 + kept :]


def _cut(text: str, draw: random.Random) -> str:
    words = text.split()
    return " ".join(words[: draw.randint(1, len(words))]) if words else text


def _initials(text: str, draw: random.Random) -> str:
    return "".join(word[0] for word in text.split()).upper()


def _lower(text: str, draw: random.Random) -> str:
    return text.lower()
