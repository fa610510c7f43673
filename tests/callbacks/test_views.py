"""What a run shows in its loggers: the same tags every time, at the right epochs, with something to be seen."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import QUICK, run_train
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

from autoencoder import AutoencoderModule
from autoencoder.callbacks.description import MAX_SIDE, write_projector
from autoencoder.callbacks.views import log_histogram, log_image
from autoencoder.evaluation.evaluate import mean_of_each_class
from autoencoder.pictures.panels import heat, tile

SIZES = {  # width, height of 28 px images
    "reconstructions": (10 * 28, 2 * 28),
    "errors/worst": (10 * 28, 3 * 28),
    "errors/median": (10 * 28, 3 * 28),
    "latents/traversals": (11 * 28, 8 * 28),
    "latents/interpolations": (13 * 28, 10 * 28),
}
SCALARS = {
    *("optimizer/learning_rate", "optimizer/gradient_norm", "latents/alive", "train/mse", "val/mse"),
    *(f"latents/variance/{dimension:02d}" for dimension in range(8)),
    *(f"test/mse_of_class/{label}" for label in range(10)),
}


def read_events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0, "histograms": 0})
    accumulator.Reload()
    return accumulator


def pixels(event) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))


def test_each_picture_is_there_at_its_epochs_in_its_size_and_not_blank(run):
    events = read_events(run)
    assert set(events.Tags()["images"]) >= set(SIZES)
    for tag, size in SIZES.items():
        pictures = events.Images(tag)
        assert [picture.step for picture in pictures] == [0, 1, 2, 3]
        for picture in pictures:
            assert (picture.width, picture.height) == size
            assert pixels(picture).std() > (10 if picture.step else 5)
        assert (pixels(pictures[-1]) != pixels(pictures[-2])).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_reaches_tensorboard_to_the_last_pixel_also_between_two_runs(tmp_path, channels):
    logger = TensorBoardLogger(tmp_path, name="tensorboard", version="")
    trainer = Trainer(logger=logger, enable_checkpointing=False)
    first, second = torch.randint(256, (2, channels, 5, 7), dtype=torch.uint8)
    log_image(trainer, "picture", first, epoch=0)
    logger.finalize("success")  # the end of a run closes the file
    log_image(trainer, "picture", second, epoch=3)
    logger.finalize("success")
    events = read_events(tmp_path).Images("picture")
    assert [(event.step, event.width, event.height) for event in events] == [(0, 7, 5), (3, 7, 5)]
    for event, picture in zip(events, (first, second), strict=True):
        assert np.array_equal(pixels(event), picture.permute(1, 2, 0).expand(-1, -1, 3))  # TensorBoard's are in colour


def test_the_worst_picture_is_worse_than_the_median_one(run):
    events = read_events(run)
    worst, median = (pixels(events.Images(f"errors/{name}")[-1])[56:].mean() for name in ("worst", "median"))
    assert worst > 1.5 * median > 0


def test_scalars_and_histograms_of_each_dimension_and_class(run):
    events = read_events(run)
    assert set(events.Tags()["scalars"]) >= SCALARS
    assert set(events.Tags()["histograms"]) >= {f"latents/{dimension:02d}" for dimension in range(8)}
    histograms = events.Histograms("latents/00")
    assert [histogram.step for histogram in histograms] == [0, 1, 2, 3]
    last = histograms[-1].histogram_value
    assert last.num == sum(last.bucket) == 500
    variance = last.sum_squares / 500 - (last.sum / 500) ** 2
    assert events.Scalars("latents/variance/00")[-1].value == pytest.approx(variance * 500 / 499, rel=1e-4)
    assert 1 <= events.Scalars("latents/alive")[-1].value <= 8
    rates = events.Scalars("optimizer/learning_rate")
    assert [rate.step for rate in rates] == list(range(0, 375, 50)) and rates[-1].value < rates[1].value
    norms = events.Scalars("optimizer/gradient_norm")
    assert [norm.step for norm in norms] == list(range(0, 375, 50)) and all(norm.value > 0 for norm in norms)


def test_the_error_of_all_classes_is_the_error_of_the_test_images(run, digits):
    module = AutoencoderModule.load_from_checkpoint(run / "checkpoints" / "last.ckpt")
    images = digits.images.test.images(slice(None))
    with torch.no_grad():
        expected = (module(images) - images).square().mean()
    events = read_events(run)
    logged = [events.Scalars(f"test/mse_of_class/{label}")[-1].value for label in range(10)]
    assert np.mean(logged) == pytest.approx(float(expected), rel=1e-4)  # 50 test images a class


def test_graph_and_config_can_be_read(run):
    events = read_events(run)
    assert "encoder" in str(events.Graph())
    text = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text == f"```yaml\n{(run / '.hydra' / 'config.yaml').read_text(encoding='utf-8')}\n```"


def test_hyperparameters_are_plain_and_their_headlines_come_first(run):
    content = read_events(run).summary_metadata["_hparams_/session_start_info"].plugin_data.content
    settings = parse_session_start_info_plugin_data(content).hparams
    assert sorted(settings)[:5] == ["batch_size", "dataset", "epochs", "hidden_dims", "latent_dim"]
    assert settings["latent_dim"].number_value == 8 and settings["optimizer"].string_value == "muon"
    assert not any(key.startswith("_") or "_target_" in key or "_partial_" in key for key in settings)


def test_the_projector_finds_as_many_points_labels_and_thumbnails(run):
    folder = run / "tensorboard"
    config = (folder / "projector_config.pbtxt").read_text(encoding="utf-8")
    for name in ("latents.tsv", "labels.tsv", "sprite.png"):
        assert f'"projector/{name}"' in config
    latents = np.loadtxt(folder / "projector" / "latents.tsv")
    labels = (folder / "projector" / "labels.tsv").read_text(encoding="utf-8").splitlines()
    assert latents.shape == (500, 8) and len(labels) == 501 and labels[0] == "label\tmse"
    with Image.open(folder / "projector" / "sprite.png") as sprite:
        assert sprite.size == (23 * 28, 23 * 28)  # 23 x 23 >= 500


@pytest.mark.parametrize(("count", "side", "kept", "pixels"), [(5, 28, 5, 3 * 28), (20, 4096, 4, MAX_SIDE)])
def test_a_sprite_stays_within_8192_pixels(tmp_path, count, side, kept, pixels):
    images = torch.full((count, 1, side, side), 7, dtype=torch.uint8)
    images += torch.arange(count, dtype=torch.uint8)[:, None, None, None]
    write_projector(tmp_path, torch.rand(count, 1), torch.rand(count), images, torch.zeros(count, dtype=torch.long))
    with Image.open(tmp_path / "projector" / "sprite.png") as image:
        sprite = np.asarray(image)
    assert sprite.shape == (pixels, pixels) and sprite[0, side] == 8  # the second image, right of the first
    assert np.loadtxt(tmp_path / "projector" / "latents.tsv").shape == (kept, 3)


def test_a_view_can_be_switched_off_and_the_rest_stays(tmp_path):
    off = ("views.traversals", "views.latent_histograms", "callbacks.description")
    run_train(tmp_path, *QUICK, "model.latent_dim=1", *(f"{name}=null" for name in off))
    events = read_events(tmp_path)
    tags = events.Tags()
    assert set(tags["images"]) == set(SIZES) - {"latents/traversals"}
    assert not tags["histograms"] and not tags["graph"] and "config/text_summary" not in tags["tensors"]
    assert not (tmp_path / "tensorboard" / "projector").exists()
    assert events.Scalars("latents/alive")[-1].value == 1


def test_a_run_without_a_logger_has_nothing_to_show_and_finishes(tmp_path):
    assert run_train(tmp_path, *QUICK, "logger=[]", "data.val_size=0")["epochs"] == 1


def test_a_wide_bottleneck_shows_its_first_dimensions(tmp_path):
    run_train(tmp_path, *QUICK, "model.latent_dim=40")
    events = read_events(tmp_path)
    assert len(events.Tags()["histograms"]) == 32
    assert {picture.height for picture in events.Images("latents/traversals")} == {32 * 28}
    assert events.Scalars("latents/variance/39")


def test_a_histogram_leaves_out_what_is_not_finite(tmp_path):
    logger = TensorBoardLogger(tmp_path, name="tensorboard", version="")
    trainer = Trainer(logger=logger, accelerator="cpu", enable_progress_bar=False, default_root_dir=tmp_path)
    log_histogram(trainer, "all", torch.tensor([torch.nan, torch.inf]), epoch=1)
    log_histogram(trainer, "some", torch.tensor([torch.nan, 2.0, 2.0]), epoch=1)
    logger.finalize("success")
    events = read_events(tmp_path)
    assert events.Tags()["histograms"] == ["some"]
    assert events.Histograms("some")[0].histogram_value.sum == 4


def test_tiles_lie_in_rows_and_columns():
    images = torch.linspace(-1, 1, 6).view(2, 3, 1, 1, 1).expand(2, 3, 1, 4, 5)
    picture = tile(images)
    assert picture.shape == (1, 8, 15)
    assert [picture[0, row, column].item() for row in (0, 7) for column in (0, 7, 14)] == [0, 51, 102, 153, 204, 255]


def test_an_error_map_is_black_without_and_white_with_the_largest_error():
    assert heat(torch.tensor([[[0.0, 0.5, 1.0]]])).flatten(2).squeeze(0).T.tolist() == [
        [0, 0, 0],
        [1, 0.5, 0],
        [1, 1, 1],
    ]


def test_means_of_classes_leave_out_classes_without_images():
    assert mean_of_each_class(torch.tensor([1.0, 5.0, 3.0]), torch.tensor([2, 0, 2])) == {0: 5, 2: 2}


def test_parts_of_the_description_can_be_switched_off(tmp_path):
    parts = ("callbacks.description.projector=false", "callbacks.description.graph=false", "views=none")
    run_train(tmp_path, *QUICK, *parts)
    tags = read_events(tmp_path).Tags()
    assert not tags["graph"] and not tags["images"] and "config/text_summary" in tags["tensors"]
    assert not (tmp_path / "tensorboard" / "projector").exists()
