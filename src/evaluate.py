"""Measures a checkpoint again: `python src/evaluate.py ckpt_path=RUN/checkpoints/best.ckpt`."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from autoencoder.cli.errors import one_line_errors, removed_if_refused
from autoencoder.cli.process import imports_done, short_process

if TYPE_CHECKING:
    from autoencoder.evaluation.evaluate import Metric
    from autoencoder.limits import Text
    from autoencoder.pictures.latent_map import Projection

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("PROJECT_ROOT", str(ROOT))
log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path=str(ROOT / "configs"), config_name="evaluate")
def main(config: DictConfig) -> None:
    """One evaluation, or one of several with `-m ckpt_path=A,B`, in a folder of its own."""
    in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    with one_line_errors(keep_going=in_sweep), removed_if_refused(HydraConfig.get().runtime.output_dir):
        from autoencoder.cli.config_check import check_config

        settings: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        check_config(settings, Path(__file__), "evaluate")
        evaluate(**settings)


def evaluate(
    ckpt_path: "Text",
    data_dir: "Text | None",
    metrics: "list[Metric]",
    figures: bool,
    projection: "Projection",
    paths: dict[str, str],
) -> None:
    """Restores model and data from the checkpoint, measures what is asked for, and writes numbers and pictures."""
    from autoencoder.cli.noise import silence_known_noise
    from autoencoder.evaluation.evaluate import evaluate as measure_all
    from autoencoder.paths import absolute
    from autoencoder.pictures.reconstructions import save_reconstructions
    from autoencoder.runs.checkpoints import history_of, restore
    from autoencoder.runs.folder import write_metrics
    from autoencoder.runs.left_out import left_out_if_it_fails
    from autoencoder.runs.report import describe_model, summarize
    from autoencoder.runs.report_card import write_report

    imports_done()
    silence_known_noise()
    folder = Path(paths["output_dir"])
    (folder / "metrics.json").unlink(missing_ok=True)  # of a former evaluation: it marks a job as finished
    if figures:
        from autoencoder.pictures.latent_map import check_projection

        check_projection(projection)  # before the minutes, not after
    module, datamodule = restore(ckpt_path, data_dir)
    results: dict[str, Any] = describe_model(module, datamodule) | {"ckpt_path": str(absolute(ckpt_path))}
    results |= measure_all(module, datamodule, metrics)
    write_metrics(results, folder / "metrics.json")
    write_report(results, datamodule.title, folder / "report.md")
    if "test/mse" in results:
        with left_out_if_it_fails("reconstructions.png"):
            save_reconstructions(module, datamodule, results["test/mse"], folder / "reconstructions.png")
    if figures:
        from autoencoder.pictures.save import save_figures

        with left_out_if_it_fails("figures/"):
            save_figures(module, datamodule, folder / "figures", history_of(ckpt_path), projection)
    log.info("%s", summarize(results, datamodule.title, folder))


if __name__ == "__main__":
    with short_process(), one_line_errors():
        main()
