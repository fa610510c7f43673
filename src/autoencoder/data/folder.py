"""Finds the image files in a folder: sub-folders are classes, and folders train, val and test are splits."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from autoencoder.data.decoding import SUFFIXES
from autoencoder.errors import InputError

log = logging.getLogger(__name__)

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}  # by folder, any case
SHOWN = 10  # names in a message


class FoundImages(NamedTuple):
    """The image files of a folder, sorted by name.

    Attributes:
        names: [N] paths in the folder, with `/`.
        splits: [N] `train`, `val` or `test`; None for a file that is in no such folder.
        labels: [N] from 0; all 0 without classes.
        class_names: by label; empty without classes.
    """

    names: list[str]
    splits: list[str | None]
    labels: list[int]
    class_names: tuple[str, ...]


def find_images(root: Path) -> FoundImages:
    """The image files in `root` and its sub-folders, hidden ones aside.

    The first sub-folder is the class. If there is a folder `train` beside `val` or `test`, or alone, the images are
    split by these, and the classes are the sub-folders of these. A single sub-folder is no class.

    Raises: InputError if there are none, or for images beside the folders of classes.
    """
    names, others = find_names(root, "data.path")
    splits: list[str | None] = [None] * len(names)
    left_out: list[str] = []
    folders = _split_folders(root, names)
    if folders:
        kept = [name for name in names if _top(name) in folders]
        left_out = sorted({_top(name) or name for name in names} - folders.keys())
        names, splits = kept, [folders[_top(name)] for name in kept]
    if others or left_out:
        log.info(
            "%s: %d files that are no images%s are left out",
            *(root, others, "".join(f", {name}" for name in left_out[:SHOWN])),
        )
    return FoundImages(names, splits, *_classes(root, names, splits))


def find_names(root: Path, key: str) -> tuple[list[str], int]:
    """The image files in `root` and its sub-folders, hidden ones aside, sorted, and how many other files there are.

    Args: key, of the setting that names the folder, for messages.
    Raises: InputError if there are no images.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise InputError(f"{key}={root} {what}: set it to a folder with images")
    names, others = [], 0
    for name in _files(root):
        if PurePosixPath(name).suffix.lower() in SUFFIXES:
            names.append(name)
        else:
            others += 1
    if not names:
        raise InputError(f"{key}={root} has no image files, and {others} others: set it to a folder with {_suffixes()}")
    names.sort(key=os.fsencode)
    return names, others


def _files(root: Path) -> Iterator[str]:
    """The paths of all files below `root`, in it, with `/`; follows links, but enters each folder once.

    Raises: InputError for a folder that cannot be read.
    """
    entered = set()
    for folder, folders, files in os.walk(root, onerror=_refuse, followlinks=True):
        there = Path(folder).stat()
        if (there.st_dev, there.st_ino) in entered:
            folders.clear()
            continue
        entered.add((there.st_dev, there.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(folder).relative_to(root).as_posix()
        for name in files:
            if not name.startswith("."):
                yield name if inside == "." else f"{inside}/{name}"


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be read: {error.strerror}") from None


def _top(name: str) -> str:
    """The first folder in a path; empty for a file that is in none."""
    return name.partition("/")[0] if "/" in name else ""


def _split_folders(root: Path, names: Iterable[str]) -> dict[str, str]:
    """The folders that are splits, and which; empty if the images are not split.

    Raises: InputError for two folders of one split, or for splits without training images.
    """
    tops = {_top(name) for name in names}
    folders = {top: SPLITS[top.lower()] for top in sorted(tops) if top.lower() in SPLITS}
    for split in set(folders.values()):
        if len(same := [top for top, each in folders.items() if each == split]) > 1:
            raise InputError(f"data.path={root} has {' and '.join(same)}, which mean the same: keep one")
    if folders.keys() == tops and "train" not in folders.values():
        raise InputError(f"data.path={root} has {' and '.join(folders)}, but no images in train: add them")
    is_split = "train" in folders.values() and (len(folders) > 1 or folders.keys() == tops)
    return folders if is_split else {}


def _classes(root: Path, names: Sequence[str], splits: Sequence[str | None]) -> tuple[list[int], tuple[str, ...]]:
    """The labels and the names of the classes.

    Raises: InputError if a folder has both images and folders of classes.
    """
    inside = [name if split is None else name.partition("/")[2] for name, split in zip(names, splits, strict=True)]
    classes = [_top(name) for name in inside]
    loose: dict[str, str] = {}  # by folder, an image that has no class
    for name, each in zip(names, classes, strict=True):
        if not each:
            loose.setdefault(str(PurePosixPath(name).parent), name)
    for name, each, split in zip(names, classes, splits, strict=True):
        home = "." if split is None else _top(name)
        if each and home in loose:
            raise InputError(
                f"{root / loose[home]} is beside the folder {each}, a class: "
                "move each image into the folder of its class, or all into one folder"
            )
    found = set(classes)
    if len(found) < 2 or "" in found:
        if len(found) > 1:
            log.info("%s: %s has no folders of classes, so no image has a class", root, next(iter(loose)))
        return [0] * len(names), ()
    class_names = tuple(sorted(found, key=_number_or_name))
    labels = {name: label for label, name in enumerate(class_names)}
    return [labels[each] for each in classes], class_names


def _number_or_name(name: str) -> tuple[bool, int, bytes]:
    """Sorts numbers by value, and after them names."""
    is_number = name.isdecimal()
    return not is_number, int(name) if is_number else 0, os.fsencode(name)


def _suffixes() -> str:
    return ", ".join(sorted(SUFFIXES))
