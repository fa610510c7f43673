"""history.csv has every epoch of a run, a resumed one too."""

import math

import pytest
from conftest import read_metrics

from autoencoder.callbacks.history import History
from autoencoder.runs.history import read_history, write_history


def test_the_file_has_each_epoch_and_the_errors_that_were_logged(run):
    columns = read_history(run / "history.csv")
    assert columns["epoch"] == [1, 2, 3]
    assert columns["train/mse"] == sorted(columns["train/mse"], reverse=True)
    assert min(columns["val/mse"]) == pytest.approx(read_metrics(run)["val/mse"], rel=1e-4)


def test_what_was_not_measured_is_not_a_number(tmp_path):
    write_history([{"epoch": 1, "train/mse": 0.5}], tmp_path / "new" / "history.csv")
    columns = read_history(tmp_path / "new" / "history.csv")
    assert columns["train/mse"] == [0.5] and math.isnan(columns["val/mse"][0])


def test_a_checkpoint_carries_the_epochs_so_far(tmp_path):
    before, after = History(str(tmp_path / "a.csv")), History(str(tmp_path / "b.csv"))
    before.rows = [{"epoch": 1, "train/mse": 0.5}]
    after.load_state_dict(before.state_dict())
    after.rows.append({"epoch": 2})
    assert [row["epoch"] for row in after.rows] == [1, 2] and len(before.rows) == 1
