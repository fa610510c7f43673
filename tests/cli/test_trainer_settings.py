"""Any setting of Lightning's Trainer does what Lightning means by it, or is refused in one line."""

import csv
import math

import pytest
import torch
from conftest import QUICK, call, read_metrics, run_train
from lightning.pytorch import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train
from autoencoder.runs.history import read_history

TINY = ("experiment=quick", "callbacks=light", "+trainer.limit_train_batches=4", "logger=[]")


def refusal(capfd, folder, *overrides):
    """The one line with which a run is refused in this process."""
    with pytest.raises(SystemExit) as stopped:
        call(train.train, *TINY, f"hydra.run.dir={folder}", *overrides)
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


class Dealt(Callback):
    """Keeps the pixels of each epoch's images, added up image by image."""

    epochs: list[list[float]]

    def on_train_start(self, trainer, pl_module):
        Dealt.epochs = []

    def on_train_epoch_start(self, trainer, pl_module):
        Dealt.epochs.append([])

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        Dealt.epochs[-1] += batch[0].flatten(1).sum(1).tolist()


@pytest.mark.parametrize(
    ("batches", "images"), [("1", 32), ("3", 96), ("0.1", 12 * 32), pytest.param("1.0", 4000, marks=pytest.mark.slow)]
)
def test_overfitting_deals_the_same_images_each_epoch(tmp_path, capfd, batches, images):
    settings = ("experiment=quick", "callbacks=light", "trainer.max_epochs=3", f"+trainer.overfit_batches={batches}")
    run_train(tmp_path, *settings, "+callbacks.dealt._target_=test_trainer_settings.Dealt")
    assert len(Dealt.epochs) == 3 and len(Dealt.epochs[0]) == images
    assert Dealt.epochs[0] == Dealt.epochs[1] == Dealt.epochs[2]
    assert read_history(tmp_path / "history.csv")["val/mse"][-1] < 0.93
    captured = capfd.readouterr()
    assert "shuffling" not in captured.out + captured.err


def test_a_share_of_the_validation_images_may_be_less_than_a_batch(tmp_path):
    run_train(tmp_path, *TINY, "trainer.max_epochs=1", "+trainer.limit_val_batches=0.01")
    assert read_history(tmp_path / "history.csv")["val/mse"][0] < 0.93


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("64-true", torch.float64),
        pytest.param("64", torch.float64, marks=pytest.mark.slow),
        ("16-true", torch.float16),
        ("bf16-true", torch.bfloat16),
        ("bf16-mixed", torch.float32),
    ],
)
def test_every_precision_learns_as_well_and_is_the_one_asked_for(tmp_path, precision, dtype):
    metrics = run_train(tmp_path, *QUICK, f"trainer.precision='{precision}'", "+trainer.limit_train_batches=40")
    weights = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert {weight.dtype for weight in weights.values()} == {dtype}
    assert metrics["test/mse"] == pytest.approx(0.1668, rel=0.06)  # of 32-true
    assert metrics["val/mse"] == pytest.approx(read_history(tmp_path / "history.csv")["val/mse"][0], rel=0.01)
    pictures = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Tags()["images"]
    assert {"reconstructions", "latents/traversals", "errors/worst"} <= set(pictures)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
def test_half_precision_does_not_end_in_what_is_no_number(tmp_path, optimizer):
    metrics = run_train(tmp_path, *TINY, "trainer.max_epochs=3", f"optimizer={optimizer}", "trainer.precision=16-true")
    assert metrics["train/mse"] < 0.93


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_are_clipped_under_mixed_precision(tmp_path, optimizer, algorithm):
    mixed = (f"optimizer={optimizer}", "trainer.precision=bf16-mixed", "trainer.max_epochs=1")
    clipped = ("+trainer.gradient_clip_val=1e-9", f"+trainer.gradient_clip_algorithm={algorithm}")
    assert run_train(tmp_path, *TINY, *mixed, *clipped)["steps"] == 4


@pytest.mark.parametrize(
    ("epochs", "duration"),
    [(1000, "'00:00:00:01'"), *(pytest.param(one, "{seconds: 1}", marks=pytest.mark.slow) for one in (-1, "null"))],
)
def test_max_time_ends_a_run(tmp_path, epochs, duration):
    limits = (f"trainer.max_epochs={epochs}", f"+trainer.max_time={duration}")
    metrics = run_train(tmp_path, "experiment=quick", "callbacks=light", "scheduler=constant", "logger=[]", *limits)
    assert 1 <= metrics["fit_seconds"] < 1.5
    history = read_history(tmp_path / "history.csv")
    assert len(history["epoch"]) == metrics["epochs"] and not any(map(math.isnan, history["train/mse"]))


def test_a_time_that_is_up_is_said_once(tmp_path, caplog):
    run_train(tmp_path, *TINY, "trainer.max_epochs=3", "+trainer.min_epochs=2", "+trainer.max_time={seconds: 0}")
    assert [message.partition(".")[0] for message in caplog.messages].count("Time limit reached") == 1


@pytest.mark.parametrize(
    "overrides", ["trainer.max_epochs=-1", "trainer.max_epochs=null +trainer.max_time={seconds: 1}"]
)
def test_a_schedule_over_a_run_without_an_end_is_refused(tmp_path, capfd, overrides):
    line = refusal(capfd, tmp_path, *overrides.split(maxsplit=1))
    assert "scheduler=linear needs the run's length: set trainer.max_epochs or +trainer.max_steps" in line
    assert "use scheduler=constant" in line


def assert_same_end(one, other):
    """The same last weights, to the last bit, and the same history."""
    states = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in (one, other)]
    assert all(torch.equal(weight, states[1][name]) for name, weight in states[0].items())
    assert len({(run / "history.csv").read_text(encoding="utf-8") for run in (one, other)}) == 1


@pytest.mark.parametrize(
    ("limits", "interval"),
    [([4, 9], 1.0), *(pytest.param(*one, marks=pytest.mark.slow) for one in (([2, 6, 9], 1.0), ([3, 4, 8, 9], 0.5)))],
)
def test_a_run_that_goes_on_beyond_its_steps_ends_as_if_it_had_never_stopped(tmp_path, limits, interval):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = (*TINY, "scheduler=constant", "trainer.max_epochs=3", f"+trainer.val_check_interval={interval}")
    run_train(whole, *settings, "+trainer.max_steps=9")
    run_train(parts, *settings, f"+trainer.max_steps={limits[0]}")
    for steps in limits[1:]:
        call(train.train, f"resume={parts}", f"trainer.max_steps={steps}")
    assert_same_end(parts, whole)


def test_a_run_that_goes_on_beyond_its_time_deals_the_rest_of_its_epoch_first(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = (*TINY, "scheduler=constant", "trainer.max_epochs=3")
    run_train(whole, *settings)
    run_train(parts, *settings, "+trainer.max_time={milliseconds: 1}")
    assert read_metrics(parts)["steps"] == 1
    call(train.train, f"resume={parts}", "trainer.max_time.milliseconds=1000000")
    assert_same_end(parts, whole)


SGD = ("optimizer=adam", "optimizer._target_=torch.optim.SGD", "optimizer.lr=0.5", "scheduler=constant")


def test_torchs_own_optimisers_and_schedules_are_taken(tmp_path):
    step = ("scheduler._target_=torch.optim.lr_scheduler.StepLR", "+scheduler.step_size=2", "+scheduler.gamma=0.1")
    run_train(tmp_path, *TINY, *SGD, *step, "+optimizer.momentum=0.5", "trainer.max_epochs=1")
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    group = checkpoint["optimizer_states"][0]["param_groups"][0]
    assert checkpoint["optimizer"] == "SGD" and group["momentum"] == 0.5
    assert group["lr"] == pytest.approx(0.5 * 0.1**2)  # four steps


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["scheduler._target_=torch.optim.lr_scheduler.StepLR"], "missing 1 required positional argument: 'step_size'"),
        (["scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau"], "monitor"),
    ],
)
def test_a_schedule_that_lacks_something_is_one_line(tmp_path, capfd, settings, said):
    assert said in refusal(capfd, tmp_path / "new", *SGD, *settings)
    assert not (tmp_path / "new").exists()


def test_fit_seconds_count_all_sessions(tmp_path):
    first = run_train(tmp_path, *TINY, "trainer.max_epochs=2")["fit_seconds"]
    path = tmp_path / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["callbacks"]["FitClock"]["seconds"] += 1000
    torch.save(checkpoint, path)
    call(train.train, f"resume={tmp_path}", "trainer.max_epochs=4")
    assert 1000 < read_metrics(tmp_path)["fit_seconds"] < 1010 and first < 10


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+trainer.callbacks=null", "trainer.callbacks: callbacks is a separate group here"),
        ("+trainer.logger=true", "trainer.logger: logger is a separate group"),
        ("+trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches must be greater than 0, got 0"),
        ("+trainer.limit_test_batches=1", "trainer.limit_test_batches would have no effect, since a run measures all"),
        ("+trainer.limit_predict_batches=0.5", "trainer.limit_predict_batches would have no effect"),
        ("+trainer.enable_checkpointing=false", "also leave out the callback with callbacks.checkpoints=null"),
    ],
)
def test_settings_that_mean_something_else_here_are_refused(tmp_path, capfd, override, message):
    assert message in refusal(capfd, tmp_path, override)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.accelerator=cuda:0", "invalid accelerator name: `accelerator='cuda:0'`"),
        ("trainer.accelerator=CPU", "invalid accelerator name"),
        ("trainer.accelerator=tpu", "Requirement 'torch_xla"),
        ("trainer.devices=0", "`Trainer(devices=0)` value is not a valid input"),
        ("trainer.devices=-1", "should be an int > 0"),
        ("trainer.devices=[0,1]", "should be an int > 0"),
        ("trainer.devices=two", "should be an int > 0"),
        ("trainer.precision=transformer-engine", "Requirement 'transformer_engine"),
        ("+trainer.num_nodes=0", "`num_nodes` must be a positive integer, but got 0"),
        ("+trainer.strategy=dp", "invalid strategy name: `strategy='dp'`"),
        ("+trainer.strategy=fsdp", "requires a GPU accelerator"),
        ("+trainer.barebones=true", "leaves no checkpoint to measure"),
        ("+trainer.profiler=loud", "it can only be one of ['simple', 'advanced', 'pytorch', 'xla']"),
        ("+trainer.limit_val_batches=2.5", "it has to be in [0.0, 1.0] or an int"),
        ("+trainer.val_check_interval=5", "(5) must be less than or equal to the number of the training batches (4)"),
        ("+trainer.check_val_every_n_epoch=0", "trainer.check_val_every_n_epoch must be greater than 0, got 0"),
        ("+trainer.max_steps=-5", "must be a non-negative integer or -1"),
        ("+trainer.max_time=long", "is not a valid duration"),
        ("+trainer.fast_dev_run=-1", "is not a valid configuration"),
    ],
)
def test_mistakes_get_one_line(tmp_path, capfd, override, message):
    assert message in refusal(capfd, tmp_path, override)


@pytest.mark.parametrize(
    "override",
    [
        *("+trainer.deterministic=warn", "+trainer.detect_anomaly=true", "+trainer.inference_mode=false"),
        *("+trainer.reload_dataloaders_every_n_epochs=1", "+trainer.fast_dev_run=2", "+trainer.profiler=simple"),
        *("callbacks.checkpoints=null +trainer.enable_checkpointing=false", "trainer.devices=auto"),
        pytest.param("+trainer.max_steps=1 figures=true", marks=pytest.mark.slow),
    ],
)
def test_other_settings_train(tmp_path, override):
    metrics = run_train(tmp_path, *TINY, "trainer.max_epochs=2", *override.split())
    assert metrics["steps"] in (1, 2, 8) and metrics["test/mse"] < 0.94


@pytest.mark.parametrize("form", ["{}", "[{}]"])
def test_plugins_are_added_to_those_of_a_run(tmp_path, form):
    plugin = form.replace("{}", "{_target_: lightning.pytorch.plugins.environments.LightningEnvironment}")
    settings = ("trainer.max_epochs=1", f"+trainer.plugins={plugin}", "allow_targets=[lightning]")
    assert run_train(tmp_path, *TINY, *settings)["epochs"] == 1
    assert (tmp_path / "checkpoints" / "last.ckpt").exists()


class NoCallback:
    """Something else."""


def test_a_part_that_is_no_callback_is_refused(tmp_path, capfd):
    line = refusal(capfd, tmp_path, "+callbacks.mine._target_=test_trainer_settings.NoCallback")
    assert "callbacks.mine._target_ makes a NoCallback, not a lightning." in line
