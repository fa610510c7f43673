"""Batches of images: one order of indices per epoch; one gather per batch if they are in memory."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

from autoencoder.data.images import AnySplit


class EpochOrder:
    """The order in which one process deals the images of an epoch.

    With a seed, images are reshuffled each epoch, with the same order for the same (seed, epoch) on any hardware.
    With several processes, each deals its own part.

    Args:
        count: images in the split.
        seed: of the shuffle; None keeps the images' order.
        rank, world_size: this process's number, and how many processes share the epoch.
        even: True for training: all processes deal the same number of images, if need be with the first few twice.
            False for evaluation: no image is dealt twice.
    """

    def __init__(
        self, count: int, seed: int | None = None, rank: int = 0, world_size: int = 1, even: bool = False
    ) -> None:
        self.count = count
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.even = even
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch, also before a resumed one."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(range(0 if self.even else self.rank, self.count, self.world_size))

    def deal(self) -> Tensor:
        """This epoch's indices for this process, [len(self)] int64."""
        order = torch.arange(self.count)
        if self.seed is not None:
            # A prime keeps the orders of different (seed, epoch) pairs different.
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.count, generator=generator)
        if self.even:
            order = order[torch.arange(len(self) * self.world_size) % self.count]
        return order[self.rank :: self.world_size]


class FixedOrder(EpochOrder, SequentialSampler):
    """An unshuffled order, as a SequentialSampler: Lightning recognises it by this class, and warns about others."""


class ImageBatches:
    """A loader for Lightning: (images [B, C, H, W] float32 in [-1, 1], labels [B] int64), on the split's device.

    In memory, each batch is one gather and one conversion, without workers. The last batch may be short.
    A checkpoint saves the epoch and the number of batches dealt, so that a resumed run continues with the next batch.
    """

    def __init__(self, split: AnySplit, order: EpochOrder, batch_size: int) -> None:
        self.split = split
        self.sampler = order  # the names under which Lightning looks for `set_epoch`, as in a DataLoader
        self.batch_sampler = None
        self.batch_size = batch_size
        self.dealt = 0  # batches dealt in this epoch
        self._skipped = (0, 0)  # epoch, and how many of its batches were dealt before the run was stopped

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch, skipped = self._skipped
        self.dealt = skipped if epoch == self.sampler.epoch else 0
        # The only transfer in an epoch: on a GPU, each gather then stays on the device.
        order = self.sampler.deal().to(self.split.device)
        chunks = order.split(self.batch_size)[self.dealt :]
        for indices, images in zip(chunks, self.split.each(chunks), strict=True):
            self.dealt += 1
            yield images, self.split.labels[indices]

    def state_dict(self) -> dict[str, int]:
        """The position in the epoch; Lightning saves it in each checkpoint."""
        return {"epoch": self.sampler.epoch, "dealt": self.dealt}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Continues from this position when its epoch is dealt next."""
        self._skipped = (state_dict["epoch"], state_dict["dealt"])
