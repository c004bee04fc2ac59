"""A student of another width than what it learns: a linear layer behind its pooling, fitted before it is trained."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense
from torch import nn

from honed.core.protocols import Role, Vectors
from honed.encode.torch_encoder import TorchEncoder
from honed.train.targets import principal_directions

_RIDGE = 1e-3  # of the mean square of the student's numbers


def with_width(student: TorchEncoder, width: int) -> TorchEncoder:
    """Return a student whose vectors have ``width`` numbers; the model that is given is used up.

    A transformer gets a linear layer behind its pooling, without bias, so that cosines are all that it shapes. Token
    vectors that are added up need none, since the map of a sum is the sum of the maps: theirs are mapped themselves, on
    their principal directions, or get zeros at the end.
    """
    spec = replace(student.spec, dim=width)
    if student.static:
        module = student.model[0]
        table: Vectors = module.embedding.weight.detach().cpu().numpy()
        if table.shape[1] > width:
            table = table @ principal_directions(table, width)
        table = np.pad(table, ((0, 0), (0, width - table.shape[1])))
        module.embedding.weight = nn.Parameter(torch.from_numpy(np.ascontiguousarray(table)))
        module.embedding.embedding_dim = module.embedding_dim = width
        return TorchEncoder(student.model, spec, precision="fp32")
    own = int(student.model.get_embedding_dimension() or student.spec.dim)
    layer = Dense(own, width, bias=False, activation_function=nn.Identity(), init_weight=torch.eye(width, own))
    model = SentenceTransformer(modules=[*student.model, layer], device=str(student.model.device))
    return TorchEncoder(model, spec, precision="fp32")


def has_projection(student: TorchEncoder) -> bool:
    """Tell whether the last module of a student is a linear layer that was put there."""
    last = student.model[-1]
    return isinstance(last, Dense) and isinstance(last.activation_function, nn.Identity)


def fit_projection(student: TorchEncoder, texts: Sequence[tuple[str, Role]], targets: Vectors) -> None:
    """Give a student's linear layer the weights by which its vectors come nearest to ``targets`` ``(n_texts, dim)``.

    Least squares with a small ridge over texts in their roles, in closed form; in place.
    """
    layer = student.model[-1]
    below = SentenceTransformer(modules=list(student.model)[:-1], device=str(student.model.device))
    encoder = TorchEncoder(below, replace(student.spec, dim=layer.in_features), precision="fp32")
    vectors = np.empty((len(texts), layer.in_features), dtype=np.float64)
    roles: tuple[Role, ...] = ("query", "document")
    for role in roles:
        rows = [row for row, (_, role_of_text) in enumerate(texts) if role_of_text == role]
        if rows:
            vectors[rows] = encoder.encode([texts[row][0] for row in rows], role)
    gram = vectors.T @ vectors
    ridge = _RIDGE * np.trace(gram) / len(gram)
    weights = np.linalg.solve(gram + ridge * np.eye(len(gram)), vectors.T @ targets.astype(np.float64))
    with torch.no_grad():
        layer.linear.weight.copy_(torch.from_numpy(np.ascontiguousarray(weights.T, dtype=np.float32)))
