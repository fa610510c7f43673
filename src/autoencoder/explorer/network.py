"""Describes a model's network for the page: the layers as plain values, the weights as base64 text."""

from typing import Any

import torch
from torch import Tensor, nn

from autoencoder.errors import InputError
from autoencoder.evaluation.outputs import evaluating
from autoencoder.explorer import Precision
from autoencoder.explorer.encoding import encode_bytes
from autoencoder.models.bottlenecks import Code
from autoencoder.models.bottlenecks.fsq import FSQ
from autoencoder.models.bottlenecks.identity import Identity
from autoencoder.models.bottlenecks.sparse import Sparse
from autoencoder.models.bottlenecks.top_k import TopK
from autoencoder.models.bottlenecks.variational import Variational
from autoencoder.models.module import AutoencoderModule

DTYPES = {"half": torch.float16, "single": torch.float32}
ACTIVATION_NAMES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.GELU: "gelu",
    nn.LeakyReLU: "leaky_relu",
    nn.Tanh: "tanh",
}


def network_data(module: nn.Module, images: Tensor, precision: Precision) -> dict[str, Any] | None:
    """The layers of encoder and decoder, with weights in base64; None for a model that the page cannot compute.

    It computes linear layers, convolutions, transposed convolutions and activations in `nn.Sequential`s, and the
    bottlenecks of this package but `VQ`, if `encode` and `decode` run just these. Each layer has a `kind` and its
    sizes, see `_describe`. The weights are those of the encoder, then the decoder; for each layer first its weights, in
    torch's order, then its bias. The bias of a linear layer corrects the average error over `images` that rounding its
    weights to `half` causes; this halves the pixels' errors of the default model.

    Args: images [B, C, H, W] in [-1, 1], like those that the model was trained on.
    Raises: InputError if a weight is too large for `half`.
    """
    if not isinstance(module, AutoencoderModule):
        return None
    if (type(module).encode, type(module).decode) != (AutoencoderModule.encode, AutoencoderModule.decode):
        return None
    network: dict[str, Any] = {"precision": precision}
    tensors: list[Tensor] = []
    values = images
    with evaluating(module):
        for name, part, whole in (
            ("encoder", [*_steps(module.network.encoder), module.bottleneck], module.encode),
            ("decoder", _steps(module.network.decoder), module.decode),
        ):
            network[name], expected = [], whole(values)
            for step in part:
                outputs = step(values.clone())  # some activations overwrite their input
                outputs = outputs.latents if isinstance(outputs, Code) else outputs
                layer = _describe(step, values.shape, outputs.shape)
                if layer is None:
                    return None
                if isinstance(step, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                    tensors += [step.weight, _bias(step, values, DTYPES[precision])]
                network[name] += layer
                values = outputs
            if not _same(values, expected):
                return None
    weights = torch.cat([tensor.flatten() for tensor in tensors]).cpu().to(DTYPES[precision])
    if not weights.isfinite().all():
        raise InputError(f"precision={precision}: a weight is too large or not a number; use precision=single")
    return network | {"weights": encode_bytes(weights)}


def _steps(part: nn.Module) -> list[nn.Module]:
    """The layers of a part in the order in which they run, also those of an `nn.Sequential` within another."""
    if type(part) is nn.Sequential:
        return [step for child in part for step in _steps(child)]
    return [part]


def _describe(step: nn.Module, before: torch.Size, after: torch.Size) -> list[dict[str, Any]] | None:
    """A layer for the page, none for one that only reshapes, or None for one that the page cannot compute.

    A convolution sees each pixel of a `small` image beside a window of a `large` one: it computes the small image from
    the large one, a transposed convolution the large from the small. Both images are [channels, height, width].
    """
    if not type(step).__module__.startswith(("torch.nn.modules.", "autoencoder.models.bottlenecks.")):
        return None  # a subclass may compute something else
    match step:
        case Identity():
            return []
        case Variational():
            return [{"kind": "mean", "count": step.latent_dim}]
        case Sparse():
            return [{"kind": "relu"}]
        case TopK():
            return [{"kind": "top_k", "k": step.k}]
        case FSQ():
            return [{"kind": "fsq", "steps": step.steps, "outermost": step.outermost, "offset": step.offset}]
        case nn.Linear() if len(before) == 2:
            return [{"kind": "linear", "inputs": before[1], "outputs": after[1]}]
        case nn.Conv2d() if _is_plain(step):
            return [{"kind": "conv2d", "small": [*after[1:]], "large": [*before[1:]], **_window(step)}]
        case nn.ConvTranspose2d() if _is_plain(step):
            return [{"kind": "conv_transpose2d", "small": [*before[1:]], "large": [*after[1:]], **_window(step)}]
        case nn.ReLU() | nn.GELU(approximate="none") | nn.LeakyReLU(negative_slope=0.01) | nn.Tanh():
            return [{"kind": ACTIVATION_NAMES[type(step)]}]
        case nn.Flatten() | nn.Unflatten() if before[0] == after[0]:
            return []  # the page holds values as a flat list, channel by channel
    return None


def _is_plain(step: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    """Whether a convolution has no groups and no dilation, and pads with zeros by numbers."""
    return (
        step.groups == 1
        and tuple(step.dilation) == (1, 1)
        and step.padding_mode == "zeros"
        and not isinstance(step.padding, str)
    )


def _window(step: nn.Conv2d | nn.ConvTranspose2d) -> dict[str, list[int]]:
    """Kernel, stride and padding, each for height and width; `output_padding` shows in the image's size alone."""
    return {"kernel": [*step.kernel_size], "stride": [*step.stride], "padding": [*map(int, step.padding)]}


def _bias(step: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, values: Tensor, dtype: torch.dtype) -> Tensor:
    """The bias [outputs] for a layer whose weights are rounded to `dtype`; `values` are its inputs."""
    outputs = step.out_features if isinstance(step, nn.Linear) else step.out_channels
    bias = step.weight.new_zeros(outputs) if step.bias is None else step.bias
    if isinstance(step, nn.Linear):
        return bias + (step.weight - step.weight.to(dtype)) @ values.mean(0)
    return bias  # a correction per channel would gain nothing


def _same(values: Tensor, expected: Tensor) -> bool:
    return values.shape == expected.shape and torch.allclose(values, expected, 1e-3, 1e-4, equal_nan=True)
