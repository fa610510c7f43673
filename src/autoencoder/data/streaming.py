"""Streams images from files: worker processes decode them ahead, in the order asked for, into a bounded queue."""

import os
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from autoencoder.data.decoding import BadImageError, Header, known_formats, read_header, read_pixels
from autoencoder.data.pixels import eval_batch_size, normalize
from autoencoder.errors import InputError

Result = TypeVar("Result")

MOST_WORKERS = 8  # unless more are asked for
AHEAD = 2  # chunks that each worker may decode ahead of their use
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Decoded(NamedTuple):
    """Images from files.

    Attributes:
        pixels: [B, C, H, W] uint8; 0 where there are none.
        checksums: [B] uint32, of each image's pixels.
        reasons: for each file without pixels, why it has none.
    """

    pixels: np.ndarray
    checksums: np.ndarray
    reasons: dict[int, str]


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files that are decoded when they are needed.

    Attributes:
        root: their folder.
        names: [N] paths in it, as bytes: many strings would be copied to each worker as soon as it looks at them.
        workers: worker processes; 0 to decode in this one.
    """

    root: Path
    names: np.ndarray
    workers: int

    def path(self, index: int) -> Path:
        return self.root / os.fsdecode(self.names[index])

    def headers(self, indices: Sequence[int]) -> list[Header | str]:
        """The headers of these files; for one that cannot be used, why."""
        return [_or_reason(read_header, self.path(index)) for index in indices]

    def pixels(self, indices: Sequence[int], shape: tuple[int, int, int]) -> "Decoded":
        """The pixels of these files."""
        decoded = Decoded(np.zeros((len(indices), *shape), np.uint8), np.zeros(len(indices), np.uint32), {})
        for place, index in enumerate(indices):
            found = _or_reason(read_pixels, self.path(index), shape)
            if isinstance(found, str):
                decoded.reasons[index] = found
            else:
                decoded.pixels[place] = found
                decoded.checksums[place] = crc32(found.data)
        return decoded

    def each(self, function: Callable[[Sequence[int]], Result], chunks: Iterable[Sequence[int]]) -> Iterator[Result]:
        """`function` of each chunk of indices, in order, computed ahead by worker processes.

        At most `AHEAD` chunks a worker are waiting. Nothing is drawn from torch's random state.
        """
        known_formats()  # once, not in each worker
        chunks = list(chunks)
        workers = min(self.workers, len(chunks)) if len(chunks) > 1 else 0
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)  # more than cores: as asked
            loader: DataLoader[Result] = DataLoader(
                _Computed(function),
                batch_size=None,
                sampler=chunks,
                num_workers=workers,
                prefetch_factor=AHEAD if workers else None,
                # Arrays, not tensors: these would fill /dev/shm, of which a container has 64 MB.
                collate_fn=_unchanged,
                worker_init_fn=_ignore_stops,
                generator=torch.Generator(),  # the default is torch's own, and training would take another course
            )
            return iter(loader)


@dataclass(frozen=True, eq=False)
class StreamedSplit:
    """The images of one split, in a fixed order, in files; it has the face of `autoencoder.data.images.Split`.

    Attributes:
        files: those of the whole data set.
        indices: [N] into `files`.
        checksums: [N] uint32, of the pixels that the images had when the set was loaded.
        image_shape: channels, height and width.
        labels: [N] int64.
    """

    files: ImageFiles
    indices: np.ndarray
    checksums: np.ndarray
    image_shape: tuple[int, int, int]
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        return self.labels.device

    def raw(self, indices: Tensor | slice) -> Tensor:
        """The chosen images [B, C, H, W] uint8, 0..255, on the split's device."""
        chosen = np.arange(len(self))[indices if isinstance(indices, slice) else indices.cpu().numpy()]
        return self._checked(chosen, self.files.pixels(self.indices[chosen].tolist(), self.image_shape))

    def images(self, indices: Tensor | slice) -> Tensor:
        """The chosen images [B, C, H, W] float32 in [-1, 1], on the split's device."""
        return normalize(self.raw(indices))

    def each(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """The images of each chunk of indices, as `images` gives them, decoded ahead by worker processes."""
        places = [chunk.cpu().numpy() for chunk in chunks]
        decode = partial(self.files.pixels, shape=self.image_shape)
        decoded = self.files.each(decode, [self.indices[chosen].tolist() for chosen in places])
        for chosen, images in zip(places, decoded, strict=True):
            yield normalize(self._checked(chosen, images))

    def batches(self, batch_size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """All images once, in order: (images [B, C, H, W] in [-1, 1], labels [B]); the last batch may be short.

        Args: batch_size, None for `eval_batch_size`.
        """
        chunks = torch.arange(len(self)).split(batch_size or eval_batch_size(self.image_shape)) if len(self) else ()
        for chunk, images in zip(chunks, self.each(chunks), strict=True):
            yield images, self.labels[chunk.to(self.device)]

    def to(self, device: torch.device) -> "StreamedSplit":
        return replace(self, labels=self.labels.to(device))

    def _checked(self, chosen: np.ndarray, decoded: Decoded) -> Tensor:
        """Raises: InputError for a file that has changed or can no longer be decoded."""
        reasons = dict(decoded.reasons)
        for place in (decoded.checksums != self.checksums[chosen]).nonzero()[0].tolist():
            reasons.setdefault(int(self.indices[chosen[place]]), "has changed")
        for index, reason in reasons.items():
            raise InputError(f"{self.files.path(index)} {reason} since it was first read: restore it")
        return torch.from_numpy(decoded.pixels).to(self.device)


def default_workers() -> int:
    """Worker processes where no number is given: one per core, at most `MOST_WORKERS`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def in_chunks(indices: np.ndarray, size: int) -> list[list[int]]:
    """The indices in lists of `size`; the last may be shorter."""
    return [indices[start : start + size].tolist() for start in range(0, len(indices), size)]


class _Computed(Dataset[Result], Generic[Result]):
    """A function of an index, as the data set that DataLoader wants."""

    def __init__(self, function: Callable[[Any], Result]) -> None:
        self.function = function

    def __getitem__(self, index: Any) -> Result:
        return self.function(index)


def _unchanged(result: Result) -> Result:
    return result


def _ignore_stops(worker: int) -> None:
    """Ctrl-C reaches each process of a command. The first decides what to do, and still needs its workers' images."""
    for signum in STOPS:
        signal.signal(signum, signal.SIG_IGN)


def _or_reason(function: Callable[..., Result], *arguments: Any) -> Result | str:
    try:
        return function(*arguments)
    except BadImageError as error:
        return str(error)
