"""The data module splits once and for all, and deals images in the model's range."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import call, read_metrics, run_evaluate, run_train, write_dataset, write_idx

import train
from autoencoder import ImageDataModule
from autoencoder.data import datamodule as datamodule_file
from autoencoder.data import sources
from autoencoder.data.images import fingerprint_of
from autoencoder.data.sources import LoadedImages, load_images
from autoencoder.errors import InputError
from autoencoder.runs.checkpoints import restore


@pytest.fixture
def noise_dir(tmp_path):
    write_dataset(tmp_path / "MNIST" / "raw")
    return str(tmp_path)


def test_5k_split_is_stratified_disjoint_and_complete(digits):
    splits = digits.images.train, digits.images.val, digits.images.test
    assert [len(split) for split in splits] == [4000, 500, 500]
    for split in splits:
        assert split.labels.bincount().tolist() == [len(split) // 10] * 10


def test_no_image_is_in_two_splits(digits):
    everything = torch.cat(
        [split.pixels for split in (digits.images.train, digits.images.val, digits.images.test)]
    ).flatten(1)
    assert len(everything.unique(dim=0)) == 5000


def test_the_split_is_the_same_whatever_the_seed(noise_dir):
    splits = []
    for seed in (0, 1):
        datamodule = ImageDataModule(data_dir=noise_dir, val_size=20, seed=seed)
        datamodule.setup()
        splits.append((datamodule.images.train.pixels, datamodule.images.val.pixels))
    assert torch.equal(splits[0][0], splits[1][0]) and torch.equal(splits[0][1], splits[1][1])
    everything = load_images("mnist", noise_dir, False).train_images
    together = torch.cat(splits[0])
    assert sorted(map(bytes, together.flatten(1).numpy())) == sorted(map(bytes, everything.flatten(1).numpy()))
    assert not torch.equal(splits[0][1], everything[:20]), "the first images are no random sample"


@pytest.mark.parametrize(("dataset", "names"), [("toy", ["zero", "one"]), ("fashion_mnist", [])])
def test_labels_beyond_the_names_of_the_classes_are_refused(tmp_path, dataset, names):
    write_dataset(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.full(20, 10))
    datamodule = ImageDataModule(dataset, tmp_path, folder="TOY", class_names=names)
    with pytest.raises(
        InputError, match=r"data.class_names has \d+ names, but the labels of .* go up to 10: name each"
    ):
        datamodule.setup()


def test_val_size_0_trains_on_everything(noise_dir):
    datamodule = ImageDataModule(data_dir=noise_dir, val_size=0)
    datamodule.setup()
    assert len(datamodule.images.train) == 60
    assert datamodule.val_dataloader() == []


def test_val_size_must_leave_images_to_train_on(noise_dir):
    with pytest.raises(InputError, match=r"^`val_size` must be less than the 60 training images of mnist, got 60 \("):
        ImageDataModule(data_dir=noise_dir, val_size=60).setup()


def test_each_data_set_has_a_default_of_its_own_for_val_size(noise_dir):
    for settings, expected in (
        ({"dataset": "mnist_5k"}, (4_000, 500)),
        ({"data_dir": noise_dir}, (54, 6)),
        ({"data_dir": Path(noise_dir), "val_size": 59}, (1, 59)),
    ):
        datamodule = ImageDataModule(**settings)
        datamodule.setup()
        assert (len(datamodule.images.train), len(datamodule.images.val)) == expected
        assert datamodule.val_size == settings.get("val_size"), "a setting stays as it was given"


def test_the_full_sets_validate_on_5000_images(monkeypatch):
    images = torch.zeros(60_000, 1, 1, 1, dtype=torch.uint8)
    labels = torch.zeros(60_000, dtype=torch.int64)
    full = LoadedImages("mnist", images, labels, images[:10_000], labels[:10_000])
    monkeypatch.setattr(datamodule_file, "load_images", lambda *_: full)
    datamodule = ImageDataModule()
    datamodule.setup()
    assert len(datamodule.images.val) == 5_000


@pytest.mark.parametrize("home", [Path("~/digits"), "~/digits"])
def test_a_data_dir_may_be_a_path_or_begin_with_a_home(tmp_path, monkeypatch, home):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_dataset(tmp_path / "digits" / "MNIST" / "raw")
    datamodule = ImageDataModule(data_dir=home)
    datamodule.setup()
    assert datamodule.data_dir == datamodule.hparams["data_dir"] == str(tmp_path / "digits")


def test_a_data_dir_is_found_again_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ImageDataModule(data_dir="data").hparams["data_dir"] == str(tmp_path / "data")


def test_other_pixels_or_labels_have_another_fingerprint(digits):
    images = load_images("mnist_5k", "", False)
    seen = {fingerprint_of(images), digits.images.fingerprint, digits.state_dict()["fingerprint"]}
    assert len(seen) == 1
    for part in range(1, 5):
        tensors = [tensor.clone() for tensor in images[1:]]
        tensors[part - 1].view(-1)[-1] += 1
        seen.add(fingerprint_of(LoadedImages(images.name, *tensors)))
    transposed = LoadedImages(images.name, images.train_images.view(-1, 1, 14, 56), *images[2:])
    assert len(seen | {fingerprint_of(transposed)}) == 6


def test_the_fingerprint_of_mnist_takes_no_time():
    images, labels = torch.zeros(60_000, 1, 28, 28, dtype=torch.uint8), torch.zeros(60_000, dtype=torch.int64)
    start = time.perf_counter()
    fingerprint_of(LoadedImages("mnist", images, labels, images[:10_000], labels[:10_000]))
    assert time.perf_counter() - start < 0.5  # 0.04 s on an idle machine


def test_a_checkpoint_of_the_same_set_with_other_images_is_refused(noise_dir, tmp_path):
    trained = ImageDataModule(data_dir=noise_dir)
    trained.setup()
    write_dataset(tmp_path / "other" / "MNIST" / "raw", train=50, test=10)
    other = ImageDataModule(data_dir=tmp_path / "other", val_size=6)
    other.setup()
    with pytest.raises(InputError) as error:
        other.load_state_dict(trained.state_dict())
    assert str(error.value) == (
        f"{tmp_path / 'other'} has other images than the checkpoint was trained on: 50 training and 10 test images "
        f"(fingerprint {other.images.fingerprint}) instead of 60 and 20 ({trained.images.fingerprint}): "
        "set DATA_DIR or data_dir to the folder that has those"
    )
    other.load_state_dict({"dataset": "mnist", "val_size": 6})  # of an older version, which noted no more


class TestFromArrays:
    """Images at hand in a notebook."""

    @pytest.mark.parametrize("shape", [(9, 6, 8), (9, 1, 6, 8), (9, 3, 6, 8)])
    @pytest.mark.parametrize("kind", ["numpy", "torch"])
    def test_they_are_split_and_dealt(self, shape, kind):
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        labels = np.arange(9) % 2
        if kind == "torch":
            images, labels = torch.from_numpy(images), torch.from_numpy(labels)
        data = ImageDataModule.from_arrays(images, images[:4], labels, labels[:4], name="blobs", batch_size=5)
        assert data.image_shape == (shape[1] if len(shape) == 4 else 1, 6, 8)
        assert [len(split) for split in (data.images.train, data.images.val, data.images.test)] == [8, 1, 4]
        assert data.images.title == data.state_dict()["dataset"] == "blobs"
        assert [len(batch) for batch, _ in data.train_dataloader()] == [5, 3]
        assert torch.equal(data.images.test.labels, torch.tensor([0, 1, 0, 1]))

    def test_without_labels_all_are_of_one_class(self):
        data = ImageDataModule.from_arrays(np.zeros((3, 4, 4), np.uint8), np.zeros((2, 4, 4), np.uint8))
        assert data.images.train.labels.tolist() == [0, 0, 0] and data.images.test.labels.tolist() == [0, 0]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"train_images": np.zeros((3, 4, 4))}, "`train_images` must be uint8, 0 to 255, got torch.float64"),
            ({"test_images": np.zeros((4, 4), np.uint8)}, r"`test_images` must be \[N, H, W\] or .* got \[4, 4\]"),
            ({"test_images": np.zeros((0, 4, 4), np.uint8)}, "at least one image"),
            ({"train_images": np.zeros((3, 4, 4, 3), np.uint8)}, "move the channels forward"),
            ({"test_images": np.zeros((3, 4, 5), np.uint8)}, "must have the same size"),
            (
                {"train_labels": np.zeros(3, int), "test_labels": None},
                "`test_labels` is missing: pass the labels of both",
            ),
            ({"train_labels": None}, "`train_labels` is missing"),
            ({"train_labels": np.array(["a", "b", "c"])}, "`train_labels` must be whole numbers from 0: "),
            ({"train_labels": np.zeros(2, int)}, "`train_labels` must be whole numbers from 0, one for each of the 3"),
            ({"test_labels": np.zeros(3)}, "`test_labels` must be whole numbers"),
            ({"train_labels": np.array([0, -1, 2])}, "`train_labels` must be whole numbers from 0"),
            ({"val_size": 3}, "`val_size` must be less than the 3 training images"),
        ],
    )
    def test_what_does_not_fit_is_named(self, arguments, message):
        images, labels = np.zeros((3, 4, 4), np.uint8), np.arange(3)
        good = {"train_images": images, "test_images": images, "train_labels": labels, "test_labels": labels}
        with pytest.raises(ValueError, match=message):
            ImageDataModule.from_arrays(**good | arguments)


def test_batches_reach_the_model_in_its_range(digits):
    images, labels = next(iter(digits.train_dataloader()))
    assert images.shape == (64, 1, 28, 28) and images.dtype == torch.float32 and labels.dtype == torch.int64
    assert images.min() == -1 and images.max() == 1


def test_setup_twice_loads_once(digits):
    images = digits.images
    digits.setup("fit")
    assert digits.images is images


@pytest.mark.parametrize("split", ["train", "val", "test", "predict"])
def test_a_notebook_needs_no_more_than_a_loader(noise_dir, split):
    images, labels = next(iter(getattr(ImageDataModule(data_dir=noise_dir), f"{split}_dataloader")()))
    assert images.dtype == torch.float32 and images.min() == -1 and images.max() == 1 and len(labels) == len(images)


def test_images_do_not_change_under_those_who_hold_them(digits):
    images = digits.images
    with pytest.raises(dataclasses.FrozenInstanceError):
        images.name = "others"
    assert images.to(torch.device("cpu")) is images
    moved = images.to(torch.device("meta"))
    assert moved is not images and moved.test.device.type == "meta" and images.test.device.type == "cpu"
    assert (moved.name, moved.fingerprint, moved.image_shape) == (images.name, images.fingerprint, images.image_shape)


def test_classes_have_the_names_of_their_data_set(tmp_path, digits):
    assert [digits.images.class_name(label) for label in (0, 9, 1_000_000)] == ["0", "9", "1000000"]
    write_dataset(tmp_path)
    fashion = ImageDataModule("fashion_mnist", tmp_path).images
    assert [fashion.class_name(label) for label in (0, 9, 10)] == ["T-shirt/top", "ankle boot", "10"]


def test_a_checkpoint_of_other_images_is_refused(digits):
    with pytest.raises(InputError, match="trained on mnist with"):
        digits.load_state_dict({"dataset": "mnist", "val_size": 5000})


@pytest.mark.parametrize(
    "argument",
    [
        {"batch_size": 0},
        {"batch_size": "8"},
        {"val_size": 0.5},
        {"dataset": "cifar"},
        {"data_dir": ""},
        {"data_dir": 3},
    ],
)
def test_bad_arguments_are_errors(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        ImageDataModule(**argument)


def test_settings_stay_as_they_were_given_where_the_fallback_is_used(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(sources, "_download", fail)
    data = ImageDataModule(data_dir=tmp_path / "none", val_size=2_000)
    assert (data.images.name, len(data.images.val)) == ("mnist_5k", 500)
    assert (data.dataset, data.val_size) == ("mnist", 2_000)
    assert (data.state_dict()["dataset"], data.state_dict()["val_size"]) == ("mnist_5k", 500)


@pytest.mark.slow
def test_another_set_in_mnists_format_is_settings_alone(tmp_path):
    """Trained, evaluated and resumed under its own name, title and classes."""
    write_dataset(tmp_path / "data" / "KMNIST" / "raw")
    settings = (
        "data=kmnist",
        f"data.data_dir={tmp_path}/data",
        "trainer.max_epochs=1",
        "model.network.hidden_dims=[8]",
    )
    run = tmp_path / "run"
    assert run_train(run, *settings)["dataset"] == "kmnist"
    again = run_evaluate(tmp_path / "again", f"ckpt_path={run}/checkpoints/best.ckpt", "metrics=[mse]")
    assert (again["dataset"], again["test_size"]) == ("kmnist", 20)
    assert (tmp_path / "again" / "report.md").read_text(encoding="utf-8").startswith("# KMNIST, 32 latent")
    call(train.train, f"resume={run}", "trainer.max_epochs=2")
    assert read_metrics(run)["epochs"] == 2
    assert restore(run / "checkpoints" / "best.ckpt")[1].images.class_name(1) == "ki"


def test_a_set_that_torchvision_does_not_know_must_be_there(tmp_path):
    data = ImageDataModule("mine", tmp_path, folder="Mine")
    with pytest.raises(InputError, match=r"Mine is not in .* and cannot be downloaded \(torchvision has no data"):
        data.setup()
    write_dataset(tmp_path / "Mine" / "raw")
    assert (data.images.name, data.images.title) == ("mine", "mine")
