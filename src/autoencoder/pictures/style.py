"""What all figures share: size, title, colours that the colour-blind can tell apart, and panels of images."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from torch import Tensor

from autoencoder.data.datamodule import ImageDataModule
from autoencoder.data.pixels import denormalize
from autoencoder.evaluation.evaluate import score_images
from autoencoder.models.module import AutoencoderModule

WIDTH = 6.5  # inches: the text's width on a page with one column
HIGHEST_PANEL, LARGEST_IMAGE = 8.0, 1.2  # inches
LOWEST_ROW = 0.15  # inches, for a label beside it
ERROR_UNIT = "mean squared error per pixel, images in [−1, 1]"
BLUE, ORANGE = "#0072B2", "#D55E00"  # of Okabe and Ito's palette (2008)
CLASS_COLORS = (  # Paul Tol's muted scheme (2021), its grey made darker
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#777777"),
)


def new_figure(height: float, subject: str, module: AutoencoderModule, title: str, test_mse: float) -> Figure:
    """An empty figure of `height` inches, over it the subject, the data set, the latent dimensions and the error."""
    figure = Figure(figsize=(WIDTH, height), dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
    figure.suptitle(f"{subject}\n{title}, {module.latent_dim} latent dimensions, test mse {test_mse:.4f}", fontsize=9)
    return figure


def test_errors(module: AutoencoderModule, datamodule: ImageDataModule) -> Tensor:
    """The mean squared error per pixel, in [-1, 1], of each test image, [N] on the CPU."""
    module.eval().to(datamodule.images.test_images.device)
    return score_images(module, datamodule.evaluation_batches("test")).mse.cpu()


def show_images(axes: Axes, images: Tensor) -> None:
    """Shows `images` [rows, columns, C, H, W] in [-1, 1] as one picture; a pixel's centre is at its index."""
    channels = images.shape[2]
    picture = denormalize(images.float().clone()).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1).cpu()
    shown = picture[:, :, 0] if channels == 1 else picture
    axes.imshow(shown.numpy(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.tick_params(length=0, labelsize=7)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)


def inches(rows: int, columns: int, height: float, width: float, share: float = 0.86) -> float:
    """How high a panel of `rows` x `columns` images of `height` x `width` pixels is drawn.

    It fills `share` of the figure's width, unless it were higher than a page or its images larger than an inch or two:
    one column of images is then in the middle.
    """
    pixel = min(WIDTH * share / (columns * width), LARGEST_IMAGE / max(height, width), HIGHEST_PANEL / (rows * height))
    return rows * max(pixel * height, LOWEST_ROW)


def centres(count: int, size: int) -> list[float]:
    """Where `count` images of `size` pixels side by side have their middle."""
    return [(index + 0.5) * size - 0.5 for index in range(count)]


def tidy(axes: Axes) -> None:
    """Takes away the upper and the right border of a chart, and sets the size of its numbers."""
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
