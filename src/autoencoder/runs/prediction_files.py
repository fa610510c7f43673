"""Writes predictions.csv and latents.npy batch by batch, so that any number of images takes the same memory."""

import csv
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import numpy as np

from autoencoder.evaluation.predictions import Predictions
from autoencoder.runs.folder import RunFolder

COLUMNS = ("file", "mse", "psnr", "nearest_training_image", "z_score")
UNFINISHED = ".unfinished"  # a folder in that of the command


@contextmanager
def appear_together(folder: RunFolder) -> Iterator[RunFolder]:
    """A hidden folder for files that are moved to `folder` at the end, or removed if the code inside fails."""
    scratch = RunFolder(folder.path / UNFINISHED)
    shutil.rmtree(scratch.path, ignore_errors=True)  # of a command that was killed
    scratch.path.mkdir(parents=True)
    try:
        yield scratch
        for path in scratch.path.iterdir():
            target = folder.path / path.name
            if target.is_dir():
                shutil.rmtree(target)
            path.replace(target)
    finally:
        shutil.rmtree(scratch.path, ignore_errors=True)


class PredictionFiles:
    """A row of `COLUMNS` in predictions.csv for each image, and a row [K] float32 in latents.npy; closed by `with`.

    An error that is infinite is written as `inf`; a z-score that is no number as nothing.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.rows = 0
        self._width = 0

    def __enter__(self) -> "PredictionFiles":
        # Names that are not in UTF-8 are written as they are on the disk.
        self._table = self.folder.predictions.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        self._latents = self.folder.latents.open("wb")
        self._writer = csv.writer(self._table)
        self._writer.writerow(COLUMNS)
        return self

    def write(self, batch: Predictions) -> None:
        """Adds a batch."""
        numbers = (batch.mse.tolist(), batch.psnr.tolist(), batch.nearest, batch.z_scores.tolist())
        for name, mse, psnr, nearest, z_score in zip(batch.names, *numbers, strict=True):
            row: tuple[Any, ...] = (name, f"{mse:.7g}", f"{psnr:.7g}", nearest)
            self._writer.writerow((*row, f"{z_score:.7g}" if z_score == z_score else ""))
        if not self.rows:
            self._width = batch.latents.shape[1]
            self._write_header()
        self._latents.write(batch.latents.numpy().astype("<f4", copy=False).tobytes())
        self.rows += len(batch.names)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._table, self._latents:
            if kind is None:
                self._write_header()
                for file in (self._table, self._latents):
                    file.flush()
                    os.fsync(file.fileno())

    def _write_header(self) -> None:
        """Writes the header of latents.npy, with the number of rows so far.

        NumPy leaves room in a header for a number of rows that grows, so it always has the same length.
        """
        self._latents.seek(0)
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.rows, self._width)}
        np.lib.format.write_array_header_1_0(self._latents, header)
