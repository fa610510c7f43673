"""Encoder and decoder as ONNX files, and how far what onnxruntime computes from them is from what torch computes."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from textwrap import shorten
from typing import ClassVar

import torch
from torch import Tensor, nn

from autoencoder.errors import InputError
from autoencoder.models.module import AutoencoderModule

PACKAGES = ("onnx", "onnxscript", "onnxruntime")  # the extra `onnx`
LARGEST = 2**31 - 2**20  # bytes of weights in a file, which protobuf limits to 2 GiB, with room for the graph
SHIFTS = (1e-6, 1e-5)  # of pixels: more than the rounding of 32-bit sums, far less than one of 256 grey values
DIRECTIONS = 6


class Half(nn.Module):
    """One direction of a model, in evaluation mode.

    Attributes: names, of its input and its output.
    """

    names: ClassVar[tuple[str, str]]

    def __init__(self, model: AutoencoderModule) -> None:
        super().__init__()
        self.model = model
        self.eval()


class Encoder(Half):
    """From images [B, C, H, W] in [-1, 1] to latents [B, latent_dim]."""

    names = ("images", "latents")

    def forward(self, images: Tensor) -> Tensor:
        return self.model.encode(images)


class Decoder(Half):
    """From latents [B, latent_dim] to reconstructions [B, C, H, W] in [-1, 1]."""

    names = ("latents", "reconstructions")

    def forward(self, latents: Tensor) -> Tensor:
        return self.model.decode(latents)


def check_packages_of_onnx() -> None:
    """Raises: InputError if a package of the extra `onnx` is not installed."""
    for package in PACKAGES:
        if find_spec(package) is None:
            raise InputError(f"src/export.py needs the package {package}: pip install -e '.[onnx]'")


def write_onnx(half: Half, inputs: Tensor, path: Path) -> None:
    """Writes an encoder or a decoder as one ONNX file that takes batches of any size.

    Args: inputs, an example, of two or more.
    Raises: InputError if it has operations that torch.export or ONNX do not know, or too many weights for one file.
    """
    half(inputs)  # outside: an error in the model itself is not one of the export
    taken, given = half.names
    batch = ({0: torch.export.Dim("batch")},)
    try:
        with quiet():
            # first alone, since torch.onnx.export would try again with a batch of the example's size alone
            traced = torch.export.export(half, (inputs,), dynamic_shapes=batch, strict=False)
            program = torch.onnx.export(
                traced,
                dynamo=True,
                dynamic_shapes=batch,  # again, for the name
                input_names=[taken],
                output_names=[given],
                verbose=False,
            )
    except Exception as error:  # of many kinds, from whatever the model's own layers call
        said = shorten(f"{type(error).__name__}: {error}", 200, placeholder=" …")
        kind = type(half).__name__.lower()
        raise InputError(f"the {kind} of {type(half.model).__name__} cannot be exported to ONNX ({said})") from None
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # the lines of code that a node is from, with the paths of this machine
    size = sum(one.const_value.nbytes for one in program.model.graph.initializers.values() if one.const_value)
    if size > LARGEST:
        raise InputError(f"{path.name} would have {size / 1e9:.1f} GB of weights, and an ONNX file holds 2 GB at most")
    program.save(path, external_data=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Hides what torch logs and prints while it traces: after a failure, whole graphs. Warnings are shown later."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(record=True) as heard, redirect_stderr(StringIO()):
            yield
    finally:
        logging.disable(before)
    for one in heard:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def difference(half: Half, path: Path, inputs: Tensor) -> float:
    """The largest difference between a file's outputs and torch's for the same inputs.

    It is relative where torch's largest output is above 1: 32-bit sums are that exact. Latents that jump, as those of a
    quantiser, may fall on the other side of an edge. So if torch gives the file's output for an input whose pixels are
    moved by at most 1e-5, that counts as equal.
    """
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
    taken, given = half.names
    [computed] = session.run([given], {taken: inputs.numpy()})
    return farthest(half, inputs, torch.from_numpy(computed))


def farthest(half: Half, inputs: Tensor, computed: Tensor) -> float:
    """The largest difference of `computed` from torch's outputs, as `difference` defines it; infinity for NaN."""
    random = torch.Generator().manual_seed(0)
    expected = half(inputs)
    if computed.shape != expected.shape:
        return float("inf")
    candidates = [expected]
    for size in SHIFTS * DIRECTIONS:
        shift = size * (torch.randint(2, inputs.shape, generator=random) * 2 - 1)
        candidates += [half(inputs + shift), half(inputs - shift)]  # an edge is crossed in one of both directions
    errors = torch.stack([(computed - one).abs().flatten(1).amax(1) for one in candidates])  # [candidates, B]
    largest = (errors.amin(0) / expected.abs().flatten(1).amax(1).clamp(min=1)).max()
    return float(largest.nan_to_num(nan=float("inf")))
