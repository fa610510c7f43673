"""Parts of a model as plain data: the class's name and its settings, which a checkpoint holds and a load rebuilds."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from importlib import import_module
from inspect import Parameter, signature
from typing import Any, TypeVar

from torch import nn

from autoencoder.errors import InputError
from autoencoder.packages import PACKAGE, is_in, package_of

Part = Callable[..., nn.Module] | Mapping[str, Any]  # a class, a functools.partial of one, or `describe`'s plain data
Kind = TypeVar("Kind", bound=nn.Module)


def plain(name: str, value: Any) -> Any:
    """Converts an argument to plain values for a checkpoint: int, float, str, bool, None, and lists and dicts of them.

    Raises: TypeError for anything else.
    """
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(name, one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): plain(name, one) for key, one in value.items()}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(
        f"`{name}` is a {type(value).__name__}, and a checkpoint holds plain values: pass a number, a string, or a "
        "list or dict of these"
    )


def build_part(name: str, part: Part, kind: type[Kind], given: Mapping[str, Any]) -> tuple[Kind, dict[str, Any]]:
    """Builds a part, and describes it as plain data: `_target_`, the class's import path, then all its settings.

    Args:
        name: of the part in the model's config.
        part: a class, a functools.partial of one, or such plain data.
        kind: the class that it must be derived from.
        given: the arguments that the module gives.
    Raises: InputError if the part is of another kind, if its class is not there, or if it sets what the module gives.
    """
    if isinstance(part, Mapping):
        part = partial(_find(name, part["_target_"]), **{key: one for key, one in part.items() if key != "_target_"})
    cls, settings = (part.func, dict(part.keywords)) if isinstance(part, partial) else (part, {})
    if not (isinstance(cls, type) and issubclass(cls, kind)):
        raise InputError(f"model.{name} must be derived from {kind.__module__}.{kind.__name__}, got {cls!r}")
    for key in settings.keys() & given.keys():
        raise InputError(f"model.{name}.{key} follows from the model and the data: leave it out")
    parameters = signature(cls).parameters.values()
    defaults = {one.name: one.default for one in parameters if one.default is not Parameter.empty}
    own = {key: value for key, value in (defaults | settings).items() if key not in given}
    built = cls(**given, **settings)
    return built, {"_target_": f"{cls.__module__}.{cls.__qualname__}"} | {
        key: plain(key, value) for key, value in own.items()
    }


def foreign_packages(settings: Mapping[str, Any]) -> list[str]:
    """The packages beside this one that a model's classes are from, of its hyper-parameters."""
    targets = (str(part["_target_"]) for part in settings.values() if isinstance(part, Mapping) and "_target_" in part)
    return sorted({package_of(target) for target in targets} - {PACKAGE})


def check_packages(settings: Mapping[str, Any], allowed: Collection[str], path: object) -> None:
    """Raises: InputError if a checkpoint's classes are from a package that is not allowed: it must not run other code.

    Args:
        settings: of the checkpoint at `path`; those with a `_target_` name a class.
        allowed: names of packages, or of modules in them, beside this one.
    """
    for part in settings.values():
        target = str(part["_target_"]) if isinstance(part, Mapping) and "_target_" in part else PACKAGE
        if not is_in(target, (PACKAGE, *allowed)):
            raise InputError(
                f"{path} needs the class {target} of another package: if you trust that, allow it with "
                f"allow_packages=[{package_of(target)}]"
            )


def _find(name: str, target: str) -> Any:
    """The class at an import path.

    Raises: InputError if it is not there.
    """
    home, _, own_name = str(target).rpartition(".")
    try:
        return getattr(import_module(home), own_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"model.{name} needs {target}, which is not there ({error}): restore its file") from None
