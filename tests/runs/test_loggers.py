"""Other loggers get the same tags as TensorBoard; those that are extras say so where they are not installed."""

import csv
import json
import struct
from importlib.util import find_spec

import pytest
from conftest import QUICK, command, read_metrics, run_train

TAGS = {"train/mse", "val/mse", "optimizer/learning_rate", "optimizer/gradient_norm", "latents/alive", "test/mse"}
PICTURES = {"reconstructions", "errors/worst", "errors/median", "latents/traversals", "latents/interpolations"}


def test_csv_holds_the_same_scalars(tmp_path):
    run_train(tmp_path, *QUICK, "logger=[tensorboard,csv]")
    with (tmp_path / "csv" / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) >= TAGS | {"latents/variance/31", "test/mse_of_class/9"}
    (figure,) = (row["test/mse"] for row in rows if row["test/mse"])
    assert float(figure) == pytest.approx(read_metrics(tmp_path)["test/mse"])


@pytest.mark.slow
@pytest.mark.parametrize("package", ["wandb", "mlflow"])
def test_a_logger_that_is_not_installed_is_one_line_that_says_what_to_do(package, tmp_path):
    if find_spec(package):
        pytest.skip(f"{package} is installed")
    result = command("src/train.py", *QUICK, f"logger={package}", f"hydra.run.dir={tmp_path}")
    assert result.returncode == 1 and "Traceback" not in result.stderr + result.stdout
    (line,) = (result.stdout + result.stderr).splitlines()
    assert line.startswith(f"error: logger={package} needs the package {package}") and f".[{package}]" in line


def test_wandb_offline_has_the_same_tags(tmp_path):
    pytest.importorskip("wandb", reason="needs the extra: pip install -e .[wandb]")
    result = command(*("src/train.py", *QUICK, "logger=[wandb,csv]", f"hydra.run.dir={tmp_path}"), WANDB_MODE="offline")
    assert result.returncode == 0, result.stderr
    rows = wandb_rows(next(tmp_path.glob("wandb/offline-run-*/run-*.wandb")))
    assert set().union(*rows) >= TAGS | PICTURES | {"latents/00"}
    logged = [json.loads(row["test/mse"]) for row in rows if "test/mse" in row]
    assert logged == [pytest.approx(read_metrics(tmp_path)["test/mse"])]
    # before training, and after the one epoch
    assert len(list(tmp_path.glob("wandb/offline-run-*/files/media/images/latents/traversals_*.png"))) == 2


def wandb_rows(path):
    """What an offline run logged, a dict of JSON texts a row; the file is a LevelDB log behind 7 bytes of its own."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, record, rows = path.read_bytes(), 7, b"", []
    while position + 7 <= len(content):
        left = 32768 - position % 32768  # in this block; fewer than 7 bytes of it are filled up
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack_from("<HB", content, position + 4)
        record += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or its last part
            entry = Record.FromString(record)
            if entry.WhichOneof("record_type") == "history":
                rows.append({item.key or item.nested_key[0]: item.value_json for item in entry.history.item})
            record = b""
    return rows


@pytest.mark.filterwarnings("default")  # those of MLflow's own dependencies
def test_mlflow_in_a_local_folder_has_the_same_tags(tmp_path):
    pytest.importorskip("mlflow", reason="needs the extra: pip install -e .[mlflow]")
    result = command(
        *("src/train.py", *QUICK, "logger=[mlflow,tensorboard]"),
        *(f"hydra.run.dir={tmp_path / 'run'}", f"paths.log_dir={tmp_path / 'logs'}"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/logs/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("lightning-autoencoder")
    (found,) = client.search_runs([experiment.experiment_id])
    assert set(found.data.metrics) >= TAGS
    assert found.data.metrics["test/mse"] == pytest.approx(read_metrics(tmp_path / "run")["test/mse"])
    assert found.data.params["latent_dim"] == "32" and found.data.params["optimizer"] == "muon"
    images = {
        path.path.split("/")[1].split("+")[0].replace("~", "/").replace("#", "/")
        for path in client.list_artifacts(found.info.run_id, "images")
    }
    assert images == PICTURES
    assert [path.path for path in client.list_artifacts(found.info.run_id) if not path.is_dir] == ["config.yaml"]


@pytest.mark.filterwarnings("default")  # those of MLflow's own dependencies
def test_a_run_that_goes_on_stays_one_run_of_mlflow(tmp_path):
    pytest.importorskip("mlflow")
    folders = (f"hydra.run.dir={tmp_path / 'run'}", f"paths.log_dir={tmp_path / 'logs'}")
    for arguments in ((*QUICK, "callbacks=light", "logger=mlflow", *folders), (f"resume={tmp_path / 'run'}",)):
        result = command("src/train.py", *arguments, *(["trainer.max_epochs=2"] if len(arguments) == 1 else []))
        assert result.returncode == 0 and "left out" not in result.stdout, result.stdout + result.stderr
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/logs/mlflow/mlflow.db")
    (found,) = client.search_runs([client.get_experiment_by_name("lightning-autoencoder").experiment_id])
    assert [point.step for point in client.get_metric_history(found.info.run_id, "train/mse")] == [124, 249]
    assert found.data.params["epochs"] == "1" and found.data.tags["changed/epochs"] == "2"


def test_a_run_that_goes_on_stays_one_run_of_wandb(tmp_path):
    pytest.importorskip("wandb")
    run_folder = f"hydra.run.dir={tmp_path}"
    for arguments in ((*QUICK, "callbacks=light", "logger=wandb", run_folder), (f"resume={tmp_path}",)):
        longer = ["trainer.max_epochs=2"] if len(arguments) == 1 else []
        result = command("src/train.py", *arguments, *longer, WANDB_MODE="offline")
        assert result.returncode == 0, result.stdout + result.stderr
    names = {path.name.rpartition("-")[2] for path in tmp_path.glob("wandb/offline-run-*")}
    assert len(names) == 1
