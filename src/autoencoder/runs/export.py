"""Exports a model into a folder for other programs: ONNX, safetensors, and a README that says how to load each."""

import os
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch

from autoencoder.errors import InputError
from autoencoder.models.module import AutoencoderModule
from autoencoder.runs.checkpoints import load
from autoencoder.runs.onnx_files import Decoder, Encoder, difference, write_onnx
from autoencoder.runs.weights import write_weights

ENCODER, DECODER, WEIGHTS, README = FILES = ("encoder.onnx", "decoder.onnx", "model.safetensors", "README.md")
TOLERANCE = 1e-5
BATCHES = (7, 1, 32)  # images that the files are checked with


class Differences(NamedTuple):
    """The largest differences between onnxruntime and torch."""

    latents: float
    reconstructions: float


@torch.no_grad()
def write_export(module: AutoencoderModule, output: Path, allow_packages: Collection[str] = ()) -> Differences:
    """Writes the folder `output`, after its files have been checked; an earlier export there is replaced.

    The ONNX files are made from the safetensors file, so what one computes holds for the others.

    Args: allow_packages, as in `load`.
    Raises: InputError if `output` cannot be written, if the model has what ONNX lacks, or if a file computes something
        else than torch.
    """
    check_output(output)
    with TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        new.mkdir()
        write_weights(module, new / WEIGHTS)
        model, traceable = (load(new / WEIGHTS, allow_packages) for _ in range(2))
        traceable.bottleneck.make_traceable()
        differences = _write_checked(model, traceable, new)
        (new / README).write_text(readme(model, allow_packages), encoding="utf-8")
        if output.exists():
            output.rename(old)
        new.rename(output)
    return differences


def _write_checked(model: AutoencoderModule, traceable: AutoencoderModule, folder: Path) -> Differences:
    """Writes both ONNX files from `traceable`, and compares them with what torch computes from `model`.

    Raises: InputError if a difference is above the tolerance.
    """
    random = torch.Generator().manual_seed(0)
    batches = [torch.rand(count, *model.image_shape, generator=random) * 2 - 1 for count in BATCHES]
    found = []
    for half, name in ((Encoder, ENCODER), (Decoder, DECODER)):
        in_torch = half(model)
        write_onnx(half(traceable), batches[0], folder / name)
        found.append(max(difference(in_torch, folder / name, batch) for batch in batches))
        if not found[-1] <= TOLERANCE:
            raise InputError(
                f"{name} differs from torch by {found[-1]:.1e}, more than {TOLERANCE:.0e}, and is not kept: a layer of "
                "the model computes something else in ONNX"
            )
        batches = [in_torch(batch) for batch in batches]
    return Differences(*found)


def check_output(path: Path) -> None:
    """Raises: InputError unless `path` is a new, an empty or an export's folder, in a folder that can be written to."""
    if not path.parent.is_dir():
        raise InputError(f"output={path}: there is no folder {path.parent}; make it, or choose another output")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"output={path}: {path.parent} cannot be written to; choose another output")
    if path.exists() and not path.is_dir():
        raise InputError(f"output={path} is a file, and an export is a folder: choose another output")
    names = {file.name for file in path.iterdir()} if path.is_dir() else set()
    if names and names != set(FILES):
        raise InputError(
            f"output={path} holds {min(names - set(FILES) or names)} and is not an export: choose a new folder"
        )


def readme(model: AutoencoderModule, allow_packages: Collection[str]) -> str:
    """Three lines: how to load each file."""
    shape = f"[B, {', '.join(map(str, model.image_shape))}]"
    allowed = f", allow_packages={list(allow_packages)}" if allow_packages else ""
    run = 'import onnxruntime; [{1}] = onnxruntime.InferenceSession("{2}").run(None, {{"{0}": {0}}})'
    return (
        f"- {ENCODER}, from float32 images {shape} in [-1, 1] to latents [B, {model.latent_dim}]: "
        f"`{run.format(*Encoder.names, ENCODER)}`\n"
        f"- {DECODER}, from float32 latents to reconstructions {shape} in [-1, 1]: "
        f"`{run.format(*Decoder.names, DECODER)}`\n"
        f'- {WEIGHTS}, the model in torch: `from autoencoder import load; model = load("{WEIGHTS}"{allowed})`\n'
    )
