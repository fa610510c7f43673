"""Structural similarity is torchmetrics', image by image and over short last batches."""

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image import StructuralSimilarityIndexMeasure

from autoencoder.metrics.ssim import image_ssim


@pytest.mark.parametrize("shape", [(7, 1, 28, 28), (3, 3, 12, 17), (2, 1, 6, 6)])
def test_each_image_has_the_value_of_torchmetrics(shape):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(shape, generator=generator) * 2 - 1
    reconstructions = (images + 0.5 * torch.randn(shape, generator=generator)).clamp(-1, 1)
    expected = structural_similarity_index_measure(
        (reconstructions + 1) / 2, (images + 1) / 2, data_range=1.0, reduction="none"
    )
    torch.testing.assert_close(image_ssim(reconstructions, images), expected, atol=1e-5, rtol=0)


def test_equal_images_are_as_similar_as_can_be(digits):
    images = digits.images.test.images(slice(20))
    torch.testing.assert_close(image_ssim(images, images), torch.ones(20))


def test_the_mean_is_that_of_torchmetrics(digits):
    images = digits.images.test.images(slice(70))
    metric = StructuralSimilarityIndexMeasure(data_range=1.0)
    metric.update((images * 0.5 + 1) / 2, (images + 1) / 2)
    assert image_ssim(images * 0.5, images).mean().item() == pytest.approx(metric.compute().item(), abs=1e-5)


def test_images_too_small_for_the_window_are_an_error():
    with pytest.raises(ValueError, match="more than 5 pixels"):
        image_ssim(torch.zeros(1, 1, 5, 28), torch.zeros(1, 1, 5, 28))
