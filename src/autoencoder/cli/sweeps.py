"""Plans a sweep: the folder of each job, found by the job's settings, and the jobs that are left to run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from autoencoder.errors import InputError
from autoencoder.paths import absolute, quoted, shown
from autoencoder.runs.folder import ABSENT, PLAN, SWEEP_CONFIG, RunFolder, counted, flat, write_whole
from autoencoder.runs.jobs import Job, find_jobs, read_plan
from autoencoder.runs.processes import is_first_process

NUMBERED = "${hydra.job.num}"  # the default of hydra.sweep.subdir


@contextmanager
def begin_sweep(loader: ConfigLoader, config: DictConfig, jobs: Sequence[list[str]]) -> Iterator[list[list[str]]]:
    """Locks a sweep's folder, records its plan, and gives the overrides of the jobs that have not finished there.

    Each list has an override for `hydra.sweep.subdir` added, the job's folder, which holds in any launcher.

    Args: config, of the sweep; jobs, the overrides of each.
    Raises: InputError if a job's config cannot be composed, or if the folder is in use or holds other settings.
    """
    sweep = RunFolder(config.hydra.sweep.dir)
    names, finished = plan_jobs(loader, config, jobs)
    planned = dict(zip(names, jobs, strict=True))  # jobs with the same settings are one
    missing = [[*job, in_folder(name)] for name, job in planned.items() if name not in finished]
    if not is_first_process():  # of a sweep that torchrun or srun started
        yield missing
        return
    sweep.path.mkdir(parents=True, exist_ok=True)
    sweep.hold()
    try:
        write_whole(sweep.path / SWEEP_CONFIG, OmegaConf.to_yaml(config))
        write_plan(sweep, planned)
        if finished:
            print(f"{len(finished)} of {len(planned)} jobs have finished before, they are not run again")
        yield missing
    finally:
        sweep.release()


def as_written(overrides: DictConfig | ListConfig | None) -> list[str]:
    """Recorded overrides as the user wrote them; a loop over the list would resolve the `${…}` in them, out of place.

    Args: overrides, None if there is no record of them.
    """
    words: Any = OmegaConf.to_container(overrides, resolve=False) if overrides is not None else []
    return [str(word) for word in words]


def in_folder(name: str) -> str:
    """The override that puts a job into the folder `name` of its sweep."""
    return f"hydra.sweep.subdir={quoted(name)}"


def write_plan(sweep: RunFolder, planned: Mapping[str, list[str]]) -> None:
    """Writes the plan of a sweep, jobs.json: the overrides of each job, by the name of its folder.

    Jobs of an earlier plan stay in it if they have begun.
    """
    earlier = {name: job for name, job in read_plan(sweep.path).items() if (sweep.path / name).is_dir()}
    write_whole(sweep.path / PLAN, json.dumps(earlier | dict(planned), indent=1) + "\n")


def plan_jobs(loader: ConfigLoader, config: DictConfig, jobs: Sequence[list[str]]) -> tuple[list[str], set[str]]:
    """The names of the jobs' folders in the sweep's folder, and the names of those that have finished.

    A job belongs to the folder that holds a run of the same settings. Other jobs get the next free numbers.
    Raises: InputError as in `begin_sweep`.
    """
    composed = [compose_job(loader, config, job, number) for number, job in enumerate(jobs)]
    pattern: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    is_numbered = pattern["subdir"] == NUMBERED
    trains = all("resume" in job for job in composed)
    if not (is_numbered and trains):
        patterned = [str(OmegaConf.select(job, "hydra.sweep.subdir")) for job in composed]
        if len(set(patterned)) < len(patterned):
            raise InputError(
                f"{len(patterned)} jobs would share {len(set(patterned))} folders: let hydra.sweep.subdir contain "
                f"{NUMBERED}, as it does by default"
            )
        return patterned, set()
    settings = [settings_of(job) for job in composed]
    root = absolute(config.hydra.sweep.dir)
    existing = {job.name: job for job in find_jobs(root)} if root.is_dir() else {}
    known = {name: job for name, job in existing.items() if job.settings and (job.folder / ".hydra").is_dir()}
    places = find_places(settings, {name: job.settings for name, job in known.items()})
    for name, job in zip(places, settings, strict=True):
        if name is not None:
            check_same(known[name], job, root)
    taken = {name for name, job in existing.items() if name in known or RunFolder(job.folder).is_taken()}
    free = (name for number in range(len(taken) + len(jobs)) if (name := str(number)) not in taken)
    new: dict[str, str] = {}  # by their settings
    names = []
    for place, job in zip(places, settings, strict=True):
        text = _digest(job, {}, [])
        if place is None and text not in new:
            new[text] = next(free)
        names.append(place or new[text])
    finished = {
        name
        for name, job in zip(names, settings, strict=True)
        if name in known and known[name].status == "finished" and counted(known[name].settings) == counted(job)
    }
    return names, finished


def compose_job(loader: ConfigLoader, config: DictConfig, job: Sequence[str], number: int) -> DictConfig:
    """The config of one job, with its number, as a launcher composes it."""
    composed = loader.load_sweep_config(config, list(job))
    with open_dict(composed):
        composed.hydra.job.num, composed.hydra.job.id = number, str(number)
    return composed


def settings_of(job: DictConfig) -> dict[str, Any]:
    """A job's settings by full name, with interpolations as they are written, as in its record."""
    own = OmegaConf.masked_copy(job, [str(key) for key in job if key != "hydra"])
    settings: Any = OmegaConf.to_container(own, resolve=False)
    return dict(flat(settings))


def find_places(jobs: Sequence[Mapping[str, Any]], existing: Mapping[str, Mapping[str, Any]]) -> list[str | None]:
    """For each job, the name of the existing run that it belongs to, None if it is a new one.

    That is the run with the same settings, or else the one that has the same values of all swept settings, so that the
    caller can report or apply the difference in the others. Swept are the settings in which the jobs differ, or in
    which the existing runs differ and that affect the result.

    Args: settings by full name; those that do not affect the result count only if they are swept.
    """
    swept = differing(jobs)
    between = [key for key in differing([counted(run) for run in existing.values()]) if key not in swept]
    same = {_digest(counted(run), run, swept): name for name, run in reversed(list(existing.items()))}
    near = {_digest({}, run, swept + between): name for name, run in reversed(list(existing.items()))}
    exact = [same.get(_digest(counted(job), job, swept)) for job in jobs]
    return [
        name if name is not None or (other := near.get(_digest({}, job, swept + between))) in exact else other
        for name, job in zip(exact, jobs, strict=True)
    ]


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys in which settings differ."""
    keys = dict.fromkeys(key for one in settings for key in one)
    return [key for key in keys if any(one.get(key, ABSENT) != settings[0].get(key, ABSENT) for one in settings)]


def check_same(run: Job, job: Mapping[str, Any], sweep: Any) -> None:
    """Raises: InputError if a job's settings differ from those of its run, unless it is to be resumed with these."""
    before, now = counted(run.settings), counted(job)
    if before == now or job.get("resume"):
        return
    key = differing([before, now])[0]
    raise InputError(
        f"{shown(sweep)} holds a sweep with other settings, {key} was {before.get(key, ABSENT)} in job {run.name} and "
        f"is {now.get(key, ABSENT)} now: use another folder, or change that sweep with resume={quoted(str(sweep))}"
    )


def _digest(result: Mapping[str, Any], settings: Mapping[str, Any], swept: Sequence[str]) -> str:
    """A text that is the same for the same settings."""
    return json.dumps([sorted(result.items()), [settings.get(key) for key in swept]], default=str)
