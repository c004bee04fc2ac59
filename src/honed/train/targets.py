"""What a student learns: the vectors of its teachers, turned so that they fit its width and lie near its own."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.core.tensors import unit_rows
from honed.encode.joined import joined_vectors


class TargetFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How teachers' vectors became targets: ``dim`` ``of`` so many numbers, which keep a share ``kept`` of the squares.

    ``teachers`` names the models, the fine-tuned one first; ``documents`` whose vectors of documents are searched,
    "student" or "teacher".
    """

    teachers: list[str]
    documents: str
    dim: int
    of: int
    kept: float

    def sentence(self) -> str:
        """Return the facts as a sentence."""
        taught = f"taught by {', '.join(self.teachers)}: {self.dim} of {self.of} numbers, {100 * self.kept:.1f} % kept"
        return taught + ("; documents are encoded by the teacher" if self.documents == "teacher" else "")


class Targets(NamedTuple):
    """Unit vectors ``(n_texts, dim)``; joined vectors of the teachers times ``directions`` (None: as they are)."""

    vectors: Vectors
    directions: Vectors | None
    kept: float


def student_targets(parts: Sequence[Vectors], dim: int) -> Targets:
    """Return what a student of width ``dim`` learns from the unit vectors ``(n_texts, width)`` of its teachers.

    Their joined vectors are projected on the ``dim`` principal directions, which keep as much of all inner products as
    so many numbers can (Eckart & Young 1936).
    """
    whole = joined_vectors(parts)
    if whole.shape[1] <= dim:
        return Targets(whole, None, 1.0)
    directions = principal_directions(whole, dim)
    vectors = whole @ directions
    return Targets(unit_rows(vectors), directions, round(float((vectors**2).sum(axis=1).mean()), 5))


def turned(targets: Targets, rows: Rows, near: Vectors) -> Targets:
    """Return targets turned towards the vectors ``(n_rows, dim)`` of the untrained student for some of the texts.

    A rotation leaves every cosine as it is, and the student has less of a way (orthogonal Procrustes; Schönemann 1966).
    """
    left, _, right = np.linalg.svd(targets.vectors[rows].T.astype(np.float64) @ near.astype(np.float64))
    turn = (left @ right).astype(np.float32)
    directions = turn if targets.directions is None else targets.directions @ turn
    return Targets(unit_rows(targets.vectors @ turn), directions, targets.kept)


def principal_directions(vectors: Vectors, dim: int) -> Vectors:
    """Return the ``dim`` orthonormal directions ``(width, dim)`` that keep most of the vectors' inner products.

    They are the eigenvectors of the largest eigenvalues of the uncentred covariance of ``vectors`` ``(n, width)``.
    """
    values, directions = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors.astype(np.float64))
    return directions[:, np.argsort(-values)[:dim]].astype(np.float32)
