"""Several processes of one run: which of them writes its files, and what they cannot do together."""

import os
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from autoencoder.errors import InputError

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # of torchrun, of Lightning's own processes, of srun
COPYING = ("spawn", "fork", "notebook")  # in the names of strategies that train in copies of this process

_scratch: list[TemporaryDirectory[str]] = []  # goes when the process ends


def rank() -> int:
    """This process's number among those of a run, from the variables that torchrun, Lightning or srun set."""
    return next((int(os.environ[name]) for name in RANKS if os.environ.get(name, "").isdigit()), 0)


def is_first_process() -> bool:
    """Whether this is the one process of a run that writes its files."""
    return rank() == 0


def folder_overrides() -> list[str]:
    """What a process puts before its command line so that only the first one of a run writes into the run's folder.

    The others record no config and write no log. torchrun starts them on their own, so that each would name a folder
    after its own start: unless the command names one, they get a scratch folder, which goes when the process ends.
    """
    if is_first_process():
        return []
    _scratch.append(TemporaryDirectory(prefix="rank-"))
    return [
        f"hydra.run.dir={_scratch[-1].name}",
        f"hydra.sweep.dir={_scratch[-1].name}",
        "hydra.output_subdir=null",
        "hydra.job_logging.root.handlers=[console]",
        "++hydra.job_logging.handlers.file.delay=true",  # not opened before the first line, of which there is none
    ]


def check_strategy(trainer: Mapping[str, Any]) -> None:
    """Holds a Trainer's config against what its processes can do.

    Raises: InputError for strategies that train in a copy of this process, which never learns what came of it.
    """
    strategy = trainer.get("strategy")
    name = strategy.get("start_method") if isinstance(strategy, Mapping) else strategy
    if isinstance(name, str) and any(word in name for word in COPYING):
        raise InputError(
            f"trainer.strategy={name} trains in copies of this process, which then knows nothing of their result: "
            "take trainer.strategy=ddp"
        )


def check_processes(trainer: "Trainer", in_sweep: bool) -> None:
    """Holds the processes that a Trainer is going to start against those that there are.

    Raises: InputError if a sweep would start several, if nodes are to come that nobody starts, or if torchrun has
        started others than the Trainer counts on.
    """
    wanted = f"trainer.devices={trainer.num_devices}" + f" trainer.num_nodes={trainer.num_nodes}" * (
        trainer.num_nodes > 1
    )
    environment = getattr(trainer.strategy, "cluster_environment", None)
    starts_them = not (environment and environment.creates_processes_externally)
    if in_sweep and trainer.world_size > 1 and starts_them:
        raise InputError(
            f"{wanted}: each further process starts the command once more, a whole sweep too: "
            "leave out -m, set trainer.devices=1, or start the sweep with torchrun"
        )
    if trainer.num_nodes > 1 and starts_them and not {"MASTER_ADDR", "NODE_RANK"} <= os.environ.keys():
        raise InputError(
            f"{wanted}: this process would wait for the other nodes without end: start the command with torchrun or "
            "srun on each node, or set MASTER_ADDR and NODE_RANK there"
        )
    started = int(os.environ.get("WORLD_SIZE", 1)) if "TORCHELASTIC_RUN_ID" in os.environ else 1
    if started > 1 and trainer.world_size != started:
        raise InputError(
            f"torchrun has started {started} processes, and {wanted} with trainer.strategy="
            f"{'auto' if trainer.world_size == 1 else 'ddp'} makes {trainer.world_size}: "
            f"set trainer=ddp trainer.devices={os.environ.get('LOCAL_WORLD_SIZE', started)}"
        )
