"""Times an epoch on a GPU: the Trainer beside the bare loop, the share of time the GPU is idle, and host copies."""

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer
from torch.autograd import DeviceType
from torch.nn.functional import mse_loss
from torch.profiler import ProfilerActivity, profile

from autoencoder import AutoencoderModule, ImageDataModule
from autoencoder.cli.noise import silence_known_noise
from autoencoder.optim.optimizers import adam
from autoencoder.optim.schedulers import constant

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 3


def fit(datamodule: ImageDataModule, *overrides: str) -> float:
    """Seconds an epoch of `trainer=gpu` (or what `overrides` say), its callbacks and logger on."""
    with tempfile.TemporaryDirectory() as folder:
        with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
            config = compose("train", [f"paths.output_dir={folder}", f"trainer.max_epochs={EPOCHS}", *overrides])
        timer = Timer()
        trainer: Trainer = instantiate(
            config.trainer,
            callbacks=[timer, *(instantiate(part) for part in config.callbacks.values() if part)],
            logger=[instantiate(part) for part in config.logger.values()],
        )
        module = AutoencoderModule(compile=config.model.compile, optimizer=adam, scheduler=constant)
        trainer.fit(module, datamodule)
    return timer.time_elapsed("train") / EPOCHS


def bare(datamodule: ImageDataModule, device: torch.device) -> float:
    """Seconds an epoch of the same batches, network and optimiser in a plain loop on the device."""
    module = AutoencoderModule().to(device)
    optimizer = adam(module)
    split = datamodule.images.to(device).train
    start = time.perf_counter()
    for batch in torch.randperm(len(split), device=device).split(datamodule.batch_size):
        inputs = split.images(batch)
        optimizer.zero_grad()
        mse_loss(module(inputs), inputs).backward()
        optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Prints one row a setting; on a machine without a GPU the same rows of the CPU, and says so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="mnist", help="mnist, or mnist_5k to see whether it runs")
    arguments = parser.parse_args()
    silence_known_noise()
    has_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if has_gpu else "cpu")
    print(f"python benchmarks/gpu.py, torch {torch.__version__}, {torch.cuda.get_device_name() if has_gpu else 'CPU'}")
    if not has_gpu:
        print("no GPU on this machine: the rows below are of the CPU, and only show that the script runs")
    data_dir = os.environ.get("DATA_DIR", str(ROOT / "data"))
    datamodule = ImageDataModule(arguments.dataset, data_dir, batch_size=512, val_size=500)
    datamodule.setup()
    kind = "trainer=gpu" if has_gpu else "trainer=cpu"
    variants = {"Trainer": (kind,)}
    if has_gpu:
        variants["Trainer, bf16-mixed"] = (kind, "trainer.precision=bf16-mixed")
        variants["Trainer, bf16-mixed, compiled"] = (kind, "trainer.precision=bf16-mixed", "model.compile=true")
    bare(datamodule, device)
    base = min(bare(datamodule, device) for _ in range(3))
    print(f"{'bare loop':<32}{base:>9.3f} s/epoch")
    for name, overrides in variants.items():
        fit(datamodule, *overrides)
        seconds = min(fit(datamodule, *overrides) for _ in range(3))
        print(f"{name:<32}{seconds:>9.3f} s/epoch{seconds / base:>8.2f} x bare")
    if has_gpu:
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as record:
            seconds = fit(datamodule, *variants["Trainer, bf16-mixed"]) * EPOCHS
        events = [event for event in record.events() if event.device_type == DeviceType.CUDA]
        busy = sum(event.device_time for event in events) / 1e6
        copies = sum("HtoD" in event.name for event in events)
        print(f"GPU idle {1 - busy / seconds:.0%} of the time; {copies} copies from the host in {EPOCHS} epochs")


if __name__ == "__main__":
    main()
