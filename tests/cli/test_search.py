"""A search finds the better settings, goes on in its folder, shares it, and survives kills."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import QUICK, ROOT, call, command, read_metrics, refuse_here, run_train
from test_parallel import wait_until

import train
from autoencoder.cli.search_space import read_space
from autoencoder.errors import InputError
from autoencoder.runs import trials as studies
from autoencoder.runs.folder import counted
from autoencoder.runs.jobs import find_jobs, is_sweep, read_plan, read_settings
from autoencoder.runs.trials import JOURNAL, PRUNED, SearchStudy

LIGHT = (*QUICK, "callbacks=light", "views=none", "logger=[]", "+trainer.limit_train_batches=5")
GIVEN = ("search=lr_and_size", *LIGHT, "data.batch_size=64", "model.network.hidden_dims=[16]")
TWO = "optimizer.lr=choice(0.000001,0.02)"


def search(folder: Path, n_trials: int, *overrides: str) -> None:
    call(train.train, "-m", *GIVEN, f"hydra.sweeper.n_trials={n_trials}", f"hydra.sweep.dir={folder}", *overrides)


def states(folder: Path) -> list[str]:
    return [trial.state.name for trial in SearchStudy(folder).trials()]


def values(folder: Path) -> list[float | None]:
    return [trial.value for trial in SearchStudy(folder).trials()]


def forget_how_it_ended(folder: Path) -> None:
    """Makes the journal's trials RUNNING again, as those of a search that was killed."""
    lines = (folder / JOURNAL).read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if "state" not in json.loads(line) or "trial_id" not in json.loads(line)]
    (folder / JOURNAL).write_text("".join(kept), encoding="utf-8")
    assert set(states(folder)) == {"RUNNING"}


@pytest.mark.slow
def test_it_finds_the_better_settings_and_prints_a_command_that_trains_with_them(tmp_path, capfd):
    search(tmp_path, 4, TWO, "data.batch_size=32,64")
    said = capfd.readouterr().out
    found = SearchStudy(tmp_path).optuna.best_trial
    assert found.params["optimizer.lr"] == "0.02" and set(states(tmp_path)) == {"COMPLETE"}
    assert f"lowest val/mse {found.value:.4f} in job {found.number}" in said
    words = shlex.split(said.split("train with its settings: python src/train.py ")[1].splitlines()[0])
    assert run_train(tmp_path / "again", *words)["val/mse"] == found.value
    metrics = [read_metrics(tmp_path / str(number)) for number in range(4)]
    assert values(tmp_path) == [one["val/mse"] for one in metrics] and found.value == min(values(tmp_path))
    assert all((tmp_path / name).stat().st_size > 10_000 for name in ("search_history.png", "search_importance.png"))
    assert is_sweep(tmp_path) and [job.name for job in find_jobs(tmp_path) if job.name != "again"] == list("0123")


@pytest.mark.slow
def test_more_trials_are_those_of_a_longer_search(tmp_path, capfd):
    lr = "optimizer.lr=tag(log,interval(0.001,0.1))"
    search(tmp_path / "parts", 1, lr)
    before = (tmp_path / "parts" / "0" / "metrics.json").stat().st_mtime_ns
    call(train.train, f"resume={tmp_path}/parts", "hydra.sweeper.n_trials=2")
    search(tmp_path / "whole", 2, lr)
    assert before == (tmp_path / "parts" / "0" / "metrics.json").stat().st_mtime_ns
    assert values(tmp_path / "parts") == values(tmp_path / "whole") and len(values(tmp_path / "whole")) == 2
    capfd.readouterr()
    search(tmp_path / "whole", 2, lr)
    said = capfd.readouterr().out
    assert (
        "Launching" not in said and "2 trials: 2 finished" in said and set(read_plan(tmp_path / "whole")) == set("01")
    )


@pytest.mark.parametrize("has_begun", [True, False], ids=["after a checkpoint", "before its folder"])
def test_a_trial_that_was_killed_is_run_again(has_begun, tmp_path, capfd):
    search(tmp_path, 1, "optimizer.lr=interval(0.01,0.02)")
    before = values(tmp_path)
    forget_how_it_ended(tmp_path)
    if has_begun:
        (tmp_path / "0" / "metrics.json").unlink()
    else:
        shutil.rmtree(tmp_path / "0")
    search(tmp_path, 1, "optimizer.lr=interval(0.01,0.02)")
    assert values(tmp_path) == before and states(tmp_path) == ["COMPLETE"]
    assert (
        f"resuming {tmp_path}/0" in capfd.readouterr().err + (tmp_path / "0/train.log").read_text(encoding="utf-8")
    ) == has_begun


def test_a_hopeless_trial_is_pruned_and_the_rest_is_not(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(studies, "FEWEST_TRIALS", 1)
    search(tmp_path, 3, TWO, "trainer.max_epochs=3")
    trials = SearchStudy(tmp_path).trials()
    pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
    assert pruned and {trial.params["optimizer.lr"] for trial in pruned} == {"1e-06"}
    for trial in trials:
        metrics = read_metrics(tmp_path / str(trial.number))
        assert metrics["status"] == "finished" and ("pruned" in metrics.get("ended_early", "")) == (trial in pruned)
        assert list(trial.intermediate_values) == list(range(1, metrics["epochs"] + 1))
    assert {read_metrics(tmp_path / str(trial.number))["epochs"] for trial in pruned} == {2}
    said = capfd.readouterr().out
    assert f"{len(pruned)} pruned" in said and "files in" in said
    call(train.train, f"resume={tmp_path}/{pruned[0].number}", "trainer.max_epochs=4")  # its trial has ended
    assert read_metrics(tmp_path / str(pruned[0].number))["epochs"] == 4


def test_a_resumed_trial_reports_its_epochs_once_more_and_is_judged_anew(tmp_path):
    study = SearchStudy(tmp_path)
    assert study.optuna.ask().number == 0
    for epoch, error in ((1, 9.0), (2, 9.0)):
        study.report(0, epoch, error)
    study.note(0, PRUNED, 2)
    run_train(
        tmp_path / "0",
        *LIGHT,
        "trainer.max_epochs=2",
        "+callbacks.pruning._target_=autoencoder.callbacks.pruning.Pruning",
    )
    trial = SearchStudy(tmp_path).trials()[0]
    measured = read_metrics(tmp_path / "0")["val/mse"]
    assert trial.user_attrs[PRUNED] is None and trial.intermediate_values[2] == pytest.approx(measured, rel=1e-6)
    run_train(tmp_path / "0", *LIGHT, "trainer.max_epochs=2")  # the same run without the callback
    assert "callbacks.pruning._target_" not in counted(read_settings(tmp_path / "0" / ".hydra"))


def test_a_failed_trial_does_not_end_the_search(tmp_path, capfd):
    with pytest.raises(SystemExit):  # as of a sweep with a failed job
        search(tmp_path, 4, "optimizer.lr=choice(0.02,1e30)")
    assert set(states(tmp_path)) == {"COMPLETE", "FAIL"} and len(states(tmp_path)) == 4
    failed = [trial for trial in SearchStudy(tmp_path).trials() if trial.state.name == "FAIL"]
    assert all("error" in trial.user_attrs for trial in failed) and f"{len(failed)} failed" in capfd.readouterr().out


def test_a_search_of_which_all_trials_fail_ends_with_their_error(tmp_path, capfd):
    with pytest.raises(SystemExit) as stopped:
        search(tmp_path, 9, TWO, "trainer.devices=2")
    said = capfd.readouterr()
    assert stopped.value.code == 1 and states(tmp_path) == ["FAIL"] * 3
    assert "the first 3 trials of the search failed, the last one: trainer.devices=2" in said.out + said.err


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["hydra.sweeper.n_trials=0"], "n_trials must be at least 1, got 0"),
        (["search=no_such"], "Available options in 'search'"),
        (["optimizer.lr=interval(0.1,0.01)"], "is reversed: write interval(0.01,0.1)"),
        (["optimizer.lr=tag(log,interval(0,1))"], "cannot be searched: `low > 0`"),
        (["optimizer.lr=tag(lgo,interval(0.1,1))"], "the only tag is log"),
        (["data.batch_size=range(3,3)"], "has no value"),
        (["optimizer.lrr=interval(0.1,1)"], "unknown key 'optimizer.lrr'"),
        (["model.latent_dim=0,3"], "model.latent_dim must be greater than 0, got 0"),
        (["++hydra.sweeper.params={optimizer.lr:'intervl(0.1,1)'}"], "Unknown function 'intervl'"),
        (["optimizer.lr=0.1"], "there is nothing to search"),
        ([TWO, "data.val_size=0"], "data.val_size=0 leaves no validation images"),
        ([TWO, "+trainer.limit_val_batches=0"], "trainer.limit_val_batches=0 leaves no validation images"),
    ],
    ids=str,
)
def test_what_cannot_be_searched_is_refused_before_the_first_trial(overrides, said, tmp_path, capfd):
    line = refuse_here(train.train, capfd, "-m", *GIVEN, f"hydra.sweep.dir={tmp_path}/search", *overrides)
    assert said in line and not (tmp_path / "search").exists()


def test_a_search_without_m_two_at_once_and_without_optuna_are_refused(tmp_path, capfd, monkeypatch):
    folder = f"hydra.run.dir={tmp_path}/run"
    assert "search=lr_and_size starts several runs: add -m" in refuse_here(train.train, capfd, *GIVEN, folder)
    two = ("-m", "search=lr_and_size,lr_and_size", f"hydra.sweep.dir={tmp_path}/search")
    assert "one search at a time" in refuse_here(train.train, capfd, *two)
    for name in [name for name in sys.modules if name.partition(".")[0] == "optuna"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    line = refuse_here(train.train, capfd, "-m", *GIVEN, TWO, f"hydra.sweep.dir={tmp_path}/search")
    assert "search=NAME needs the package optuna" in line and "pip install -e '.[search]'" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_another_search_in_the_same_folder_is_refused(tmp_path, capfd):
    search(tmp_path / "search", 1, TWO)
    (tmp_path / "sweep" / "0").mkdir(parents=True)
    (tmp_path / "sweep" / "0" / "metrics.json").write_text("{}", encoding="utf-8")
    capfd.readouterr()
    for overrides, said in (
        ([TWO, "trainer.max_epochs=2"], "other settings, trainer.max_epochs was 1 and is 2 now"),
        (["optimizer.lr=0.1,0.2"], "other values of optimizer.lr"),
        ([TWO, "model.latent_dim=2,3"], "other settings, model.latent_dim was 32 and is not set now"),
        ([TWO, f"hydra.sweep.dir={tmp_path}/sweep"], "holds runs, but no search"),
    ):
        line = refuse_here(train.train, capfd, "-m", *GIVEN, f"hydra.sweep.dir={tmp_path}/search", *overrides)
        assert said in line
    assert len(states(tmp_path / "search")) == 1


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("interval(1,10)", [1.0, 10.0]),
        ("int(interval(1,10))", [1, 10]),
        ("range(1,10)", [1, 9]),
        ("range(1,10,4)", [1, 9]),
        ("range(10,1,-3)", [4, 10]),
        ("range(0,1,0.1)", [0.0, 0.9]),
        ("choice([1,2],[3])", ["[1,2]", "[3]"]),
        ("adam,muon", ["adam", "muon"]),
        ("null,3", ["null", "3"]),
    ],
)
def test_values_are_those_of_hydras_syntax(text, ends):
    space = read_space(None, {"key": "1,2"}, [f"key={text}", "other=3"])
    assert space.examples() == [
        ["other=3", f"key={end:.6g}" if isinstance(end, float) else f"key={end}"] for end in ends
    ]
    assert list(space.ranges) == ["key"]


def test_a_single_value_on_the_command_line_fixes_a_setting():
    space = read_space(None, {"a": "1,2", "b": "interval(0,1)"}, ["a=5"])
    assert space.fixed == ["a=5"] and list(space.ranges) == ["b"]
    with pytest.raises(InputError, match="nothing to search"):
        read_space(None, {"a": "1,2"}, ["a=5"])


LONG = ("-m", *GIVEN, TWO, "trainer.max_epochs=60", "hydra.sweeper.prune=false", "hydra.sweeper.n_trials=2")


def start(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "src/train.py", *overrides, f"hydra.sweep.dir={folder}"]
    return subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", start_new_session=True
    )


@pytest.mark.slow
def test_two_processes_share_a_search(tmp_path):
    overrides = ("-m", *GIVEN, "optimizer.lr=interval(0.01,0.1)", "trainer.max_epochs=10", "hydra.sweeper.n_trials=7")
    both = [start(tmp_path, *overrides) for _ in range(2)]
    said = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert all("7 trials:" in one for one in said) and "RUNNING" not in states(tmp_path) and len(states(tmp_path)) == 7
    begun = [one.count("Launching 1 jobs") for one in said]
    assert sum(begun) == 7 and min(begun) > 0
    lrs = [trial.params["optimizer.lr"] for trial in SearchStudy(tmp_path).trials()]
    assert len(set(lrs)) == 7 and set(read_plan(tmp_path)) == set("0123456")


@pytest.mark.slow
def test_a_killed_search_goes_on_from_the_checkpoints_of_its_trials(tmp_path):
    overrides = (*LONG, "hydra/launcher=parallel", "hydra.launcher.n_jobs=2")
    process = start(tmp_path, *overrides)
    wait_until(lambda: all((tmp_path / name / "checkpoints" / "last.ckpt").exists() for name in "01"), 120)
    process.kill()
    process.communicate(timeout=60)
    ended = command("src/train.py", *overrides, f"hydra.sweep.dir={tmp_path}")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (
        states(tmp_path) == ["COMPLETE"] * 2 and [read_metrics(tmp_path / name)["epochs"] for name in "01"] == [60] * 2
    )
    assert "resuming" in (tmp_path / "0" / "train.log").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_killed_job_is_begun_again_by_the_search_that_goes_on(tmp_path):
    process = start(tmp_path, *LONG, "trainer.max_epochs=150", "hydra/launcher=parallel", "hydra.launcher.n_jobs=2")
    wait_until(lambda: (tmp_path / "0" / "checkpoints" / "last.ckpt").exists(), 120)
    found = subprocess.run(["pgrep", "-f", f"hydra.run.dir={tmp_path}/0"], capture_output=True, encoding="utf-8")
    os.kill(int(found.stdout), signal.SIGKILL)
    said = process.communicate(timeout=240)[0]
    assert process.returncode == 0 and "#0 failed: the job's process was ended by SIGKILL" in said, said
    assert states(tmp_path) == ["COMPLETE"] * 2 and SearchStudy(tmp_path).trials()[0].user_attrs["kills"] == 1
