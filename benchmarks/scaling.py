"""How an epoch's cost grows with batch size, latent_dim, width and images: benchmarks/scaling.png and a table."""

import argparse
import itertools
import os
import time
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch.nn.functional import mse_loss

from autoencoder import AutoencoderModule, ImageDataModule
from autoencoder.data.batches import EpochOrder, ImageBatches
from autoencoder.data.images import Split
from autoencoder.models.networks.mlp import MLP
from autoencoder.optim.optimizers import muon

ROOT = Path(__file__).resolve().parents[1]
STEPS = 60
AXES = {
    "batch size": (32, 64, 128, 256, 512, 1024),
    "latent_dim": (8, 16, 32, 64, 128),
    "width (× 128-64)": (1, 2, 4),
    "images": (5_000, 15_000, 60_000, 600_000),
}


def epoch_seconds(data: ImageDataModule, batch: int, latent_dim: int, width: int, images: int) -> float:
    """Seconds of an epoch with the default optimiser, from at most `STEPS` of its steps; its order is dealt in full."""
    module = AutoencoderModule(latent_dim=latent_dim, network=partial(MLP, hidden_dims=[128 * width, 64 * width]))
    optimizer = muon(module)
    count = len(data.images.train)
    pixels = data.images.train.pixels.repeat(-(-images // count), 1, 1, 1)[:images]
    batches = ImageBatches(Split(pixels, torch.zeros(images)), EpochOrder(images, seed=0), batch)
    start = time.perf_counter()
    iterator = iter(batches)
    first = next(iterator)
    dealt = time.perf_counter() - start
    steps = min(STEPS, len(batches) - 1)
    start = time.perf_counter()
    for inputs, _ in itertools.chain([first], itertools.islice(iterator, steps - 1)):
        optimizer.zero_grad()
        mse_loss(module(inputs), inputs).backward()
        optimizer.step()
    return dealt + (time.perf_counter() - start) / steps * len(batches)


def main() -> None:
    """Prints a row a setting, and draws them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "scaling.png")
    parser.add_argument("--dataset", default="mnist", help="mnist, or mnist_5k to see whether it runs")
    arguments = parser.parse_args()
    torch.set_flush_denormal(True)
    data = ImageDataModule(arguments.dataset, os.environ.get("DATA_DIR", str(ROOT / "data")), val_size=0)
    data.setup()
    default = {"batch": 128, "latent_dim": 32, "width": 1, "images": 60_000}
    figure = Figure(figsize=(11, 3), layout="constrained")
    panels = figure.subplots(1, len(AXES), sharey=True)
    panels[0].set_ylabel("s/epoch")
    for axes, (name, values), key in zip(panels, AXES.items(), default, strict=True):
        seconds = {value: [] for value in values}
        for _ in range(arguments.rounds + 1):  # the first round warms up
            for value in values:
                seconds[value].append(epoch_seconds(data, **{**default, key: value}))
        best = [min(taken[1:]) for taken in seconds.values()]
        for value, taken in seconds.items():
            print(f"{name:<20}{value:>8,}{min(taken[1:]):>9.2f} s/epoch (max {max(taken[1:]):.2f})")
        axes.loglog(values, best, "o-", color="#0072B2", label="measured")
        if key == "images":
            axes.loglog(
                values, [best[-1] * value / values[-1] for value in values], "--", color="#D55E00", label="linear"
            )
            axes.legend()
        axes.set_xticks(values, [f"{value:,}" if value < 1000 else f"{value // 1000}k" for value in values])
        axes.set_xticks([], minor=True)
        axes.set_yticks(ticks := (0.1, 0.3, 1, 3, 10, 30), [f"{tick:g}" for tick in ticks])
        axes.set_yticks([], minor=True)
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)
    figure.suptitle(f"Seconds an epoch: default network and optimiser, {torch.get_num_threads()} threads")
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
