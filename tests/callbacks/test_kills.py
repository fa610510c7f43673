"""A run killed at any moment, again and again, ends as one never killed; a torn checkpoint is refused."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from conftest import ROOT, call, refuse, run_train
from made_images import write_classes
from test_resume import LIGHT, assert_same_run

import train
from autoencoder.callbacks import checkpoints
from autoencoder.callbacks.checkpoints import WholeFiles
from autoencoder.runs.checkpoints import read_checkpoint
from autoencoder.runs.folder import write_whole

SMALL = ("experiment=quick", "model.latent_dim=4", "model.network.hidden_dims=[16]", *LIGHT)


def start(folder, *overrides):
    """Starts the command, logged to FOLDER.txt, in a session of its own: all its processes can be killed at once."""
    with folder.with_suffix(".txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "src/train.py", *overrides, f"hydra.run.dir={folder}"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def finish(folder, *overrides):
    """Runs the command to its end."""
    assert start(folder, *overrides).wait(timeout=300) == 0, folder.with_suffix(".txt").read_text(encoding="utf-8")


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def killed_again_and_again(folder, kills, *overrides):
    """Runs the command until it ends; kills it `kills` times, each at a random moment after its next checkpoint.

    Returns: how often it was killed.
    """
    moments, last, done = random.Random(0), folder / "checkpoints" / "last.ckpt", 0
    for _ in range(kills):
        saved = last.stat().st_mtime_ns if last.exists() else 0
        process = start(folder, *overrides)
        while process.poll() is None and (not last.exists() or last.stat().st_mtime_ns == saved):
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.3))
        if process.poll() is not None:
            break
        kill(process)
        done += 1
    finish(folder, *overrides)
    return done


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kills", "overrides"),
    [
        pytest.param(3, (), id="default"),
        pytest.param(3, ("model/bottleneck=variational", "model.bottleneck.warmup=0.5"), id="variational"),
        pytest.param(2, ("model/corruption=gaussian",), id="corrupted"),
        pytest.param(1, ("data=folder", "data.batch_size=4", "data.memory_limit=0", "data.workers=2"), id="workers"),
        pytest.param(1, ("trainer=ddp", "data.batch_size=16", "model/corruption=masking"), id="ddp"),
    ],
)
def test_a_run_killed_at_any_moment_ends_as_if_never_killed(kills, overrides, tmp_path):
    settings = (*SMALL, *overrides, "trainer.max_epochs=12", "callbacks.checkpoints.save_every=20 steps")
    if "data=folder" in overrides:
        settings += (f"data.path={write_classes(tmp_path / 'images', {'a': 300, 'b': 200})}",)
    finish(tmp_path / "whole", *settings)
    assert killed_again_and_again(tmp_path / "killed", kills, *settings) == kills
    assert_same_run(tmp_path / "killed", tmp_path / "whole")
    assert not list(tmp_path.rglob(".*.tmp"))


def test_a_run_killed_within_an_epoch_loses_no_more_than_the_interval(tmp_path):
    settings = (*SMALL, "trainer.max_epochs=2", "callbacks.checkpoints.save_every=20 steps")
    stopper = "+callbacks.stopper={_target_: test_resume.BreakAt, step: 117}"
    with pytest.raises(RuntimeError, match="broken"):
        run_train(tmp_path / "run", *settings, stopper)
    folder = tmp_path / "run" / "checkpoints"
    last, previous = (read_checkpoint(folder / f"{name}.ckpt") for name in ("last", "previous"))
    assert (last["global_step"], previous["global_step"]) == (100, 80)
    run_train(tmp_path / "whole", *SMALL, "trainer.max_epochs=2")
    call(train.train, f"resume={tmp_path / 'run'}", "~callbacks.stopper")
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_run_saves_every_so_many_minutes(tmp_path, monkeypatch):
    """Here the clock goes on by a second in each step; the run's start and each save look at it, too."""
    clock = SimpleNamespace(monotonic=lambda: float(next(seconds)))
    seconds = iter(range(1_000_000))
    monkeypatch.setattr(checkpoints, "time", clock)
    run_train(tmp_path, *SMALL, "trainer.max_epochs=1", "callbacks.checkpoints.save_every=1 minutes")
    last, previous = (read_checkpoint(tmp_path / "checkpoints" / f"{name}.ckpt") for name in ("last", "previous"))
    assert (last["global_step"], previous["global_step"]) == (125, 120)


def test_a_torn_checkpoint_is_refused_and_the_one_before_it_offered(tmp_path):
    run_train(tmp_path / "run", *SMALL, "trainer.max_epochs=2")
    kept = tmp_path / "run" / "checkpoints"
    shutil.copytree(tmp_path / "run", tmp_path / "whole")
    whole = (kept / "last.ckpt").read_bytes()
    (kept / "last.ckpt").unlink()  # best.ckpt may be a link to it
    (kept / "last.ckpt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "run" / "metrics.json").unlink()
    line = refuse("src/train.py", f"resume={tmp_path / 'run'}")
    assert f"to resume from step 125, the checkpoint before it, rename {kept}/previous.ckpt to last.ckpt" in line
    (kept / "previous.ckpt").rename(kept / "last.ckpt")
    call(train.train, f"resume={tmp_path / 'run'}")
    assert_same_run(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize(
    "write", [lambda path: write_whole(path, "new"), lambda path: WholeFiles().save_checkpoint({}, path)]
)
def test_a_write_that_fails_leaves_the_former_file(write, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write(path)
    assert [(each.name, each.read_text(encoding="utf-8")) for each in tmp_path.iterdir()] == [("file", "old")]
