"""Applies a model to any images: `python src/predict.py ckpt_path=RUN/checkpoints/best.ckpt input=FOLDER`."""

import logging
import sys
from typing import Literal

from autoencoder.cli.command import command
from autoencoder.cli.process import imports_done
from autoencoder.evaluation import Device
from autoencoder.limits import Text

log = logging.getLogger(__name__)


@command()
def predict(
    ckpt_path: Text,
    input: Text,
    device: Device,
    allow_packages: list[Text],
    data_dir: Text | None,
    channels: Literal["grey"] | None,
    on_bad_image: Literal["refuse", "skip"],
    reconstructions: bool,
    paths: dict[str, str],
) -> None:
    """Restores model and data from the checkpoint, and writes what the model makes of the images in `input`."""
    from rich.console import Console

    from autoencoder.callbacks.progress import make_bar
    from autoencoder.cli.noise import silence_known_noise
    from autoencoder.data.folder_set import warn_of_bad
    from autoencoder.data.input_folder import check_input, find_input
    from autoencoder.evaluation.device import pick_device
    from autoencoder.evaluation.outputs import Outputs
    from autoencoder.evaluation.predictions import HIGH, Predictor, Summary
    from autoencoder.paths import absolute, shown
    from autoencoder.pictures.panels import FEW
    from autoencoder.pictures.predictions import draw_worst, write_reconstructions
    from autoencoder.runs.checkpoints import restore
    from autoencoder.runs.folder import RunFolder, write_metrics
    from autoencoder.runs.left_out import left_out_if_it_fails
    from autoencoder.runs.prediction_files import PredictionFiles, appear_together
    from autoencoder.runs.report import describe_model, device_name

    imports_done()
    silence_known_noise()
    chosen = pick_device(device)
    folder = RunFolder(paths["output_dir"])
    folder.metrics.unlink(missing_ok=True)  # from an earlier prediction: this file marks a job as finished
    files = find_input(absolute(input))  # before seconds of work, not after
    module, datamodule = restore(ckpt_path, data_dir, allow_packages)
    images = check_input(
        files, datamodule.image_shape, channels == "grey" or datamodule.to_grey, on_bad_image == "skip"
    )
    predictor, summary = Predictor(Outputs(module, datamodule.images.to(chosen))), Summary(FEW)
    log.info("images in %s: %s", shown(files.root), f"{len(images):,}")
    bar = make_bar(Console(), batch_size=1)  # its steps are images
    bar.disable = not (sys.stdout and sys.stdout.isatty())
    with appear_together(folder) as scratch:
        with PredictionFiles(scratch) as written, bar:
            task = bar.add_task("predicting", total=len(images), errors="")
            for names, pixels in images.batches():
                batch = predictor.predict(names, pixels)
                written.write(batch)
                summary.add(batch)
                if reconstructions:
                    write_reconstructions(batch, scratch.reconstructed)
                bar.advance(task, len(names))
        with left_out_if_it_fails("worst.png"):
            title = f"The images of {files.root.name} with the largest errors\nmse of all {summary.mse:.4f}, "
            title += f"of the {predictor.known.title} images of {datamodule.images.title} {predictor.mean:.4f}"
            draw_worst(summary.worst, title).savefig(scratch.worst, dpi=200)
        names = sorted(path.name for path in scratch.path.iterdir())
    warn_of_bad(files, images.bad)
    results = describe_model(module, datamodule) | {"device": device_name(chosen)}
    results |= {"ckpt_path": str(absolute(ckpt_path)), "input": str(files.root)}
    results |= {"images": summary.count, "skipped": len(images.bad)}
    results |= {"input/mse": summary.mse, "input/psnr": summary.psnr, "status": "finished"}
    write_metrics(results, folder.metrics)
    known = f"{predictor.known.title} images {predictor.mean:.4f}, standard deviation {predictor.deviation:.4f}"
    log.info("mse %.4f, psnr %.2f dB; mse of the %s", summary.mse, summary.psnr, known)
    log.info("z-score above %g, by these: %s of %s images", HIGH, f"{summary.high:,}", f"{summary.count:,}")
    log.info("files in %s: %s", shown(folder.path), ", ".join([*names, folder.metrics.name]))


if __name__ == "__main__":
    predict.main()
