"""`report.py` reports on any runs, into a sweep's own folder or one of its own, and leaves nothing else there."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import QUICK, ROOT, call, read_metrics, refuse_here
from made_runs import make_run, make_sweep

import report
import train
from autoencoder.cli.config_check import check_config
from autoencoder.runs.jobs import PLAN

DIM = "model.latent_dim"
FILES = {"summary.csv", "summary.md", "summary.html", "summary.png"}
REAL = (*QUICK, "callbacks=light", "logger=[]", "+trainer.limit_train_batches=5")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A real sweep of two settings with two seeds each, with the report at its end."""
    folder = tmp_path_factory.mktemp("sweeps") / "real"
    call(train.train, *REAL, f"{DIM}=2,8", "seed=0,1", f"hydra.sweep.dir={folder}", "-m")
    return folder


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_sweep_ends_with_its_report(trained):
    assert names_in(trained) == FILES | {"comparison.png", "multirun.yaml", "jobs.json", "0", "1", "2", "3"}
    page = (trained / "summary.md").read_text(encoding="utf-8")
    assert "4 jobs: 4 finished." in page and "![test/mse over model.latent_dim](summary.png)" in page
    errors = [read_metrics(trained / str(job))["test/mse"] for job in (0, 1)]
    assert f"{sum(errors) / 2:.4f} ± " in page


def test_a_report_on_a_sweep_goes_into_its_folder(trained, tmp_path, caplog, capfd):
    sweep = tmp_path / "a moved sweep"
    shutil.copytree(trained, sweep)
    for name in (*FILES, "comparison.png"):
        (sweep / name).unlink()
    shutil.rmtree(sweep / "3")
    before = names_in(sweep)
    call(report.report, f"runs='{sweep}'", f"paths.log_dir={tmp_path}/logs")
    assert names_in(sweep) == before | FILES | {"comparison.png"} and not (tmp_path / "logs").exists()
    out = capfd.readouterr().out
    assert "3 finished, 1 waiting\n" in out and "best by val/mse: job " in out
    assert "a moved sweep:\n  summary.csv" in out


def test_other_runs_are_reported_on_in_a_folder_of_the_report(tmp_path):
    for name in ("a", "b"):
        make_run(tmp_path / name, {DIM: len(name)}, {"test/mse": 0.1})
    make_sweep(tmp_path / "sweep", ({DIM: 5}, 0, 0.3))
    call(report.report, f"runs=[{tmp_path}/a,{tmp_path}/b,{tmp_path}/sweep]", f"paths.log_dir={tmp_path}/logs")
    (output,) = (tmp_path / "logs" / "report" / "runs").iterdir()
    assert names_in(output) == FILES and not FILES & names_in(tmp_path / "sweep")
    lines = (output / "summary.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4 and lines[1].endswith(str(tmp_path / "a"))
    call(report.report, f"runs={tmp_path}/sweep", f"hydra.run.dir={tmp_path}/here")
    assert names_in(tmp_path / "here") == FILES and not FILES & names_in(tmp_path / "sweep")


def test_a_sweep_at_work_shows_what_is_there(tmp_path, capfd):
    sweep = make_sweep(tmp_path / "sweep", ({DIM: 2}, 0, 0.3), ({DIM: 4}, 0, None))
    (sweep / PLAN).write_text(json.dumps({str(job): [f"{DIM}={2 + job}"] for job in range(4)}), encoding="utf-8")
    call(report.report, f"runs={sweep}")  # exit code 0, although a job has failed
    out = capfd.readouterr().out
    assert "1 finished, 1 failed, 2 waiting\n" in out and "training diverged: the loss is NaN" in out


def test_without_a_comparison_torch_is_not_imported(trained):
    code = (
        "import sys; sys.path.insert(0, 'src'); import report\n"
        f"sys.argv = ['report.py', 'runs={trained}', 'comparison=false']\n"
        "report.report(); print('torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", cwd=ROOT)
    assert ended.stdout.splitlines()[-1] == "False", ended.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs=[]"], "runs is an empty list"),
        (["runs=no/such"], "there is no such folder"),
        (["runs={tmp}/empty"], "no job of this sweep has begun"),
        (["runs={tmp}/files"], "no run is in this folder"),
        (["runs={tmp}/run", "metric=test/sse"], "metric=test/sse: no finished run has it; they have test/mse"),
        (["runs={tmp}/run", "comparison=maybe"], "comparison must be a valid boolean"),
        ([], "runs is not set"),
        (["runs={tmp}/run", "model=deep"], "model is a setting of train.py; here it comes from the runs"),
    ],
)
def test_bad_input_has_its_line_and_leaves_nothing(words, said, tmp_path, capfd):
    for name in ("empty", "files"):
        (tmp_path / name).mkdir()
    (tmp_path / "empty" / "multirun.yaml").touch()
    (tmp_path / "files" / "notes.txt").touch()
    make_run(tmp_path / "run", {}, {"test/mse": 0.1})
    words = [word.format(tmp=tmp_path) for word in words]
    assert said in refuse_here(report.report, capfd, *words, f"paths.log_dir={tmp_path}/logs")
    assert not list((tmp_path / "logs").rglob("*.*"))
    assert names_in(tmp_path / "empty") == {"multirun.yaml"}


def test_several_reports_at_once_are_refused(tmp_path):
    with pytest.raises(SystemExit, match="leave out -m"):
        call(report.report, "-m", f"runs={tmp_path},{tmp_path}")


def test_the_config_composes():
    settings = {
        "runs": ["a", "b"],
        "metric": "test/mse",
        "comparison": True,
        "allow_packages": [],
        "paths": {"output_dir": "x"},
    }
    check_config(settings, report.report.function)
