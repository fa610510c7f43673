"""Pictures show the images and latents that they claim to."""

import numpy as np
import pytest
import torch

from autoencoder.evaluation.samples import first_of_each_class, interpolation_latents, rank_by_error, traversal_latents


def test_worst_and_median_are_those_of_a_sorted_list() -> None:
    errors = torch.rand(101, generator=torch.Generator().manual_seed(0))
    worst, median = rank_by_error(errors, 5)
    ranking = np.argsort(errors.numpy())
    assert worst.tolist() == ranking[::-1][:5].tolist()
    assert median.tolist() == ranking[48:53].tolist()
    assert errors[median[2]] == errors.median()


@pytest.mark.parametrize("k", [0, 4])
def test_more_images_than_there_are_is_an_error(k: int) -> None:
    with pytest.raises(ValueError, match="`k` must be from 1 to 3"):
        rank_by_error(torch.rand(3), k)


def test_traversal_moves_one_dimension_between_the_quantiles_of_the_data() -> None:
    latents = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    start = torch.tensor([9.0, 8.0, 7.0])
    moved = traversal_latents(latents, start, steps=5, low=0.1, high=0.8)
    assert moved.shape == (3, 5, 3)
    for k in range(3):
        low, high = np.quantile(latents[:, k].numpy(), [0.1, 0.8])
        np.testing.assert_allclose(moved[k, :, k], np.linspace(low, high, 5), atol=1e-6)
        others = [j for j in range(3) if j != k]
        assert torch.equal(moved[k][:, others], start[others].expand(5, 2))
    with pytest.raises(ValueError, match="`steps`"):
        traversal_latents(latents, start, steps=1)
    with pytest.raises(ValueError, match="`low` and `high`"):
        traversal_latents(latents, start, steps=3, low=0.9, high=0.1)


def test_interpolation_is_a_straight_line_with_both_ends() -> None:
    start, end = torch.zeros(2, 3), torch.tensor([[4.0, 8.0, 12.0], [1.0, 1.0, 1.0]])
    line = interpolation_latents(start, end, steps=5)
    assert line.shape == (2, 5, 3)
    assert torch.equal(line[0], torch.tensor([[0, 0, 0], [1, 2, 3], [2, 4, 6], [3, 6, 9], [4, 8, 12]]).float())
    assert torch.equal(line[:, -1], end)
    with pytest.raises(ValueError, match="`steps`"):
        interpolation_latents(start, end, steps=1)
    with pytest.raises(ValueError, match="same shape"):
        interpolation_latents(start, end[:1], steps=2)


def test_the_first_images_of_classes_leave_out_classes_without_images() -> None:
    labels = torch.tensor([2, 0, 2, 0, 2])
    assert first_of_each_class(labels).tolist() == [[1, 0]]
    assert first_of_each_class(labels, 9).tolist() == [[1, 0], [3, 2]]
