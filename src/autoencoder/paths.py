"""Paths on the command line: expands `~`, and quotes characters that have a meaning in Hydra's overrides."""

import os
import re
import shlex
from pathlib import Path

HOME = re.compile(r"(?<=[=,\[])([\"']?)(~[^\s,\]\"']*)")  # in KEY=~/folder, in KEY="~/folder", or in a list


def expand_home(path: str | Path) -> Path:
    """The path with `~` or `~user` replaced by the home folder; unchanged if there is no such user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111, whose suggestion raises for an unknown user


def absolute(path: str | Path) -> Path:
    """The absolute path without `..`, so that a folder has one name. Links are not followed, as in Hydra."""
    return Path(os.path.normpath(expand_home(path).absolute()))


def expand_homes(words: list[str]) -> list[str]:
    """The words of a command with `KEY=~/…` expanded, which shells rarely do and Hydra never."""
    return [HOME.sub(lambda found: found[1] + str(expand_home(found[2])), word) for word in words]


def shown(path: Path) -> str:
    """The path to show to the user: relative if it is inside the working directory."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def quoted(value: str) -> str:
    """`value`, quoted so that Hydra reads it unchanged on the right of an override."""
    if re.fullmatch(r"[\w./@:+-]+", value, re.ASCII):
        return value
    quote = "'" if '"' in value else '"'
    # Hydra treats a backslash as an escape only before a quote.
    escaped = re.sub(rf"(\\*)({quote}|$)", lambda found: found[1] * 2 + ("\\" + quote if found[2] else ""), value)
    return f"{quote}{escaped}{quote}"


def assignment(key: str, value: object) -> str:
    """`key=value`, quoted for a shell."""
    return shlex.quote(f"{key}={quoted(str(value))}")
