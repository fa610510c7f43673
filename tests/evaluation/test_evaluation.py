"""What is asked for is measured, nothing else, and each number equals plain NumPy's."""

from functools import partial

import numpy as np
import pytest
import torch

import autoencoder.evaluation.outputs as outputs_file
from autoencoder import AutoencoderModule, ImageDataModule
from autoencoder.evaluation.evaluate import SCORES, evaluate
from autoencoder.evaluation.outputs import Outputs
from autoencoder.evaluation.pca import fit_pca
from autoencoder.metrics import GROUPS, METRICS
from autoencoder.models.networks.mlp import MLP

LATENTS = [name for name, metric in METRICS.items() if metric.group == "latents"]


@pytest.fixture(scope="module")
def module() -> AutoencoderModule:
    """An untrained model: its metrics are as measurable as a trained one's."""
    torch.manual_seed(1)
    return AutoencoderModule(latent_dim=4, network=partial(MLP, hidden_dims=[16])).eval()


@pytest.fixture(scope="module")
def measured(module, digits) -> dict[str, float | None]:
    return evaluate(Outputs(module, digits.images), GROUPS)


def test_the_metrics_of_a_class_equal_numpys_masks(module, digits, measured):
    images = digits.images.test.images(slice(None))
    labels = digits.images.test.labels.numpy()
    pca = fit_pca(digits.images.train, 4)
    for model, prefix in ((module, "test/"), (pca, "pca/test_")):
        with torch.inference_mode():
            error = (model(images) - images).double().flatten(1).numpy() ** 2
        for label in range(10):
            mse = error[labels == label].mean(1)
            expected = {"mse": mse.mean(), "sse": mse.mean() * 784 / 4, "psnr": np.mean(10 * np.log10(4 / mse))}
            for name, value in expected.items():
                assert measured[f"{prefix}{name}_class_{label}"] == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("name", ["mse", "sse", "psnr", "ssim"])
def test_classes_weighted_by_images_make_the_whole(digits, measured, name):
    counts = digits.images.test.labels.bincount().tolist()
    classes = [measured[f"test/{name}_class_{label}"] for label in range(10)]
    assert measured[f"test/{name}"] == pytest.approx(np.average(classes, weights=counts), rel=1e-6)


def test_a_learned_baseline_beats_a_random_encoder(measured):
    assert measured["pca/test_probe_accuracy"] > measured["random/test_probe_accuracy"] > 0.1
    assert measured["pca/test_knn_accuracy"] > measured["random/test_knn_accuracy"] > 0.1
    assert 1 <= measured["test/effective_rank"] <= 4 and measured["test/dead_dimensions"] in range(5)


@pytest.mark.parametrize(
    ("metrics", "names"),
    [
        ((), set()),
        (("ssim",), {"test/ssim", "pca/test_ssim"}),
        (("knn",), {"test/knn_accuracy", "pca/test_knn_accuracy", "random/test_knn_accuracy"}),
        (("latents",), {f"{p}{n}" for p in ("test/", "pca/test_") for n in LATENTS}),
        (SCORES, {"train/mse", "val/mse", *(f"{p}{n}" for p in ("test/", "pca/test_") for n in SCORES)}),
    ],
)
def test_only_what_is_asked_for_is_computed(module, digits, measured, metrics, names):
    few = evaluate(Outputs(module, digits.images), metrics)
    assert few.keys() == names
    assert few == pytest.approx({name: measured[name] for name in names})


def test_without_validation_images_all_but_their_error_is_measured(module):
    datamodule = ImageDataModule(dataset="mnist_5k", val_size=0)
    datamodule.setup()
    measured = evaluate(Outputs(module, datamodule.images), ("mse", "probe"))
    assert measured["val/mse"] is None and measured["test/probe_accuracy"] > 0.1


def test_pca_is_fitted_once_and_only_if_needed(module, digits, monkeypatch):
    fits = []
    monkeypatch.setattr(outputs_file, "fit_pca", lambda *arguments: fits.append(1) or fit_pca(*arguments))
    outputs = Outputs(module, digits.images)
    evaluate(outputs, ())
    assert fits == []
    evaluate(outputs, ("mse", "latents"))
    assert fits == [1]


def test_the_random_encoder_is_always_the_same_and_leaves_the_seed_alone(module, digits):
    torch.manual_seed(3)
    one = Outputs(module, digits.images).random.model
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), after)
    other = Outputs(module, digits.images).random.model
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert one.hparams == module.hparams


def test_a_metric_that_is_none_is_an_error(digits):
    with pytest.raises(ValueError, match=r"`metrics` must be some of mse, .* got mes"):
        evaluate(Outputs(AutoencoderModule(), digits.images), ["mse", "mes"])


def test_each_class_alone_is_nothing_to_measure(digits):
    with pytest.raises(ValueError, match=f"per_class gives {', '.join(SCORES)} for each class"):
        evaluate(
            Outputs(AutoencoderModule(4, network=partial(MLP, hidden_dims=[8])), digits.images),
            ["per_class", "latents"],
        )
