"""Writes the explorer: one HTML file that contains a trained model and runs it offline, in any browser."""

import html
import json
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from torch import Tensor

from autoencoder.errors import InputError
from autoencoder.evaluation import Projection
from autoencoder.evaluation.outputs import Outputs
from autoencoder.evaluation.projection import MAP_IMAGES, spread_evenly
from autoencoder.explorer import Precision
from autoencoder.explorer.axes import slider_axes
from autoencoder.explorer.encoding import encode_bytes
from autoencoder.explorer.network import network_data
from autoencoder.metrics import metric_rows
from autoencoder.models.bottlenecks.variational import Variational
from autoencoder.pictures.html_page import fill_page
from autoencoder.pictures.panels import to_pixels
from autoencoder.pictures.style import CLASS_COLORS
from autoencoder.runs.folder import write_whole

SCRIPTS = (  # in this order
    *("page.js", "convolution.js", "network.js", "sliders.js", "ink.js", "drawing.js"),
    *("plane.js", "map.js", "gallery.js", "main.js"),
)
MARKER = '<meta name="generator" content="autoencoder explorer">'  # marks files that may be overwritten
ROOM = 1_950_000  # bytes for weights and samples; the pages of the default models then have 3 MB at most
WORST = 16
CALIBRATION_IMAGES = 300
TSNE_NOTE = "t-SNE keeps neighbours together; distances between groups and points on a line mean little."


def write_explorer(
    outputs: Outputs,
    metrics: Mapping[str, Any],
    path: Path,
    precision: Precision = "half",
) -> None:
    """Writes the explorer of a trained model as one self-contained file.

    The page of any model has the map of its latents, its worst reconstructions and its metrics. For a model that
    `network_data` can describe, it also has the parts that run it: sliders, drawing, interpolation, and the plane of
    two latent dimensions.

    Args:
        outputs: of the model on the test images.
        metrics: named as in `metrics.json`; missing ones are left out of the page's table.
        path: the file, in an existing folder; an older explorer there is replaced atomically.
        precision: of the weights inside the page, `half` (16 bits) or `single` (32 bits).
    Raises: InputError if `path` is another kind of file or its folder is missing, or if a weight is too large
        for `half`.
    """
    check_output(path)
    page = build_page(page_data(outputs, metrics, precision))
    write_whole(path, page)


def check_output(path: Path) -> None:
    """Raises: InputError unless the folder of `path` exists, and `path` does not exist or is an explorer page."""
    if not path.parent.is_dir():
        raise InputError(f"output={path}: there is no folder {path.parent}; make it, or choose another output")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"output={path} cannot be written to: choose another output")
    if not path.exists():
        return
    if not path.is_file():
        raise InputError(f"output={path} is not a file: set it to a file name, such as {path / 'explorer.html'}")
    with path.open("rb") as file:
        if MARKER.encode() not in file.read(4096):
            raise InputError(f"output={path} exists and is not an explorer page: move it, or choose another output")


def build_page(data: Mapping[str, Any]) -> str:
    """The page's HTML: the template with style, scripts and `page_data` filled in."""
    folder = files(__package__)
    content = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    parts = {
        "marker": MARKER,
        "title": html.escape(f"{data['title']}: explorer of {data['latent_dim']} latent dimensions"),
        "style": (folder / "style.css").read_text(encoding="utf-8"),
        "scripts": "\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS),
        "data": content,
    }
    return fill_page((folder / "template.html").read_text(encoding="utf-8"), parts)


def page_data(outputs: Outputs, metrics: Mapping[str, Any], precision: Precision = "half") -> dict[str, Any]:
    """The page's data as plain values and base64 text; arguments and errors as in `write_explorer`."""
    channels, height, width = outputs.images.image_shape
    latents, errors = outputs.latents, outputs.errors
    present, classes = outputs.labels.unique(return_inverse=True)  # the page numbers only these classes
    has_prior = isinstance(getattr(outputs.model, "bottleneck", None), Variational)
    network = network_data(outputs.model, outputs.images.train.images(slice(CALIBRATION_IMAGES)), precision)
    # Large models leave less room for samples, but never less than a quarter.
    room = max(ROOM - len(network["weights"]) * 3 // 4, ROOM // 4) if network else ROOM
    chosen = spread_evenly(len(outputs), min(max(room // (channels * height * width), WORST), MAP_IMAGES))
    return {
        "title": outputs.images.title,
        "channels": channels,
        "height": height,
        "width": width,
        "latent_dim": latents.shape[1],
        "network": network,
        "mean": latents.mean(0).tolist(),
        "samples": {
            "pixels": encode_bytes(outputs.split.raw(chosen.to(outputs.split.device))),
            "classes": classes[chosen].tolist(),
            "errors": [round(error, 5) for error in errors[chosen].tolist()],
            "latents": encode_bytes(latents[chosen]),
            "maps": _maps(outputs, chosen),
        },
        "axes": slider_axes(latents, has_prior),
        "has_prior": has_prior,
        "start": int(errors[chosen].argsort(stable=True)[len(chosen) // 2]),  # the sample that the page opens on
        "test_images": len(outputs),
        "classes": [_class(label, outputs) for label in present.tolist()],
        "worst": _worst(outputs, classes),
        "metrics": metric_rows(metrics),
        "facts": _facts(metrics),
    }


def _maps(outputs: Outputs, chosen: Tensor) -> list[dict[str, Any]]:
    """The maps of the chosen latents; the page opens on the first. A single latent dimension has only one map."""
    wanted: tuple[tuple[Projection, str, str], ...] = (("tsne", "t-SNE", TSNE_NOTE), ("pca", "PCA", ""))
    maps = []
    for projection, name, note in wanted if outputs.latents.shape[1] > 1 else wanted[1:]:
        points, axes = outputs.map(projection, chosen)
        maps.append({"name": name, "points": encode_bytes(points), "axes": list(axes), "note": note})
    return maps


def _class(label: int, outputs: Outputs) -> dict[str, str]:
    return {"name": outputs.images.class_name(label), "color": CLASS_COLORS[label % len(CLASS_COLORS)]}


def _facts(metrics: Mapping[str, Any]) -> list[str]:
    """The known facts about the run, for the page's header."""
    facts = {
        "train_size": "training images",
        "test_size": "test images",
        "parameters": "parameters",
        "epochs": "epochs",
    }
    return [f"{metrics[key]:,} {words}" for key, words in facts.items() if metrics.get(key) is not None]


def _worst(outputs: Outputs, classes: Tensor) -> dict[str, Any]:
    indices = outputs.errors.argsort(descending=True, stable=True)[:WORST]
    return {
        "pixels": encode_bytes(to_pixels(outputs.originals(indices))),
        "reconstructions": encode_bytes(to_pixels(outputs.reconstructions(indices))),
        "errors": [round(error, 5) for error in outputs.errors[indices].tolist()],
        "classes": classes[indices].tolist(),
        "indices": indices.tolist(),
    }
