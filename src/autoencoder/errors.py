"""Errors that the user can put right: raised as one sentence, shown as one line without a traceback."""

import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from autoencoder.library_errors import said_by_lightning
from autoencoder.paths import assignment
from autoencoder.signatures import signature_of

log = logging.getLogger(__name__)

OPTIONAL_LOGGERS = ("wandb", "mlflow")  # the extras of pyproject.toml


class InputError(ValueError):
    """What is wrong with a config value, a file or a folder, what is allowed, and what to do."""


@contextmanager
def one_line_errors(keep_going: bool = False) -> Iterator[None]:
    """Ends the process with one line on stderr for a mistake in the input; bugs keep their traceback.

    Args:
        keep_going: log the error, a bug's traceback too, and go on: for one job of a sweep.
    Raises:
        SystemExit: with code 1 after a mistake in the input.
    """
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then raises its errors instead of printing them
    try:
        check_letters(*sys.argv, os.environ.get("DATA_DIR", ""), os.getcwd())  # noqa: PTH109, a string is what is read
        yield
    except SystemExit as stop:
        if type(stop).__name__ == "SIGTERMException":  # Lightning's, with an exit code of 0
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    except Exception as error:
        line = explain(error)
        if line is None and not keep_going:
            raise
        if logging.root.handlers:  # inside a job: for the console and for the job's own log file
            log.error("error: %s", line, exc_info=None if line else error)
        else:
            print(f"error: {line}", file=sys.stderr)
        if not keep_going:
            raise SystemExit(1) from None


def explain(error: BaseException) -> str | None:
    """One line for an error whose remedy is the user's, None for a bug."""
    family = type(error).__module__.split(".")[0]
    if isinstance(error, InputError):
        return _fold(str(error))
    if type(error).__name__ == "InstantiationException":  # Hydra's wrapper: the cause says it better
        return explain(error.__cause__) if error.__cause__ else _fold(str(error))
    if family in ("hydra", "omegaconf"):
        return _explain_composition(error)
    if isinstance(error, ValueError | OSError) and _is_raised_by_hydra(error):  # a group without a name, a folder
        return _fold(str(error))
    if isinstance(error, ModuleNotFoundError) and (line := _explain_missing_package(str(error))):
        return line
    if type(error).__name__ in ("MisconfigurationException", "ValidationError"):  # Lightning's, pydantic's
        if "No supported gpu backend found" in str(error):
            return "trainer.accelerator=gpu: this machine has no GPU that torch can use; take trainer=cpu"
        return _fold(str(error))
    said = said_by_lightning(error)
    return _fold(said) if said else None


def check_letters(*texts: str) -> None:
    """Raises: InputError if a text, of the command line or a path, came in bytes that are no text to Python here.

    Such bytes reach Python as lone surrogates, which no UTF-8 file, of the config's for one, can hold.
    """
    for text in texts:
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            encoding = sys.getfilesystemencoding()
            remedy = "rename it" if encoding == "utf-8" else "set PYTHONUTF8=1 in the environment"
            raise InputError(f"{text!a} has letters that are not in this locale's encoding, {encoding}: {remedy}")


def _is_raised_by_hydra(error: BaseException) -> bool:
    """Whether Hydra, before or after the run itself, was the last to call something."""
    modules = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__))
    packages = [module.split(".")[0] for module in modules]
    callers = [package for package in packages if package not in sys.stdlib_module_names]
    return callers[-1:] in (["hydra"], ["omegaconf"])


def _explain_composition(error: BaseException) -> str:
    """What Hydra refuses while it composes a config."""
    unknown = error.__cause__
    parent: Any = getattr(unknown, "parent_node", None)
    if type(unknown).__name__ in ("ConfigAttributeError", "ConfigKeyError") and hasattr(parent, "keys"):
        key, name = str(getattr(unknown, "full_key", "")), str(getattr(unknown, "key", ""))
        if name in arguments_of(parent.get("_target_")):
            return f"'{key}' is not set in the config yet: to add it, write +{key}=VALUE"
        return unknown_key(key, [str(key) for key in parent])
    text = " ".join(str(part) for part in (error, unknown) if part)
    if type(error).__name__ == "OverrideParseException" and "=" in str(word := getattr(error, "override", "")):
        key, _, value = str(word).partition("=")
        text = f"{_fold(text.split('See https')[0])}; if the value is meant as it stands: {assignment(key, value)}"
    return _fold(re.sub(r"Config search path:(\n?\s*provider=.*)*", "", text))


def _explain_missing_package(message: str) -> str | None:
    """What to install for a logger that is an extra, None for any other import that fails."""
    for package in OPTIONAL_LOGGERS:
        if re.search(rf"\b{package}\b", message):
            return (
                f"logger={package} needs the package {package}, which is not installed: "
                f"pip install -e '.[{package}]' in the checkout's .venv, or leave out logger={package}"
            )
    return None


def arguments_of(target: str | None) -> list[str]:
    """The arguments that a config's `_target_` takes."""
    signature = signature_of(target) if target else None
    return list(signature.parameters) if signature else []


def unknown_key(key: str, allowed: list[str]) -> str:
    """The sentence for a key that no part of the config has."""
    public = [name for name in allowed if not name.startswith("_") and name != "hydra"]
    return f"unknown key '{key}': allowed there are {', '.join(sorted(public)) or 'no keys'}"


def _fold(text: str) -> str:
    """One line of a message that a library spread over several."""
    text = re.sub(r"\s*(full_key|object_type|reference_type)[:=].*", "", text)
    return re.sub(r"\s+", " ", text).strip()
