"""Trains an autoencoder: `python src/train.py KEY=VALUE…`, or `-m KEY=A,B,C` for a sweep."""

import logging
import os
from typing import Any

from autoencoder.cli.command import command, in_sweep
from autoencoder.cli.process import imports_done
from autoencoder.cli.resume import Start, expand_resume, started
from autoencoder.cli.trainer_check import check_trainer
from autoencoder.limits import Seed, Text
from autoencoder.runs.processes import check_processes

log = logging.getLogger(__name__)


@command(expand=expand_resume, start=started)
def train(
    seed: Seed,
    resume: Text | None,
    ckpt_path: Text | None,
    allow_targets: list[Text],
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
    logger: dict[str, Any] | None = None,
    views: dict[str, Any] | None = None,
) -> float | None:
    """Builds the parts from their configs, trains, measures the best checkpoint, and writes metrics and figures.

    Returns: the validation error, for a sweeper to minimise.
    """
    check_trainer(trainer, callbacks)
    if start.finished:
        return start.report()
    from functools import partial

    import torch
    from hydra.utils import instantiate
    from lightning.pytorch import Callback, Trainer, seed_everything
    from lightning.pytorch.callbacks import LambdaCallback
    from lightning.pytorch.loggers import Logger

    from autoencoder.callbacks.added_checkpoints import check_added_checkpoints
    from autoencoder.callbacks.checkpoints import WholeFiles
    from autoencoder.callbacks.endings import noted_if_it_ends_early, why_it_ended
    from autoencoder.callbacks.final_weights import keep_final
    from autoencoder.callbacks.fit_clock import FitClock
    from autoencoder.callbacks.going_on import check_goes_on, data_of_run, read_last, start_from
    from autoencoder.callbacks.resumed_epoch import ResumedEpoch
    from autoencoder.callbacks.stopping import StopBetweenSteps
    from autoencoder.callbacks.views import Views
    from autoencoder.cli.config_check import with_image_shape
    from autoencoder.cli.noise import silence_known_noise
    from autoencoder.cli.slurm import check_starts_anew, settle_slurm, slurm_plugins
    from autoencoder.cli.trainer_check import check_bases, of_kind
    from autoencoder.evaluation.evaluate import evaluate
    from autoencoder.evaluation.outputs import Outputs
    from autoencoder.models.parts import foreign_packages
    from autoencoder.models.reconstructor import Reconstructor
    from autoencoder.optim.threads import advise_on_threads
    from autoencoder.runs.checkpoints import load_best
    from autoencoder.runs.folder import write_metrics
    from autoencoder.runs.left_out import left_out_if_it_fails
    from autoencoder.runs.logs import cut_logs, going_on
    from autoencoder.runs.report import describe_run, log_outcome, summarize
    from autoencoder.runs.report_card import write_report

    imports_done()
    silence_known_noise()
    settle_slurm(trainer)
    if not start.goes_on:
        check_starts_anew(trainer.get("default_root_dir"))
    build = partial(instantiate, _convert_="all")
    seed_everything(seed, verbose=False)
    if trainer.get("accelerator") == "cpu":  # Lightning sets "1", with which Adam looks for a GPU driver in every step
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
    torch.set_flush_denormal(True)  # the optimiser's averages decay to denormals, which a CPU adds ten times slower
    folder = start.folder
    former = read_last(folder) if start.goes_on else {}
    datamodule = build(data_of_run(former, data) if former else data)
    datamodule.setup()  # before the model, which needs the images' shape
    model = with_image_shape(model, datamodule.image_shape)
    module = build(model, optimizer=build(optimizer), scheduler=build(scheduler))
    recorder = LambdaCallback(on_fit_start=lambda *_: start.record(former.get("global_step", 0)))
    clock, stop = FitClock(), StopBetweenSteps()
    going_on_with = going_on(logger or {}, former.get("logger_runs", {}))
    looking, loggers = (
        {name: build(part) for name, part in parts.items() if part} for parts in (callbacks, going_on_with)
    )
    check_bases(looking, trainer)
    if views:
        looking["views"] = Views(build(views))
    plugins = trainer.get("plugins") or []
    plugins = build(plugins if isinstance(plugins, list) else [plugins])
    fitter: Trainer = build(
        {name: value for name, value in trainer.items() if name != "plugins"},
        callbacks=[recorder, clock, *of_kind("callbacks", looking, Callback), ResumedEpoch(), stop],
        logger=of_kind("logger", loggers, Logger),
        plugins=[WholeFiles(), *slurm_plugins(plugins), *plugins],
    )
    check_processes(fitter, in_sweep())
    check_added_checkpoints(looking, fitter, folder)
    begun = folder.record.exists()  # if not resuming: an earlier run was killed before its first checkpoint
    log_lengths: dict[str, int] | None = {} if begun else None
    if start.goes_on:
        check_goes_on(folder.last, former, module, datamodule, fitter, looking, start.changes)
        fitter.precision_plugin.convert_module(module)  # Lightning does this only after it has loaded the weights
        log_lengths = former.get("logs")
        start.announce()
    elif ckpt_path:
        start_from(ckpt_path, module, datamodule)
    if fitter.is_global_zero and log_lengths is not None:
        cut_logs(fitter.loggers, folder.path, log_lengths)

    network = Reconstructor(module.network, module.bottleneck)
    advise_on_threads(fitter, network, module.image_shape, datamodule.batch_size)
    with stop.listen(), noted_if_it_ends_early(folder, fitter, datamodule, seed):
        fitter.fit(module, datamodule, ckpt_path=folder.last if start.goes_on else None, weights_only=True)
        reason = why_it_ended(fitter)
        keep_final(fitter, module, datamodule)
        if not fitter.is_global_zero:
            return None
        module.float()  # trainer.precision applies to training only
        load_best(fitter, module)
        metrics: dict[str, Any] = {"status": "finished"}
        metrics |= describe_run(seed, fitter, module, datamodule, clock.seconds)
        outputs = Outputs(module, datamodule.images)
        metrics |= evaluate(outputs)
        notes = {"ended_early": reason, "changes": "; ".join(folder.read_changes())}
        metrics |= {name: note for name, note in notes.items() if note}
        write_metrics(metrics, folder.metrics)
        with left_out_if_it_fails("report.md"):
            write_report(metrics, datamodule.images.title, folder.report)
        with left_out_if_it_fails("reconstructions.png"):
            from autoencoder.pictures.images import save_reconstructions

            save_reconstructions(outputs, folder.reconstructions)
        if figures:
            from autoencoder.pictures.save import save_figures

            with left_out_if_it_fails("figures/"):
                save_figures(outputs, folder.figures, folder.history)
        if explorer:
            from autoencoder.explorer.page import write_explorer

            with left_out_if_it_fails("explorer.html"):
                write_explorer(outputs, metrics, folder.explorer)
        settings = {"model": model, "data": data, "optimizer": optimizer, "scheduler": scheduler}
        with left_out_if_it_fails("the loggers' last entry"):
            log_outcome(fitter, settings, metrics)
    log.info("%s", summarize(metrics, datamodule.images.title, folder, foreign_packages(module.hparams)))
    val_mse: float | None = metrics["val/mse"]
    return val_mse


if __name__ == "__main__":
    train.main()
