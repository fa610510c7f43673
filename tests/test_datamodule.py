"""The data module splits once and for all, and deals images in the model's range."""

import pytest
import torch
from conftest import write_dataset

from autoencoder import ImageDataModule
from autoencoder.errors import InputError


@pytest.fixture
def noise_dir(tmp_path):
    write_dataset(tmp_path / "MNIST" / "raw")
    return str(tmp_path)


def test_5k_split_is_stratified_disjoint_and_complete(digits):
    sizes = [len(indices) for indices in (digits.train_indices, digits.val_indices, digits.test_indices)]
    assert sizes == [4000, 500, 500]
    assert len(torch.cat([digits.train_indices, digits.val_indices]).unique()) == 4500
    labels = digits.images.train_labels
    for split in (labels[digits.train_indices], labels[digits.val_indices], digits.images.test_labels):
        assert split.bincount().tolist() == [len(split) // 10] * 10


def test_no_image_is_in_two_splits(digits):
    everything = torch.cat([digits.images.train_images, digits.images.test_images]).flatten(1)
    assert len(everything.unique(dim=0)) == 5000


def test_the_split_is_the_same_whatever_the_seed(noise_dir):
    splits = []
    for seed in (0, 1):
        datamodule = ImageDataModule(data_dir=noise_dir, val_size=20, seed=seed)
        datamodule.setup()
        splits.append((datamodule.train_indices, datamodule.val_indices))
    assert torch.equal(splits[0][0], splits[1][0]) and torch.equal(splits[0][1], splits[1][1])
    assert sorted(torch.cat(splits[0]).tolist()) == list(range(60))
    assert splits[0][1].tolist() != list(range(20)), "the first images are no random sample"


def test_val_size_0_trains_on_everything(noise_dir):
    datamodule = ImageDataModule(data_dir=noise_dir, val_size=0)
    datamodule.setup()
    assert len(datamodule.train_indices) == 60
    assert datamodule.val_dataloader() == []


def test_val_size_must_leave_images_to_train_on(noise_dir):
    with pytest.raises(InputError, match=r"data.val_size must be less than the 60 training images of mnist, got 60"):
        ImageDataModule(data_dir=noise_dir, val_size=60).setup()


def test_batches_reach_the_model_in_its_range(digits):
    images, labels = digits.on_after_batch_transfer(next(iter(digits.train_dataloader())), 0)
    assert images.shape == (64, 1, 28, 28) and images.dtype == torch.float32 and labels.dtype == torch.int64
    assert images.min() == -1 and images.max() == 1


def test_setup_twice_loads_once(digits):
    images = digits.images
    digits.setup("fit")
    assert digits.images is images


def test_images_before_setup_is_an_error():
    with pytest.raises(RuntimeError, match="setup"):
        _ = ImageDataModule().images


def test_a_checkpoint_of_other_images_is_refused(digits):
    with pytest.raises(InputError, match="trained on mnist with"):
        digits.load_state_dict({"dataset": "mnist", "val_size": 5000})


@pytest.mark.parametrize("argument", [{"batch_size": 0}, {"batch_size": "8"}, {"val_size": 0.5}, {"dataset": "cifar"}])
def test_bad_arguments_are_errors(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        ImageDataModule(**argument)
