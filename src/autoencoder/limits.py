"""How arguments are held to their types and limits: the same rules for a constructor and for a config."""

from typing import Annotated

from pydantic import ConfigDict, Field, validate_call

STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)  # strict: no "32" or 32.0 for 32

checked = validate_call(config=STRICT)
"""A decorator: calls raise pydantic.ValidationError, a ValueError, for a wrong type or a value out of its limits."""

Share = Annotated[float, Field(ge=0, le=1)]  # a part of a whole
Decay = Annotated[float, Field(ge=0, lt=1)]  # of a running average: the share that stays each step
