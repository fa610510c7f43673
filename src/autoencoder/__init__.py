"""Autoencoders for images: models, data, training and the evaluation of reconstructions.

The public names are imported on first use, so that a config can be checked without importing torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoencoder.data.datamodule import ImageDataModule as ImageDataModule
    from autoencoder.models.module import AutoencoderModule as AutoencoderModule
    from autoencoder.runs.checkpoints import load as load

_HOMES = {
    "AutoencoderModule": "autoencoder.models.module",
    "ImageDataModule": "autoencoder.data.datamodule",
    "load": "autoencoder.runs.checkpoints",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'autoencoder' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
