"""AutoencoderModule works alone, and trains with Lightning's Trainer."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from autoencoder import AutoencoderModule
from autoencoder.evaluation.evaluate import evaluate
from autoencoder.evaluation.outputs import Outputs
from autoencoder.models.networks.mlp import MLP
from autoencoder.optim.optimizers import adam
from autoencoder.optim.schedulers import constant


def quiet_trainer(tmp_path, **arguments):
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **arguments,
    )


def test_it_encodes_decodes_and_reconstructs_without_anything_else():
    module = AutoencoderModule()
    images = torch.rand(3, 1, 28, 28) * 2 - 1
    latents = module.encode(images)
    assert latents.shape == (3, 32)
    assert module(images).shape == images.shape
    assert torch.equal(module.decode(latents), module(images))


def test_other_image_sizes_are_an_argument():
    module = AutoencoderModule(latent_dim=4, network=partial(MLP, hidden_dims=[16]), image_shape=(3, 8, 10))
    images = torch.rand(2, 3, 8, 10)
    assert module(images).shape == images.shape


def test_images_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"`images` must be \[B, 1, 28, 28\], got \[2, 1, 27, 28\]"):
        AutoencoderModule()(torch.zeros(2, 1, 27, 28))


@pytest.mark.parametrize(
    "argument",
    [{"latent_dim": 0}, {"latent_dim": 2.5}, {"image_shape": [28, 28]}],
)
def test_bad_arguments_are_errors(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        AutoencoderModule(**argument)


@pytest.mark.parametrize("argument", [{"hidden_dims": [8, -1]}, {"activation": "x"}])
def test_bad_arguments_of_a_part_are_errors(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        AutoencoderModule(network=partial(MLP, **argument))


def test_it_trains_without_the_data_module_and_overfits_twenty_images(tmp_path, digits):
    images = digits.images.train.images(slice(20))
    loader = DataLoader(TensorDataset(images, torch.zeros(20)), batch_size=20)
    module = AutoencoderModule(latent_dim=16)
    first = torch.nn.functional.mse_loss(module(images), images).item()
    quiet_trainer(tmp_path, max_epochs=150, enable_checkpointing=False, log_every_n_steps=1).fit(module, loader, loader)
    assert torch.nn.functional.mse_loss(module(images), images).item() < first / 10


def test_train_mse_weighs_a_short_last_batch_by_its_images(tmp_path):
    images = torch.rand(25, 1, 4, 4) * 2 - 1
    module = AutoencoderModule(
        latent_dim=2,
        network=partial(MLP, hidden_dims=[8]),
        image_shape=(1, 4, 4),
        optimizer=lambda module: adam(module, lr=1e-12),
        scheduler=constant,
    )
    loader = DataLoader(TensorDataset(images, torch.zeros(25)), batch_size=10)
    trainer = quiet_trainer(tmp_path, max_epochs=1, enable_checkpointing=False, log_every_n_steps=1)
    trainer.fit(module, loader, loader)
    expected = (module(images) - images).square().mean().item()
    assert trainer.callback_metrics["train/mse"].item() == pytest.approx(expected, rel=1e-5)
    assert trainer.callback_metrics["val/mse"].item() == pytest.approx(expected, rel=1e-5)


def test_lightnings_test_loop_gives_the_metrics_of_evaluate(tmp_path, digits):
    module = AutoencoderModule()
    measured = quiet_trainer(tmp_path).test(module, digits, verbose=False)[0]
    digits.trainer = None
    expected = evaluate(Outputs(module, digits.images), ("mse", "sse", "psnr"))
    assert measured == pytest.approx({name: value for name, value in expected.items() if "test/" in name}, rel=1e-5)


def test_lightnings_prediction_gives_the_reconstructions(tmp_path, digits):
    module = AutoencoderModule(latent_dim=2, network=partial(MLP, hidden_dims=[8]))
    [predicted] = quiet_trainer(tmp_path).predict(module, digits)
    digits.trainer = None
    [again] = quiet_trainer(tmp_path).predict(module, digits.test_dataloader())
    expected = Outputs(module, digits.images).reconstructions(torch.arange(500))
    assert torch.equal(predicted, again)
    torch.testing.assert_close(predicted, expected)


@pytest.mark.parametrize("loader", [[torch.zeros(2, 1, 28, 28)], [(torch.zeros(2, 1, 28, 28),)]])
def test_a_batch_without_labels_is_named(tmp_path, loader):
    with pytest.raises(ValueError, match=r"a batch must be \(images, labels\)"):
        quiet_trainer(tmp_path).test(AutoencoderModule(), loader)


def test_it_trains_on_loaders_passed_by_hand(tmp_path, digits):
    module = AutoencoderModule(latent_dim=2, network=partial(MLP, hidden_dims=[8]))
    trainer = quiet_trainer(tmp_path, max_epochs=1, limit_train_batches=20, enable_checkpointing=False)
    trainer.fit(module, digits.train_dataloader(), digits.val_dataloader())
    assert 0 < trainer.callback_metrics["val/mse"] < 1


def test_a_compiled_network_keeps_plain_keys():
    plain, compiled = AutoencoderModule(), AutoencoderModule(compile=True)
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    compiled.load_state_dict(plain.state_dict())


@pytest.mark.slow
def test_a_compiled_network_computes_the_same():
    plain, module = AutoencoderModule(), AutoencoderModule(compile=True)
    module.load_state_dict(plain.state_dict())
    images = torch.rand(4, 1, 28, 28)
    for each in (plain, module):
        each.loss(each(images), images).backward()
    torch.testing.assert_close(module(images), plain(images))
    for one, other in zip(module.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_a_checkpoint_holds_the_shape_of_the_images_even_if_none_was_given():
    assert AutoencoderModule().hparams["image_shape"] == [1, 28, 28]
    assert AutoencoderModule(image_shape=(3, 4, 5)).hparams["image_shape"] == [3, 4, 5]
