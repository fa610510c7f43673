"""Writes valid JSON: NaN and infinity, which JSON does not have, become null."""

import json
import math
from collections.abc import Mapping
from typing import Any


def to_json(value: Any, indent: int | None = 2) -> str:
    """`value` as JSON text; infinity and NaN become null at any depth, such as the psnr of a perfect image."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
