"""Checks arguments against their types and limits, with the same rules in a constructor and in a config."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec, TypeVar

from annotated_types import Ge, Gt, Le, Lt, MinLen

if TYPE_CHECKING:
    from pydantic import ConfigDict

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Share = Annotated[float, Ge(0), Le(1)]  # a fraction of a whole
Decay = Annotated[float, Ge(0), Lt(1)]  # of a running average: the fraction kept each step
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]  # the range of NumPy's generators
Text = Annotated[str, MinLen(1)]  # a path or a name; not empty, which usually means an unset shell variable
Count = Annotated[int, Gt(0), Lt(2**63)]  # fits in 64 bits

# strict: no "32" or 32.0 for 32
STRICT: "ConfigDict" = {"strict": True, "arbitrary_types_allowed": True, "allow_inf_nan": False}


def checked(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorator: calls raise pydantic.ValidationError, a ValueError, for a wrong type or a value out of range."""
    from pydantic import validate_call  # imported late, since commands need only the types above at first

    return validate_call(config=STRICT)(function)


def memory_in_bytes() -> int | None:
    """The memory available to this process: the machine's or its container's limit; None if unknown."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
    try:
        share = Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8").strip()
    except OSError:
        share = "max"
    return min(machine, int(share)) if share.isdigit() else machine
