"""Nearest neighbours and linear probes agree with scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from autoencoder.latents import Latents, collect_latents
from autoencoder.pca import fit_pca
from autoencoder.probes import fit_probes, knn_accuracy, probe_accuracy


@pytest.fixture(scope="module")
def latents(digits) -> dict[str, Latents]:
    """PCA latents of the 5,000 digits, a split each."""
    pca = fit_pca(digits.evaluation_batches("train"), 16)
    return {split: collect_latents(pca.encode, digits.evaluation_batches(split)) for split in ("train", "val", "test")}


@pytest.mark.parametrize("k", [1, 5, 600])
def test_neighbours_are_scikit_learns(latents, k):
    train, test = latents["train"], latents["test"]
    reference = KNeighborsClassifier(k).fit(*train)
    assert knn_accuracy(train, test, k) == pytest.approx(reference.score(*test), abs=1e-9)


def test_of_few_training_images_all_are_neighbours():
    train = Latents(torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([1, 1, 0]))
    test = Latents(torch.tensor([[5.0], [0.0]]), torch.tensor([1, 1]))
    assert knn_accuracy(train, test, k=5) == 1.0
    assert knn_accuracy(train, test, k=1) == 0.5


@pytest.mark.parametrize("strength", [1e-3, 1e-1])
def test_a_probe_is_scikit_learns_logistic_regression(latents, strength):
    train, test = latents["train"], latents["test"]
    scaler = StandardScaler().fit(train.values)
    reference = LogisticRegression(C=strength, tol=1e-6, max_iter=1000).fit(
        scaler.transform(train.values), train.labels
    )
    [probe] = fit_probes(train, (strength,), max_iterations=500)
    np.testing.assert_allclose(probe.weights.T, reference.coef_, atol=0.01)
    expected = reference.score(scaler.transform(test.values), test.labels)
    assert probe.accuracy(test) == pytest.approx(expected, abs=0.01)
    together = fit_probes(train)  # several at once, by one optimiser
    assert next(one for one in together if one.strength == strength).accuracy(test) == pytest.approx(expected, abs=0.01)


def test_the_strength_is_chosen_on_validation_images_alone(latents):
    train, val, test = (latents[split] for split in ("train", "val", "test"))
    best = max(fit_probes(train), key=lambda probe: probe.accuracy(val))
    assert probe_accuracy(train, val, test) == best.accuracy(test)


def test_without_validation_images_the_last_tenth_of_training_chooses(latents):
    train, test = latents["train"], latents["test"]
    first, last = (Latents(*(part[kept] for part in train)) for kept in (slice(3600), slice(3600, None)))
    assert probe_accuracy(train, None, test) == probe_accuracy(first, last, test)


def test_a_dimension_that_never_varies_is_no_obstacle(latents):
    train, val, test = (Latents(torch.nn.functional.pad(values, (0, 1)), labels) for values, labels in latents.values())
    accuracy = probe_accuracy(*(latents[split] for split in ("train", "val", "test")))
    assert probe_accuracy(train, val, test) == pytest.approx(accuracy, abs=0.005)
