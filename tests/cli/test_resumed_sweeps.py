"""A sweep started again in its folder runs what is missing: its jobs are known by their settings."""

import shutil
from pathlib import Path

import pytest
from conftest import QUICK, call, read_metrics, refuse_here
from filelock import FileLock

import train
from autoencoder.cli.sweeps import find_places
from autoencoder.runs.jobs import find_jobs, read_plan

LIGHT = (*QUICK, "callbacks=light", "logger=[]", "+trainer.limit_train_batches=5")


def settings(**values: object) -> dict[str, object]:
    """A run's settings by full name: `model__latent_dim=4` is model.latent_dim."""
    return {"seed": 0, "trainer.max_epochs": 3, "figures": False} | {
        name.replace("__", "."): value for name, value in values.items()
    }


def study(folder: Path, *overrides: str) -> None:
    call(train.train, "-m", *LIGHT, f"hydra.sweep.dir={folder}", *overrides)


def widths(folder: Path) -> dict[str, int]:
    """The latent_dim of each job, by its folder."""
    return {job.name: job.settings["model.latent_dim"] for job in find_jobs(folder)}


@pytest.mark.parametrize(
    ("jobs", "existing", "places"),
    [
        pytest.param([{"seed": 0}, {"seed": 1}], {}, [None, None], id="a new sweep"),
        pytest.param([{"seed": 5}, {"seed": 1}], {"0": {"seed": 1}}, [None, "0"], id="a value put in front"),
        pytest.param(
            [{"seed": 0, "model__width": 4}, {"seed": 1, "model__width": 4}],
            {"0": {"seed": 0, "model__width": 4}, "1": {"seed": 0, "model__width": 8}},
            ["0", None],
            id="another key swept",
        ),
        pytest.param([{"seed": 2}], {"0": {"seed": 0}, "1": {"seed": 1}}, [None], id="a single value more"),
        pytest.param(
            [{"seed": 0, "trainer__max_epochs": 9}, {"seed": 1, "trainer__max_epochs": 9}],
            {"0": {"seed": 0}, "1": {"seed": 1}},
            ["0", "1"],
            id="all longer: the same jobs, with a difference",
        ),
        pytest.param(
            [{"figures": False}, {"figures": True}],
            {"0": {"figures": False}},
            ["0", None],
            id="no result depends on it",
        ),
        pytest.param(
            [{"figures": True}], {"0": {"figures": False}}, ["0"], id="not swept, and no result depends on it"
        ),
        pytest.param([{"model__dims": [8, 4]}], {"7": {"model__dims": [8, 4]}}, ["7"], id="lists"),
    ],
)
def test_a_job_belongs_to_the_run_of_the_same_settings(jobs, existing, places):
    known = {name: settings(**run) for name, run in existing.items()}
    assert find_places([settings(**job) for job in jobs], known) == places


def test_a_sweep_grows_in_its_folder_and_leaves_finished_jobs_alone(tmp_path, capfd):
    study(tmp_path, "model.latent_dim=4,8")
    before = {name: (tmp_path / name / "metrics.json").stat().st_mtime_ns for name in ("0", "1")}
    study(tmp_path, "model.latent_dim=2,4,6,8")
    assert widths(tmp_path) == {"0": 4, "1": 8, "2": 2, "3": 6}
    assert "2 of 4 jobs have finished before" in capfd.readouterr().out
    assert before == {name: (tmp_path / name / "metrics.json").stat().st_mtime_ns for name in ("0", "1")}
    assert set(read_plan(tmp_path)) == {"0", "1", "2", "3"}


def test_jobs_that_were_stopped_or_lost_are_run_again(tmp_path):
    study(tmp_path, "seed=0,1,2")
    (tmp_path / "1" / "metrics.json").unlink()  # killed after its last checkpoint
    weights = read_metrics(tmp_path / "2")["test/mse"]
    shutil.rmtree(tmp_path / "2")
    call(train.train, f"resume={tmp_path}")
    assert {job.status for job in find_jobs(tmp_path)} == {"finished"}
    assert read_metrics(tmp_path / "2")["test/mse"] == weights and read_metrics(tmp_path / "1")["seed"] == 1


@pytest.mark.slow
def test_the_same_settings_twice_are_one_job(tmp_path):
    study(tmp_path, "seed=0,0")
    assert [job.name for job in find_jobs(tmp_path)] == ["0"]


@pytest.mark.slow
def test_other_settings_in_a_sweeps_folder_are_refused_before_the_first_job_unless_it_is_resumed(tmp_path, capfd):
    study(tmp_path, "seed=0,1")
    records = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    overrides = ("-m", *LIGHT, "seed=0,1,2", "trainer.max_epochs=2", f"hydra.sweep.dir={tmp_path}")
    capfd.readouterr()
    said = refuse_here(train.train, capfd, *overrides)
    assert "holds a sweep with other settings, trainer.max_epochs was 1 in job 0 and is 2 now" in said
    assert records == {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    call(train.train, f"resume={tmp_path}", "trainer.max_epochs=2")
    assert [read_metrics(tmp_path / name)["epochs"] for name in ("0", "1")] == [2, 2]
    assert "trainer.max_epochs was 1 up to step 5" in read_metrics(tmp_path / "0")["changes"]


@pytest.mark.slow
def test_a_single_job_of_a_sweep_can_be_resumed(tmp_path):
    study(tmp_path, "sweep=seeds")
    call(train.train, f"resume={tmp_path}/1", "trainer.max_epochs=2")
    assert read_metrics(tmp_path / "1")["epochs"] == 2 and read_metrics(tmp_path / "1")["seed"] == 1


def test_a_sweep_without_a_job_and_an_interval_are_refused(tmp_path, capfd):
    for override, said in (("seed=range(3,3)", "has no value, so"), ("optimizer.lr=interval(0.1,1)", "search=NAME")):
        assert said in refuse_here(train.train, capfd, "-m", *LIGHT, override, f"hydra.sweep.dir={tmp_path}/sweep")
        assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_two_starts_of_a_sweep_at_once_the_second_is_refused(tmp_path, capfd):
    study(tmp_path, "seed=0,1")
    plan = read_plan(tmp_path)
    capfd.readouterr()
    with FileLock(tmp_path / ".lock"):  # as another process holds it
        said = refuse_here(train.train, capfd, "-m", *LIGHT, "seed=0,1,2", f"hydra.sweep.dir={tmp_path}")
    assert "another run is writing" in said and read_plan(tmp_path) == plan
