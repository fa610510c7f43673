"""Measures error against bits per image: `python benchmarks/rate_distortion.py SWEEP… > rate_distortion.csv`.

A row per method and setting, on MNIST's 10,000 test images: models with codes as trained (fsq, vq); the latents of
plain models, and principal components, rounded to a number of bits each; JPEG and WebP files.
"""

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from autoencoder.data.images import ImageSet
from autoencoder.evaluation.outputs import Outputs
from autoencoder.evaluation.pca import fit_pca
from autoencoder.pictures.panels import to_pixels
from autoencoder.runs.checkpoints import restore
from autoencoder.runs.jobs import Job, find_runs

PCA_COMPONENTS = 256
PCA_BITS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
LATENT_BITS = range(1, 9)
TAIL = 1e-3  # share of the training images' values beyond each end of a quantiser's range
QUALITIES = (1, 5, 10, 20, 30, 50, 70, 80, 90, 95)
WEBP_HEADERS = 30  # bytes: the RIFF container (RFC 9649, 2.3 and 2.5), the frame's start (RFC 6386, 9.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sweeps", nargs="+", help="their folders; those of model/bottleneck=identity, fsq and vq count")
    jobs = [job for job in find_runs(parser.parse_args().sweeps) if job.status == "finished"]
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(("method", "setting", "seed", "bits_per_image", "test/mse"))
    plain = [job for job in jobs if job.value("model/bottleneck") == "identity"]
    for job in jobs:
        if job.metrics.get("test/bits_per_image"):
            setting = f"{job.metrics['latent_dim']} latents"
            bits, mse = job.metrics["test/bits_per_image"], job.metrics["test/mse"]
            table.writerow((job.value("model/bottleneck"), setting, job.metrics["seed"], bits, mse))
    for job in plain:
        table.writerows(quantised_latents(job))
    images = restore(plain[0].folder / "checkpoints" / "best.ckpt")[1].images
    table.writerows(quantised_pca(images))
    for kind, payload in (("JPEG", jpeg_payload), ("WebP", webp_payload)):
        table.writerows(compressed_files(images, kind, payload))


def quantised_latents(job: Job) -> Iterator[tuple[Any, ...]]:
    """Rows of a plain model with its latents rounded to 1 to 8 bits each."""
    module, datamodule = restore(job.folder / "checkpoints" / "best.ckpt")
    outputs = Outputs(module, datamodule.images)
    train, latents = outputs.on("train").latents, outputs.latents
    for bits in LATENT_BITS:
        rounded = quantise(train, latents, torch.full((latents.shape[1],), bits))
        error = mean_error(outputs.decode(rounded), datamodule.images)
        setting = f"{latents.shape[1]} latents of {bits} bits"
        yield "quantised latents", setting, job.metrics["seed"], bits * latents.shape[1], error


def quantised_pca(images: ImageSet) -> Iterator[tuple[Any, ...]]:
    """Rows of transform coding: each bit goes to the component whose error is largest, which it reduces to a quarter.

    That is the optimal allocation at high rates (Gersho and Gray, 1992, section 8.3).
    """
    pca = fit_pca(images.train, PCA_COMPONENTS)
    train, test = (
        torch.cat([pca.encode(batch) for batch, _ in split.batches()]) for split in (images.train, images.test)
    )
    errors, bits = train.var(0), torch.zeros(PCA_COMPONENTS, dtype=torch.long)
    for spent in range(1, max(PCA_BITS) + 1):
        chosen = errors.argmax()
        bits[chosen] += 1
        errors[chosen] /= 4
        if spent in PCA_BITS:
            reconstructions = pca.decode(quantise(train, test, bits)).clamp(-1, 1)
            setting = f"{int((bits > 0).sum())} components"
            yield "quantised PCA", setting, "", spent, mean_error(reconstructions, images)


def quantise(train: Tensor, values: Tensor, bits: Tensor) -> Tensor:
    """Rounds each column of `values` [N, K] to 2 ** bits [K] evenly spaced values; with 0 bits, to its mean.

    The range of a column is that of `train` [M, K], without its tails.
    """
    columns = []
    for known, column, count in zip(train.T, values.T, (2**bits).tolist(), strict=True):
        low, high = (known.quantile(share) for share in (TAIL, 1 - TAIL))
        step = (high - low) / count
        cells = ((column - low) / step).floor().clamp(0, count - 1)
        columns.append(low + (cells + 0.5) * step if count > 1 else known.mean().expand_as(column))
    return torch.stack(columns, 1)


def compressed_files(images: ImageSet, kind: str, payload: Callable[[bytes], int]) -> Iterator[tuple[Any, ...]]:
    """Rows of a file format at several qualities: of whole files, and of these without their headers."""
    pixels = torch.cat([to_pixels(batch) for batch, _ in images.test.batches()]).squeeze(1).numpy()
    for quality in QUALITIES:
        sizes, payloads, decoded = 0, 0, []
        for picture in pixels:
            file = BytesIO()
            Image.fromarray(picture).save(file, kind, quality=quality, **({"method": 6} if kind == "WebP" else {}))
            sizes += file.tell()
            payloads += payload(file.getvalue())
            decoded.append(torch.frombuffer(bytearray(Image.open(file).convert("L").tobytes()), dtype=torch.uint8))
        reconstructions = torch.stack(decoded).float().view(len(pixels), *images.image_shape) / 127.5 - 1
        error = mean_error(reconstructions, images)
        for what, total in (("", sizes), (", no headers", payloads)):
            yield f"{kind}{what}", f"quality {quality}", "", 8 * total / len(pixels), error


def jpeg_payload(file: bytes) -> int:
    """Bytes of the entropy-coded scan, without its header (ITU T.81, B.2.3) and the marker at the file's end."""
    start = file.index(b"\xff\xda")
    return len(file) - (start + 2 + int.from_bytes(file[start + 2 : start + 4])) - 2


def webp_payload(file: bytes) -> int:
    """Bytes of the lossy frame's partitions."""
    return len(file) - WEBP_HEADERS


def mean_error(reconstructions: Tensor, images: ImageSet) -> float:
    """Mean squared error per pixel of `reconstructions` [N, C, H, W] of the test images, all in [-1, 1]."""
    originals = torch.cat([batch for batch, _ in images.test.batches()])
    return (reconstructions - originals).square().double().mean().item()


if __name__ == "__main__":
    main()
