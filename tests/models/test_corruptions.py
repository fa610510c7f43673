"""Corruptions hide what they say, and the loss compares with the right image."""

import pytest
import torch

from autoencoder.models.corruptions import Gaussian, Masking, NoCorruption, Shift


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.rand(200, 3, 9, 7) * 2 - 1


def test_none_changes_nothing(images):
    assert all(part is images for part in NoCorruption()(images))


def test_gaussian_noise_has_its_deviation(images):
    corrupted, targets = Gaussian(std=0.3)(images)
    assert targets is images
    assert (corrupted - images).std().item() == pytest.approx(0.3, rel=0.02)
    assert (corrupted - images).mean().item() == pytest.approx(0, abs=0.01)


def test_masking_blackens_whole_pixels(images):
    corrupted, targets = Masking(share=0.4)(images)
    assert targets is images
    hidden = (corrupted == -1).all(1)
    assert hidden.float().mean().item() == pytest.approx(0.4, abs=0.02)
    shown = (~hidden)[:, None].expand_as(images)
    assert torch.equal(corrupted[shown], images[shown])


def test_shifts_are_whole_pixels_and_the_target_is_shifted_too(images):
    corrupted, targets = Shift(pixels=2)(images)
    assert corrupted is targets and corrupted.shape == images.shape
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2), mode="replicate")
    moves = []
    for image, shifted in zip(padded, corrupted, strict=True):
        windows = {(y, x): image[:, y : y + 9, x : x + 7] for y in range(5) for x in range(5)}
        moves += [move for move, window in windows.items() if torch.equal(window, shifted)]
    assert len(moves) == len(images) and len(set(moves)) == 25
