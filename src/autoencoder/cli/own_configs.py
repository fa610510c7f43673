"""Tells what the files in configs/ name, which a command line, a sweep or a run's record may then name, too."""

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from omegaconf.resolvers import oc

from autoencoder.errors import InputError

CONFIGS = Path(__file__).parents[3] / "configs"


class Named(NamedTuple):
    """The values of all `_target_`s in configs/, and the environment variables that `oc.env` reads there."""

    targets: frozenset[str]
    variables: frozenset[str]


def named_in_configs() -> Named:
    """What the files in configs/ name."""
    return _named_in(CONFIGS)


@cache
def _named_in(folder: Path) -> Named:
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.yaml")))
    targets = re.findall(r"^[^#\n]*?\b_target_: *([\w.]+)", text, re.MULTILINE)
    return Named(frozenset(targets), frozenset(re.findall(r"\boc\.env:(\w+)", text)))


def guard_environment() -> None:
    """Lets `${oc.env:NAME}` read only the variables that a file in configs/ names.

    Others may hold passwords, and what a config holds is written into logs and records.
    """
    OmegaConf.register_new_resolver("oc.env", _read_variable, replace=True)


def _read_variable(name: str, *default: Any) -> Any:
    """An environment variable, or else the default.

    Raises: InputError for a variable that no file in configs/ names.
    """
    known = named_in_configs().variables
    if name not in known:
        raise InputError(
            f"oc.env:{name} would write the environment variable {name} into logs and records, and only those that a "
            f"file in configs/ names may be read ({', '.join(sorted(known))}): give its value itself, or name it there"
        )
    return oc.env(name, *default)
