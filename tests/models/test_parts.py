"""Every combination of parts in configs/model trains, repeats, and is rebuilt from its checkpoint alone."""

from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import lightning
import pytest
import torch
from conftest import ROOT, refuse_here
from lightning.pytorch import Trainer
from omegaconf import OmegaConf
from torch.nn.functional import mse_loss

import train
from autoencoder import AutoencoderModule, load
from autoencoder.data.images import ImageSet
from autoencoder.errors import InputError
from autoencoder.evaluation.evaluate import evaluate
from autoencoder.evaluation.outputs import Outputs
from autoencoder.models.bottlenecks.variational import Variational
from autoencoder.models.corruptions import Gaussian
from autoencoder.models.networks.conv import Conv
from autoencoder.models.networks.mlp import MLP
from autoencoder.models.parts import foreign_packages
from autoencoder.pictures.panels import reconstructions
from autoencoder.runs.model_of_checkpoint import build_model

GROUPS = ("network", "bottleneck", "corruption", "loss")


def read_part(group: str, name: str) -> dict[str, object]:
    """A part's config, as the plain data that a module takes."""
    part = OmegaConf.to_container(OmegaConf.load(ROOT / "configs" / "model" / group / f"{name}.yaml"))
    return {key: value for key, value in part.items() if key != "_partial_"}


FILES = {group: sorted(path.stem for path in (ROOT / "configs" / "model" / group).glob("*.yaml")) for group in GROUPS}
COMBINATIONS = list(product(*FILES.values()))


def make(network="mlp", bottleneck="identity", corruption="none", loss="mse", latent_dim=16, shape=(1, 28, 28), **own):
    names = {"network": network, "bottleneck": bottleneck, "corruption": corruption, "loss": loss}
    torch.manual_seed(0)
    return AutoencoderModule(
        latent_dim, **{group: read_part(group, name) for group, name in names.items()}, image_shape=shape, **own
    )


def save(module: AutoencoderModule, path: Path) -> None:
    """Saves what a load needs."""
    saved = {"hyper_parameters": dict(module.hparams), "state_dict": module.state_dict()}
    torch.save(saved | {"pytorch-lightning_version": lightning.__version__}, path)


@pytest.mark.parametrize("names", COMBINATIONS, ids="-".join)
def test_each_combination_trains_repeats_and_is_rebuilt_from_its_checkpoint(names, digits, tmp_path):
    module = make(*names)
    images = digits.images.train.images(slice(32))
    module.trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    loss = module.training_step((images, torch.zeros(32)), 0)
    assert loss.shape == () and loss.isfinite()
    loss.backward()
    first = next(module.network.encoder.parameters())
    assert first.grad is not None and first.grad.abs().sum() > 0
    module.eval()
    latents, reconstructions = module.encode(images), module(images)
    assert latents.shape == (32, 16) and reconstructions.shape == images.shape
    assert reconstructions.abs().max() <= 1
    assert torch.equal(module(images), reconstructions)
    path = tmp_path / "one.ckpt"
    save(module, path)
    packages = foreign_packages(module.hparams)  # of parts that a fork adds
    again = AutoencoderModule.load_from_checkpoint(path, map_location="cpu", allow_packages=packages).eval()
    assert again.hparams == module.hparams
    assert torch.equal(again(images), reconstructions)


@pytest.mark.parametrize("bottleneck", FILES["bottleneck"])
def test_each_bottleneck_is_measured(bottleneck, digits):
    outputs = Outputs(make(bottleneck=bottleneck), few(digits.images))
    measured = evaluate(outputs)
    expected = {
        "identity": set(),
        "variational": {"kl", "elbo", "active_units"},
        "sparse": {"active_share", "dead_latents"},
        "top_k": {"active_share", "dead_latents"},
        "fsq": {"codebook_use", "perplexity", "bits_per_image"},
        "vq": {"codebook_use", "perplexity", "bits_per_image"},
    }
    found = {name.removeprefix("test/") for name in measured if name.startswith("test/")}
    assert found - {"mse", "sse", "psnr", "ssim"} == expected.get(bottleneck, found - {"mse", "sse", "psnr", "ssim"})
    assert measured == evaluate(Outputs(outputs.model, outputs.images))


@pytest.mark.parametrize("bottleneck", FILES["bottleneck"])
def test_looking_changes_no_bottleneck(bottleneck, digits):
    module = make(bottleneck=bottleneck)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.get_rng_state()
    evaluate(Outputs(module, few(digits.images)))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def few(images: ImageSet) -> ImageSet:
    """A set of a few images."""
    splits = {name: images.split(name) for name in ("train", "val", "test")}
    return replace(
        images, **{name: replace(one, pixels=one.pixels[:64], labels=one.labels[:64]) for name, one in splits.items()}
    )


@pytest.mark.parametrize("corruption", [name for name in FILES["corruption"] if name != "none"])
def test_errors_are_reported_from_clean_and_from_corrupted_images(corruption, digits):
    module = make(corruption=corruption).eval()
    outputs = Outputs(module, few(digits.images))
    measured = evaluate(outputs, ["mse", "sse"])
    torch.manual_seed(0)  # as in every evaluation
    images = outputs.originals(torch.arange(64))
    corrupted, targets = module.corruption(images)
    with torch.no_grad():
        assert measured["test/mse"] == pytest.approx(mse_loss(module(images), images).item(), rel=1e-5)
        assert measured["corrupted/test_mse"] == pytest.approx(mse_loss(module(corrupted), targets).item(), rel=1e-5)
    assert measured["corrupted/test_mse"] != measured["test/mse"]
    assert "corrupted/test_mse" not in evaluate(Outputs(make(), few(digits.images)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bottleneck": {"k": 17}, "name": "top_k"}, "model.bottleneck.k must be at most model.latent_dim, 16, got 17"),
        ({"bottleneck": {"groups": 3}, "name": "vq"}, "model.latent_dim must be a multiple of model.bottleneck.groups"),
        ({"bottleneck": {"latent_dim": 3}, "name": "identity"}, "model.bottleneck.latent_dim follows from the model"),
        ({"bottleneck": {"_target_": "torch.nn.ReLU"}, "name": "identity"}, "model.bottleneck must be derived from"),
        ({"bottleneck": {"_target_": "autoencoder.Gone"}, "name": "identity"}, "which is not there"),
        ({"network": {}, "name": "conv", "image_shape": (1, 7, 9)}, "are too small for 2 convolutions"),
    ],
)
def test_what_does_not_fit_together_is_one_line(settings, message):
    [group] = settings.keys() & set(GROUPS)
    part = read_part(group, settings["name"]) | settings[group]
    with pytest.raises(InputError, match=message):
        AutoencoderModule(16, **{group: part}, image_shape=settings.get("image_shape", (1, 28, 28)))


def test_in_python_parts_are_classes_or_partials(tmp_path):
    module = AutoencoderModule(
        latent_dim=8,
        network=partial(MLP, hidden_dims=[16]),
        bottleneck=partial(Variational, beta=4.0),
        corruption=Gaussian,
    )
    models = "autoencoder.models"
    assert module.hparams["bottleneck"] == {
        **{"_target_": f"{models}.bottlenecks.variational.Variational", "beta": 4.0},
        **{"warmup": 0.0, "free_bits": 0.0},
    }
    assert module.hparams["corruption"] == {"_target_": f"{models}.corruptions.Gaussian", "std": 0.5}
    assert AutoencoderModule(network=Conv).hparams["network"]["channels"] == [32, 64]
    with pytest.raises(TypeError, match=r"`activation` is a .*, and a checkpoint holds plain values"):
        AutoencoderModule(network=partial(Loose, activation=torch.nn.ReLU()))


class Loose(MLP):
    """A network whose arguments are not checked."""

    def __init__(self, image_shape, encoded_dim, latent_dim, activation):
        super().__init__(image_shape, encoded_dim, latent_dim)


class Foreign(MLP):
    """A part outside the package."""


def test_a_part_of_another_package_is_refused_unless_allowed(run, tmp_path):
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    network = checkpoint["hyper_parameters"]["network"] | {"_target_": "test_parts.Foreign"}
    checkpoint["hyper_parameters"]["network"] = network
    torch.save(checkpoint, tmp_path / "foreign.ckpt")
    message = r"foreign.ckpt needs the class test_parts.Foreign of another package: .* allow_packages=\[test_parts\]"
    for loaded in (load, AutoencoderModule.load_from_checkpoint, lambda path: build_model(path, checkpoint)):
        with pytest.raises(InputError, match=message):
            loaded(tmp_path / "foreign.ckpt")
    module = load(tmp_path / "foreign.ckpt", allow_packages=["test_parts"])
    assert type(module.network).__name__ == "Foreign" and not module.training


def test_a_warm_up_needs_a_run_with_an_end(tmp_path, capfd):
    settings = ("experiment=quick", "trainer.max_epochs=-1", "scheduler=constant", "model=vae")
    line = refuse_here(train.train, capfd, *settings, "model.bottleneck.warmup=0.5", f"hydra.run.dir={tmp_path}/new")
    assert "model.bottleneck.warmup is a share of the run, which has no fixed end" in line
    assert not (tmp_path / "new").exists()


def test_a_collapsed_posterior_is_said(digits, caplog):
    module = make("mlp", "variational")
    with torch.no_grad():
        module.network.encoder[-1].weight.zero_()
    with caplog.at_level("WARNING"):
        assert evaluate(Outputs(module, few(digits.images)))["test/active_units"] == 0
    assert "the posterior has collapsed: 0 of 16 latent dimensions are active" in caplog.text


def test_reconstructions_show_what_the_model_saw(digits):
    outputs = Outputs(make(corruption="masking"), few(digits.images))
    panel = reconstructions(outputs)["reconstructions"]
    assert panel.rows == ["image", "reconstruction", "corrupted", "from corrupted"]
    hidden = panel.images[2] != panel.images[0]
    assert hidden.any() and (panel.images[2][hidden] == -1).all()
    with torch.no_grad():
        torch.testing.assert_close(panel.images[3], outputs.model.eval()(panel.images[2]))
    outputs.corrupted.score("mse")  # a whole pass draws other noise
    assert torch.equal(reconstructions(outputs)["reconstructions"].images, panel.images)
