"""Callbacks of Lightning's that people add: each does its work, or says in one line why it cannot."""

import pytest
import torch
from conftest import call, read_metrics, run_train
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import OnExceptionCheckpoint

import train
from autoencoder.runs.history import read_history

TINY = ("experiment=quick", "callbacks=light", "+trainer.limit_train_batches=6", "trainer.max_epochs=3")
ADDED = "+callbacks.added._target_=lightning.pytorch.callbacks."
SWA = f"{ADDED}StochasticWeightAveraging"


def refusal(capfd, folder, *overrides):
    """The last line of a run that ends with an error."""
    with pytest.raises(SystemExit) as stopped:
        call(train.train, *TINY, f"hydra.run.dir={folder}", *overrides)
    assert stopped.value.code == 1
    captured = capfd.readouterr()
    assert "Traceback" not in captured.out + captured.err and not (folder / "metrics.json").exists()
    return captured.out.splitlines()[-1]


@pytest.mark.filterwarnings("ignore:SWA is currently only supported every epoch")
@pytest.mark.parametrize(
    ("batches", "is_best"), [(125, True), pytest.param(6, False, marks=pytest.mark.slow)]
)  # 6: each step is still much better
def test_averaged_weights_are_measured_and_kept_if_they_are_better(tmp_path, capfd, batches, is_best):
    run_train(tmp_path, *TINY, SWA, "+callbacks.added.swa_lrs=1e-3", f"trainer.limit_train_batches={batches}")
    before = min(read_history(tmp_path / "history.csv")["val/mse"])
    measured = read_metrics(tmp_path)["val/mse"]
    assert measured < before * 0.99 if is_best else measured == pytest.approx(before, rel=1e-5)
    (line,) = [line for line in capfd.readouterr().out.splitlines() if line.startswith("averaged weights")]
    assert f"best before {before:.4f}" in line
    assert line.endswith("saved as best.ckpt" if is_best else "best.ckpt is kept")


@pytest.mark.filterwarnings("ignore:SWA is currently only supported every epoch")
def test_averaged_weights_are_the_result_where_nothing_is_validated(tmp_path):
    run_train(tmp_path, *TINY, SWA, "+callbacks.added.swa_lrs=1e-2", "data.val_size=0")
    best, last = (torch.load(tmp_path / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("best", "last"))
    average = last["callbacks"]["StochasticWeightAveraging"]["average_model_state"]
    assert all(torch.equal(best["state_dict"][name], average[name]) for name in average)


@pytest.mark.parametrize("name", ["WeightAveraging", "EMAWeightAveraging"])
def test_weights_averaged_in_each_step_are_what_is_validated_and_kept(tmp_path, name):
    metrics = run_train(tmp_path, *TINY, ADDED + name)
    assert min(read_history(tmp_path / "history.csv")["val/mse"]) == pytest.approx(metrics["val/mse"], rel=1e-5)


class Rates(Callback):
    """Keeps the learning rate of each batch."""

    seen: list[float]

    def on_train_start(self, trainer, pl_module):
        Rates.seen = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        Rates.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.mark.parametrize("scheduling", ["{0: 2}", "{0: 3, 1: 1}", "{1: 6}"])
def test_a_schedule_ends_with_the_run_however_batches_are_accumulated(tmp_path, scheduling):
    plan = (f"{ADDED}GradientAccumulationScheduler", f"+callbacks.added.scheduling={scheduling}")
    steps = run_train(tmp_path, *TINY, *plan, "+callbacks.rates._target_=test_lightning_callbacks.Rates")["steps"]
    assert Rates.seen[-1] == pytest.approx(1.2e-2 / (steps - 1))  # one step above zero, after one of warm-up


@pytest.mark.parametrize(
    "overrides",
    [
        f"{ADDED}EarlyStopping +callbacks.added.monitor=val/mse",
        f"{ADDED}EarlyStopping +callbacks.added.monitor=train/mse",
        f"{ADDED}LearningRateMonitor",
        f"{ADDED}ModelCheckpoint",
        f"{ADDED}ModelCheckpoint +callbacks.added.every_n_train_steps=4 +callbacks.added.save_top_k=-1",
        f"{ADDED}ModelSummary",
        f"{ADDED}TQDMProgressBar trainer.enable_progress_bar=true callbacks.progress=null",
        f"{ADDED}Timer +callbacks.added.duration='00:01:00:00'",
    ],
)
def test_other_callbacks_do_their_work_beside_ours(tmp_path, overrides):
    assert run_train(tmp_path, *TINY, *overrides.split())["steps"] == 18
    assert (tmp_path / "checkpoints" / "best.ckpt").exists()


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (f"{ADDED}EarlyStopping +callbacks.added.monitor=val/mse +callbacks.added.patience=0 "
         "+callbacks.added.min_delta=0.9", "EarlyStopping: Monitored metric val/mse did not improve"),
        ("+trainer.max_time='00:00:00:00'", "time limit reached"),
    ],
)  # fmt: skip
def test_a_run_that_ends_early_says_why(tmp_path, capfd, overrides, reason):
    metrics = run_train(tmp_path, *TINY, *overrides.split())
    epochs = metrics["epochs"]
    assert epochs < 3 and f"ended in epoch {epochs}: {reason}" in capfd.readouterr().out
    assert metrics["ended_early"].startswith(reason)


def test_a_run_that_ends_as_planned_gives_no_reason(tmp_path, capfd):
    run_train(tmp_path, *TINY)
    assert "ended in epoch" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (f"{ADDED}LearningRateFinder", "compare values in a sweep, -m optimizer.lr="),
        (f"{ADDED}BatchSizeFinder", "compare values in a sweep, -m data.batch_size="),
        (
            f"{ADDED}ModelPruning +callbacks.added.pruning_fn=l1_unstructured",
            "checkpoints lose its masks: leave it out",
        ),
        (
            f"{ADDED}OnExceptionCheckpoint +callbacks.added.dirpath=.",
            "starts a new run from the file that another run has left in its dirpath: leave it out",
        ),
        (f"{ADDED}RichProgressBar", "set trainer.enable_progress_bar=true callbacks.progress=null"),
        ("trainer.enable_progress_bar=true", "leave out the other with callbacks.progress=null"),
        (
            f"{ADDED}EarlyStopping +callbacks.added.monitor=loss",
            "callbacks: Early stopping conditioned on metric `loss`",
        ),
        (f"{ADDED}BackboneFinetuning", "callbacks: BackboneFinetuning is for other models: "),
        (f"{ADDED}LearningRateMonitor logger=[]", "`LearningRateMonitor` callback with `Trainer` that has no logger"),
    ],
)
def test_what_a_callback_cannot_do_is_said_in_one_line(tmp_path, capfd, overrides, message):
    line = refusal(capfd, tmp_path, *overrides.split())
    assert line.startswith("error: ") and message in line


class Rescue(OnExceptionCheckpoint):
    """One's own kind of it."""


def test_a_subclass_of_what_is_refused_is_refused_too(tmp_path, capfd):
    rescue = f"{{_target_: test_lightning_callbacks.Rescue, dirpath: {tmp_path}}}"
    line = refusal(capfd, tmp_path / "run", f"+callbacks.rescue={rescue}")
    assert line.startswith("error: callbacks.rescue: OnExceptionCheckpoint starts a new run from the file")
    assert not (tmp_path / "run").exists()


OWN = "'${paths.output_dir}/checkpoints'"


@pytest.mark.parametrize(
    ("settings", "logger", "setting", "file"),
    [
        (f"dirpath: {OWN}, filename: best", "tensorboard", "filename", "best.ckpt"),
        (f"dirpath: {OWN}, filename: last", "tensorboard", "filename", "last.ckpt"),
        ("dirpath: '${paths.output_dir}', filename: checkpoints/best", "tensorboard", "filename", "best.ckpt"),
        ("dirpath: '${paths.output_dir}/link', filename: best", "tensorboard", "filename", "best.ckpt"),
        ("filename: best", "", "filename", "best.ckpt"),  # without a logger, Lightning's own folder is the run's
        (f"dirpath: {OWN}, save_last: true", "tensorboard", "save_last", "last.ckpt"),
        (f"dirpath: {OWN}, save_last: link", "tensorboard", "save_last", "last.ckpt"),
    ],
)
def test_a_runs_own_checkpoints_are_written_by_itself_alone(tmp_path, capfd, settings, logger, setting, file):
    (tmp_path / "link").symlink_to(tmp_path / "checkpoints")
    added = f"+callbacks.added={{_target_: lightning.pytorch.callbacks.ModelCheckpoint, {settings}}}"
    line = refusal(capfd, tmp_path, added, "+callbacks.added.every_n_train_steps=4", f"logger=[{logger}]")
    assert line.startswith(f"error: callbacks.added.{setting} would overwrite {tmp_path}/checkpoints/{file}, ")
    assert line.endswith("or set another dirpath") and not (tmp_path / ".hydra").exists()


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        (f"dirpath: {OWN}, filename: mine", ["checkpoints/mine.ckpt"]),
        (
            "filename: best, save_last: true",
            ["tensorboard/checkpoints/best.ckpt", "tensorboard/checkpoints/last.ckpt"],
        ),
    ],
)
def test_checkpoints_beside_a_runs_own_are_written(tmp_path, settings, files):
    added = f"+callbacks.added={{_target_: lightning.pytorch.callbacks.ModelCheckpoint, {settings}}}"
    run_train(tmp_path, *TINY, added, "+callbacks.added.every_n_train_steps=4")
    assert all((tmp_path / file).is_file() for file in [*files, "checkpoints/best.ckpt", "checkpoints/last.ckpt"])


def test_what_lightning_refuses_is_in_the_log_with_its_traceback(tmp_path, capfd):
    line = refusal(capfd, tmp_path, f"{ADDED}EarlyStopping", "+callbacks.added.monitor=loss")
    assert line.startswith("error: callbacks: Early stopping conditioned on metric `loss`")
    text = (tmp_path / "train.log").read_text(encoding="utf-8")
    assert "Traceback" in text and "early_stopping.py" in text


class Spoil(Callback):
    """Makes the weights NaN in the second epoch."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            with torch.no_grad():
                pl_module.network.encoder[1].weight.fill_(float("nan"))


def test_a_run_that_diverges_in_a_new_folder_keeps_its_last_good_checkpoint(tmp_path, capfd):
    folder = tmp_path / "new"
    with pytest.raises(SystemExit):
        call(train.train, *TINY, f"hydra.run.dir={folder}", "+callbacks.spoil._target_=test_lightning_callbacks.Spoil")
    assert f"the last good state is in {folder}/checkpoints/last.ckpt" in capfd.readouterr().out
    assert (folder / "checkpoints" / "last.ckpt").exists()
