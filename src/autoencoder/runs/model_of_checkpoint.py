"""Builds the trained model of a checkpoint or an export from its class, its settings and its weights."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn

from autoencoder.errors import InputError
from autoencoder.models.module import AutoencoderModule
from autoencoder.models.parts import check_packages


def build_model(
    path: str | Path, content: Mapping[str, Any], allow_packages: Collection[str] = ()
) -> AutoencoderModule:
    """The trained model of a checkpoint, or of an exported safetensors file, that was read from `path`.

    Args: allow_packages, names of packages beside this one that its classes may be from.
    Raises: InputError if a class is not there, is not allowed or has other layers now, or if its weights are no
        numbers.
    """
    model = _model_class(path, content["model"], allow_packages)
    check_packages(content["hyper_parameters"], allow_packages, f"ckpt_path={path}")
    build = partial(model, **_own_settings(model, content["hyper_parameters"]))
    try:
        if empty := _without_memory(build):
            check_layers(path, content["state_dict"], empty)
        module = build()
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"ckpt_path={path}: {error}") from None
    except Exception as error:  # a class may do anything with settings that it was not written for
        reason = shorten(f"{type(error).__name__}: {error}", 200, placeholder=" …")
        raise InputError(
            f"ckpt_path={path} has settings with which the current {model.__name__} cannot be built ({reason}): "
            "restore the class that it was trained with"
        ) from error
    load_weights(path, content["state_dict"], module)
    return module


def load_weights(path: str | Path, weights: Mapping[str, Tensor], module: nn.Module) -> None:
    """Loads the weights of the checkpoint `path` into `module`.

    Raises: InputError if they are those of other layers, or too large for the module's precision.
    """
    check_layers(path, weights, module)
    module.load_state_dict(dict(weights))  # without what an OrderedDict may have as attributes
    if not has_finite_weights(module):
        raise InputError(f"ckpt_path={path} has infinite or NaN weights in the model's precision: use another one")


def has_finite_weights(module: nn.Module) -> bool:
    """Whether no weight and no buffer, such as a running mean, is infinite or NaN."""
    return all(bool(value.isfinite().all()) for value in module.state_dict().values() if isinstance(value, Tensor))


def check_layers(path: str | Path, weights: Mapping[str, Tensor], module: nn.Module) -> None:
    """Raises: InputError if the weights' layers are not the module's, because its class has changed since."""
    theirs, ours = ({name: _describe(one) for name, one in each.items()} for each in (weights, module.state_dict()))
    for name in [*ours, *theirs]:
        if theirs.get(name) != ours.get(name):
            raise InputError(
                f"checkpoint {path} has other layers than the current {type(module).__name__}: {name} was "
                f"{theirs.get(name, 'missing')} and is {ours.get(name, 'missing')} now; "
                "restore the class that it was trained with, or start a new run"
            )


def _describe(weights: Tensor) -> str:
    """The shape, and whether they are floats; of what precision may differ."""
    return str(list(weights.shape)) + ("" if weights.is_floating_point() else f" of {weights.dtype}")


def _without_memory(build: Callable[[], AutoencoderModule]) -> AutoencoderModule | None:
    """The model without memory for its weights, since settings can ask for any size; None if that is not possible."""
    with suppress(Exception), torch.device("meta"):  # if the settings are wrong, the model's own building says so
        return build()
    return None


def _model_class(path: str | Path, name: str, allow_packages: Collection[str]) -> type[AutoencoderModule]:
    """The class of a checkpoint's model, by its `model_name`.

    Raises: InputError for a class outside this package and those allowed: a checkpoint must not run other code.
    """
    home, _, own_name = name.rpartition(".")
    if home:
        check_packages({"": {"_target_": name}}, allow_packages, f"ckpt_path={path}")
    try:
        found = getattr(import_module(home or "autoencoder"), own_name, None)
    except (ImportError, ValueError):  # ValueError: a name that no file can have
        found = None
    if not (isinstance(found, type) and issubclass(found, AutoencoderModule)):
        raise InputError(f"ckpt_path={path} needs the model class {name}, which does not exist: restore its file")
    return found


def _own_settings(model: type[AutoencoderModule], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those that a subclass sets itself and does not take."""
    takes = signature(model).parameters
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in takes.values()):
        return dict(settings)
    inherited = signature(AutoencoderModule).parameters.keys() - takes.keys()
    return {name: value for name, value in settings.items() if name not in inherited}
