"""Streamed images are those in memory: the same order, the same weights, and memory that does not grow."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import ROOT, call, command, read_metrics, run_evaluate, run_train
from made_images import blobs, write_classes, write_images
from test_train import assert_same_weights, weights

import train
from autoencoder.data.folder_module import FolderDataModule
from autoencoder.errors import InputError

STREAMED = {"memory_limit": 0.0, "workers": 2}
RUN = (
    *("experiment=quick", "data=folder", "data.batch_size=8", "model.latent_dim=2", "model.network.hidden_dims=[16]"),
    *("callbacks=light", "views=none", "trainer.max_epochs=3"),
)
STREAM = ("data.memory_limit=0", "data.workers=2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("images") / "set", {"a": 60, "b": 50}, (12, 10, 3))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, folder):
    """A run in memory, never stopped."""
    run = tmp_path_factory.mktemp("whole") / "run"
    run_train(run, *RUN, f"data.path={folder}")
    return run


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_same_images_in_the_same_order(workers, folder):
    in_memory = FolderDataModule(folder, batch_size=16, seed=5)
    streamed = FolderDataModule(folder, batch_size=16, seed=5, memory_limit=0.0, workers=workers)
    assert not hasattr(streamed.images.train, "pixels"), "nothing is held in memory"
    assert streamed.images.fingerprint == in_memory.images.fingerprint
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        one, other = getattr(in_memory, name)(), getattr(streamed, name)()
        for epoch in (0, 1):
            for loader in (one, other):
                loader.sampler.set_epoch(epoch)
            for (images, labels), (theirs, their_labels) in zip(one, other, strict=True):
                assert torch.equal(images, theirs) and torch.equal(labels, their_labels)
    chosen = torch.tensor([5, 0, 5])
    assert torch.equal(in_memory.images.test.images(chosen), streamed.images.test.images(chosen))


def test_a_streamed_pass_draws_nothing_from_the_random_state(folder):
    split = FolderDataModule(folder, **STREAMED).images.train
    before = torch.get_rng_state()
    assert len(list(split.batches(10))) == 9
    assert torch.equal(torch.get_rng_state(), before)


def test_a_streamed_run_ends_with_the_same_weights(folder, whole, tmp_path):
    run_train(tmp_path / "run", *RUN, *STREAM, f"data.path={folder}")
    assert_same_weights(weights(tmp_path / "run"), weights(whole))
    skipped = ("fit_seconds", "images_per_second", "git_commit")
    one, other = (
        {key: value for key, value in read_metrics(run).items() if key not in skipped}
        for run in (tmp_path / "run", whole)
    )
    assert one == other


@pytest.mark.parametrize(("first", "then"), [(STREAM, STREAM), (STREAM, ()), ((), STREAM)])
def test_a_run_stopped_in_mid_epoch_goes_on_streamed_or_in_memory(first, then, folder, whole, tmp_path):
    stopper = "+callbacks.stopper={_target_: signal_at.SignalAt, step: 15, name: SIGINT}"
    with pytest.raises(SystemExit):
        run_train(tmp_path / "run", *RUN, *first, f"data.path={folder}", stopper)
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    position = last["FolderDataModule"]["position"]
    assert position["epoch"] == 1 and 0 < position["dealt"] < 11, "within the second epoch of 11 batches"
    back = ("data.memory_limit=null",) if first else ()
    call(train.train, f"resume={tmp_path / 'run'}", "~callbacks.stopper", *(then or back))
    assert_same_weights(weights(tmp_path / "run"), weights(whole))


def test_a_streamed_run_is_evaluated_from_its_checkpoint_alone(folder, tmp_path):
    trained = run_train(tmp_path / "run", *RUN, *STREAM, f"data.path={folder}", "trainer.max_epochs=1")
    best = f"ckpt_path={tmp_path}/run/checkpoints/best.ckpt"
    measured = run_evaluate(tmp_path / "again", best, "figures=false", "metrics=[mse,knn]")
    assert measured["test/mse"] == pytest.approx(trained["test/mse"], rel=1e-6) and "test/knn_accuracy" in measured


def test_a_file_that_changes_under_a_run_is_named(tmp_path):
    paths = write_images(tmp_path / "set", blobs(40))
    split = FolderDataModule(tmp_path / "set", **STREAMED).images.train
    other = blobs(1, seed=1)[0]
    for content, reason in ((other, "has changed"), (None, r"cannot be decoded \(No such file or directory\)")):
        for path in paths:
            path.unlink()
        if content is not None:
            write_images(tmp_path / "set", [content] * 40)
        with pytest.raises(InputError, match=rf"set/\d+\.png {reason} since it was first read: restore it"):
            list(split.batches(10))


@pytest.mark.slow
def test_ctrl_c_to_all_processes_stops_a_streamed_run_after_the_step(folder, tmp_path):
    """A terminal sends it to the workers as well, whose images the first process still needs."""
    words = ["src/train.py", *RUN, *STREAM, f"data.path={folder}", f"hydra.run.dir={tmp_path}/run"]
    with subprocess.Popen(
        [sys.executable, *words, "trainer.max_epochs=1000"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        for line in process.stdout:
            if line.startswith("epoch    3/"):
                break
        os.killpg(process.pid, signal.SIGINT)
        said = process.stdout.read()
    assert process.returncode == 130 and "stopped in epoch" in said and "Traceback" not in said
    start = time.monotonic()
    while group_members(process.pid):  # workers notice within seconds that nobody waits for them
        assert time.monotonic() < start + 10
        time.sleep(0.1)


def group_members(group: int) -> list[int]:
    """The processes of a group that still run."""
    found = subprocess.run(["pgrep", "-g", str(group)], capture_output=True, encoding="utf-8").stdout
    return [int(word) for word in found.split()]


PASSES = """
import resource, sys
from pathlib import Path
from autoencoder.data.folder_module import FolderDataModule
def memory():  # of this process and its workers, in MB
    own = sum(int(line.split()[1]) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()
              if line.startswith(("Private", "Shared")))
    return own / 1024
data = FolderDataModule(sys.argv[1], memory_limit=float(sys.argv[2]), workers=2, image_size=48)
data.setup()
for epoch in range(3):
    for number, _ in enumerate(data.images.train.batches(128)):
        if number == 5:
            print(round(memory()))
    print(round(memory()))
"""


@pytest.mark.slow
def test_a_streamed_pass_has_flat_memory(tmp_path):
    """20,000 images of 48 x 48 in colour are 138 MB of pixels, 553 MB as floats."""
    images = np.random.default_rng(0).integers(0, 256, (200, 48, 48, 3), np.uint8)
    for number in range(100):
        write_images(tmp_path / "set" / f"{number:02d}", images, ".bmp")
    ended = command("-c", PASSES, str(tmp_path / "set"), "0")
    used = [int(line) for line in ended.stdout.split()]
    assert len(used) == 6, ended.stderr
    assert max(used) - used[0] < 40, f"MB used in the course of three passes: {used}"
    held = [int(line) for line in command("-c", PASSES, str(tmp_path / "set"), "1").stdout.split()]
    assert held[0] > used[0] + 100
