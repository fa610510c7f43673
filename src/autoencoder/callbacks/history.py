"""History: records a run's errors after each epoch."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from autoencoder.models.module import AutoencoderModule
from autoencoder.runs.history import NAMES, read_history, write_history


class History(Callback):
    """Keeps `train/mse` and `val/mse` of each epoch, and writes them to a CSV file after each.

    In a resumed run the file still has the first epochs, whose errors are in the checkpoint.

    Args: path, the file; its folder is created if missing.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.rows: list[dict[str, float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reads the file's rows in a resumed run whose checkpoint was written without this callback."""
        if not self.rows and trainer.current_epoch > 0 and self.path.is_file():
            columns = read_history(self.path)
            rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
            self.rows = [
                {"epoch": int(row.pop("epoch"))} | {name: value for name, value in row.items() if value == value}
                for row in rows
                if row["epoch"] <= trainer.current_epoch
            ]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        errors = pl_module.epoch_errors() if isinstance(pl_module, AutoencoderModule) else {}
        row = {"epoch": trainer.current_epoch + 1} | {name: errors[name] for name in NAMES if name in errors}
        self.rows.append(row)
        if trainer.is_global_zero:
            write_history(self.rows, self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = [dict(row) for row in state_dict["rows"]]
