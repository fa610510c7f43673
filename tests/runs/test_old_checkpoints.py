"""Checkpoints and exports of earlier versions load and give the errors they gave; those of later ones are refused."""

from pathlib import Path

import pytest
import torch
from bad_checkpoints import GOOD, changed, read_good, saved
from conftest import run_evaluate, run_train

from autoencoder import AutoencoderModule, load
from autoencoder.errors import InputError
from autoencoder.models.module import FORMAT_VERSION
from autoencoder.runs.model_of_checkpoint import build_model

KEPT = Path(__file__).parent
# Never write these files again: they are what earlier versions wrote. For a new FORMAT_VERSION, add files of it.
#   python src/train.py experiment=quick trainer.max_epochs=1 model.latent_dim=2 views=none logger=[]
#     model.network.hidden_dims=[2], or for `parts` model=vae model/network=conv model.network.channels=[2,2]
#     model/corruption=masking model/loss=bce optimizer=adamw scheduler=constant
TEST_ERRORS = {"format_1.ckpt": 0.265231, "format_1_parts.ckpt": 0.361342}


@pytest.mark.parametrize("name", TEST_ERRORS)
def test_a_kept_checkpoint_is_measured_as_when_it_was_written(name, tmp_path):
    measured = run_evaluate(tmp_path, f"ckpt_path={KEPT / name}", "metrics=[mse]", "figures=false")
    assert measured["test/mse"] == pytest.approx(TEST_ERRORS[name], rel=1e-4)


def test_a_kept_export_is_loaded():
    exported, trained = load(KEPT / "format_1.safetensors"), load(KEPT / "format_1_parts.ckpt")
    assert exported.hparams == trained.hparams
    images = torch.rand(2, 1, 28, 28) * 2 - 1
    assert torch.equal(exported(images), trained(images))


def test_a_new_run_starts_from_a_kept_checkpoint(tmp_path, capfd):
    settings = ("experiment=quick", "model.latent_dim=2", "model.network.hidden_dims=[2]", "trainer.max_epochs=1")
    light = ("callbacks=light", "views=none", "logger=[]", "+trainer.limit_train_batches=3")
    assert run_train(tmp_path, *settings, *light, f"ckpt_path={GOOD}")["steps"] == 3
    assert "starts from the weights and the optimiser's state of" in capfd.readouterr().out


def test_there_are_kept_files_of_each_format():
    for version in range(1, FORMAT_VERSION + 1):
        assert {path.suffix for path in KEPT.glob(f"format_{version}*")} == {".ckpt", ".safetensors"}


def test_a_checkpoint_without_a_version_is_an_older_one(tmp_path):
    content = read_good()
    del content["format_version"]
    (tmp_path / "old.ckpt").write_bytes(saved(content))
    assert load(tmp_path / "old.ckpt").latent_dim == 2


def test_a_later_format_is_refused_in_one_line(tmp_path):
    path = tmp_path / "new.ckpt"
    path.write_bytes(saved(changed(read_good(), "format_version", FORMAT_VERSION + 1)))
    export = (KEPT / "format_1.safetensors").read_bytes()
    (tmp_path / "new.safetensors").write_bytes(export.replace(b'format_version\\": 1', b'format_version\\": 9'))
    for file, version in ((path, FORMAT_VERSION + 1), (tmp_path / "new.safetensors", 9)):
        message = f"of a later version of this project, its format is {version} and this version reads up to"
        with pytest.raises(InputError, match=message):
            load(file)


class Fixed(AutoencoderModule):
    """A subclass that sets an inherited argument itself, and does not take it."""

    def __init__(self, factor: float = 2.0) -> None:
        super().__init__(latent_dim=3)
        self.save_hyperparameters("factor", logger=False)
        self.factor = factor


def test_a_subclass_gets_only_the_settings_that_it_takes(tmp_path):
    module = Fixed(0.5)
    content = {"model": "test_old_checkpoints.Fixed", "hyper_parameters": dict(module.hparams)}
    again = build_model("one.ckpt", content | {"state_dict": module.state_dict()}, ["test_old_checkpoints"])
    assert type(again) is Fixed and again.factor == 0.5 and again.latent_dim == 3
