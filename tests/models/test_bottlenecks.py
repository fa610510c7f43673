"""Bottlenecks compute what their papers say."""

from math import log

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from autoencoder.models.bottlenecks.fsq import FSQ
from autoencoder.models.bottlenecks.identity import Identity
from autoencoder.models.bottlenecks.sparse import Sparse
from autoencoder.models.bottlenecks.top_k import TopK
from autoencoder.models.bottlenecks.variational import Variational
from autoencoder.models.bottlenecks.vq import VQ


@pytest.fixture
def encoded():
    return 2 * torch.randn(500, 6, generator=torch.Generator().manual_seed(0))


def test_kl_is_that_of_normal_distributions(encoded):
    bottleneck = Variational(3, beta=2.0)
    bottleneck.loss_per_nat = 0.1
    code = bottleneck(encoded)
    mean, log_variance = encoded.chunk(2, dim=1)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(code.details["kl"], expected)
    torch.testing.assert_close(code.penalties["kl"], 2.0 * 0.1 * expected.sum(1).mean())


def test_it_samples_in_training_and_takes_the_mean_in_evaluation():
    bottleneck = Variational(3)
    encoded = torch.tensor([[1.0, -2.0, 0.0, 0.0, log(4.0), -20.0]]).expand(20_000, 6)
    torch.manual_seed(0)
    samples = bottleneck(encoded).latents
    assert samples.mean(0).tolist() == pytest.approx([1, -2, 0], abs=0.05)
    assert samples.std(0).tolist() == pytest.approx([1, 2, 0], abs=0.05)
    assert torch.equal(bottleneck.eval()(encoded).latents, encoded[:, :3])


def test_kl_warms_up_and_free_bits_cost_nothing(encoded):
    full = Variational(3)(encoded).penalties["kl"]
    bottleneck = Variational(3, warmup=0.5)
    for progress, share in ((0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.9, 1.0)):
        bottleneck.progress = progress
        torch.testing.assert_close(bottleneck(encoded).penalties["kl"], share * full)
    collapsed = torch.zeros(10, 6)
    assert Variational(3)(collapsed).penalties["kl"] == 0
    assert Variational(3, free_bits=2.0)(collapsed).penalties["kl"].item() == pytest.approx(3 * 2 * log(2))


def test_samples_of_the_prior_are_standard_normal_and_others_have_none():
    torch.manual_seed(0)
    samples = Variational(2).sample(20_000)
    assert samples.mean(0).tolist() == pytest.approx([0, 0], abs=0.05)
    assert samples.std(0).tolist() == pytest.approx([1, 1], abs=0.05)
    with pytest.raises(ValueError, match="the bottleneck Identity has no prior to sample from"):
        Identity(2).sample(1)


@pytest.mark.parametrize("levels", [3, 4, 5, 8, 9])
def test_fsq_is_that_of_its_reference_implementation(encoded, levels):
    reference = pytest.importorskip("vector_quantize_pytorch", reason="needs the extra: pip install -e '.[vq]'")
    bottleneck = FSQ(6, levels)
    code = bottleneck(encoded)
    torch.testing.assert_close(code.latents, reference.FSQ([levels] * 6, return_indices=False).quantize(encoded))
    indices = code.details["indices"]
    assert indices.min() == 0 and indices.max() == levels - 1
    assert len(code.latents.unique()) == levels and code.latents.abs().max() <= 1


def test_gradients_pass_the_rounding(encoded):
    encoded.requires_grad_()
    FSQ(6, 5)(encoded).latents.sum().backward()
    bounded = torch.tanh(encoded.detach())
    torch.testing.assert_close(encoded.grad, (1 - bounded**2) * 4 * 1.001 / 2 / 2)


def test_top_k_keeps_the_largest(encoded):
    code = TopK(6, k=2)(encoded)
    assert ((code.latents != 0).sum(1) == 2).all()
    for row, kept in zip(encoded, code.latents, strict=True):
        assert sorted(kept[kept != 0].tolist()) == sorted(row.tolist())[-2:]
    assert torch.equal(code.details["active"], code.latents != 0)


def test_sparse_latents_are_paid_for(encoded):
    code = Sparse(6, weight=0.5)(encoded)
    assert torch.equal(code.latents, encoded.clamp(min=0))
    assert code.penalties["l1"].item() == pytest.approx(0.5 * encoded.clamp(min=0).sum(1).mean().item())


def test_vq_gives_vectors_of_its_codebooks(encoded):
    pytest.importorskip("vector_quantize_pytorch", reason="needs the extra: pip install -e '.[vq]'")
    torch.manual_seed(0)
    bottleneck = VQ(6, groups=3, codebook_size=16).eval()
    code = bottleneck(encoded)
    codebooks = bottleneck.quantizer.codebook  # [groups, codebook_size, 2]
    indices = code.details["indices"]
    for group in range(3):
        latents = code.latents[:, 2 * group : 2 * group + 2]
        torch.testing.assert_close(latents, codebooks[group][indices[:, group]])
        nearest = torch.cdist(encoded[:, 2 * group : 2 * group + 2], codebooks[group]).argmin(1)
        assert torch.equal(indices[:, group], nearest)
    assert set(code.penalties) == {"commitment"}
