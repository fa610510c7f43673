"""ImageDataModule, the LightningDataModule: which images train, validate and test, as batches in [-1, 1]."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from zlib import crc32

import torch
from lightning.pytorch import LightningDataModule
from pydantic import Field
from torch import Tensor

from autoencoder.data.batches import EpochOrder, FixedOrder, ImageBatches
from autoencoder.data.pixels import normalize
from autoencoder.data.sources import FOLDERS, TITLES, Array, ImageSet, image_set, load_images
from autoencoder.errors import InputError
from autoencoder.limits import Count, Seed, Text, checked
from autoencoder.paths import absolute

SPLIT_SEED = 55_000  # of the split alone, so that every run of every seed has the same
VAL_SIZE, VAL_SHARE = 5_000, 9  # the default: a ninth of the training images, and 5,000 at most
MNIST_5K_VAL_SIZE = 500
EVAL_BATCH_SIZE = 1_000


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
        self._val_size = val_size
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
            train_labels, test_labels: whole numbers from 0, [N]; without them all images are of one class, 0.
            name: what records and pictures call them.
            batch_size, val_size, seed: as for the class.
        Raises: ValueError for arrays of another type or shape, or that do not belong together.
        """
        datamodule = cls(batch_size=batch_size, val_size=val_size, seed=seed)
        datamodule.dataset = name
        datamodule._split(image_set(name, train_images, train_labels, test_images, test_labels))
        return datamodule

    @property
    def images(self) -> ImageSet:
        """The images themselves, on the device where the batches are dealt.

        Raises: RuntimeError before `setup`.
        """
        if self._images is None:
            raise RuntimeError("the images are not loaded yet: call datamodule.setup() first")
        return self._images

    @property
    def title(self) -> str:
        """The data set's name for a person."""
        return TITLES.get(self.dataset, self.dataset)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images; RuntimeError before `setup`."""
        channels, height, width = self.images.train_images.shape[1:]
        return channels, height, width

    @property
    def val_size(self) -> int:
        """How many images validate; before `setup`, 5,000 where nothing else was asked for."""
        return VAL_SIZE if self._val_size is None else self._val_size

    @cached_property
    def fingerprint(self) -> str:
        """What tells these images from others, see `fingerprint_of`; RuntimeError before `setup`."""
        return fingerprint_of(self.images)

    def prepare_data(self) -> None:
        """Downloads, in one process a machine, what is not there yet."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Loads and splits the images; the second call does nothing.

        Raises: InputError when they are broken or not to be had, or `val_size` leaves none to train on.
        """
        if self._images is not None:
            return
        images = load_images(self.dataset, self.data_dir, self.offline_fallback)
        if images.name != self.dataset:  # the fallback, which has a split of its own
            self._val_size = min(self.val_size, MNIST_5K_VAL_SIZE)
            self.dataset = images.name
        if self._expected:
            self._check_images(images, fingerprint_of(images), self._expected)
        self._split(images)

    def expect(self, state_dict: dict[str, Any]) -> None:
        """Makes `setup` raise InputError for other images than those of a checkpoint's `state_dict`."""
        self._expected = state_dict

    def _split(self, images: ImageSet) -> None:
        """Divides the training images once and for all; raises InputError if `val_size` leaves none to train on."""
        count = len(images.train_images)
        if self._val_size is None:
            self._val_size = min(count // VAL_SHARE, VAL_SIZE)
        if self.val_size >= count:
            raise InputError(
                f"`val_size` must be less than the {count:,} training images of {self.dataset}, got {self.val_size} "
                f"(on the command line: data.val_size={count // VAL_SHARE})"
            )
        if self.dataset == "mnist_5k":
            order = torch.arange(count)  # stratified as it is
        else:
            order = torch.randperm(count, generator=torch.Generator().manual_seed(SPLIT_SEED))
        self.train_indices, self.val_indices = order.split([count - self.val_size, self.val_size])
        self.test_indices = torch.arange(len(images.test_images))
        self._images = images

    def train_dataloader(self) -> ImageBatches:
        """This process's training batches, shuffled anew each epoch, or never if `trainer.overfit_batches` is set."""
        self._move_to_device()
        rank, world_size = self._rank_and_world_size()
        if getattr(self.trainer, "overfit_batches", 0):
            missing = -len(self.train_indices) % world_size  # all processes deal equally many
            order: EpochOrder = FixedOrder(
                torch.cat([self.train_indices, self.train_indices[:missing]]), None, rank, world_size
            )
        else:
            order = EpochOrder(self.train_indices, self.seed, rank, world_size)
        batches = ImageBatches(self.images.train_images, self.images.train_labels, order, self.batch_size)
        if self._position:
            batches.load_state_dict(self._position)
        self._train_batches = batches
        return batches

    def val_dataloader(self) -> ImageBatches | list[Any]:
        """Validation batches in a fixed order, this process's own part; an empty list if `val_size` is 0."""
        self._move_to_device()
        if not self.val_size:
            return []
        batches = self.evaluation_batches("val", *self._share_of(self.val_indices))
        limit = self.trainer.limit_val_batches if self.trainer else 1.0
        if isinstance(limit, float) and 0 < limit < 1:  # a share: of batches so small that it is no less than one
            batches.batch_size = max(1, min(batches.batch_size, int(limit * len(batches.sampler))))
        return batches

    def test_dataloader(self) -> ImageBatches:
        """Test batches in the data set's own order, this process's own part."""
        self._move_to_device()
        return self.evaluation_batches("test", *self._share_of(self.test_indices))

    def evaluation_batches(
        self, split: Literal["train", "val", "test"], rank: int = 0, world_size: int = 1
    ) -> ImageBatches:
        """The images of a split in a fixed order, each once; all of them, or the part of one process of several."""
        if split == "test":
            pixels, labels, indices = self.images.test_images, self.images.test_labels, self.test_indices
        else:
            pixels, labels = self.images.train_images, self.images.train_labels
            indices = self.train_indices if split == "train" else self.val_indices
        return ImageBatches(pixels, labels, FixedOrder(indices, None, rank, world_size), EVAL_BATCH_SIZE)

    def transfer_batch_to_device(
        self, batch: tuple[Tensor, Tensor], device: torch.device, dataloader_idx: int
    ) -> tuple[Tensor, Tensor]:
        """The batch as it is: it was dealt on the device, and looking for what to move takes a twentieth of a step."""
        return batch

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Turns the pixels of a batch into images in [-1, 1], on the device, in the trainer's precision."""
        pixels, labels = batch
        images = normalize(pixels)
        return images.to(self.trainer.lightning_module.dtype) if self.trainer else images, labels

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint notes of the data: the set really used, its split, what tells its images, and the position.

        Lightning, too, saves the position of a loader; but it forgets to load it where a schedule asks for the number
        of steps.
        """
        return {
            "dataset": self.dataset,
            "val_size": self.val_size,
            "train_images": len(self.images.train_images),
            "test_images": len(self.images.test_images),
            "fingerprint": self.fingerprint,
            "position": self._train_batches.state_dict() if self._train_batches else None,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Holds a checkpoint's data against this run's; one of an older version has no fingerprint.

        Raises: InputError if the checkpoint was trained on other images.
        """
        self._position = state_dict.get("position")
        self._check_images(self.images, self.fingerprint, state_dict)
        if (state_dict["dataset"], state_dict["val_size"]) != (self.dataset, self.val_size):
            raise InputError(
                f"the checkpoint was trained on {state_dict['dataset']} with data.val_size={state_dict['val_size']}, "
                f"this run has {self.dataset} with {self.val_size}: "
                f"set data={state_dict['dataset']} data.val_size={state_dict['val_size']}, or start a new run"
            )

    def _check_images(self, images: ImageSet, fingerprint: str, trained: dict[str, Any]) -> None:
        """Raises: InputError if these are of the data set that a checkpoint was trained on, but not its images."""
        if trained["dataset"] != images.name or "fingerprint" not in trained:  # of an older version
            return
        if fingerprint != trained["fingerprint"]:
            place = self.data_dir if images.name in FOLDERS else self.title
            raise InputError(
                f"{place} has other images than the checkpoint was trained on: {len(images.train_images):,} training "
                f"and {len(images.test_images):,} test images (fingerprint {fingerprint}) where it had "
                f"{trained['train_images']:,} and {trained['test_images']:,} ({trained['fingerprint']}): "
                "name the folder that has those, by DATA_DIR or data_dir"
            )

    def _rank_and_world_size(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _share_of(self, indices: Tensor) -> tuple[int, int]:
        """This process and how many share the images; each has all where some would get none: the same means."""
        rank, world_size = self._rank_and_world_size()
        return (rank, world_size) if len(indices) >= world_size else (0, 1)

    def _move_to_device(self) -> None:
        """Moves the images to the device that the trainer computes on; once, since they stay there."""
        if self.trainer:
            device = self.trainer.strategy.root_device
            self._images = ImageSet(self.images.name, *(part.to(device) for part in self.images[1:]))


def fingerprint_of(images: ImageSet) -> str:
    """A checksum of pixels, labels and shapes, eight hexadecimal digits; 0.01 s for MNIST."""
    checksum = 0
    for part in images[1:]:
        checksum = crc32(repr(tuple(part.shape)).encode(), checksum)
        checksum = crc32(part.cpu().contiguous().numpy().data, checksum)
    return f"{checksum:08x}"
