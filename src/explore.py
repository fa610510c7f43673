"""Writes a web page to explore a model: `python src/explore.py ckpt_path=RUN/checkpoints/best.ckpt`."""

import logging

from autoencoder.cli.command import command, in_sweep
from autoencoder.cli.process import imports_done
from autoencoder.errors import InputError
from autoencoder.evaluation import Device
from autoencoder.explorer import Precision
from autoencoder.limits import Text

log = logging.getLogger(__name__)


@command()
def explore(
    ckpt_path: Text,
    device: Device,
    data_dir: Text | None,
    allow_packages: list[Text],
    output: Text | None,
    precision: Precision,
    paths: dict[str, str],
) -> None:
    """Restores model and data from the checkpoint and writes their page to `output`, by default in the run folder."""
    from autoencoder.cli.noise import silence_known_noise
    from autoencoder.evaluation.device import pick_device
    from autoencoder.evaluation.evaluate import evaluate
    from autoencoder.evaluation.outputs import Outputs
    from autoencoder.explorer.page import check_output, write_explorer
    from autoencoder.paths import absolute
    from autoencoder.runs.checkpoints import history_of, restore
    from autoencoder.runs.folder import RunFolder, write_metrics
    from autoencoder.runs.report import describe_model

    imports_done()
    silence_known_noise()
    if output and in_sweep():
        raise InputError("output is a single file, but -m writes several: leave it out, pages go to the jobs' folders")
    chosen = pick_device(device)
    folder = RunFolder(paths["output_dir"])
    folder.metrics.unlink(missing_ok=True)  # from an earlier page: this file marks a job as finished
    run = RunFolder.of_checkpoint(ckpt_path) or RunFolder(absolute(ckpt_path).parent)
    # A sweep may write several pages of one run, for instance by precision: each goes to its job's own folder.
    page = absolute(output or (folder if in_sweep() else run).explorer)
    module, datamodule = restore(ckpt_path, data_dir, allow_packages)
    check_output(page)  # before minutes of work, not after
    outputs = Outputs(module, datamodule.images.to(chosen))
    metrics = run.read_metrics() if run.best == absolute(ckpt_path) and history_of(ckpt_path) else None
    if metrics is None or metrics.get("status", "finished") != "finished":  # missing, or not this checkpoint's
        metrics = describe_model(module, datamodule) | evaluate(outputs)
    write_explorer(outputs, metrics, page, precision)
    of_page = {"ckpt_path": str(absolute(ckpt_path)), "page": str(page), "status": "finished"}
    write_metrics(metrics | of_page, folder.metrics)
    log.info("%s, %.1f MB: open it in a browser", page, page.stat().st_size / 1e6)


if __name__ == "__main__":
    explore.main()
