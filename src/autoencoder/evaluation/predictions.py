"""Predictions: a model's outputs on images that stream by, compared with those of the images it was trained on."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from autoencoder.evaluation.outputs import Outputs
from autoencoder.metrics.reconstruction import image_mse, psnr_db

log = logging.getLogger(__name__)

HIGH = 3.0  # standard deviations: an error further above the mean is called high


class Predictions(NamedTuple):
    """What the model makes of a batch; tensors are float32 on the CPU, unless it says otherwise.

    Attributes:
        names: [B] of the images.
        images, reconstructions: [B, C, H, W] in [-1, 1]; reconstructions may be outside.
        latents: [B, K].
        mse: [B] mean squared error per pixel.
        psnr: [B] in dB.
        nearest: [B] the training image with the nearest latents, see `ImageSet.train_source`.
        z_scores: [B] float64; NaN if the known errors do not vary.
    """

    names: Sequence[str]
    images: Tensor
    reconstructions: Tensor
    latents: Tensor
    mse: Tensor
    psnr: Tensor
    nearest: Sequence[str]
    z_scores: Tensor


class Predictor:
    """Applies a model to batches of any images, and compares each with the images that the model knows.

    Args: outputs, of the model on one of its data set's splits; the latents of the training images and the errors of
        the validation images are computed, or the errors of the training images if there is no validation split.
    Attributes:
        known: the split whose errors the z-scores refer to.
        mean, deviation: of the mse of its images; the deviation divides by their number.
    """

    def __init__(self, outputs: Outputs) -> None:
        from sklearn.neighbors import NearestNeighbors

        self.outputs = outputs
        self.known = outputs.on("val" if len(outputs.images.val) else "train")
        if self.known.name == "train":
            log.info("there are no validation images: z-scores refer to the errors of the training images")
        errors = self.known.errors.double()
        self.mean, self.deviation = errors.mean().item(), errors.std(correction=0).item()
        self._neighbours = NearestNeighbors(n_neighbors=1, algorithm="brute", metric="euclidean")
        self._neighbours.fit(outputs.on("train").latents.numpy())

    def predict(self, names: Sequence[str], images: Tensor) -> Predictions:
        """The model's outputs on a batch of images [B, C, H, W] in [-1, 1], in evaluation mode."""
        latents, reconstructions = self.outputs.apply(images)
        mse = image_mse(reconstructions, images)
        nearest = self._neighbours.kneighbors(latents.numpy(), return_distance=False)[:, 0]
        z_scores = (mse.double() - self.mean) / (self.deviation or torch.nan)
        sources = [self.outputs.images.train_source(index) for index in nearest.tolist()]
        return Predictions(names, images, reconstructions, latents, mse, psnr_db(mse), sources, z_scores)


class Case(NamedTuple):
    """An image, its reconstruction, both [C, H, W] in [-1, 1], the name of its file and its mse."""

    name: str
    image: Tensor
    reconstruction: Tensor
    mse: float


class Summary:
    """Counts predictions as they come, sums their errors, and keeps the images with the largest errors.

    Args: keep, how many images.
    Attributes:
        count: of all images.
        high: how many have a z-score above `HIGH`.
        worst: the images with the largest errors, largest first.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.count = self.high = 0
        self.worst: list[Case] = []
        self._mse = self._psnr = 0.0

    def add(self, batch: Predictions) -> None:
        """Takes in a batch."""
        self.count += len(batch.names)
        self.high += int((batch.z_scores > HIGH).sum())
        self._mse += batch.mse.double().sum().item()
        self._psnr += batch.psnr.double().sum().item()
        largest = batch.mse.argsort(descending=True, stable=True)[: self.keep].tolist()
        cases = [  # copies: parts of the batch would keep it all in memory
            Case(batch.names[i], batch.images[i].clone(), batch.reconstructions[i].clone(), batch.mse[i].item())
            for i in largest
        ]
        self.worst = sorted([*self.worst, *cases], key=lambda case: -case.mse)[: self.keep]

    @property
    def mse(self) -> float:
        """The mean of the mse."""
        return self._mse / self.count

    @property
    def psnr(self) -> float:
        """The mean of the psnr, in dB."""
        return self._psnr / self.count
