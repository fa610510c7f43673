"""DataModule: what all data modules share: they deal a set's splits as batches, and know its images again."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from autoencoder.data.batches import EpochOrder, FixedOrder, ImageBatches
from autoencoder.data.images import AnySplit, ImageSet
from autoencoder.data.pixels import eval_batch_size
from autoencoder.errors import InputError


class DataModule(LightningDataModule):
    """Deals the splits of an `ImageSet`, which a subclass loads in `_load`, as batches in [-1, 1].

    Args:
        batch_size: training images per step and device.
        seed: of the order in which images are dealt; the split does not depend on it.
        train_classes: train and validate on these classes only, see `classes.choose_classes`; empty for all.
    """

    to_grey = False  # whether colour images are converted to grey

    def __init__(self, batch_size: int, seed: int, train_classes: Sequence[int | str] = ()) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.seed = seed
        self.train_classes = list(train_classes)
        self._images: ImageSet | None = None
        self._train_batches: ImageBatches | None = None
        self._position: dict[str, int] | None = None  # in the epoch, for a resumed run
        self._expected: dict[str, Any] | None = None

    @abstractmethod
    def _load(self) -> ImageSet:
        """Loads and splits the images; raises InputError if that is not possible."""

    @abstractmethod
    def place_of(self, images: ImageSet) -> tuple[str, str]:
        """Where these images come from, and the settings that choose another place, for messages."""

    @property
    def images(self) -> ImageSet:
        """The images and their splits, loaded on first use; raises the errors of `setup`.

        They are on the trainer's device once it has asked for batches.
        """
        if self._images is None:
            images = self._load()
            if self._expected:
                self._check_images(images, self._expected)
            self._images = images
        return self._images

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images; raises the errors of `setup`."""
        return self.images.image_shape

    def prepare_data(self) -> None:
        """Downloads missing files; Lightning calls this in one process per machine."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Loads and splits the images; a second call does nothing.

        Raises: InputError if the images are broken or not available, or if `val_size` leaves none to train on.
        """
        _ = self.images

    def expect(self, state_dict: dict[str, Any]) -> None:
        """Makes `setup` raise InputError unless the images are those of a checkpoint's `state_dict`."""
        self._expected = state_dict

    def train_dataloader(self) -> ImageBatches:
        """This process's training batches, reshuffled each epoch, or never if `trainer.overfit_batches` is set."""
        split, rank, world_size = self._on_device().train, *self._rank_and_world_size()
        if getattr(self.trainer, "overfit_batches", 0):
            order: EpochOrder = FixedOrder(len(split), None, rank, world_size, even=True)
        else:
            order = EpochOrder(len(split), self.seed, rank, world_size, even=True)
        batches = ImageBatches(split, order, self.batch_size)
        if self._position:
            batches.load_state_dict(self._position)
        self._train_batches = batches
        return batches

    def val_dataloader(self) -> ImageBatches | list[Any]:
        """This process's validation batches in a fixed order; an empty list if there are none."""
        split = self._on_device().val
        if not len(split):
            return []
        batches = self._evaluation_batches(split)
        limit = self.trainer.limit_val_batches if self.trainer else 1.0
        if isinstance(limit, float) and 0 < limit < 1:  # a fraction: at least one batch
            batches.batch_size = max(1, min(batches.batch_size, int(limit * len(batches.sampler))))
        return batches

    def test_dataloader(self) -> ImageBatches:
        """This process's test batches, in the data set's own order."""
        return self._evaluation_batches(self._on_device().test)

    def predict_dataloader(self) -> ImageBatches:
        """The test batches."""
        return self.test_dataloader()

    def _evaluation_batches(self, split: AnySplit) -> ImageBatches:
        """This process's batches of a split. If some process would get none, each gets all: the means stay the same."""
        rank, world_size = self._rank_and_world_size()
        shares = (rank, world_size) if len(split) >= world_size else (0, 1)
        return ImageBatches(split, FixedOrder(len(split), None, *shares), eval_batch_size(split.image_shape))

    def transfer_batch_to_device(
        self, batch: tuple[Tensor, Tensor], device: torch.device, dataloader_idx: int
    ) -> tuple[Tensor, Tensor]:
        """Returns the batch unchanged: it is on the device, and Lightning's own search costs a twentieth of a step."""
        return batch

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint saves about the data: the set really used, its split, a fingerprint, and the position.

        Lightning saves a loader's position, too, but does not load it if a schedule asks for the number of steps.
        """
        return {
            "dataset": self.images.name,
            "val_size": len(self.images.val),
            "train_images": self.images.train_images,
            "test_images": len(self.images.test),
            "fingerprint": self.images.fingerprint,
            "position": self._train_batches.state_dict() if self._train_batches else None,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compares a checkpoint's data with this run's; checkpoints of older versions have no fingerprint.

        Raises: InputError if the checkpoint was trained on other images.
        """
        self._position = state_dict.get("position")
        self._check_images(self.images, state_dict)
        name, val_size = self.images.name, len(self.images.val)
        if (state_dict["dataset"], state_dict["val_size"]) != (name, val_size):
            raise InputError(
                f"the checkpoint was trained on {state_dict['dataset']} with data.val_size={state_dict['val_size']}, "
                f"this run has {name} with {val_size}: "
                f"set data={state_dict['dataset']} data.val_size={state_dict['val_size']}, or start a new run"
            )

    def _check_images(self, images: ImageSet, trained: dict[str, Any]) -> None:
        """Raises: InputError if the data set's name is the checkpoint's, but its images are not."""
        if trained["dataset"] != images.name or "fingerprint" not in trained:  # a checkpoint of an older version
            return
        if images.fingerprint != trained["fingerprint"]:
            place, keys = self.place_of(images)
            raise InputError(
                f"{place} has other images than the checkpoint was trained on: {images.train_images:,} training "
                f"and {len(images.test):,} test images (fingerprint {images.fingerprint}) instead of "
                f"{trained['train_images']:,} and {trained['test_images']:,} ({trained['fingerprint']}): "
                f"set {keys} to the folder that has those"
            )

    def _rank_and_world_size(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _on_device(self) -> ImageSet:
        """The images on the trainer's device; they are moved once and stay there."""
        if self.trainer:
            self._images = self.images.to(self.trainer.strategy.root_device)
        return self.images
