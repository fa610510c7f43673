"""Generates new images: `python src/generate.py ckpt_path=RUN/checkpoints/best.ckpt n=64`."""

import logging
from typing import Annotated, Any

from annotated_types import Ge

from autoencoder.cli.command import command
from autoencoder.cli.process import imports_done
from autoencoder.evaluation import Device, Source
from autoencoder.limits import Count, Seed, Text

log = logging.getLogger(__name__)


@command()
def generate(
    ckpt_path: Text,
    n: Count,
    seed: Seed,
    source: Source,
    mixture_components: Count,
    metric_images: Annotated[int, Ge(0)],
    device: Device,
    data_dir: Text | None,
    allow_packages: list[Text],
    paths: dict[str, str],
) -> None:
    """Restores model and data from the checkpoint, draws latents, and writes their images and metrics."""
    import torch

    from autoencoder.cli.noise import silence_known_noise
    from autoencoder.evaluation import generation
    from autoencoder.evaluation.device import pick_device
    from autoencoder.evaluation.outputs import Outputs
    from autoencoder.paths import absolute
    from autoencoder.pictures.panel_figures import draw_grid
    from autoencoder.pictures.panels import to_pixels
    from autoencoder.pictures.style import save_figure
    from autoencoder.runs.checkpoints import restore
    from autoencoder.runs.folder import RunFolder, write_array, write_metrics, write_whole
    from autoencoder.runs.report import describe_model, device_name
    from autoencoder.runs.samples_report import describe_samples, format_samples_report, summarize_samples

    imports_done()
    silence_known_noise()
    chosen = pick_device(device)
    folder = RunFolder(paths["output_dir"])
    folder.metrics.unlink(missing_ok=True)  # from earlier images: this file marks a job as finished
    module, datamodule = restore(ckpt_path, data_dir, allow_packages)
    generation.check_count(n, module)
    outputs, title = Outputs(module, datamodule.images.to(chosen)), datamodule.images.title
    measured = generation.count_measured(outputs.images, metric_images)
    latents, drawn_from = generation.sample_latents(outputs, max(n, measured), source, mixture_components, seed)
    results: dict[str, Any] = describe_model(module, datamodule) | {
        **{"ckpt_path": str(absolute(ckpt_path)), "device": device_name(chosen), "seed": seed, "n": n},
        **{"source": drawn_from, "mixture_components": mixture_components if drawn_from == "mixture" else None},
        "metric_images": measured,
    }
    if measured:
        results["pca_features"] = min(generation.PCA_FEATURES, module.image_shape.numel())
        results |= generation.measure_generated(outputs, latents[:measured])
    images = torch.cat([to_pixels(part) for part in generation.decoded(outputs, latents[:n])])
    write_array(folder.samples, images.numpy())
    write_array(folder.latents, latents[:n].numpy())
    save_figure(draw_grid(images, describe_samples(results, title)), folder.samples_picture, dpi=200)
    write_whole(folder.report, format_samples_report(results, title, folder))
    write_metrics(results, folder.metrics)  # last
    log.info("%s", summarize_samples(results, title, folder))


if __name__ == "__main__":
    generate.main()
