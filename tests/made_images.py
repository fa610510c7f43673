"""Makes folders of small images for tests."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def blobs(count: int, shape: tuple[int, ...] = (12, 10), seed: int = 0) -> np.ndarray:
    """Images [count, *shape] uint8: a bright square on noise, at a place of its own in each."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 60, (count, *shape), np.uint8)
    for image in images:
        top, left = random.integers(0, shape[0] - 4), random.integers(0, shape[1] - 4)
        image[top : top + 4, left : left + 4] += 150
    return images


def write_images(folder: Path, images: Iterable[np.ndarray], suffix: str = ".png") -> list[Path]:
    """Writes 000.png, 001.png …; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, image in enumerate(images):
        paths.append(folder / f"{number:03d}{suffix}")
        Image.fromarray(image).save(paths[-1])
    return paths


def write_classes(folder: Path, counts: dict[str, int], shape: tuple[int, ...] = (12, 10)) -> Path:
    """Writes a sub-folder of blobs for each class; returns `folder`."""
    for number, (name, count) in enumerate(counts.items()):
        write_images(folder / name, blobs(count, shape, seed=number))
    return folder
