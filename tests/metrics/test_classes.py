"""Nearest neighbours and linear probes do what they say, next to NumPy's and closed forms."""

import numpy as np
import pytest
import torch

from autoencoder.evaluation.outputs import Outputs
from autoencoder.evaluation.pca import fit_pca
from autoencoder.metrics import classes
from autoencoder.metrics.classes import Latents, knn_accuracy, probe_accuracy


@pytest.fixture(scope="module")
def latents(digits) -> dict[str, Latents]:
    """PCA latents of the 5,000 digits, a split each."""
    outputs = Outputs(fit_pca(digits.images.train, 16), digits.images)
    return {split: outputs.on(split).labelled_latents for split in ("train", "val", "test")}


@pytest.mark.parametrize("k", [1, 5, 600])
def test_neighbours_are_those_of_a_search_through_all(latents, k):
    train, test = latents["train"], latents["test"]
    distances = np.square(test.values.double().numpy()[:, None] - train.values.double().numpy()).sum(2)
    nearest = train.labels.numpy()[distances.argsort(axis=1, kind="stable")[:, :k]]
    named = [np.bincount(row, minlength=10).argmax() for row in nearest]
    assert knn_accuracy(train, None, test, k) == pytest.approx(np.mean(named == test.labels.numpy()), abs=1e-9)


def test_of_few_training_images_all_are_neighbours():
    train = Latents(torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([1, 1, 0]))
    test = Latents(torch.tensor([[5.0], [0.0]]), torch.tensor([1, 1]))
    assert knn_accuracy(train, None, test, k=5) == 1.0
    assert knn_accuracy(train, None, test, k=1) == 0.5


def test_a_probe_finds_what_is_linear_and_nothing_else():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 300, 2, generator=generator)
    linear = [Latents(one, (one[:, 0] > 0.5).long()) for one in values]
    assert probe_accuracy(*linear) > 0.97
    exclusive = [Latents(one, (one[:, 0] * one[:, 1] > 0).long()) for one in values]
    assert probe_accuracy(*exclusive) < 0.65


def test_a_probe_does_not_depend_on_the_scale_of_a_dimension(latents):
    scaled = [Latents(values * torch.logspace(-3, 3, 16) + 7, labels) for values, labels in latents.values()]
    expected = probe_accuracy(*latents.values())
    assert probe_accuracy(*scaled) == pytest.approx(expected, abs=0.005)
    assert 0.8 < expected < 0.95


def test_the_strength_is_chosen_on_validation_images_alone(latents, monkeypatch):
    train, val, test = latents.values()

    def accuracy(strength: float, on: Latents) -> float:
        with monkeypatch.context() as patch:
            patch.setattr(classes, "STRENGTHS", (strength,))
            return probe_accuracy(train, val, on)

    by_val = max((1e-5, 1e-1), key=lambda strength: accuracy(strength, val))
    monkeypatch.setattr(classes, "STRENGTHS", (1e-5, 1e-1))
    assert by_val == 1e-1 and accuracy(1e-5, test) < accuracy(1e-1, test) - 0.02
    assert probe_accuracy(train, val, test) == pytest.approx(accuracy(1e-1, test), abs=0.005)
    # Validation images labelled by the worse probe choose that one, whatever it costs at the test.
    worse = Latents(val.values, named_by(train, val, 1e-5))
    assert probe_accuracy(train, worse, test) == pytest.approx(accuracy(1e-5, test), abs=0.005)


def named_by(train: Latents, val: Latents, strength: float) -> torch.Tensor:
    """The classes that a probe of this strength names for the validation images."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train.values)
    probe = LogisticRegression(C=strength).fit(scaler.transform(train.values), train.labels)
    return torch.from_numpy(probe.predict(scaler.transform(val.values)))


def test_without_validation_images_the_last_tenth_of_training_chooses(latents):
    train, test = latents["train"], latents["test"]
    first, last = (Latents(*(part[kept] for part in train)) for kept in (slice(3600), slice(3600, None)))
    assert probe_accuracy(train, None, test) == probe_accuracy(first, last, test)


def test_a_dimension_that_never_varies_is_no_obstacle(latents):
    padded = [Latents(torch.nn.functional.pad(values, (0, 1)), labels) for values, labels in latents.values()]
    assert probe_accuracy(*padded) == pytest.approx(probe_accuracy(*latents.values()), abs=0.005)
