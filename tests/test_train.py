"""A run from its command to its files: what people rely on from end to end."""

import json
import subprocess
import sys

import pytest
import torch
import yaml
from conftest import QUICK, call, command, read_metrics, run_train
from lightning.pytorch import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train
from autoencoder import AutoencoderModule
from autoencoder.evaluation.evaluate import SCORES as MEASURED
from autoencoder.pictures.save import FIGURES

METRICS = {
    *(
        "status",
        "dataset",
        "train_size",
        "val_size",
        "test_size",
        "seed",
        "parameters",
        *("network", "bottleneck", "corruption", "loss"),
        "latent_dim",
        "epochs",
        "steps",
    ),
    *("train/mse", "val/mse"),
    *(f"{prefix}{name}" for prefix in ("test/", "pca/test_") for name in MEASURED),
    *("fit_seconds", "images_per_second", "device", "precision", "torch_version", "lightning_version", "git_commit"),
}


def weights(folder, name="last"):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def events(folder):
    accumulator = EventAccumulator(str(folder / "tensorboard"))
    accumulator.Reload()
    return accumulator


def test_a_run_leaves_exactly_these_files(run):
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    expected = {"metrics.json", "report.md", "history.csv", "reconstructions.png", "train.log"}
    expected |= {f"checkpoints/{name}.ckpt" for name in ("best", "last", "previous")}
    expected |= {f".hydra/{name}.yaml" for name in ("config", "hydra", "overrides")}
    rest = {file for file in files - expected if not file.startswith("tensorboard/")}
    assert expected <= files and not rest


def test_metrics_are_complete_and_consistent(run):
    metrics = read_metrics(run)
    assert metrics.keys() == METRICS
    assert metrics["dataset"] == "mnist_5k" and metrics["latent_dim"] == 8
    assert (metrics["train_size"], metrics["val_size"], metrics["test_size"]) == (4000, 500, 500)
    assert metrics["epochs"] == 3 and metrics["steps"] == 3 * 125
    assert metrics["test/sse"] == pytest.approx(metrics["test/mse"] * 784 / 4)
    assert metrics["pca/test_sse"] == pytest.approx(metrics["pca/test_mse"] * 784 / 4)
    assert metrics["images_per_second"] == pytest.approx(3 * 4000 / metrics["fit_seconds"])


def test_one_epoch_on_the_5k_digits_beats_pca_at_4_dimensions(tmp_path):
    metrics = run_train(tmp_path, *QUICK)
    pca_at_4 = run_train(tmp_path / "4", *QUICK, "model.latent_dim=4", "trainer.max_epochs=0")["pca/test_mse"]
    assert metrics["test/mse"] < pca_at_4


@pytest.mark.parametrize("nothing", ["trainer.max_epochs=0", "+trainer.limit_train_batches=0"])
def test_a_run_without_a_step_says_so(tmp_path, nothing):
    assert run_train(tmp_path, *QUICK, nothing)["ended_early"] == "no step was trained"
    assert "no step was trained" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "the metrics are of the initial weights" in (tmp_path / "train.log").read_text(encoding="utf-8")


def test_the_log_file_says_what_the_console_said(run):
    text = (run / "train.log").read_text(encoding="utf-8")
    assert "epoch 3/3  train/mse" in text
    assert "test, 8 dims " in text and "\nPCA " in text and "MNIST 5k (5,000 digits): 4,000 training" in text
    best = run / "checkpoints" / "best.ckpt"
    assert f"make tensorboard ARGS='--logdir {run}'" in text and f"python src/explore.py ckpt_path={best}" in text


def test_tensorboard_has_scalars_pictures_and_hyperparameters(run):
    accumulator = events(run)
    tags = accumulator.Tags()
    assert {"train/mse", "val/mse", "test/mse", "pca/test_mse"} <= set(tags["scalars"])
    assert len(accumulator.Scalars("train/mse")) == 3
    assert accumulator.Scalars("test/mse")[-1].value == pytest.approx(read_metrics(run)["test/mse"])
    assert [image.step for image in accumulator.Images("reconstructions")] == [0, 1, 2, 3]
    first = accumulator.Images("reconstructions")[0]
    assert (first.width, first.height) == (280, 56)  # a digit of each class over its reconstruction
    assert any(tag.startswith("_hparams_") for tag in accumulator.summary_metadata)


@pytest.mark.slow
def test_checkpoints_load_in_a_bare_python_from_any_folder(run, tmp_path):
    code = (
        "import sys, torch; from autoencoder import AutoencoderModule\n"
        "torch.load(sys.argv[1], weights_only=True)\n"
        "module = AutoencoderModule.load_from_checkpoint(sys.argv[1])\n"
        "assert module.latent_dim == 8 and 'hydra' not in sys.modules and 'omegaconf' not in sys.modules\n"
    )
    path = run / "checkpoints" / "best.ckpt"
    result = subprocess.run([sys.executable, "-c", code, path], cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert result.returncode == 0, result.stderr


def test_a_checkpoint_round_trip_keeps_the_model(run):
    path = run / "checkpoints" / "best.ckpt"
    module, models = AutoencoderModule.load_from_checkpoint(path), "autoencoder.models"
    assert dict(module.hparams) == {
        "latent_dim": 8,
        "image_shape": [1, 28, 28],
        "network": {"_target_": f"{models}.networks.mlp.MLP", "hidden_dims": [128, 64], "activation": "relu"},
        "bottleneck": {"_target_": f"{models}.bottlenecks.identity.Identity"},
        "corruption": {"_target_": f"{models}.corruptions.NoCorruption"},
        "loss": {"_target_": f"{models}.losses.MSE"},
    }
    assert_same_weights(module.state_dict(), weights(run, "best"))


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run_train(tmp_path / name, *QUICK, f"seed={seed}")
    assert_same_weights(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not torch.equal(
        weights(tmp_path / "a")["network.encoder.1.weight"], weights(tmp_path / "c")["network.encoder.1.weight"]
    )


def test_callbacks_views_and_loggers_only_look_on(tmp_path):
    run_train(tmp_path / "all", *QUICK)
    config = yaml.safe_load((tmp_path / "all" / ".hydra" / "config.yaml").read_text(encoding="utf-8"))
    names = config["callbacks"].keys() - {"checkpoints"}
    assert names and config["views"]
    off = (f"callbacks.{name}=null" for name in names)
    run_train(tmp_path / "none", *QUICK, "logger=[]", "views=none", *off)
    assert_same_weights(weights(tmp_path / "all"), weights(tmp_path / "none"))
    assert not (tmp_path / "none" / "tensorboard").exists()


def test_a_sweep_prints_a_table_and_survives_a_failed_job(tmp_path, capfd):
    overrides = [*QUICK, "model.latent_dim=0,8,16", f"hydra.sweep.dir={tmp_path}", "-m"]
    with pytest.raises(SystemExit) as stopped:
        call(train.train, *overrides)
    assert stopped.value.code not in (0, None)
    table = [line.split() for line in capfd.readouterr().out.partition("\njob ")[2].splitlines()[1:4]]
    assert [row[:2] for row in table] == [
        [job, f"model.latent_dim={dim}"] for job, dim in (("2", 16), ("1", 8), ("0", 0))
    ]
    assert table[2][2] == "failed:"
    metrics = read_metrics(tmp_path / "2")
    figures = [float(cell) for cell in table[0][2:4]]
    assert figures == pytest.approx([metrics["val/mse"], metrics["test/mse"]], rel=1e-3)
    assert "model.latent_dim must be greater than 0" in (tmp_path / "0" / "train.log").read_text(encoding="utf-8")


def test_a_run_makes_figures_and_explorer_if_asked(tmp_path):
    run_train(tmp_path, *QUICK, "figures=true", "explorer=true")
    assert (tmp_path / "explorer.html").read_text(encoding="utf-8").count("<canvas") >= 3
    for kind in ("png", "pdf"):
        assert {path.stem for path in (tmp_path / "figures").glob(f"*.{kind}")} == set(FIGURES) - {
            "roc"
        }  # no class is left out


def test_a_run_that_diverges_says_so(tmp_path, capfd):
    with pytest.raises(SystemExit):
        run_train(tmp_path, *QUICK, "optimizer=adam", "optimizer.lr=1e30")
    assert "training diverged" in (tmp_path / "train.log").read_text(encoding="utf-8")
    assert not list(tmp_path.rglob("*.ckpt")) and not (tmp_path / "metrics.json").exists()


def test_val_size_0_trains_on_everything_and_keeps_the_last_epoch_as_best(tmp_path):
    metrics = run_train(tmp_path, *QUICK, "data.val_size=0")
    assert metrics["train_size"] == 4500 and metrics["val/mse"] is None
    assert_same_weights(weights(tmp_path, "best"), weights(tmp_path, "last"))


class Break(Callback):
    """Spoils the network in the middle of the second epoch, then stops the run."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == 1 and batch_idx == 60:
            with torch.no_grad():
                pl_module.network.encoder[1].weight.zero_()
            raise RuntimeError("broken")


def test_a_run_that_breaks_keeps_what_its_last_whole_epoch_left(tmp_path, capfd):
    with pytest.raises(RuntimeError, match="broken"):
        run_train(tmp_path, "experiment=quick", "+callbacks.stop._target_=test_train.Break")
    best, last = (torch.load(tmp_path / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("best", "last"))
    assert (best["global_step"], last["global_step"]) == (125, 125)
    assert best["state_dict"]["network.encoder.1.weight"].any()
    assert "saved checkpoint" not in capfd.readouterr().out


@pytest.mark.slow
def test_two_processes_train_as_one_would_with_twice_the_batch(tmp_path):
    result = command("src/train.py", *QUICK, "trainer=ddp", f"hydra.run.dir={tmp_path}", OMP_NUM_THREADS="1")
    assert (result.returncode, result.stderr) == (0, "")
    metrics = read_metrics(tmp_path)
    assert metrics["steps"] == 63 and metrics["device"].startswith("2 x ")
    alone = run_train(tmp_path / "alone", *QUICK, "data.batch_size=64")
    assert metrics["test/mse"] == pytest.approx(alone["test/mse"], rel=0.02)
    logged = {event.value for event in events(tmp_path).Scalars("val/mse")}
    assert json.dumps(metrics["val/mse"]) and min(logged) == pytest.approx(metrics["val/mse"], rel=1e-4)
