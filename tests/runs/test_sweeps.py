"""A sweep of any command ends in a report that shows every job, the best one, and an exit code that is honest."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import QUICK, ROOT, call, command, read_metrics, refuse_here
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

import evaluate
import explore
import train
from autoencoder.cli.hydra_callbacks import SweepReport
from autoencoder.runs.job_values import best_jobs
from autoencoder.runs.jobs import find_jobs
from autoencoder.runs.study import study_of
from autoencoder.runs.study_report import format_table

LIGHT = (*QUICK, "callbacks=light", "logger=[]", "+trainer.limit_train_batches=5")


def sweep(main, capfd, *overrides: str) -> tuple[int, list[str], str]:
    """Sweeps; returns the exit code, the lines from the table's first on, and what was said on stderr."""
    code: object = 0
    try:
        call(main, *overrides, "-m")
    except SystemExit as stop:
        code = stop.code
    out, err = capfd.readouterr()
    said = code if isinstance(code, str) else err
    return int(bool(code)), ("\njob " + out.partition("\njob ")[2]).strip().splitlines(), said


def write_job(folder: Path, log: str = "train.log", said: str = "done", **metrics: object) -> None:
    """What a job leaves: a log, and metrics if it got so far."""
    folder.mkdir(parents=True)
    (folder / log).write_text(said + "\n", encoding="utf-8")
    if metrics:
        (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep=seeds,latent_dim"], "error: sweep=seeds,latent_dim: one at a time"),
        (["seed=0,1", "hydra.run.dir=here"], "with -m it is hydra.sweep.dir"),
    ],
)
def test_what_a_sweep_would_pass_over_is_refused(arguments, said, tmp_path):
    with pytest.raises(SystemExit, match=said):
        call(train.train, *arguments, f"hydra.sweep.dir={tmp_path}/sweep", "-m")
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize("mistake", ["model.latnt_dim=2,3", "data=mnist,no_such"])
def test_a_sweep_that_is_refused_before_its_first_job_leaves_nothing(mistake, tmp_path):
    with pytest.raises(SystemExit):
        call(train.train, mistake, f"hydra.sweep.dir={tmp_path}/sweep", "-m")
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    "layout",
    [
        ("hydra.sweep.subdir=a/${hydra.job.num}",),
        ('hydra.sweep.subdir="seed=${seed}/b c/${hydra.job.num}"',),
        ("hydra.output_subdir=null",),
        ("hydra.output_subdir=settings", "hydra.job.name=mine"),
        ("hydra.job_logging.handlers.file.filename=${hydra.runtime.output_dir}/other.log",),
    ],
    ids=" ".join,
)
def test_jobs_are_found_wherever_they_lie(layout, tmp_path, capfd):
    code, lines, said = sweep(
        train.train, capfd, *LIGHT, "seed=3", "model.latent_dim=0,4", f"hydra.sweep.dir={tmp_path}", *layout
    )
    rows = [line for line in lines if "latent_dim=" in line]
    assert code == 1 and ["failed" in row for row in rows] == [False, True]
    assert "1 of 2 jobs did not finish" in said and ".log" in said


def test_jobs_in_one_folder_are_refused(tmp_path, capfd):
    overrides = (*LIGHT, "seed=0,1", f"hydra.sweep.dir={tmp_path}/sweep", "hydra.sweep.subdir=one", "-m")
    assert "2 jobs would share 1 folders" in refuse_here(train.train, capfd, *overrides)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_the_best_job_by_validation_error_is_marked_with_its_checkpoint(tmp_path, capfd):
    code, lines, _ = sweep(train.train, capfd, *LIGHT, "model.latent_dim=2,16", f"hydra.sweep.dir={tmp_path}")
    assert code == 0
    assert lines[0].split()[:4] == ["job", "setting", "val/mse", "test/mse"]
    errors = {job: read_metrics(tmp_path / job)["val/mse"] for job in ("0", "1")}
    best = min(errors, key=errors.get)
    tests = {job: read_metrics(tmp_path / job)["test/mse"] for job in ("0", "1")}
    assert [line.split()[0] for line in lines[1:3]] == sorted(tests, key=tests.get)
    assert [line.split()[0] for line in lines[1:3] if line.endswith("* best by val/mse")] == [best]
    assert lines[3].startswith(f"best by val/mse: job {best}, ")
    assert lines[3].endswith(f"{tmp_path.name}/{best}/checkpoints/best.ckpt")
    # the same jobs again, then other settings: nothing of theirs is shown as if it were of these
    code, again, _ = sweep(train.train, capfd, *LIGHT, "model.latent_dim=2,16", f"hydra.sweep.dir={tmp_path}")
    assert code == 0 and again[1:3] == lines[1:3] and lines[3] in again
    code, more, _ = sweep(train.train, capfd, *LIGHT, "model.latent_dim=3,5", f"hydra.sweep.dir={tmp_path}")
    widths = {next(word for word in line.split() if "latent_dim" in word) for line in more[1:5]}
    assert code == 0 and widths == {f"model.latent_dim={width}" for width in (2, 3, 5, 16)}
    assert "taken over from an earlier start: jobs 0, 1" in more


def test_an_evaluation_of_several_checkpoints_ends_in_a_table(run, tmp_path, capfd):
    best, last = (run / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    checkpoints = f"ckpt_path={best},{tmp_path}/none.ckpt,{last}"
    code, lines, said = sweep(
        evaluate.evaluate, capfd, checkpoints, "metrics=[mse]", "figures=false", f"hydra.sweep.dir={tmp_path}/sweep"
    )
    assert code == 1 and "1 of 3 jobs did not finish (job 1 failed): see " in said and "1/evaluate.log" in said
    assert lines[0].split()[:4] == ["job", "setting", "val/mse", "test/mse"]
    assert [line.split()[0] for line in lines[1:4]] == ["0", "2", "1"] and "there is no such file" in lines[3]
    assert float(lines[1].split()[3]) == pytest.approx(read_metrics(run)["test/mse"], rel=1e-3)


def test_an_evaluation_without_errors_shows_what_it_measured(run, tmp_path, capfd):
    best, last = (run / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    overrides = (f"ckpt_path={best},{last}", "metrics=[latents]", "figures=false", f"hydra.sweep.dir={tmp_path}")
    code, lines, _ = sweep(evaluate.evaluate, capfd, *overrides)
    assert code == 0 and lines[0].split() == ["job", "setting", "test/dead_dimensions", "test/effective_rank"]


@pytest.mark.slow
def test_a_sweep_of_pages_names_a_log_that_is_there(run, tmp_path, capfd):
    best = run / "checkpoints" / "best.ckpt"
    checkpoints = f"ckpt_path={best},{tmp_path}/none.ckpt"
    code, lines, said = sweep(explore.explore, capfd, checkpoints, f"hydra.sweep.dir={tmp_path}/sweep")
    assert code == 1 and lines[2].split()[2] == "failed:"
    log = said.rpartition("see ")[2].strip()
    assert log.endswith("1/explore.log") and "no such file" in Path(log).read_text(encoding="utf-8")
    assert (tmp_path / "sweep" / "0" / "explorer.html").is_file() and not (run / "explorer.html").exists()


def test_null_metrics_and_unfinished_jobs_are_shown(tmp_path):
    write_job(tmp_path / "2", **{"val/mse": None, "test/mse": 0.25})
    write_job(tmp_path / "10", **{"val/mse": 0.5, "test/mse": None, "status": "finished"})
    write_job(tmp_path / "1", **{"val/mse": 0.1, "status": "interrupted"})
    write_job(tmp_path / "3", said="error: no")
    (tmp_path / "4").mkdir()
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "metrics.json").write_text("{", encoding="utf-8")
    jobs = find_jobs(tmp_path)
    assert [job.name for job in jobs] == ["1", "2", "3", "4", "5", "10"]
    assert [job.status for job in jobs] == ["interrupted", "finished", "failed", "failed", "failed", "finished"]
    table = format_table(study_of(jobs)).splitlines()
    assert table[1].split() == ["1", "interrupted"] and table[2].split() == ["2", "0.2500"]
    assert table[3].split() == ["3", "failed:", "no"]
    assert [job.name for job in best_jobs(jobs)] == ["10"] and table[6].endswith("* best by val/mse")


def multirun_config(folder: Path):
    """A sweep's config, as Hydra hands it to its callbacks."""
    with initialize_config_dir(str(Path(ROOT, "configs")), version_base="1.3"):
        config = compose("train", [f"hydra.sweep.dir={folder}"], return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    return config


def test_a_sweep_that_left_nothing_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match="no job left anything"):
        SweepReport().on_multirun_end(multirun_config(tmp_path))


def test_a_failure_of_the_table_itself_is_an_error(tmp_path, monkeypatch):
    write_job(tmp_path / "0", **{"val/mse": 0.5})
    monkeypatch.setattr("autoencoder.cli.hydra_callbacks.format_table", lambda study: 1 / 0)
    with pytest.raises(SystemExit, match=r"error: SweepReport.on_multirun_end failed, ZeroDivisionError"):
        SweepReport().on_multirun_end(multirun_config(tmp_path))


@pytest.mark.parametrize("main", [evaluate.evaluate, explore.explore])
def test_the_folder_of_a_run_is_not_written_over(main, run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit, match="is the folder of a run"):
        call(main, f"ckpt_path={copy}/checkpoints/best.ckpt", f"hydra.run.dir={copy}")
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_options_stand_anywhere_and_settings_are_no_options():
    ended = command("src/train.py", "--max-epochs=3")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "error: there is no option --max-epochs: settings have no dashes, write max_epochs=3\n"
    ended = command("src/train.py", "model=deep", "-m", "seed=0,one", "sweep=no_such")
    assert ended.stderr.startswith("error: In 'train': Could not find 'sweep/no_such'")


def test_hparams_compares_runs_by_their_validation_error_first(run):
    accumulator = EventAccumulator(str(run / "tensorboard"))
    accumulator.Reload()
    content = accumulator.summary_metadata["_hparams_/experiment"].plugin_data.content
    tags = [info.name.tag for info in metadata.parse_experiment_plugin_data(content).metric_infos]
    assert tags[0] == min(tags) == "best/val/mse"
    assert accumulator.Scalars("best/val/mse")[-1].value == pytest.approx(read_metrics(run)["val/mse"])
    assert len(accumulator.Scalars("val/mse")) == 3  # the curve is left as it is
