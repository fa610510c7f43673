"""Chooses the classes to train on, and orders images so that every part of them has its share of each class."""

from collections.abc import Sequence

import torch
from torch import Tensor

from autoencoder.errors import InputError


def choose_classes(wanted: Sequence[int | str], class_names: Sequence[str], labels: Tensor, labelled: bool) -> Tensor:
    """The indices, ascending, of the images of some classes, for `data.train_classes`.

    Args:
        wanted: names or labels; a number is a label unless the names are numbers.
        class_names: by label; empty if the labels serve as names.
        labels: [N], of the training images.
        labelled: whether these are real.
    Raises: InputError if the images have no classes, for an unknown class, or if no image is left.
    """
    asked = f"data.train_classes={list(wanted)}".replace("'", "")
    if not labelled:
        raise InputError(f"{asked}: the images have no classes: leave it out, or put them into a folder for each class")
    present = labels.unique().tolist()
    by_name = names = {class_names[label] if label < len(class_names) else str(label): label for label in present}
    if not any(name.isdecimal() for name in names):
        names = by_name | {str(label): label for label in present}
    if unknown := [str(one) for one in wanted if str(one) not in names]:
        raise InputError(
            f"{asked} leaves no images of {', '.join(unknown)} to train on: choose some of {', '.join(by_name)}"
        )
    chosen = torch.tensor([names[str(one)] for one in wanted])
    return torch.isin(labels, chosen).nonzero().flatten()


def stratified_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """A random order of images in which any consecutive part has its share of each class, to within an image.

    Each class is shuffled and spread evenly, at a random offset, over the whole. Without classes (all labels equal)
    it is any random order.

    Args: labels, [N]; generator, of the random numbers.
    Returns: indices [N].
    """
    places = torch.empty(len(labels), dtype=torch.float64)
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().flatten()
        shuffled = members[torch.randperm(len(members), generator=generator)]
        offset = torch.rand((), generator=generator, dtype=torch.float64)
        places[shuffled] = (torch.arange(len(members), dtype=torch.float64) + offset) / len(members)
    return places.argsort(stable=True)
