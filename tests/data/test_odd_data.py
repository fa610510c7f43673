"""Data of any size, of few images and of few classes: all commands work, and say what they leave out."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from conftest import call, command, read_metrics, run_evaluate, run_train, write_idx
from matplotlib.image import imread

import explore
from autoencoder import AutoencoderModule, ImageDataModule
from autoencoder.data.sources import FILES
from autoencoder.evaluation.evaluate import measurable
from autoencoder.evaluation.outputs import Outputs


def write_set(folder: Path, shape=(28, 28), train=60, test=20, classes=range(10), test_classes=None, constant=False):
    """Writes a data set in MNIST's format: blobs at a place of their class's, or one grey."""
    random = np.random.default_rng(0)
    height, width = shape
    rows, columns = np.mgrid[:height, :width]
    for name, count, labels in (("train", train, classes), ("t10k", test, test_classes or classes)):
        chosen = np.resize(np.array(labels), count)
        images = random.integers(0, 60, (count, height, width))
        for image, label in zip(images, chosen, strict=True):
            image[(rows // 3 + columns // 3) % 10 == label % 10] += 150
        if constant:
            images[:] = 100
        write_idx(folder / f"{name}-images-idx3-ubyte", images)
        write_idx(folder / f"{name}-labels-idx1-ubyte", chosen)


SETS = {
    "larger": {"shape": (32, 32)},
    "not_square": {"shape": (20, 30)},
    "too_small_for_ssim": {"shape": (5, 5)},
    "one_pixel": {"shape": (1, 1)},
    "a_line": {"shape": (1, 40)},
    "one_class": {"classes": [3]},
    "two_images": {"train": 2, "test": 2, "classes": [1, 7]},
    "one_test_image": {"test": 1},
    "one_of_each": {"train": 1, "test": 1},
    "a_class_that_training_lacks": {"classes": [0, 1], "test_classes": [0, 1, 2]},
    "fewer_than_neighbours": {"train": 3, "test": 3, "classes": [0, 1]},
    "constant": {"constant": True},
    "large_labels": {"classes": [0, 255]},
    "wide": {"shape": (6, 200), "test": 3},
}
LEFT_OUT = {
    "too_small_for_ssim": {"ssim"},
    "one_pixel": {"ssim"},
    "a_line": {"ssim"},
    "one_class": {"knn", "probe"},
    "two_images": {"probe"},
    "fewer_than_neighbours": {"probe"},
    "one_test_image": {"latents"},
    "one_of_each": {"knn", "probe", "latents"},
}
FAST = ("one_of_each",)
SETTINGS = (
    "trainer.max_epochs=1",
    "model.latent_dim=4",
    "model.network.hidden_dims=[8]",
    "figures=true",
    "explorer=true",
)


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SETS]
)
def test_every_command_works_on(name, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    write_set(folder, **SETS[name])
    monkeypatch.setenv("DATA_DIR", str(folder))
    run = tmp_path / "run"
    metrics = run_train(run, *SETTINGS)
    assert metrics["train_size"] + metrics["val_size"] == SETS[name].get("train", 60)
    assert ("test/ssim" in metrics) == ("ssim" not in LEFT_OUT.get(name, ()))
    measured = run_evaluate(tmp_path / "again", f"ckpt_path={run}/checkpoints/best.ckpt")
    assert measured["test/mse"] == pytest.approx(metrics["test/mse"], rel=1e-5, abs=1e-9)
    said = (tmp_path / "again" / "evaluate.log").read_text(encoding="utf-8").splitlines()
    assert "the view" not in (run / "train.log").read_text(encoding="utf-8"), "a view failed"
    left_out = {line.partition(" is left out: ")[0] for line in said if " is left out: " in line}
    assert left_out == LEFT_OUT.get(name, set())
    assert measured.keys() >= {"pca/test_mse", "test/psnr"}
    call(explore.explore, f"ckpt_path={run}/checkpoints/best.ckpt", f"output={tmp_path}/page.html")
    pictures = [*tmp_path.rglob("*.png")]
    assert len(pictures) > 10
    for picture in pictures:
        assert name == "constant" or imread(picture)[..., :3].std() > 0.01, picture
    for file in tmp_path.rglob("*.json"):
        json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert {path.name for path in folder.rglob("*")} == set(FILES)


@pytest.mark.slow
def test_the_extremes_of_the_settings_on_few_images(tmp_path, monkeypatch):
    """A batch larger than the set, one validation image, more latent dimensions than images."""
    write_set(tmp_path / "data", train=30, test=5)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    settings = ("data.batch_size=1000", "data.val_size=1", "model.latent_dim=50", "trainer.max_epochs=1")
    metrics = run_train(tmp_path / "run", *settings)
    assert (metrics["val_size"], metrics["steps"]) == (1, 1)
    run_evaluate(tmp_path / "again", f"ckpt_path={tmp_path}/run/checkpoints/best.ckpt")


@pytest.mark.slow
def test_two_processes_share_a_single_validation_image(tmp_path):
    write_set(tmp_path / "data", train=12, test=3)
    settings = ("trainer=ddp", "trainer.max_epochs=1", "data.val_size=1", "model.latent_dim=2")
    folder = tmp_path / "run"
    result = command("src/train.py", *settings, f"hydra.run.dir={folder}", DATA_DIR=str(tmp_path / "data"))
    assert (result.returncode, result.stderr) == (0, "")
    assert (folder / "checkpoints" / "best.ckpt").is_file()
    assert f"val/mse {read_metrics(folder)['val/mse']:.4f}" in (folder / "train.log").read_text(encoding="utf-8")


def test_without_validation_images_a_probe_that_would_learn_one_class_is_left_out(caplog):
    """Its C is chosen on the last tenth of the training images: the others must be of two classes."""
    images = np.zeros((11, 8, 8), np.uint8)
    data = ImageDataModule.from_arrays(images, images, np.zeros(11, int), np.zeros(11, int), val_size=0)
    data.images.train.labels[-1] = 1
    with caplog.at_level(logging.INFO):
        assert measurable(("knn", "probe"), Outputs(AutoencoderModule(), data.images)) == {"knn"}
    assert caplog.messages == ["probe is left out: its training images all have the same class"]


@pytest.mark.parametrize("shape", ["[1,32,32]", "[3,28,28]"])
def test_a_shape_other_than_the_datas_is_one_line(shape, tmp_path, capfd):
    with pytest.raises(SystemExit, match="1"):
        run_train(tmp_path, "experiment=quick", f"+model.image_shape={shape}")
    [line] = capfd.readouterr().out.splitlines()
    assert line.startswith(f"error: model.image_shape is {shape.replace(',', ', ')}, but the images are [1, 28, 28]")
    assert not (tmp_path / "checkpoints").exists()


def test_the_shape_of_the_data_may_be_given(tmp_path):
    settings = ("experiment=quick", "trainer.max_epochs=1", "+trainer.limit_train_batches=10")
    assert run_train(tmp_path, *settings, "+model.image_shape=[1,28,28]")["epochs"] == 1
