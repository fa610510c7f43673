"""Loads the images of a folder: finds the files, decodes each once, splits them, keeps their pixels if they fit."""

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from autoencoder.data.decoding import Header
from autoencoder.data.folder import SHOWN, find_images
from autoencoder.data.folder_split import split_folder
from autoencoder.data.images import NO_CLASSES, AnySplit, ImageSet, Split
from autoencoder.data.pixels import eval_batch_size
from autoencoder.data.streaming import ImageFiles, StreamedSplit, default_workers, in_chunks
from autoencoder.errors import InputError
from autoencoder.limits import memory_in_bytes

log = logging.getLogger(__name__)

HEADERS_A_TIME = 256
MOST_MEMORY, GB = 4, 1_000_000_000  # the default limit, in GB


def load_folder(
    root: Path,
    image_size: Sequence[int] | None,
    channels: int | str | None,
    val_size: int | None,
    train_classes: Sequence[int | str],
    skip_bad: bool,
    memory_limit: float | None,
    workers: int | None,
    name: str,
) -> ImageSet:
    """Loads and splits the images in `root`; arguments as for `FolderDataModule`, with `image_size` height and width.

    Each file is decoded once, so that those that cannot be are known before training.

    Raises: InputError for a folder without images, files that cannot be used, or a split that leaves no images.
    """
    found = find_images(root)
    workers = default_workers() if workers is None else workers
    files = ImageFiles(root, np.array([os.fsencode(one) for one in found.names]), workers)
    headers, bad = _read_headers(files)
    if not skip_bad:
        refuse_bad(files, bad)
    shape = (_channels(files, headers, channels), *_size(files, headers, image_size))
    kept = np.array(sorted(headers), np.int64)
    parts, left_out = split_folder(root, found, kept, val_size, train_classes)  # before minutes of decoding
    in_memory = len(kept) * prod(shape) <= GB * (_default_limit() if memory_limit is None else memory_limit)
    how = "in memory" if in_memory else f"streamed with {workers} worker process{'es' * (workers != 1)}"
    log.info("%s: %s images of %s x %s pixels, %s", root, f"{len(kept):,}", *shape[1:], how)
    pixels, checksums, undecoded = _read_pixels(files, kept, shape, in_memory)
    bad |= undecoded
    if not skip_bad:
        refuse_bad(files, bad)
    warn_of_bad(files, bad)
    if undecoded:
        good = np.array([place for place, index in enumerate(kept.tolist()) if index not in undecoded], np.int64)
        kept, checksums = kept[good], checksums[good]
        pixels = None if pixels is None else pixels[torch.from_numpy(good)]
        parts, left_out = split_folder(root, found, kept, val_size, train_classes)
    labels = torch.tensor(found.labels)[kept]

    def part(places: Tensor) -> AnySplit:
        if pixels is not None:
            return Split(pixels[places], labels[places])
        chosen = places.numpy()
        return StreamedSplit(files, kept[chosen], checksums[chosen], shape, labels[places])

    if not found.class_names:
        log.info(NO_CLASSES, root)
    splits = [found.splits[index] for index in kept]
    fingerprint = crc32(repr((shape, found.class_names, labels.tolist(), splits)).encode(), crc32(checksums.data))
    train, val, test = map(part, parts)
    return ImageSet(
        *(name, name, found.class_names, train, val, test, f"{fingerprint:08x}", bool(found.class_names), left_out),
        train_sources=files.names[kept[parts[0].numpy()]],
    )


def _read_headers(files: ImageFiles) -> tuple[dict[int, Header], dict[int, str]]:
    """The headers of all files that have one, by index, and for each other file, why it has none."""
    headers: dict[int, Header] = {}
    bad: dict[int, str] = {}
    chunks = in_chunks(np.arange(len(files.names)), HEADERS_A_TIME)
    for chunk, found in zip(chunks, files.each(files.headers, chunks), strict=True):
        for index, one in zip(chunk, found, strict=True):
            if isinstance(one, str):
                bad[index] = one
            else:
                headers[index] = one
    return headers, bad


def _read_pixels(
    files: ImageFiles, indices: np.ndarray, shape: tuple[int, int, int], keep: bool
) -> tuple[Tensor | None, np.ndarray, dict[int, str]]:
    """The pixels of these files, [N, *shape] uint8, if they are to be kept; their checksums; and the bad files."""
    pixels = torch.zeros(len(indices), *shape, dtype=torch.uint8) if keep else None
    checksums = np.zeros(len(indices), np.uint32)
    bad: dict[int, str] = {}
    chunks = in_chunks(indices, min(HEADERS_A_TIME, eval_batch_size(shape)))
    start = 0
    for decoded in files.each(partial(files.pixels, shape=shape), chunks):
        batch = slice(start, start + len(decoded.checksums))
        checksums[batch] = decoded.checksums
        if pixels is not None:
            pixels[batch] = torch.from_numpy(decoded.pixels)
        bad |= decoded.reasons
        start = batch.stop
    return pixels, checksums, bad


def _size(files: ImageFiles, headers: Mapping[int, Header], image_size: Sequence[int] | None) -> tuple[int, int]:
    """Height and width of the images.

    Raises: InputError if they have several sizes, and none is asked for.
    """
    if image_size is not None:
        height, width = image_size
        return height, width
    sizes = Counter((header.height, header.width) for header in headers.values())
    ((size, most),) = sizes.most_common(1)
    if len(sizes) > 1:
        other = next(index for index, header in headers.items() if (header.height, header.width) != size)
        raise InputError(
            f"data.path={files.root} has images of {len(sizes):,} sizes, {most:,} of {size[0]} x {size[1]} pixels, "
            f"but {files.path(other).name} of {headers[other].height} x {headers[other].width} (height x width): "
            f"set data.image_size, for instance data.image_size={min(size)}"
        )
    return size


def _channels(files: ImageFiles, headers: Mapping[int, Header], wanted: int | str | None) -> int:
    """The channels of the images.

    Raises: InputError if a file has more than asked for, or if there are no files.
    """
    if not headers:
        raise InputError(f"data.path={files.root} has no image that can be used: set it to another folder")
    most = max(headers, key=lambda index: headers[index].channels)  # the first of those with the most
    if wanted == 1 and headers[most].channels > 1:
        raise InputError(
            f"{files.path(most)} has {headers[most].channels} channels, data.channels=1 asks for one: "
            "set data.channels=grey to convert colour to grey, or data.channels=3"
        )
    return headers[most].channels if wanted is None else 1 if wanted == "grey" else int(wanted)


def refuse_bad(files: ImageFiles, bad: Mapping[int, str], key: str = "data.on_bad_image") -> None:
    """Raises: InputError that names the first of the bad files, if there are any."""
    if bad:
        first = min(bad)
        count = f" ({len(bad):,} of {len(files.names):,} files cannot be used)" if len(bad) > 1 else ""
        raise InputError(f"{files.path(first)} {bad[first]}{count}: replace it, or set {key}=skip to leave it out")


def warn_of_bad(files: ImageFiles, bad: Mapping[int, str]) -> None:
    """Logs a warning for each of the first `SHOWN` bad files, and one with the number of the others."""
    for index in sorted(bad)[:SHOWN]:
        log.warning("skipped: %s %s", files.path(index), bad[index])
    if len(bad) > SHOWN:
        log.warning("skipped: %s more files", f"{len(bad) - SHOWN:,}")


def _default_limit() -> float:
    memory = memory_in_bytes()
    return MOST_MEMORY if memory is None else min(MOST_MEMORY, memory / 4 / GB)
