"""A notebook does what a command does: the lines of docs/notebook.md run, and arrays at hand are data like any."""

import re
from functools import partial

import numpy as np
import pytest
from conftest import ROOT
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from autoencoder import AutoencoderModule, ImageDataModule
from autoencoder.callbacks.description import RunDescription
from autoencoder.callbacks.views import Views
from autoencoder.errors import InputError
from autoencoder.evaluation.evaluate import evaluate
from autoencoder.evaluation.outputs import Outputs
from autoencoder.evaluation.summaries import error_per_class
from autoencoder.explorer.page import write_explorer
from autoencoder.metrics import GROUPS
from autoencoder.models.networks.mlp import MLP
from autoencoder.pictures.panels import interpolations, reconstructions, traversals, worst_and_median
from autoencoder.pictures.save import save_figures
from autoencoder.runs.checkpoints import restore


def test_the_python_block_of_the_notebook_page(run, tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs/notebook.md").read_text(encoding="utf-8"), re.DOTALL).group(
        1
    )
    code = code.replace("RUN/", f"{run}/").replace("ImageDataModule()", "ImageDataModule('mnist_5k')")
    code = code.replace("max_epochs=3", "max_epochs=1, accelerator='cpu', logger=False, log_every_n_steps=1")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["latents"].shape == (500, 16) and names["trained"].latent_dim == 8


@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
@pytest.mark.parametrize("shape", [(40, 7, 9), (40, 3, 8, 8)])
def test_images_at_hand_are_trained_on_measured_and_drawn(shape, tmp_path):
    """Without labels, grey or in colour, with every view that a logger shows."""
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    data = ImageDataModule.from_arrays(images, images[:12], name="noise", batch_size=16)
    module = AutoencoderModule(latent_dim=2, network=partial(MLP, hidden_dims=[8]), image_shape=data.image_shape)
    shown = [reconstructions, worst_and_median, error_per_class, traversals, interpolations]
    views = [Views({view.__name__: view for view in shown}), RunDescription()]
    logger = TensorBoardLogger(tmp_path, name="tensorboard", version="")
    trainer = Trainer(
        **{"max_epochs": 1, "accelerator": "cpu", "logger": logger, "callbacks": views, "log_every_n_steps": 1},
        **{"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False},
    )
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    measured = evaluate(Outputs(module, data.images), GROUPS)
    assert measured["test/mse"] > 0 and "test/ssim" in measured and "test/probe_accuracy" not in measured
    names = save_figures(Outputs(module, data.images), tmp_path / "figures")
    assert {"reconstructions", "interpolations", "latent_map"} <= set(names) and "class_errors" not in names
    assert not any("class" in name for name in measured), "there are no classes"
    assert AutoencoderModule.load_from_checkpoint(tmp_path / "last.ckpt").image_shape == data.image_shape
    with pytest.raises(InputError, match="was trained on noise, which"):
        restore(tmp_path / "last.ckpt")
    write_explorer(Outputs(module, data.images), measured, tmp_path / "explorer.html")
