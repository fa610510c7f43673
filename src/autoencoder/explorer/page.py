"""Writes the explorer: one HTML file that contains a trained model and runs it offline, in any browser."""

import base64
import html
import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoencoder.errors import InputError
from autoencoder.evaluation import Projection
from autoencoder.evaluation.outputs import Outputs
from autoencoder.evaluation.projection import MAP_IMAGES, spread_evenly
from autoencoder.explorer import Precision
from autoencoder.metrics import metric_rows
from autoencoder.models.module import AutoencoderModule
from autoencoder.models.networks import MLPAutoencoder
from autoencoder.pictures.panels import to_pixels
from autoencoder.pictures.style import CLASS_COLORS
from autoencoder.runs.folder import write_whole

DTYPES = {"half": torch.float16, "single": torch.float32}
ACTIVATION_NAMES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.GELU: "gelu",
    nn.LeakyReLU: "leaky_relu",
    nn.Tanh: "tanh",
}
SCRIPTS = ("page.js", "network.js", "sliders.js", "drawing.js", "map.js", "gallery.js", "main.js")  # in this order
MARKER = '<meta name="generator" content="autoencoder explorer">'  # marks files that may be overwritten
SAMPLE_PIXELS = MAP_IMAGES * 784  # at most; the default model's page then has 3 MB, also at single precision
WORST = 16
CALIBRATION_IMAGES = 1_000
TSNE_NOTE = "t-SNE keeps neighbours together; distances between groups and points on a line mean little."


def write_explorer(
    outputs: Outputs,
    metrics: Mapping[str, Any],
    path: Path,
    precision: Precision = "half",
) -> None:
    """Writes the explorer of a trained model as one self-contained file.

    The page of any model has the map of its latents, its worst reconstructions and its metrics. For a fully-connected
    model it also has the parts that run the model: sliders, drawing, interpolation.

    Args:
        outputs: of the model on the test images, which must have one channel.
        metrics: named as in `metrics.json`; missing ones are left out of the page's table.
        path: the file, in an existing folder; an older explorer there is replaced atomically.
        precision: of the weights inside the page, `half` (16 bits) or `single` (32 bits).
    Raises: InputError if `path` is another kind of file or its folder is missing, if the images have several
        channels, or if a weight is too large for `half`.
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


def check_explorable(image_shape: Sequence[int]) -> None:
    """Raises: InputError unless a page can show images of this shape: channels, height, width."""
    if image_shape[0] != 1:
        raise InputError(f"the explorer shows images with one channel, these have {image_shape[0]}: leave out explorer")


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
    template = (folder / "template.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def page_data(outputs: Outputs, metrics: Mapping[str, Any], precision: Precision = "half") -> dict[str, Any]:
    """The page's data as plain values and base64 text; arguments and errors as in `write_explorer`."""
    check_explorable(outputs.images.image_shape)
    _, height, width = outputs.images.image_shape
    latents, errors = outputs.latents, outputs.errors
    present, classes = outputs.labels.unique(return_inverse=True)  # the page numbers only these classes
    chosen = spread_evenly(len(outputs), min(max(SAMPLE_PIXELS // (height * width), WORST), MAP_IMAGES))
    return {
        "title": outputs.images.title,
        "height": height,
        "width": width,
        "latent_dim": latents.shape[1],
        "network": network_data(outputs.model, outputs.images.train.images(slice(CALIBRATION_IMAGES)), precision),
        "range": {
            "low": torch.quantile(latents, 0.01, dim=0).tolist(),
            "mean": latents.mean(0).tolist(),
            "high": torch.quantile(latents, 0.99, dim=0).tolist(),
        },
        "samples": {
            "pixels": _encode_bytes(outputs.split.raw(chosen.to(outputs.split.device))),
            "classes": classes[chosen].tolist(),
            "errors": [round(error, 5) for error in errors[chosen].tolist()],
            "latents": _encode_bytes(latents[chosen]),
            "maps": _maps(outputs, chosen),
        },
        "start": int(errors[chosen].argsort(stable=True)[len(chosen) // 2]),  # the sample that the page opens on
        "test_images": len(outputs),
        "classes": [_class(label, outputs) for label in present.tolist()],
        "worst": _worst(outputs, classes),
        "metrics": metric_rows(metrics),
        "facts": _facts(metrics),
    }


@torch.inference_mode()
def network_data(module: nn.Module, images: Tensor, precision: Precision) -> dict[str, Any] | None:
    """The layers of a fully-connected model, with weights in base64; None for any other network.

    Each layer has `inputs`, `outputs` and `activation` (as named in the config, or `none`). The weights are those of
    the encoder, then the decoder; for each layer first the matrix [outputs, inputs], then the bias [outputs]. Each bias
    corrects the average error over `images` that rounding its matrix to `half` causes; this halves the pixels' errors.

    Args: images [B, C, H, W] in [-1, 1], like those that the model was trained on.
    Raises: InputError if a weight is too large for `half`.
    """
    if not isinstance(module, AutoencoderModule) or type(module.network) is not MLPAutoencoder:
        return None
    if (type(module).encode, type(module).decode) != (AutoencoderModule.encode, AutoencoderModule.decode):
        return None
    dtype = DTYPES[precision]
    tensors: list[Tensor] = []
    layers: dict[str, list[dict[str, Any]]] = {"encoder": [], "decoder": []}
    values = images
    for part, steps in (("encoder", module.network.encoder), ("decoder", module.network.decoder)):
        for step in steps:
            if isinstance(step, nn.Linear):
                sizes = {"inputs": step.in_features, "outputs": step.out_features}
                layers[part].append(sizes | {"activation": "none"})
                lost = step.weight - step.weight.to(dtype)
                tensors += [step.weight, step.bias + lost @ values.mean(0)]
            elif type(step) in ACTIVATION_NAMES:
                layers[part][-1]["activation"] = ACTIVATION_NAMES[type(step)]
            elif not isinstance(step, nn.Flatten | nn.Unflatten):
                return None
            values = step(values)
    weights = torch.cat([tensor.flatten() for tensor in tensors]).cpu().to(dtype)
    if not weights.isfinite().all():
        raise InputError(f"precision={precision}: a weight is too large or not a number; use precision=single")
    return {"precision": precision, **layers, "weights": _encode_bytes(weights)}


def _maps(outputs: Outputs, chosen: Tensor) -> list[dict[str, Any]]:
    """The maps of the chosen latents; the page opens on the first. A single latent dimension has only one map."""
    wanted: tuple[tuple[Projection, str, str], ...] = (("tsne", "t-SNE", TSNE_NOTE), ("pca", "PCA", ""))
    maps = []
    for projection, name, note in wanted if outputs.latents.shape[1] > 1 else wanted[1:]:
        points, axes = outputs.map(projection, chosen)
        maps.append({"name": name, "points": _encode_bytes(points), "axes": list(axes), "note": note})
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
        "pixels": _encode_bytes(to_pixels(outputs.originals(indices))),
        "reconstructions": _encode_bytes(to_pixels(outputs.reconstructions(indices))),
        "errors": [round(error, 5) for error in outputs.errors[indices].tolist()],
        "classes": classes[indices].tolist(),
        "indices": indices.tolist(),
    }


def _encode_bytes(values: Tensor) -> str:
    """The values in base64, little-endian, row by row."""
    array = values.detach().cpu().contiguous().numpy()
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")
