"""Paths as people write them: a home as `~`, and how Hydra wants letters quoted that mean something to it."""

import os
import re
import shlex
from pathlib import Path

HOME = re.compile(r"(?<=[=,\[])([\"']?)(~[^\s,\]\"']*)")  # in KEY=~/folder or KEY="~/folder", or in a list of them


def expand_home(path: str | Path) -> Path:
    """The path, its `~` or `~user` replaced by that home; as it is where there is no such user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111, which raises for an unknown user


def absolute(path: str | Path) -> Path:
    """The whole path, without `..`, so that one folder has one name; links are not followed, as Hydra does not."""
    return Path(os.path.normpath(expand_home(path).absolute()))


def expand_homes(words: list[str]) -> list[str]:
    """The words of a command, each `KEY=~/…` with its home; a shell does so for few of them, and Hydra for none."""
    return [HOME.sub(lambda found: found[1] + str(expand_home(found[2])), word) for word in words]


def shown(path: Path) -> str:
    """The path as it is named from here: relative where it lies within the working directory."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def quoted(value: str) -> str:
    """`value` as Hydra reads it, as it stands, on the right of an override."""
    if re.fullmatch(r"[\w./@:+-]+", value, re.ASCII):
        return value
    quote = "'" if '"' in value else '"'
    # Backslashes are Hydra's own only before a quote.
    escaped = re.sub(rf"(\\*)({quote}|$)", lambda found: found[1] * 2 + ("\\" + quote if found[2] else ""), value)
    return f"{quote}{escaped}{quote}"


def assignment(key: str, value: object) -> str:
    """`key=value` as it is typed into a shell."""
    return shlex.quote(f"{key}={quoted(str(value))}")
