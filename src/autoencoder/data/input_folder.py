"""Any folder of images, for a trained model: the files are checked first, then streamed in the model's shape."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from autoencoder.data.folder import find_names
from autoencoder.data.folder_set import HEADERS_A_TIME, refuse_bad
from autoencoder.data.pixels import eval_batch_size, normalize
from autoencoder.data.streaming import ImageFiles, default_workers, in_chunks
from autoencoder.errors import InputError

log = logging.getLogger(__name__)


class InputBatch(NamedTuple):
    """Some of the images: their files' names in the folder, and their pixels [B, C, H, W] in [-1, 1]."""

    names: list[str]
    images: Tensor


@dataclass(frozen=True, eq=False)
class InputImages:
    """The images of a folder, in the order of their names; sub-folders have no meaning.

    Attributes:
        files: all image files.
        usable: [N] indices of those that have a header.
        image_shape: channels, height and width that the files are converted to.
        skip_bad: whether files that cannot be decoded are left out; if not, they are errors.
        bad: why files are left out, by index; more may be found while the images are read.
    """

    files: ImageFiles
    usable: np.ndarray
    image_shape: tuple[int, int, int]
    skip_bad: bool
    bad: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.usable)

    def batches(self) -> Iterator[InputBatch]:
        """The images, decoded ahead by worker processes, of which few are in memory at a time.

        Raises: InputError for a file that cannot be decoded, unless these are skipped; if none is left.
        """
        chunks = in_chunks(self.usable, min(HEADERS_A_TIME, eval_batch_size(self.image_shape)))
        decode = partial(self.files.pixels, shape=self.image_shape)
        for chunk, decoded in zip(chunks, self.files.each(decode, chunks), strict=True):
            if not self.skip_bad:
                refuse_bad(self.files, decoded.reasons, "on_bad_image")
            self.bad.update(decoded.reasons)
            good = [place for place, index in enumerate(chunk) if index not in decoded.reasons]
            if good:
                names = [os.fsdecode(self.files.names[chunk[place]]) for place in good]
                yield InputBatch(names, normalize(torch.from_numpy(decoded.pixels[good])))
        _check_some_left(self.files, self.bad)


def find_input(root: Path) -> ImageFiles:
    """The image files in a folder and its sub-folders.

    Raises: InputError if there are none.
    """
    names, _ = find_names(root, "input")
    return ImageFiles(root, np.array([os.fsencode(name) for name in names]), default_workers())


def check_input(
    files: ImageFiles, image_shape: tuple[int, int, int], to_grey: bool = False, skip_bad: bool = False
) -> InputImages:
    """Reads the files' headers, so that most mistakes are known before the images are decoded.

    Args: image_shape, channels, height and width of the model's images; to_grey, convert colour if it has one channel;
        skip_bad, as in `InputImages`.
    Raises: InputError for colour images that are not converted, for a file that has no header, or if all have none.
    """
    channels, height, width = image_shape
    bad: dict[int, str] = {}
    resized, example = 0, ""
    chunks = in_chunks(np.arange(len(files.names)), HEADERS_A_TIME)
    for chunk, found in zip(chunks, files.each(files.headers, chunks), strict=True):
        for index, header in zip(chunk, found, strict=True):
            if isinstance(header, str):
                bad[index] = header
                continue
            if header.channels > channels and not to_grey:
                raise InputError(
                    f"{files.path(index)} has {header.channels} channels, the model's images have one: "
                    "set channels=grey to convert colour to grey, or use a model trained on colour"
                )
            if (header.height, header.width) != (height, width):
                example = example or f"{files.path(index).name} from {header.height} x {header.width}"
                resized += 1
    if not skip_bad:
        refuse_bad(files, bad, "on_bad_image")
    _check_some_left(files, bad)
    if resized:
        log.info(
            "%s of %s images are scaled to %d x %d pixels (height x width) and what juts out is cut off, such as %s",
            *(f"{resized:,}", f"{len(files.names):,}", height, width, example),
        )
    usable = np.array([index for index in range(len(files.names)) if index not in bad])
    return InputImages(files, usable, image_shape, skip_bad, bad)


def _check_some_left(files: ImageFiles, bad: dict[int, str]) -> None:
    """Raises: InputError if all files are bad."""
    if len(bad) == len(files.names):
        raise InputError(
            f"input={files.root} has no image that can be used, {files.path(min(bad)).name} {bad[min(bad)]}: "
            "set it to another folder"
        )
