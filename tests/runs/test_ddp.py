"""Two processes train as one would: the same images, the same steps, exact metrics, one set of files, resumed alike."""

import os

import pytest
import torch
from conftest import ROOT, command, read_metrics, run_evaluate
from test_train import assert_same_weights, weights

from autoencoder.runs.history import read_history

# Two processes with half the batch. Double precision, so that only the order of sums can tell them from one.
SETTINGS = (
    *("experiment=quick", "callbacks=light", "views=none", "logger=[]", "scheduler=constant", "model.latent_dim=4"),
    *("trainer.precision=64-true", "data.val_size=501"),
)
DDP = ("trainer=ddp", "trainer.precision=64-true", "data.batch_size=64")

pytestmark = pytest.mark.slow


def run(folder, *overrides: str) -> None:
    path = os.pathsep.join(str(ROOT / name) for name in ("tests", "src"))
    ended = command("src/train.py", *SETTINGS, *overrides, f"hydra.run.dir={folder}", PYTHONPATH=path)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run of two processes over three epochs."""
    folder = tmp_path_factory.mktemp("ddp") / "two"
    run(folder, *DDP, "trainer.max_epochs=3")
    return folder


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_steps_are_those_of_one_process_with_the_whole_batch(optimizer, tmp_path):
    # 4,000 images make the last batch of an epoch even, too; 40 steps end within the second epoch.
    steps = ("+trainer.max_steps=40", f"optimizer={optimizer}", "data.val_size=500")
    run(tmp_path / "two", *DDP, *steps)
    run(tmp_path / "one", "data.batch_size=128", *steps)
    one, two = (torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True) for name in ("one", "two"))
    assert one["global_step"] == two["global_step"] == 40
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], value, rtol=1e-6, atol=1e-9)
    columns = [read_history(tmp_path / name / "history.csv") for name in ("one", "two")]
    for name in ("train/mse", "val/mse"):  # NaN in the second epoch, which was cut short before its validation
        assert columns[1][name] == pytest.approx(columns[0][name], rel=1e-6, nan_ok=True)


def test_metrics_are_those_of_one_process_on_the_same_checkpoint(two, tmp_path):
    """Also of 501 validation images, which two processes cannot share evenly."""
    measured = run_evaluate(tmp_path, f"ckpt_path={two}/checkpoints/best.ckpt", "figures=false")
    written = read_metrics(two)
    for name in ("val/mse", "test/mse", "test/sse", "test/psnr", "test/ssim", "pca/test_mse"):
        assert written[name] == pytest.approx(measured[name], rel=1e-6)
    assert min(read_history(two / "history.csv")["val/mse"]) == pytest.approx(measured["val/mse"], rel=1e-6)
    assert written["val_size"] == 501 and written["device"].startswith("2 x ")


def test_each_line_is_written_once(two):
    log = (two / "train.log").read_text(encoding="utf-8")
    assert [log.count(f"epoch {epoch}/3") for epoch in (1, 2, 3)] == [1, 1, 1]
    assert len((two / "history.csv").read_text(encoding="utf-8").splitlines()) == 4


def test_a_run_stopped_within_an_epoch_ends_with_the_weights_of_one_never_stopped(two, tmp_path):
    stopper = "+callbacks.stopper={_target_: signal_at.SignalAt, step: 44, name: SIGTERM}"
    with pytest.raises(AssertionError, match="resume"):
        run(tmp_path, *DDP, "trainer.max_epochs=3", stopper)
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert 44 <= checkpoint["global_step"] < 62 and read_metrics(tmp_path)["status"] == "interrupted"
    ended = command("src/train.py", f"resume={tmp_path}", "~callbacks.stopper")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert_same_weights(weights(two), weights(tmp_path))
    histories = [(folder / "history.csv").read_bytes() for folder in (two, tmp_path)]
    assert histories[0] == histories[1]
