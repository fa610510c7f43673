"""How arguments are held to their types and limits: the same rules for a constructor and for a config."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, validate_call

# strict: no "32" or 32.0 for 32
STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)

checked = validate_call(config=STRICT)
"""A decorator: calls raise pydantic.ValidationError, a ValueError, for a wrong type or a value out of its limits."""

Share = Annotated[float, Field(ge=0, le=1)]  # a part of a whole
Decay = Annotated[float, Field(ge=0, lt=1)]  # of a running average: the share that stays each step
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # what NumPy's generators take
Text = Annotated[str, Field(min_length=1)]  # a path or a name: an empty one is a variable that was not set
Count = Annotated[int, Field(gt=0, lt=2**63)]  # what 64 bits hold


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
