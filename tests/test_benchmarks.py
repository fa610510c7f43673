"""The benchmark that README's timings come from runs, and prints a row for each candidate."""

import pytest
from conftest import command


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
