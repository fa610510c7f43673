"""Metrics of latents and classes: the accuracy of nearest neighbours and of a linear probe."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

NEIGHBOURS = 5
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C, the inverse strength of the L2 penalty
HELD_OUT = 10  # without validation images, C is chosen on the last tenth of the training images
MAX_ITERATIONS = 300  # of L-BFGS; about 50 are enough for the default model


class Latents(NamedTuple):
    """One row per image: `values` [N, K] float32, `labels` [N] int64."""

    values: Tensor
    labels: Tensor


def knn_accuracy(train: Latents, val: Latents | None, test: Latents, k: int = NEIGHBOURS) -> float:
    """Accuracy of k-nearest-neighbours classification (Cover and Hart, 1967) of `test` by `train`, Euclidean distance.

    If several classes are equally frequent, the lowest number wins. `val` is not used.
    """
    from sklearn.neighbors import KNeighborsClassifier

    # Brute force uses matrix products: in 32 dimensions it is eight times as fast as a tree.
    classifier = KNeighborsClassifier(min(k, len(train.labels)), algorithm="brute")
    return float(classifier.fit(*_arrays(train)).score(*_arrays(test)))


def probe_accuracy(train: Latents, val: Latents | None, test: Latents) -> float:
    """Accuracy on `test` of logistic regression fitted to the standardised latents of `train`; C is chosen on `val`.

    Without `val`, C is chosen on the last tenth of `train`, and the rest is fitted. `test` is never used for selection.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    if val is None:
        train, val = (Latents(*parts) for parts in zip(*map(split_held_out, train), strict=True))
    scaler = StandardScaler().fit(_arrays(train)[0])
    fitted_on, *measured = ((scaler.transform(values), labels) for values, labels in map(_arrays, (train, val, test)))
    probe = LogisticRegression(max_iter=MAX_ITERATIONS, warm_start=True)  # each C starts from the last one's weights
    accuracies = []
    for strength in STRENGTHS:
        probe.set_params(C=strength).fit(*fitted_on)
        accuracies.append([probe.score(*split) for split in measured])
    return float(max(accuracies, key=lambda pair: pair[0])[1])


def split_held_out(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Splits the training rows: those to fit on, and the last tenth, at least one row, to choose C on."""
    fitted = len(rows) - max(len(rows) // HELD_OUT, 1)
    return rows[:fitted], rows[fitted:]


def _arrays(latents: Latents) -> tuple[np.ndarray, np.ndarray]:
    return latents.values.cpu().numpy(), latents.labels.cpu().numpy()
