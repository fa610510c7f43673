"""Checks a composed config against the signatures of the classes and functions that it names, without importing them.

Names, types and limits are declared only there, in the Python signatures; YAML only sets values.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from autoencoder.cli.empty_groups import COLLECTIONS
from autoencoder.cli.errors import arguments_of, groups, missing_group, unknown_key
from autoencoder.cli.own_configs import named_in_configs
from autoencoder.cli.signatures import Signature, any_signature, names_beside, signature_of_function
from autoencoder.cli.spelling import did_you_mean, dotted_keys
from autoencoder.cli.targets import check_origin, check_target
from autoencoder.errors import InputError
from autoencoder.limits import STRICT
from autoencoder.packages import is_in
from autoencoder.runs.processes import is_job_of_sweep

BUILT = ("model", "data", "optimizer", "scheduler", "trainer")  # groups with a single part, which has a `_target_`
HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


def check_config(config: Mapping[str, Any], function: Callable[..., Any], given: Collection[str] = ()) -> None:
    """Checks a resolved config: its top-level keys, whose code it names, and every part with a `_target_` in it.

    Args:
        config: plain dicts, lists and values, with interpolations resolved.
        function: takes the top-level keys as arguments.
        given: names of its arguments that are not settings.
    Raises:
        InputError: for the first unknown key, wrong type, value out of range, or `_target_` that is not allowed.
    """
    own_keys = signature_of_function(function)
    if HydraConfig.initialized() and "hydra" not in HydraConfig.get().runtime.choices:
        raise InputError(missing_group("hydra"))
    single = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.RUN
    is_alone = single and not config.get("resume") and not is_job_of_sweep()
    for group in ("sweep", "search") if is_alone else ():
        if name := HydraConfig.get().runtime.choices.get(group):
            raise InputError(f"{group}={name} starts several runs: add -m, or leave it out")
    known = list(dotted_keys(config))
    for name in own_keys.required:
        if name in given:
            continue
        if name not in config or (name in BUILT and "_target_" not in (config[name] or {"_target_": None})):
            raise InputError(
                missing_group(name)
                if name in groups()
                else f"{name} is not set: leave out ~{name}, or add it with +{name}=VALUE"
            )
    settings = {name: node for name, node in own_keys.parameters.items() if name not in given}
    _check_arguments("", config, own_keys._replace(parameters=settings), known)
    for name in COLLECTIONS:
        for member, part in (config.get(name) or {}).items():
            if part and not isinstance(part, Mapping):
                raise InputError(
                    f"{name}.{member} must be a group of settings with a _target_, the class to build, got {part!r}: "
                    f"to leave it out, {name}.{member}=null"
                )
            if part and "_target_" not in part:
                raise InputError(
                    f"{name}.{member} has no _target_, the class to build: add +{name}.{member}._target_=MODULE.CLASS, "
                    f"or leave it out{did_you_mean(f'{name}.{member}', set(config[name]) - {member})}"
                )
    allowed = config.get("allow_targets") or ()
    parts = list(parts_of(config))
    found = [  # all of them, before the first is imported
        check_target(f"{path}._target_", part["_target_"], allowed, is_partial=part.get("_partial_") is True)
        for path, part in parts
    ]
    for (path, part), definition in zip(parts, found, strict=True):
        signature = definition.signature if definition else _imported_signature(path, part["_target_"], allowed)
        _check_arguments(path, part, signature, known)


def _imported_signature(path: str, target: str, allowed: Collection[str]) -> Signature:
    """The signature of a `_target_` without a definition, imported if its module may have names beside its source's.

    Args: allowed, as in `check_target`, which has accepted `target`.
    Raises: InputError if it does not exist or cannot be imported, with the cause.
    """
    names, are_all = names_beside(target)
    reason = "; check its spelling"
    is_named = target in named_in_configs().targets
    if not are_all and (is_named or is_in(target, allowed)):
        try:
            found = _import(target)
        except Exception as error:  # an import can raise anything
            reason = f" ({type(error).__name__}: {' '.join(str(error).split())})"
        else:
            if not is_named:
                check_origin(f"{path}._target_", target, found, allowed)
            return any_signature()
    near = did_you_mean(target, set(names) - {target.rpartition(".")[2]})
    raise InputError(f"{path}._target_: {target!r} was not found{reason}{near}")


def _import(target: str) -> Any:
    """Imports what a dotted name refers to: something in a module, or in a class of a module."""
    home, _, name = target.rpartition(".")
    try:
        return getattr(import_module(home), name)
    except ModuleNotFoundError as error:
        if not (error.name and home.startswith(error.name) and "." in home):  # the module needs another one
            raise
        return getattr(_import(home), name)


def with_image_shape(model: Mapping[str, Any], image_shape: Sequence[int]) -> dict[str, Any]:
    """A model's config with the shape of the training images added, if the model takes one.

    Args: model, its config; image_shape, channels, height and width of the data.
    Raises: InputError if the config has another shape.
    """
    wanted = model.get("image_shape")
    if wanted is not None and list(wanted) != list(image_shape):
        raise InputError(
            f"model.image_shape is {list(wanted)}, but the images are {list(image_shape)} "
            "(channels, height, width): leave model.image_shape out, or set other images with data or DATA_DIR"
        )
    takes_one = "image_shape" in model or "image_shape" in arguments_of(model.get("_target_"))
    return {**model, "image_shape": list(image_shape)} if takes_one else dict(model)


def parts_of(node: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping with a `_target_`, with its path in the config."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from parts_of(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from parts_of(value, f"{path}.{index}")


def _check_arguments(path: str, arguments: Mapping[str, Any], signature: Signature, known: Iterable[str]) -> None:
    for key, value in arguments.items():
        full_key = f"{path}.{key}" if path else str(key)
        is_built = next(parts_of(value), None) is not None  # or a list of parts to build
        if key in HYDRA_KEYS:
            continue
        if key not in signature.parameters:
            if signature.takes_any_keyword:
                continue
            elsewhere = [one for one in known if one != full_key and not one.startswith(f"{full_key}.")]
            raise InputError(unknown_key(full_key, list(signature.parameters), elsewhere))
        if is_built:
            continue
        try:
            TypeAdapter(signature.parameters[key](), config=STRICT).validate_python(value)
        except PydanticUserError:  # an annotation that pydantic does not support
            continue
        except ValidationError as error:
            if isinstance(value, Mapping) and all(len(fault["loc"]) == 1 for fault in error.errors()):  # in a group
                name = error.errors()[0]["loc"][0]
                full_key, value = f"{full_key}.{name}", value.get(name)
            raise InputError(f"{full_key} {_explain(error, value)}") from None
    missing = [name for name in signature.required if name not in arguments]
    if path and missing and not arguments.keys() & {"_partial_", "_args_"}:
        added = " ".join(f"+{path}.{name}=VALUE" for name in missing)
        raise InputError(f"{path} is a {arguments['_target_']}, which needs {' and '.join(missing)}: add {added}")


def _as_demand(message: str) -> str:
    """Pydantic's message about a value, as the rest of a sentence that begins with its key."""
    return message.replace("Input should be", "must be").replace("String should match pattern", "must match")


def _explain(error: ValidationError, value: Any) -> str:
    """Says what a value must be and what it is, with a hint if only its notation is wrong."""
    faults = error.errors()
    kinds = {fault["type"] for fault in faults}
    if "string_too_short" in kinds:
        return "must not be empty: leave it out, or set the variable that it comes from"
    wants_list = all(
        fault["type"] == "list_type" or fault.get("ctx", {}).get("class") == "Sequence" for fault in faults
    )
    if wants_list and value is not None and not isinstance(value, Mapping):
        return f"must be a list: [{value}], got {value!r}"
    allowed = " or ".join(dict.fromkeys(_as_demand(fault["msg"]) for fault in faults))
    hint = ""
    if "bool_type" in kinds:
        hint = ": write true or false"
    elif isinstance(value, list) and all(fault["loc"] == () for fault in faults):
        hint = ": one value, without brackets"
    elif "dict_type" in kinds:
        hint = ": a group of settings"
    return f"{allowed}, got {value!r}{hint}"
