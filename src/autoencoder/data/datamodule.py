"""ImageDataModule: data sets in MNIST's format, and images at hand as arrays, in memory."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from autoencoder.data.base import DataModule
from autoencoder.data.images import NO_CLASSES, Array, ImageSet, check_arrays, split_images
from autoencoder.data.sources import TITLES, idx_folder, load_images
from autoencoder.errors import InputError
from autoencoder.limits import Count, Seed, Text, checked
from autoencoder.paths import absolute

log = logging.getLogger(__name__)

MNIST_5K_VAL_SIZE = 500


class ImageDataModule(DataModule):
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
        train_classes: train and validate on these classes only, given by name or label; none for all. The test images
            are always those of all classes.
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
        train_classes: Sequence[int | str] = (),
    ) -> None:
        super().__init__(batch_size, seed, train_classes)
        if dataset not in TITLES and folder is None:
            *names, last = (repr(name) for name in TITLES)
            raise InputError(
                f"data.dataset must be {', '.join(names)} or {last}, got {dataset!r}; any other set in MNIST's format "
                "needs data.folder, the name of its folder"
            )
        class_names, train_classes = list(class_names), list(train_classes)
        data_dir = str(absolute(data_dir))  # a plain value for checkpoints, valid in any working directory
        self.save_hyperparameters(logger=False)
        self.dataset: str = dataset
        self.data_dir = data_dir
        self.val_size = val_size
        self.offline_fallback = offline_fallback
        self.folder = folder
        self.title = title
        self.class_names = class_names

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
            train_labels, test_labels: integers from 0, [N], both or neither; without them, what needs labels is
                left out.
            name: the data set's name in records and figures.
            batch_size, val_size, seed: as for the class.
        Raises: ValueError for arrays of another type or shape, or whose sizes do not match.
        """
        datamodule = cls(batch_size=batch_size, val_size=val_size, seed=seed)
        if train_labels is None:
            log.info(NO_CLASSES, name)
        loaded = check_arrays(name, train_images, train_labels, test_images, test_labels)
        datamodule._images = split_images(loaded, val_size, labelled=train_labels is not None)
        return datamodule

    def _load(self) -> ImageSet:
        loaded, val_size = load_images(self.dataset, self.data_dir, self.offline_fallback, self.folder), self.val_size
        if loaded.name != self.dataset:  # the fallback, which has fewer images
            val_size = None if val_size is None else min(val_size, MNIST_5K_VAL_SIZE)
        return split_images(loaded, val_size, self.title, self.class_names, self.train_classes)

    def place_of(self, images: ImageSet) -> tuple[str, str]:
        return self.data_dir if idx_folder(images.name, self.folder) else images.title, "DATA_DIR or data_dir"
