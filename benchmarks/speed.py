"""Times this project beside the bare PyTorch loop and the plain recipe: `make benchmark` prints one table.

Every ratio is taken within one run: the candidates take turns, each round times all of them, each beside what it is
held against. A row gives the fastest and the slowest round in seconds, and of the rounds' own ratios the median, the
least and the largest: on a machine whose speed drifts, the fastest rounds of two candidates may be minutes apart.
Only the plain recipe's 30 epochs, which the speedrun is held against, are from the rounds of the first table.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Timer
from PIL import Image
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, Normalize, ToTensor

from autoencoder import AutoencoderModule, ImageDataModule
from autoencoder.cli.noise import silence_known_noise
from autoencoder.cli.process import imports_done, short_process
from autoencoder.models.reconstructor import Reconstructor
from autoencoder.optim.optimizers import adam, muon
from autoencoder.optim.schedulers import constant

ROOT = Path(__file__).resolve().parents[1]
BATCH_SIZES = (128, 256, 512)
CALLBACKS = ("checkpoints", "history", "progress", "optimizer_monitor")  # all but the pictures
# A process inherits its parent's peak memory, so a small one starts the command and reads the clock and the memory.
LAUNCHER = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
MakeOptimizer = Callable[[AutoencoderModule], torch.optim.Optimizer]
OPTIMIZERS: dict[str, MakeOptimizer] = {"Adam": adam, "Muon": muon}  # the plain recipe's, the default's
PLAIN_BATCHES = 60  # of the plain recipe's 469 an epoch; the rest is scaled
TARGET_MSE = 0.0314  # of the plain recipe after its 30 epochs
PLAIN_EPOCHS = 30


class StopAfterFirstStep(Callback):
    """Ends the process as soon as it has trained one batch: its wall time is that to the first step."""

    def on_train_batch_end(self, *arguments: object) -> None:
        os._exit(0)


class PillowImages(Dataset[tuple[torch.Tensor, int]]):
    """Images as torchvision's MNIST deals them: a PIL image each, through ToTensor and Normalize."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.images, self.labels = images[:, 0], labels
        self.transform = Compose([ToTensor(), Normalize(0.5, 0.5)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index].numpy())), int(self.labels[index])


class Terminal(io.StringIO):
    """A stream that the progress bar takes for a terminal."""

    def isatty(self) -> bool:
        return True


def fit_seconds(datamodule: ImageDataModule, make_optimizer: MakeOptimizer) -> float:
    """An epoch of two in the stock Trainer: bar drawn, checkpoints and TensorBoard on; no validation, no pictures."""
    module = AutoencoderModule(optimizer=make_optimizer, scheduler=constant)
    timer = Timer()
    with tempfile.TemporaryDirectory() as folder:
        with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
            config = compose("train", [f"paths.output_dir={folder}", "trainer.max_epochs=2"])
        trainer: Trainer = instantiate(
            config.trainer,
            callbacks=[timer, *(instantiate(config.callbacks[name]) for name in CALLBACKS)],
            logger=[instantiate(part) for part in config.logger.values()],
        )
        with contextlib.redirect_stdout(Terminal()):
            trainer.fit(module, datamodule)
    return timer.time_elapsed("train") / 2


def bare_seconds(datamodule: ImageDataModule, make_optimizer: MakeOptimizer) -> float:
    """An epoch of the same batches, network and optimiser in a plain loop."""
    module = AutoencoderModule()
    network, optimizer = Reconstructor(module.network, module.bottleneck), make_optimizer(module)
    start = time.perf_counter()
    for images, _ in datamodule.train_dataloader():
        optimizer.zero_grad()
        mse_loss(network(images), images).backward()
        optimizer.step()
    return time.perf_counter() - start


def plain_seconds(datamodule: ImageDataModule) -> float:
    """An epoch of the plain recipe, timed over `PLAIN_BATCHES` batches of 128 and scaled: transforms image by image."""
    dataset = PillowImages(datamodule.images.train.pixels, datamodule.images.train.labels)
    module = AutoencoderModule()
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    batches, count = iter(DataLoader(dataset, 128, shuffle=True)), min(PLAIN_BATCHES, len(dataset) // 128)
    start = time.perf_counter()
    for _ in range(count):
        images, _ = next(batches)
        optimizer.zero_grad()
        mse_loss(module(images), images).backward()
        optimizer.step()
    return (time.perf_counter() - start) * len(dataset) / (count * 128)


def limit_seconds(datamodule: ImageDataModule) -> float:
    """The arithmetic of an epoch at the speed of a large float32 matrix product."""
    size = 4096
    left, right = torch.rand(size, size), torch.rand(size, size)
    start = time.perf_counter()
    torch.mm(left, right)
    flops_a_second = 2 * size**3 / (time.perf_counter() - start)
    weights = sum(parameter.numel() for parameter in AutoencoderModule().parameters() if parameter.ndim == 2)
    needless = 2 * 784 * 128  # no gradient is due for the images
    return len(datamodule.images.train) * (6 * weights - needless) / flops_a_second


def validation_seconds(datamodule: ImageDataModule) -> float:
    """A pass over 5,000 images in the order and batches of validation."""
    module = AutoencoderModule()
    start = time.perf_counter()
    with torch.inference_mode():
        for (images, _), _ in zip(datamodule.images.train.batches(), range(5), strict=False):
            module.val_error.update(module(images), images)
    return time.perf_counter() - start


def run_command(*arguments: str) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of a Python command, start to exit."""
    result = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCHER, sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    seconds, kilobytes = result.stdout.split()
    return float(seconds), float(kilobytes) / 1024


def take_turns(candidates: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each candidate returns in each round, after one round to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 1):
        for name, candidate in candidates.items():
            value = candidate()
            if turn:
                taken[name].append(value)
    return taken


def print_rows(title: str, rows: dict[str, list[float]], reference: str, against: dict[str, str] | None = None) -> None:
    """A row a candidate: seconds from the fastest to the slowest round, and the rounds' ratios to its reference."""
    print(f"\n| {title} | min | max | ratio | from | to | held against |\n| --- | --: | --: | --: | --: | --: | --- |")
    for name, values in rows.items():
        base = (against or {}).get(name, reference)
        ratios = round_ratios(values, rows[base])
        numbers = [f"{min(values):.2f}", f"{max(values):.2f}"]
        numbers += [f"{ratio:.3g}" for ratio in (median(ratios), min(ratios), max(ratios))]
        print(f"| {name} | {' | '.join(numbers)} | {base} |")


def round_ratios(values: list[float], references: list[float]) -> list[float]:
    """Each round's value to the same round's reference."""
    return [value / reference for value, reference in zip(values, references, strict=True)]


def time_epochs(datamodules: dict[int, ImageDataModule], rounds: int) -> dict[str, list[float]]:
    """Seconds an epoch, all candidates in turn."""
    first = datamodules[BATCH_SIZES[0]]
    candidates: dict[str, Callable[[], float]] = {"arithmetic limit": lambda: limit_seconds(first)}
    against = {}
    for (size, datamodule), (optimizer, make) in product(datamodules.items(), OPTIMIZERS.items()):
        bare, trainer = f"bare loop, {optimizer}, batch {size}", f"Trainer, {optimizer}, batch {size}"
        candidates[bare] = partial(bare_seconds, datamodule, make)
        candidates[trainer] = partial(fit_seconds, datamodule, make)
        against[trainer] = bare
    candidates["plain recipe, batch 128 (part of an epoch, scaled)"] = lambda: plain_seconds(first)
    candidates["validation, 5,000 images (not in the rows above)"] = lambda: validation_seconds(first)
    epochs = take_turns(candidates, rounds)
    count = f"{len(first.images.train):,}"
    print_rows(f"s/epoch of {count} images", epochs, f"bare loop, Adam, batch {BATCH_SIZES[0]}", against)
    return epochs


def time_to_target(epochs: dict[str, list[float]], rounds: int, *overrides: str) -> None:
    """Seconds of fitting, and of the whole command, to the plain recipe's error."""
    fits, walls, starts, errors = [], [], [], []
    for _ in range(rounds):
        starts.append(run_command("-c", "import torch, torchvision")[0])
        with tempfile.TemporaryDirectory() as folder:
            wall, _ = run_command("src/train.py", "experiment=speedrun", f"hydra.run.dir={folder}", *overrides)
            metrics = json.loads(Path(folder, "metrics.json").read_text(encoding="utf-8"))
        fits.append(metrics["fit_seconds"])
        walls.append(wall)
        errors.append(metrics["test/mse"])
    plain = [PLAIN_EPOCHS * seconds for seconds in epochs["plain recipe, batch 128 (part of an epoch, scaled)"]]
    fit, whole = "experiment=speedrun, fit", "experiment=speedrun, start of the process to its exit"
    plain_fit, plain_whole = "plain recipe, 30 epochs, fit", "plain recipe, 30 epochs and its imports"
    rows = {
        plain_fit: plain,
        plain_whole: [start + seconds for start, seconds in zip(starts, plain, strict=True)],
        "bare loop, the same 30 epochs": [PLAIN_EPOCHS * seconds for seconds in epochs["bare loop, Adam, batch 128"]],
        "Trainer, the same 30 epochs": [PLAIN_EPOCHS * seconds for seconds in epochs["Trainer, Adam, batch 128"]],
        fit: fits,
        whole: walls,
    }
    print_rows(f"s to test mse {TARGET_MSE}", rows, plain_fit, {whole: plain_whole})
    shares = [1 / median(round_ratios(*pair)) for pair in ((fits, plain), (walls, rows[plain_whole]))]
    print(f"\nspeedrun: test mse {min(errors):.4f} to {max(errors):.4f}; ", end="")
    print(f"fit 1/{shares[0]:.0f}, whole command 1/{shares[1]:.0f} of the plain recipe's")


def time_start(rounds: int, *overrides: str) -> None:
    """Seconds of wall time until commands answer, and peak memory in MB."""
    memory: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, *arguments: str) -> Callable[[], float]:
        def run() -> float:
            seconds, megabytes = run_command(*arguments)
            memory[name].append(megabytes)
            return seconds

        return run

    stop = ("+callbacks.stop={_target_: speed.StopAfterFirstStep}", "allow_targets=[speed]")
    with tempfile.TemporaryDirectory() as folder:
        where = f"paths.log_dir={folder}"
        commands = {
            "import hydra": ("-c", "import hydra"),
            "train.py --help": ("src/train.py", "--help"),
            "train.py --cfg job": ("src/train.py", "--cfg", "job"),
            "train.py model.latent=3 (unknown key)": ("src/train.py", "model.latent=3"),
            "train.py model.latent_dim=0": ("src/train.py", "model.latent_dim=0", where),
            "import lightning.pytorch, torchvision": ("-c", "import lightning.pytorch, torchvision"),
            "train.py to the end of its first step": ("src/train.py", *stop, where, *overrides),
            "train.py, one epoch": ("src/train.py", "trainer.max_epochs=1", where, *overrides),
        }
        rows = take_turns({name: timed(name, *arguments) for name, arguments in commands.items()}, rounds)
    heavy = "import lightning.pytorch, torchvision"
    against = dict.fromkeys(list(commands)[-3:], heavy)
    print_rows("s of wall time", rows, "import hydra", against)
    run, imports = max(memory["train.py, one epoch"]), min(memory[heavy])
    print(f"\npeak memory: at most {run:,.0f} MB, {run - imports:,.0f} MB above that of the imports")


def main() -> None:
    """Prints the command and the machine, then the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dataset", default="mnist", help="mnist, or mnist_5k to see whether it runs")
    arguments = parser.parse_args()
    silence_known_noise()
    imports_done()
    torch.set_flush_denormal(True)
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"  # as without Lightning, and as src/train.py has it on a CPU
    os.environ["PROJECT_ROOT"] = str(ROOT)
    print(f"python benchmarks/speed.py --rounds {arguments.rounds} --dataset {arguments.dataset}")
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    data_dir = os.environ.get("DATA_DIR", str(ROOT / "data"))
    datamodules = {}
    for size in BATCH_SIZES:
        datamodules[size] = ImageDataModule(arguments.dataset, data_dir, size, val_size=0)
        datamodules[size].setup()
    overrides = (f"data={arguments.dataset}",)
    epochs = time_epochs(datamodules, arguments.rounds)
    time_to_target(epochs, arguments.rounds, *overrides)
    time_start(arguments.rounds, *overrides)


if __name__ == "__main__":
    with short_process():  # as src/train.py: the loops are then timed as a run has them
        main()
