"""FolderDataModule: a user's own images, read from a folder, in memory or streamed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge

from autoencoder.data.base import DataModule
from autoencoder.data.folder_set import load_folder
from autoencoder.data.images import ImageSet
from autoencoder.errors import InputError
from autoencoder.limits import Count, Seed, Text, checked
from autoencoder.paths import absolute


class FolderDataModule(DataModule):
    """The image files in a folder, split into training, validation and test images.

    Sub-folders are classes, and folders `train`, `val` and `test` are splits, see `autoencoder.data.folder`. Whether
    the images are in memory or streamed changes neither their order nor any weight.

    Args:
        path: the folder.
        image_size: height and width in pixels, or one number for both; None if all images have the same size.
        channels: 1 or 3; None for what the files have, 3 if any has 3. Files with more channels than this are refused,
            unless it is `grey`: 1 channel, with colour converted to grey.
        batch_size: training images per step and device.
        val_size: images taken from the training images for validation, 0 to train on all of them; None for 5,000, or a
            ninth of fewer than 45,000, or the images in the folder `val`.
        seed: of the order in which images are dealt; the split does not depend on it.
        train_classes: train and validate on these classes only, given by name or label; none for all. The test images
            are always those of all classes.
        on_bad_image: files that cannot be decoded are refused with an error, or skipped with a warning.
        memory_limit: GB of pixels; more are streamed. None for a quarter of the machine's memory, at most 4.
        workers: processes that decode images; 0 to decode in the training process, None for one per core, at most 8.
        title: the data set's name in records and figures; None for the folder's name.
    Raises:
        ValueError: for an argument of a wrong type or out of range.
    """

    @checked
    def __init__(
        self,
        path: Text | Path,
        image_size: Count | list[Count] | None = None,
        channels: Literal[1, 3, "grey"] | None = None,
        batch_size: Count = 128,
        val_size: Annotated[int, Ge(0)] | None = None,
        seed: Seed = 0,
        train_classes: Sequence[int | str] = (),
        on_bad_image: Literal["refuse", "skip"] = "refuse",
        memory_limit: Annotated[float, Ge(0)] | None = None,
        workers: Annotated[int, Ge(0)] | None = None,
        title: Text | None = None,
    ) -> None:
        super().__init__(batch_size, seed, train_classes)
        if isinstance(image_size, list) and len(image_size) != 2:
            raise InputError(f"data.image_size must be one number or [height,width], got {image_size}")
        # Plain values for checkpoints, valid in any working directory.
        path, train_classes = str(absolute(path)), list(train_classes)
        self.save_hyperparameters(logger=False)
        self.path = path
        self.image_size = image_size
        self.channels = channels
        self.to_grey = channels == "grey"
        self.val_size = val_size
        self.on_bad_image = on_bad_image
        self.memory_limit = memory_limit
        self.workers = workers
        self.title = title

    def _load(self) -> ImageSet:
        return load_folder(
            Path(self.path),
            (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size,
            self.channels,
            self.val_size,
            self.train_classes,
            self.on_bad_image == "skip",
            self.memory_limit,
            self.workers,
            self.title or Path(self.path).name,
        )

    def place_of(self, images: ImageSet) -> tuple[str, str]:
        return self.path, "data.path (data_dir in evaluate.py)"
