"""Tells what the files in configs/ name, which a command line, a sweep or a run's record may then name, too."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

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
