"""The view of reconstructions."""

from lightning.pytorch import Trainer

from autoencoder.callbacks.views import View, decode, encode, log_image
from autoencoder.data.datamodule import ImageDataModule
from autoencoder.models.module import AutoencoderModule
from autoencoder.pictures.reconstructions import first_test_images, reconstruction_grid


class Reconstructions(View):
    """The fixed test images over their reconstructions; epoch 0 is the network before training."""

    first_epoch = 0

    def show(self, trainer: Trainer, module: AutoencoderModule, datamodule: ImageDataModule, epoch: int) -> None:
        images = first_test_images(datamodule)
        grid = reconstruction_grid(images, decode(module, encode(module, images)))
        log_image(trainer, "reconstructions", grid, epoch)
