"""Writes the page to play with a model: `python src/explore.py ckpt_path=RUN/checkpoints/best.ckpt`."""

import json
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
from autoencoder.errors import InputError

if TYPE_CHECKING:
    from autoencoder.data.datamodule import ImageDataModule
    from autoencoder.explorer.page import Precision
    from autoencoder.limits import Text
    from autoencoder.models.module import AutoencoderModule

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("PROJECT_ROOT", str(ROOT))
log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path=str(ROOT / "configs"), config_name="explore")
def main(config: DictConfig) -> None:
    """One explorer, or one of several with `-m ckpt_path=A,B`."""
    in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    with one_line_errors(keep_going=in_sweep), removed_if_refused(HydraConfig.get().runtime.output_dir):
        from autoencoder.cli.config_check import check_config

        settings: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        check_config(settings, Path(__file__), "explore")
        if in_sweep and not settings["output"]:  # several pages of one run, if only their precision differs
            settings["output"] = str(Path(settings["paths"]["output_dir"], "explorer.html"))
        explore(**settings)


def explore(
    ckpt_path: "Text", data_dir: "Text | None", output: "Text | None", precision: "Precision", paths: dict[str, str]
) -> None:
    """Restores model and data from the checkpoint and writes their page to `output`, by default into the run."""
    from autoencoder.cli.noise import silence_known_noise
    from autoencoder.explorer.page import check_output, write_explorer
    from autoencoder.paths import absolute, expand_home
    from autoencoder.runs.checkpoints import restore
    from autoencoder.runs.folder import write_metrics

    imports_done()
    silence_known_noise()
    Path(paths["output_dir"], "metrics.json").unlink(missing_ok=True)  # of a former page: it marks a job as finished
    checkpoint = absolute(ckpt_path)
    in_run = checkpoint.parent.name == "checkpoints"
    run = checkpoint.parent.parent if in_run else checkpoint.parent
    page = expand_home(output) if output else run / "explorer.html"
    module, datamodule = restore(ckpt_path, data_dir)
    check_output(page)  # before the minutes, not after
    metrics = _metrics(run, checkpoint, module, datamodule)
    write_explorer(module, datamodule, metrics, page, precision)
    of_page = {"ckpt_path": str(checkpoint), "page": str(absolute(page))}
    write_metrics(metrics | of_page | {"status": "finished"}, Path(paths["output_dir"], "metrics.json"))
    log.info("%s, %.1f MB: open it in a browser", page, page.stat().st_size / 1e6)


def _metrics(run: Path, checkpoint: Path, module: "AutoencoderModule", datamodule: "ImageDataModule") -> dict[str, Any]:
    """The run's own figures, which are those of its best checkpoint; measured where there are none.

    Of another run's folder, into which a checkpoint was copied, the figures are not used.
    """
    from autoencoder.evaluation.evaluate import evaluate
    from autoencoder.runs.checkpoints import history_of
    from autoencoder.runs.report import describe_model

    file = run / "metrics.json"
    if history_of(checkpoint) and checkpoint.name == "best.ckpt" and file.is_file():
        try:
            metrics: dict[str, Any] = dict(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            raise InputError(f"{file} is broken: remove it, and the figures are measured again") from None
        if metrics.get("status", "finished") == "finished":
            return metrics
    return describe_model(module, datamodule) | evaluate(module, datamodule)


if __name__ == "__main__":
    with short_process(), one_line_errors():
        main()
