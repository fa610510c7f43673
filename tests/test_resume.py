"""A folder is a run: stopped anywhere and started again, it ends as if never stopped, and nothing of it is lost."""

import os
import signal

import pytest
import torch
from conftest import call, read_metrics, run_train
from lightning.pytorch import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train

STUDY = ("experiment=quick", "trainer.max_epochs=3", "model.latent_dim=4", "model.hidden_dims=[16]")
# Views that say nothing of the training; the run's own files, curves and best are what counts here.
LIGHT = ("callbacks=light", "+callbacks.worst._target_=autoencoder.error_views.ErrorPerClass")


class SignalAt(Callback):
    """Sends this process a signal in the middle of a step."""

    def __init__(self, step: int, name: str = "SIGINT") -> None:
        self.step, self.signal = step, signal.Signals[name]

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.signal)


def weights(folder, name="last"):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def curves(folder):
    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
        if tag not in ("hp_metric",)
    }


def stop_at(folder, step, *overrides, name="SIGINT"):
    """A run that a signal stops in step `step` + 1; returns its exit code."""
    stopper = f"+callbacks.stopper={{_target_: test_resume.SignalAt, step: {step}, name: {name}}}"
    with pytest.raises(SystemExit) as stopped:
        run_train(folder, *overrides, stopper)
    return stopped.value.code


def assert_same_run(one, other):
    assert_same_weights(weights(one), weights(other))
    assert_same_weights(weights(one, "best"), weights(other, "best"))
    assert (one / "history.csv").read_text(encoding="utf-8") == (other / "history.csv").read_text(encoding="utf-8")
    assert curves(one) == curves(other)
    times = ("fit_seconds", "images_per_second")
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
    [(40, "SIGINT", 130), (125 + 60, "SIGTERM", 143), (124, "SIGHUP", 129), (2 * 125, "SIGINT", 130)],
)
def test_a_run_stopped_anywhere_ends_as_if_never_stopped(step, name, code, tmp_path, whole, caplog):
    assert stop_at(tmp_path, step, *STUDY, *LIGHT, name=name) == code
    assert read_metrics(tmp_path)["status"] == "interrupted"
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert step < last["global_step"] <= step + 2  # at once, or behind the epoch's end
    call(train.main, f"resume={tmp_path}", "~callbacks.stopper")
    assert_same_run(tmp_path, whole)


def test_a_run_is_stopped_again_and_again(tmp_path, whole):
    stop_at(tmp_path, 20, *STUDY, *LIGHT)
    for step in (70, 71, 130, 260):
        with pytest.raises(SystemExit):
            call(train.main, f"resume={tmp_path}", f"callbacks.stopper.step={step}")
    call(train.main, f"resume={tmp_path}", "~callbacks.stopper")
    assert_same_run(tmp_path, whole)
