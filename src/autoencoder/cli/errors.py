"""Reports errors that the user can fix in one line, without a traceback."""

import errno
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import FrameType
from typing import Any

from autoencoder.cli.empty_groups import COLLECTIONS, why_empty
from autoencoder.cli.library_errors import said_by_lightning
from autoencoder.cli.signatures import signature_of
from autoencoder.cli.spelling import did_you_mean, dotted_keys
from autoencoder.errors import InputError
from autoencoder.paths import assignment
from autoencoder.runs.folder import RunFolder, remove_unused_folders

log = logging.getLogger(__name__)

EXTRAS = {  # packages that only some commands need: the extra of pyproject.toml, and the override that needs it
    "wandb": ("wandb", "logger=wandb"),
    "mlflow": ("mlflow", "logger=mlflow"),
    "optuna": ("search", "search=NAME"),
}
FROM_RESOLVER = "InputError raised while resolving interpolation: "  # OmegaConf's words for `guard_environment`'s error


@contextmanager
def one_line_errors(keep_going: bool = False) -> Iterator[None]:
    """Ends the process with one line on stderr after a mistake in the input or Ctrl-C; bugs keep their traceback.

    Args:
        keep_going: log the error, with the traceback if it is a bug, and continue; for one job of a sweep.
    Raises:
        SystemExit: with code 1 after a mistake in the input, 130 after Ctrl-C.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    try:
        check_letters(*sys.argv, os.environ.get("DATA_DIR", ""), os.getcwd())  # noqa: PTH109, a string is needed
        yield
    except SystemExit as stop:
        if type(stop).__name__ == "SIGTERMException":  # raised by Lightning, with an exit code of 0
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    except BaseException as error:
        if _comes_of_a_stop(error):
            remove_unused_folders()
            number = EarlyStop.signum or signal.SIGINT
            print(f"stopped by {'Ctrl-C' if number == signal.SIGINT else signal.Signals(number).name}", file=sys.stderr)
            raise SystemExit(128 + number) from None
        if not isinstance(error, Exception):
            raise
        line = explain(error)
        if line is None and not keep_going:
            _log_to_files(error)
            raise
        if line is not None and not keep_going:
            remove_unused_folders()
        if line is not None and not isinstance(error, InputError):  # a library's message may not be enough
            _log_to_files(error)
        if logging.root.handlers:  # inside a job: to the console and to the job's log file
            log.error("error: %s", line or _kind(error), exc_info=None if line else error)
        else:
            print(f"error: {line}", file=sys.stderr)
        if not keep_going:
            raise SystemExit(1) from None


@contextmanager
def removed_if_refused(path: str) -> Iterator[None]:
    """Removes the new folder `path` if the code inside is refused or stopped; keeps it, with its log, after a bug."""
    folder = RunFolder(path)
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) or explain(error):
            folder.remove_if_made()
        raise


class EarlyStop:
    """Handles Ctrl-C and other signals to stop before training has its own handlers: raises KeyboardInterrupt.

    The signal is also noted, since some modules swallow KeyboardInterrupt while they are imported.
    """

    signum: int | None = None

    @classmethod
    def watch(cls) -> None:
        """Installs the handlers, but keeps handlers that someone else has set."""
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            if signal.getsignal(signum) in (signal.default_int_handler, signal.SIG_DFL):
                signal.signal(signum, cls._stop)

    @classmethod
    def check(cls) -> None:
        """Raises: KeyboardInterrupt if a signal has arrived, in case a module has swallowed it."""
        if cls.signum is not None:
            raise KeyboardInterrupt

    @classmethod
    def _stop(cls, signum: int, frame: FrameType | None) -> None:
        cls.signum = signum
        raise KeyboardInterrupt


def _comes_of_a_stop(error: BaseException | None) -> bool:
    """Whether an error was caused by Ctrl-C or another signal, directly or in a library during its import."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None or EarlyStop.signum is not None


def _log_to_files(error: Exception) -> None:
    """Writes a bug's traceback into the job's log file, once; Python shows it on the console."""
    if getattr(error, "is_in_log", False):
        return
    error.is_in_log = True  # type: ignore[attr-defined]  # for an outer `one_line_errors`
    details = (type(error), error, error.__traceback__)
    record = logging.LogRecord(__name__, logging.ERROR, __file__, 0, "error: %s", (_kind(error),), details)
    for handler in logging.root.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def _kind(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def explain(error: BaseException) -> str | None:
    """One line for an error that the user can fix, None for a bug."""
    family = type(error).__module__.split(".")[0]
    if isinstance(error, InputError):
        return _fold(str(error))
    if type(error).__name__ == "InstantiationException":  # Hydra's wrapper; its cause has the better message
        return _explain_building(error)
    if family in ("hydra", "omegaconf"):
        return _explain_composition(error)
    taken = [word for word in sys.argv if re.fullmatch(r"[\w/@]+=(null|true|false|[\d.]+)", word)]
    if "Config group override must be" in str(error) and taken:
        none = "; no loggers: logger=[]" if taken[-1].startswith("logger=") else ""
        return f"{taken[-1]}: a group takes the name of one of its files{none}"
    if isinstance(error, ValueError | OSError) and _is_raised_by_hydra(error):  # a group without a name, a folder
        return _fold(str(error))
    if full := _disk_full(error):
        where = f" {full.filename}" if full.filename else ""
        return f"{full.strerror}{where}: free some space, then resume with resume=RUN; earlier files are intact"
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and error.filename:
        return f"{error.filename}: {error.strerror}: change its permissions, or use another folder"
    if _is_lack_of_memory(error):
        return _fold(f"out of memory, {error}: use a smaller model or data.batch_size")
    if isinstance(error, ModuleNotFoundError) and (line := _explain_missing_package(str(error))):
        return line
    if type(error).__name__ == "UncompletedJobError":  # submitit's, in a SLURM job that has timed out too often
        return _fold(f"{error} Resume the sweep with resume=SWEEP; hydra.launcher.max_num_timeout is the limit")
    if type(error).__name__ in ("MisconfigurationException", "ValidationError"):  # Lightning's, pydantic's
        if "No supported gpu backend found" in str(error):
            return "trainer.accelerator=gpu: this machine has no GPU that torch can use; set trainer=cpu"
        return _fold(str(error))
    said = said_by_lightning(error)
    return _fold(said) if said else None


def _disk_full(error: BaseException | None) -> OSError | None:
    """The error of a full disk or an exhausted quota, which torch wraps into another error; None if there is none."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return error
        error = error.__cause__ or error.__context__
    return None


def _is_lack_of_memory(error: BaseException) -> bool:
    """Whether Python, NumPy or torch has run out of memory, on a CPU or a GPU."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))


def _explain_building(error: BaseException) -> str | None:
    """One line for an error that a part of the config raised while it was built; None for a bug in this package."""
    cause = error.__cause__
    if cause is None:
        return _fold(str(error))
    located = re.search(r"Error locating target '([^']+)'", str(error))
    if located and isinstance(cause, ImportError) and _explain_missing_package(str(cause)) is None:
        return _fold(f"{located[1]} cannot be imported: {_kind(cause.__cause__ or cause)}")
    line = explain(cause)
    if line is None and (isinstance(cause, ValueError) or _callers(cause)[-1:] != ["autoencoder"]):
        target = re.search(r"target '(?:\w+\.)*(\w+)'", str(error))
        said = str(cause) if isinstance(cause, ValueError) else _kind(cause)
        line = _fold(f"{target[1] if target else 'a part of the config'} cannot be built: {said}")
    return line


def check_letters(*texts: str) -> None:
    """Raises: InputError if an argument or a path contains bytes that Python cannot decode in this locale.

    Python represents such bytes as lone surrogates, which cannot be written to a UTF-8 file such as the saved config.
    """
    for text in texts:
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            encoding = sys.getfilesystemencoding()
            remedy = "rename it" if encoding == "utf-8" else "set PYTHONUTF8=1 in the environment"
            raise InputError(f"{text!a} has characters outside this locale's encoding, {encoding}: {remedy}")


def _is_raised_by_hydra(error: BaseException) -> bool:
    """Whether the error was raised in Hydra or OmegaConf."""
    return _callers(error)[-1:] in (["hydra"], ["omegaconf"])


def _callers(error: BaseException) -> list[str]:
    """The packages in an error's traceback, outermost first, without the standard library."""
    modules = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__))
    packages = [module.split(".")[0] for module in modules]
    return [package for package in packages if package not in sys.stdlib_module_names]


def _explain_composition(error: BaseException) -> str:
    """One line for an error that Hydra raised while it composed a config."""
    # OmegaConf's errors name the key; under a debugger or coverage they have a cause, which does not.
    unknown = error if getattr(error, "full_key", None) else error.__cause__ or error
    if (said := _fold(str(error))).startswith(FROM_RESOLVER):
        return said.removeprefix(FROM_RESOLVER)
    parent: Any = getattr(unknown, "parent_node", None)
    kind, key = type(unknown).__name__, str(getattr(unknown, "full_key", ""))
    if kind == "MissingMandatoryValue" and key:
        return f"{key} is not set: give it a value, {key}=…"
    if kind in ("ConfigAttributeError", "ConfigKeyError", "InterpolationKeyError") and hasattr(parent, "keys"):
        name = str(getattr(unknown, "key", ""))
        if (root := key.partition(".")[0]) in groups() and f"~{root}" in sys.argv:
            return missing_group(root)
        if kind == "InterpolationKeyError":
            taken = [word for word in sys.argv if word.startswith("~")]
            remedy = f"; leave out {' '.join(taken)}" if taken else ""
            return f"{key} needs a setting that is missing: {_fold(str(unknown))}{remedy}"
        arguments = arguments_of(parent.get("_target_"))
        if name in arguments:
            return f"'{key}' is not set in the config yet: to add it, write +{key}=VALUE"
        group = key.rpartition(".")[0]
        own = {key: value for key, value in _plain(parent).items() if key != "hydra"}
        if (group and not own) or (key in COLLECTIONS and not of_train(key)):
            return why_empty(key, groups())
        elsewhere = [*dotted_keys(own, group), *(f"{group}.{name}" for name in arguments if group)]
        return unknown_key(key, [str(name) for name in own], elsewhere)
    text = " ".join(dict.fromkeys(str(part) for part in (error, unknown) if str(part)))
    if type(error).__name__ == "OverrideParseException" and "=" in str(word := getattr(error, "override", "")):
        key, _, value = str(word).partition("=")
        said = _fold(text.split("See https")[0])
        if (key, value) != (key.strip(), value.strip()):
            return f"{said}: write KEY=VALUE without spaces beside ="
        return f"{said}; to use the value literally: {assignment(key, value)}"
    text = re.sub(r"To append to your default list use \S+", "", text)  # useless here: the command has no such group
    said = _fold(re.sub(r"Config search path:(\n?\s*provider=.*)*", "", text)).rstrip(".")
    return said + _which_option(unknown, text)


def _plain(config: Any) -> dict[Any, Any]:
    """A config's values with unresolved interpolations."""
    from omegaconf import OmegaConf

    values: Any = OmegaConf.to_container(config, resolve=False)
    return dict(values)


def _which_option(error: BaseException, text: str) -> str:
    """The end of a message about an option or group that does not exist: a suggestion, or how to leave out a list."""
    options = getattr(error, "options", None)
    wanted = str(getattr(error, "missing_cfg_file", None) or "")
    if options and "/" in wanted:
        group, _, name = wanted.rpartition("/")
        near = get_close_matches(name, [str(option) for option in options], 1)
        return f"; did you mean {group}={near[0]}?" if near else ""
    if unread := re.search(r"Could not load '(\w+)/(\S+)'", text):  # in a list, logger=[tensorboard,cvs]
        return f": {unread[1]} takes {options_of(unread[1])}"
    if deleted := re.search(r"Could not delete '(\w+)'", text):
        return f": for none, write {deleted[1]}=[]" if deleted[1] in groups() else ""
    if unmatched := re.search(r"Could not override '(\w+)'", text):
        return of_train(unmatched[1]) or did_you_mean(unmatched[1], groups())
    return ""


def groups() -> list[str]:
    """The groups of configs: the folders in configs/."""
    folder = Path(os.environ.get("PROJECT_ROOT", "."), "configs")
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def of_train(group: str) -> str:
    """The end of a message about a group that only train.py has; empty in train.py."""
    script = Path(sys.argv[0]).name
    others = ("evaluate.py", "explore.py", "export.py", "generate.py", "predict.py", "report.py")
    is_other = script in others and group in groups()
    source = "the runs" if script == "report.py" else "the checkpoint"
    return f"; {group} is a setting of train.py; here it comes from {source}" if is_other else ""


def missing_group(name: str) -> str:
    """The message about a group that a config needs but does not have."""
    return (
        f"the config has no '{name}', which a run needs: leave out ~{name}, or write {name}=NAME ({options_of(name)})"
    )


def options_of(group: str) -> str:
    """The names that a group of configs can be set to."""
    folder = Path(os.environ.get("PROJECT_ROOT", "."), "configs", group)
    return ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))


def _explain_missing_package(message: str) -> str | None:
    """Says what to install for a package of an extra; None for any other failed import."""
    for package, (extra, override) in EXTRAS.items():
        if re.search(rf"\b{package}\b", message):
            return (
                f"{override} needs the package {package}, which is not installed: "
                f"pip install -e '.[{extra}]' in the checkout's .venv, or leave out {override}"
            )
    return None


def arguments_of(target: str | None) -> list[str]:
    """The arguments that a config's `_target_` takes."""
    signature = signature_of(target) if target else None
    return list(signature.parameters) if signature else []


def unknown_key(key: str, allowed: list[str], elsewhere: Iterable[str] = ()) -> str:
    """The message about an unknown key; `elsewhere` has the config's dotted keys."""
    given = ("image_shape", "encoded_dim", "latent_dim") if key.count(".") > 1 else ()  # by the module, to its parts
    public = [name for name in allowed if not name.startswith("_") and name not in ("hydra", *given)]
    places = public if "." in key else [*public, *groups()]
    listed = f"allowed keys are {', '.join(sorted(public))}" if public else "no keys are allowed"
    if key in groups() and (hint := of_train(key)):
        return f"unknown key '{key}': {listed}{hint}"
    return f"unknown key '{key}': {listed}{did_you_mean(key, places, elsewhere)}"


def _fold(text: str) -> str:
    """Joins a message of several lines into one, with escapes for what a terminal would obey or could not print."""
    text = re.sub(r"For further information visit \S+|\x1b\[\d*m", "", text)
    text = re.sub(r"\s*(full_key|object_type|reference_type)[:=].*", "", text)
    text = re.sub(r"\s+", " ", text).strip()
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
