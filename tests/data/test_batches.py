"""Batches hold each image once an epoch, in an order that (seed, epoch) alone decides."""

import pytest
import torch

from autoencoder.data.batches import EpochOrder, FixedOrder, ImageBatches
from autoencoder.data.images import Split

COUNT = 103  # divides by nothing


def deal(seed: int | None, epoch: int, rank: int = 0, world_size: int = 1) -> list[int]:
    order = EpochOrder(COUNT, seed, rank, world_size, even=seed is not None)
    order.set_epoch(epoch)
    dealt = order.deal()
    assert len(dealt) == len(order)
    return dealt.tolist()


def test_an_epoch_deals_each_image_once_and_the_next_in_another_order():
    assert sorted(deal(0, 0)) == sorted(deal(0, 1)) == list(range(COUNT))
    assert deal(0, 0) != deal(0, 1) != deal(1, 1)


def test_the_order_is_known_by_seed_and_epoch():
    assert deal(3, 5) == deal(3, 5)
    assert deal(0, 0)[:5] == [99, 4, 16, 63, 56], "the order of all published figures has changed"


@pytest.mark.parametrize("world_size", [2, 4])
def test_training_parts_are_equally_long_and_cover_the_epoch(world_size):
    parts = [deal(0, 0, rank, world_size) for rank in range(world_size)]
    assert len({len(part) for part in parts}) == 1
    assert {index for part in parts for index in part} == set(range(COUNT))
    assert sum(map(len, parts)) - COUNT < world_size


@pytest.mark.parametrize("images", [1, 2, 3])
def test_each_of_many_processes_gets_an_image_of_few(images):
    parts = [EpochOrder(images, 0, rank, 8, even=True).deal().tolist() for rank in range(8)]
    assert [len(part) for part in parts] == [1] * 8
    assert {index for part in parts for index in part} == set(range(images))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_evaluation_parts_hold_each_image_exactly_once(world_size):
    parts = [deal(None, 0, rank, world_size) for rank in range(world_size)]
    assert sorted(index for part in parts for index in part) == list(range(COUNT))


def test_a_fixed_order_of_several_processes_can_be_even():
    parts = [FixedOrder(5, None, rank, 2, even=True).deal().tolist() for rank in range(2)]
    assert parts == [[0, 2, 4], [1, 3, 0]]


def test_batches_gather_the_images_of_the_order_in_the_models_range():
    split = Split(torch.arange(COUNT, dtype=torch.uint8).reshape(COUNT, 1, 1, 1), torch.arange(COUNT))
    batches = ImageBatches(split, EpochOrder(COUNT, 7), batch_size=10)
    dealt = list(batches)
    assert [len(labels) for _, labels in dealt] == [10] * 10 + [3] and len(batches) == 11
    order = EpochOrder(COUNT, 7).deal()
    assert torch.equal(torch.cat([labels for _, labels in dealt]), order)
    assert torch.equal(torch.cat([images.flatten() for images, _ in dealt]), order / 127.5 - 1)
