"""Measures before training, in a few steps, whether several threads are faster than one on this machine right now."""

import logging
import time
from copy import deepcopy
from statistics import median

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.nn.functional import mse_loss

log = logging.getLogger(__name__)

PASSES = 6
BUDGET = 0.02  # seconds for each number of threads; no new pass starts after this
MOST_IMAGES = 256
WORTH_SAYING = 1.5  # times as slow as one thread


def advise_on_threads(trainer: Trainer, network: nn.Module, image_shape: torch.Size, batch_size: int) -> None:
    """Logs a warning if training on a CPU would be faster on one thread than on all.

    If other programs use the cores, threads wait for each other, and a step can take ten times as long or more. The
    number of threads is not changed, since it affects the last digits of sums: the user decides.
    """
    threads = torch.get_num_threads()
    if threads == 1 or trainer.world_size > 1 or trainer.strategy.root_device.type != "cpu":
        return
    network = deepcopy(network)
    shape = (min(batch_size, MOST_IMAGES), *image_shape)
    images = torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape)
    with torch.random.fork_rng(devices=[]):
        together = seconds_a_step(network, images)
        torch.set_num_threads(1)
        try:
            alone = seconds_a_step(network, images)
        finally:
            torch.set_num_threads(threads)
    if together > WORTH_SAYING * alone:
        log.warning(
            "%d threads take %.1f ms a step, one takes %.1f ms; the machine may be busy: "
            "start with OMP_NUM_THREADS=1 to train about %.0f times as fast",
            *(threads, 1000 * together, 1000 * alone, together / alone),
        )


def seconds_a_step(network: nn.Module, images: Tensor) -> float:
    """The median time in seconds of a few forward and backward passes through `network`; changes its gradients."""
    seconds: list[float] = []
    while len(seconds) < PASSES and sum(seconds) < BUDGET:
        start = time.perf_counter()
        mse_loss(network(images), images).backward()
        seconds.append(time.perf_counter() - start)
    return median(seconds)
