"""Measures a checkpoint again: `python src/evaluate.py ckpt_path=RUN/checkpoints/best.ckpt`."""

import logging
from typing import Any

from autoencoder.cli.command import command
from autoencoder.cli.process import imports_done
from autoencoder.evaluation import Device, Projection
from autoencoder.limits import Text
from autoencoder.metrics import GROUPS, MetricName

log = logging.getLogger(__name__)


@command()
def evaluate(
    ckpt_path: Text,
    device: Device,
    data_dir: Text | None,
    allow_packages: list[Text],
    metrics: list[MetricName] | None,
    figures: bool,
    projection: Projection,
    paths: dict[str, str],
) -> None:
    """Restores model and data from the checkpoint, computes the requested metrics, and writes them and the figures."""
    from autoencoder.cli.noise import silence_known_noise
    from autoencoder.evaluation.device import pick_device
    from autoencoder.evaluation.evaluate import evaluate as measure_all
    from autoencoder.evaluation.outputs import Outputs
    from autoencoder.paths import absolute
    from autoencoder.pictures.images import save_reconstructions
    from autoencoder.runs.checkpoints import history_of, restore
    from autoencoder.runs.folder import RunFolder, write_metrics
    from autoencoder.runs.left_out import left_out_if_it_fails
    from autoencoder.runs.report import describe_model, device_name, summarize
    from autoencoder.runs.report_card import write_report

    imports_done()
    silence_known_noise()
    chosen = pick_device(device)
    folder = RunFolder(paths["output_dir"])
    folder.metrics.unlink(missing_ok=True)  # from an earlier evaluation: this file marks a job as finished
    if figures:
        from autoencoder.evaluation.projection import check_projection

        check_projection(projection)  # before minutes of work, not after
    module, datamodule = restore(ckpt_path, data_dir, allow_packages)
    results: dict[str, Any] = describe_model(module, datamodule) | {"ckpt_path": str(absolute(ckpt_path))}
    results["device"] = device_name(chosen)
    outputs = Outputs(module, datamodule.images.to(chosen))
    results |= measure_all(outputs, GROUPS if metrics is None else metrics)
    write_metrics(results, folder.metrics)
    write_report(results, datamodule.images.title, folder.report)
    if "test/mse" in results:
        with left_out_if_it_fails("reconstructions.png"):
            save_reconstructions(outputs, folder.reconstructions)
    if figures:
        from autoencoder.pictures.save import save_figures

        with left_out_if_it_fails("figures/"):
            save_figures(outputs, folder.figures, history_of(ckpt_path), projection)
    log.info("%s", summarize(results, datamodule.images.title, folder))


if __name__ == "__main__":
    evaluate.main()
