"""AutoencoderModule, the LightningModule: the network, the training step, and the errors measured during training."""

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from math import isfinite
from typing import Annotated, Any, ClassVar, Self

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from pydantic import Field
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from autoencoder.errors import InputError
from autoencoder.limits import Count, checked
from autoencoder.metrics.reconstruction import ReconstructionError
from autoencoder.models.networks import Activation, EncoderDecoder, MLPAutoencoder
from autoencoder.optim.optimizers import muon, of_module
from autoencoder.optim.schedulers import linear, of_run, steps_of_run

Batch = tuple[Tensor, Tensor]  # images [B, C, H, W] in [-1, 1], labels [B]
ImageShape = Annotated[Sequence[Count], Field(min_length=3, max_length=3)]  # channels, height, width
LOOK_EVERY = 10  # steps between two checks for an infinite or NaN loss: each check makes a GPU wait


class DivergenceError(InputError):
    """The loss or the weights have become infinite or NaN."""

    def __init__(self, trainer: Trainer) -> None:
        group = trainer.optimizers[0].param_groups[0]
        rate, peak = group["lr"], group.get("initial_lr", group["lr"])
        super().__init__(
            f"training diverged in epoch {trainer.current_epoch + 1}, step {trainer.global_step}, at a learning rate "
            f"of {rate:.3g}, {peak:.3g} at its peak: values are infinite or NaN; lower optimizer.lr and run again"
        )


def plain(name: str, value: Any) -> Any:
    """Converts an argument to plain values for a checkpoint: int, float, str, bool, None, and lists and dicts of them.

    Raises: TypeError for anything else.
    """
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(name, one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): plain(name, one) for key, one in value.items()}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(
        f"`{name}` is a {type(value).__name__}, and a checkpoint holds plain values: pass a number, a string, or a "
        "list or dict of these, or add it to the class's NOT_SAVED"
    )


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
    """A fully-connected autoencoder, trained on the mean squared error of its reconstructions.

    The checkpoint holds the network's arguments as plain values, but not the optimiser and the schedule, so that
    `AutoencoderModule.load_from_checkpoint(path)` needs nothing else. A subclass's arguments are saved, too, except
    those in `NOT_SAVED`.

    Args:
        latent_dim: width of the bottleneck.
        hidden_dims: widths of the encoder's hidden layers, from the image to the bottleneck; the decoder mirrors them.
        activation: between the layers.
        image_shape: channels, height and width of the images; None for MNIST's, (1, 28, 28).
        compile: compile the network with torch.compile; a checkpoint's keys stay the same.
        optimizer: function that makes the optimiser from this module, or a torch optimiser class; None for `muon`
            with its defaults.
        scheduler: function that makes the schedule from the optimiser and the number of steps, or a torch scheduler
            class; None for `linear`.
    Raises:
        ValueError: for an argument of a wrong type or out of range.
    """

    NOT_SAVED: ClassVar[tuple[str, ...]] = ("compile", "optimizer", "scheduler")  # they do not change the network
    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Notes all arguments of a subclass, since `AutoencoderModule.__init__` sees only its own."""
        module = super().__new__(cls)
        bound = signature(cls.__init__).bind_partial(module, *args, **kwargs)
        bound.apply_defaults()
        arguments = dict(list(bound.arguments.items())[1:])  # without self
        for parameter in bound.signature.parameters.values():
            if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
                more = arguments.pop(parameter.name)
                arguments |= more if isinstance(more, dict) else {}
        object.__setattr__(module, "_arguments", arguments)
        return module

    @checked
    def __init__(
        self,
        latent_dim: Count = 32,
        hidden_dims: Sequence[Count] = (128, 64),
        activation: Activation = "relu",
        image_shape: ImageShape | None = None,
        compile: bool = False,
        optimizer: Callable[..., Any] | None = None,
        scheduler: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        hidden_dims, image_shape = list(hidden_dims), list(image_shape or (1, 28, 28))
        own = self._arguments | ({"image_shape": image_shape} if "image_shape" in self._arguments else {})
        saved = {name: plain(name, value) for name, value in own.items() if name not in self.NOT_SAVED}
        self.save_hyperparameters(saved, logger=False)
        self.latent_dim = latent_dim
        self.image_shape = torch.Size(image_shape)
        self.network: EncoderDecoder = MLPAutoencoder(image_shape, hidden_dims, latent_dim, activation)
        if compile:
            self.network.compile()
        self.make_optimizer: Callable[[LightningModule], Optimizer] = of_module(optimizer or muon)
        self.make_scheduler: Callable[[Optimizer, int | None], LRScheduler] = of_run(scheduler or linear)
        self.first_optimizer_state: dict[int, Any] | None = None  # set by a run that starts from a checkpoint
        self.train_loss_sum = torch.zeros(())  # over the images of this epoch so far
        self.train_images = 0
        self.measured: dict[str, float] = {}  # in this epoch
        self._goes_on = False
        self.val_error = ReconstructionError()
        self.test_error = ReconstructionError()

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructs `images` [B, C, H, W] in [-1, 1], with the same shape and range.

        Raises: ValueError for images of another shape.
        """
        self._check_shape(images)
        return self.network(images)

    def encode(self, images: Tensor) -> Tensor:
        """Encodes `images` [B, C, H, W] in [-1, 1] into latents [B, latent_dim], which have no bounds.

        Raises: ValueError for images of another shape.
        """
        self._check_shape(images)
        return self.network.encoder(images)

    def decode(self, latents: Tensor) -> Tensor:
        """Decodes `latents` [B, latent_dim] into images [B, C, H, W] in [-1, 1]."""
        return self.network.decoder(latents)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean squared error over the pixels and images of a batch.

        `train/mse` is the epoch's mean of these, so the weights change while it is measured.
        """
        images = images_of(batch)
        loss = mse_loss(self(images), images)
        # Summed here and logged once per epoch, since `self.log` in every step takes up to a third of the step.
        self.train_loss_sum.add_(loss.detach(), alpha=len(images))
        self.train_images += len(images)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Raises: DivergenceError, at most `LOOK_EVERY` steps after the loss has become infinite or NaN."""
        if batch_idx % LOOK_EVERY == 0 and not isfinite(self.train_loss_sum.item()):  # NaN and infinity stay in a sum
            raise DivergenceError(self.trainer)

    def on_train_start(self) -> None:
        self.train_loss_sum = self.train_loss_sum.to(self.device)  # from a checkpoint within an epoch
        if self._goes_on:
            self._keep_own_settings()

    def on_train_epoch_start(self) -> None:
        self.train_loss_sum = torch.zeros((), device=self.device)
        self.train_images = 0
        self.measured = {}

    def on_train_epoch_end(self) -> None:
        """Logs `train/mse`, also for an epoch that was cut short.

        It is written to the loggers directly, before the checkpoint notes the length of their files; Lightning would
        write it afterwards.
        """
        error = self.epoch_errors().get("train/mse")
        if error is not None:
            self.log("train/mse", error, logger=False, sync_dist=True)  # all processes have the same value
            for logger in self.loggers:
                logger.log_metrics({"train/mse": error, "epoch": self.current_epoch}, step=self.global_step - 1)

    def epoch_errors(self) -> dict[str, float]:
        """`train/mse` and `val/mse` of this epoch, without those that were not measured.

        Call it at the end of an epoch, and in all processes, since they average their errors.
        """
        if "train/mse" not in self.measured and self.train_images:
            # All processes have the same number of images, so the mean of their means is exact.
            mean = self.trainer.strategy.reduce(self.train_loss_sum / self.train_images, reduce_op="mean")
            self.measured["train/mse"] = float(mean)
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
        """Adds the names of the model's and the optimiser's classes, and the sums of the epoch so far."""
        checkpoint["model"] = model_name(type(self))
        checkpoint["optimizer"] = type(self.trainer.optimizers[0]).__name__
        mean_of_processes = self.trainer.strategy.reduce(self.train_loss_sum.clone(), reduce_op="mean")
        checkpoint["epoch_so_far"] = {
            "loss_sum": float(mean_of_processes),
            "images": self.train_images,
            "measured": {name: error for name, error in self.measured.items() if name != "train/mse"},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the sums of the epoch in which the run was stopped."""
        self._goes_on = True
        so_far = checkpoint.get("epoch_so_far", {"loss_sum": 0.0, "images": 0, "measured": {}})
        self.train_loss_sum, self.train_images = torch.tensor(so_far["loss_sum"]), so_far["images"]
        self.measured = dict(so_far["measured"])

    def _keep_own_settings(self) -> None:
        """Restores the rates and decays of this run's config, which the checkpoint's optimiser state overwrote."""
        schedulers = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        if not schedulers or not isinstance(schedulers[0], LambdaLR):  # others change rates and decays in their own way
            return
        optimizer, scheduler = self.trainer.optimizers[0], schedulers[0]
        scheduler.base_lrs = [settings["lr"] for settings in self._own_settings]
        for group, settings, factor in zip(
            optimizer.param_groups, self._own_settings, scheduler.lr_lambdas, strict=True
        ):
            now = settings["lr"] * factor(scheduler.last_epoch)
            group.update(settings | {"initial_lr": settings["lr"], "lr": now})

    def _check_shape(self, images: Tensor) -> None:
        if images.shape[1:] != self.image_shape:
            raise ValueError(f"`images` must be [B, {', '.join(map(str, self.image_shape))}], got {list(images.shape)}")
        if not images.is_floating_point():
            raise ValueError(f"`images` must be floats in [-1, 1], got {images.dtype}: pixels / 127.5 - 1")
