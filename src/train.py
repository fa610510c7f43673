"""Trains an autoencoder: `python src/train.py KEY=VALUE…`, or `-m KEY=A,B,C` for a sweep."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from autoencoder.errors import InputError, one_line_errors
from autoencoder.process import imports_done, short_process

if TYPE_CHECKING:
    from pydantic import NonNegativeInt

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("PROJECT_ROOT", str(ROOT))
log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path=str(ROOT / "configs"), config_name="train")
def main(config: DictConfig) -> float | None:
    """One run, or one job of a sweep; returns the validation error, which a sweeper may minimise."""
    val_mse = None
    in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    with one_line_errors(keep_going=in_sweep):
        from autoencoder.config_check import check_config

        settings: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        check_config(settings, Path(__file__), "train")
        if in_sweep and settings["trainer"].get("strategy") == "ddp":
            raise InputError(
                "trainer.strategy=ddp starts its command once more a device, a whole sweep too: leave out -m"
            )
        if not in_sweep and (sweep := HydraConfig.get().runtime.choices.get("sweep")):
            raise InputError(f"sweep={sweep} is of several runs: add -m, or leave it out")
        val_mse = train(**settings)
    return val_mse


def train(
    seed: "NonNegativeInt",
    ckpt_path: "str | None",
    model: dict[str, Any],
    data: dict[str, Any],
    optimizer: dict[str, Any],
    scheduler: dict[str, Any],
    trainer: dict[str, Any],
    callbacks: dict[str, Any],
    figures: bool,
    explorer: bool,
    paths: dict[str, str],
    logger: "dict[str, Any] | None" = None,
) -> float | None:
    """Builds the parts from their configs, fits, measures the best checkpoint, and writes what is owed."""
    from functools import partial

    import torch
    from hydra.utils import instantiate
    from lightning.pytorch import Trainer, seed_everything

    from autoencoder.checkpoints import check_resumable, load_best
    from autoencoder.evaluation import evaluate
    from autoencoder.fit_clock import FitClock
    from autoencoder.noise import silence_known_noise
    from autoencoder.pictures import save_reconstructions
    from autoencoder.report import describe_run, log_outcome, summarize, write_metrics
    from autoencoder.report_card import write_report

    imports_done()
    silence_known_noise()
    build = partial(instantiate, _convert_="all")
    seed_everything(seed, verbose=False)
    if trainer.get("accelerator") == "cpu":  # undo Lightning's "1": Adam then looks for a GPU driver in every step
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
    torch.set_flush_denormal(True)  # the optimisers' running averages sink to numbers that a CPU adds ten times slower
    datamodule = build(data)
    module = build(model, optimizer=build(optimizer), scheduler=build(scheduler))
    fit_clock = FitClock()
    fitter: Trainer = build(
        trainer,
        callbacks=[fit_clock, *(build(part) for part in callbacks.values() if part)],
        logger=[build(part) for part in (logger or {}).values() if part],
    )
    if ckpt_path:
        check_resumable(ckpt_path, module, datamodule, fitter.max_epochs)
    fitter.fit(module, datamodule, ckpt_path=ckpt_path)
    if not fitter.is_global_zero:
        return None

    module.float()  # trainer.precision is of training alone
    load_best(fitter, module)
    metrics = describe_run(seed, fitter, module, datamodule, fit_clock.seconds)
    metrics |= evaluate(module, datamodule)
    folder = Path(paths["output_dir"])
    save_reconstructions(module, datamodule, metrics["test/mse"], folder / "reconstructions.png")
    if figures:
        from autoencoder.figures import save_figures

        save_figures(module, datamodule, folder / "figures", folder / "history.csv")
    if explorer:
        from autoencoder.explorer import write_explorer

        write_explorer(module, datamodule, metrics, folder / "explorer.html")
    log_outcome(fitter, {"model": model, "data": data, "optimizer": optimizer, "scheduler": scheduler}, metrics)
    write_report(metrics, datamodule.title, folder / "report.md")
    write_metrics(metrics, folder / "metrics.json")
    log.info("%s", summarize(metrics, datamodule.title, folder))
    val_mse: float | None = metrics["val/mse"]
    return val_mse


if __name__ == "__main__":
    with short_process(), one_line_errors():
        main()
