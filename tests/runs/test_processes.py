"""Several processes of one run share its folder, and are refused where they would get into each other's way."""

import shutil
from contextlib import suppress

import pytest
from conftest import QUICK, call, command, read_metrics
from omegaconf import OmegaConf

import train
from autoencoder.cli.hydra_callbacks import SweepReport
from autoencoder.runs.processes import folder_overrides, rank

TINY = ("experiment=quick", "callbacks=light", "+trainer.limit_train_batches=4", "logger=[]")


@pytest.mark.parametrize(
    "strategy",
    [
        *("ddp_spawn", "ddp_fork", "ddp_notebook", "ddp_spawn_find_unused_parameters_true"),
        "{_target_: lightning.pytorch.strategies.DDPStrategy, start_method: spawn}",
    ],
)
def test_a_strategy_that_trains_in_a_copy_is_refused(tmp_path, capfd, strategy):
    with pytest.raises(SystemExit) as stopped:
        settings = ("trainer.devices=2", f"+trainer.strategy={strategy}", "allow_targets=[lightning]")
        call(train.train, *TINY, f"hydra.run.dir={tmp_path}", *settings)
    assert stopped.value.code == 1
    (line,) = capfd.readouterr().out.splitlines()
    assert line.startswith("error: trainer.strategy=") and line.endswith("use trainer.strategy=ddp")


@pytest.mark.parametrize(
    "overrides",
    ["trainer=ddp", "trainer.devices=2", "trainer.devices='2'", "+trainer.num_nodes=2 +trainer.strategy=ddp"],
)
def test_a_sweep_of_several_processes_is_refused(tmp_path, capfd, overrides):
    with suppress(SystemExit):
        call(train.train, *TINY, f"hydra.sweep.dir={tmp_path}", "seed=0,1", *overrides.split(), "-m")
    assert not list(tmp_path.rglob("*.ckpt"))
    lines = [line for line in capfd.readouterr().out.splitlines() if "error: " in line]
    assert len(lines) == 2 and "would start the whole sweep again: use hydra/launcher" in lines[0]


def test_only_the_first_process_writes_a_record_and_a_log(tmp_path, monkeypatch, capfd):
    assert rank() == 0 and folder_overrides() == []
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit):
        call(train.train, *folder_overrides(), f"paths.log_dir={tmp_path}", "model.latent_dim=0")
    assert "error: model.latent_dim must be greater than 0" in capfd.readouterr().out
    assert not list(tmp_path.rglob("*"))


def test_only_the_first_process_ends_a_sweep_with_its_table(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("RANK", "1")
    SweepReport().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    assert capfd.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False])
def test_torchrun_leaves_one_folder(tmp_path, named):
    folder = f"hydra.run.dir={tmp_path}/train/runs/named" if named else f"paths.log_dir={tmp_path}"
    torchrun = ("-m", "torch.distributed.run", "--nproc_per_node=2", "src/train.py")
    result = command(*torchrun, *QUICK, "trainer=ddp", "callbacks=light", folder, OMP_NUM_THREADS="1")
    assert result.returncode == 0, result.stderr
    (run,) = (tmp_path / "train" / "runs").iterdir()
    assert read_metrics(run)["device"].startswith("2 x ")
    assert [path.name for path in run.glob("*.log")] == ["train.log"]
    assert result.stdout.count("epoch 1/1") == 1


@pytest.mark.slow
def test_torchrun_beside_a_trainer_of_one_process_is_refused(tmp_path):
    torchrun = ("-m", "torch.distributed.run", "--nproc_per_node=2", "src/train.py")
    result = command(*torchrun, *QUICK, f"paths.log_dir={tmp_path}", OMP_NUM_THREADS="1")
    assert result.returncode != 0 and not list(tmp_path.rglob("*.ckpt"))
    assert "error: torchrun started 2 processes" in result.stdout
    assert "set trainer=ddp trainer.devices=2" in result.stdout


def test_a_node_that_would_wait_for_others_without_end_is_refused(tmp_path, capfd):
    with pytest.raises(SystemExit):
        call(train.train, *TINY, f"hydra.run.dir={tmp_path}", "+trainer.num_nodes=2")
    assert "would wait forever for the other nodes" in "".join(capfd.readouterr())


@pytest.mark.slow
def test_torchrun_sweeps_and_resumes_what_is_missing(tmp_path):
    sweep = ("-m", *TINY, "trainer=ddp", "seed=0,1", f"hydra.sweep.dir={tmp_path}")
    for _ in range(2):
        ended = command("-m", "torch.distributed.run", "--nproc_per_node=2", "src/train.py", *sweep)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert [read_metrics(tmp_path / name)["device"][:3] for name in "01"] == ["2 x", "2 x"]
        shutil.rmtree(tmp_path / "1")
    assert "1 of 2 jobs have finished before" in ended.stdout
