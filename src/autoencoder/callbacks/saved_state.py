"""Checks the state that a run is to go on from, so that a broken one is refused before the run's files are touched."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from autoencoder.callbacks.checkpoints import random_states, set_random_states
from autoencoder.errors import InputError
from autoencoder.models.module import AutoencoderModule


@contextmanager
def refused(path: str | Path, entry: str) -> Iterator[None]:
    """Raises: InputError for any error of the code inside, which uses `entry` of the checkpoint `path`."""
    try:
        yield
    except Exception as error:  # torch raises all kinds of errors for a state that is not its own
        reason = shorten(f"{type(error).__name__}: {error}", 150, placeholder=" …")
        raise InputError(f"checkpoint {path} has a broken {entry} ({reason}): start a new run") from None


def check_optimizer(path: str | Path, states: Mapping[int, Any], module: AutoencoderModule) -> None:
    """Compares an optimiser's `states`, by parameter, with those of the module's optimiser after a step.

    They are compared and not tried: a fused step with a state of another shape writes beyond its memory.
    Raises: InputError for one that the optimiser could not go on with.
    """
    for index, own in _first_states(module).items():
        state = states.get(index) or own  # none for a parameter that has never had a gradient
        for name, value in own.items():
            if value is not None and _describe(state.get(name)) != _describe(value):
                raise InputError(
                    f"checkpoint {path} has a broken state of the optimiser: {name} of parameter {index} must be "
                    f"{_describe(value)}, got {_describe(state.get(name))}: start a new run"
                )


def _first_states(module: AutoencoderModule) -> dict[int, dict[str, Any]]:
    """The states, by parameter, that the module's optimiser has after one step; none if it cannot take this one."""
    with suppress(Exception):  # an optimiser that needs other gradients, say
        copy = deepcopy(module)
        optimizer = copy.make_optimizer(copy)
        for parameter in copy.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step(lambda: 0.0)
        states: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
        return states
    return {}


def _describe(value: Any) -> str:
    """The shape of a number or tensor; the type of anything else."""
    if isinstance(value, Tensor):
        return f"{'floats' if value.is_floating_point() else value.dtype} of shape {list(value.shape)}"
    return "floats of shape []" if type(value) in (int, float) else type(value).__name__


def try_scheduler(path: str | Path, state: Mapping[str, Any], scheduler: LRScheduler) -> None:
    """Takes a step with a schedule's `state`; Raises: InputError if that is not possible."""
    with refused(path, "state of the schedule"), warnings.catch_warnings(action="ignore"):  # its optimiser takes none
        scheduler.load_state_dict(deepcopy(dict(state)))
        scheduler.step()


def try_random_states(path: str | Path, states: list[dict[str, Any]] | dict[str, Any]) -> None:
    """Sets the random states of each process and sets them back; Raises: InputError if they are no such states."""
    before = random_states()
    try:
        with refused(path, "random state"):
            for state in states if isinstance(states, list) else [states]:
                set_random_states(state)
    finally:
        set_random_states(before)
