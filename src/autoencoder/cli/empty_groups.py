"""Says why a setting cannot be given where the config has no settings at all: below null, a value or an empty group."""

from collections.abc import Collection

COLLECTIONS = ("callbacks", "logger", "views")  # groups of several parts; null switches one off


def why_empty(key: str, groups: Collection[str]) -> str:
    """The message about a key where the config has no keys, and how to set it nevertheless.

    Args: key, dotted, or the name of a collection that the config lacks; groups, the names of the groups of configs.
    """
    parent, _, name = key.rpartition(".")
    collection, _, part = parent.partition(".")
    if collection in COLLECTIONS and part:
        setting = "" if name == "_target_" else f", {name}: VALUE"
        return (
            f"'{key}' cannot be set, since {parent} is null in this run: leave it out, "
            f"or add the part anew, '{parent}={{_target_: CLASS{setting}}}'"
        )
    if (parent or key) in groups:
        part = key if parent else f"{key}.NAME"
        return f"'{key}' cannot be set, since {parent or key} is empty in this run: add a part, +{part}._target_=CLASS"
    return f"unknown key '{key}': {parent} is a single value, not a group of settings"
