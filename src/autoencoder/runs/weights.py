"""A model as a safetensors file: its weights, with its class and settings as JSON in the file's metadata."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from autoencoder.errors import InputError
from autoencoder.models.module import FORMAT_VERSION, AutoencoderModule, model_name
from autoencoder.runs.checkpoint_format import Model, check_entries, check_version
from autoencoder.runs.folder import write_whole

SUFFIX = ".safetensors"


def write_weights(module: AutoencoderModule, path: Path) -> None:
    """Writes a model's weights, all floats as 32-bit, and its class and settings."""
    weights = {}
    for name, value in module.state_dict().items():
        dtype = torch.float32 if value.is_floating_point() else value.dtype
        weights[name] = value.to("cpu", dtype, copy=True).contiguous()  # the format has no tensors that share memory
    settings = {
        "format_version": FORMAT_VERSION,
        "model": model_name(type(module)),
        "hyper_parameters": dict(module.hparams),
    }
    write_whole(path, save(weights, {"settings": json.dumps(settings)}))


def read_weights(path: Path) -> dict[str, Any]:
    """The content of such a file, under a checkpoint's names: `model`, `hyper_parameters` and `state_dict`.

    Raises: InputError if there is no file, or it is broken, of a later version, or not an export of this project.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; src/export.py writes RUN/export/model.safetensors")
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("settings", "")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    except SafetensorError as error:
        raise InputError(f"{path} is broken or not a safetensors file ({error}): use another one") from None
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict) or not {"model", "hyper_parameters"} <= settings.keys():
        raise InputError(f"{path} has no settings of a model in its metadata: use a file that src/export.py wrote")
    content = settings | {"state_dict": weights}
    check_version(content, str(path))
    check_entries(content, Model, str(path))
    return content
