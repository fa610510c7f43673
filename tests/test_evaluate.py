"""Evaluation needs the checkpoint alone, and measures what the run measured."""

import os
import shutil

import pytest
from conftest import QUICK, read_metrics, refuse_here, run_evaluate, run_train

import evaluate
from autoencoder.evaluation.evaluate import SCORES
from autoencoder.metrics import METRICS
from autoencoder.pictures.save import FIGURES

LATENTS = [name for name, metric in METRICS.items() if metric.group == "latents"]

RUN_METRICS = (
    "train/mse",
    "val/mse",
    *(f"{prefix}{name}" for prefix in ("test/", "pca/test_") for name in SCORES),
)


def test_files_of_a_former_result_are_not_listed_as_those_of_this_one(run, tmp_path, capfd):
    best = f"ckpt_path={run}/checkpoints/best.ckpt"
    run_evaluate(tmp_path, best, "metrics=[mse]", "figures=false")
    assert "reconstructions.png" in capfd.readouterr().out
    run_evaluate(tmp_path, best, "metrics=[latents]", "figures=false")
    assert capfd.readouterr().out.splitlines()[-1].strip() == "metrics.json, report.md"


def test_digits_that_are_in_no_folder_are_not_looked_for_in_one(run, tmp_path, capfd):
    best = f"ckpt_path={run / 'checkpoints' / 'best.ckpt'}"
    line = refuse_here(evaluate.evaluate, capfd, best, f"data_dir={tmp_path}", f"hydra.run.dir={tmp_path}/out")
    assert "the images of mnist_5k are not in a folder: leave out data_dir" in line


def test_the_device_is_recorded(run, tmp_path):
    best = f"ckpt_path={run / 'checkpoints' / 'best.ckpt'}"
    device = run_evaluate(tmp_path, best, "metrics=[mse]", "figures=false", "device=cpu")["device"]
    assert device.startswith("cpu (")


def test_metrics_equal_the_runs(run, tmp_path):
    metrics = run_evaluate(tmp_path, f"ckpt_path={run / 'checkpoints' / 'best.ckpt'}")
    trained = read_metrics(run)
    assert {name: metrics[name] for name in RUN_METRICS} == pytest.approx(
        {name: trained[name] for name in RUN_METRICS}, rel=1e-6
    )
    assert metrics["dataset"] == "mnist_5k" and metrics["latent_dim"] == 8
    assert metrics["test/probe_accuracy"] > metrics["random/test_probe_accuracy"]
    assert {"test/dead_dimensions", "test/effective_rank", "pca/test_ssim_class_9"} <= metrics.keys()
    assert (tmp_path / "reconstructions.png").read_bytes() == (run / "reconstructions.png").read_bytes()
    assert "## Each class" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert len(list((tmp_path / "figures").iterdir())) == 2 * (len(FIGURES) - 1)  # no roc: all classes were trained on


def test_a_shorter_list_measures_less(run, tmp_path):
    path = run / "checkpoints" / "best.ckpt"
    metrics = run_evaluate(tmp_path, f"ckpt_path={path}", "metrics=[latents]", "figures=false")
    assert {name for name in metrics if "/" in name} == {
        f"{prefix}{name}" for prefix in ("test/", "pca/test_") for name in LATENTS
    }
    files = {file.name for file in tmp_path.iterdir()}
    assert files == {"metrics.json", "report.md", "evaluate.log", ".hydra"}


def test_a_moved_run_of_other_sizes_still_evaluates_from_another_folder(tmp_path, monkeypatch):
    sizes = (
        "model.latent_dim=3",
        "model.network.hidden_dims=[20]",
        "model.network.activation=tanh",
        "data.val_size=100",
    )
    trained = run_train(tmp_path / "run", *QUICK, *sizes)
    shutil.move(tmp_path / "run", tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    path = os.path.relpath(tmp_path / "moved" / "checkpoints" / "best.ckpt")
    metrics = run_evaluate(tmp_path / "evaluation", f"ckpt_path={path}", "metrics=[mse]", "figures=false")
    assert metrics["test/mse"] == pytest.approx(trained["test/mse"], rel=1e-6)
    assert metrics["val_size"] == 100
