"""A folder is a run: stopped anywhere and started again, it ends as if never stopped, and nothing of it is lost."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT, call, command, read_metrics, run_evaluate, run_train
from lightning.pytorch import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_train import assert_same_weights, weights

import evaluate
import explore
import export
import train
from autoencoder.callbacks import stopping
from autoencoder.data import sources
from autoencoder.runs.history import read_history

STUDY = ("experiment=quick", "trainer.max_epochs=3", "model.latent_dim=4", "model.network.hidden_dims=[16]")
# Views that say nothing of the training; the run's own files, curves and best are what counts here.
LIGHT = (
    *("callbacks=light", "views=none"),
    "+views.error_per_class={_target_: autoencoder.evaluation.summaries.error_per_class, _partial_: true}",
)


def curves(folder):
    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {
        # Sorted: files that one process makes within a second are read in no order.
        tag: sorted((event.step, event.value) for event in accumulator.Scalars(tag))
        for tag in accumulator.Tags()["scalars"]
        if tag not in ("hp_metric",)
    }


def stop_at(folder, step, *overrides, name="SIGINT"):
    """A run that a signal stops in step `step` + 1; returns its exit code."""
    stopper = f"+callbacks.stopper={{_target_: signal_at.SignalAt, step: {step}, name: {name}}}"
    with pytest.raises(SystemExit) as stopped:
        run_train(folder, *overrides, stopper)
    return stopped.value.code


def assert_same_run(one, other):
    assert_same_weights(weights(one), weights(other))
    assert_same_weights(weights(one, "best"), weights(other, "best"))
    assert (one / "history.csv").read_text(encoding="utf-8") == (other / "history.csv").read_text(encoding="utf-8")
    assert curves(one) == curves(other)
    times = ("fit_seconds", "images_per_second", "git_commit", "changes")  # one may commit while the tests run
    one_metrics, other_metrics = (
        {name: value for name, value in read_metrics(folder).items() if name not in times} for folder in (one, other)
    )
    assert one_metrics == other_metrics


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run_train(folder, *STUDY, *LIGHT)
    return folder


@pytest.mark.parametrize(
    ("step", "name", "code"),
    [
        pytest.param(40, "SIGINT", 130, marks=pytest.mark.slow),
        (125 + 60, "SIGTERM", 143),
        pytest.param(124, "SIGHUP", 129, marks=pytest.mark.slow),
        (2 * 125, "SIGINT", 130),
        pytest.param(70, "SIGUSR1", 138, marks=pytest.mark.slow),
    ],
)
def test_a_run_stopped_anywhere_ends_as_if_never_stopped(step, name, code, tmp_path, whole, caplog):
    assert stop_at(tmp_path, step, *STUDY, *LIGHT, name=name) == code
    assert read_metrics(tmp_path)["status"] == "interrupted"
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert step < last["global_step"] <= step + 2  # at once, or behind the epoch's end
    call(train.train, f"resume={tmp_path}", "~callbacks.stopper")
    assert_same_run(tmp_path, whole)


@pytest.mark.slow
def test_a_run_is_stopped_again_and_again(tmp_path, whole):
    stop_at(tmp_path, 20, *STUDY, *LIGHT)
    for step in (70, 71, 130, 260):
        with pytest.raises(SystemExit):
            call(train.train, f"resume={tmp_path}", f"callbacks.stopper.step={step}", "allow_targets=[signal_at]")
    call(train.train, f"resume={tmp_path}", "~callbacks.stopper")
    assert_same_run(tmp_path, whole)


def test_a_killed_run_goes_on_from_its_last_epoch(tmp_path, whole):
    """SIGKILL: events and rows beyond the last checkpoint are cut away, and dealt with anew."""
    killer = "+callbacks.stopper={_target_: signal_at.SignalAt, step: 300, name: SIGKILL}"
    tests = f"{ROOT / 'tests'}{os.pathsep}{ROOT / 'tests' / 'callbacks'}"
    environment = {"PYTHONPATH": f"{tests}{os.pathsep}{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    killed = command("src/train.py", *STUDY, *LIGHT, killer, f"hydra.run.dir={tmp_path}", **environment)
    assert killed.returncode == -signal.SIGKILL
    call(train.train, f"resume={tmp_path}", "~callbacks.stopper")
    assert_same_run(tmp_path, whole)
    assert not list(tmp_path.rglob(".*.tmp")) and not (tmp_path / ".lock").exists()


@pytest.mark.parametrize("step", [3, 130])
def test_the_same_command_into_the_same_folder_goes_on(step, tmp_path, whole):
    """Also where there is no checkpoint yet: then from the beginning."""
    with pytest.raises(RuntimeError, match="broken"):
        run_train(tmp_path, *STUDY, *LIGHT, f"+callbacks.stop={{_target_: test_resume.BreakAt, step: {step}}}")
    assert (tmp_path / "checkpoints" / "last.ckpt").exists() == (step > 125)
    run_train(tmp_path, *STUDY, *LIGHT) if step < 125 else call(train.train, f"resume={tmp_path}", "~callbacks.stop")
    assert_same_run(tmp_path, whole)


class BreakAt(Callback):
    """A bug in the middle of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        if trainer.global_step == self.step:
            raise RuntimeError("broken")


def test_a_finished_run_is_reported_and_not_run_again(tmp_path, whole, capfd):
    shutil.copytree(whole, tmp_path / "moved")
    before = contents(tmp_path / "moved", but="train.log")
    capfd.readouterr()
    metrics = run_train(tmp_path / "moved", *STUDY, *LIGHT, "callbacks.progress=null", "figures=true")
    said = capfd.readouterr().out
    assert "already finished with the same settings" in said and f"val/mse {metrics['val/mse']:.4f}" in said
    call(train.train, f"resume={tmp_path / 'moved'}")
    assert contents(tmp_path / "moved", but="train.log") == before


def contents(folder, but=""):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.name != but}


def test_other_settings_into_a_taken_folder_are_refused_and_leave_it_as_it_was(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "copy")
    before = contents(tmp_path / "copy")
    for override, said in (
        ("optimizer.lr=1e-4", "optimizer.lr was 0.012 and is 0.0001 now"),
        ("+trainer.gradient_clip_val=1", "trainer.gradient_clip_val was not set and is 1 now"),
        ("scheduler=constant", "scheduler._target_ was"),
        ("seed=1", "seed was 0 and is 1 now"),
    ):
        with pytest.raises(SystemExit) as stopped:
            run_train(tmp_path / "copy", *STUDY, *LIGHT, override)
        assert said in str(stopped.value.code) and "resume=" in str(stopped.value.code)
    assert contents(tmp_path / "copy") == before


@pytest.mark.parametrize(
    ("override", "name"),
    [
        ("model.latent_dim=5", "model.latent_dim was 4"),
        ("data.batch_size=64", "data.batch_size was 32"),
        ("data.val_size=100", "data.val_size was None"),
        ("optimizer=adam", "optimizer._target_ was autoencoder.optim.optimizers.muon"),
        ("seed=3", "seed was 0"),
        ("trainer.devices=2", "trainer.devices was 1"),
        ("+trainer.limit_train_batches=10", "trainer.limit_train_batches was not set"),
    ],
)
def test_what_a_run_cannot_change_on_its_way_is_refused(override, name, tmp_path, whole):
    shutil.copytree(whole, tmp_path / "copy")
    before = contents(tmp_path / "copy")
    with pytest.raises(SystemExit) as stopped:
        call(train.train, f"resume={tmp_path / 'copy'}", override)
    assert name in str(stopped.value.code) and "a resumed run cannot change it" in str(stopped.value.code)
    assert contents(tmp_path / "copy") == before


class Rates(Callback):
    """Notes the learning rates and decays of each step."""

    seen: list[tuple[float, float]] = []  # noqa: RUF012

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        group = trainer.optimizers[0].param_groups[0]
        Rates.seen.append((group["lr"], group["weight_decay"]))


@pytest.mark.parametrize("optimizer", ["muon", pytest.param("adamw", marks=pytest.mark.slow)])
def test_settings_changed_on_the_way_are_used_from_there_on_said_and_recorded(optimizer, tmp_path, capfd):
    study = (*STUDY, "trainer.max_epochs=1", f"optimizer={optimizer}", "scheduler=constant", "callbacks=light")
    run_train(tmp_path, *study)
    Rates.seen.clear()
    changes = ("optimizer.lr=1e-5", "optimizer.weight_decay=0.5", "trainer.max_epochs=2")
    call(train.train, f"resume={tmp_path}", *changes, "+callbacks.rates._target_=test_resume.Rates")
    assert set(Rates.seen) == {(1e-5, 0.5)} and len(Rates.seen) == 125
    said = capfd.readouterr().out
    assert "optimizer.lr is now 1e-05, was" in said and "trainer.max_epochs is now 2, was 1" in said
    assert "lr: 1.0e-05" in (tmp_path / ".hydra" / "config.yaml").read_text(encoding="utf-8")
    group = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"][0]["param_groups"]
    assert group[0]["lr"] == 1e-5
    assert read_metrics(tmp_path)["epochs"] == 2


def test_a_longer_run_follows_the_longer_schedule_from_its_next_step_on(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "copy")
    Rates.seen.clear()
    longer = ("trainer.max_epochs=4", "+callbacks.rates._target_=test_resume.Rates")
    call(train.train, f"resume={tmp_path / 'copy'}", *longer)
    steps = range(3 * 125, 4 * 125)
    expected = [0.012 * (500 - step) / (500 - 10) for step in steps]  # 2 % of 500 steps warm up
    assert [rate for rate, _ in Rates.seen] == pytest.approx(expected)


def test_best_stays_best_wherever_the_folder_lies(tmp_path, whole):
    """The learning rate is so high that what follows is worse."""
    shutil.copytree(whole, tmp_path / "elsewhere" / "copy")
    folder = tmp_path / "elsewhere" / "copy"
    call(train.train, f"resume={folder}", "optimizer.lr=3.0", "scheduler=constant", "trainer.max_epochs=4")
    metrics = read_metrics(folder)
    assert metrics["epochs"] == 4 and metrics["test/mse"] == read_metrics(whole)["test/mse"]
    assert_same_weights(weights(folder, "best"), weights(whole, "best"))
    assert not torch.equal(*(weights(one)["network.encoder.1.weight"] for one in (folder, whole)))


@pytest.mark.parametrize("settings", [("+trainer.check_val_every_n_epoch=5",), ("+trainer.max_steps=200",), ()])
def test_the_last_checkpoint_is_the_newest_state(settings, tmp_path):
    """Lightning's own rewrites it only when the metric has improved."""
    wild = ("optimizer.lr=0.3", "scheduler=constant", "callbacks=light")
    metrics = run_train(tmp_path, *STUDY, *wild, *settings)
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == metrics["steps"] == (200 if "+trainer.max_steps=200" in settings else 375)


def test_rows_of_the_first_part_are_kept(tmp_path):
    study = (*STUDY, *LIGHT, "logger=csv")
    run_train(tmp_path / "whole", *study)
    stop_at(tmp_path / "stopped", 180, *study)
    call(train.train, f"resume={tmp_path / 'stopped'}", "~callbacks.stopper")
    rows = [
        (tmp_path / name / "csv" / "metrics.csv").read_text(encoding="utf-8").splitlines()
        for name in ("whole", "stopped")
    ]
    assert rows[0] == rows[1] and len(rows[0]) > 10


def test_a_new_run_starts_from_weights_and_optimiser_state_and_says_so(tmp_path, whole, capfd):
    best = whole / "checkpoints" / "best.ckpt"
    frozen = ("optimizer.lr=1e-12", "optimizer.bias_lr=1e-12", "trainer.max_epochs=1", "data.batch_size=50", "seed=5")
    metrics = run_train(tmp_path, *STUDY, "callbacks=light", *frozen, f"ckpt_path={best}")
    assert f"a new run starts from the weights and the optimiser's state of {best}" in capfd.readouterr().out
    assert metrics["epochs"] == 1 and metrics["steps"] == 80 and metrics["seed"] == 5
    assert metrics["test/mse"] == pytest.approx(read_metrics(whole)["test/mse"], rel=1e-5)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"][0]
    assert (
        state["param_groups"][0]["momentum"] == 0.9
        and max(float(one["step"]) for one in state["state"].values() if "step" in one) == 375 + 80
    )


class FailingWrite(Callback):
    """Breaks the write of the second epoch's checkpoint."""

    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        if trainer.current_epoch == 1:
            checkpoint["broken"] = lambda: None  # cannot be pickled


def test_a_save_that_breaks_leaves_the_former_checkpoints_whole(tmp_path):
    with pytest.raises(Exception, match="pickle"):
        run_train(tmp_path, *STUDY, *LIGHT, "+callbacks.breaks._target_=test_resume.FailingWrite")
    for name in ("best", "last"):
        assert torch.load(tmp_path / "checkpoints" / f"{name}.ckpt", weights_only=True)["global_step"] == 125
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


@pytest.mark.filterwarnings("ignore:SWA is currently only supported", "ignore:Swapping scheduler")
@pytest.mark.parametrize(  # within each epoch: before, at and after the change in the third
    "step", [*(pytest.param(step, marks=pytest.mark.slow) for step in (60, 130)), 200]
)
@pytest.mark.parametrize(
    "callback",
    [
        "StochasticWeightAveraging, swa_lrs: 0.01, swa_epoch_start: 3",
        "GradientAccumulationScheduler, scheduling: {0: 1, 2: 2}",
    ],
    ids=["averaging", "accumulation"],
)
def test_callbacks_that_set_up_an_epoch_do_so_in_a_resumed_one(callback, step, tmp_path):
    added = f"+callbacks.added={{_target_: lightning.pytorch.callbacks.{callback}}}"
    settings = (*STUDY, *LIGHT, "trainer.max_epochs=5", "data.batch_size=64", added)
    run_train(tmp_path / "whole", *settings)
    stop_at(tmp_path / "stopped", step, *settings)
    call(train.train, f"resume={tmp_path / 'stopped'}", "~callbacks.stopper")
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_a_stopped_run_on_the_fallback_says_which_images_it_had(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(sources, "_download", fail)
    stop_at(tmp_path / "run", 10, *STUDY, *LIGHT, "data=mnist", f"data.data_dir={tmp_path}/none")
    assert read_metrics(tmp_path / "run")["dataset"] == "mnist_5k"


@pytest.mark.slow
def test_two_runs_into_one_folder_the_second_is_refused(tmp_path):
    arguments = [sys.executable, "src/train.py", "experiment=quick", "trainer.max_epochs=10000", "callbacks=light"]
    process = subprocess.Popen(
        [*arguments, f"hydra.run.dir={tmp_path}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    with pytest.raises(SystemExit) as stopped:
        run_train(tmp_path, "experiment=quick", "trainer.max_epochs=10000", "callbacks=light")
    assert "another run is writing to" in str(stopped.value.code)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130 and time.monotonic() - started < 5
    last_line = said.strip().splitlines()[-1]
    assert re.fullmatch(r"stopped in epoch \d+ of 10000; resume with: python src/train.py resume=.*", last_line)
    assert "Traceback" not in said
    assert read_metrics(tmp_path)["status"] == "interrupted"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("resume=nowhere",), "resume=nowhere is not the folder of a run"),
        (("resume=.", "-m", "seed=0,1"), "leave out -m"),
    ],
)
def test_a_run_that_cannot_be_resumed_is_one_line(arguments, said, caplog):
    with pytest.raises(SystemExit) as stopped:
        call(train.train, *arguments)
    assert stopped.value.code == 1 and said in caplog.text


def test_a_run_whose_overrides_refer_to_other_settings_can_be_resumed(tmp_path):
    refers = ("seed=${model.latent_dim}", "hydra.job.name=width_${model.latent_dim}")
    run_train(tmp_path, *STUDY, "callbacks=light", "logger=[]", "trainer.max_epochs=1", *refers)
    call(train.train, f"resume={tmp_path}", "trainer.max_epochs=2")
    assert (read_metrics(tmp_path)["epochs"], read_metrics(tmp_path)["seed"]) == (2, 4)


@pytest.mark.parametrize("script", [evaluate.evaluate, explore.explore, export.export])
@pytest.mark.parametrize("arguments", [("ckpt_path=nowhere.ckpt",), (), ("ckpt_path=x.ckpt", "figures=maybe")])
def test_another_refused_command_leaves_no_folder_either(script, arguments, tmp_path):
    with pytest.raises(SystemExit):
        call(script, *arguments, f"paths.log_dir={tmp_path}")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()] and not list(tmp_path.glob("*/runs/*"))


def test_a_refused_run_leaves_no_folder_and_latest_leads_to_the_last_one(tmp_path, capfd):
    logs = f"paths.log_dir={tmp_path}"
    for override in ("optimizer.lr=0", "ckpt_path=nowhere.ckpt", "trainer.max_epochs=-1", "data.val_size=4500"):
        with pytest.raises(SystemExit):
            call(train.train, "experiment=quick", "callbacks=light", override, logs)
    assert not list(tmp_path.rglob("train.log")) and not list(tmp_path.glob("train/runs/*"))
    for _ in range(2):
        call(train.train, "experiment=quick", "callbacks=light", "trainer.max_epochs=1", "logger=[]", logs)
    runs = sorted((tmp_path / "train" / "runs").iterdir())
    assert (tmp_path / "train" / "latest").resolve() == runs[-1] and len(runs) == 2
    assert not Path(tmp_path / "train" / "latest").readlink().is_absolute()


@pytest.mark.slow
def test_a_sweep_started_again_runs_what_is_missing(tmp_path):
    sweep = ("-m", *STUDY, "callbacks=light", "seed=0,1", f"hydra.sweep.dir={tmp_path}")
    call(train.train, *sweep)
    first = [read_metrics(tmp_path / job) for job in ("0", "1")]
    shutil.rmtree(tmp_path / "1")
    call(train.train, *sweep)
    second = [read_metrics(tmp_path / job) for job in ("0", "1")]
    assert second[0] == first[0] and second[1]["fit_seconds"] != first[1]["fit_seconds"]
    assert second[1]["test/mse"] == first[1]["test/mse"]


def test_metrics_of_a_broken_file_do_not_stop_a_run(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "copy")
    (tmp_path / "copy" / "metrics.json").write_text("{", encoding="utf-8")
    call(train.train, f"resume={tmp_path / 'copy'}")
    metrics = json.loads((tmp_path / "copy" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["status"] == "finished" and metrics["test/mse"] == read_metrics(whole)["test/mse"]


class ImpatientAt(Callback):
    """Sends Ctrl-C twice in the middle of a step, the second time long after the first."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        if trainer.global_step == self.step:
            stopping.time = SimpleNamespace(monotonic=iter([0.0, 10.0]).__next__)
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)


def test_a_second_ctrl_c_stops_in_the_middle_of_a_step_and_saves_nothing_half_done(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(stopping, "time", time)
    with pytest.raises(SystemExit) as stopped:
        run_train(tmp_path, *STUDY, *LIGHT, "+callbacks.stopper={_target_: test_resume.ImpatientAt, step: 160}")
    assert stopped.value.code == 130
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 125
    monkeypatch.undo()
    call(train.train, f"resume={tmp_path}", "~callbacks.stopper")
    assert_same_run(tmp_path, whole)


def test_a_run_stopped_while_it_is_measured_goes_on_with_measuring(tmp_path, whole, monkeypatch, capfd):
    def stop(*_):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("autoencoder.evaluation.evaluate.evaluate", stop)
    with pytest.raises(SystemExit) as stopped:
        run_train(tmp_path, *STUDY, *LIGHT)
    assert stopped.value.code == 143
    assert "stopped after its last epoch, before it was measured; resume with" in capfd.readouterr().out
    monkeypatch.undo()
    run_train(tmp_path, *STUDY, *LIGHT)
    assert_same_run(tmp_path, whole)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(("+trainer.max_steps=300",), marks=pytest.mark.slow),
        pytest.param(("trainer.max_epochs=-1", "+trainer.max_steps=300"), marks=pytest.mark.slow),
        pytest.param(("+trainer.accumulate_grad_batches=3",), marks=pytest.mark.slow),
        pytest.param(("+trainer.val_check_interval=0.25",), marks=pytest.mark.slow),
        pytest.param(
            ("+trainer.val_check_interval=50", "+trainer.check_val_every_n_epoch=null"), marks=pytest.mark.slow
        ),
        pytest.param(("+trainer.check_val_every_n_epoch=2",), marks=pytest.mark.slow),
        pytest.param(("+trainer.limit_train_batches=61", "+trainer.limit_val_batches=0"), marks=pytest.mark.slow),
        pytest.param(("+trainer.overfit_batches=40",), marks=pytest.mark.slow),
        pytest.param(
            ("trainer.num_sanity_val_steps=2", "+trainer.reload_dataloaders_every_n_epochs=1"), marks=pytest.mark.slow
        ),
        ("trainer.precision=64-true",),
        ("model=vae", "model.bottleneck.warmup=0.7"),
        pytest.param(("model/corruption=masking", "model/loss=bce", "model/bottleneck=sparse"), marks=pytest.mark.slow),
        pytest.param(("model=vq", "model.bottleneck.groups=2"), marks=pytest.mark.slow),
        pytest.param(
            ("trainer.precision=bf16-mixed", "optimizer=adam", "+trainer.gradient_clip_val=0.1"), marks=pytest.mark.slow
        ),
        pytest.param(("data.val_size=0", "logger=[tensorboard,csv]"), marks=pytest.mark.slow),
        pytest.param(
            ("data.batch_size=4000", "trainer.max_epochs=60", "scheduler=constant"), marks=pytest.mark.slow
        ),  # an epoch is one batch
    ],
    ids=" ".join,
)
def test_whatever_the_trainer_does_a_stopped_run_goes_on(settings, tmp_path):
    run_train(tmp_path / "whole", *STUDY, "callbacks=light", *settings)
    for index, step in enumerate((17, 44)):
        arguments = (*STUDY, "callbacks=light", *settings, f"hydra.run.dir={tmp_path / 'stopped'}")
        stopper = f"{{_target_: signal_at.SignalAt, step: {step}, name: SIGINT}}"
        again = (f"resume={tmp_path / 'stopped'}", f"callbacks.stopper={stopper}")
        with pytest.raises(SystemExit) as stopped:
            call(train.train, *(again if index else (*arguments, f"+callbacks.stopper={stopper}")))
        assert stopped.value.code == 130
    call(train.train, f"resume={tmp_path / 'stopped'}", "~callbacks.stopper")
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ckpt_path=x.ckpt",), "leave out ckpt_path, or resume"),
        (("hydra.run.dir=elsewhere",), "writes to the run's own folder: leave out hydra.run.dir"),
    ],
)
def test_resume_beside_what_contradicts_it_is_one_line(arguments, said, whole, caplog):
    with pytest.raises(SystemExit):
        call(train.train, f"resume={whole}", *arguments)
    assert said in caplog.text


@pytest.mark.parametrize("damage", ["lost", "cut", "empty"])
def test_a_run_without_a_whole_last_checkpoint_says_what_can_be_done(damage, tmp_path, whole, capfd):
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    last = folder / "checkpoints" / "last.ckpt"
    content = last.read_bytes()
    last.unlink() if damage == "lost" else last.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    with pytest.raises(SystemExit) as stopped:
        call(train.train, f"resume={folder}", "trainer.max_epochs=4")
    said = f"{stopped.value.code}{''.join(capfd.readouterr())}"
    assert "ckpt_path" in said and ("best.ckpt" if damage == "lost" else "previous.ckpt to last.ckpt") in said
    assert_same_weights(weights(folder, "best"), weights(whole, "best"))


def test_a_setting_that_a_callback_keeps_in_its_state_cannot_be_changed_on_the_way(tmp_path, capfd):
    stop = "{_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/mse, patience: 9}"
    run_train(tmp_path, *STUDY, "callbacks=light", "trainer.max_epochs=1", f"+callbacks.stop={stop}")
    with pytest.raises(SystemExit):
        call(train.train, f"resume={tmp_path}", "trainer.max_epochs=2", "callbacks.stop.patience=1")
    assert "callbacks.stop.patience cannot change in a resumed run" in "".join(capfd.readouterr())


def callback(name, kind, **settings):
    """The override that adds a callback of Lightning's."""
    listed = "".join(f", {key}: {value}" for key, value in settings.items())
    return f"+callbacks.{name}={{_target_: lightning.pytorch.callbacks.{kind}{listed}}}"


@pytest.mark.parametrize("taken", ["~callbacks.stop", pytest.param("callbacks.stop=null", marks=pytest.mark.slow)])
def test_callbacks_that_have_a_state_can_be_taken_away_and_added_on_the_way(tmp_path, taken):
    stop = callback("stop", "EarlyStopping", monitor="val/mse", patience=1, min_delta=0.9)
    run_train(tmp_path, *STUDY, "callbacks=light", stop, callback("kept", "ModelCheckpoint", monitor="val/mse"))
    assert read_metrics(tmp_path)["epochs"] == 2
    other = callback("other", "EarlyStopping", monitor="train/mse", patience=9)
    call(train.train, f"resume={tmp_path}", taken, other)
    assert read_metrics(tmp_path)["epochs"] == 3


@pytest.mark.parametrize(
    ("limit", "changes", "said"),
    [
        ("+trainer.max_steps=100", ["trainer.max_epochs=5"], "the run has finished with trainer.max_steps=100"),
        ("+trainer.max_time={milliseconds: 1}", ["trainer.max_epochs=5"], "raise trainer.max_time"),
        ("trainer.max_epochs=1", ["optimizer.lr=1e-5"], "the run has finished with trainer.max_epochs=1"),
        ("trainer.max_epochs=1", ["callbacks.checkpoints=null", "trainer.max_epochs=2"], "keep callbacks.checkpoints"),
    ],
)
def test_a_finished_run_that_has_nothing_left_to_train_is_not_spoiled(limit, changes, said, tmp_path, capfd):
    run_train(tmp_path, *STUDY, "callbacks=light", "+trainer.min_epochs=0", limit)
    before = contents(tmp_path, but="train.log")
    with pytest.raises(SystemExit):
        call(train.train, f"resume={tmp_path}", *changes)
    assert said in "".join(capfd.readouterr())
    assert contents(tmp_path, but="train.log") == before


@pytest.mark.parametrize("limit", ["max_epochs=1", "max_steps=5", "max_time={minutes: 9}"])
def test_the_report_of_a_finished_run_names_the_limits_to_raise(limit, tmp_path, capfd):
    command = (*STUDY, "callbacks=light", "trainer.max_epochs=1", f"++trainer.{limit}")
    run_train(tmp_path, *command)
    run_train(tmp_path, *command)
    assert f"trainer.{limit.partition('=')[0]}=…" in capfd.readouterr().out


def test_settings_that_end_in_an_error_before_anything_is_saved_are_not_recorded(tmp_path, whole, capfd):
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    stop = callback("stop", "EarlyStopping", monitor="no_such")
    with pytest.raises(SystemExit):
        call(train.train, f"resume={folder}", "trainer.max_epochs=4", stop)
    assert "`no_such` which is not available" in "".join(capfd.readouterr())
    kept = {path.relative_to(folder): content for path, content in contents(folder, but="train.log").items()}
    assert kept == {path.relative_to(whole): content for path, content in contents(whole, but="train.log").items()}
    call(train.train, f"resume={folder}", "trainer.max_epochs=4")
    assert read_metrics(folder)["epochs"] == 4


@pytest.mark.slow
def test_history_that_was_off_for_a_while_keeps_its_earlier_rows(tmp_path):
    run_train(tmp_path, *STUDY, "callbacks=light", "trainer.max_epochs=2")
    before = (tmp_path / "history.csv").read_text(encoding="utf-8")
    call(train.train, f"resume={tmp_path}", "callbacks.history=null", "trainer.max_epochs=3")
    assert (tmp_path / "history.csv").read_text(encoding="utf-8") == before
    history = f"callbacks.history={{_target_: autoencoder.callbacks.history.History, path: '{tmp_path}/history.csv'}}"
    call(train.train, f"resume={tmp_path}", history, "trainer.max_epochs=4")
    assert (tmp_path / "history.csv").read_text(encoding="utf-8").startswith(before)
    assert read_history(tmp_path / "history.csv")["epoch"] == [1, 2, 4]


@pytest.mark.parametrize("content", ["", "seed: 0\n", None], ids=["empty", "cut", "lost"])
def test_a_run_whose_settings_are_lost_is_not_gone_on_with(content, tmp_path, whole, caplog):
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    record = folder / ".hydra" / "config.yaml"
    record.unlink() if content is None else record.write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        call(train.train, f"resume={folder}", "trainer.max_epochs=4")
    assert "whose .hydra/config.yaml is missing or broken" in f"{stopped.value.code}{caplog.text}"


def test_a_broken_best_checkpoint_is_said_before_training(tmp_path, whole, capfd):
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    best = folder / "checkpoints" / "best.ckpt"
    content = best.read_bytes()
    best.unlink()  # a link to last.ckpt, maybe
    best.write_bytes(content[:1000])
    with pytest.raises(SystemExit):
        call(train.train, f"resume={folder}", "trainer.max_epochs=4")
    assert "delete it to resume the run: the best of the remaining epochs is then kept" in "".join(capfd.readouterr())
    best.unlink()
    call(train.train, f"resume={folder}", "trainer.max_epochs=4")
    assert read_metrics(folder)["epochs"] == 4


@pytest.mark.parametrize("argument", ["resume=", "resume=''", "ckpt_path="])
def test_an_empty_name_of_a_run_is_not_taken_for_none(argument, tmp_path, capfd, caplog):
    with pytest.raises(SystemExit):
        call(train.train, *STUDY, argument, f"hydra.run.dir={tmp_path}/new")
    assert argument.partition("=")[0] in "".join(capfd.readouterr()) + caplog.text
    assert not (tmp_path / "new").exists()


def test_a_start_from_weights_that_know_the_validation_images_says_so(tmp_path, capfd):
    light = (*STUDY, "callbacks=light", "trainer.max_epochs=1", "+trainer.limit_train_batches=3")
    run_train(tmp_path / "all", *light, "data.val_size=100")
    best = f"ckpt_path={tmp_path}/all/checkpoints/best.ckpt"
    run_train(tmp_path / "same", *light, best, "data.val_size=100")
    assert "validation images" not in capfd.readouterr().out.replace("100 validation and", "")
    run_train(tmp_path / "more", *light, best)
    assert "the checkpoint was trained on 400 of the 500 validation images" in capfd.readouterr().out


def test_latest_does_not_lead_to_a_folder_that_was_removed(tmp_path):
    stop = callback("stop", "EarlyStopping", monitor="no_such")
    with pytest.raises(SystemExit):
        call(train.train, *STUDY, "callbacks=light", stop, f"paths.log_dir={tmp_path}")
    assert not list((tmp_path / "train").glob("latest")) and not list(tmp_path.glob("train/runs/*"))
    call(train.train, *STUDY, "callbacks=light", "trainer.max_epochs=1", f"paths.log_dir={tmp_path}")
    with pytest.raises(SystemExit):
        call(train.train, *STUDY, "callbacks=light", stop, f"paths.log_dir={tmp_path}")
    assert (tmp_path / "train" / "latest" / "metrics.json").is_file()


@pytest.mark.parametrize("name", ["reconstructions.png", "history.csv", "report.md", "figures"])
@pytest.mark.parametrize("main", [train.train, evaluate.evaluate])
def test_files_of_someone_else_are_not_written_over(name, main, tmp_path, whole, capfd):
    (tmp_path / name).write_text("mine", encoding="utf-8")
    settings = STUDY if main is train.train else (f"ckpt_path={whole}/checkpoints/best.ckpt",)
    with pytest.raises(SystemExit) as stopped:
        call(main, *settings, f"hydra.run.dir={tmp_path}")
    assert f"holds no run, but {name}, which would be overwritten" in str(stopped.value.code)
    assert (tmp_path / name).read_text(encoding="utf-8") == "mine" and len(list(tmp_path.iterdir())) == 1


def test_what_the_config_does_not_tell_is_in_the_record(tmp_path, whole, capfd):
    light = ("callbacks=light", "+trainer.limit_train_batches=3")
    run_train(tmp_path, *STUDY, *light, f"ckpt_path={whole}/checkpoints/best.ckpt", "trainer.max_epochs=1")
    started = f"started from {whole}/checkpoints/best.ckpt"
    assert read_metrics(tmp_path)["changes"] == started
    call(train.train, f"resume={tmp_path}", "trainer.max_epochs=2", "optimizer.lr=1e-3")
    call(train.train, f"resume={tmp_path}", "trainer.max_epochs=3")
    assert read_metrics(tmp_path)["changes"] == (
        f"{started}; optimizer.lr was 0.012 up to step 3, then 0.001; trainer.max_epochs was 1 up to step 3, then 2; "
        "trainer.max_epochs was 2 up to step 6, then 3"
    )
    assert "optimizer.lr was 0.012 up to step 3" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "changes" not in read_metrics(whole)


def test_weights_alone_begin_a_new_run_but_no_run_goes_on_from_them(tmp_path, whole, capfd):
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    last = folder / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    last.unlink()
    kept = ("state_dict", "hyper_parameters", "ImageDataModule", "model", "optimizer")
    torch.save({name: checkpoint[name] for name in kept} | {"pytorch-lightning_version": "2.6.6"}, last)
    run_train(tmp_path / "new", *STUDY, "callbacks=light", "trainer.max_epochs=1", f"ckpt_path={last}")
    assert f"a new run starts from the weights of {last}" in capfd.readouterr().out
    with pytest.raises(SystemExit):
        call(train.train, f"resume={folder}", "trainer.max_epochs=4")
    assert "has only weights" in "".join(capfd.readouterr())
    assert run_evaluate(tmp_path / "again", f"ckpt_path={last}", "metrics=[mse]", "figures=false")["test/mse"] > 0


def test_steps_after_the_last_validation_are_measured_too(tmp_path, capfd):
    run_train(tmp_path, *STUDY, "callbacks=light", "+trainer.max_steps=200")
    assert "weights after the last validation: val/mse" in capfd.readouterr().out
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == 200 and read_metrics(tmp_path)["steps"] == 200
    assert_same_weights(best["state_dict"], weights(tmp_path))


@pytest.mark.parametrize("limit", ["trainer.max_epochs=2", "+trainer.max_steps=300"])
def test_fewer_epochs_or_steps_than_a_run_has_behind_it_are_refused_and_spoil_nothing(limit, tmp_path, whole, capfd):
    shutil.copytree(whole, tmp_path / "copy")
    before = contents(tmp_path / "copy", but="train.log")
    with pytest.raises(SystemExit):
        call(train.train, f"resume={tmp_path / 'copy'}", limit)
    assert f"{limit.lstrip('+')} is less than the 3" in "".join(capfd.readouterr())
    assert contents(tmp_path / "copy", but="train.log") == before
