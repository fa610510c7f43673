"""ImageDataModule, the LightningDataModule: which images train, validate and test, as batches in [-1, 1]."""

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from lightning.pytorch import LightningDataModule
from pydantic import Field
from torch import Tensor

from autoencoder.data.batches import EpochOrder, FixedOrder, ImageBatches
from autoencoder.data.images import EVAL_BATCH_SIZE, VAL_SIZE, Array, ImageSet, Split, check_arrays, split_images
from autoencoder.data.sources import FOLDERS, load_images
from autoencoder.errors import InputError
from autoencoder.limits import Count, Seed, Text, checked
from autoencoder.paths import absolute

MNIST_5K_VAL_SIZE = 500


class ImageDataModule(LightningDataModule):
    """A data set in memory, split into training, validation and test images.

    For images that are at hand as tensors or arrays: `ImageDataModule.from_arrays`.

    Args:
        dataset: `mnist` and `fashion_mnist` (60,000 and 10,000 images), or `mnist_5k` (4,500 and 500).
        data_dir: folder with the IDX files, in torchvision's layout or as they are; downloads go there.
        batch_size: training images a step and device.
        val_size: images taken from the training images for validation, 0 to train on all of them; None for 5,000,
            or a ninth of a set of fewer than 45,000 (500 of `mnist_5k`).
        seed: of the order in which images are dealt; the split does not depend on it.
        offline_fallback: where MNIST is not to be had, warn and take `mnist_5k` (validation: 500 images, or 0).
    Raises:
        ValueError: for an argument of a wrong type or out of its limits.
    """

    @checked
    def __init__(
        self,
        dataset: Literal["mnist", "fashion_mnist", "mnist_5k"] = "mnist",
        data_dir: Text | Path = "data",
        batch_size: Count = 128,
        val_size: Annotated[int, Field(ge=0, lt=60_000)] | None = None,
        seed: Seed = 0,
        offline_fallback: bool = True,
    ) -> None:
        super().__init__()
        data_dir = str(absolute(data_dir))  # a checkpoint holds plain values, to be read from any folder
        self.save_hyperparameters(logger=False)
        self.dataset: str = dataset
        self.data_dir = data_dir
        self.batch_size = batch_size
        self.val_size = val_size
        self.seed = seed
        self.offline_fallback = offline_fallback
        self._images: ImageSet | None = None
        self._train_batches: ImageBatches | None = None
        self._position: dict[str, int] | None = None  # in an epoch, of a run that goes on
        self._expected: dict[str, Any] | None = None

    @classmethod
    def from_arrays(
        cls,
        train_images: Array,
        test_images: Array,
        train_labels: Array | None = None,
        test_labels: Array | None = None,
        *,
        name: str = "images in memory",
        batch_size: int = 128,
        val_size: int | None = None,
        seed: int = 0,
    ) -> "ImageDataModule":
        """A data module of images at hand, set up: for a notebook.

        Args:
            train_images, test_images: tensors or arrays, [N, H, W] or [N, C, H, W] with C 1 or 3, uint8 0..255.
            train_labels, test_labels: whole numbers from 0, [N]; both or neither; without them all images are of
                one class, 0.
            name: what records and pictures call them.
            batch_size, val_size, seed: as for the class.
        Raises: ValueError for arrays of another type or shape, or that do not belong together.
        """
        datamodule = cls(batch_size=batch_size, val_size=val_size, seed=seed)
        loaded = check_arrays(name, train_images, train_labels, test_images, test_labels)
        datamodule._images = split_images(loaded, val_size)
        return datamodule

    @property
    def images(self) -> ImageSet:
        """The images and their splits, loaded on first use; errors as of `setup`.

        Once a trainer has asked for batches, they are on its device.
        """
        if self._images is None:
            self._images = self._load()
        return self._images

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images; errors as of `setup`."""
        return self.images.image_shape

    def prepare_data(self) -> None:
        """Downloads, in one process a machine, what is not there yet."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Loads and splits the images; the second call does nothing.

        Raises: InputError when they are broken or not to be had, or `val_size` leaves none to train on.
        """
        _ = self.images

    def expect(self, state_dict: dict[str, Any]) -> None:
        """Makes `setup` raise InputError for other images than those of a checkpoint's `state_dict`."""
        self._expected = state_dict

    def _load(self) -> ImageSet:
        loaded, val_size = load_images(self.dataset, self.data_dir, self.offline_fallback), self.val_size
        if loaded.name != self.dataset:  # the fallback, which has fewer images
            val_size = min(VAL_SIZE if val_size is None else val_size, MNIST_5K_VAL_SIZE)
        images = split_images(loaded, val_size)
        if self._expected:
            self._check_images(images, self._expected)
        return images

    def train_dataloader(self) -> ImageBatches:
        """This process's training batches, shuffled anew each epoch, or never if `trainer.overfit_batches` is set."""
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
        """Validation batches in a fixed order, this process's own part; an empty list if there are none."""
        split = self._on_device().val
        if not len(split):
            return []
        batches = self._evaluation_batches(split)
        limit = self.trainer.limit_val_batches if self.trainer else 1.0
        if isinstance(limit, float) and 0 < limit < 1:  # a share: of batches so small that it is no less than one
            batches.batch_size = max(1, min(batches.batch_size, int(limit * len(batches.sampler))))
        return batches

    def test_dataloader(self) -> ImageBatches:
        """Test batches in the data set's own order, this process's own part."""
        return self._evaluation_batches(self._on_device().test)

    def predict_dataloader(self) -> ImageBatches:
        """The test batches."""
        return self.test_dataloader()

    def _evaluation_batches(self, split: Split) -> ImageBatches:
        """This process's part; each process has all where some would get none: the means are the same."""
        rank, world_size = self._rank_and_world_size()
        shares = (rank, world_size) if len(split) >= world_size else (0, 1)
        return ImageBatches(split, FixedOrder(len(split), None, *shares), EVAL_BATCH_SIZE)

    def transfer_batch_to_device(
        self, batch: tuple[Tensor, Tensor], device: torch.device, dataloader_idx: int
    ) -> tuple[Tensor, Tensor]:
        """The batch as it is: it was dealt on the device, and looking for what to move takes a twentieth of a step."""
        return batch

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint notes of the data: the set really used, its split, what tells its images, and the position.

        Lightning, too, saves the position of a loader; but it forgets to load it where a schedule asks for the number
        of steps.
        """
        return {
            "dataset": self.images.name,
            "val_size": len(self.images.val),
            "train_images": len(self.images.train) + len(self.images.val),
            "test_images": len(self.images.test),
            "fingerprint": self.images.fingerprint,
            "position": self._train_batches.state_dict() if self._train_batches else None,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Holds a checkpoint's data against this run's; one of an older version has no fingerprint.

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
        """Raises: InputError if these are of the data set that a checkpoint was trained on, but not its images."""
        if trained["dataset"] != images.name or "fingerprint" not in trained:  # of an older version
            return
        if images.fingerprint != trained["fingerprint"]:
            place = self.data_dir if images.name in FOLDERS else images.title
            raise InputError(
                f"{place} has other images than the checkpoint was trained on: {len(images.train) + len(images.val):,} "
                f"training and {len(images.test):,} test images (fingerprint {images.fingerprint}) where it had "
                f"{trained['train_images']:,} and {trained['test_images']:,} ({trained['fingerprint']}): "
                "name the folder that has those, by DATA_DIR or data_dir"
            )

    def _rank_and_world_size(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _on_device(self) -> ImageSet:
        """The images on the device that the trainer computes on; moved once, since they stay there."""
        if self.trainer:
            self._images = self.images.to(self.trainer.strategy.root_device)
        return self.images
