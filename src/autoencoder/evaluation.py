"""What a trained model is worth: the figures of each split, with PCA's beside them."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from autoencoder.datamodule import ImageDataModule
from autoencoder.metrics import ReconstructionError
from autoencoder.module import AutoencoderModule
from autoencoder.pca import fit_pca
from autoencoder.pixels import normalize


def measure(reconstruct: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """mse, sse and psnr of reconstructions, exact over all the images in `batches`.

    Args:
        reconstruct: from images [B, C, H, W] in [-1, 1] to the same.
        batches: (pixels [B, C, H, W] uint8, labels).
    """
    error: ReconstructionError | None = None
    with torch.inference_mode():
        for pixels, _ in batches:
            images = normalize(pixels)
            error = error or ReconstructionError(sync_on_compute=False).to(images.device)
            error.update(reconstruct(images), images)
    if error is None:
        raise ValueError("`batches` holds no images to measure on")
    return error.compute()


def evaluate(module: AutoencoderModule, datamodule: ImageDataModule) -> dict[str, float | None]:
    """The figures of `module` on every split and of PCA on the test images, named as in `metrics.json`.

    Test images take no part in any choice: PCA is fitted on the training images alone.
    """
    module.eval().to(datamodule.images.test_images.device)
    figures: dict[str, float | None] = {
        "train/mse": measure(module, datamodule.evaluation_batches("train"))["mse"],
        "val/mse": measure(module, datamodule.evaluation_batches("val"))["mse"] if datamodule.val_size else None,
    }
    test = measure(module, datamodule.evaluation_batches("test"))
    pca = fit_pca(datamodule.evaluation_batches("train"), module.latent_dim)
    linear = measure(pca, datamodule.evaluation_batches("test"))
    figures |= {f"test/{name}": value for name, value in test.items()}
    figures |= {f"pca/test_{name}": value for name, value in linear.items()}
    return figures
