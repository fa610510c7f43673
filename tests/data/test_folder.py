"""A folder of images becomes a data set: its layout, its split, its classes, and what is refused."""

import numpy as np
import pytest
import torch
from conftest import refuse_here, run_evaluate, run_train
from made_images import blobs, write_classes, write_images
from PIL import Image

import train
from autoencoder import ImageDataModule
from autoencoder.data.classes import stratified_order
from autoencoder.data.folder import find_images
from autoencoder.data.folder_module import FolderDataModule
from autoencoder.errors import InputError
from autoencoder.runs.checkpoints import restore

TINY = ("experiment=quick", "data=folder", "data.batch_size=8", "trainer.max_epochs=1", "model.latent_dim=2")


def sizes(images):
    return [len(split) for split in (images.train, images.val, images.test)]


def rows(split):
    """The images of a split, as a set of bytes."""
    return {bytes(image) for image in split.raw(slice(None)).flatten(1).numpy()}


class TestLayout:
    """Sub-folders are classes; folders train, val and test are splits."""

    def test_folders_are_classes_by_name(self, tmp_path):
        write_classes(tmp_path, {"eel": 10, "ant": 20})
        write_images(tmp_path / "eel" / "more", blobs(10, seed=7))
        images = FolderDataModule(tmp_path).images
        assert images.class_names == ("ant", "eel") and images.labelled and images.name == tmp_path.name
        labels = torch.cat([split.labels for split in (images.train, images.val, images.test)])
        assert labels.bincount().tolist() == [20, 20]
        ants = {bytes(image.flatten()) for image in blobs(20, seed=1)}
        assert all((bytes(image) in ants) == (label == 0) for image, label in pairs(images.test))

    def test_numbers_are_sorted_by_value(self, tmp_path):
        write_classes(tmp_path, {str(number): 2 for number in range(11)})
        assert FolderDataModule(tmp_path).images.class_names == tuple(map(str, range(11)))

    @pytest.mark.parametrize("val", ["val", "valid", "Validation"])
    def test_folders_are_splits(self, val, tmp_path):
        for split, count in (("train", 12), (val, 3), ("test", 4), ("masks", 5)):
            write_classes(tmp_path / split, {"a": count, "b": count})
        assert sizes(FolderDataModule(tmp_path).images) == [24, 6, 8]

    def test_missing_splits_are_cut_from_the_training_images(self, tmp_path):
        write_images(tmp_path / "train", blobs(100))
        assert sizes(FolderDataModule(tmp_path).images) == [80, 10, 10]
        write_images(tmp_path / "test", blobs(7, seed=1))
        assert sizes(FolderDataModule(tmp_path).images) == [89, 11, 7]
        assert sizes(FolderDataModule(tmp_path, val_size=0).images) == [100, 0, 7]

    def test_a_class_may_be_called_train(self, tmp_path):
        write_classes(tmp_path, {"bus": 20, "car": 20, "train": 20})
        assert FolderDataModule(tmp_path).images.class_names == ("bus", "car", "train")

    def test_hidden_files_other_files_and_circles_are_left_out(self, tmp_path, caplog):
        write_images(tmp_path / "some", blobs(20))
        for name in (".hidden.png", "._000.png", ".git/x.png", "notes.txt", "Thumbs.db"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        (tmp_path / "some" / "circle").symlink_to(tmp_path)
        caplog.set_level("INFO")
        assert len(find_images(tmp_path).names) == 20
        assert "2 files that are no images are left out" in caplog.text

    def test_linked_folders_are_followed(self, tmp_path):
        write_classes(tmp_path / "elsewhere", {"a": 4, "b": 4})
        (tmp_path / "here").mkdir()
        for name in "ab":
            (tmp_path / "here" / name).symlink_to(tmp_path / "elsewhere" / name)
        assert find_images(tmp_path / "here").class_names == ("a", "b")


def pairs(split):
    return zip(split.raw(slice(None)).flatten(1).numpy(), split.labels.tolist(), strict=True)


class TestSplit:
    """A fixed split, in which each class has its share."""

    def test_it_is_stratified_disjoint_complete_and_the_same_for_any_seed(self, tmp_path):
        write_classes(tmp_path, {"a": 100, "b": 50, "c": 21})
        one, other = (FolderDataModule(tmp_path, seed=seed).images for seed in (0, 1))
        assert sizes(one) == [137, 17, 17]
        for split in (one.train, one.val, one.test):
            share = len(split) / 171
            expected = np.array([100, 50, 21]) * share
            assert abs(split.labels.bincount(minlength=3).numpy() - expected).max() <= 1
        everything = [rows(split) for split in (one.train, one.val, one.test)]
        assert len(set().union(*everything)) == 171 == sum(map(len, everything))
        assert everything == [rows(split) for split in (other.train, other.val, other.test)]
        names = [bytes(image.flatten()) for image in blobs(100)]
        in_a = [names.index(bytes(image)) for image, label in pairs(one.test) if label == 0]
        assert in_a == sorted(in_a) and in_a != list(range(len(in_a))), "a random sample, in the order of names"

    @pytest.mark.parametrize("counts", [[1000], [500, 500], [900, 90, 10], [3] * 40])
    def test_any_part_of_the_order_has_its_share_of_each_class(self, counts):
        labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        ordered = labels[stratified_order(labels, torch.Generator().manual_seed(3))]
        for start, stop in ((0, 100), (30, 75), (-50, None)):
            part = ordered[start:stop]
            expected = torch.tensor(counts) * len(part) / len(labels)
            assert (part.bincount(minlength=len(counts)) - expected).abs().max() <= 2
        assert sorted(stratified_order(labels, torch.Generator()).tolist()) == list(range(len(labels)))

    def test_some_classes_are_trained_on_and_all_are_tested(self, tmp_path):
        write_classes(tmp_path, {"bad": 30, "good": 60})
        whole = FolderDataModule(tmp_path).images
        for wanted in (["good"], [1]):
            some = FolderDataModule(tmp_path, train_classes=wanted).images
            assert sizes(some) == [48, 6, 9] and some.fingerprint == whole.fingerprint
            assert rows(some.test) == rows(whole.test)
            assert some.train.labels.unique().tolist() == some.val.labels.unique().tolist() == [1]
        for split in ("train", "val", "test"):
            write_classes(tmp_path / "split" / split, {"bad": 3, "good": 6})
        assert sizes(FolderDataModule(tmp_path / "split", train_classes=["good"]).images) == [6, 6, 9]

    def test_some_digits_are_trained_on_and_all_are_tested(self):
        images = ImageDataModule("mnist_5k", train_classes=[0, 3]).images
        assert sizes(images) == [800, 100, 500] and images.train_images == 4_500
        assert images.train.labels.unique().tolist() == images.val.labels.unique().tolist() == [0, 3]
        assert len(images.test.labels.unique()) == 10
        assert images.fingerprint == ImageDataModule("mnist_5k").images.fingerprint


class TestShape:
    """Size and channels follow from the files, or are asked for."""

    def test_they_follow_from_the_files(self, tmp_path):
        write_images(tmp_path / "grey", blobs(4, (12, 10)))
        assert FolderDataModule(tmp_path / "grey").image_shape == (1, 12, 10)
        assert FolderDataModule(tmp_path / "grey", channels=3, image_size=8).image_shape == (3, 8, 8)
        write_images(tmp_path / "colour", blobs(4, (12, 10, 3)))
        assert FolderDataModule(tmp_path / "colour").image_shape == (3, 12, 10)
        assert FolderDataModule(tmp_path / "colour", channels="grey", image_size=[6, 8]).image_shape == (1, 6, 8)
        assert FolderDataModule(tmp_path).image_shape == (3, 12, 10), "3 where any has 3"

    def test_other_pixels_names_of_classes_or_splits_have_another_fingerprint(self, tmp_path):
        write_classes(tmp_path / "set", {"a": 5, "b": 5})
        seen = [FolderDataModule(tmp_path / "set").images.fingerprint]
        seen.append(FolderDataModule(tmp_path / "set", image_size=8).images.fingerprint)
        (tmp_path / "set" / "b").rename(tmp_path / "set" / "c")
        seen.append(FolderDataModule(tmp_path / "set").images.fingerprint)
        Image.fromarray(blobs(1, seed=9)[0]).save(tmp_path / "set" / "a" / "000.png")
        seen.append(FolderDataModule(tmp_path / "set").images.fingerprint)
        (tmp_path / "set").rename(tmp_path / "moved")
        assert FolderDataModule(tmp_path / "moved").images.fingerprint == seen[-1]
        assert len(set(seen)) == 4


def make(folder, kind):
    """Makes a folder that a run refuses, aside of one that is none."""
    folder.mkdir()
    if kind == "no images":
        (folder / "notes.txt").write_text("hello", encoding="utf-8")
    elif kind == "one image":
        write_images(folder, blobs(1))
    elif kind == "several sizes":
        write_images(folder, blobs(3))
        write_images(folder / "x", blobs(1, (9, 9)))
        (folder / "x" / "000.png").rename(folder / "z.png")
    elif kind == "single in class":
        write_classes(folder, {"a": 20, "b": 1})
    elif kind == "beside":
        write_classes(folder, {"a": 2, "b": 2})
        write_images(folder, blobs(1))
    elif kind == "no train":
        write_images(folder / "test", blobs(2))
        write_images(folder / "val", blobs(2))
    elif kind == "two val":
        for name in ("train", "val", "valid"):
            write_images(folder / name, blobs(2))
    elif kind == "own val":
        for name in ("train", "val", "test"):
            write_images(folder / name, blobs(2))
    elif kind == "broken":
        write_images(folder, blobs(20))
        (folder / "007.png").write_bytes((folder / "007.png").read_bytes()[:80])
        (folder / "009.png").write_bytes(b"")
    else:
        write_classes(folder, {"a": 20, "b": 20}, (12, 10, 3))


REFUSED = [
    ("no images", "", "data.path={} has no image files, and 1 others: set it to a folder with .avif, .bmp,"),
    ("one image", "", "data.path={} has 1 image: at least two are needed, one of them for test"),
    (
        "several sizes",
        "",
        "data.path={} has images of 2 sizes, 3 of 12 x 10 pixels, but z.png of 9 x 9 (height x width): "
        "set data.image_size, for instance data.image_size=10",
    ),
    ("single in class", "", "data.path={}: class b has a single image, which cannot be split: add images, or take"),
    ("beside", "", "{}/000.png is beside the folder a, a class: move each image into the folder of its class"),
    ("no train", "", "data.path={} has test and val, but no images in train: add them"),
    ("two val", "", "data.path={} has val and valid, which mean the same: keep one"),
    ("own val", "data.val_size=1", "data.path={} has validation images of its own: leave out data.val_size=1"),
    ("broken", "", "{}/009.png is empty: replace it, or set data.on_bad_image=skip to leave it out"),
    ("colour", "data.channels=1", "{}/a/000.png has 3 channels, data.channels=1 asks for one: set data.channels=grey"),
    ("colour", "data.channels=2", "data.channels must be 1, 3 or 'grey', got 2"),
    ("colour", "data.image_size=[8]", "data.image_size must be one number or [height,width], got [8]"),
    ("colour", "data.image_size=0", "data.image_size must be greater than 0 or must be a valid list, got 0"),
    ("colour", "data.val_size=36", "`val_size` must be less than the 36 training images of set, got 36"),
    ("colour", "data.train_classes=[7]", "data.train_classes=[7] leaves no images of 7 to train on: choose some of a,"),
    ("own val", "data.train_classes=[0]", "data.train_classes=[0]: the images have no classes: leave it out, or put"),
    ("colour", "data.path=/no/where", "data.path=/no/where does not exist: set it to a folder with images"),
    ("colour", "data.on_bad_image=warn", "data.on_bad_image must be 'refuse' or 'skip', got 'warn'"),
]


@pytest.mark.parametrize(("kind", "override", "message"), REFUSED)
def test_a_mistake_gets_one_line_and_leaves_nothing(kind, override, message, tmp_path, capfd):
    make(tmp_path / "set", kind)
    overrides = [f"data.path={tmp_path}/set", *filter(None, [override]), f"hydra.run.dir={tmp_path}/run"]
    said = refuse_here(train.train, capfd, *TINY, *overrides)
    assert message.format(tmp_path / "set") in said
    assert not (tmp_path / "run").exists()


def test_a_path_is_needed(tmp_path, capfd):
    assert "data.path is not set: give it a value" in refuse_here(
        train.train, capfd, *TINY, f"paths.log_dir={tmp_path}"
    )


def test_train_classes_of_digits_that_leave_nothing(tmp_path, capfd):
    overrides = ("experiment=quick", "data.train_classes=[11]", f"paths.log_dir={tmp_path}")
    said = refuse_here(train.train, capfd, *overrides)
    assert "data.train_classes=[11] leaves no images of 11 to train on: choose some of 0, 1, 2" in said


@pytest.mark.parametrize("memory_limit", [None, 0.0])
def test_bad_images_are_refused_or_named_and_skipped(memory_limit, tmp_path, caplog):
    make(tmp_path / "set", "broken")
    (tmp_path / "set" / "009.png").unlink()
    settings = {"memory_limit": memory_limit, "workers": 0}
    with pytest.raises(InputError, match=r"/007\.png cannot be decoded \(.*\): replace it, or set"):
        FolderDataModule(tmp_path / "set", **settings).setup()
    images = FolderDataModule(tmp_path / "set", on_bad_image="skip", **settings).images
    assert f"skipped: {tmp_path}/set/007.png cannot be decoded" in caplog.text
    (tmp_path / "set" / "007.png").unlink()
    without = FolderDataModule(tmp_path / "set", **settings).images
    assert sizes(images) == sizes(without) and images.fingerprint == without.fingerprint
    for name in ("train", "val", "test"):
        assert torch.equal(images.split(name).raw(slice(None)), without.split(name).raw(slice(None)))


def test_without_labels_metrics_of_classes_are_left_out(tmp_path):
    write_classes(tmp_path / "set", {"all": 40})
    run_train(tmp_path / "run", *TINY, f"data.path={tmp_path}/set")
    measured = run_evaluate(tmp_path, f"ckpt_path={tmp_path}/run/checkpoints/best.ckpt", "figures=false")
    assert {"test/mse", "pca/test_mse", "test/effective_rank"} <= measured.keys()
    assert not [name for name in measured if "class" in name or "knn" in name or "probe" in name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("classes", "shape"), [({"a": 30, "b": 30}, (12, 10, 3)), ({"all": 40}, (12, 10, 3)), ({"all": 40}, (9, 16))]
)
def test_everything_works_for_colour_and_without_labels(classes, shape, tmp_path, capfd):
    write_classes(tmp_path / "set", classes, shape)
    run = tmp_path / "run"
    trained = run_train(run, *TINY, f"data.path={tmp_path}/set", "figures=true", "callbacks=default", "views=default")
    assert trained["dataset"] == "set" and trained["test/mse"] > 0
    labelled = len(classes) > 1
    said = [line for line in capfd.readouterr().out.splitlines() if "left out" in line]
    unlabelled = f"{tmp_path}/set: no classes, so errors of each class, nearest neighbours and probes are left out"
    assert said == ([] if labelled else [unlabelled])
    assert (run / "figures" / "class_errors.png").is_file() == labelled
    assert {path.stem for path in (run / "figures").glob("*.pdf")} >= {"reconstructions", "latent_map", "traversals"}
    with Image.open(run / "tensorboard" / "projector" / "sprite.png") as sprite:
        assert sprite.mode == ("RGB" if len(shape) == 3 else "L")
    measured = run_evaluate(tmp_path / "again", f"ckpt_path={run}/checkpoints/best.ckpt")
    assert measured["test/mse"] == pytest.approx(trained["test/mse"], rel=1e-6)
    assert ("test/knn_accuracy" in measured) == ("test/mse_class_0" in measured) == labelled
    said = [line for line in capfd.readouterr().out.splitlines() if "left out" in line]
    assert said == ([] if labelled else [unlabelled])


def test_a_checkpoint_finds_its_images_in_another_folder(tmp_path):
    write_classes(tmp_path / "set", {"a": 20, "b": 20})
    run_train(tmp_path / "run", *TINY, f"data.path={tmp_path}/set", "data.image_size=8", "data.train_classes=[b]")
    (tmp_path / "set").rename(tmp_path / "moved")
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    with pytest.raises(InputError, match="does not exist"):
        restore(best)
    _, data = restore(best, str(tmp_path / "moved"))
    assert data.image_shape == (1, 8, 8) and data.images.name == "set" and len(data.images.train) == 16
    (tmp_path / "moved" / "a" / "000.png").unlink()
    with pytest.raises(InputError, match=r"has other images than the checkpoint .*: set data.path \(data_dir in"):
        restore(best, str(tmp_path / "moved"))


def test_images_without_labels_in_arrays(caplog):
    caplog.set_level("INFO")
    images = ImageDataModule.from_arrays(blobs(30), blobs(5, seed=1)).images
    assert not images.labelled and images.class_name(0) == "unlabelled"
    assert caplog.text.count("left out") == 1
