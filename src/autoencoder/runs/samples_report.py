"""Reports on generated images: the summary in the console, and report.md."""

from collections.abc import Mapping
from typing import Any

from autoencoder.metrics import GENERATED, format_value
from autoencoder.paths import shown
from autoencoder.runs.folder import RunFolder
from autoencoder.runs.report import aligned
from autoencoder.runs.report_card import escaped, table

MEASURED = {"generated/": "generated", "train/": "training images"}


def describe_samples(metrics: Mapping[str, Any], title: str) -> str:
    """What was generated, in two lines: `64 images from the prior`, then `MNIST, 32 latent dimensions`."""
    dimensions = f"{metrics['latent_dim']} latent dimension" + "s" * (metrics["latent_dim"] != 1)
    components = metrics["mixture_components"]
    mixture = f"a mixture of {components} Gaussians" if components != 1 else "a Gaussian"
    source = "the prior" if components is None else f"{mixture} fitted to training images"
    return f"{metrics['n']:,} image{'s' * (metrics['n'] != 1)} from {source}\n{title}, {dimensions}"


def summarize_samples(metrics: Mapping[str, Any], title: str, folder: RunFolder) -> str:
    """The closing summary: what was generated, its metrics beside those of training images, and the files."""
    lines = [describe_samples(metrics, title)]
    if metrics["metric_images"]:
        rows = [[_against(metrics), *(row.heading for row in GENERATED.values())]]
        rows += [[words, *(_cell(metrics, prefix, name) for name in GENERATED)] for prefix, words in MEASURED.items()]
        lines += aligned(rows)
    files = (folder.samples_picture, folder.samples, folder.latents, folder.report, folder.metrics)
    return "\n".join([*lines, f"files in {shown(folder.path)}:", f"  {', '.join(path.name for path in files)}"])


def format_samples_report(metrics: Mapping[str, Any], title: str, folder: RunFolder) -> str:
    """The page report.md: what was generated, the picture, and a row per metric."""
    subject, data = describe_samples(metrics, title).splitlines()
    parts = [f"# {subject}", f"{escaped(data)}.", f"![Generated images]({folder.samples_picture.name})"]
    if metrics["metric_images"]:
        rows = [[row.label, *(_cell(metrics, prefix, name) for prefix in MEASURED)] for name, row in GENERATED.items()]
        parts += [
            f"The features are the first {metrics['pca_features']} principal components of the training images; these "
            f"values are not FID. The column of training images shows what real images get.",
            table([_against(metrics), *MEASURED.values()], rows),
        ]
    return "\n\n".join(parts) + "\n"


def _against(metrics: Mapping[str, Any]) -> str:
    count = f"{metrics['metric_images']:,}"
    return f"{count} against {count} test images"


def _cell(metrics: Mapping[str, Any], prefix: str, name: str) -> str:
    return format_value(f"{prefix}{name}", metrics[f"{prefix}{name}"])
