"""Charts of errors: over the epochs, in each class, and as a detector of other classes."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autoencoder.evaluation.evaluate import mean
from autoencoder.evaluation.outputs import Outputs
from autoencoder.metrics.anomaly import auroc, roc_curve
from autoencoder.pictures.panel_figures import new_figure
from autoencoder.pictures.panels import ERROR_UNIT
from autoencoder.pictures.style import BLUE, ORANGE, make_logarithmic, tidy

MOST_NAMES = 5  # of classes in a title


def draw_loss_curves(outputs: Outputs, history: Mapping[str, Sequence[float]]) -> Figure:
    """Training and validation error over the epochs, and the test errors of the model and of PCA as horizontal lines.

    The error axis is logarithmic if errors differ by more than a factor of five.

    Args: history, the columns of history.csv, see `autoencoder.runs.history.read_history`.
    """
    test_mse, pca_mse = mean(outputs.errors), mean(outputs.pca.errors)
    figure = new_figure(3.4, "Error by epoch", outputs)
    axes = figure.subplots()
    curves = (("train/mse", "training, during the epoch", BLUE, "o-"), ("val/mse", "validation", ORANGE, "s--"))
    for name, label, color, line in curves:
        if any(value == value for value in history[name]):  # NaN where there are no validation images
            axes.plot(history["epoch"], history[name], line, color=color, label=label, markersize=3, linewidth=1.2)
    axes.axhline(test_mse, color="black", linewidth=0.8, linestyle=":", label=f"{outputs.title}, checkpoint")
    axes.axhline(pca_mse, color="grey", linewidth=0.8, linestyle="-.", label=f"{outputs.title}, PCA")
    shown = [pca_mse] + [value for name, *_ in curves for value in history[name] if value == value]
    if max(shown, default=0) > 5 * min(shown, default=0) > 0:
        make_logarithmic(axes.yaxis)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch", fontsize=8)
    axes.set_ylabel(ERROR_UNIT.replace(", ", ",\n", 1), fontsize=8)
    tidy(axes)
    axes.legend(frameon=False, fontsize=8)
    return figure


def draw_class_errors(outputs: Outputs) -> Figure:
    """The distribution of test errors in each class: quartiles, 5 % to 95 %, and the mean."""
    errors, labels = outputs.errors, outputs.labels
    classes = labels.unique().tolist()
    figure = new_figure(3.4, "Error by class", outputs)
    axes = figure.subplots()
    boxes = axes.boxplot(
        [errors[labels == label].numpy() for label in classes],
        tick_labels=[outputs.images.class_name(label) for label in classes],
        whis=(5, 95),
        showfliers=False,
        showmeans=True,
        patch_artist=True,
        boxprops={"facecolor": "#CFE4F2", "edgecolor": BLUE},
        medianprops={"color": BLUE},
        whiskerprops={"color": BLUE},
        capprops={"color": BLUE},
        meanprops={"marker": "D", "markerfacecolor": ORANGE, "markeredgecolor": ORANGE, "markersize": 4},
    )
    line = axes.axhline(mean(errors), color="black", linewidth=0.8, linestyle=":")
    figure.legend(
        [boxes["boxes"][0], boxes["whiskers"][0], boxes["means"][0], line],
        ["quartiles and median", "5 % to 95 % of the images", "class mean", "overall mean"],
        frameon=False,
        fontsize=8,
        ncols=4,
        loc="outside lower center",
    )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("class", fontsize=8)
    axes.set_ylabel(ERROR_UNIT.replace(", ", ",\n", 1), fontsize=8)
    tidy(axes)
    return figure


def draw_roc(outputs: Outputs) -> Figure:
    """ROC curves of the error as a detector of the classes that were not trained on: the model's and PCA's.

    Args: outputs, with images of classes that were trained on and of others.
    """
    trained_on = [outputs.images.class_name(label) for label in outputs.labels[outputs.is_normal].unique().tolist()]
    names = ", ".join(trained_on) if len(trained_on) <= MOST_NAMES else f"{len(trained_on)} classes"
    figure = new_figure(3.8, f"Other classes told from {names} by the error: ROC curve", outputs)
    axes = figure.subplots()
    for name, one, color, line in (("autoencoder", outputs, BLUE, "-"), ("PCA", outputs.pca, ORANGE, "--")):
        label = f"{name}, AUROC {auroc(one.errors, outputs.is_normal):.4f}"
        axes.plot(*roc_curve(one.errors, outputs.is_normal), line, color=color, label=label, linewidth=1.2)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":", label="chance, 0.5")
    axes.set_aspect("equal")
    axes.set_xlabel("share of the images of classes trained on\nwith an error above a threshold", fontsize=8)
    axes.set_ylabel("share of the images of other classes\nwith an error above it", fontsize=8)
    tidy(axes)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return figure
