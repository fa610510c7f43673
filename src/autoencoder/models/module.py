"""AutoencoderModule, the LightningModule: its parts, the training step, and the errors measured during training."""

from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any, Self

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from pydantic import Field
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from autoencoder.errors import InputError
from autoencoder.limits import Count, checked
from autoencoder.metrics.reconstruction import ReconstructionError
from autoencoder.models.bottlenecks import Bottleneck, Code
from autoencoder.models.bottlenecks.identity import Identity
from autoencoder.models.corruptions import Corruption, NoCorruption
from autoencoder.models.divergence import DivergenceError
from autoencoder.models.epoch_sums import EpochSums
from autoencoder.models.losses import MSE, Loss
from autoencoder.models.networks import Network
from autoencoder.models.networks.mlp import MLP
from autoencoder.models.parts import Part, build_part, check_packages
from autoencoder.optim.optimizers import muon, of_module
from autoencoder.optim.schedulers import keep_settings, linear, of_run, steps_of_run

Batch = tuple[Tensor, Tensor]  # images [B, C, H, W] in [-1, 1], labels [B]
ImageShape = Annotated[Sequence[Count], Field(min_length=3, max_length=3)]  # channels, height, width
FORMAT_VERSION = 1  # of checkpoints and exports; raise it if older code would misread new ones. Older ones have none
LOOK_EVERY = 10  # steps between two checks for an infinite or NaN loss: each check makes a GPU wait


def model_name(model: type[LightningModule]) -> str:
    """The class name saved in a checkpoint: the full import path, or just `AutoencoderModule` for that class."""
    return model.__name__ if model is AutoencoderModule else f"{model.__module__}.{model.__qualname__}"


def images_of(batch: Batch) -> Tensor:
    """The images of a batch (images, labels).

    Raises: ValueError for a batch of another kind.
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise ValueError(
            "a batch must be (images, labels), like those of the data module or of DataLoader(TensorDataset(images, "
            f"labels)), got {type(batch).__name__}"
        )
    return batch[0]


class AutoencoderModule(LightningModule):
    """An autoencoder of four parts, network, bottleneck, corruption and loss, and how it trains.

    In Python a part is a class, or a functools.partial of one with its settings:
    `AutoencoderModule(latent_dim=8, bottleneck=partial(Variational, beta=4.0))`. A checkpoint holds the parts as plain
    data, but not the optimiser and the schedule, so that `AutoencoderModule.load_from_checkpoint(path)` needs nothing
    else. A subclass with arguments of its own saves them with `self.save_hyperparameters("NAME", logger=False)`.

    Args:
        latent_dim: width of the latents.
        network: a `Network`; None for `MLP` with its defaults.
        bottleneck: a `Bottleneck`; None for `Identity`.
        corruption: a `Corruption`; None for `NoCorruption`.
        loss: a `Loss`; None for `MSE`.
        image_shape: channels, height and width of the images; None for MNIST's, (1, 28, 28).
        compile: compile the network with torch.compile; a checkpoint's keys stay the same.
        optimizer: function that makes the optimiser from this module, or a torch optimiser class; None for `muon`
            with its defaults.
        scheduler: function that makes the schedule from the optimiser and the number of steps, or a torch scheduler
            class; None for `linear`.
    Raises:
        ValueError: for an argument of a wrong type or out of range.
        InputError: for parts that do not fit together.
    """

    @checked
    def __init__(
        self,
        latent_dim: Count = 32,
        network: Part | None = None,
        bottleneck: Part | None = None,
        corruption: Part | None = None,
        loss: Part | None = None,
        image_shape: ImageShape | None = None,
        compile: bool = False,
        optimizer: Callable[..., Any] | None = None,
        scheduler: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.image_shape = torch.Size(image_shape or (1, 28, 28))
        latents = {"latent_dim": latent_dim}
        self.loss, loss_data = build_part("loss", loss or MSE, Loss, {})
        self.bottleneck, bottleneck_data = build_part("bottleneck", bottleneck or Identity, Bottleneck, latents)
        self.bottleneck.loss_per_nat = self.loss.per_nat / self.image_shape.numel()
        sizes = {"image_shape": list(self.image_shape), "encoded_dim": self.bottleneck.encoded_dim, **latents}
        self.network, network_data = build_part("network", network or MLP, Network, sizes)
        self.corruption, corruption_data = build_part("corruption", corruption or NoCorruption, Corruption, {})
        parts = {
            "network": network_data,
            "bottleneck": bottleneck_data,
            "corruption": corruption_data,
            "loss": loss_data,
        }
        self.save_hyperparameters(latents | {"image_shape": list(self.image_shape)} | parts, logger=False)
        if compile:
            self.network.encoder.compile()
            self.network.decoder.compile()
        self.make_optimizer: Callable[[LightningModule], Optimizer] = of_module(optimizer or muon)
        self.make_scheduler: Callable[[Optimizer, int | None], LRScheduler] = of_run(scheduler or linear)
        self.first_optimizer_state: dict[int, Any] | None = None  # set by a run that starts from a checkpoint
        self.train_sums = EpochSums()  # of `mse` and the penalties
        self.measured: dict[str, float] = {}  # in this epoch
        self._goes_on = False
        self._total_steps = 1
        self.val_error = ReconstructionError()
        self.test_error = ReconstructionError()

    @classmethod
    def load_from_checkpoint(
        cls, checkpoint_path: Any, *args: Any, allow_packages: Collection[str] = (), **kwargs: Any
    ) -> Self:
        """As Lightning's; refuses a checkpoint whose parts are outside this package and `allow_packages`.

        `autoencoder.load` also checks the file, for one that was damaged or that you do not trust.

        Raises: InputError for such a checkpoint.
        """
        saved = torch.load(checkpoint_path, map_location="cpu", weights_only=True)
        check_packages(saved.get("hyper_parameters", {}), allow_packages, checkpoint_path)
        return super().load_from_checkpoint(checkpoint_path, *args, **kwargs)

    def untrained(self) -> Self:
        """A model of the same parts with new random weights."""
        return type(self)(**dict(self.hparams))

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructs `images` [B, C, H, W] in [-1, 1], with the same shape and range.

        Raises: ValueError for images of another shape.
        """
        return self.decode(self.encode(images))

    def encode(self, images: Tensor) -> Tensor:
        """Encodes `images` [B, C, H, W] in [-1, 1] into latents [B, latent_dim].

        Raises: ValueError for images of another shape.
        """
        return self.code(images).latents

    def code(self, images: Tensor) -> Code:
        """What the bottleneck makes of `images` [B, C, H, W] in [-1, 1]: their latents, and what metrics need.

        Raises: ValueError for images of another shape.
        """
        self._check_shape(images)
        code: Code = self.bottleneck(self.network.encoder(images))
        return code

    def decode(self, latents: Tensor) -> Tensor:
        """Decodes `latents` [B, latent_dim] into images [B, C, H, W] in [-1, 1]."""
        images: Tensor = self.network.decoder(latents)
        return images

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch, with the bottleneck's penalties.

        `train/mse` is the epoch's mean of the mean squared error, so the weights change while it is measured.
        """
        corrupted, targets = self.corruption(images_of(batch))
        code = self.code(corrupted)
        reconstructions = self.decode(code.latents)
        loss = self.loss(reconstructions, targets)
        mse = loss if type(self.loss) is MSE else mse_loss(reconstructions, targets)
        self.train_sums.add(len(targets), {"mse": mse, **code.penalties})
        return sum(code.penalties.values(), start=loss)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        if self.bottleneck.warmup:
            self.bottleneck.progress = self.trainer.global_step / self._total_steps

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Raises: DivergenceError, at most `LOOK_EVERY` steps after the error has become infinite or NaN."""
        if batch_idx % LOOK_EVERY == 0 and not self.train_sums.is_finite("mse"):
            raise DivergenceError(self.trainer)

    def on_train_start(self) -> None:
        """Raises: InputError for a warm-up in a run without a fixed end."""
        self.train_sums.to(self.device)  # from a checkpoint within an epoch
        if self._goes_on:
            keep_settings(self.trainer, self._own_settings)
        if self.bottleneck.warmup:
            steps = steps_of_run(self.trainer)
            if steps is None:
                raise InputError(
                    "model.bottleneck.warmup is a share of the run, which has no fixed end: set trainer.max_epochs or "
                    "trainer.max_steps, or set warmup to 0"
                )
            self._total_steps = steps

    def on_train_epoch_start(self) -> None:
        self.train_sums = EpochSums()
        self.measured = {}

    def on_train_epoch_end(self) -> None:
        """Logs `train/mse` and the penalties, also for an epoch that was cut short.

        They are written to the loggers directly, before the checkpoint notes the length of their files; Lightning would
        write them afterwards.
        """
        errors = {name: value for name, value in self.epoch_errors().items() if name.startswith("train/")}
        if errors:
            self.log_dict(errors, logger=False, sync_dist=True)  # all processes have the same values
            for logger in self.loggers:
                logger.log_metrics({**errors, "epoch": self.current_epoch}, step=self.global_step - 1)

    def epoch_errors(self) -> dict[str, float]:
        """`train/mse`, the penalties and `val/mse` of this epoch, without those that were not measured.

        Call it at the end of an epoch, and in all processes, since they average their errors.
        """
        if "train/mse" not in self.measured and self.train_sums.images:
            means = self.train_sums.means(self.trainer.strategy.reduce)
            self.measured |= {f"train/{name}": mean for name, mean in means.items()}
        return dict(self.measured)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images = images_of(batch)
        self.val_error.update(self(images), images)

    def on_validation_epoch_end(self) -> None:
        """Logs `val/mse`."""
        mse = self.val_error.compute()["mse"]
        self.val_error.reset()
        self.log("val/mse", mse, sync_dist=True)
        if not self.trainer.sanity_checking:
            self.measured["val/mse"] = mse

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        images = images_of(batch)
        self.test_error.update(self(images), images)

    def on_test_epoch_end(self) -> None:
        """Logs `test/mse`, `test/sse` and `test/psnr`."""
        self.log_dict({f"test/{name}": value for name, value in self.test_error.compute().items()}, sync_dist=True)
        self.test_error.reset()

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The reconstructions of a batch, [B, C, H, W] in [-1, 1]."""
        images = images_of(batch)
        reconstructions: Tensor = self(images)
        return reconstructions

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser, and the schedule over the run's number of steps, updated at each step.

        Raises: InputError if the schedule needs the number of steps and the run has none.
        """
        optimizer = self.make_optimizer(self)
        self._own_settings = [{key: group[key] for key in group if key != "params"} for group in optimizer.param_groups]
        if self.first_optimizer_state is not None:
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": self.first_optimizer_state, "param_groups": groups})
        scheduler = self.make_scheduler(optimizer, steps_of_run(self.trainer))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the format's version, the names of the model's and the optimiser's classes, and the epoch so far."""
        checkpoint["format_version"] = FORMAT_VERSION
        checkpoint["model"] = model_name(type(self))
        checkpoint["optimizer"] = type(self.trainer.optimizers[0]).__name__
        checkpoint["epoch_so_far"] = self.train_sums.state(self.trainer.strategy.reduce) | {
            "measured": {name: error for name, error in self.measured.items() if not name.startswith("train/")}
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the sums of the epoch in which the run was stopped."""
        self._goes_on = True
        so_far = checkpoint.get("epoch_so_far", {"sums": {}, "images": 0, "measured": {}})
        self.train_sums.load(so_far)
        self.measured = dict(so_far["measured"])

    def _check_shape(self, images: Tensor) -> None:
        if images.shape[1:] != self.image_shape:
            raise ValueError(f"`images` must be [B, {', '.join(map(str, self.image_shape))}], got {list(images.shape)}")
        if not images.is_floating_point():
            raise ValueError(f"`images` must be floats in [-1, 1], got {images.dtype}: pixels / 127.5 - 1")
