"""Latents are drawn from the prior or from a mixture, are valid, and their images are measured as the record says."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn import decomposition

from autoencoder import AutoencoderModule
from autoencoder.errors import InputError
from autoencoder.evaluation import generation
from autoencoder.evaluation.generation import (
    check_count,
    count_measured,
    decoded,
    encodings,
    measure_generated,
    sample_latents,
    sample_mixture,
)
from autoencoder.evaluation.outputs import Outputs
from autoencoder.evaluation.pca import fit_pca
from autoencoder.metrics import GENERATED
from autoencoder.models.bottlenecks import Code
from autoencoder.models.bottlenecks.fsq import FSQ
from autoencoder.models.bottlenecks.sparse import Sparse
from autoencoder.models.bottlenecks.top_k import TopK
from autoencoder.models.bottlenecks.variational import Variational
from autoencoder.models.bottlenecks.vq import VQ
from autoencoder.models.networks.mlp import MLP


def outputs_of(digits, bottleneck=None, latent_dim=4, model=AutoencoderModule) -> Outputs:
    torch.manual_seed(0)
    return Outputs(model(latent_dim, partial(MLP, hidden_dims=[8]), bottleneck), digits.images)


def test_a_prior_is_used_where_there_is_one(digits):
    latents, source = sample_latents(outputs_of(digits, Variational), 5000, seed=3)
    assert source == "prior" and latents.shape == (5000, 4)
    assert latents.mean(0).abs().max() < 0.06 and (latents.T.cov() - torch.eye(4)).abs().max() < 0.06


@pytest.mark.parametrize(("bottleneck", "source"), [(Variational, "prior"), (Variational, "mixture"), (None, "auto")])
def test_a_seed_gives_the_same_latents_and_leaves_other_random_numbers_alone(digits, bottleneck, source):
    outputs = outputs_of(digits, bottleneck)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    draws = [sample_latents(outputs, 20, source, 2, seed)[0] for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0].sort(0).values, draws[2].sort(0).values), "others, not the same in another order"
    assert torch.rand(1) == expected


def test_a_mixture_has_the_distribution_of_the_training_latents(digits):
    outputs = outputs_of(digits)
    drawn, source = sample_latents(outputs, 20_000, mixture_components=1)
    latents = outputs.on("train").latents
    assert source == "mixture"
    scale = latents.std(0)
    torch.testing.assert_close(drawn.mean(0) / scale, latents.mean(0) / scale, atol=0.03, rtol=0)
    torch.testing.assert_close((drawn / scale).T.cov(), (latents / scale).T.cov(), atol=0.05, rtol=0)


class Apart(AutoencoderModule):
    """A model whose encoder's outputs form two distant clusters: images of more and of less ink."""

    def code(self, images: torch.Tensor) -> Code:
        dark = images.flatten(1).mean(1) < -0.75
        return self.bottleneck(self.network.encoder(images) + 1000.0 * dark[:, None])


def test_components_are_mixed_in_proportion_and_a_models_own_code_is_used(digits):
    outputs = outputs_of(digits, model=Apart)
    share = (outputs.on("train").latents[:, 0] > 500).double().mean().item()
    assert 0.2 < share < 0.8
    drawn = sample_mixture(outputs, 1000, 2, seed=0)[:, 0] > 500
    for part in drawn.split(500):
        assert part.double().mean().item() == pytest.approx(share, abs=0.08)


@pytest.mark.parametrize(
    ("bottleneck", "is_valid"),
    [
        (partial(FSQ, levels=5), lambda latents: {-1, -0.5, 0, 0.5, 1} >= set(latents.unique().tolist())),
        (partial(TopK, k=2), lambda latents: ((latents != 0).sum(1) == 2).all()),
        (Sparse, lambda latents: (latents >= 0).all() and (latents == 0).any()),
    ],
)
def test_latents_of_a_mixture_are_such_as_the_decoder_gets(digits, bottleneck, is_valid):
    latents = sample_mixture(outputs_of(digits, bottleneck), 200, 3, seed=0)
    assert latents.shape == (200, 4) and is_valid(latents) and len(latents.unique(dim=0)) > 10


def test_latents_of_a_mixture_are_vectors_of_the_codebooks(digits):
    pytest.importorskip("vector_quantize_pytorch", reason="needs the extra vq")
    outputs = outputs_of(digits, partial(VQ, groups=2, codebook_size=8))
    state = {name: value.clone() for name, value in outputs.model.state_dict().items()}
    latents = sample_mixture(outputs, 200, 3, seed=0)
    codebooks = outputs.model.bottleneck.quantizer.codebook.detach()  # [groups, vectors, 2]
    for group, book in zip(latents.split(2, dim=1), codebooks, strict=True):
        assert (group[:, None] - book).abs().sum(2).min(1).values.max() < 1e-6
    assert all(torch.equal(value, state[name]) for name, value in outputs.model.state_dict().items())


def test_encodings_are_what_the_bottleneck_gets(digits):
    outputs = outputs_of(digits, FSQ)
    module, images = outputs.model, digits.images.test.images(slice(None))
    with torch.no_grad():
        expected = module.network.encoder(images)
    torch.testing.assert_close(encodings(module, digits.images.test), expected, atol=1e-5, rtol=1e-5)


def test_metrics_are_of_principal_components_of_as_many_images(digits):
    """The same features from scikit-learn, and the same metrics, which tests/metrics checks."""
    outputs = outputs_of(digits)
    latents = sample_mixture(outputs, 100, 1, seed=0)
    train, test = (split.images(slice(None)).flatten(1).numpy() for split in (digits.images.train, digits.images.test))
    reference = decomposition.PCA(64, svd_solver="full").fit(train)
    spread = [np.linspace(0, len(split) - 1, 100).round().astype(int) for split in (train, test)]
    generated = torch.cat(list(decoded(outputs, latents))).flatten(1).numpy()
    parts = {"generated/": generated, "train/": train[spread[0]], "test": test[spread[1]]}
    features = {name: torch.from_numpy(reference.transform(part)) for name, part in parts.items()}
    expected = {
        f"{prefix}{name}": metric.function(features[prefix], features["test"])
        for prefix in ("generated/", "train/")
        for name, metric in GENERATED.items()
    }
    assert measure_generated(outputs, latents) == pytest.approx(expected, rel=1e-3)


def test_a_gaussian_in_the_pixels_fools_the_frechet_distance_but_not_precision(digits):
    """Which is why both are measured, and docs/generation.md warns of the first alone."""
    pca = Outputs(fit_pca(digits.images.train, 64), digits.images)
    train = pca.on("train").latents
    draws = torch.distributions.MultivariateNormal(train.mean(0), train.T.cov())
    torch.manual_seed(0)
    measured = measure_generated(pca, draws.sample((500,)))
    assert measured["generated/pca_frechet"] < 1.5 * measured["train/pca_frechet"]
    assert measured["generated/pca_precision"] < 0.4 * measured["train/pca_precision"]


@pytest.mark.parametrize(("most", "measured"), [(10_000, 500), (70, 70), (6, 6), (5, 0), (0, 0)])
def test_no_more_is_measured_than_there_are_images(digits, most, measured):
    assert count_measured(digits.images, most) == measured


@pytest.mark.parametrize(
    ("source", "components", "message"),
    [
        ("prior", 1, "source=prior: the bottleneck Identity has no prior to sample from: set source=mixture"),
        ("auto", 4001, "mixture_components must be at most 4000, the number of training images, got 4001"),
    ],
)
def test_what_cannot_be_drawn_is_refused(digits, source, components, message):
    with pytest.raises(InputError, match=message):
        sample_latents(outputs_of(digits), 3, source, components)


def test_latents_that_no_mixture_fits_are_refused(digits):
    outputs = outputs_of(digits)
    with torch.no_grad():
        outputs.model.network.encoder[-1].bias.fill_(3e38)
        outputs.model.network.encoder[-1].weight.fill_(1e38)
    with pytest.raises(InputError, match="no mixture of 2 Gaussians fits the latents"):
        sample_latents(outputs, 3, mixture_components=2)


def test_more_images_than_fit_into_memory_are_refused(digits, monkeypatch):
    module = outputs_of(digits).model
    monkeypatch.setattr(generation, "memory_in_bytes", lambda: 1000 * (2 * 784 + 28 * 4))
    check_count(1000, module)
    with pytest.raises(InputError, match=r"n=1001: so many images need .* set a smaller n"):
        check_count(1001, module)
