"""history.csv: a run's errors epoch by epoch, for the loss curves."""

import csv
from io import StringIO
from pathlib import Path

from autoencoder.runs.folder import write_whole

NAMES = ("train/mse", "val/mse")


def write_history(rows: list[dict[str, float]], path: Path) -> None:
    """Writes one line per epoch: epoch, train/mse, val/mse; empty where nothing was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = StringIO(newline="")
    writer = csv.DictWriter(text, ["epoch", *NAMES])
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())


def read_history(path: Path) -> dict[str, list[float]]:
    """The columns of a file written by `write_history`; NaN where nothing was measured."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name] or "nan") for row in rows] for name in ("epoch", *NAMES)}
