"""Checks what Hydra itself builds before a command can look at its config: callbacks, launcher, sweeper, logging."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from autoencoder.cli.targets import check_target
from autoencoder.errors import InputError

BUILT = ("callbacks", "launcher", "sweeper", "job_logging", "hydra_logging")  # the groups of hydra that name code
# Words that cannot change those groups but by the name of a file; Hydra checks the types of their values.
PLAIN = (
    *("hydra.run.", "hydra.sweep.", "hydra.job.", "hydra.mode=", "hydra.verbose=", "hydra.output_subdir="),
    *("hydra/launcher=", "hydra/sweeper=", "hydra.job_logging.root.handlers=[console]"),
)
MODULES = ("hydra_plugins", "hydra._internal.core_plugins", "logging", "colorlog")  # beside those of `check_target`
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")


def check_hydra_parts(configs: Path, name: str, words: Sequence[str]) -> None:
    """Composes the config of a command, and checks the groups that Hydra builds parts from, if `words` can change them.

    Args: configs, the folder of the command's config; name, of the config; words, the command's arguments.
    Raises: InputError for code that may not be named; Hydra's errors for a config that cannot be composed.
    """
    about_hydra = [word for word in words if "hydra" in word.partition("=")[0] or word.startswith(("-c", "--config-"))]
    if all(word.lstrip("+~").startswith(PLAIN) for word in about_hydra):
        return
    parser = ArgumentParser(add_help=False)
    for short, option in (("-cp", "--config-path"), ("-cn", "--config-name"), ("-cd", "--config-dir")):
        parser.add_argument(short, option)
    options, others = parser.parse_known_args(list(words))
    overrides = [word for word in others if word.startswith("~") or ("=" in word and not word.startswith("-"))]
    if options.config_dir:
        overrides.insert(0, f"hydra.searchpath=[{options.config_dir}]")
    with initialize_config_dir(str(Path(options.config_path or configs).absolute()), version_base="1.3"):
        config = (
            GlobalHydra.instance()
            .config_loader()
            .load_configuration(
                options.config_name or name, overrides, run_mode=RunMode.MULTIRUN, validate_sweep_overrides=False
            )
        )
    with open_dict(config):  # what Hydra sets later
        config.hydra.runtime.output_dir, config.hydra.job.num, config.hydra.job.id = "", 0, "0"
    for group in BUILT:
        settings = OmegaConf.to_container(config.hydra[group], resolve=True)
        for key, value in _named_code(settings, f"hydra.{group}", is_logging="logging" in group):
            if check_target(key, value, config.get("allow_targets") or (), MODULES) is None:
                raise InputError(f"{key}: {value} was not found; check its spelling")


def _named_code(node: Any, path: str, is_logging: bool) -> Iterator[tuple[str, Any]]:
    """The names of classes and functions in a group, each with its key.

    Raises: InputError for an object of Python's in a logging config that is not the console.
    """
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "_target_" or (is_logging and key in ("()", "class")):
                yield f"{path}.{key}", value
            else:
                yield from _named_code(value, f"{path}.{key}", is_logging)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _named_code(value, f"{path}.{index}", is_logging)
    elif is_logging and isinstance(node, str) and node.startswith("ext://") and node not in STREAMS:
        raise InputError(f"{path} may be {' or '.join(STREAMS)}, got {node}")
