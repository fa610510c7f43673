"""ImageDataModule, the LightningDataModule: splits the images and deals them as batches in [-1, 1]."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from lightning.pytorch import LightningDataModule
from pydantic import Field
from torch import Tensor

from autoencoder.data.batches import EpochOrder, FixedOrder, ImageBatches
from autoencoder.data.images import EVAL_BATCH_SIZE, VAL_SIZE, Array, ImageSet, Split, check_arrays, split_images
from autoencoder.data.sources import TITLES, idx_folder, load_images
from autoencoder.errors import InputError
from autoencoder.limits import Count, Seed, Text, checked
from autoencoder.paths import absolute

MNIST_5K_VAL_SIZE = 500


class ImageDataModule(LightningDataModule):
    """A data set in memory, split into training, validation and test images.

    For images that you already have as tensors or arrays, use `ImageDataModule.from_arrays`.

    Args:
        dataset: `mnist` and `fashion_mnist` (60,000 and 10,000 images), `mnist_5k` (4,500 and 500), or any name with
            `folder`.
        data_dir: folder with the IDX files, in torchvision's layout or directly in it; downloads go there.
        batch_size: training images per step and device.
        val_size: images taken from the training images for validation, 0 to train on all of them; None for 5,000,
            or a ninth of a set of fewer than 45,000 (500 of `mnist_5k`).
        seed: of the order in which images are dealt; the split does not depend on it.
        offline_fallback: if MNIST is not available, warn and use `mnist_5k` (validation: 500 images, or 0).
        folder: for any other data set in MNIST's format: torchvision's class, `KMNIST`, which downloads it, and the
            folder of its files in `data_dir`; without such a class the files must be there.
        title: the data set's name for people; None for `dataset`, or the usual name of a known one.
        class_names: the name of each class by label; none for the labels themselves.
    Raises:
        ValueError: for an argument of a wrong type or out of range.
    """

    @checked
    def __init__(
        self,
        dataset: Text = "mnist",
        data_dir: Text | Path = "data",
        batch_size: Count = 128,
        val_size: Annotated[int, Field(ge=0, lt=60_000)] | None = None,
        seed: Seed = 0,
        offline_fallback: bool = True,
        folder: Text | None = None,
        title: Text | None = None,
        class_names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if dataset not in TITLES and folder is None:
            *names, last = (repr(name) for name in TITLES)
            raise InputError(
                f"data.dataset must be {', '.join(names)} or {last}, got {dataset!r}; any other set in MNIST's format "
                "needs data.folder, the name of its folder"
            )
        class_names = list(class_names)
        data_dir = str(absolute(data_dir))  # a plain value for checkpoints, valid in any working directory
        self.save_hyperparameters(logger=False)
        self.dataset: str = dataset
        self.data_dir = data_dir
        self.batch_size = batch_size
        self.val_size = val_size
        self.seed = seed
        self.offline_fallback = offline_fallback
        self.folder = folder
        self.title = title
        self.class_names = class_names
        self._images: ImageSet | None = None
        self._train_batches: ImageBatches | None = None
        self._position: dict[str, int] | None = None  # in the epoch, for a resumed run
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
        """A data module for images that you already have, set up and ready to use, for instance in a notebook.

        Args:
            train_images, test_images: tensors or arrays, [N, H, W] or [N, C, H, W] with C 1 or 3, uint8 0..255.
            train_labels, test_labels: integers from 0, [N], both or neither; without them all images have class 0.
            name: the data set's name in records and figures.
            batch_size, val_size, seed: as for the class.
        Raises: ValueError for arrays of another type or shape, or whose sizes do not match.
        """
        datamodule = cls(batch_size=batch_size, val_size=val_size, seed=seed)
        loaded = check_arrays(name, train_images, train_labels, test_images, test_labels)
        datamodule._images = split_images(loaded, val_size)
        return datamodule

    @property
    def images(self) -> ImageSet:
        """The images and their splits, loaded on first use; raises the errors of `setup`.

        They are on the trainer's device once it has asked for batches.
        """
        if self._images is None:
            self._images = self._load()
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

    def _load(self) -> ImageSet:
        loaded, val_size = load_images(self.dataset, self.data_dir, self.offline_fallback, self.folder), self.val_size
        if loaded.name != self.dataset:  # the fallback, which has fewer images
            val_size = min(VAL_SIZE if val_size is None else val_size, MNIST_5K_VAL_SIZE)
        images = split_images(loaded, val_size, self.title, self.class_names)
        if self._expected:
            self._check_images(images, self._expected)
        return images

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

    def _evaluation_batches(self, split: Split) -> ImageBatches:
        """This process's batches of a split. If some process would get none, each gets all: the means stay the same."""
        rank, world_size = self._rank_and_world_size()
        shares = (rank, world_size) if len(split) >= world_size else (0, 1)
        return ImageBatches(split, FixedOrder(len(split), None, *shares), EVAL_BATCH_SIZE)

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
            "train_images": len(self.images.train) + len(self.images.val),
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
            place = self.data_dir if idx_folder(images.name, self.folder) else images.title
            raise InputError(
                f"{place} has other images than the checkpoint was trained on: {len(images.train) + len(images.val):,} "
                f"training and {len(images.test):,} test images (fingerprint {images.fingerprint}) instead of "
                f"{trained['train_images']:,} and {trained['test_images']:,} ({trained['fingerprint']}): "
                "set DATA_DIR or data_dir to the folder that has those"
            )

    def _rank_and_world_size(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _on_device(self) -> ImageSet:
        """The images on the trainer's device; they are moved once and stay there."""
        if self.trainer:
            self._images = self.images.to(self.trainer.strategy.root_device)
        return self.images
