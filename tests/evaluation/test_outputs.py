"""A model's outputs are what it computes, each once, and looking changes nothing."""

import re
from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything

from autoencoder import AutoencoderModule, ImageDataModule
from autoencoder.evaluation.evaluate import evaluate
from autoencoder.evaluation.outputs import Outputs, evaluating
from autoencoder.evaluation.summaries import error_per_class
from autoencoder.metrics import GROUPS
from autoencoder.models.networks.mlp import MLP
from autoencoder.pictures.images import draw_reconstructions
from autoencoder.pictures.panels import reconstructions, traversals
from autoencoder.pictures.save import save_figures


@pytest.fixture
def module() -> AutoencoderModule:
    return AutoencoderModule(latent_dim=3, network=partial(MLP, hidden_dims=[8]))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_they_are_the_models_in_the_order_of_the_images(module, digits, split):
    outputs = Outputs(module, digits.images).on(split)
    images = digits.images.split(split).images(slice(None))
    with torch.no_grad():
        latents, reconstructions = module.encode(images), module(images)
    torch.testing.assert_close(outputs.latents, latents, atol=1e-5, rtol=1e-5)
    expected = (reconstructions - images).square().flatten(1).mean(1)
    torch.testing.assert_close(outputs.errors, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(outputs.labels, digits.images.split(split).labels)
    some = torch.tensor([7, 3])
    assert torch.equal(outputs.originals(some), images[some])
    torch.testing.assert_close(outputs.reconstructions(some), reconstructions[some], atol=1e-5, rtol=1e-5)


def test_a_few_reconstructions_need_no_pass_of_all(module, digits, passed):
    some = torch.tensor([7, 3])
    few = Outputs(module, digits.images).reconstructions(some)
    assert passed == {"encode": 2, "decode": 2}
    outputs = Outputs(module, digits.images)
    assert outputs.errors.shape == (500,)
    torch.testing.assert_close(outputs.reconstructions(some), few, atol=1e-5, rtol=1e-5)


@pytest.fixture
def passed(module, monkeypatch) -> dict[str, int]:
    """How many images the module has encoded and decoded so far."""
    counts = {"encode": 0, "decode": 0}
    for name in counts:
        own = getattr(module, name)

        def counted(values, name=name, own=own):
            counts[name] += len(values)
            return own(values)

        monkeypatch.setattr(module, name, counted)
    return counts


def test_each_image_passes_through_the_model_once(module, digits, passed, tmp_path):
    """Whatever is asked of the outputs; beyond that, figures decode the few images that they show."""
    outputs = Outputs(module, digits.images)
    evaluate(outputs, GROUPS)
    assert passed == {"encode": 5_000, "decode": 5_000}
    assert len(error_per_class(outputs)) == 10
    assert passed == {"encode": 5_000, "decode": 5_000}
    save_figures(outputs, tmp_path)
    assert passed["encode"] == 5_000 and passed["decode"] < 5_500


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_of_another_precision_computes_in_its_own(module, digits, dtype):
    expected = Outputs(module, digits.images).errors.mean().item()
    outputs = Outputs(module.to(dtype), digits.images)
    assert outputs.errors.dtype == outputs.latents.dtype == torch.float32
    assert outputs.errors.mean().item() == pytest.approx(expected, rel=0.02)
    assert outputs.decode(outputs.latents[:2]).dtype == torch.float32


def test_looking_leaves_modes_and_random_numbers_as_they_were():
    module = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.BatchNorm1d(3))
    module[1].eval()
    seed_everything(0, verbose=False)
    expected = torch.rand(3)
    seed_everything(0, verbose=False)
    with evaluating(module):
        assert not module.training and not module[0].training
        assert not torch.is_grad_enabled()
        torch.rand(3)
        np.random.rand()
    assert module[0].training and not module[1].training
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_baselines_are_of_the_same_images(module, digits, split):
    outputs = Outputs(module, digits.images, split)
    few = torch.tensor([3, 0])
    for baseline in (outputs.pca, outputs.random):
        assert len(baseline) == len(outputs)
        assert torch.equal(baseline.originals(few), outputs.originals(few))
    panel = reconstructions(outputs, with_pca=True)["reconstructions"]
    assert panel.images.shape == (3, 10, 1, 28, 28)
    title = draw_reconstructions(outputs).get_suptitle().lower()
    assert f"{outputs.title} images" in title and f"{outputs.title} mse" in title


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda module, data: Outputs(module, data),
            "must be an ImageSet, such as datamodule.images, got ImageDataModule",
        ),
        (lambda module, data: Outputs(module, data.images, "validation"), "must be one of train, val, test"),
        (lambda module, data: Outputs(module, data.images, "val"), "has no images: set the data module's val_size"),
        (
            lambda module, data: evaluate(Outputs(module, data.images, "train")),
            "those of the test images, got the training",
        ),
        (lambda module, data: evaluate(Outputs(module, data.images), "mse"), "`metrics` must be a list: ['mse']"),
        (lambda module, data: module.encode(data.images.test.pixels), "must be floats in [-1, 1], got torch.uint8"),
        (lambda module, data: traversals(Outputs(module, data.images), dimensions=0), "dimensions"),
    ],
)
def test_what_a_notebook_gets_wrong_is_named(module, make, message):
    data = ImageDataModule("mnist_5k", val_size=0)
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        make(module, data)


def test_a_pass_that_fails_halfway_leaves_nothing_half_done(module, digits, monkeypatch):
    outputs, decode = Outputs(module, digits.images, "train"), module.decode
    calls = iter([decode, None])
    monkeypatch.setattr(module, "decode", lambda latents: next(calls)(latents))
    with pytest.raises(TypeError):
        _ = outputs.errors
    monkeypatch.setattr(module, "decode", decode)
    expected = Outputs(module, digits.images, "train")
    assert torch.equal(outputs.latents, expected.latents) and torch.equal(outputs.errors, expected.errors)


def test_random_states_are_restored_after_an_error(module):
    before, module.training = torch.get_rng_state(), True
    with pytest.raises(ValueError, match="broken"), evaluating(module):
        torch.rand(1)
        raise ValueError("broken")
    assert torch.equal(torch.get_rng_state(), before) and module.training
