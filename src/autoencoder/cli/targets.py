"""Checks what a config would run: a `_target_` may name parts of this project, and of packages that the user allows."""

import ast
from collections.abc import Collection

from autoencoder.cli.own_configs import named_in_configs
from autoencoder.cli.signatures import Definition, find_definition
from autoencoder.errors import InputError
from autoencoder.packages import PACKAGE, is_dotted_name, is_in, package_of

LIBRARIES = (  # whose classes are parts of a run
    *("lightning.pytorch.callbacks", "lightning.pytorch.loggers", "lightning.pytorch.profilers"),
    "torch.optim",
)


def check_target(
    key: str, target: object, allowed: Collection[str], known: Collection[str] = (), is_partial: bool = False
) -> Definition | None:
    """Checks a `_target_` of a config by its source, so that nothing is imported.

    What counts is where a class is defined, since a module of an allowed package may have imported others.

    Args:
        key: of the target in the config.
        allowed: the packages, or modules in them, that the user allows.
        known: further modules whose classes may be named.
        is_partial: whether it is not called until it gets further arguments.
    Returns: its definition; None if its source cannot be read.
    Raises: InputError if it names something else.
    """
    if not is_dotted_name(target):
        raise InputError(f"{key} must be the name of a class or function, MODULE.NAME, got {target!r}")
    found = find_definition(str(target))
    if target in named_in_configs().targets:
        return found
    home = found.full_name if found else str(target)
    trusted = (PACKAGE, *LIBRARIES, *known, *allowed)
    if not is_in(str(target), trusted) or not is_in(home, trusted):
        raise InputError(_refusal(key, str(target), home, allowed))
    if found is None or is_in(str(target), allowed) or isinstance(found.statement, ast.ClassDef):
        return found
    if not (is_partial and isinstance(found.statement, ast.FunctionDef) and is_in(home, [PACKAGE])):
        raise InputError(f"{key} must name a class, or a function of {PACKAGE} with _partial_: true, got {target}")
    return found


def check_origin(key: str, target: str, imported: object, allowed: Collection[str]) -> None:
    """Raises: InputError if what an allowed `target` has been imported as is not of an allowed package."""
    home = f"{getattr(imported, '__module__', None)}.{getattr(imported, '__qualname__', target)}"
    if not is_in(home, (PACKAGE, *LIBRARIES, *allowed)):
        raise InputError(_refusal(key, target, home, allowed))


def _refusal(key: str, target: str, home: str, allowed: Collection[str]) -> str:
    """The message about a `_target_` that is not allowed; `home` is the name where it is defined."""
    origin = "" if home == target else f", which is {home}"
    needed = package_of(home)
    packages = ",".join([*(one for one in allowed if not is_in(one, [needed])), needed])
    return (
        f"{key} names {target}{origin}; it may name a class of {PACKAGE}, of Lightning's callbacks, loggers and "
        "profilers, of torch.optim, or what a file in configs/ names: if you trust that code, name it there, or "
        f"allow it with allow_targets=[{packages}]"
    )
