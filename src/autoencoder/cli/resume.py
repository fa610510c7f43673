"""Decides how a run starts in its folder: as a new run, by resuming one, or with the report of a finished one."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from autoencoder.cli.command import in_sweep
from autoencoder.cli.sweeps import as_written
from autoencoder.errors import InputError
from autoencoder.paths import absolute, assignment, expand_home, quoted, shown
from autoencoder.runs.folder import (
    SWEEP_CONFIG,
    RunFolder,
    check_changes,
    counted,
    differences,
    link,
    write_metrics,
    write_whole,
)
from autoencoder.runs.jobs import is_sweep
from autoencoder.runs.processes import is_first_process, is_job_of_sweep

log = logging.getLogger(__name__)

NOT_KEPT = ("resume", "ckpt_path", "allow_targets")  # what a run's record allows, its user has to allow again
KEPT_HYDRA_SETTINGS = "hydra.searchpath="  # the only hydra setting that a resumed run takes over
KEPT_SWEEP_SETTINGS = (
    KEPT_HYDRA_SETTINGS,
    *(f"hydra{mark}{part}" for mark in "/." for part in ("launcher", "sweeper")),
)
OF_SHELL = ("setup", "additional_parameters", "\n")  # in hydra.launcher's settings: they go into a job's script


@dataclass(frozen=True)
class Start:
    """How a run starts in its folder.

    Attributes:
        folder: the run's folder.
        goes_on: whether the run resumes from last.ckpt in this folder.
        changes: the settings that have changed since, by name: old value, new value.
        finished: the metrics, if the run has finished with the same settings and is not run again.
        config: the config to record.
    """

    folder: RunFolder
    goes_on: bool = False
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    finished: Mapping[str, Any] | None = None
    config: DictConfig | None = None

    def record(self, step: int) -> None:
        """Records that the run begins: writes its settings, marks it as unfinished, and points `latest` to it.

        Args: step, the number of steps that a resumed run has already done.
        """
        if self.config is None or not is_first_process():
            return
        self.write_settings()
        changes = [f"{key} was {was} up to step {step}, then {now}" for key, (was, now) in self.changes.items()]
        if self.goes_on:
            changes = self.folder.read_changes() + changes
        elif self.config.get("ckpt_path"):
            changes = [f"started from {self.config.ckpt_path}"]
        if changes or self.folder.changes.is_file():  # left by a run killed before its first checkpoint
            write_whole(self.folder.changes, "".join(f"{line}\n" for line in changes))
        metrics = self.folder.read_metrics()
        if metrics:  # from before the run was resumed with other settings
            write_metrics(metrics | {"status": "interrupted"}, self.folder.metrics)
        point_latest_to(self.folder, Path(self.config.paths.log_dir))

    def write_settings(self) -> None:
        """Writes the settings as Hydra does, but later: Hydra overwrites an older run's before a run can be refused."""
        self.folder.record.mkdir(parents=True, exist_ok=True)
        hydra = HydraConfig.get()
        contents = {
            "config": self.config,
            "hydra": OmegaConf.create({"hydra": hydra}),
            "overrides": hydra.overrides.task,
        }
        for name, content in contents.items():
            write_whole(self.folder.record / f"{name}.yaml", OmegaConf.to_yaml(content))

    def announce(self) -> None:
        """Logs that the run is resumed, and which settings have changed; only in the first process."""
        if not is_first_process():
            return
        log.info("resuming %s", shown(self.folder.path))
        for key, (before, now) in self.changes.items():
            log.info("  %s is now %s, was %s", key, now, before)

    def report(self) -> float | None:
        """Logs that there is nothing to do; returns the finished run's `val/mse`."""
        metrics = self.finished or {}
        errors = "  ".join(f"{name} {metrics[name]:.4f}" for name in ("val/mse", "test/mse") if metrics.get(name))
        log.info("already finished with the same settings: %s  %s", shown(self.folder.path), errors)
        limits = ["max_epochs"]
        if self.config is not None:
            limits += [name for name in ("max_steps", "max_time") if self.config.trainer.get(name) not in (None, -1)]
        more = " ".join(f"trainer.{name}=…" for name in limits)
        log.info("to train longer: python src/train.py %s %s", assignment("resume", shown(self.folder.path)), more)
        return metrics.get("val/mse")


@contextmanager
def started(config: DictConfig, settings: Mapping[str, Any]) -> Iterator[Start]:
    """A context with the `Start` of the run of `config`, in which its folder is locked.

    Args: settings, the config as plain values.
    Raises: InputError as in `find_start`, or if another run is using the folder.
    """
    folder = RunFolder(settings["paths"]["output_dir"])
    if is_first_process():
        folder.hold()
    try:
        start = replace(find_start(folder, settings), config=config)
        if in_sweep() and is_first_process() and not folder.record.exists():
            start.write_settings()  # a sweep's table shows them for refused jobs, too
        with _former_record_kept(folder) if start.goes_on else nullcontext():
            yield start
    finally:
        folder.release()


@contextmanager
def _former_record_kept(folder: RunFolder) -> Iterator[None]:
    """Restores a run's previous settings, metrics and logs if it ends before it saves a new checkpoint."""
    saved = folder.last.stat().st_mtime_ns
    former = {path: path.read_bytes() for path in folder.record_files()}
    try:
        yield
    except (Exception, SystemExit):
        if is_first_process() and folder.last.stat().st_mtime_ns == saved:
            for path in folder.record_files():
                if path not in former:
                    path.unlink()
            for path, content in former.items():
                write_whole(path, content)
        raise


def expand_resume(arguments: Sequence[str]) -> list[str]:
    """Expands `resume=RUN` in the command line to the run's own overrides and folder; other arguments follow.

    `resume=SWEEP` becomes the command of that sweep.
    Args: arguments, of the command; returned unchanged if there is no `resume=`, or in a job of a sweep, whose
        folder is known.
    Raises: InputError if RUN is neither the folder of a run nor of a sweep.
    """
    named = [argument.partition("=")[2] for argument in arguments if argument.startswith("resume=")]
    if named and not named[-1].strip("'\""):
        raise InputError("resume= is empty: set it to a run's folder, resume=RUN, or leave it out")
    if not named or named[-1] == "null" or is_job_of_sweep():
        return list(arguments)
    given = named[-1].strip("'\"")
    folder = RunFolder(expand_home(given).resolve())
    is_of_sweep = is_sweep(folder.path) and not folder.record.is_dir()
    own_key = "hydra.sweep.dir" if is_of_sweep else "hydra.run.dir"
    own_folder = f"{own_key}={quoted(str(folder.path))}"
    several = [argument for argument in arguments if argument in ("-m", "--multirun")]
    if several and not is_of_sweep:
        raise InputError(f"resume={given} resumes a single run: leave out -m")
    recorded, of_hydra = _sweep_overrides(folder) if is_of_sweep else _run_overrides(folder, given)
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key == "ckpt_path" and value != "null":
            raise InputError("resume starts from the run's own last.ckpt: leave out ckpt_path, or resume")
        elsewhere = key == own_key and value != quoted(str(folder.path)) and is_first_process()
        if elsewhere and RunFolder(value.strip("'\"")).path != folder.path:
            raise InputError(f"resume={given} writes to the run's own folder: leave out {own_key}")
    kept = [
        override
        for override in [*recorded, *of_hydra]
        if _key(override) not in NOT_KEPT and not any(_replaces(one, override) for one in arguments)
    ]
    _check_shell_commands(kept, given)
    if any(override.startswith(KEPT_HYDRA_SETTINGS) for override in kept):
        kept.append("allow_targets=[]")  # instead of what a config in such a folder may allow
    expanded: list[str] = ["-m"] if is_of_sweep else []
    for argument in arguments:
        if argument.startswith("resume="):
            expanded += [*kept, argument, own_folder]
        elif not argument.startswith(f"{own_key}=") and argument not in several:
            expanded.append(argument)
    return expanded


def _check_shell_commands(kept: Sequence[str], given: str) -> None:
    """Raises: InputError if the record of a sweep, `given` by the user, has commands that a SLURM job would run."""
    for override in kept:
        if _key(override).startswith("hydra.launcher") and any(word in override for word in OF_SHELL):
            raise InputError(
                f"resume={given} would run shell commands that its record holds, {override}: "
                "if you trust them, write that setting again on the command line"
            )


def _run_overrides(folder: RunFolder, given: str) -> tuple[list[str], list[str]]:
    """The overrides of a run, and those of Hydra that it takes over.

    Raises: InputError if `folder`, as `given` by the user, is not the folder of a run.
    """
    overrides = folder.record / "overrides.yaml"
    if not overrides.is_file():
        run = RunFolder.of_checkpoint(folder.path)
        if folder.path.is_file() and run:
            raise InputError(f"resume={given} is a checkpoint: use its run's folder, resume={quoted(str(run.path))}")
        raise InputError(
            f"resume={given} is not the folder of a run, it has no .hydra/overrides.yaml: "
            "use one such as logs/train/runs/<date_time>, or logs/train/latest"
        )
    hydra = folder.record / "hydra.yaml"
    of_hydra = OmegaConf.select(OmegaConf.load(hydra), "hydra.overrides.hydra") if hydra.is_file() else None
    kept = [override for override in as_written(of_hydra) if override.startswith(KEPT_HYDRA_SETTINGS)]
    return as_written(OmegaConf.load(overrides)), kept


def _sweep_overrides(folder: RunFolder) -> tuple[list[str], list[str]]:
    """The overrides of a sweep, and those of Hydra that it takes over, such as its launcher.

    Raises: InputError if the record of its command is lost or broken.
    """
    path = folder.path / SWEEP_CONFIG
    try:
        given = OmegaConf.select(OmegaConf.load(path), "hydra.overrides")
        of_hydra = [override for override in as_written(given["hydra"]) if override.startswith(KEPT_SWEEP_SETTINGS)]
        return as_written(given["task"]), of_hydra
    except (OSError, ValueError, TypeError, KeyError, YAMLError, OmegaConfBaseException):
        raise InputError(
            f"{path}, the record of the sweep's command, is lost or broken: type the command again"
        ) from None


def find_start(folder: RunFolder, settings: Mapping[str, Any]) -> Start:
    """How a run with `settings`, resolved, starts in `folder`.

    Raises: InputError if the folder holds a run with other settings, or a run that cannot be resumed as requested.
    """
    asks_to_resume = bool(settings.get("resume"))
    ckpt_path = settings.get("ckpt_path")
    checkpoint = absolute(str(ckpt_path)) if ckpt_path else None
    if checkpoint and folder.path in checkpoint.parents:
        if checkpoint != folder.last:
            raise InputError(
                f"ckpt_path={ckpt_path} is in the run's own folder, which resumes from last.ckpt: "
                "leave out hydra.run.dir to start a new run from it"
            )
        asks_to_resume = True
    if not folder.is_taken():
        if asks_to_resume:
            log.info("%s has no checkpoint yet: the run starts from the beginning", folder.path)
        return Start(folder)
    before = read_record(folder)
    if before is None or not counted(settings).keys() <= before.keys():
        raise InputError(f"{folder.path} holds a run whose .hydra/config.yaml is missing or broken: use another folder")
    changes = differences(before, settings)
    if changes and not asks_to_resume:
        key, (was, now) = next(iter(changes.items()))
        raise InputError(
            f"{folder.path} holds a run with other settings, {key} was {was} and is {now} now: "
            f"use another folder, or change that run with resume={quoted(str(folder.path))}"
        )
    check_changes(changes, folder)
    metrics = folder.read_metrics()
    if metrics and metrics.get("status", "finished") == "finished" and not changes:
        return Start(folder, finished=metrics)
    if not folder.last.is_file():
        raise InputError(
            f"{folder.path} has no checkpoints/last.ckpt to resume from: use another folder"
            + (f", or start a new run elsewhere with ckpt_path={folder.best}" if folder.best.is_file() else "")
        )
    return Start(folder, True, changes)


def read_record(folder: RunFolder) -> dict[str, Any] | None:
    """The settings of the run in `folder`, as plain values; None if they are missing or broken."""
    try:
        config = OmegaConf.load(folder.record / "config.yaml")
        return resolved(config, folder) if isinstance(config, DictConfig) else None
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return None


def resolved(config: DictConfig, folder: RunFolder) -> dict[str, Any]:
    """`config` as plain values, with `folder` as its output folder, in case that was moved."""
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    OmegaConf.update(own, "paths.output_dir", str(folder.path), force_add=True)
    settings: Any = OmegaConf.to_container(own, resolve=True)
    return settings


def point_latest_to(folder: RunFolder, log_dir: Path) -> None:
    """Makes `log_dir`/train/latest a link to `folder`, if that is in `log_dir`/train."""
    latest = absolute(log_dir) / "train" / "latest"
    if folder.path.is_relative_to(latest.parent):
        link(latest, folder.path)


def _replaces(given: str, recorded: str) -> bool:
    """Whether an override replaces a recorded one; a key added with + must stay, so that it can be changed."""
    if given.startswith("~") or (recorded.startswith("+") and not given.startswith("+")):
        return given == recorded
    return _key(given) == _key(recorded)


def _key(override: str) -> str:
    """The key that an override sets."""
    return override.partition("=")[0].lstrip("+~").partition("@")[0]
