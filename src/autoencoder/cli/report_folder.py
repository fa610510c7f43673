"""Chooses the folder of a report: a single sweep's own folder, if the command line names no other."""

import os
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

from autoencoder.paths import absolute, quoted
from autoencoder.runs.jobs import is_sweep


def expand_report(words: Sequence[str]) -> list[str]:
    """The words of a command line, with `hydra.run.dir=SWEEP` added if it asks for a report on one sweep.

    Not if the words name a folder themselves, or the sweep's cannot be written to.
    Raises: SystemExit with code 1 for `-m`.
    """
    if "-m" in words or "--multirun" in words:
        raise SystemExit("error: a report is one command over all its runs: leave out -m, and write runs=[A,B,…]")
    folders = [folder for word in words if word.startswith("runs=") for folder in _values(word)]
    named = any(word.lstrip("+").startswith("hydra.run.dir=") for word in words)
    if named or len(folders) != 1:
        return list(words)
    folder = absolute(folders[0])
    if not is_sweep(folder) or not os.access(folder, os.W_OK):
        return list(words)
    return [*words, f"hydra.run.dir={quoted(str(folder))}"]


def _values(word: str) -> list[str]:
    """The value or the list of values that an override sets; empty if Hydra cannot read it, which it will say."""
    try:
        value: Any = OverridesParser.create().parse_override(word).value()
    except OverrideParseException:
        return []
    return [str(one) for one in (value if isinstance(value, list) else [value])]
