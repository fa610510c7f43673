"""ImageSet: an immutable data set, divided into splits, in memory or streamed from files."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from autoencoder.data.classes import choose_classes
from autoencoder.data.pixels import eval_batch_size, normalize
from autoencoder.data.sources import CLASS_NAMES, TITLES, LoadedImages
from autoencoder.data.streaming import StreamedSplit
from autoencoder.errors import InputError

SPLIT_SEED = 55_000  # for the split only, so that runs with different seeds have the same split
VAL_SIZE, VAL_SHARE = 5_000, 9  # the default: a ninth of the training images, at most 5,000
NO_CLASSES = "%s: no classes, so errors of each class, nearest neighbours and probes are left out"  # in the log

Array = Tensor | np.ndarray
SplitName = Literal["train", "val", "test"]


@dataclass(frozen=True, eq=False)
class Split:
    """The images of one split, in a fixed order, in memory.

    Attributes:
        pixels: [N, C, H, W] uint8, 0..255.
        labels: [N] int64.
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        return self.pixels.device

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def raw(self, indices: Tensor | slice) -> Tensor:
        """The chosen images [B, C, H, W] uint8, 0..255, on the split's device."""
        return self.pixels[indices]

    def images(self, indices: Tensor | slice) -> Tensor:
        """The chosen images [B, C, H, W] float32 in [-1, 1], on the split's device."""
        return normalize(self.pixels[indices])

    def each(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """The images of each chunk of indices, as `images` gives them."""
        return map(self.images, chunks)

    def batches(self, batch_size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """All images once, in order: (images [B, C, H, W] in [-1, 1], labels [B]); the last batch may be short.

        Args: batch_size, None for `eval_batch_size`.
        """
        batch_size = batch_size or eval_batch_size(self.image_shape)
        for start in range(0, len(self), batch_size):
            batch = slice(start, start + batch_size)
            yield self.images(batch), self.labels[batch]

    def to(self, device: torch.device) -> "Split":
        return replace(self, pixels=self.pixels.to(device), labels=self.labels.to(device))


AnySplit = Split | StreamedSplit


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A data set. `to` returns a new one on another device.

    Attributes:
        name: in records, for instance `mnist`.
        title: in figures and reports, for instance `MNIST`.
        class_names: by label; empty if classes have no names.
        train, val, test: the splits; `val` may be empty.
        fingerprint: a checksum that identifies these images, see `fingerprint_of`.
        labelled: whether the images have classes; if not, all labels are 0.
        left_out: how many training images are of classes that are not trained on.
        train_sources: [N] where each image of `train` is from: the name of its file, as bytes, or its index among the
            training images as they were loaded; None if that is not known.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    train: AnySplit
    val: AnySplit
    test: AnySplit
    fingerprint: str
    labelled: bool = True
    left_out: int = 0
    train_sources: np.ndarray | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.test.image_shape

    @property
    def train_images(self) -> int:
        """The images that there are for training and validation, used or not."""
        return len(self.train) + len(self.val) + self.left_out

    def class_name(self, label: int) -> str:
        """A class's name, or its label if it has none."""
        if not self.labelled:
            return "unlabelled"
        return self.class_names[label] if label < len(self.class_names) else str(label)

    def train_source(self, index: int) -> str:
        """The file of a training image in the data's folder, or its index among the training images, 0-based."""
        source = index if self.train_sources is None else self.train_sources[index]
        return os.fsdecode(source) if isinstance(source, bytes) else str(source)

    def split(self, name: SplitName) -> AnySplit:
        return {"train": self.train, "val": self.val, "test": self.test}[name]

    def to(self, device: torch.device) -> "ImageSet":
        """The same images on `device`; this object itself if they are already there."""
        if device == self.test.device:
            return self
        return replace(self, train=self.train.to(device), val=self.val.to(device), test=self.test.to(device))


def split_images(
    loaded: LoadedImages,
    val_size: int | None = None,
    title: str | None = None,
    class_names: Sequence[str] = (),
    train_classes: Sequence[int | str] = (),
    labelled: bool = True,
) -> ImageSet:
    """Splits the training images with a fixed seed; those of `mnist_5k` are already stratified and cut in order.

    Args:
        val_size: images for validation; None for 5,000, or a ninth of a set of fewer than 45,000.
        title, class_names, train_classes: as for `ImageDataModule`.
        labelled: whether the images have classes.
    Raises: InputError if no training images are left, or there are fewer names than classes.
    """
    names = tuple(class_names) or CLASS_NAMES.get(loaded.name, ())
    highest = int(torch.cat([loaded.train_labels, loaded.test_labels]).max())
    if names and highest >= len(names):
        raise InputError(
            f"data.class_names has {len(names)} names, but the labels of {loaded.name} go up to {highest}: name each "
            "class, from label 0 on, or replace files that belong to another set"
        )
    kept = torch.arange(len(loaded.train_images))
    if train_classes:
        kept = choose_classes(train_classes, names, loaded.train_labels, labelled)
    val_size = validation_images(val_size, len(kept), loaded.name)
    stratified = loaded.name == "mnist_5k"
    order = kept if stratified else kept[torch.randperm(len(kept), generator=_generator())]
    train, val = order.split([len(kept) - val_size, val_size])
    return ImageSet(
        loaded.name,
        title or TITLES.get(loaded.name, loaded.name),
        names,
        Split(loaded.train_images[train], loaded.train_labels[train]),
        Split(loaded.train_images[val], loaded.train_labels[val]),
        Split(loaded.test_images, loaded.test_labels),
        fingerprint_of(loaded),
        labelled,
        len(loaded.train_images) - len(kept),
        train.numpy(),
    )


def validation_images(val_size: int | None, count: int, name: str) -> int:
    """How many of `count` training images are for validation.

    Raises: InputError if none would be left to train on.
    """
    if val_size is None:
        val_size = min(count // VAL_SHARE, VAL_SIZE)
    if val_size >= count:
        raise InputError(
            f"`val_size` must be less than the {count:,} training images of {name}, got {val_size} "
            f"(on the command line: data.val_size={count // VAL_SHARE})"
        )
    return val_size


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(SPLIT_SEED)


def fingerprint_of(loaded: LoadedImages) -> str:
    """A checksum of pixels, labels and shapes as eight hexadecimal digits; takes 0.01 s for MNIST."""
    checksum = 0
    for part in loaded[1:]:
        checksum = crc32(repr(tuple(part.shape)).encode(), checksum)
        checksum = crc32(part.contiguous().numpy().data, checksum)
    return f"{checksum:08x}"


def check_arrays(
    name: str, train_images: Array, train_labels: Array | None, test_images: Array, test_labels: Array | None
) -> LoadedImages:
    """Makes a data set from arrays; arguments and errors as in `ImageDataModule.from_arrays`."""
    if (train_labels is None) != (test_labels is None):
        missing = "train_labels" if train_labels is None else "test_labels"
        raise InputError(f"`{missing}` is missing: pass the labels of both or of neither")
    train, test = _as_images("train_images", train_images), _as_images("test_images", test_images)
    if train.shape[1:] != test.shape[1:]:
        raise InputError(
            f"`train_images` and `test_images` must have the same size, got {list(train.shape)} and {list(test.shape)}"
        )
    return LoadedImages(
        name,
        train,
        _as_labels("train_labels", train_labels, len(train)),
        test,
        _as_labels("test_labels", test_labels, len(test)),
    )


def _as_images(argument: str, values: Array) -> Tensor:
    images = torch.as_tensor(np.require(values, requirements=["C", "W"]) if isinstance(values, np.ndarray) else values)
    if images.dtype != torch.uint8:
        raise InputError(f"`{argument}` must be uint8, 0 to 255, got {images.dtype}: scale and convert it")
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.numel() == 0:
        last = images.ndim == 4 and images.shape[-1] in (1, 3)
        raise InputError(
            f"`{argument}` must be [N, H, W] or [N, C, H, W] with C 1 or 3 and at least one image, "
            f"got {list(images.shape)}{': move the channels forward' if last else ''}"
        )
    return images.contiguous()


def _as_labels(argument: str, values: Array | None, count: int) -> Tensor:
    if values is None:
        return torch.zeros(count, dtype=torch.int64)
    try:
        labels = torch.as_tensor(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"`{argument}` must be whole numbers from 0: {error}") from None
    if labels.is_floating_point() or labels.is_complex() or labels.shape != (count,) or labels.min() < 0:
        raise InputError(
            f"`{argument}` must be whole numbers from 0, one for each of the {count} images, "
            f"got {labels.dtype} {list(labels.shape)}"
        )
    return labels.long()
