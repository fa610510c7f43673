"""Writes report.md: a model's metrics, the same as in metrics.json, as a Markdown page."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoencoder.metrics import METRICS, metric_rows
from autoencoder.runs.folder import write_whole

PARTS = ("network", "bottleneck", "corruption", "loss")  # of a model, whose classes are recorded


def format_report(metrics: Mapping[str, Any], title: str) -> str:
    """The page: the data and the model, a table of the test metrics, and one per class if it was measured.

    Args: metrics, as in `metrics.json`; title, the data set's name for readers.
    """
    parts = [
        f"# {escaped(title)}, {metrics['latent_dim']} latent dimensions",
        f"{metrics['train_size']:,} training, {metrics['val_size']:,} validation and {metrics['test_size']:,} test "
        f"images; {_model(metrics)}{metrics['parameters']:,} parameters. All metrics are of the test images.",
    ]
    if "changes" in metrics:
        parts.append(f"{escaped(metrics['changes'])}.")
    if "ended_early" in metrics:
        parts.append(f"Training ended early: {escaped(metrics['ended_early'])}")
    if measured := metric_rows(metrics):
        (_, *models), *rows = measured
        parts.append(table(["", *models], rows))
    parts += _class_table(metrics)
    return "\n\n".join(parts) + "\n"


def _model(metrics: Mapping[str, Any]) -> str:
    """The classes of the model's parts; empty in a record without them."""
    named = [f"{name} {escaped(str(metrics[name]))}" for name in PARTS if name in metrics]
    return ", ".join(named) + ", " * bool(named)


def write_report(metrics: Mapping[str, Any], title: str, path: Path) -> None:
    """Writes `format_report` to `path`."""
    write_whole(path, format_report(metrics, title))


def _class_table(metrics: Mapping[str, Any]) -> list[str]:
    names = [name for name in METRICS if any(key.startswith(f"test/{name}_class_") for key in metrics)]
    if not names:
        return []
    marker = f"test/{names[0]}_class_"
    classes = sorted(int(key.removeprefix(marker)) for key in metrics if key.startswith(marker))
    columns = [(prefix, name) for name in names for prefix in ("test/", "pca/test_")]
    rows = [
        [
            str(label),
            *(f"{metrics[f'{prefix}{name}_class_{label}']:{METRICS[name].digits}}" for prefix, name in columns),
        ]
        for label in classes
    ]
    return [
        "## Each class",
        table(["class", *(f"PCA {name}" if prefix.startswith("pca") else name for prefix, name in columns)], rows),
    ]


def escaped(text: str) -> str:
    """Text for a cell or line of Markdown: without line breaks, and with no bars, tags or emphasis of its own."""
    return re.sub(r"([\\|<*`])", r"\\\1", " ".join(text.split()))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, padded so that the source is readable, too."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = (
        " | ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [header, rule, *rows]
    )
    return "\n".join(f"| {line} |" for line in lines)
