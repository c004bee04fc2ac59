"""Probabilities that are as sure as they are right: softmax, and the temperature that hand labels ask for."""

import numpy as np

from honed.label.arrays import Classes, Probabilities

_LOWEST, _HIGHEST = 1e-3, 1e2  # temperatures
_BLOCK = 20_000


def softmax(logits: Probabilities) -> Probabilities:
    """Return the softmax over classes of ``(n, n_classes)``; a logit of -inf is a class that cannot be."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def log_softmax(logits: Probabilities) -> Probabilities:
    """Return the logarithm of the softmax over classes of ``(n, n_classes)``."""
    lowered = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(lowered - np.log(np.exp(lowered).sum(axis=1, keepdims=True)))


def apply_temperature(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return probabilities ``(n, n_classes)`` that are less sure for a temperature above 1, more for one below."""
    return softmax(np.log(np.clip(probabilities, 1e-12, 1)) / temperature)


def fit_temperature(probabilities: Probabilities, classes: Classes) -> float:
    """Return the temperature under which ``classes`` ``(n,)`` are most likely; 1 for no records.

    Temperature scaling: Guo et al. 2017, arXiv 1706.04599, section 4.2.
    """
    return temperature_of_logits(np.log(np.clip(probabilities, 1e-12, 1)), classes)[0]


def temperature_of_logits(logits: Probabilities, classes: Classes) -> tuple[float, float]:
    """Return the temperature under which ``classes`` are most likely, and their mean log-likelihood under it.

    One wrong answer more than there are is counted, spread over the records and given to their next best class: a few
    labels that are all right do not make everything certain.
    """
    if not len(classes):
        return 1.0, 0.0
    if len(classes) > _BLOCK:  # as many tell it well enough
        chosen = np.linspace(0, len(classes) - 1, _BLOCK).astype(int)
        logits, classes = logits[chosen], classes[chosen]
    records, wrong = np.arange(len(classes)), 1 / (len(classes) + 2)
    others = logits.copy()
    others[records, classes] = -np.inf
    next_best = others.argmax(axis=1)

    def likelihood(temperature: float) -> float:
        chances = log_softmax(logits / temperature)
        right = np.maximum(chances[records, classes], -100)
        return float(((1 - wrong) * right + wrong * np.maximum(chances[records, next_best], -100)).mean())

    best, step = 1.0, 0.0
    for candidates in (np.geomspace(_LOWEST, _HIGHEST, 41), np.geomspace(0.78, 1.28, 13)):
        candidates = candidates * (best if step else 1.0)
        best, step = float(candidates[int(np.argmax([likelihood(float(at)) for at in candidates]))]), 1.0
    return best, float(np.maximum(log_softmax(logits / best)[records, classes], -100).mean())


def spread(probabilities: Probabilities, share: float) -> Probabilities:
    """Return probabilities ``(n, n_classes)`` of which a share is spread evenly over the classes; their order stays."""
    return np.asarray((1 - share) * probabilities + share / probabilities.shape[1])
