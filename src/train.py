"""Trains an autoencoder: `python src/train.py KEY=VALUE…`, or `-m KEY=A,B,C` for a sweep."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from autoencoder.cli.errors import one_line_errors, removed_if_refused
from autoencoder.cli.process import imports_done, short_process
from autoencoder.cli.resume import Start, expand_resume, started
from autoencoder.runs.processes import check_processes, folder_overrides

if TYPE_CHECKING:
    from autoencoder.limits import Seed, Text

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("PROJECT_ROOT", str(ROOT))
log = logging.getLogger(__name__)


def main() -> None:
    """The command: makes `resume=RUN` whole, then leaves the rest to Hydra."""
    before = sys.argv
    sys.argv = [before[0], *expand_resume(before[1:])]
    try:
        run()
    finally:
        sys.argv = before


@hydra.main(version_base="1.3", config_path=str(ROOT / "configs"), config_name="train")
def run(config: DictConfig) -> float | None:
    """One run, or one job of a sweep; returns the validation error, which a sweeper may minimise."""
    val_mse = None
    in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    with one_line_errors(keep_going=in_sweep), removed_if_refused(HydraConfig.get().runtime.output_dir):
        from autoencoder.cli.config_check import check_config
        from autoencoder.cli.trainer_check import check_trainer

        settings: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        with started(config, settings) as start:
            check_config(settings, Path(__file__), "train", given=("start",))
            check_trainer(settings["trainer"], settings["callbacks"])
            val_mse = start.report() if start.finished else train(**settings, start=start)
    return val_mse


def train(
    seed: "Seed",
    resume: "Text | None",
    ckpt_path: "Text | None",
    model: dict[str, Any],
    data: dict[str, Any],
    optimizer: dict[str, Any],
    scheduler: dict[str, Any],
    trainer: dict[str, Any],
    callbacks: dict[str, Any],
    figures: bool,
    explorer: bool,
    paths: dict[str, str],
    start: Start,
    logger: "dict[str, Any] | None" = None,
) -> float | None:
    """Builds the parts from their configs, fits, measures the best checkpoint, and writes numbers and pictures."""
    from functools import partial

    import torch
    from hydra.utils import instantiate
    from lightning.pytorch import Callback, Trainer, seed_everything
    from lightning.pytorch.callbacks import LambdaCallback
    from lightning.pytorch.loggers import Logger

    from autoencoder.callbacks.checkpoints import WholeFiles
    from autoencoder.callbacks.endings import noted_if_it_ends_early, say_why_it_ended
    from autoencoder.callbacks.final_weights import keep_final
    from autoencoder.callbacks.fit_clock import FitClock
    from autoencoder.callbacks.going_on import check_goes_on, data_of_run, read_last, start_from
    from autoencoder.callbacks.stopping import StopBetweenSteps
    from autoencoder.cli.config_check import with_image_shape
    from autoencoder.cli.noise import silence_known_noise
    from autoencoder.cli.slurm import settle_slurm
    from autoencoder.cli.trainer_check import of_kind
    from autoencoder.evaluation.evaluate import evaluate
    from autoencoder.optim.threads import advise_on_threads
    from autoencoder.pictures.reconstructions import save_reconstructions
    from autoencoder.runs.checkpoints import load_best
    from autoencoder.runs.folder import write_metrics
    from autoencoder.runs.left_out import left_out_if_it_fails
    from autoencoder.runs.logs import cut_logs, going_on
    from autoencoder.runs.report import describe_run, log_outcome, summarize
    from autoencoder.runs.report_card import write_report

    imports_done()
    silence_known_noise()
    settle_slurm(trainer)
    build = partial(instantiate, _convert_="all")
    seed_everything(seed, verbose=False)
    if trainer.get("accelerator") == "cpu":  # undo Lightning's "1": Adam then looks for a GPU driver in every step
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
    torch.set_flush_denormal(True)  # the optimisers' running averages sink to numbers that a CPU adds ten times slower
    folder = start.folder
    former = read_last(folder) if start.goes_on else {}
    datamodule = build(data_of_run(former, data) if former else data)
    datamodule.setup()  # before the model, whose shape follows from the images
    model = with_image_shape(model, datamodule.image_shape)
    if explorer:
        from autoencoder.explorer.page import check_explorable

        check_explorable(datamodule.image_shape)
    module = build(model, optimizer=build(optimizer), scheduler=build(scheduler))
    recorder, clock, stop = LambdaCallback(on_fit_start=lambda *_: start.record()), FitClock(), StopBetweenSteps()
    going_on_with = going_on(logger or {}, former.get("logger_runs", {}))
    looking, loggers = (
        {name: build(part) for name, part in parts.items() if part} for parts in (callbacks, going_on_with)
    )
    plugins = trainer.get("plugins") or []
    fitter: Trainer = build(
        {name: value for name, value in trainer.items() if name != "plugins"},
        callbacks=[recorder, clock, *of_kind("callbacks", looking, Callback), stop],
        logger=of_kind("logger", loggers, Logger),
        plugins=[WholeFiles(), *build(plugins if isinstance(plugins, list) else [plugins])],
    )
    check_processes(fitter, HydraConfig.get().mode == RunMode.MULTIRUN)
    begun = folder.record.exists()  # by a run that was killed before its first checkpoint, if nothing goes on
    log_lengths: dict[str, int] | None = {} if begun else None
    if start.goes_on:
        check_goes_on(folder.last, former, module, datamodule, fitter, looking, start.changes)
        fitter.precision_plugin.convert_module(module)  # Lightning would do so after it has loaded the weights
        log_lengths = former.get("logs")
        start.announce()
    elif ckpt_path:
        start_from(ckpt_path, module)
    if fitter.is_global_zero and log_lengths is not None:
        cut_logs(fitter.loggers, folder.path, log_lengths)

    advise_on_threads(fitter, module.network, module.image_shape, datamodule.batch_size)
    with stop.listen(), noted_if_it_ends_early(folder, fitter, datamodule, seed):
        fitter.fit(module, datamodule, ckpt_path=folder.last if start.goes_on else None, weights_only=True)
        say_why_it_ended(fitter)
        keep_final(fitter, module, datamodule)
        if not fitter.is_global_zero:
            return None
        module.float()  # trainer.precision is of training alone
        load_best(fitter, module)
        metrics: dict[str, Any] = {"status": "finished"}
        metrics |= describe_run(seed, fitter, module, datamodule, clock.seconds)
        metrics |= evaluate(module, datamodule)
        write_metrics(metrics, folder.metrics)
        with left_out_if_it_fails("report.md"):
            write_report(metrics, datamodule.title, folder.path / "report.md")
        with left_out_if_it_fails("reconstructions.png"):
            save_reconstructions(module, datamodule, metrics["test/mse"], folder.path / "reconstructions.png")
        if figures:
            from autoencoder.pictures.save import save_figures

            with left_out_if_it_fails("figures/"):
                save_figures(module, datamodule, folder.path / "figures", folder.history)
        if explorer:
            from autoencoder.explorer.page import write_explorer

            with left_out_if_it_fails("explorer.html"):
                write_explorer(module, datamodule, metrics, folder.path / "explorer.html")
        settings = {"model": model, "data": data, "optimizer": optimizer, "scheduler": scheduler}
        with left_out_if_it_fails("the loggers' last entry"):
            log_outcome(fitter, settings, metrics)
    log.info("%s", summarize(metrics, datamodule.title, folder.path))
    val_mse: float | None = metrics["val/mse"]
    return val_mse


if __name__ == "__main__":
    with short_process(), one_line_errors():
        sys.argv[1:1] = folder_overrides()
        main()
