"""A broken or hostile checkpoint is refused in one line; it runs nothing, takes no memory, and no bit may flip."""

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bad_checkpoints import CONTENTS, FILES, GOOD, LOOP, STATES, changed, read_good, saved
from conftest import call, refuse_here, run_train

import evaluate
import explore
import export
import generate
import predict
import train
from autoencoder import load
from autoencoder.errors import InputError
from autoencoder.runs.checkpoints import read_checkpoint, restore

SPARE = 2**30  # bytes; what a checkpoint of 60 kB may take
OF_GOOD = ("experiment=quick", "model.latent_dim=2", "model.network.hidden_dims=[2]", "trainer.max_epochs=1")


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Only `SPARE` more bytes of memory for this process."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def refused(path: Path, message: str, read: Callable[[Path], Any] = load) -> None:
    with pytest.raises(InputError) as caught:
        read(path)
    line = str(caught.value)
    assert message in line and str(path) in line and len(line) < 1000, line


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_whole_checkpoint_is_refused_and_runs_nothing(kind, tmp_path):
    make, message = FILES[kind]
    (tmp_path / "bad.ckpt").write_bytes(make(GOOD.read_bytes(), tmp_path))
    refused(tmp_path / "bad.ckpt", message)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("path", "value", "message"), CONTENTS, ids=[f"{one[0]} {i}" for i, one in enumerate(CONTENTS)]
)
def test_a_wrong_value_in_a_checkpoint_is_refused(path, value, message, tmp_path):
    (tmp_path / "bad.ckpt").write_bytes(saved(changed(read_good(), path, value)))
    refused(tmp_path / "bad.ckpt", message)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory) -> Path:
    """The folder of a run like the good checkpoint's."""
    folder = tmp_path_factory.mktemp("small") / "run"
    run_train(folder, *OF_GOOD, "callbacks=light", "views=none", "logger=[]")
    return folder


QUICK = {"optimizer_states|0|state|0|momentum", f"{LOOP}|epoch_loop.val_loop.batch_progress"}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        pytest.param(*state, marks=[] if state[0] in QUICK and state[1] != "x" else pytest.mark.slow, id=state[0])
        for state in STATES
    ],
)
def test_a_run_does_not_go_on_from_a_broken_state_and_loses_nothing(path, value, message, tmp_path, small_run, capfd):
    folder = tmp_path / "run"
    shutil.copytree(small_run, folder)
    last = folder / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    last.unlink()  # it may be a link to best.ckpt
    last.write_bytes(saved(changed(content, path, value)))
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != "train.log"}
    with pytest.raises(SystemExit) as stopped:
        call(train.train, f"resume={folder}", "trainer.max_epochs=2")
    said = "".join(capfd.readouterr())
    assert stopped.value.code == 1 and message in said and said.count("error: ") == 1 and "Traceback" not in said
    after = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != "train.log"}
    assert after == before


COMMANDS = (
    (evaluate.evaluate, ()),
    (explore.explore, ()),
    (export.export, ()),
    (generate.generate, ()),
    (predict.predict, (f"input={Path(__file__).parents[2] / 'docs'}",)),
    (train.train, OF_GOOD),
)


@pytest.mark.parametrize(("main", "settings"), COMMANDS, ids=[main.__name__ for main, _ in COMMANDS])
def test_each_command_refuses_a_bad_checkpoint(main, settings, tmp_path, capfd):
    bad = tmp_path / "bad.ckpt"
    bad.write_bytes(saved(changed(read_good(), "hyper_parameters", None)))
    line = refuse_here(main, capfd, f"ckpt_path={bad}", *settings, f"hydra.run.dir={tmp_path}/new")
    assert f"ckpt_path={bad} is broken: hyper_parameters must be a valid dictionary" in line
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["folder", "FIFO", "loop", "device"])
def test_what_is_no_file_is_refused(kind, tmp_path):
    path = tmp_path / "bad.ckpt"
    if kind == "folder":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    else:
        path.symlink_to(path if kind == "loop" else "/dev/zero")
    refused(path, "is a folder" if kind == "folder" else "there is no such file")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "has wrong settings of its data"),
        ({"train_classes": 3}, "has wrong settings of its data"),
        ({"more": 3}, "has wrong settings of its data"),
    ],
)
def test_wrong_settings_of_the_data_are_refused(settings, message, tmp_path):
    content = read_good()
    content["datamodule_hyper_parameters"] |= settings
    (tmp_path / "bad.ckpt").write_bytes(saved(content))
    refused(tmp_path / "bad.ckpt", message, restore)


def test_a_good_checkpoint_is_read():
    assert read_checkpoint(GOOD).keys() == read_good().keys()
