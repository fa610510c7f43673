"""Holds a composed config against the signatures of what it builds, before any of it is imported.

A setting's name, type and limits have one home: the typed signature of the class or function that
takes it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from autoencoder.errors import InputError, arguments_of, unknown_key
from autoencoder.limits import STRICT
from autoencoder.signatures import Signature, signature_in, signature_of

HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


def check_config(config: Mapping[str, Any], entry_point: Path, function: str, given: Collection[str] = ()) -> None:
    """Checks a resolved config: its top-level keys, and every part with a `_target_` in it.

    Args:
        config: plain dicts, lists and values, interpolations resolved.
        entry_point: the file whose `function` takes the top-level keys as its arguments.
        given: arguments of that function that are no settings.
    Raises:
        InputError: for the first unknown key, wrong type or value out of its limits.
    """
    own_keys = signature_in(entry_point, function)
    if own_keys is None:
        raise ValueError(f"`entry_point` {entry_point} has no function {function}")
    settings = {name: node for name, node in own_keys.parameters.items() if name not in given}
    _check_arguments("", config, own_keys._replace(parameters=settings))
    for path, part in _parts(config, ""):
        signature = signature_of(part["_target_"])
        if signature is None:
            raise InputError(f"{path}._target_: there is no {part['_target_']!r} to be found; check its spelling")
        _check_arguments(path, part, signature)


def with_image_shape(model: Mapping[str, Any], image_shape: Sequence[int]) -> dict[str, Any]:
    """A model's config with the shape of the images that it is to be trained on, if it takes one.

    Args: model, its config; image_shape, channels, height and width of the data.
    Raises: InputError if the config has another shape.
    """
    wanted = model.get("image_shape")
    if wanted is not None and list(wanted) != list(image_shape):
        raise InputError(
            f"model.image_shape is {list(wanted)}, but the images are {list(image_shape)} "
            "(channels, height, width): leave model.image_shape out, or name other images with data or DATA_DIR"
        )
    takes_one = "image_shape" in model or "image_shape" in arguments_of(model.get("_target_"))
    return {**model, "image_shape": list(image_shape)} if takes_one else dict(model)


def _parts(node: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping with a `_target_`, with its path in the config."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from _parts(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _parts(value, f"{path}.{index}")


def _check_arguments(path: str, arguments: Mapping[str, Any], signature: Signature) -> None:
    for key, value in arguments.items():
        full_key = f"{path}.{key}" if path else str(key)
        if key in HYDRA_KEYS or (isinstance(value, Mapping) and "_target_" in value):
            continue
        if key not in signature.parameters:
            if signature.takes_any_keyword:
                continue
            raise InputError(unknown_key(full_key, list(signature.parameters)))
        try:
            TypeAdapter(signature.annotation(key), config=STRICT).validate_python(value)
        except PydanticUserError:  # an annotation that only its own library can read
            continue
        except ValidationError as error:
            limits = dict.fromkeys(one["msg"] for one in error.errors())
            allowed = " or ".join(limit.replace("Input should be", "must be") for limit in limits)
            raise InputError(f"{full_key} {allowed}, got {value!r}") from None
