"""How arguments are held to their types and limits: the same rules for a constructor and for a config."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec, TypeVar

from annotated_types import Ge, Gt, Le, Lt, MinLen

if TYPE_CHECKING:
    from pydantic import ConfigDict

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Share = Annotated[float, Ge(0), Le(1)]  # a part of a whole
Decay = Annotated[float, Ge(0), Lt(1)]  # of a running average: the share that stays each step
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]  # what NumPy's generators take
Text = Annotated[str, MinLen(1)]  # a path or a name: an empty one is a variable that was not set
Count = Annotated[int, Gt(0), Lt(2**63)]  # what 64 bits hold

# strict: no "32" or 32.0 for 32
STRICT: "ConfigDict" = {"strict": True, "arbitrary_types_allowed": True, "allow_inf_nan": False}


def checked(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A decorator: calls raise pydantic.ValidationError, a ValueError, for a wrong type or a value out of limits."""
    from pydantic import validate_call  # here, since a command reads the types above before it knows what to check

    return validate_call(config=STRICT)(function)


def memory_in_bytes() -> int | None:
    """The memory that this process may have: the machine's, or its container's share; None where it is not known."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
    try:
        share = Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8").strip()
    except OSError:
        share = "max"
    return min(machine, int(share)) if share.isdigit() else machine
