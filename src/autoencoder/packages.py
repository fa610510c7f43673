"""Tells whose code a dotted name is: a config or a checkpoint may name this package's, and what a user allows."""

from collections.abc import Iterable

PACKAGE = "autoencoder"


def is_dotted_name(target: object) -> bool:
    """Whether `target` is text of the form MODULE.NAME, and not, for instance, a path of files."""
    names = target.split(".") if isinstance(target, str) else []
    return len(names) > 1 and all(name.isidentifier() for name in names)


def is_in(target: str, packages: Iterable[str]) -> bool:
    """Whether a dotted name is that of a package or module in `packages`, or of something inside it."""
    return any(f"{target}.".startswith(f"{package}.") for package in packages)


def package_of(target: str) -> str:
    """The package that a dotted name is in."""
    return target.partition(".")[0]
