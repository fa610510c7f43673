"""Outputs: a model's latents, reconstructions and errors on the images of a split, each computed only once."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import chain

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from autoencoder.data.images import ImageSet, SplitName
from autoencoder.evaluation import Projection
from autoencoder.evaluation.pca import PCA, fit_pca
from autoencoder.evaluation.projection import project
from autoencoder.metrics import METRICS
from autoencoder.metrics.classes import Latents
from autoencoder.metrics.codes import Codes
from autoencoder.models.corruptions import Corruption, NoCorruption
from autoencoder.models.module import AutoencoderModule

SPLIT_TITLES: dict[SplitName, str] = {"train": "training", "val": "validation", "test": "test"}
RANDOM_SEED = 0  # of the untrained encoder, of corruptions and of samples


class Outputs:
    """A model's latents, reconstructions and errors on a split.

    Latents and errors are computed on first use and kept. Results are float32, on the CPU, in the images' order. The
    model runs on the images' device, in its own precision, in evaluation mode; its mode and all random states are
    restored afterwards. Do not change its weights while the outputs are in use.

    Args:
        model: its `encode` and `decode` are called; moved to the images' device.
        images: the data set.
        split: which of its splits.
        corruption: applied to the images before the model sees them, the same way in each pass; errors are those from
            its targets. None: the model sees the images as they are.
    Raises: ValueError for another split than these three, or one without images; TypeError if `images` is not a data
        set.
    """

    def __init__(
        self,
        model: AutoencoderModule | PCA,
        images: ImageSet,
        split: SplitName = "test",
        corruption: Corruption | None = None,
    ) -> None:
        if not isinstance(images, ImageSet):
            raise TypeError(f"`images` must be an ImageSet, such as datamodule.images, got {type(images).__name__}")
        if split not in SPLIT_TITLES:
            raise ValueError(f"`split` must be one of {', '.join(SPLIT_TITLES)}, got {split!r}")
        if not len(images.split(split)):
            raise ValueError(f"`split` {split} has no images: set the data module's val_size to more than 0")
        self.model = model.to(images.test.device)
        self.images = images
        self.name = split
        self.corruption = corruption or NoCorruption()
        self.split = images.split(split)
        self._latents: Tensor | None = None
        self._scores: dict[str, Tensor] = {}
        self._maps: dict[tuple[Projection, tuple[int, ...]], tuple[Tensor, tuple[str, str]]] = {}
        self._other_splits: dict[SplitName, Outputs] = {}

    def __len__(self) -> int:
        return len(self.split)

    @property
    def title(self) -> str:
        """What people call the split: training, validation or test."""
        return SPLIT_TITLES[self.name]

    @cached_property
    def labels(self) -> Tensor:
        """The class of each image, [N] int64; 0 for images without classes."""
        return self.split.labels.cpu()

    @cached_property
    def is_normal(self) -> Tensor:
        """Whether the class of each image is one that the model was trained on, [N] bool."""
        trained_on = torch.cat([self.images.train.labels, self.images.val.labels]).cpu().unique()
        return torch.isin(self.labels, trained_on)

    @property
    def has_anomalies(self) -> bool:
        """Whether there are images of classes that the model was trained on, and of others."""
        return bool(self.is_normal.any()) and not bool(self.is_normal.all())

    @property
    def latents(self) -> Tensor:
        """The latents of each image, [N, K]."""
        if self._latents is None:
            self._pass()
        assert self._latents is not None
        return self._latents

    @property
    def labelled_latents(self) -> Latents:
        """Latents and labels, for the classification metrics."""
        return Latents(self.latents, self.labels)

    def score(self, *names: str) -> dict[str, Tensor]:
        """The values [N], one per image, of the named reconstruction metrics; missing ones are computed in one pass.

        Args: names, rows of `METRICS`.
        """
        if missing := [name for name in names if name not in self._scores]:
            self._pass(*missing)
        return {name: self._scores[name] for name in names}

    @property
    def errors(self) -> Tensor:
        """The mean squared error per pixel of each image, [N], for images in [-1, 1]."""
        return self.score("mse")["mse"]

    def originals(self, indices: Tensor) -> Tensor:
        """The images at these indices, [B, C, H, W] in [-1, 1]."""
        return self.split.images(indices.to(self.split.device)).cpu()

    def seen(self, indices: Tensor) -> Tensor:
        """The images at these indices as the model sees them, [B, C, H, W]: corrupted if these outputs are."""
        with evaluating(self.model):
            return self.corruption(self.split.images(indices.to(self.split.device))).images.cpu()

    def reconstructions(self, indices: Tensor) -> Tensor:
        """The reconstructions of the images at these indices, [B, C, H, W] in [-1, 1], from what `seen` gives."""
        if self._latents is None or self.corruption.changes_images:  # a few images do not need a pass over all
            with evaluating(self.model):
                images = self.seen(indices).to(self.split.device, self._dtype)
                return self.decode(self.model.encode(images))
        return self.decode(self._latents[indices])

    def decode(self, latents: Tensor) -> Tensor:
        """Decodes `latents` [B, K] into images [B, C, H, W] in [-1, 1]."""
        with evaluating(self.model):
            return self.model.decode(latents.to(self.split.device, self._dtype)).float().cpu()

    def apply(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The latents [B, K] and reconstructions of any `images` [B, C, H, W] in [-1, 1], which are not kept."""
        with evaluating(self.model):
            latents = self.model.encode(images.to(self.split.device, self._dtype))
            return latents.float().cpu(), self.model.decode(latents).float().cpu()

    def on(self, split: SplitName) -> "Outputs":
        """The outputs of the same model on another split."""
        if split not in self._other_splits:
            self._other_splits[split] = Outputs(self.model, self.images, split)
        return self._other_splits[split]

    def map(self, projection: Projection, chosen: Tensor) -> tuple[Tensor, tuple[str, str]]:
        """The chosen images' latents in two dimensions: points [B, 2] and the axes' names, see `project`."""
        key = (projection, tuple(chosen.tolist()))
        if key not in self._maps:
            self._maps[key] = project(self.latents[chosen], projection)
        return self._maps[key]

    @cached_property
    def pca(self) -> "Outputs":
        """The outputs of PCA with as many components, fitted on the training images: the baseline of every run."""
        return Outputs(fit_pca(self.images.train, self.latents.shape[1]), self.images, self.name)

    @property
    def corrupts(self) -> bool:
        """Whether the model was trained on corrupted images."""
        return isinstance(self.model, AutoencoderModule) and self.model.corruption.changes_images

    @cached_property
    def corrupted(self) -> "Outputs":
        """The outputs of the same model from images corrupted as in training."""
        assert isinstance(self.model, AutoencoderModule)
        return Outputs(self.model, self.images, self.name, self.model.corruption)

    @cached_property
    def codes(self) -> Codes:
        """The latents, and what the bottleneck says of them; computed in a pass of its own if it says something."""
        details: dict[str, list[Tensor]] = {}
        if not isinstance(self.model, AutoencoderModule):
            return Codes(self.latents, {}, ())
        with evaluating(self.model):
            for images, _ in self.split.batches():
                code = self.model.code(images.to(self._dtype))
                if not code.details:
                    break
                rows = dict(code.details)
                if "samples" in rows:
                    reconstructions = self.model.decode(rows.pop("samples")).float()
                    rows["elbo"] = self.model.loss.log_likelihood(reconstructions, images) - rows["kl"].sum(1)
                for name, values in rows.items():
                    details.setdefault(name, []).append(values.cpu())
        joined = {name: torch.cat(values) for name, values in details.items()}
        return Codes(self.latents, joined, self.model.bottleneck.code_sizes)

    @cached_property
    def random(self) -> "Outputs":
        """The outputs of an untrained model of the same sizes, initialised with a fixed seed."""
        assert isinstance(self.model, AutoencoderModule)
        with torch.random.fork_rng(devices=[]):  # weights are initialised on the CPU
            torch.manual_seed(RANDOM_SEED)
            return Outputs(self.model.untrained(), self.images, self.name)

    @property
    def _dtype(self) -> torch.dtype:
        return next(chain(self.model.parameters(), self.model.buffers())).dtype

    def _pass(self, *names: str) -> None:
        """Passes the images through the model, batch by batch; the encoder runs only the first time."""
        known, encoded = self._latents, torch.empty(0)
        functions = {name: METRICS[name].function for name in names}
        values = {name: torch.empty(len(self)) for name in names}
        with evaluating(self.model):
            start = 0
            for images, _ in self.split.batches():
                batch = slice(start, start + len(images))
                images, targets = self.corruption(images)
                if known is None:
                    latents = self.model.encode(images.to(self._dtype))
                    if not start:
                        encoded = torch.empty(len(self), latents.shape[1])
                    encoded[batch] = latents.float()
                else:
                    latents = known[batch].to(images.device, self._dtype)
                if functions:
                    reconstructions = self.model.decode(latents).float()
                    for name, function in functions.items():
                        values[name][batch] = function(reconstructions, targets)
                start = batch.stop
        # Kept only now: after a pass that failed halfway nothing is known.
        self._latents = encoded if known is None else known
        self._scores |= values


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, with random numbers that are the same each time.

    Restores each submodule's mode and all random states afterwards.
    """
    modes = {part: part.training for part in model.modules()}
    failure: BaseException | None = None
    model.eval()
    try:
        with torch.inference_mode(), isolate_rng():
            torch.manual_seed(RANDOM_SEED)
            try:
                yield
            except BaseException as error:  # passed on below: isolate_rng restores nothing after an error
                failure = error
    finally:
        for part, training in modes.items():
            part.training = training
    if failure:
        raise failure
