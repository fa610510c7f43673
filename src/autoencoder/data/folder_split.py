"""Splits the images of a folder into training, validation and test images, each with its share of every class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autoencoder.data.classes import choose_classes, stratified_order
from autoencoder.data.folder import FoundImages
from autoencoder.data.images import SPLIT_SEED, validation_images
from autoencoder.errors import InputError

TEST_SHARE = 10  # without a folder test, a tenth of the images


def split_folder(
    root: Path,
    found: FoundImages,
    kept: np.ndarray,
    val_size: int | None,
    train_classes: Sequence[int | str],
) -> tuple[tuple[Tensor, Tensor, Tensor], int]:
    """Splits the images that can be used, the files `kept` [N] of those found.

    Returns: the places in `kept` of the training images, in random order, and of the validation and test ones, sorted.
        Each class has its share in each of them. Also, how many training images are of classes that are left out.
    Raises: InputError if one of them would have no images, or if a class has too few to be split.
    """
    labels = torch.tensor(found.labels)[kept]
    splits = [found.splits[index] for index in kept]
    train, val, test = (
        torch.tensor([place for place, split in enumerate(splits) if split in names], dtype=torch.int64)
        for names in (("train", None), ("val",), ("test",))
    )
    if len(val) and val_size is not None:
        raise InputError(f"data.path={root} has validation images of its own: leave out data.val_size={val_size}")
    if found.class_names and (not len(test) or (not len(val) and val_size != 0)):
        _check_classes(root, found, labels[train])
    train = train[stratified_order(labels[train], torch.Generator().manual_seed(SPLIT_SEED))]
    if not len(test):
        if len(train) < 2:
            raise InputError(f"data.path={root} has {len(train)} image: at least two are needed, one of them for test")
        test, train = train.tensor_split([max(1, len(train) // TEST_SHARE)])
    if not len(train):
        raise InputError(f"data.path={root} has no images to train on: add some to its folder train")
    count = len(train)
    if train_classes:
        train = train[choose_classes(train_classes, found.class_names, labels[train], bool(found.class_names))]
    left_out = count - len(train)
    if len(val):
        if train_classes:
            wanted = labels[train].unique()
            left_out += int((~torch.isin(labels[val], wanted)).sum())
            val = val[torch.isin(labels[val], wanted)]
    else:
        train, val = train.tensor_split([len(train) - validation_images(val_size, len(train), root.name)])
    return (train, val.sort().values, test.sort().values), left_out


def _check_classes(root: Path, found: FoundImages, labels: Tensor) -> None:
    """Raises: InputError for a class with a single image, which cannot be in two parts."""
    for label, count in enumerate(labels.bincount().tolist()):
        if count == 1:
            raise InputError(
                f"data.path={root}: class {found.class_names[label]} has a single image, which cannot be split: "
                "add images, or take its folder away"
            )
