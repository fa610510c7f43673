"""Suggests the nearest existing name for a misspelt key."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any


def did_you_mean(key: str, beside: Iterable[str], elsewhere: Iterable[str] = ()) -> str:
    """The end of a message about an unknown key: "; did you mean trainer.max_epochs?", or nothing.

    Args:
        key: dotted, as the user wrote it.
        beside: the names that are allowed in its place.
        elsewhere: dotted keys of the whole config, for a key written without its group.
    """
    group, _, name = key.rpartition(".")
    homes = {dotted.rpartition(".")[2]: dotted for dotted in elsewhere}
    near = get_close_matches(name, list(beside), 1)
    if name in homes:
        meant = homes[name]
    elif near:
        meant = f"{group}.{near[0]}" if group else near[0]
    else:
        far = get_close_matches(name, list(homes), 1)
        meant = homes[far[0]] if far else ""
    return f"; did you mean {meant}?" if meant else ""


def dotted_keys(settings: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The keys of all settings in nested groups: `model.latent_dim` …"""
    for key, value in settings.items():
        if str(key).startswith("_"):
            continue
        dotted = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from dotted_keys(value, dotted)
        else:
            yield dotted
