"""The benchmarks run, and docs/results.md holds what its CSV files say."""

import csv
from importlib.util import module_from_spec, spec_from_file_location

import pytest
from conftest import QUICK, ROOT, command, read_metrics


@pytest.mark.slow
def test_the_speed_benchmark_runs_on_the_digits_that_need_no_download():
    ended = command("benchmarks/speed.py", "--rounds", "1", "--dataset", "mnist_5k")
    assert (ended.returncode, ended.stderr) == (0, "")
    rows = [line.split("|")[1].strip() for line in ended.stdout.splitlines() if line.startswith("| ")]
    expected = ("Trainer, Muon, batch 128", "experiment=speedrun, fit", "train.py to the end of its first step")
    assert set(expected) <= set(rows)


@pytest.mark.slow
def test_the_benchmark_of_reports_runs():
    ended = command("benchmarks/reports.py", "--runs", "30", "--rounds", "1")
    assert (ended.returncode, ended.stderr) == (0, "")
    rows = [line.split("|")[1].strip() for line in ended.stdout.splitlines() if line.startswith("| ")]
    assert rows == ["report", "---", "comparison=false", "comparison=true"]


@pytest.mark.slow
def test_the_benchmark_of_sweeps_runs():
    ended = command("benchmarks/sweeps.py", "--epochs", "1")
    assert ended.returncode == 0, ended.stderr
    rows = [line.split("|")[1].strip() for line in ended.stdout.splitlines() if line.startswith("| ")]
    assert rows[2:] == [
        "one after the other, 1 thread",
        "side by side, 1 thread each",
        "one after the other, 2 threads",
    ]


@pytest.fixture(scope="module")
def results():
    """The script that rebuilds docs/results.md, as a module."""
    spec = spec_from_file_location("results", ROOT / "benchmarks" / "results.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_results_are_those_of_its_csv_files(results):
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert results.filled(page) == page, "run python benchmarks/results.py"
    assert all(f"{name}.csv" in page for name in results.TABLES)


def test_a_table_has_the_mean_and_the_deviation_of_its_seeds(results):
    rows = [{"model": "mlp", "seed": str(seed), "test/mse": str(mse)} for seed, mse in enumerate((0.02, 0.03, 0.04))]
    assert results.spread(rows, "test/mse") == "0.0300 ± 0.0100"
    assert results.spread(rows, "test/kl") == ""
    with pytest.raises(ValueError, match="one place for a table, between <!-- recipes -->"):
        results.filled("a page without tables")


@pytest.mark.slow
def test_the_benchmarks_of_latents_and_of_rates_measure_a_sweep(tmp_path):
    choices = "model/bottleneck=identity,fsq", "model.latent_dim=4", "logger=[]", "views=none"
    swept = command("src/train.py", "-m", *QUICK, *choices, f"hydra.sweep.dir={tmp_path}/sweep")
    assert swept.returncode == 0, swept.stderr
    measured = rows_of(command("benchmarks/latents.py", f"{tmp_path}/sweep"))
    assert [row["model/bottleneck"] for row in measured] == ["identity", "fsq"]
    assert all(
        0.1 < float(row["test/knn_accuracy"]) < 1 and float(row["generated/pca_frechet"]) > 1 for row in measured
    )
    rates = rows_of(command("benchmarks/rate_distortion.py", f"{tmp_path}/sweep"))
    assert [row["bits_per_image"] for row in rates if row["method"] == "fsq"] == ["12.0"]
    for method in ("quantised PCA", "JPEG, no headers", "WebP, no headers"):
        points = [(float(row["bits_per_image"]), float(row["test/mse"])) for row in rates if row["method"] == method]
        assert points == sorted(points) and points[::-1] == sorted(points, key=lambda point: point[1]), method
    finest = next(row for row in rates if row["setting"] == "4 latents of 8 bits")
    unrounded = read_metrics(tmp_path / "sweep" / "0")["test/mse"]
    assert float(finest["test/mse"]) == pytest.approx(unrounded, rel=0.02)


def rows_of(ended):
    """The rows of a CSV file that a command printed."""
    assert ended.returncode == 0, ended.stderr
    return list(csv.DictReader(ended.stdout.splitlines()))
