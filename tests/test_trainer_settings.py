"""Any setting of Lightning's Trainer does what Lightning means by it, or is refused in one line."""

import csv

import pytest
from conftest import call, read_metrics, run_train
from lightning.pytorch import Callback

import train
from autoencoder.history import read_history

TINY = ("experiment=quick", "callbacks=light", "+trainer.limit_train_batches=4", "logger=[]")


def refusal(capfd, folder, *overrides):
    """The one line with which a run is refused in this process."""
    with pytest.raises(SystemExit) as stopped:
        call(train.main, *TINY, f"hydra.run.dir={folder}", *overrides)
    assert stopped.value.code == 1
    captured = capfd.readouterr()
    lines = [line for line in (captured.out + captured.err).splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    assert not (folder / "metrics.json").exists()
    return lines[0]


class Losses(Callback):
    """Keeps the loss of each batch, by epoch."""

    epochs: list[list[float]]

    def on_train_start(self, trainer, pl_module):
        Losses.epochs = []

    def on_train_epoch_start(self, trainer, pl_module):
        Losses.epochs.append([])

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        Losses.epochs[-1].append(outputs["loss"].item() * trainer.accumulate_grad_batches)


@pytest.mark.parametrize(
    ("overrides", "validated"),
    [
        ("trainer.max_epochs=2 +trainer.limit_val_batches=0", [0, 0]),
        ("trainer.max_epochs=3 +trainer.check_val_every_n_epoch=2", [0, 1, 0]),
        ("trainer.max_epochs=3 +trainer.val_check_interval=6 +trainer.check_val_every_n_epoch=null", [0, 1, 1]),
        ("trainer.max_epochs=2 +trainer.val_check_interval=0.5", [1, 1]),
        ("trainer.max_epochs=2 +trainer.val_check_interval=3", [1, 1]),
        ("trainer.max_epochs=2 +trainer.val_check_interval='00:01:00:00'", [0, 0]),
        ("trainer.max_epochs=1 trainer.num_sanity_val_steps=2 +trainer.limit_val_batches=1", [1]),
        ("trainer.max_epochs=1 trainer.num_sanity_val_steps=-1 +trainer.check_val_every_n_epoch=2", [0]),
        ("trainer.max_epochs=3 +trainer.max_steps=6", [1, 0]),
        ("trainer.max_epochs=3 +trainer.max_steps=1", [0]),
        ("trainer.max_epochs=null +trainer.max_steps=6", [1, 0]),
        ("trainer.max_epochs=-1 +trainer.max_steps=3 +trainer.accumulate_grad_batches=3", [1, 0]),
    ],
)
def test_an_epochs_errors_are_those_measured_in_it(tmp_path, capfd, overrides, validated):
    record = "+callbacks.record._target_=test_trainer_settings.Losses"
    run_train(tmp_path, *TINY, "logger=[csv]", "trainer.log_every_n_steps=1", record, *overrides.split())
    history = read_history(tmp_path / "history.csv")
    assert [value == value for value in history["val/mse"]] == [bool(measured) for measured in validated]
    assert history["train/mse"] == pytest.approx([sum(epoch) / len(epoch) for epoch in Losses.epochs], rel=1e-5)
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("epoch")]
    assert [("train/mse" in line, "val/mse" in line) for line in lines] == [(True, bool(one)) for one in validated]
    with (tmp_path / "csv" / "metrics.csv").open(encoding="utf-8", newline="") as file:
        logged = [float(row["train/mse"]) for row in csv.DictReader(file) if row["train/mse"]]
    assert logged == pytest.approx(history["train/mse"], rel=1e-5)
    assert read_metrics(tmp_path)["epochs"] == len(validated)
