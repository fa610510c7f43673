"""predict.py says of any folder of images what evaluation says of them, and writes all of it or nothing."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import call, command, read_metrics, refuse_here, run_train
from made_images import blobs, write_classes, write_images
from PIL import Image, ImageOps

import predict
from autoencoder import load
from autoencoder.data.sources import load_images
from autoencoder.evaluation.outputs import Outputs
from autoencoder.evaluation.predictions import Predictions, Summary
from autoencoder.runs.checkpoints import restore

FILES = {"predictions.csv", "latents.npy", "worst.png", "metrics.json", "predict.log", ".hydra"}
TINY = ("trainer.max_epochs=1", "callbacks=light", "logger=[]", "model.latent_dim=4", "model.network.hidden_dims=[16]")


def run_predict(folder: Path, run: Path, images: Path, *overrides: str) -> tuple[list[dict[str, str]], np.ndarray]:
    """One prediction into `folder`; returns the rows of predictions.csv, and latents.npy."""
    best = f"ckpt_path={run}/checkpoints/best.ckpt"
    call(predict.predict, best, f"input={images}", f"hydra.run.dir={folder}", *overrides)
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file)), np.load(folder / "latents.npy")


def numbers(rows: list[dict[str, str]], column: str) -> np.ndarray:
    return np.array([float(row[column]) for row in rows])


@pytest.fixture(scope="module")
def folder_run(tmp_path_factory) -> Path:
    """A run on colour images in folders of classes, beside its images in `images`."""
    folder = tmp_path_factory.mktemp("folder_run")
    write_classes(folder / "images", {"cats": 30, "dogs": 30}, (12, 10, 3))
    run_train(folder, "data=folder", f"data.path={folder}/images", *TINY)
    return folder


def test_predictions_are_those_of_evaluation_on_the_same_images(run, tmp_path):
    module, datamodule = restore(run / "checkpoints" / "best.ckpt")
    val = Outputs(module, datamodule.images, "val")
    write_images(tmp_path / "in", datamodule.images.val.pixels[:, 0].numpy())
    rows, latents = run_predict(tmp_path / "out", run, tmp_path / "in")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert [row["file"] for row in rows] == [f"{number:03d}.png" for number in range(500)]
    torch.testing.assert_close(torch.from_numpy(latents), val.latents)
    errors, psnr = (values.double().numpy() for values in val.score("mse", "psnr").values())
    np.testing.assert_allclose(numbers(rows, "mse"), errors, rtol=1e-5)
    np.testing.assert_allclose(numbers(rows, "psnr"), psnr, rtol=1e-5)
    np.testing.assert_allclose(numbers(rows, "z_score"), (errors - errors.mean()) / errors.std(), rtol=1e-3, atol=1e-5)
    measured = read_metrics(tmp_path / "out")
    assert (measured["status"], measured["images"], measured["skipped"]) == ("finished", 500, 0)
    assert (measured["input/mse"], measured["input/psnr"]) == pytest.approx((errors.mean(), psnr.mean()), rel=1e-6)


def test_the_nearest_training_image_of_one_is_itself_by_its_index_in_the_data(run, tmp_path):
    chosen = np.arange(0, 4500, 9)
    known = load_images("mnist_5k", "", False).train_images[:, 0].numpy()
    trained_on = restore(run / "checkpoints" / "best.ckpt")[1].images.train_sources
    (tmp_path / "in").mkdir()
    for index in chosen:
        Image.fromarray(known[index]).save(tmp_path / "in" / f"{index}.png")
    rows, _ = run_predict(tmp_path / "out", run, tmp_path / "in")
    own = {row["file"].removesuffix(".png"): row["nearest_training_image"] for row in rows}
    kept = {str(index) for index in trained_on} & own.keys()
    assert len(kept) > 400 and {index: own[index] for index in kept} == {index: index for index in kept}
    assert all(int(other) in trained_on for other in own.values())


def test_of_a_folder_the_nearest_image_is_a_file(folder_run, tmp_path):
    rows, _ = run_predict(tmp_path, folder_run, folder_run / "images")
    nearest = {row["file"]: row["nearest_training_image"] for row in rows}
    trained_on = {
        os.fsdecode(name) for name in restore(folder_run / "checkpoints" / "best.ckpt")[1].images.train_sources
    }
    assert len(trained_on) == 48 and all(nearest[name] == name for name in trained_on)
    assert set(nearest.values()) == trained_on and len(nearest) == 60


def test_other_sizes_and_grey_images_are_converted_as_in_training(folder_run, tmp_path):
    write_images(tmp_path / "in" / "deep" / "down", blobs(3, (30, 20)), ".jpg")
    rows, latents = run_predict(tmp_path / "out", folder_run, tmp_path / "in", "reconstructions=true")
    module = load(folder_run / "checkpoints" / "best.ckpt")
    for row, row_latents in zip(rows, latents, strict=True):
        with Image.open(tmp_path / "in" / row["file"]) as image:
            pixels = np.asarray(ImageOps.fit(image.convert("RGB"), (10, 12))).transpose(2, 0, 1).copy()
        images = torch.from_numpy(pixels).float()[None] / 127.5 - 1
        with torch.inference_mode():
            expected, reconstruction = module.encode(images), module(images)[0]
        np.testing.assert_allclose(row_latents, expected[0], rtol=1e-4, atol=1e-5)
        assert float(row["mse"]) == pytest.approx((reconstruction - images[0]).square().mean().item(), rel=1e-4)
        written = np.asarray(Image.open(tmp_path / "out" / "reconstructions" / f"{row['file']}.png"))
        assert np.abs(written - (reconstruction.numpy().transpose(1, 2, 0).clip(-1, 1) + 1) * 127.5).max() <= 0.51
    assert "3 of 3 images are scaled to 12 x 10" in (tmp_path / "out" / "predict.log").read_text(encoding="utf-8")
    assert [row["file"] for row in rows] == [f"deep/down/00{number}.jpg" for number in range(3)]


def test_without_validation_images_z_scores_are_of_the_training_images(tmp_path):
    images = tmp_path / "images"
    write_images(images, blobs(40))
    run_train(tmp_path / "run", "data=folder", f"data.path={images}", "data.val_size=0", *TINY)
    rows, _ = run_predict(tmp_path / "out", tmp_path / "run", images)
    module, datamodule = restore(tmp_path / "run" / "checkpoints" / "best.ckpt")
    errors = Outputs(module, datamodule.images, "train").errors.double().numpy()
    expected = (numbers(rows, "mse") - errors.mean()) / errors.std()
    np.testing.assert_allclose(numbers(rows, "z_score"), expected, rtol=1e-3, atol=1e-4)
    said = (tmp_path / "out" / "predict.log").read_text(encoding="utf-8")
    assert "z-scores refer to the errors of the training images" in said


def test_a_file_that_cannot_be_decoded_is_left_out_or_ends_it_with_nothing_written(run, tmp_path, capfd):
    """Its header is whole, so that it is found after the first images have been predicted."""
    digits = np.random.default_rng(0).integers(0, 256, (300, 28, 28), np.uint8)
    broken = write_images(tmp_path / "in", digits)[280]
    broken.write_bytes(broken.read_bytes()[:-300])
    out = f"hydra.run.dir={tmp_path}/out"
    best = f"ckpt_path={run}/checkpoints/best.ckpt"
    capfd.readouterr()
    with pytest.raises(SystemExit, match="1"):
        call(predict.predict, best, f"input={tmp_path}/in", out, "reconstructions=true")
    *_, last = capfd.readouterr().out.splitlines()
    assert f"error: {broken} cannot be decoded" in last and "set on_bad_image=skip" in last
    assert not (tmp_path / "out").exists()
    rows, latents = run_predict(tmp_path / "out", run, tmp_path / "in", "on_bad_image=skip", "reconstructions=true")
    assert [row["file"] for row in rows] == [f"{number:03d}.png" for number in range(300) if number != 280]
    assert latents.shape == (299, 8) and np.isfinite(latents).all()
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | {"reconstructions"}
    assert len(list((tmp_path / "out" / "reconstructions").iterdir())) == 299
    assert read_metrics(tmp_path / "out")["skipped"] == 1


MISTAKES = [  # what is in the folder, the setting, the message
    ("nothing", "", "input={} has no image files, and 0 others: set it to a folder with"),
    ("text", "", "input={} has no image files, and 1 others"),
    ("absent", "", "input={} does not exist: set it to a folder with images"),
    ("colour", "", "{}/000.png has 3 channels, the model's images have one: set channels=grey"),
    ("broken", "", "{}/a.png is not an image, or broken: replace it, or set on_bad_image=skip to leave it out"),
    ("broken", "on_bad_image=skip", "input={} has no image that can be used, a.png is not an image, or broken"),
    ("colour", "channels=rgb", "channels must be 'grey', got 'rgb'"),
    ("colour", "data.channels=grey", "unknown key 'data': allowed keys are"),
]


@pytest.mark.parametrize(("content", "setting", "message"), MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(run, tmp_path, capfd, content, setting, message):
    folder = tmp_path / "in"
    if content != "absent":
        folder.mkdir()
    if content == "colour":
        write_images(folder, blobs(2, (28, 28, 3)))
    elif content in ("text", "broken"):
        (folder / {"text": "a.txt", "broken": "a.png"}[content]).write_text("no image", encoding="utf-8")
    best = (f"ckpt_path={run}/checkpoints/best.ckpt", f"hydra.run.dir={tmp_path}/out", *([setting] if setting else []))
    assert message.format(folder) in refuse_here(predict.predict, capfd, f"input={folder}", *best)
    assert not (tmp_path / "out").exists()


def test_colour_becomes_grey_if_asked(run, tmp_path):
    [path] = write_images(tmp_path / "colour", blobs(1, (28, 28, 3)))
    (tmp_path / "grey").mkdir()
    Image.open(path).convert("L").save(tmp_path / "grey" / path.name)
    rows = [
        run_predict(tmp_path / f"out_{name}", run, tmp_path / name, "channels=grey")[0] for name in ("colour", "grey")
    ]
    assert rows[0] == rows[1]


def test_any_name_of_a_file_is_written_and_drawn(run, tmp_path):
    names = ["a$^$.png", "long" * 20 + ".png", 'with "quotes", commas.png', "zwölf.png"]
    (tmp_path / "in $x$").mkdir()
    for name, digit in zip(names, blobs(4, (28, 28)), strict=True):
        Image.fromarray(digit).save(tmp_path / "in $x$" / name)
    rows, _ = run_predict(tmp_path / "out", run, tmp_path / "in $x$")
    assert [row["file"] for row in rows] == sorted(names, key=os.fsencode)
    assert (tmp_path / "out" / "worst.png").is_file()
    assert "left out" not in (tmp_path / "out" / "predict.log").read_text(encoding="utf-8")


def test_the_images_with_the_largest_errors_are_kept_whatever_the_batches():
    generator = torch.Generator().manual_seed(0)
    errors = torch.rand(100, generator=generator)
    images = errors[:, None, None, None].expand(-1, 1, 2, 2)
    summary = Summary(keep=7)
    for part in torch.arange(100).split(9):
        names, some = [str(index) for index in part.tolist()], errors[part]
        summary.add(Predictions(names, images[part], -images[part], some[:, None], some, some + 20, names, some * 6))
    order = errors.argsort(descending=True)[:7]
    assert [case.name for case in summary.worst] == [str(index) for index in order.tolist()]
    assert torch.equal(torch.stack([case.image for case in summary.worst]), images[order])
    assert (summary.mse, summary.psnr) == pytest.approx((errors.mean().item(), errors.mean().item() + 20))
    assert (summary.count, summary.high) == (100, int((errors > 0.5).sum()))


@pytest.mark.slow
def test_ten_times_as_many_images_take_the_memory_of_one_batch(run, tmp_path):
    """Peak memory of the command, in its own process, for 1,000 and for 10,000 images."""
    peaks = []
    for count in (1_000, 10_000):
        path = write_images(tmp_path / str(count), blobs(1, (28, 28)))[0]
        for number in range(1, count):
            os.link(path, path.with_name(f"{number:05d}.png"))
        code = (
            "import resource, sys, predict; sys.argv[0] = 'predict.py'\n"
            "predict.predict()\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        best = f"ckpt_path={run}/checkpoints/best.ckpt"
        arguments = ("-c", code, best, f"input={tmp_path}/{count}", f"hydra.run.dir={tmp_path}/out_{count}")
        result = command(*arguments, PYTHONPATH="src")
        assert result.returncode == 0, result.stderr
        peaks.append(int(result.stdout.splitlines()[-1]) / 1024)
    assert peaks[1] - peaks[0] < 40, peaks  # MB; the images alone would take 30 as float32, latents and rows more
