"""Each figure has its labels, its title and its content, on paper as on screen."""

import dataclasses
import re
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from autoencoder import AutoencoderModule, pictures
from autoencoder.data.images import Split
from autoencoder.data.sources import CLASS_NAMES
from autoencoder.evaluation.outputs import Outputs
from autoencoder.models.networks.mlp import MLP
from autoencoder.pictures import latent_map
from autoencoder.pictures.save import FIGURES
from autoencoder.runs.checkpoints import restore
from autoencoder.runs.history import read_history

NAMES = set(FIGURES) - {"roc"}  # of a model that was trained on all classes


@pytest.fixture(scope="module")
def model(run):
    """A trained model's outputs on the test images."""
    module, data = restore(run / "checkpoints" / "best.ckpt")
    return Outputs(module, data.images)


@pytest.fixture(scope="module")
def drawn(model, run) -> dict[str, Figure]:
    """Every figure, each drawn by the one function that a notebook would call."""
    history = read_history(run / "history.csv")
    drawn = {name: FIGURES[name](model, *((history,) if name == "loss_curves" else ())) for name in NAMES}
    images = model.images
    is_one = images.train.labels == 1
    ones = Split(images.train.pixels[is_one], images.train.labels[is_one])
    of_ones = Outputs(model.model, dataclasses.replace(images, train=ones, val=ones))
    return drawn | {"roc": FIGURES["roc"](of_ones)}


@pytest.fixture(scope="module")
def saved(model, run, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("paper") / "figures"
    assert set(pictures.save_figures(model, folder, run / "history.csv")) == NAMES
    return folder


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_axes_are_labelled_and_the_title_names_data_and_error(name, drawn, model):
    figure = drawn[name]
    error = model.errors.mean().item()
    assert figure.get_suptitle().endswith(f"\nMNIST 5k (5,000 digits), 8 latent dimensions, test mse {error:.4f}")
    lowest = figure.axes[-1]
    assert lowest.get_xlabel()
    assert all(axes.get_ylabel() or axes.get_yticklabels() for axes in figure.axes)


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_no_text_lies_over_another_or_beyond_the_page(name, drawn):
    check_texts(drawn[name])


@pytest.mark.parametrize("name", ["reconstructions", "interpolations", "class_errors", "latent_map"])
def test_long_names_of_classes_have_their_place(name, model):
    images = dataclasses.replace(model.images, class_names=CLASS_NAMES["fashion_mnist"])
    figure = FIGURES[name](Outputs(model.model, images))
    check_texts(figure)
    assert any("T-shirt/top" in text.get_text() for text in figure.findobj(Text))


def check_texts(figure: Figure) -> None:
    """Fails where a text lies over another, or beyond the page."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    shown = [(text, text.get_window_extent()) for text in texts if is_drawn(text, figure)]
    assert len(shown) > 5
    width, height = canvas.get_width_height()
    for index, (text, box) in enumerate(shown):
        words = text.get_text()
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, words
        for other, other_box in shown[index + 1 :]:
            if text.get_rotation() % 90 == other.get_rotation() % 90 == 0:  # the boxes of slanted texts say little
                widths = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
                heights = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
                assert min(widths, heights) <= 1, (words, other.get_text())  # pixels


def is_drawn(text: Text, figure: Figure) -> bool:
    """Whether matplotlib draws this text: it keeps tick labels beyond an axis's limits, but does not draw them."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            if any(text in (tick.label1, tick.label2) for tick in ticks):
                low, high = sorted(axis.get_view_interval())
                return any(text is tick.label1 and low <= tick.get_loc() <= high for tick in ticks)
    return True


@pytest.mark.parametrize("name", sorted(NAMES))
def test_files_are_neither_blank_nor_small(name, saved):
    picture = imread(saved / f"{name}.png")
    assert picture.shape[1] == 1300 and 500 < picture.shape[0] < 1500  # 6.5 inches at 200 dots each
    assert picture[:, :, :3].std() > 0.05
    paper = (saved / f"{name}.pdf").read_bytes()
    assert paper.startswith(b"%PDF") and b"/Type3" not in paper
    assert re.search(rb"/Title \(.*MNIST 5k.*test mse 0\.\d{4}\)", paper)
    assert "test mse" in text_of(paper)


def text_of(paper: bytes) -> str:
    """The words in a PDF's compressed streams, two bytes a letter; kerning splits them, here they are put together."""
    words = ""
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", paper, re.DOTALL):
        try:
            content = zlib.decompress(stream)
        except zlib.error:
            continue
        for text in re.findall(rb"\bBT\b(.*?)\bET\b", content, re.DOTALL):
            letters = b"".join(re.findall(rb"\(((?:\\.|[^\\()])*)\)", text, re.DOTALL))
            words += re.sub(rb"\\(.)", rb"\1", letters).decode("utf-16-be", "replace") + "\n"
    return words


def test_the_errors_under_the_images_are_theirs(model, drawn):
    errors = np.sort(model.errors.numpy())
    worst, median = (
        [float(label.get_text()) for label in axes.get_xticklabels()] for axes in drawn["worst_and_median"].axes
    )
    assert worst == pytest.approx(errors[::-1][:10], abs=5e-4)
    assert median == pytest.approx(errors[245:255], abs=5e-4)


def test_boxes_show_the_quartiles_of_each_class(model, drawn):
    errors, labels = model.errors.numpy(), model.labels.numpy()
    axes = drawn["class_errors"].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(label) for label in range(10)]
    heights = [patch.get_path().vertices[:, 1] for patch in axes.patches]
    for label in range(10):
        low, high = np.quantile(errors[labels == label], [0.25, 0.75])
        assert (heights[label].min(), heights[label].max()) == pytest.approx((low, high), rel=1e-5)


def test_curves_are_the_files_beside_the_lines_of_test_and_pca(model, drawn, run):
    history = read_history(run / "history.csv")
    train, val, test, pca = drawn["loss_curves"].axes[0].get_lines()
    assert train.get_ydata().tolist() == history["train/mse"] and val.get_ydata().tolist() == history["val/mse"]
    assert [test.get_ydata()[0], pca.get_ydata()[0]] == pytest.approx(
        [one.errors.mean().item() for one in (model, model.pca)]
    )


def test_the_map_says_how_many_images_it_shows(model, drawn, monkeypatch):
    assert drawn["latent_map"].get_suptitle().startswith("Map of the latents of 500 test images\n")
    monkeypatch.setattr(latent_map, "MAP_IMAGES", 50)
    figure = pictures.draw_latent_map(model, projection="pca")
    assert figure.get_suptitle().startswith("Map of the latents of 50 of 500 test images\n")
    assert len(figure.axes[0].collections[0].get_offsets()) == 50


def test_errors_that_hardly_fall_are_on_a_linear_axis_with_numbers(model):
    near = model.pca.errors.mean().item()
    history = {"epoch": [1.0, 2.0], "train/mse": [near, near * 0.9], "val/mse": [float("nan")] * 2}
    [axes] = pictures.draw_loss_curves(model, history).axes
    assert axes.get_yscale() == "linear"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "training, during the epoch",
        "test, checkpoint",
        "test, PCA",
    ]


def test_a_model_of_one_dimension_without_history_has_the_other_figures(digits, tmp_path):
    module = AutoencoderModule(latent_dim=1, network=partial(MLP, hidden_dims=[8]))
    names = pictures.save_figures(Outputs(module, digits.images), tmp_path, tmp_path / "no.csv")
    assert set(names) == NAMES - {"latent_map", "loss_curves"}
    assert {path.stem for path in tmp_path.glob("*.pdf")} == set(names)
