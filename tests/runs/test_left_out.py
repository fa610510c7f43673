"""A view, a picture or a page that fails is missing, and said to be; the run goes on as if nothing had been."""

import json
import logging
import math

import pytest
import torch
from conftest import QUICK, run_evaluate, run_train
from test_train import assert_same_weights, weights

from autoencoder.evaluation.outputs import evaluating
from autoencoder.pictures import images, save
from autoencoder.runs.left_out import left_out_if_it_fails
from autoencoder.runs.plain_json import to_json

SETTINGS = (*QUICK, "model.latent_dim=2", "model.network.hidden_dims=[8]", "+trainer.limit_train_batches=20")


def broken(outputs):
    """A view that takes random numbers, then fails."""
    torch.rand(1)
    raise RuntimeError("no picture\n  of this")


def test_one_line_says_what_is_missing_and_why_and_the_traceback_is_there_to_debug(caplog):
    with caplog.at_level(logging.DEBUG), left_out_if_it_fails("some.png"):
        raise ValueError("too\nsmall")
    warning, detail = caplog.records
    assert (warning.levelname, warning.getMessage()) == ("WARNING", "some.png is left out: ValueError: too small")
    assert warning.exc_info is None and detail.levelname == "DEBUG" and detail.exc_info


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_stop_is_no_failure(stop):
    with pytest.raises(stop), left_out_if_it_fails("some.png"):
        raise stop


def test_a_view_that_fails_leaves_the_run_as_it_is(tmp_path):
    settings = (*SETTINGS, "model.network.activation=gelu", "hydra.verbose=true")
    failing = "+views.broken={_target_: test_left_out.broken, _partial_: true}"
    for name, more in (("whole", ()), ("broken", (failing,))):
        run_train(tmp_path / name, *settings, *more)
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "broken"))
    log = (tmp_path / "broken" / "train.log").read_text(encoding="utf-8")
    assert "the view broken of epoch 1 is left out: RuntimeError: no picture of this" in log
    assert log.count("Traceback") == 2  # before training and after the epoch


def test_random_numbers_are_as_before_when_a_view_fails():
    module = torch.nn.Linear(1, 1)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with evaluating(module), left_out_if_it_fails("a view"):
        torch.rand(1)
        raise RuntimeError
    assert torch.equal(torch.rand(1), expected) and module.training


@pytest.mark.slow
def test_pictures_that_fail_are_missing_and_the_rest_is_there(tmp_path, monkeypatch):
    def fail(*arguments, **settings):
        raise OSError("no space left")

    monkeypatch.setattr(images, "save_reconstructions", fail)
    monkeypatch.setitem(save.FIGURES, "traversals", fail)
    run_train(tmp_path / "run", *SETTINGS, "figures=true")
    log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert "reconstructions.png is left out: OSError: no space left" in log
    assert "the figure traversals is left out: OSError: no space left" in log
    run_evaluate(tmp_path / "again", f"ckpt_path={tmp_path}/run/checkpoints/best.ckpt", "metrics=[mse]")
    for folder in (tmp_path / "run", tmp_path / "again"):
        assert (folder / "metrics.json").is_file() and not (folder / "reconstructions.png").exists()
        drawn = {path.stem for path in (folder / "figures").iterdir()}
        assert "traversals" not in drawn and {"worst_and_median", "class_errors", "loss_curves"} <= drawn


def test_numbers_that_json_does_not_know_are_null_however_deep():
    values = {"a": math.inf, "b": [math.nan, {"c": (-math.inf, 1.5)}], "d": "NaN", "e": 3, "f": None, "g": True}
    text = to_json(values)
    assert json.loads(text, parse_constant=pytest.fail) == {
        **{"a": None, "b": [None, {"c": [None, 1.5]}]},
        **{"d": "NaN", "e": 3, "f": None, "g": True},
    }
