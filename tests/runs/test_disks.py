"""A run's folder on a disk that is missing, read-only or full: one line, and what was written before is whole."""

import subprocess
from pathlib import Path

import pytest
from conftest import QUICK, call, refuse_here
from lightning.pytorch import Callback

import train
from autoencoder.runs.checkpoints import read_checkpoint

LIGHT = (*QUICK, "callbacks=light", "logger=[]", "views=none")


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own, mounted at a folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a disk needs rights that this user lacks")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def assert_refused(folder, reason):
    with pytest.raises(SystemExit, match=rf"^error: hydra.run.dir={folder} cannot be a run's folder: .*{reason}.*$"):
        call(train.train, *LIGHT, f"hydra.run.dir={folder}")


@pytest.mark.parametrize(
    ("folder", "reason"), [("/proc/missing/run", "No such file"), ("/dev/null/run", "Not a directory")]
)
def test_a_missing_disk_is_said_before_training(folder, reason):
    assert_refused(folder, reason)


def test_a_read_only_disk_is_said_before_training(disk, capfd):
    (disk / "old").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for folder in (disk / "new", disk / "old"):
        assert_refused(folder, "Read-only file system")
    line = refuse_here(train.train, capfd, "-m", *LIGHT, "seed=0,1", f"hydra.sweep.dir={disk}/sweep")
    assert line == f"error: {disk}/sweep: Read-only file system: change its permissions, or use another folder"


class Fill(Callback):
    """Fills the disk in the second epoch."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 150:
            with pytest.raises(OSError, match="No space left"), Path(self.folder, "filler").open("wb") as file:
                while True:
                    file.write(bytes(4096))
                    file.flush()


def test_a_full_disk_is_one_line_and_the_run_goes_on_once_there_is_room(disk, tmp_path, capfd):
    longer = (*LIGHT, "trainer.max_epochs=2", f"+callbacks.fill={{_target_: test_disks.Fill, folder: {disk}}}")
    with pytest.raises(SystemExit) as stopped:
        call(train.train, *longer, f"hydra.run.dir={disk}/run")
    said = "".join(capfd.readouterr())
    assert stopped.value.code == 1 and "Traceback" not in said and said.count("error: ") == 1
    assert "No space left on device: free some space, then resume with resume=RUN; earlier files are intact" in said
    assert read_checkpoint(disk / "run" / "checkpoints" / "last.ckpt")["global_step"] == 125
    assert not list(disk.rglob(".*.tmp"))
    (disk / "filler").unlink()
    call(train.train, f"resume={disk}/run", "~callbacks.fill")
    assert read_checkpoint(disk / "run" / "checkpoints" / "last.ckpt")["global_step"] == 250
